//! When maintenance was on, as the journal tells it.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use std::collections::BTreeMap;
use switchback_model::digest::Digest;
use switchback_model::maintenance::{Ended, Spell, spells};
use switchback_model::phase::Phase;
use switchback_model::plan::{
    Access, Estimate, Origin, PLAN_FORMAT, Plan, PlannedStep, PlaybookRef, Reversal, Switch, Touch,
};
use switchback_model::record::{Entry, Record, Trouble};
use switchback_model::target::TargetDef;

/// Every step of an upgrade in which the old release goes in maintenance and is stopped, and the new one comes out of it.
const ENTER_OLD: usize = 0;
const STOP: usize = 1;
const START: usize = 2;
const ENTER_NEW: usize = 3;
const LEAVE_NEW: usize = 4;
const STOP_AGAIN: usize = 5;

fn plan() -> Plan {
    let endpoint = || TargetDef::Http {
        base: "http://localhost".into(),
        served_by: Some("app".into()),
        maintenance: None,
        component: None,
        accepts: Vec::new(),
    };
    let switch =
        |target: &str, on| (Some(Switch { target: target.into(), on }), Touch::new(target, Access::Writes));
    let service = |access| (None, Touch::new("app", access));
    let steps = [
        switch("old", true),
        service(Access::Stops),
        service(Access::Starts),
        switch("new", true),
        switch("new", false),
        service(Access::Stops),
    ];
    let steps = steps.into_iter().map(|(switches, touch)| PlannedStep {
        id: "step".into(),
        phase: Phase::Change,
        kind: "kind".into(),
        body: Value::Null,
        says: "do it".into(),
        why: None,
        place: None,
        reversal: Reversal::ByUndo,
        touches: vec![touch],
        switches,
        only_live: false,
        preview: Vec::new(),
        estimate: Estimate { ms: 0, origin: Origin::Guessed },
    });
    Plan {
        format: PLAN_FORMAT,
        digest: Digest::of(b""),
        engine: "0".into(),
        made_at: "2026-01-02T03:04:05Z".into(),
        playbook: PlaybookRef { name: "sample".into(), digest: Digest::of(b"") },
        installed: "1".into(),
        evidence: Vec::new(),
        wanted: "2".into(),
        stretches: Vec::new(),
        targets: BTreeMap::from([("old".to_owned(), endpoint()), ("new".to_owned(), endpoint())]),
        steps: steps.collect(),
        facts: Vec::new(),
        losses: Vec::new(),
        risks: Vec::new(),
        notes: Vec::new(),
        disk: Vec::new(),
        disk_unseen: Vec::new(),
    }
}

fn done(step: usize) -> [Record; 2] {
    [
        Record::StepStarted { step, before: json!({}) },
        Record::StepFinished { step, seen: json!({}), took_ms: 1 },
    ]
}

fn undone(step: usize) -> Record {
    Record::StepUndone { step, took_ms: 1 }
}

/// The records, a second apart, and each spell in words: who, the seconds, and how it ended.
fn told(records: Vec<Record>) -> Vec<String> {
    let entry = |(seq, record): (usize, Record)| Entry {
        seq: seq as u64,
        at: format!("2026-01-02T03:04:{seq:02}Z"),
        up_ms: 0,
        record,
    };
    let entries: Vec<Entry> = records.into_iter().enumerate().map(entry).collect();
    let second = |at: &str| at[17..19].parse::<u64>().unwrap();
    let words = |spell: Spell| {
        let asked = if spell.reached { "" } else { " asked for" };
        let end = match spell.until {
            None => "on".to_owned(),
            Some((at, how)) => format!(
                "{} {}",
                second(&at),
                match how {
                    Ended::Left => "left",
                    Ended::TakenBack => "taken back",
                    Ended::Stopped => "stopped",
                }
            ),
        };
        format!("{}{asked} {} {end}", spell.target, second(&spell.since))
    };
    spells(&plan(), &entries).into_iter().map(words).collect()
}

fn all(steps: &[usize]) -> Vec<Record> {
    steps.iter().flat_map(|step| done(*step)).collect()
}

#[test]
fn it_is_on_from_where_it_is_asked_for_until_it_is_left_or_its_service_is_stopped() {
    let up = all(&[ENTER_OLD, STOP, START, ENTER_NEW, LEAVE_NEW, STOP_AGAIN]);
    assert_eq!(told(up), ["old 0 3 stopped", "new 6 9 left"]);
}

#[test]
fn it_is_on_where_a_run_stopped_in_it_and_may_be_where_it_was_only_asked_for() {
    assert_eq!(told(all(&[ENTER_OLD])), ["old 0 on"]);
    let begun = vec![Record::StepStarted { step: ENTER_OLD, before: json!({}) }];
    assert_eq!(told(begun), ["old asked for 0 on"]);
    let found = vec![Record::StepFound { step: ENTER_OLD, seen: json!({}) }];
    assert_eq!(told(found), ["old 0 on"]);
}

#[test]
fn on_the_way_back_the_old_release_is_in_it_again_until_that_is_taken_back() {
    let mut records = all(&[ENTER_OLD, STOP, START]);
    records.push(Record::StepStarted { step: ENTER_NEW, before: json!({}) });
    let trouble = Trouble { code: "R001".into(), message: "do it".into(), details: vec![], help: None };
    records.push(Record::StepFailed { step: ENTER_NEW, trouble });
    records.extend([ENTER_NEW, START, STOP].map(undone));
    assert_eq!(told(records.clone()), ["old 0 3 stopped", "new asked for 6 8 taken back", "old 10 on"]);
    records.push(undone(ENTER_OLD));
    assert_eq!(told(records).last().unwrap(), "old 10 11 taken back");
}

#[test]
fn nobody_is_in_it_where_the_new_release_is_stopped_before_its_leaving_is_taken_back() {
    let mut records = all(&[ENTER_OLD, STOP, START, ENTER_NEW, LEAVE_NEW, STOP_AGAIN]);
    records.extend([STOP_AGAIN, LEAVE_NEW, ENTER_NEW, START].map(undone));
    assert_eq!(told(records), ["old 0 3 stopped", "new 6 9 left"]);
}
