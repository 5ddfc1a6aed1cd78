//! Two services over one file: whoever stops one of them knows nothing of the store until the other is stopped too.
#![allow(clippy::unwrap_used)]

mod bench;

use bench::{Bench, backup, sql, step};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use switchback_engine::{Condition, Step};
use switchback_model::target::TargetDef;
use switchback_steps::start::Start;
use switchback_steps::stop::Stop;

/// Keeps `app.db` open and says so in a file, in whose name the program runs.
const HOLDS: &str = "exec 3<app.db; echo $$ > $0.pid; exec sleep 60";

/// Services `one` and `other`, each of which keeps the same database open while it runs; neither runs yet.
fn site() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let connection = rusqlite::Connection::open(folder.path().join("app.db")).unwrap();
    connection.execute_batch("CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT)").unwrap();
    drop(connection);
    let db =
        TargetDef::Sqlite { path: folder.path().join("app.db").display().to_string(), made_by_us: false };
    let mut targets = BTreeMap::from([("db".to_owned(), db)]);
    for name in ["one", "other"] {
        let sh = |script: &str| -> Value {
            json!(["/bin/sh", "-c", format!("cd '{}'; {script}", folder.path().display()), name])
        };
        let start = format!("sh -c '{HOLDS}' $0 >/dev/null 2>&1 & until test -s $0.pid; do sleep 0.01; done");
        let spec = json!({ "command": {
            "start": sh(&start), "start_old": sh(&start), "status": sh("test -e $0.pid"),
            "stop": sh("kill $(cat $0.pid) && rm $0.pid"), "grace": 5,
        }});
        let stores = vec!["db".to_owned()];
        targets.insert(
            name.to_owned(),
            TargetDef::Service { spec, stores, entrance: false, old: None, new: None, rehearse: None },
        );
    }
    Bench::of(folder, targets)
}

fn stop(service: &str) -> Stop {
    step(json!({ "service": service }))
}

#[test]
fn the_first_of_two_is_stopped_while_the_other_writes_and_the_last_one_answers_for_the_store() {
    let bench = site();
    bench.carry_out(&backup(), "backup-db").unwrap();
    for name in ["one", "other"] {
        bench.carry_out(&step::<Start>(json!({ "service": name })), &format!("start-{name}")).unwrap();
    }
    bench.carry_out(&stop("one"), "stop-one").unwrap();
    // The other one works for this run until it is stopped.
    bench.foreign_write(None);
    bench.carry_out(&stop("other"), "stop-other").unwrap();
    bench.carry_out(&sql("INSERT INTO notes(body) VALUES ('ours')"), "sql-db").unwrap();
    assert_eq!(bench.notes(), ["theirs", "ours"]);
}

#[test]
fn what_the_first_has_left_in_the_store_is_found_when_the_last_is_stopped() {
    let bench = site();
    let folder = bench.folder.path();
    let mut left = Command::new("sh");
    left.args(["-c", HOLDS, "left"]).current_dir(folder).stdout(Stdio::null());
    let mut left = left.spawn().unwrap();
    while !folder.join("left.pid").exists() {
        std::thread::yield_now();
    }
    let work = bench.work("stop-other");
    assert_eq!(stop("other").check(&bench.site, &work).unwrap(), Condition::Pending, "somebody is in it");
    left.kill().unwrap();
    left.wait().unwrap();
    assert!(stop("other").check(&bench.site, &work).unwrap().is_applied());
}
