//! Who may be written over on the way back: what `losing_writes` is for each reason to turn round.
#![allow(clippy::unwrap_used)]

mod witness;

use std::path::PathBuf;
use switchback_engine::{Bus, View};
use switchback_model::phase::Phase;
use switchback_model::record::{Entry, Outcome, Record, Turn};
use switchback_model::run::RunState;
use switchback_site::{Progress, Tell};
use witness::{plan, session, settings, undone};

const CHANGE: (&str, Phase, bool) = ("change", Phase::Change, false);

#[test]
fn going_back_because_nothing_was_written_writes_over_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (_, targets) = settings(folder.path());
    let mut session = session(folder.path(), plan(targets, &[CHANGE, ("look", Phase::Confirm, true)]));
    let mut runner = session.begin(Vec::new(), Bus::default(), Tell::quiet(), false).unwrap();
    assert_eq!(runner.run().unwrap(), Outcome::RolledBack);
    assert_eq!(runner.state().turn, Some(Turn::NothingWritten { step: 1 }));
    drop(runner);
    // A write that came in after the look, before the service was stopped, must still be found by the undo.
    assert_eq!(undone(&session, "change").as_deref(), Some("false"));
}

#[test]
fn only_who_was_shown_a_loss_gives_it_up() {
    for (losing, allowed) in [(vec![], "false"), (vec!["a row".to_owned()], "true")] {
        let folder = tempfile::tempdir().unwrap();
        let (_, targets) = settings(folder.path());
        let mut session = session(folder.path(), plan(targets, &[CHANGE, ("look", Phase::Confirm, false)]));
        let mut runner = session.begin(Vec::new(), Bus::default(), Tell::quiet(), false).unwrap();
        assert_eq!(runner.run().unwrap(), Outcome::Upgraded);
        runner.note(Record::RollbackStarted { turn: Turn::Asked { losing } }).unwrap();
        assert_eq!(runner.run().unwrap(), Outcome::RolledBack);
        drop(runner);
        assert_eq!(undone(&session, "change").as_deref(), Some(allowed));
    }
}

/// Whoever sees the commit point pass is in time to write before the failure is judged.
struct Writer(PathBuf);

impl View for Writer {
    fn entry(&mut self, entry: &Entry, _: &RunState) {
        if matches!(entry.record, Record::CommitPassed { .. }) {
            std::fs::write(&self.0, "a = 2\n").unwrap();
        }
    }
    fn progress(&mut self, _: &Progress) {}
}

#[test]
fn a_file_that_was_written_past_the_commit_point_holds_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let (path, targets) = settings(folder.path());
    let mut session = session(folder.path(), plan(targets, &[CHANGE, ("look", Phase::Confirm, true)]));
    let bus = Bus::new(vec![Box::new(Writer(path))]);
    let mut runner = session.begin(Vec::new(), bus, Tell::quiet(), false).unwrap();
    assert_eq!(runner.run().unwrap(), Outcome::Held);
    assert!(runner.state().held.as_ref().unwrap().1.contains("settings"));
}
