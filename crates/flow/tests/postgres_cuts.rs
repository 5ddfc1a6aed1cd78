//! Cuts, stops and dead lives: whatever ends a move, the same call goes on, and nothing is lost or doubled.
#![allow(clippy::unwrap_used)]

mod postgres_common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use postgres_common::*;
use switchback_flow::{FlowError, Indexes, Miss, Options, TableMove, Take};
use switchback_site::tell::{Failure, Faults, Halt, Tell};

const OLD: &str = "CREATE SCHEMA old;
    CREATE TABLE old.plain (id int, t text); INSERT INTO old.plain SELECT i, 'row ' || i FROM generate_series(1, 900) i;
    CREATE TABLE old.two (id int, t text); INSERT INTO old.two SELECT i, NULL FROM generate_series(1000, 1500) i;
    CREATE TABLE old.left (id int, other int); INSERT INTO old.left SELECT i, i FROM generate_series(1, 50) i;
    CREATE TABLE old.right (id int, other int); INSERT INTO old.right SELECT * FROM old.left;
    CREATE TABLE old.last (id int, who int); INSERT INTO old.last SELECT i, i FROM generate_series(880, 920) i";
// Without keys: a doubled row would not be refused, only counted.
const NEW: &str = "CREATE SCHEMA new;
    CREATE TABLE new.all (id int, t text);
    CREATE TABLE new.left (id int PRIMARY KEY, other int);
    CREATE TABLE new.right (id int PRIMARY KEY, other int);
    ALTER TABLE new.left ADD FOREIGN KEY (other) REFERENCES new.right DEFERRABLE;
    ALTER TABLE new.right ADD FOREIGN KEY (other) REFERENCES new.left DEFERRABLE;
    CREATE TABLE new.last (id serial, who text); CREATE INDEX who ON new.last (who)";

fn moves() -> Vec<TableMove> {
    let by = vec![column("id", Take::Column("who".to_owned()))];
    jobs(vec![
        job("old.plain", "new.all", "id t"),
        job("old.two", "new.all", "id t"),
        job("old.left", "new.left", "id other"),
        job("old.right", "new.right", "id other"),
        job("old.last", "new.last", "id").look("who", "new.all", by, "t", Miss::Drop),
    ])
}

const CLEAN: &str = "TRUNCATE new.all, new.left, new.right, new.last RESTART IDENTITY; DROP SCHEMA IF EXISTS switchback CASCADE";

fn ends(server: &Server) -> [(Place, Place); 2] {
    let one = server.database(&format!("{OLD}; {NEW}"));
    [(one.clone(), one), (server.database(OLD), server.database(NEW))]
}

/// Every index and constraint.
fn catalog(server: &Server, to: &Place) -> Vec<String> {
    let indexes = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'new' ORDER BY 1";
    let keys = "SELECT conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint WHERE connamespace = 'new'::regnamespace ORDER BY 1, 2";
    [server.rows(to, indexes), server.rows(to, keys)].concat()
}

#[track_caller]
fn assert_moved(server: &Server, from: &Place, to: &Place) {
    assert_proven(&moves(), from, to);
    assert_eq!(server.value(to, "SELECT count(*) FROM new.last"), "21");
    assert_eq!(server.value(to, "nextval('new.last_id_seq')"), "901");
}

#[test]
fn a_cut_at_any_point_is_continued() {
    let server = server();
    // The laws cut a copy whose indexes come after at every point.
    let ways = [(1, Indexes::Kept, 1), (2, Indexes::Kept, 4), (1, Indexes::After, 4), (2, Indexes::After, 9)];
    for (workers, indexes, stride) in ways {
        for (from, to) in &ends(&server) {
            let options = Options { workers, indexes };
            let before = catalog(&server, to);
            let go = |faults: &Arc<Faults>| {
                let tell = Tell::with_faults(faults.clone());
                switchback_flow::run(&moves(), &from.end, &to.end, &key(), options, &tell)
            };
            let all = Arc::new(Faults::none());
            go(&all).unwrap();
            assert_moved(&server, from, to);
            let mut continued = 0;
            for at in (1..=all.passed()).step_by(stride) {
                server.run(to, CLEAN);
                let faults = Arc::new(Faults::cut(at));
                match go(&faults) {
                    // With two threads the points come in another order, and there may be fewer.
                    Ok(_) => assert!(workers > 1 && faults.passed() < at, "point {at} was not reached"),
                    Err(error) => assert_eq!(error.halt(), Some(Halt::Cut), "{error}"),
                }
                let report = go(&Arc::new(Faults::none())).unwrap();
                continued += report.found;
                assert_eq!(
                    (report.rows, report.dropped),
                    (900 + 501 + 100 + 21, vec![(4, 20)]),
                    "cut at {at}"
                );
                assert_moved(&server, from, to);
                assert_eq!(catalog(&server, to), before, "cut at {at}");
            }
            assert!(continued > 0);
        }
    }
}

