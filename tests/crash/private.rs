//! A service that is started privately in the middle of a change: what it writes is the run's own, wherever it is cut.

use crate::ends::exact;
use crate::lab::{Ended, Verb, live, load, make_plan};
use crate::own_service;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use switchback_engine::state_dir::StateDir;
use switchback_model::compile::Files;
use switchback_model::plan::Plan;
use switchback_model::record::Outcome;
use switchback_site::{Faults, Tell};

/// The new release, which this test program becomes: it turns the log on, writes, and stays.
#[test]
#[ignore = "a service that the tests start"]
fn migrates_and_stays() {
    let connection = Connection::open(std::env::var_os("PRIVATE_DB").unwrap()).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    connection.execute_batch("PRAGMA journal_mode = WAL").unwrap();
    connection.execute_batch("CREATE TABLE IF NOT EXISTS migrated(at)").unwrap();
    connection.execute_batch("INSERT INTO migrated VALUES ('start')").unwrap();
    std::thread::sleep(Duration::from_secs(600));
}

struct Site {
    database: PathBuf,
    plan: Plan,
    state: StateDir,
    folder: tempfile::TempDir,
}

impl Drop for Site {
    fn drop(&mut self) {
        own_service::end(&self.state.services().join("app.service"), self.folder.path());
    }
}

/// A database in this journal mode, and a plan whose proof is this one.
fn site(journal_mode: &str, proof: &str) -> Site {
    site_of(journal_mode, PLAYBOOK, proof)
}

/// The same, of a plan in which the service runs on through the proof.
fn site_that_runs_on(journal_mode: &str, proof: &str) -> Site {
    let after = "      - stop: app\n      - sql: {in: db, text: \"INSERT INTO migrated VALUES ('after')\"}\n";
    assert!(PLAYBOOK.contains(after));
    let thaw = format!("{}    thaw:\n      - start: app\n", PLAYBOOK.replace(after, ""));
    site_of(journal_mode, &thaw, proof)
}

fn site_of(journal_mode: &str, playbook: &str, proof: &str) -> Site {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("data.db");
    let connection = Connection::open(&database).unwrap();
    connection.execute_batch(&format!("PRAGMA journal_mode = {journal_mode}")).unwrap();
    connection.execute_batch("CREATE TABLE stamp(version TEXT); INSERT INTO stamp VALUES ('1')").unwrap();
    connection.close().unwrap();
    let state = StateDir::at(folder.path().join("state"));
    state.make().unwrap();
    let text = playbook.replace("PROOF", proof);
    let plan = make_plan(
        &load("private", text, Files::new()),
        &site_file(&database, folder.path()),
        folder.path(),
        &state,
    );
    Site { database, plan, state, folder }
}

fn site_file(database: &Path, folder: &Path) -> String {
    let argv = own_service::argv("private::migrates_and_stays", folder);
    let database = serde_json::json!(database);
    format!(
        "playbook: private\ninputs:\n  database: {database}\n  service:\n    process:\n      old: {{argv: [sleep, '600']}}\n      \
         new: {{argv: {argv}, env: {{PRIVATE_DB: {database}}}}}\n      grace: 10\n"
    )
}

const GOOD: &str = r#"{in: db, sql: "SELECT count(*) FROM migrated WHERE at = 'after'", is: "1"}"#;
const BAD: &str = r#"{in: db, sql: "SELECT count(*) FROM migrated", is: "-1"}"#;

impl Site {
    fn up(&self, faults: Faults) -> Ended {
        self.live(Verb::Up, faults)
    }

    fn live(&self, verb: Verb, faults: Faults) -> Ended {
        live(&self.plan, &self.state, verb, Tell::with_faults(Arc::new(faults)))
    }
}

#[test]
fn what_it_writes_is_not_taken_for_foreign() {
    for mode in ["wal", "delete"] {
        let site = site(mode, GOOD);
        assert_eq!(site.up(Faults::none()), Ended::With(Outcome::Upgraded), "{mode}");
        assert_eq!(exact(&site.database).pragmas["journal_mode"], mode);
    }
}

