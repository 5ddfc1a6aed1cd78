//! One run at a time, and no statement of a dead life.
#![allow(clippy::unwrap_used)]

mod postgres_common;

use postgres_common::{server, value, writer as session};
use std::time::{Duration, Instant};
use switchback_site::Tell;
use switchback_site::postgres::{Access, LockError, session_name, take, writer};

#[test]
fn a_second_run_is_told_who_holds_the_database_and_another_database_is_free() {
    let server = server();
    let (one, two) = (server.database(""), server.database(""));
    let lock = take(&one, "run-1", &Tell::quiet()).unwrap();
    let error = take(&one, "run-2", &Tell::quiet()).unwrap_err();
    assert!(
        matches!(error, LockError::Held { .. }) && error.to_string().contains("run run-1 (process "),
        "{error}"
    );
    take(&two, "run-2", &Tell::quiet()).unwrap();
    // Two targets of one database share the lock of their run.
    let again = take(&one, "run-1", &Tell::quiet()).unwrap();
    drop(lock);
    assert!(take(&one, "run-2", &Tell::quiet()).is_err());
    again.still_held().unwrap();
    drop(again);
    let clock = Instant::now();
    // The server notices the end of the session in its own time.
    while let Err(error) = take(&one, "run-2", &Tell::quiet()) {
        assert!(clock.elapsed() < Duration::from_secs(10), "{error}");
    }
}

#[test]
fn statements_of_a_dead_life_are_over_before_the_lock_is_had() {
    let server = server();
    let database = server.database("CREATE TABLE public.t (a int)");
    let mut dead = writer(&database, "run-3", &Tell::quiet()).unwrap();
    // A session of the run that lost its name is known by its lock.
    let mut nameless = writer(&database, "run-3", &Tell::quiet()).unwrap();
    nameless.batch_execute("SET application_name = 'other'").unwrap();
    let mut stranger = session(&database);
    std::thread::scope(|scope| {
        let statement = scope.spawn(move || {
            dead.batch_execute(
                "INSERT INTO public.t SELECT 1 FROM pg_sleep(30); INSERT INTO public.t VALUES (2)",
            )
        });
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(600));
            drop(nameless);
        });
        std::thread::sleep(Duration::from_millis(200));
        let clock = Instant::now();
        let lock = take(&database, "run-3", &Tell::quiet()).unwrap();
        assert!(clock.elapsed() > Duration::from_millis(200), "the nameless session was not waited for");
        assert!(clock.elapsed() < Duration::from_secs(20));
        assert!(statement.join().unwrap().is_err());
        let left = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{}' AND datname = current_database()",
            session_name("run-3")
        );
        assert_eq!(value(&mut stranger, &left), "1", "the lock's own session");
        // A writer of this life comes in beside the lock.
        drop(writer(&database, "run-3", &Tell::quiet()).unwrap());
        lock.still_held().unwrap();
    });
    assert_eq!(value(&mut stranger, "SELECT count(*) FROM public.t"), "0");
}

#[test]
fn a_lock_whose_session_was_ended_is_lost_and_says_so() {
    let server = server();
    let database = server.database("");
    let lock = take(&database, "run-4", &Tell::quiet()).unwrap();
    let sql = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = '{}'",
        session_name("run-4")
    );
    assert_eq!(value(&mut session(&database), &sql), "1");
    let clock = Instant::now();
    while lock.still_held().is_ok() {
        assert!(clock.elapsed() < Duration::from_secs(10));
    }
    assert!(matches!(lock.still_held(), Err(LockError::Lost { .. })));
}

#[test]
fn a_plain_user_ends_its_own_sessions() {
    let server = server();
    let database = server.database("CREATE ROLE locker LOGIN");
    let database = server.as_user(&database, "locker");
    let dead = database.connect(&session_name("run-5"), Access::ReadWrite).unwrap();
    take(&database, "run-5", &Tell::quiet()).unwrap();
    drop(dead);
}

#[test]
fn a_long_name_of_a_run_is_found_again() {
    let long = "x".repeat(200);
    assert!(session_name(&long).len() <= 63 && session_name(&long) == session_name(&long));
    assert_ne!(session_name(&long), session_name(&"x".repeat(201)));
}