#[test]
fn a_circle_that_cannot_wait_is_put_aside_and_back_from_any_cut() {
    let server = server();
    let new = "CREATE SCHEMA new; CREATE TABLE new.left (id int PRIMARY KEY, other int);
        CREATE TABLE new.right (id int PRIMARY KEY, other int REFERENCES new.left);
        ALTER TABLE new.left ADD FOREIGN KEY (other) REFERENCES new.right";
    let moves =
        jobs(vec![job("old.left", "new.left", "id other"), job("old.right", "new.right", "id other")]);
    let one = server.database(&format!("{OLD}; {new}"));
    let before = catalog(&server, &one);
    let go = |faults: &Arc<Faults>| {
        let options = Options { workers: 1, indexes: Indexes::Kept };
        let tell = Tell::with_faults(faults.clone());
        switchback_flow::run(&moves, &one.end, &one.end, &key(), options, &tell)
    };
    let all = Arc::new(Faults::none());
    go(&all).unwrap();
    assert_eq!(catalog(&server, &one), before);
    for at in (1..=all.passed()).step_by(2) {
        server.run(&one, "TRUNCATE new.left, new.right; DROP SCHEMA switchback CASCADE");
        assert_eq!(go(&Arc::new(Faults::cut(at))).unwrap_err().halt(), Some(Halt::Cut), "cut at {at}");
        assert_eq!(go(&Arc::new(Faults::none())).unwrap().rows, 100, "cut at {at}");
        assert_proven(&moves, &one, &one);
        assert_eq!(catalog(&server, &one), before, "cut at {at}");
    }
}

#[test]
fn a_stop_ends_the_statement_and_the_next_call_goes_on() {
    let server = server();
    let one = server.database(
        "CREATE SCHEMA old; CREATE SCHEMA new; CREATE TABLE old.a (id int); INSERT INTO old.a SELECT generate_series(1, 100);
         CREATE TABLE new.quick (id int); CREATE TABLE new.slow (id int, t text, FOREIGN KEY (id) REFERENCES new.quick (id));"
            .replace("CREATE TABLE new.quick (id int)", "CREATE TABLE new.quick (id int PRIMARY KEY)")
            .as_str(),
    );
    // It sleeps as long as the test says: 100 rows of a tenth of a second.
    let moves = |slow: &str| {
        jobs(vec![job("old.a", "new.quick", "id"), job("old.a", "new.slow", "id").expr("t", slow)])
    };
    let stop = Arc::new(AtomicBool::new(false));
    let tell = Tell::new(Arc::new(|_| ()), stop.clone(), Arc::new(Faults::none()));
    let clock = Instant::now();
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(1500));
            stop.store(true, Ordering::Relaxed);
        });
        run_with(&moves("pg_sleep(0.1)::text"), &one, &one, &tell).unwrap_err()
    });
    assert_eq!(error.halt(), Some(Halt::Interrupted), "{error}");
    assert!(clock.elapsed() < Duration::from_secs(8), "{:?}", clock.elapsed());
    assert_eq!(server.value(&one, "SELECT count(*) FROM new.quick"), "100");
    assert_eq!(server.value(&one, "SELECT count(*) FROM new.slow"), "0");
    let report = run(&moves("'fast'"), &one, &one).unwrap();
    assert_eq!((report.rows, report.found), (200, 1));
}

#[test]
fn what_a_dead_life_left_at_work_is_ended_first() {
    let server = server();
    let one = server.database(&format!("{OLD}; {NEW}"));
    let FlowError::Halt(Halt::Cut) =
        run_with(&moves(), &one, &one, &Tell::with_faults(Arc::new(Faults::cut(3)))).unwrap_err()
    else {
        panic!()
    };
    // A statement whose client is gone: it holds rows and its claim, and would commit later.
    let mut dead = server.cluster.connect(&one.name).unwrap();
    dead.batch_execute(
        "SET application_name = 'switchback r1 copy copy-1'; BEGIN; INSERT INTO new.all SELECT id, t FROM old.plain;
         INSERT INTO switchback.cursor(run, step, part, rows, digest, done) VALUES ('r1', 'copy-1', '0', 900, '', true)",
    )
    .unwrap();
    run(&moves(), &one, &one).unwrap();
    assert!(dead.batch_execute("COMMIT").is_err());
    assert_moved(&server, &one, &one);
}

#[test]
fn a_part_that_another_life_commits_meanwhile_is_not_moved_again() {
    let server = server();
    let one = server.database(&format!("{OLD}; {NEW}"));
    assert!(run_with(&moves(), &one, &one, &Tell::with_faults(Arc::new(Faults::cut(3)))).is_err());
    // Not one of ours by name, so that it lives on: as a commit that was on its way when its client died.
    let mut other = server.cluster.connect(&one.name).unwrap();
    other
        .batch_execute(
            "BEGIN; INSERT INTO switchback.cursor(run, step, part, rows, digest, done) VALUES ('r1', 'copy-1', '0', 900, '', true);
             INSERT INTO new.all SELECT id, t FROM old.plain",
        )
        .unwrap();
    let late = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(600));
        other.batch_execute("COMMIT").unwrap();
    });
    run(&moves(), &one, &one).unwrap();
    late.join().unwrap();
    assert_moved(&server, &one, &one);
}

#[test]
fn locks_of_others_are_waited_for() {
    let server = server();
    let one = server.database(&format!("{OLD}; {NEW}"));
    let mut other = server.cluster.connect(&one.name).unwrap();
    other.batch_execute("BEGIN; LOCK TABLE new.all IN SHARE MODE").unwrap();
    let holder = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(2500));
        other.batch_execute("COMMIT").unwrap();
    });
    run(&moves(), &one, &one).unwrap();
    holder.join().unwrap();
    assert_moved(&server, &one, &one);
}