#[test]
fn what_it_wrote_goes_with_the_way_back() {
    for mode in ["wal", "delete"] {
        let site = site(mode, BAD);
        let before = exact(&site.database);
        assert_eq!(site.up(Faults::none()), Ended::With(Outcome::RolledBack), "{mode}");
        assert_eq!(exact(&site.database).differences(&before), Vec::<String>::new(), "{mode}");
    }
}

#[test]
fn a_run_that_is_cut_around_it_goes_on_or_back() {
    for (proof, end) in [(GOOD, Outcome::Upgraded), (BAD, Outcome::RolledBack)] {
        for at in (1..).step_by(11) {
            let site = site("wal", proof);
            let before = exact(&site.database);
            let first = site.up(Faults::cut(at));
            let ended = if first == Ended::Cut { site.up(Faults::none()) } else { first.clone() };
            assert_eq!(ended, Ended::With(end), "cut at {at}");
            if end == Outcome::RolledBack {
                assert_eq!(exact(&site.database).differences(&before), Vec::<String>::new(), "cut at {at}");
            }
            if first != Ended::Cut {
                break;
            }
        }
    }
}

const RUNS: &str = r#"{in: db, sql: "SELECT count(*) FROM migrated", is: "1"}"#;

#[test]
fn one_that_runs_on_through_the_proof_is_let_in_as_it_is() {
    for mode in ["wal", "delete"] {
        let site = site_that_runs_on(mode, RUNS);
        let before = exact(&site.database);
        assert_eq!(site.up(Faults::none()), Ended::With(Outcome::Upgraded), "{mode}");
        let after = exact(&site.database);
        assert_eq!(after.counts().get("migrated"), Some(&1), "{mode}");
        let sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'switchback_ledger'";
        let ours: i64 =
            Connection::open(&site.database).unwrap().query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(ours, 0, "{mode}");
        assert_eq!(site.live(Verb::Back, Faults::none()), Ended::With(Outcome::RolledBack), "{mode}");
        assert_eq!(exact(&site.database).differences(&before), Vec::<String>::new(), "{mode}");
    }
}

#[test]
fn a_run_that_is_cut_around_one_that_runs_on_goes_on_or_back() {
    for (proof, end) in [(RUNS, Outcome::Upgraded), (BAD, Outcome::RolledBack)] {
        for at in (3..).step_by(13) {
            let site = site_that_runs_on("wal", proof);
            let before = exact(&site.database);
            let first = site.up(Faults::cut(at));
            let ended = if first == Ended::Cut { site.up(Faults::none()) } else { first.clone() };
            assert_eq!(ended, Ended::With(end), "cut at {at}");
            if end == Outcome::Upgraded {
                let ended = site.live(Verb::Back, Faults::none());
                assert_eq!(ended, Ended::With(Outcome::RolledBack), "cut at {at}, and back");
            }
            assert_eq!(exact(&site.database).differences(&before), Vec::<String>::new(), "cut at {at}");
            if first != Ended::Cut {
                break;
            }
        }
    }
}

const PLAYBOOK: &str = r#"playbook: private
format: 1
title: the new release migrates its data by itself, at its start
inputs:
  database: {type: file, help: "the database", example: /srv/data.db}
  service: {type: service, help: "how it is started", example: none}
targets:
  db:
    sqlite: "${database}"
  app:
    service: "${service}"
    stores: [db]
    new:
      is: {in: db, sql: "SELECT at FROM migrated"}
version:
  detect:
    - in: db
      sql: "SELECT version FROM stamp"
      means: {"1": "1.0", "2": "2.0"}
upgrades:
  - from: "1.0"
    to: "2.0"
    freeze:
      - stop: app
    change:
      - sql: {in: db, text: "UPDATE stamp SET version = '2'"}
      - start: app
      - stop: app
      - sql: {in: db, text: "INSERT INTO migrated VALUES ('after')"}
    prove:
      - ensure: PROOF
"#;
