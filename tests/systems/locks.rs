//! Others in the way: a second operator, a program that holds the database's lock, a writer that does not stop.

use crate::support::{ACCEPTED, Ran, Site, StopAtEnd, TABLES_CHANGED};
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn a_second_operator_is_told_who_has_the_site() {
    let (site, child) = Site::waiting_at(TABLES_CHANGED, false);
    let other = site.path("other").display().to_string();
    let run = site.run_dir().file_name().unwrap().to_string_lossy().into_owned();
    let state = site.state().display().to_string();
    let holder =
        [run.as_str(), "by tester@", &format!("process {}", child.id()), &state, "nothing was changed"];
    // From a state folder of his own, and from the same one.
    site.run(&[&["apply", "--state", &other], &ACCEPTED[..]].concat()).expect(12, &holder);
    site.apply().expect(12, &holder);
    for verb in [&["resume"][..], &["rollback", "--yes"]] {
        site.run(verb).expect(12, &["another process has it", &run]);
    }
    // Whoever only looks is told as well.
    site.run(&["plan", "--state", &other]).expect(11, &["D002", &run, &state]);
    site.run(&["status"]).expect(30, &[&run]);
    site.go_on("0");
    Ran::of(&child.wait_with_output().unwrap()).expect(0, &["upgraded"]);
    site.run(&[&["apply", "--state", &other], &ACCEPTED[..]].concat()).expect(0, &["nothing to do"]);
}

#[test]
fn a_run_whose_process_is_gone_is_named_and_not_called_held() {
    let (site, mut child) = Site::waiting_at(TABLES_CHANGED, false);
    child.kill().unwrap();
    child.wait().unwrap();
    site.go_on("0");
    let other = site.path("other").display().to_string();
    let apply = [&["apply", "--state", &other], &ACCEPTED[..]].concat();
    site.run(&apply).expect(11, &["D002", "`switchback resume`", &site.state().display().to_string()]);
    site.run(&["resume"]).expect(0, &["upgraded"]);
}

#[test]
fn a_database_that_another_program_holds_locked_is_refused() {
    let site = Site::new();
    site.sql("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE");
    let before = site.fingerprint();
    let other = site.open();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    site.run(&["plan"]).expect(11, &["another program holds its lock", "help: ", "nothing was changed"]);
    drop(other);
    assert_eq!(site.fingerprint(), before);
}

#[test]
fn a_lock_taken_after_the_plan_rolls_back() {
    let site = Site::new();
    let before = site.fingerprint();
    let other = site.open();
    // In WAL mode readers go on, so the plan and the trial succeed.
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    site.apply()
        .expect(20, &["keep writers out of the stores of app", "has db open", "rolled back: as before"]);
    drop(other);
    assert_eq!(site.fingerprint(), before);
    site.apply().expect(0, &["upgraded"]);
}

#[test]
fn a_writer_that_does_not_stop_loses_nothing_and_is_named() {
    let site = Site::new();
    let stop = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let (connection, mut written) = (site.open(), 0);
            while !stop.load(Ordering::Relaxed) {
                let sql = "INSERT INTO configurations VALUES ('written-' || ?1, 'kept')";
                connection.execute(sql, [written]).unwrap();
                written += 1;
            }
            written
        });
        let stops = StopAtEnd(&stop);
        site.apply()
            .expect(20, &["keep writers out of the stores of app", "has db open", "rolled back: as before"]);
        drop(stops);
        writer.join().unwrap()
    });
    let sql = "SELECT count(*) FROM configurations WHERE key LIKE 'written-%'";
    assert_eq!(site.open().query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap(), written);
    assert!(written > 0);
}
