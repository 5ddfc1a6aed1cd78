//! Between the sweep and the commit point nobody counts commits: what a stranger writes there, while nobody has the run,
//! is not let in as if it had been proven.

use crate::lab::{Ended, Verb, live, load, make_plan};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use switchback_engine::state_dir::StateDir;
use switchback_model::compile::Files;
use switchback_model::plan::Plan;
use switchback_model::record::Outcome;
use switchback_model::run::{RunState, StepState};
use switchback_site::{Faults, Tell};

struct Site {
    database: PathBuf,
    plan: Plan,
    state: StateDir,
    _folder: tempfile::TempDir,
}

fn site(journal_mode: &str) -> Site {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("data.db");
    let connection = Connection::open(&database).unwrap();
    connection.execute_batch(&format!("PRAGMA journal_mode = {journal_mode}")).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE stamp(version TEXT); INSERT INTO stamp VALUES ('1'); CREATE TABLE things(name TEXT)",
        )
        .unwrap();
    connection.close().unwrap();
    let state = StateDir::at(folder.path().join("state"));
    state.make().unwrap();
    let playbook = load("unswept", PLAYBOOK.to_owned(), Files::new());
    let text = format!("playbook: unswept\ninputs:\n  database: {}\n", database.display());
    let plan = make_plan(&playbook, &text, folder.path(), &state);
    Site { database, plan, state, _folder: folder }
}

impl Site {
    fn up(&self, faults: Faults) -> Ended {
        live(&self.plan, &self.state, Verb::Up, Tell::with_faults(Arc::new(faults)))
    }

    /// Whether the run stands behind its sweep and before its commit point.
    fn is_between(&self) -> bool {
        let Some((_, entries)) = self.state.latest().unwrap() else { return false };
        let state = RunState::fold(self.plan.steps.len(), entries.iter().map(|entry| &entry.record)).unwrap();
        let sweep = self.plan.steps.iter().position(|step| step.kind == "sweep").unwrap();
        matches!(state.steps[sweep], StepState::Finished(_))
            && state.committed.is_none()
            && state.turn.is_none()
    }
}

fn things(database: &Path) -> i64 {
    let connection = Connection::open(database).unwrap();
    connection.query_row("SELECT count(*) FROM things", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_write_after_the_sweep_of_a_dead_run_is_not_let_in() {
    for mode in ["wal", "delete"] {
        let mut met = 0;
        for at in 1.. {
            let site = site(mode);
            let ended = site.up(Faults::cut(at));
            if ended != Ended::Cut {
                assert_eq!(ended, Ended::With(Outcome::Upgraded), "{mode}");
                break;
            }
            if !site.is_between() {
                continue;
            }
            met += 1;
            let stranger = Connection::open(&site.database).unwrap();
            stranger.execute("INSERT INTO things VALUES ('theirs')", []).unwrap();
            stranger.close().unwrap();
            assert_eq!(site.up(Faults::none()), Ended::With(Outcome::Stuck), "{mode}, cut at {at}");
            assert_eq!(things(&site.database), 1, "{mode}, cut at {at}: what they wrote is kept");
        }
        assert!(met > 0, "{mode}: no cut between the sweep and the commit point");
    }
}

#[test]
fn a_dead_run_that_nobody_wrote_behind_goes_on() {
    for mode in ["wal", "delete"] {
        for at in 1.. {
            let site = site(mode);
            if site.up(Faults::cut(at)) != Ended::Cut {
                break;
            }
            if site.is_between() {
                // Whoever only looks is no stranger.
                assert_eq!(things(&site.database), 0);
                assert_eq!(site.up(Faults::none()), Ended::With(Outcome::Upgraded), "{mode}, cut at {at}");
            }
        }
    }
}

const PLAYBOOK: &str = r#"playbook: unswept
format: 1
title: one change and a look at it
inputs:
  database: {type: file, help: "the database", example: /srv/data.db}
targets:
  db:
    sqlite: "${database}"
version:
  detect:
    - in: db
      sql: "SELECT version FROM stamp"
      means: {"1": "1.0", "2": "2.0"}
upgrades:
  - from: "1.0"
    to: "2.0"
    change:
      - sql: {in: db, text: "UPDATE stamp SET version = '2'"}
    confirm:
      - ensure: {in: db, sql: "SELECT version FROM stamp", is: "2"}
"#;
