//! The ledger in a database of somebody else.
#![allow(clippy::unwrap_used)]

mod postgres_common;

use postgres_common::{reader, server, value, writer};
use std::path::PathBuf;
use std::time::Duration;
use switchback_site::marker::Marker;
use switchback_site::postgres::ledger::{
    LedgerRow, add, cursors, ensure, forget, has, note, present, put_cursor, put_mark, read_mark,
    remove_mark, rows, sweep,
};
use switchback_site::postgres::{Client, CursorRow, LedgerError, Patience, Swept, WaitError};
use switchback_site::{Faults, Halt, Tell};

fn row(run: &str, step: &str) -> LedgerRow {
    LedgerRow {
        run: run.to_owned(),
        step: step.to_owned(),
        at: "2026-01-01T00:00:00Z".to_owned(),
        state_dir: "/srv/state".to_owned(),
        note: "O'Brien \"x\"".to_owned(),
    }
}

fn record(client: &mut Client, row: &LedgerRow) {
    let mut transaction = client.transaction().unwrap();
    add(&mut transaction, row).unwrap();
    transaction.commit().unwrap();
}

fn quiet() -> Tell {
    Tell::quiet()
}

#[test]
fn rows_commit_with_their_effect_and_vanish_with_it() {
    let server = server();
    let database = server.database("CREATE TABLE public.t (a int)");
    let mut client = writer(&database);
    assert_eq!(rows(&mut reader(&database)).unwrap(), []);
    assert!(!has(&mut reader(&database), "r", "s").unwrap() && !present(&mut client).unwrap());

    let mut transaction = client.transaction().unwrap();
    transaction.execute("INSERT INTO public.t VALUES (1)", &[]).unwrap();
    add(&mut transaction, &row("r", "s")).unwrap();
    drop(transaction);
    assert!(!present(&mut client).unwrap(), "the schema went with the transaction");

    record(&mut client, &row("r", "s"));
    record(&mut client, &LedgerRow { note: "second".to_owned(), ..row("r", "s") });
    assert_eq!(note(&mut client, "r", "s").unwrap().as_deref(), Some("second"));
    assert_eq!(rows(&mut client).unwrap().len(), 1);
    // Both transactions are known as ours.
    assert_eq!(value(&mut client, "SELECT count(*) FROM switchback.hand"), "2");
    let mut transaction = client.transaction().unwrap();
    forget(&mut transaction, "r", "s").unwrap();
    transaction.commit().unwrap();
    assert!(!has(&mut client, "r", "s").unwrap());
}

#[test]
fn cursors_move_with_their_rows() {
    let server = server();
    let mut client = writer(&server.database(""));
    ensure(&mut client).unwrap();
    let at = |rows, done| CursorRow { part: "a \"b\"".to_owned(), rows, digest: vec![0, 1, 2], done };
    for (rows, done) in [(10, false), (20, true)] {
        let mut transaction = client.transaction().unwrap();
        put_cursor(&mut transaction, "r", "s", &at(rows, done)).unwrap();
        transaction.commit().unwrap();
    }
    assert_eq!(cursors(&mut client, "r", "s").unwrap(), [at(20, true)]);
    assert_eq!(cursors(&mut client, "r", "other").unwrap(), []);
}

#[test]
fn the_schema_goes_with_the_last_run_and_twice_is_once() {
    let server = server();
    let mut client = writer(&server.database(""));
    assert_eq!(sweep(&mut client, "r", &quiet()).unwrap(), Swept::Absent);
    record(&mut client, &row("r", "s"));
    record(&mut client, &row("other", "s"));
    assert_eq!(sweep(&mut client, "r", &quiet()).unwrap(), Swept::Kept(2));
    assert_eq!(sweep(&mut client, "other", &quiet()).unwrap(), Swept::Dropped);
    assert_eq!(sweep(&mut client, "other", &quiet()).unwrap(), Swept::Absent);
    assert_eq!(value(&mut client, "SELECT count(*) FROM pg_namespace WHERE nspname = 'switchback'"), "0");
}

