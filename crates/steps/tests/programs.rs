//! Programs and services that do half, lie, or work on a database for the run.
#![allow(clippy::unwrap_used)]

mod bench;

use bench::{Bench, backup, sql, step, sweep};
use serde_json::json;
use std::collections::BTreeMap;
use std::process::Command;
use switchback_engine::{Overlay, Step, StepError};
use switchback_model::plan::Reversal;
use switchback_model::target::TargetDef;
use switchback_steps::ensure::Ensure;
use switchback_steps::run::Run;
use switchback_steps::start::Start;
use switchback_steps::stop::Stop;

fn probe(argv: &[&str]) -> serde_json::Value {
    json!({ "ask": { "ask": "run", "argv": argv, "exit": 0 }, "verdict": { "verdict": "holds" } })
}

#[test]
fn half_of_a_commands_effect_is_undone_as_well() {
    let bench = Bench::new("wal");
    let file = |name: &str| bench.folder.path().join(name).display().to_string();
    let (one, two) = (file("one"), file("two"));
    let script = format!("touch '{one}'; exit 3");
    let run: Run = step(json!({
        "argv": ["sh", "-c", script], "within_ms": 10_000, "undo": ["rm", "-f", one, two],
        "done_when": probe(&["sh", "-c", &format!("test -e '{one}' && test -e '{two}' && echo yes")]),
    }));
    let before = run.prepare(&bench.site, &bench.work("run")).unwrap();
    assert!(run.apply(&bench.site, &before, &bench.work("run")).is_err());
    assert!(std::path::Path::new(&one).exists());
    bench.undo(&run, "run", &before).unwrap();
    assert!(!std::path::Path::new(&one).exists(), "the half stayed");
}

#[test]
fn a_file_that_could_not_be_put_back_is_refused_when_planning() {
    let folder = tempfile::tempdir().unwrap();
    let (file, twin) = (folder.path().join("app.conf"), folder.path().join("twin.conf"));
    std::fs::write(&file, "old").unwrap();
    let targets =
        BTreeMap::from([("config".to_owned(), TargetDef::File { path: file.display().to_string() })]);
    let bench = Bench::of(folder, targets);
    let run: Run = step(json!({
        "argv": ["true"], "within_ms": 10_000, "files": ["config"], "done_when": probe(&["true"]),
    }));
    assert_eq!(run.reversal(), Reversal::ByUndo);
    let preview = || run.preview(&mut Overlay::new(&bench.site));
    assert_eq!(preview().unwrap().keeps, 3);
    std::fs::hard_link(&file, twin).unwrap();
    assert!(matches!(preview(), Err(StepError::Failed(_))));
}

/// A command of the application that works on its database: this test program, started by the step for one test of it.
#[test]
#[ignore = "a program that a step starts"]
fn writes_theirs() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let connection = rusqlite::Connection::open(variable("NOTES_DB")).unwrap();
    connection.execute_batch(&format!("PRAGMA journal_mode = {}", variable("NOTES_MODE"))).unwrap();
    connection.execute("INSERT INTO notes(body) VALUES ('theirs')", []).unwrap();
}

#[test]
fn what_a_command_of_the_run_writes_is_not_taken_for_foreign() {
    for mode in ["wal", "delete"] {
        let bench = Bench::new(mode);
        let then = bench.fingerprint();
        let before = bench.carry_out(&backup(), "backup").unwrap();
        bench.carry_out(&sql("UPDATE notes SET body = 'first'"), "first").unwrap();
        let program = std::env::current_exe().unwrap();
        let run: Run = step(json!({
            "argv": [program, "writes_theirs", "--exact", "--ignored"], "within_ms": 10_000, "writes": ["db"],
            "env": { "NOTES_DB": bench.database(), "NOTES_MODE": mode },
            "done_when": { "ask": { "ask": "sql", "store": { "target": "db" },
                "sql": "SELECT 1 FROM notes WHERE body = 'theirs'", "params": {} }, "verdict": { "verdict": "holds" } },
        }));
        let ran = run.prepare(&bench.site, &bench.work("run")).unwrap();
        run.apply(&bench.site, &ran, &bench.work("run")).unwrap();
        bench.carry_out(&sql("UPDATE notes SET body = 'second'"), "second").unwrap();
        bench.undo(&sql(""), "second", &()).unwrap();
        bench.undo(&run, "run", &ran).unwrap();
        bench.undo(&sql(""), "first", &()).unwrap();
        bench.undo(&backup(), "backup", &before).unwrap();
        assert_eq!(bench.fingerprint(), then, "{mode}");
    }
}

