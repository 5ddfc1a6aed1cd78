//! One database on a site of its own, with the run directory of a run over it.
#![allow(dead_code)]

use rusqlite::Connection;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use switchback_engine::{Condition, RunDir, Step, StepError, Work};
use switchback_model::phase::Phase;
use switchback_model::target::TargetDef;
use switchback_site::sqlite::Fingerprint;
use switchback_site::{Site, SiteDirs, Tell};

/// A database `db` with the table `notes(id, body)` of two rows.
pub struct Bench {
    pub folder: tempfile::TempDir,
    pub site: Site,
    pub dir: RunDir,
    pub tell: Tell,
    pub losing_writes: bool,
}

impl Bench {
    pub fn new(journal_mode: &str) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(&format!(
                "PRAGMA journal_mode = {journal_mode};
                 CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT);
                 INSERT INTO notes(body) VALUES ('one'), ('two');"
            ))
            .unwrap();
        drop(connection);
        let mut targets = BTreeMap::new();
        targets.insert(
            "db".to_owned(),
            TargetDef::Sqlite { path: path.display().to_string(), made_by_us: false },
        );
        Bench::of(folder, targets)
    }

    pub fn of(folder: tempfile::TempDir, targets: BTreeMap<String, TargetDef>) -> Bench {
        let dir = RunDir::at(folder.path().join("state/runs/run-1"));
        for folder in [dir.keep(), dir.backups(), dir.logs(), folder.path().join("state/services")] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let dirs = SiteDirs {
            services: folder.path().join("state/services"),
            logs: dir.logs(),
            backups: dir.backups(),
            artifacts: dir.artifacts(),
            program: PathBuf::from("no-jq-here"),
        };
        let site = Site::open(&targets, dirs).unwrap();
        Bench { folder, site, dir, tell: Tell::quiet(), losing_writes: false }
    }

    pub fn database(&self) -> PathBuf {
        self.folder.path().join("app.db")
    }

    pub fn work<'a>(&'a self, step: &'a str) -> Work<'a> {
        Work {
            tell: &self.tell,
            run: "run-1",
            step,
            phase: Phase::Change,
            now: "2026-01-02T03:04:05Z",
            dir: &self.dir,
            committed: false,
            losing_writes: self.losing_writes,
        }
    }

    /// Looks, prepares, applies and reads back, as the loop does.
    pub fn carry_out<S: Step>(&self, step: &S, id: &str) -> Result<S::Before, StepError> {
        let work = self.work(id);
        assert_eq!(step.check(&self.site, &work)?, Condition::Pending, "{id}");
        let before = step.prepare(&self.site, &work)?;
        step.apply(&self.site, &before, &work)?;
        assert!(step.check(&self.site, &work)?.is_applied(), "{id}");
        Ok(before)
    }

    pub fn undo<S: Step>(&self, step: &S, id: &str, before: &S::Before) -> Result<(), StepError> {
        step.undo(&self.site, before, &self.work(id))
    }

    pub fn fingerprint(&self) -> Fingerprint {
        self.site.database_fingerprint("db", &Tell::quiet()).unwrap()
    }

    pub fn notes(&self) -> Vec<String> {
        let connection = Connection::open(self.database()).unwrap();
        let mut statement = connection.prepare("SELECT body FROM notes ORDER BY id").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// Somebody else opens the database, sets its journal mode if one is given, writes a row and closes it.
    pub fn foreign_write(&self, journal_mode: Option<&str>) {
        let connection = Connection::open(self.database()).unwrap();
        if let Some(mode) = journal_mode {
            connection.execute_batch(&format!("PRAGMA journal_mode = {mode}")).unwrap();
        }
        connection.execute("INSERT INTO notes(body) VALUES ('theirs')", []).unwrap();
    }
}

/// A step as a plan holds it.
pub fn step<S: DeserializeOwned>(body: serde_json::Value) -> S {
    serde_json::from_value(body).unwrap()
}

pub fn sql(script: &str) -> switchback_steps::sql::Sql {
    step(json!({ "target": "db", "name": "script", "script": script, "params": {} }))
}

pub fn backup() -> switchback_steps::backup::Backup {
    step(json!({ "target": "db" }))
}

pub fn sweep() -> switchback_steps::sweep::Sweep {
    step(json!({ "target": "db" }))
}