#[test]
fn a_cut_sweep_leaves_all_or_nothing() {
    let server = server();
    let mut client = writer(&server.database(""));
    record(&mut client, &row("r", "s"));
    let tell = Tell::with_faults(std::sync::Arc::new(Faults::cut(1)));
    let cut = sweep(&mut client, "r", &tell);
    assert!(matches!(cut, Err(LedgerError::Halt(Halt::Cut))));
    assert!(has(&mut client, "r", "s").unwrap());
    assert_eq!(sweep(&mut client, "r", &tell).unwrap(), Swept::Dropped);
}

#[test]
fn what_is_not_ours_is_refused_and_left_alone() {
    let server = server();
    for (sql, wanted) in [
        ("CREATE SCHEMA switchback", "not ours"),
        ("CREATE SCHEMA switchback; COMMENT ON SCHEMA switchback IS 'mine'", "not ours"),
        (
            "CREATE SCHEMA switchback; COMMENT ON SCHEMA switchback IS 'switchback ledger, format 2'",
            "reads format 1",
        ),
    ] {
        let mut client = writer(&server.database(sql));
        for error in [
            rows(&mut client).unwrap_err(),
            ensure(&mut client).unwrap_err(),
            sweep(&mut client, "r", &quiet()).unwrap_err(),
        ] {
            assert!(error.to_string().contains(wanted), "{error}");
        }
    }
    let mut client = writer(&server.database(""));
    record(&mut client, &row("r", "s"));
    client.batch_execute("CREATE TABLE switchback.\"their's\" (); CREATE VIEW public.v AS SELECT 1").unwrap();
    let error = sweep(&mut client, "r", &quiet()).unwrap_err().to_string();
    assert!(error.contains("the relation \"their's\""), "{error}");
    assert!(has(&mut client, "r", "s").unwrap());
}

#[test]
fn the_mark_names_the_run() {
    let server = server();
    let mut client = writer(&server.database(""));
    assert_eq!(read_mark(&mut client).unwrap(), None);
    let mark = Marker {
        format: 1,
        run: "r".to_owned(),
        state_dir: PathBuf::from("/srv/state"),
        pid: 7,
        user: "root".to_owned(),
        host: "h".to_owned(),
        since: "2026-01-01T00:00:00Z".to_owned(),
    };
    put_mark(&mut client, &mark, &quiet()).unwrap();
    put_mark(&mut client, &mark, &quiet()).unwrap();
    assert_eq!(read_mark(&mut client).unwrap(), Some(mark.clone()));
    remove_mark(&mut client, &quiet()).unwrap();
    remove_mark(&mut client, &quiet()).unwrap();
    assert_eq!(read_mark(&mut client).unwrap(), None);
    put_mark(&mut client, &mark, &quiet()).unwrap();
    assert_eq!(sweep(&mut client, "r", &quiet()).unwrap(), Swept::Dropped);
}

#[test]
fn many_workers_make_the_schema_once() {
    let server = server();
    let database = server.database("");
    std::thread::scope(|scope| {
        for worker in 0..6 {
            let database = &database;
            scope.spawn(move || record(&mut writer(database), &row("r", &worker.to_string())));
        }
    });
    assert_eq!(rows(&mut reader(&database)).unwrap().len(), 6);
}

#[test]
fn who_blocks_a_transaction_is_named_when_patience_ends() {
    let server = server();
    let database = server.database("CREATE TABLE public.\"busy table\" (a int)");
    let (mut other, mut client) = (writer(&database), writer(&database));
    let mut holding = other.transaction().unwrap();
    holding.execute("SELECT * FROM public.\"busy table\"", &[]).unwrap();
    let attempt = |client: &mut Client, patience: u64| {
        Patience::of(Duration::from_millis(patience)).transact(client, &quiet(), "changing", |transaction| {
            transaction
                .batch_execute("ALTER TABLE public.\"busy table\" ADD b int")
                .map_err(LedgerError::from)
        })
    };
    let error = attempt(&mut client, 100).unwrap_err();
    assert!(matches!(&error, LedgerError::Wait(WaitError::Blocked { .. })));
    let text = error.to_string();
    assert!(text.contains("(test) holds public.\"busy table\", idle in a transaction"), "{text}");
    // Somebody who lets go in time is waited for.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| attempt(&mut client, 30_000));
        std::thread::sleep(Duration::from_millis(1100));
        holding.rollback().unwrap();
        waiting.join().unwrap().unwrap();
    });
}
