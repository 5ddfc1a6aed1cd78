//! `backup`, `start`, `stop` and `sweep` over a SQLite database that the upgrade makes: it is not there before, or an empty
//! file, and a service makes it when it is started.

use super::store::{self, DB};
use super::{file, probe};
use crate::bench::{Bench, Plan};
use crate::fixture::Fixture;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use switchback_engine::step::AnyStep;
use switchback_model::probe::Ask;
use switchback_model::target::TargetDef;
use switchback_site::sqlite::{Database, ledger};
use switchback_steps::backup::Backup;
use switchback_steps::start::Start;
use switchback_steps::stop::Stop;
use switchback_steps::sweep::Sweep;
use switchback_steps::vacant::Vacant;

pub fn vacant() -> Fixture {
    Fixture {
        has_effect: false,
        foreign_before: &[("a row", store::a_row)],
        ..Fixture::of::<Vacant>("vacant", || bench(absent, vec![Box::new(Vacant { target: "db".into() })], 0))
    }
}

pub fn backup() -> Fixture {
    Fixture {
        foreign_before: &[("a row", store::a_row), ("an empty file", an_empty_file), ("a log", a_log)],
        foreign_after: &[("a row", store::a_row), ("an empty file", an_empty_file)],
        ..Fixture::of::<Backup>("backup-made", || bench(absent, vec![note()], 0))
    }
}

pub fn backup_over_an_empty_file() -> Fixture {
    Fixture {
        foreign_before: &[("a row", store::a_row), ("another mode", another_mode)],
        foreign_after: &[("a row", store::a_row)],
        ..Fixture::of::<Backup>("backup-made-empty", || bench(an_empty_file_at, vec![note()], 0))
    }
}

pub fn start() -> Fixture {
    Fixture {
        foreign_before: &[("a row", store::a_row), ("an empty file", an_empty_file)],
        ..Fixture::of::<Start>("start-made", || bench(absent, vec![note(), start_it()], 1))
    }
}

pub fn stop() -> Fixture {
    Fixture {
        foreign_after: &[("a row", store::a_row), ("the application ran", store::a_row_by_the_application)],
        ..Fixture::of::<Stop>("stop-made", || bench(an_empty_file_at, vec![note(), start_it(), stop_it()], 2))
    }
}

pub fn sweep() -> Fixture {
    Fixture {
        foreign_before: &[("a row", store::a_row), ("the application ran", store::a_row_by_the_application)],
        foreign_after: &[("a row", store::a_row), ("the application ran", store::a_row_by_the_application)],
        ..Fixture::of::<Sweep>("sweep-made", || {
            bench(absent, vec![note(), start_it(), stop_it(), sweep_it()], 3)
        })
    }
}

/// The service runs on through the proof.
pub fn sweep_under_a_service() -> Fixture {
    Fixture::of::<Sweep>("sweep-private", || {
        let change = switchback_steps::sql::Sql {
            target: "db".into(),
            name: "mark".into(),
            script: "UPDATE machines SET made = :now".into(),
            params: std::collections::BTreeMap::new(),
            shows: None,
        };
        let steps = vec![note(), start_it(), stop_it(), Box::new(change), start_it(), sweep_it()];
        bench(absent, steps, 5)
    })
}

/// Our rows are no part of a fingerprint.
fn rows_of_ours(path: &Path) -> usize {
    let rows = || Some(ledger::rows(&Database::new(path).open_read().ok()?).unwrap().len());
    rows().unwrap_or(0)
}

fn note() -> Box<dyn AnyStep> {
    Box::new(Backup { target: "db".into() })
}

fn start_it() -> Box<dyn AnyStep> {
    Box::new(Start { service: "app".into() })
}

fn stop_it() -> Box<dyn AnyStep> {
    Box::new(Stop { service: "app".into() })
}

fn sweep_it() -> Box<dyn AnyStep> {
    Box::new(Sweep { target: "db".into() })
}

fn bench(before: fn(&Path), steps: Vec<Box<dyn AnyStep>>, done: usize) -> Bench {
    Bench::new(|folder| {
        let (path, flag) = (folder.join(DB), folder.join("app.pid"));
        fs::create_dir(folder.join("release")).unwrap();
        // What the new release makes has most of itself in its log.
        store::make(&folder.join("release").join(DB), true);
        before(&path);
        let db = TargetDef::Sqlite { path: path.display().to_string(), made_by_us: true };
        let targets =
            [("db".to_owned(), db), ("flag".to_owned(), file(&flag)), ("app".to_owned(), service(folder))];
        let beyond = move || json!({ "rows of ours": rows_of_ours(&path) });
        let beyond: Option<Box<dyn Fn() -> Value>> = Some(Box::new(beyond));
        Plan { targets: targets.into(), steps, done, commands: true, beyond, ..Plan::default() }
    })
}

/// A service that makes its database at its first start.
fn service(folder: &Path) -> TargetDef {
    let sh = |script: &str| -> Value { json!(["/bin/sh", "-c", script, folder]) };
    let make = "cd \"$0\"; test -s app.db || cp release/app.db* .; echo new > app.pid";
    let spec = json!({ "command": {
        "start": sh(make), "start_old": sh("cd \"$0\"; echo old > app.pid"), "stop": sh("rm -f \"$0\"/app.pid"),
        "status": sh("test -e \"$0\"/app.pid"), "grace": 10,
    }});
    let says = |release: &str| Some(probe(Ask::File { target: "flag".into() }, release));
    let stores = vec!["db".into()];
    TargetDef::Service { spec, stores, entrance: true, old: says("old"), new: says("new"), rehearse: None }
}

fn absent(_: &Path) {}

fn an_empty_file_at(path: &Path) {
    fs::write(path, "").unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
}

fn an_empty_file(bench: &Bench) {
    fs::write(bench.path(DB), "").unwrap();
}

fn another_mode(bench: &Bench) {
    fs::set_permissions(bench.path(DB), fs::Permissions::from_mode(0o600)).unwrap();
}

fn a_log(bench: &Bench) {
    fs::write(bench.path("app.db-wal"), "of a database that is gone").unwrap();
}