#[test]
fn foreign_hands_are_seen_again_after_a_command_of_the_run() {
    let bench = Bench::new("wal");
    let before = bench.carry_out(&backup(), "backup").unwrap();
    let run: Run = step(
        json!({ "argv": ["true"], "within_ms": 10_000, "writes": ["db"], "done_when": probe(&["echo", "yes"]) }),
    );
    let ran = run.prepare(&bench.site, &bench.work("run")).unwrap();
    run.apply(&bench.site, &ran, &bench.work("run")).unwrap();
    bench.carry_out(&sql("UPDATE notes SET body = 'ours'"), "sql").unwrap();
    bench.foreign_write(None);
    assert!(matches!(sweep().prepare(&bench.site, &bench.work("sweep")), Err(StepError::Conflict(_))));
    assert!(matches!(bench.undo(&backup(), "backup", &before), Err(StepError::Conflict(_))));
    assert_eq!(bench.notes(), ["ours", "ours", "theirs"]);
}

#[test]
fn foreign_hands_are_seen_again_after_a_private_service() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE notes(id INTEGER PRIMARY KEY, body)")
        .unwrap();
    // No other test sleeps for this long: a twin would be taken for it.
    let release =
        |fraction: u32| json!({ "argv": ["sleep", format!("3600.{}{fraction}", std::process::id())] });
    let targets = BTreeMap::from([
        ("db".to_owned(), TargetDef::Sqlite { path: path.display().to_string(), made_by_us: false }),
        (
            "app".to_owned(),
            TargetDef::Service {
                spec: json!({ "process": { "old": release(1), "new": release(2), "grace": 5 } }),
                stores: vec!["db".to_owned()],
                entrance: true,
                old: None,
                new: None,
                rehearse: None,
            },
        ),
    ]);
    let bench = Bench::of(folder, targets);
    let before = bench.carry_out(&backup(), "backup").unwrap();
    let (start, stop): (Start, Stop) = (step(json!({ "service": "app" })), step(json!({ "service": "app" })));
    bench.carry_out(&start, "start").unwrap();
    bench.foreign_write(Some("wal"));
    let stopped = bench.carry_out(&stop, "stop").unwrap();
    bench.carry_out(&sql("UPDATE notes SET body = 'ours'"), "sql").unwrap();
    bench.foreign_write(None);
    assert!(matches!(sweep().prepare(&bench.site, &bench.work("sweep")), Err(StepError::Conflict(_))));
    assert_eq!(bench.notes(), ["ours", "theirs"]);
    // On the way back nothing is started over stores that are not restored yet.
    bench.undo(&stop, "stop", &stopped).unwrap();
    assert!(!start.check(&bench.site, &bench.work("start")).unwrap().is_applied());
    bench.undo(&start, "start", &()).unwrap();
    assert!(matches!(bench.undo(&backup(), "backup", &before), Err(StepError::Conflict(_))));
}

#[test]
fn a_service_whose_status_lies_is_not_taken_for_stopped_on_the_way_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE notes(id, body)").unwrap();
    let command = json!({ "start": ["true"], "stop": ["true"], "status": ["false"], "grace": 0 });
    let targets = BTreeMap::from([
        ("db".to_owned(), TargetDef::Sqlite { path: path.display().to_string(), made_by_us: false }),
        (
            "app".to_owned(),
            TargetDef::Service {
                spec: json!({ "command": command }),
                stores: vec!["db".to_owned()],
                entrance: true,
                old: None,
                new: None,
                rehearse: None,
            },
        ),
    ]);
    let bench = Bench::of(folder, targets);
    let file = std::fs::File::open(&path).unwrap();
    let mut service = Command::new("sleep").arg("60").stdin(file).spawn().unwrap();
    let start: Start = step(json!({ "service": "app" }));
    let undone = bench.undo(&start, "start", &());
    service.kill().unwrap();
    service.wait().unwrap();
    assert!(matches!(undone, Err(StepError::Failed(_))), "{undone:?}");
    bench.undo(&start, "start", &()).unwrap();
}

#[test]
fn a_comparison_with_the_real_site_is_not_rehearsed() {
    let bench = Bench::new("wal");
    let ensure: Ensure = step(json!({ "probe": {
        "ask": { "ask": "sql", "store": { "target": "db" }, "sql": "SELECT 1", "params": {} },
        "verdict": { "verdict": "same-as", "other": { "ask": "run", "argv": ["real-thing"], "exit": 0 } },
    } }));
    assert!(ensure.not_rehearsed(&bench.site).unwrap().contains("real-thing"));
}
