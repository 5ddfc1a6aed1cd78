//! `run`: a command with an undo of its own, one that changes a database, whose way back is the backup, and one that
//! changes a file, which is kept.

use super::store::{self, DB};
use super::{file, probe};
use crate::bench::{Bench, Plan};
use crate::fixture::{Fixture, Hand};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use switchback_model::probe::{Ask, Store};
use switchback_model::secret::Sealed;
use switchback_steps::backup::Backup;
use switchback_steps::run::Run;

/// Two effects, so that there is a half; where `power` is missing, it dies between them.
const TWO: &str = "echo one > \"$0/one\"; test -e \"$0/power\" || kill -9 $$; echo two > \"$0/two\"";
const NONE: &str = "rm -f \"$0/one\" \"$0/two\"";

const FOREIGN: &[Hand] = &[("a row", store::a_row), ("the application ran", store::a_row_by_the_application)];

pub fn with_undo() -> Fixture {
    Fixture {
        halves: &[("the command died between its effects", died_between)],
        ..Fixture::of::<Run>("run-undo", || {
            Bench::new(|folder| {
                std::fs::write(folder.join("power"), "on").unwrap();
                let step = Run {
                    argv: shell(TWO, folder),
                    cwd: Some(folder.display().to_string()),
                    env: BTreeMap::from([("LANG".to_owned(), Sealed::Plain("C".to_owned()))]),
                    done_when: probe(Ask::File { target: "two".into() }, "two"),
                    writes: Vec::new(),
                    files: Vec::new(),
                    undo: Some(shell(NONE, folder)),
                    within_ms: 60_000,
                    rehearsal_env: None,
                };
                let targets = BTreeMap::from([("two".to_owned(), file(&folder.join("two")))]);
                Plan { targets, steps: vec![Box::new(step)], commands: true, ..Plan::default() }
            })
        })
    }
}

/// A program that knows nothing of us changes the database: its commits are taken back with ours.
pub fn with_writes() -> Fixture {
    Fixture {
        foreign_before: FOREIGN,
        foreign_after: FOREIGN,
        ..Fixture::of::<Run>("run-writes", || {
            Bench::new(|folder| {
                store::make(&folder.join(DB), true);
                let store = Store { target: "db".into(), backup: false };
                let sql = "SELECT count(*) FROM settings".into();
                let step = Run {
                    argv: this_program("writes_settings", folder),
                    cwd: None,
                    env: BTreeMap::from([(
                        "LAWS_DB".to_owned(),
                        Sealed::Plain(folder.join(DB).display().to_string()),
                    )]),
                    done_when: probe(Ask::Sql { store, sql, params: BTreeMap::new() }, "2"),
                    writes: vec!["db".into()],
                    files: Vec::new(),
                    undo: None,
                    within_ms: 60_000,
                    rehearsal_env: None,
                };
                Plan {
                    targets: store::target(folder),
                    steps: vec![Box::new(Backup { target: "db".into() }), Box::new(step)],
                    done: 1,
                    commands: true,
                    ..Plan::default()
                }
            })
        })
    }
}

/// Two effects on a file, with a half between them; the file that was there is the way back.
const CONFIG: &str =
    "echo half > \"$0/app.conf\"; test -e \"$0/power\" || kill -9 $$; echo new > \"$0/app.conf\"";

pub fn with_files() -> Fixture {
    Fixture {
        halves: &[("the command died between its effects", died_between)],
        foreign_before: &[("another content", another_content), ("no file", no_file)],
        foreign_after: &[
            ("another content", another_content),
            ("another mode", closed),
            ("no file", no_file),
        ],
        ..Fixture::of::<Run>("run-files", || {
            Bench::new(|folder| {
                std::fs::write(folder.join("power"), "on").unwrap();
                std::fs::write(folder.join("app.conf"), "old\n").unwrap();
                let step = Run {
                    argv: shell(CONFIG, folder),
                    cwd: None,
                    env: BTreeMap::new(),
                    done_when: probe(Ask::File { target: "config".into() }, "new"),
                    writes: Vec::new(),
                    files: vec!["config".into()],
                    undo: None,
                    within_ms: 60_000,
                    rehearsal_env: None,
                };
                let targets = BTreeMap::from([("config".to_owned(), file(&folder.join("app.conf")))]);
                Plan { targets, steps: vec![Box::new(step)], commands: true, ..Plan::default() }
            })
        })
    }
}

fn another_content(bench: &Bench) {
    std::fs::write(bench.path("app.conf"), "somebody's\n").unwrap();
}

fn no_file(bench: &Bench) {
    std::fs::remove_file(bench.path("app.conf")).unwrap();
}

fn closed(bench: &Bench) {
    std::fs::set_permissions(bench.path("app.conf"), std::fs::Permissions::from_mode(0o400)).unwrap();
}

fn shell(script: &str, folder: &Path) -> Vec<String> {
    ["/bin/sh", "-c", script, &folder.display().to_string()].map(str::to_owned).to_vec()
}

/// The arguments that make this test program be another one: an ignored test of it is run by name. The folder is a
/// filter that matches no test; by it the bench finds its commands.
fn this_program(name: &str, folder: &Path) -> Vec<String> {
    let program = std::env::current_exe().unwrap().display().to_string();
    let path = format!("kinds::run::{name}");
    [&program, &path, &folder.display().to_string(), "--exact", "--ignored", "--nocapture"]
        .map(str::to_owned)
        .to_vec()
}

#[test]
#[ignore = "a program that the run fixture starts"]
fn writes_settings() {
    let connection = store::app(Path::new(&std::env::var_os("LAWS_DB").unwrap()));
    // As many programs do: it turns the log on, and commits more than once.
    connection.execute_batch("PRAGMA journal_mode = WAL").unwrap();
    connection.execute_batch("CREATE TABLE IF NOT EXISTS settings(key PRIMARY KEY)").unwrap();
    connection.execute_batch("INSERT OR IGNORE INTO settings VALUES ('a')").unwrap();
    connection.execute_batch("INSERT OR IGNORE INTO settings VALUES ('b')").unwrap();
}

fn died_between(bench: &Bench) {
    std::fs::rename(bench.path("power"), bench.root().join("power")).unwrap();
    bench.apply().unwrap_err();
    std::fs::rename(bench.root().join("power"), bench.path("power")).unwrap();
}
