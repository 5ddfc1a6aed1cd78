//! A new release that makes its SQLite database by itself when it is started privately, by the real binary: the database is
//! not there before the upgrade, and not after the way back.

use crate::own_service;
use crate::support::{BINARY, Ran};
use rusqlite::Connection;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// The new release, which this test program becomes: it makes its database where there is none, and stays.
#[test]
#[ignore = "a service that the tests start"]
fn makes_and_stays() {
    let connection = Connection::open(std::env::var_os("MADE_DB").unwrap()).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0").unwrap();
    let make = "BEGIN IMMEDIATE; CREATE TABLE IF NOT EXISTS runs(id INTEGER PRIMARY KEY, name TEXT); \
                INSERT INTO runs(name) SELECT 'first' WHERE NOT EXISTS (SELECT FROM runs); COMMIT";
    connection.execute_batch(&make.replace("SELECT FROM", "SELECT 1 FROM")).unwrap();
    std::thread::sleep(Duration::from_secs(600));
}

/// What comes between the start and the proof: the service is stopped again, or runs on through it.
const STOPPED: &str = "\n      - stop: app";
const RUNS_ON: &str = "";

const GOOD: &str = "'first'";
const BAD: &str = "'second'";

struct Site {
    folder: TempDir,
}

impl Site {
    fn new(between: &str, proof: &str) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let site = Site { folder };
        fs::create_dir(site.path("data")).unwrap();
        let old = Connection::open(site.path("old.db")).unwrap();
        old.execute_batch("CREATE TABLE stamp(version TEXT); INSERT INTO stamp VALUES ('1')").unwrap();
        let text = PLAYBOOK.replace("BETWEEN", between).replace("PROOF", proof);
        fs::write(site.path("playbook.yaml"), text).unwrap();
        site.write_site_file("data/new.db");
        site
    }

    fn write_site_file(&self, database: &str) {
        let (argv, database) =
            (own_service::argv("made::makes_and_stays", self.folder.path()), self.path(database));
        let text = format!(
            "playbook: playbook.yaml\ninputs:\n  old: old.db\n  database: {database:?}\n  service:\n    process:\n      \
             old: {{argv: [sleep, '600']}}\n      new: {{argv: {argv}, env: {{MADE_DB: {database:?}}}}}\n      grace: 10\n"
        );
        fs::write(self.path("site.yaml"), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.run_with_fault("", args)
    }

    fn run_with_fault(&self, fault: &str, args: &[&str]) -> Ran {
        let mut command = Command::new(BINARY);
        command.args(args).current_dir(self.folder.path()).env("SWITCHBACK_FAULT", fault);
        Ran::of(&command.env("NO_COLOR", "1").output().unwrap())
    }

    /// What lies in the folder of the database.
    fn there(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("data")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn record(&self) -> PathBuf {
        self.path(".switchback/services/app.service")
    }

    fn runs(&self) -> bool {
        own_service::running(&self.record(), self.folder.path()).is_some()
    }

    #[track_caller]
    fn is_upgraded(&self, how: &str) {
        assert!(self.runs(), "{how}");
        let connection = Connection::open(self.path("data/new.db")).unwrap();
        let tables: String = connection
            .query_row("SELECT group_concat(name) FROM sqlite_schema", [], |row| row.get(0))
            .unwrap();
        assert_eq!(tables, "runs", "{how}");
        let there = self.there().into_iter().filter(|name| !name.starts_with("new.db"));
        assert_eq!(there.collect::<Vec<_>>(), Vec::<String>::new(), "{how}");
    }

    #[track_caller]
    fn is_as_before(&self, how: &str) {
        assert_eq!(self.there(), Vec::<String>::new(), "{how}");
        assert!(!self.runs(), "{how}");
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        own_service::end(&self.record(), self.folder.path());
    }
}

#[test]
fn what_the_new_release_makes_is_kept_and_goes_with_the_way_back() {
    for (between, how) in [(STOPPED, "stopped"), (RUNS_ON, "runs on")] {
        let site = Site::new(between, GOOD);
        site.run(&["plan"]).expect(0, &["data/new.db is made", "nobody has made new yet"]);
        site.is_as_before(how);
        site.run(&["rehearse"]).expect(0, &["new is made by start-app, which is left out"]);
        site.is_as_before(how);
        site.run(&["apply", "--yes"]).expect(0, &["upgraded"]);
        site.is_upgraded(how);
        let ran = site.run(&["rollback", "--yes"]);
        assert!(ran.said().contains("as before"), "{how}: {}", ran.said());
        site.is_as_before(how);
    }
}

#[test]
fn an_empty_file_is_an_empty_file_again() {
    let site = Site::new(STOPPED, BAD);
    let path = site.path("data/new.db");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    site.run(&["apply", "--yes"]).expect(20, &["rolled back: as before"]);
    let meta = fs::metadata(&path).unwrap();
    assert_eq!((meta.len(), meta.mode() & 0o777), (0, 0o640));
    assert_eq!(site.there(), ["new.db"]);
}

#[test]
fn a_failed_proof_takes_it_away_by_itself() {
    for (between, how) in [(STOPPED, "stopped"), (RUNS_ON, "runs on")] {
        let site = Site::new(between, BAD);
        site.run(&["apply", "--yes"]).expect(20, &["rolled back: as before"]);
        site.is_as_before(how);
    }
}

#[test]
fn what_somebody_has_there_already_is_named_and_left_alone() {
    let site = Site::new(STOPPED, GOOD);
    let theirs = Connection::open(site.path("data/new.db")).unwrap();
    theirs.execute_batch("CREATE TABLE projects(id); CREATE TABLE users(id)").unwrap();
    let words = ["is to be made by this upgrade", "table projects", "table users"];
    site.run(&["plan"]).expect(11, &words);
    assert_eq!(site.there(), ["new.db"]);
}

#[test]
fn what_comes_there_after_the_plan_is_refused() {
    let site = Site::new(STOPPED, GOOD);
    site.run(&["plan", "--out", "plan.json"]).expect(0, &[]);
    let theirs = Connection::open(site.path("data/new.db")).unwrap();
    theirs.execute_batch("CREATE TABLE projects(id)").unwrap();
    drop(theirs);
    let ran = site.run(&["apply", "--yes", "--plan", "plan.json"]).expect(11, &["projects"]);
    assert!(!ran.said().contains("upgraded"), "{}", ran.said());
    assert_eq!(site.there(), ["new.db"]);
}

#[test]
fn a_folder_that_is_not_there_is_found_when_planning() {
    let site = Site::new(STOPPED, GOOD);
    site.write_site_file("nowhere/new.db");
    site.run(&["plan"]).expect(11, &["nowhere/new.db: its folder is not there"]);
}

#[test]
fn wherever_it_is_killed_it_goes_on_or_back() {
    // In CI a kill at some points, and one way out of each; a soak takes them all.
    let every = if std::env::var_os("SWITCHBACK_SOAK").is_some() { 1 } else { 9 };
    for (between, how) in [(STOPPED, "stopped"), (RUNS_ON, "runs on")] {
        for (turn, at) in (1..).step_by(every).flat_map(|at| [at, at + every / 2]).enumerate() {
            let site = Site::new(between, GOOD);
            let first = site.run_with_fault(&format!("kill@{at}"), &["apply", "--yes"]);
            if first.code == 0 {
                assert!(at > 50, "{how}: a run passes {at} points");
                break;
            }
            let how = format!("{how}, killed at {at}");
            assert_eq!(first.code, -1, "{how}: {}", first.said());
            let up = turn % 2 == 0;
            let ran = site.run(if up { &["resume"] } else { &["rollback", "--yes"] });
            if ["no run is open", "there is no run"].iter().any(|none| ran.said().contains(none)) {
                // Killed before the first record of the run, or behind its last one.
                if at < 15 { site.is_as_before(&how) } else { site.is_upgraded(&how) }
            } else if up {
                ran.expect(0, &["upgraded"]);
                site.is_upgraded(&how);
            } else {
                assert!(ran.said().contains("as before"), "{how}: {}", ran.said());
                site.is_as_before(&how);
            }
        }
    }
}

const PLAYBOOK: &str = r#"playbook: made
format: 1
title: the new release makes its database by itself, at its start
inputs:
  old: {type: file, help: "the old database", example: /srv/old.db}
  database: {type: file, help: "where the new database will be", example: /srv/new.db}
  service: {type: service, help: "how it is started", example: none}
targets:
  old: {sqlite: "${old}"}
  new: {sqlite: "${database}", made_by_us: true}
  app:
    service: "${service}"
    stores: [new]
    new:
      is: {in: new, sql: "SELECT name FROM runs", is: first}
version:
  detect:
    - in: old
      sql: "SELECT version FROM stamp"
      means: {"1": "1.0", "2": "2.0"}
upgrades:
  - from: "1.0"
    to: "2.0"
    freeze:
      - stop: app
    change:
      - start: appBETWEEN
    prove:
      - ensure: {in: new, sql: "SELECT count(*) FROM runs WHERE name = PROOF", is: "1"}
    thaw:
      - start: app
"#;
