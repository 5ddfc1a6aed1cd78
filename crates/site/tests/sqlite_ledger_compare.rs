//! The ledger lives and dies with the transaction; a comparison names the rows.
#![allow(clippy::unwrap_used)]

mod sqlite_common;

use std::sync::Arc;

use rusqlite::Connection;
use sqlite_common::{app, fingerprint};
use switchback_site::sqlite::compare::Difference;
use switchback_site::sqlite::ledger::{forget, has, note, record, rows, sweep};
use switchback_site::sqlite::{Comparison, LedgerError, LedgerRow, Swept, compare_tables};
use switchback_site::{Faults, Tell};

fn row(run: &str, step: &str, note: &str) -> LedgerRow {
    let [run, step, at, state_dir, note] =
        [run, step, "2026-01-01T00:00:00Z", "/state 'x'", note].map(str::to_owned);
    LedgerRow { run, step, at, state_dir, note }
}

fn within(connection: &mut Connection, rows: &[LedgerRow]) {
    let transaction = connection.transaction().unwrap();
    rows.iter().for_each(|row| record(&transaction, row).unwrap());
    transaction.commit().unwrap();
}

#[test]
fn a_row_is_there_exactly_when_its_transaction_is() {
    let mut connection = Connection::open_in_memory().unwrap();
    assert!(matches!(record(&connection, &row("r", "s", "")), Err(LedgerError::NoTransaction)));
    assert!(matches!(forget(&connection, "r", "s"), Err(LedgerError::NoTransaction)));
    assert!(!has(&connection, "r", "s").unwrap() && rows(&connection).unwrap().is_empty());
    let transaction = connection.transaction().unwrap();
    record(&transaction, &row("r", "s", "")).unwrap();
    assert!(has(&transaction, "r", "s").unwrap());
    transaction.rollback().unwrap();
    assert!(!has(&connection, "r", "s").unwrap());

    within(&mut connection, &[row("r", "s", "cursor 1")]);
    within(&mut connection, &[row("r", "s", "cursor 2"), row("r", "o'dd\"; --", "")]);
    assert_eq!(note(&connection, "r", "s").unwrap().as_deref(), Some("cursor 2"));
    assert_eq!(rows(&connection).unwrap().len(), 2);
    let transaction = connection.transaction().unwrap();
    forget(&transaction, "r", "s").unwrap();
    transaction.commit().unwrap();
    assert!(!has(&connection, "r", "s").unwrap() && has(&connection, "r", "o'dd\"; --").unwrap());
}

#[test]
fn sweeping_leaves_the_rows_of_other_runs_and_else_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.db");
    let mut connection = app(&path);
    connection.execute_batch("CREATE TABLE t(a)").unwrap();
    let before = fingerprint(&path);
    assert_eq!(sweep(&mut connection, "mine", &Tell::quiet()).unwrap(), Swept::Absent);
    within(&mut connection, &[row("mine", "1", ""), row("mine", "2", ""), row("other", "1", "")]);
    assert_eq!(sweep(&mut connection, "mine", &Tell::quiet()).unwrap(), Swept::Kept(1));
    assert_eq!(rows(&connection).unwrap(), [row("other", "1", "")]);
    for at in 1..=2 {
        let _ = sweep(&mut connection, "other", &Tell::with_faults(Arc::new(Faults::cut(at))));
        assert!(connection.is_autocommit());
    }
    assert_eq!(sweep(&mut connection, "other", &Tell::quiet()).unwrap(), Swept::Absent);
    let count: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 1);
    assert_eq!(fingerprint(&path), before);
}

#[test]
fn a_table_of_the_application_under_our_name_is_never_touched() {
    for sql in [
        "CREATE TABLE switchback_ledger(a)",
        "CREATE TABLE Switchback_Ledger(run, step, at, state_dir, note)",
        "CREATE VIEW switchback_ledger AS SELECT 1 AS run",
        "CREATE TABLE t(a); CREATE INDEX switchback_ledger ON t(a)",
    ] {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(sql).unwrap();
        assert!(matches!(rows(&connection), Err(LedgerError::Foreign)));
        assert!(matches!(has(&connection, "r", "s"), Err(LedgerError::Foreign)));
        assert!(matches!(sweep(&mut connection, "r", &Tell::quiet()), Err(LedgerError::Foreign)));
        let transaction = connection.transaction().unwrap();
        assert!(matches!(record(&transaction, &row("r", "s", "")), Err(LedgerError::Foreign)));
    }
}

const ODD: &str = "O'Brien \"lab\"; DROP TABLE machines;--";

