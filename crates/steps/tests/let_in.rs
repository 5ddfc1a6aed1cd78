//! A service that the run lets in: on the way back its maintenance goes with it, and that of the release before does not.
#![allow(clippy::unwrap_used)]

mod bench;

use bench::{Bench, backup, step};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;
use switchback_engine::{Step, StepError};
use switchback_model::probe::{Ask, Probe, Verdict};
use switchback_model::target::{MaintenanceDef, Request, TargetDef};
use switchback_steps::maintenance::{Maintenance, MaintenanceBefore};
use switchback_steps::start::Start;
use switchback_steps::stop::{Stop, StopBefore};

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:1";

/// A service behind commands that answers as neither release once it runs, over a database that it makes.
fn site() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let sh = |script: &str| -> Value { json!(["/bin/sh", "-c", script, folder.path()]) };
    let spec = json!({ "command": {
        "start": sh("echo new > \"$0\"/runs"), "start_old": sh("echo old > \"$0\"/runs"),
        "stop": sh("rm -f \"$0\"/runs"), "status": sh("test -e \"$0\"/runs"), "grace": 5,
    }});
    let says = |word: &str| {
        let ask = Ask::File { target: "says".into() };
        Some(Probe {
            ask,
            verdict: Verdict::Is { any: vec![word.into()] },
            otherwise: None,
            help: None,
            within_ms: 1,
        })
    };
    let (stores, entrance) = (vec!["db".to_owned()], false);
    let request = |word: &str| Request { method: "PUT".into(), url: format!("{NOWHERE}/{word}") };
    let ask = Ask::Get { url: format!("{NOWHERE}/mode"), jq: None, status: None };
    let is_on = Probe { ask, verdict: Verdict::None, otherwise: None, help: None, within_ms: 0 };
    let maintenance = MaintenanceDef { enter: request("enter"), leave: request("leave"), is_on };
    let targets = BTreeMap::from([
        ("db".to_owned(), TargetDef::Sqlite { path: path("app.db"), made_by_us: true }),
        ("says".to_owned(), TargetDef::File { path: path("says") }),
        (
            "app".to_owned(),
            TargetDef::Service { spec, stores, entrance, old: says("old"), new: says("new"), rehearse: None },
        ),
        (
            "api".to_owned(),
            TargetDef::Http {
                base: NOWHERE.into(),
                served_by: Some("app".into()),
                maintenance: Some(Box::new(maintenance)),
                component: None,
                accepts: Vec::new(),
            },
        ),
    ]);
    says_now(folder.path(), "new");
    Bench::of(folder, targets)
}

fn says_now(folder: &Path, word: &str) {
    std::fs::write(folder.join("says"), format!("{word}\n")).unwrap();
}

fn folder(bench: &Bench) -> std::path::PathBuf {
    bench.database().parent().unwrap().to_owned()
}

/// Backs the database up and lets the new release in.
fn let_in(bench: &Bench) {
    bench.carry_out(&backup(), "backup-db").unwrap();
    bench.carry_out(&step::<Start>(json!({ "service": "app" })), "start-app").unwrap();
}

fn take_maintenance_back(bench: &Bench) -> Result<(), StepError> {
    let entered: Maintenance = step(json!({ "target": "api", "on": true, "within_ms": 300 }));
    let before: MaintenanceBefore = step(json!({ "was_on": false }));
    bench.undo(&entered, "maintenance-api", &before)
}

#[test]
fn the_maintenance_of_a_service_that_went_down_goes_with_its_store() {
    let bench = site();
    let_in(&bench);
    std::fs::remove_file(folder(&bench).join("runs")).unwrap();
    let began = Instant::now();
    take_maintenance_back(&bench).unwrap();
    assert!(began.elapsed().as_millis() < 300, "it did not wait for a port that nobody serves");
}

#[test]
fn the_maintenance_of_a_service_that_hangs_goes_with_it() {
    let bench = site();
    let_in(&bench);
    take_maintenance_back(&bench).unwrap();
}

#[test]
fn the_maintenance_of_the_release_before_is_left_for_certain() {
    let bench = site();
    // Nothing of this run was let in: whatever is down there has to come up and leave it.
    assert!(matches!(take_maintenance_back(&bench), Err(StepError::Failed(_))));
    // Nor is it when what was let in is gone again.
    let start: Start = step(json!({ "service": "app" }));
    let_in(&bench);
    bench.undo(&start, "start-app", &()).unwrap();
    assert!(matches!(take_maintenance_back(&bench), Err(StepError::Failed(_))));
}

#[test]
fn what_was_let_in_and_answers_nothing_is_not_started_as_the_old_release() {
    let bench = site();
    let_in(&bench);
    says_now(&folder(&bench), "nothing");
    let stop: Stop = step(json!({ "service": "app" }));
    let work = bench.work("stop-app");
    let before: StopBefore = stop.prepare(&bench.site, &work).unwrap();
    stop.apply(&bench.site, &before, &work).unwrap();
    stop.undo(&bench.site, &before, &work).unwrap();
    assert!(!folder(&bench).join("runs").exists(), "nobody runs over stores that are not restored yet");
}
