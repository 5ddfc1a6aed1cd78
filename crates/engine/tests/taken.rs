//! A site that a run has is not taken by another one, however the other comes to it.
#![allow(clippy::unwrap_used)]

mod witness;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use switchback_engine::session::SessionError;
use switchback_engine::state_dir::StateDir;
use switchback_engine::{Bus, Journal, RunError};
use switchback_model::phase::Phase;
use switchback_model::record::{Outcome, Record};
use switchback_model::target::TargetDef;
use switchback_site::Tell;
use witness::{plan, session, settings, try_session};

const STEPS: [(&str, Phase, bool); 1] = [("change", Phase::Change, false)];

/// A run that was interrupted before its first step: open, marked, and in nobody's hands.
fn leave_an_open_run(folder: &Path, targets: BTreeMap<String, TargetDef>) {
    let mut session = session(folder, plan(targets, &STEPS));
    let tell = Tell::quiet();
    tell.stop_flag().store(true, Ordering::Relaxed);
    let mut runner = session.begin(Vec::new(), Bus::default(), tell, false).unwrap();
    assert!(matches!(runner.run(), Err(RunError::Interrupted)));
}

#[test]
fn the_locks_of_a_living_run_keep_others_out() {
    let folder = tempfile::tempdir().unwrap();
    let (_, targets) = settings(folder.path());
    let _living = session(folder.path(), plan(targets.clone(), &STEPS));
    let second = try_session(&folder.path().join("other"), plan(targets, &STEPS));
    assert!(matches!(second, Err(SessionError::SiteHeld { .. })));
}

#[test]
fn an_open_run_keeps_others_out_although_its_process_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (path, targets) = settings(folder.path());
    leave_an_open_run(folder.path(), targets.clone());
    let link = folder.path().join("link.conf");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let by_link = TargetDef::File { path: link.display().to_string() };
    for targets in [targets, BTreeMap::from([("settings".to_owned(), by_link)])] {
        let state = folder.path().join("other");
        let second = try_session(&state, plan(targets, &STEPS));
        assert!(matches!(second, Err(SessionError::SiteOpen { .. })));
        assert!(StateDir::at(state).latest().unwrap().is_none(), "nothing of the second run is left");
    }
}

#[test]
fn a_mark_that_survived_its_run_keeps_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let (_, targets) = settings(folder.path());
    let mark = folder.path().join(".app.conf.switchback");
    leave_an_open_run(folder.path(), targets.clone());
    let text = std::fs::read(&mark).unwrap();
    let journal = folder.path().join("state/runs/run-of-state/journal.jsonl");
    let (mut journal, _) = Journal::open(&journal).unwrap();
    journal.append(Record::RunEnded { outcome: Outcome::RolledBack }, &Tell::quiet()).unwrap();
    std::fs::write(&mark, text).unwrap();
    try_session(&folder.path().join("other"), plan(targets, &STEPS)).unwrap();
}

#[test]
fn a_mark_that_cannot_be_read_is_not_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let (_, targets) = settings(folder.path());
    std::fs::write(folder.path().join(".app.conf.switchback"), "{ not ours").unwrap();
    let session = try_session(&folder.path().join("state"), plan(targets, &STEPS));
    assert!(matches!(session, Err(SessionError::Site(_))));
}

#[test]
fn an_open_run_is_not_hidden_by_one_that_ended_under_a_later_name() {
    let folder = tempfile::tempdir().unwrap();
    let (_, targets) = settings(folder.path());
    leave_an_open_run(folder.path(), targets);
    let runs = folder.path().join("state/runs");
    let later = runs.join("run-that-had-a-wrong-clock");
    std::fs::create_dir(&later).unwrap();
    std::fs::copy(runs.join("run-of-state/journal.jsonl"), later.join("journal.jsonl")).unwrap();
    let (mut journal, _) = Journal::open(&later.join("journal.jsonl")).unwrap();
    journal.append(Record::RunEnded { outcome: Outcome::RolledBack }, &Tell::quiet()).unwrap();
    let (dir, _) = StateDir::at(folder.path().join("state")).latest().unwrap().unwrap();
    assert_eq!(dir.name(), "run-of-state");
}
