//! A journal cannot claim an end that its run has not come to.
#![allow(clippy::unwrap_used)]

use serde_json::json;
use std::collections::BTreeMap;
use switchback_model::digest::Digest;
use switchback_model::record::{Outcome, Record, Turn};
use switchback_model::run::RunState;

fn folds(records: &[Record]) -> bool {
    let first = Record::RunStarted {
        run: "run".into(),
        plan: Digest::of(b"plan"),
        accepted: Vec::new(),
        rehearsal: false,
    };
    RunState::fold(1, [first].iter().chain(records)).is_ok()
}

fn ended(outcome: Outcome) -> Record {
    Record::RunEnded { outcome }
}

#[test]
fn an_end_follows_from_what_came_before() {
    let started = Record::StepStarted { step: 0, before: json!(1) };
    let finished = Record::StepFinished { step: 0, seen: json!(null), took_ms: 1 };
    let committed = Record::CommitPassed { stores: BTreeMap::new() };
    let back = Record::RollbackStarted { turn: Turn::Interrupted };
    let undone = Record::StepUndone { step: 0, took_ms: 1 };
    let up = [started.clone(), finished.clone(), committed.clone()];
    let with = |records: &[Record], end: Outcome| folds(&[records, &[ended(end)]].concat());

    assert!(with(&up, Outcome::Upgraded));
    assert!(!with(&up[..2], Outcome::Upgraded), "the commit point was not passed");
    assert!(!with(&[started.clone(), committed], Outcome::Upgraded), "the step has not ended");
    assert!(with(&[], Outcome::RolledBack), "nothing was begun");
    assert!(!with(&up, Outcome::RolledBack), "nothing was undone");
    assert!(!with(&[started.clone(), back.clone()], Outcome::RolledBack), "the step was not undone");
    assert!(with(&[started, back, undone], Outcome::RolledBack));
    assert!(!with(&up, Outcome::Held) && !with(&up, Outcome::Stuck), "these are open");
}