fn compared(a: &str, b: &str, key: Option<&[&str]>) -> Comparison {
    let (left, right) = (Connection::open_in_memory().unwrap(), Connection::open_in_memory().unwrap());
    let odd = ODD.replace('"', "\"\"");
    left.execute_batch(&format!("CREATE TABLE \"{odd}\"(id TEXT PRIMARY KEY COLLATE NOCASE, n, \"v]\"\"\")"))
        .unwrap();
    right.execute_batch("CREATE TABLE servers(server_id, n, v)").unwrap();
    left.execute_batch(&format!("INSERT INTO \"{odd}\" VALUES {a}")).unwrap();
    right.execute_batch(&format!("INSERT INTO servers VALUES {b}")).unwrap();
    let columns = [("id", "server_id"), ("n", "n"), ("v]\"", "v")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    let key: Option<Vec<String>> = key.map(|key| key.iter().map(|name| (*name).to_owned()).collect());
    compare_tables(&left, ODD, &right, "servers", &columns, key.as_deref(), &Tell::quiet()).unwrap()
}

fn lines(comparison: &Comparison) -> Vec<String> {
    comparison
        .samples
        .iter()
        .map(|sample| match &sample.difference {
            Difference::OnlyA => format!("only a: {}", sample.key),
            Difference::OnlyB => format!("only b: {}", sample.key),
            Difference::Values(columns) => format!("{}: {}", columns.join("+"), sample.key),
        })
        .collect()
}

#[test]
fn equal_tables_are_equal_in_any_order_and_under_other_names() {
    let found = compared(
        "('a', 1, x'00'), (NULL, 2, 'z'), (NULL, 2, 'z')",
        "(NULL, 2, 'z'), ('a', 1, x'00'), (NULL, 2, 'z')",
        None,
    );
    assert!(found.equal && found.samples.is_empty());
    assert_eq!((found.rows_a, found.rows_b), (3, 3));
}

#[test]
fn differing_rows_are_named_by_key_and_column() {
    let found = compared(
        "('a', 1, 'x'), ('B', 2, 'x'), ('c', 3, 'x'), ('d', 4, 'x'), (NULL, 0, 0)",
        "('a', 1.0, 'x'), ('B', 2, 'x'), ('d', 4, x'78'), ('e', 5, 'x'), (NULL, '0', NULL)",
        None,
    );
    assert!(!found.equal);
    assert_eq!(
        lines(&found),
        ["n+v]\": id=NULL", "n: id='a'", "only a: id='c'", "v]\": id='d'", "only b: id='e'"]
    );
}

#[test]
fn a_doubled_row_and_a_lost_one_do_not_cancel() {
    let found = compared("('a', 1, 1), ('b', 2, 2)", "('a', 1, 1), ('a', 1, 1)", None);
    assert_eq!(lines(&found), ["only b: id='a'", "only a: id='b'"]);
}

#[test]
fn keys_sort_as_sqlite_sorts_them() {
    let values = "9007199254740993, -9223372036854775808, 9007199254740992.0, 9.3e18, -1e300, 0.5, 0, 'a', 'B', x'41', '', NULL";
    let left: Vec<String> = values.split(", ").map(|value| format!("('k', {value}, 1)")).collect();
    let right: Vec<String> = values.split(", ").map(|value| format!("('k', {value}, 2)")).collect();
    // The primary key of the left table would refuse one id twice.
    let left =
        left.iter().enumerate().map(|(n, row)| row.replace("'k'", &format!("'k{n}'"))).collect::<Vec<_>>();
    let right =
        right.iter().enumerate().map(|(n, row)| row.replace("'k'", &format!("'k{n}'"))).collect::<Vec<_>>();
    let found = compared(&left.join(", "), &right.join(", "), Some(&["n"]));
    assert_eq!(found.samples.len(), 12);
    assert!(
        found.samples.iter().all(|sample| sample.difference == Difference::Values(vec!["v]\"".to_owned()]))
    );
}

#[test]
fn a_column_that_is_missing_is_an_error_and_no_constant() {
    let connection = Connection::open_in_memory().unwrap();
    connection
        .execute_batch(
            "CREATE TABLE a(x); CREATE TABLE b(x); INSERT INTO a VALUES (1); INSERT INTO b VALUES (2)",
        )
        .unwrap();
    let pair = |name: &str| vec![(name.to_owned(), name.to_owned())];
    let compare = |columns: &[(String, String)]| {
        compare_tables(&connection, "a", &connection, "b", columns, None, &Tell::quiet())
    };
    assert!(compare(&pair("gone")).is_err());
    assert!(compare(&[]).is_err());
    assert!(!compare(&pair("x")).unwrap().equal);
}

#[test]
fn no_more_than_twenty_rows_are_named() {
    let left: Vec<String> = (0..100).map(|n| format!("('{n}', 1, 1)")).collect();
    let found = compared(&left.join(", "), "('x', 1, 1)", None);
    assert_eq!((found.samples.len(), found.rows_a, found.rows_b), (20, 100, 1));
}
