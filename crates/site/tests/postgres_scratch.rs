//! Scratch databases, and that others' are never dropped.
#![allow(clippy::unwrap_used)]

mod postgres_common;

use postgres_common::everything::{EVERYTHING, LAB};
use postgres_common::{reader, server, value, writer};
use std::sync::Arc;
use switchback_site::postgres::scratch::{copy, create};
use switchback_site::postgres::{Fingerprint, ScratchError, drop_scratch, leftovers};
use switchback_site::{Faults, Tell};

#[test]
fn only_what_carries_the_mark_of_the_run_is_dropped() {
    let server = server();
    let database = server.database("");
    let name = create(&database, "run-s", &Tell::quiet()).unwrap();
    assert_eq!(leftovers(&database, "run-s").unwrap(), [name.as_str()]);
    assert_eq!(leftovers(&database, "run-t").unwrap(), Vec::<String>::new());
    let refused = drop_scratch(&database, &name, "run-t", &Tell::quiet());
    assert!(matches!(refused, Err(ScratchError::Foreign { .. })));
    let foreign = server.database("CREATE TABLE public.t ()").address().dbname.clone();
    let refused = drop_scratch(&database, &foreign, "run-s", &Tell::quiet());
    assert!(matches!(refused, Err(ScratchError::Foreign { .. })));
    // A session that a dead life left in it is no obstacle.
    let _session = writer(&database.beside(&name));
    drop_scratch(&database, &name, "run-s", &Tell::quiet()).unwrap();
    drop_scratch(&database, &name, "run-s", &Tell::quiet()).unwrap();
    assert_eq!(leftovers(&database, "run-s").unwrap(), Vec::<String>::new());
}

#[test]
fn a_cut_between_making_and_marking_leaves_something_that_is_known() {
    let server = server();
    let database = server.database("");
    for cut in [2, 3] {
        let run = format!("run-c{cut}");
        assert!(create(&database, &run, &Tell::with_faults(Arc::new(Faults::cut(cut)))).is_err());
        let left = leftovers(&database, &run).unwrap();
        assert_eq!(left.len(), 1);
        drop_scratch(&database, &left[0], &run, &Tell::quiet()).unwrap();
    }
    // Somebody who took the name and put something into it keeps it.
    create(&database, "run-c4", &Tell::with_faults(Arc::new(Faults::cut(2)))).unwrap_err();
    let left = leftovers(&database, "run-c4").unwrap();
    server.run(&left[0], "CREATE TABLE public.precious ()");
    let refused = drop_scratch(&database, &left[0], "run-c4", &Tell::quiet());
    assert!(matches!(refused, Err(ScratchError::Foreign { .. })));
}

#[test]
fn a_copy_equals_its_original_with_and_without_somebody_at_work() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let database = server.database(&format!(
        "{EVERYTHING} INSERT INTO children (id) SELECT n FROM generate_series(1, 50) AS g(n); CREATE TABLE public.else (x int)"
    ));
    let (schemas, work) = ([LAB.to_owned()], folder.path().join("work"));
    let wanted = Fingerprint::read(&database, &schemas, &Tell::quiet()).unwrap();
    let copied = || {
        let name = copy(&database, &schemas, "run-d", &work, &Tell::quiet()).unwrap();
        assert!(!work.exists());
        let scratch = database.beside(&name);
        let found = Fingerprint::read(&scratch, &schemas, &Tell::quiet()).unwrap();
        assert_eq!(wanted.differences(&found), Vec::<String>::new());
        value(&mut reader(&scratch), "SELECT to_regclass('public.else') IS NOT NULL")
    };
    let at_work = reader(&database);
    assert_eq!(copied(), "false", "dumped and loaded, the schema alone");
    drop(at_work);
    // The server copies files once the session is gone, and then all of the database.
    let clock = std::time::Instant::now();
    while copied() != "true" {
        assert!(clock.elapsed() < std::time::Duration::from_secs(60));
    }
    for name in leftovers(&database, "run-d").unwrap() {
        drop_scratch(&database, &name, "run-d", &Tell::quiet()).unwrap();
    }
}

#[test]
fn a_user_without_the_right_is_told_which_it_needs() {
    let server = server();
    let database = server.database("CREATE ROLE nobody_much LOGIN");
    let database = server.as_user(&database, "nobody_much");
    let error = create(&database, "run-n", &Tell::quiet()).unwrap_err().to_string();
    assert!(error.contains("nobody_much") && error.contains("CREATEDB"), "{error}");
}
