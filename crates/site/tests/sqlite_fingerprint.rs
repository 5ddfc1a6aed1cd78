//! What counts as a difference between two databases, and what does not.
#![allow(clippy::unwrap_used)]

mod sqlite_common;

use sqlite_common::{app, fingerprint, hostile};
use switchback_site::Tell;
use switchback_site::sqlite::{Database, Fingerprint, ledger, open_immutable, schema_fingerprint};

#[test]
fn every_kind_of_change_shows_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("live.db");
    let connection = hostile(&path);
    let before = fingerprint(&path);
    let schema = schema_fingerprint(&connection).unwrap();
    let expect = |sql: &str, line: &str| {
        connection.execute_batch(&format!("SAVEPOINT probe; {sql}")).unwrap();
        let after = Fingerprint::read(&connection, &Tell::quiet()).unwrap();
        connection.execute_batch("ROLLBACK TO probe; RELEASE probe").unwrap();
        let lines = after.differences(&before);
        assert!(lines.iter().any(|found| found == line), "{sql}: {lines:?}");
        assert_ne!(after, before);
    };
    expect("INSERT INTO narrow VALUES (9, 9)", "table narrow: 2 rows there, 3 here");
    let same = "rows on both sides, but their content differs";
    expect("UPDATE narrow SET a = 1.0 WHERE a = 3", &format!("table narrow: 2 {same}"));
    expect("UPDATE counted SET v = CAST(v AS TEXT) WHERE id = 1", &format!("table counted: 3 {same}"));
    expect("UPDATE narrow SET rowid = rowid + 10", &format!("table narrow: 2 {same}"));
    expect("UPDATE sqlite_sequence SET seq = 3", &format!("table sqlite_sequence: 1 {same}"));
    expect("UPDATE flat SET v = '' WHERE l = 2", &format!("table flat: 2 {same}"));
    expect("UPDATE plain SET a = 'x' WHERE a = 'x' || char(0) || 'y'", &format!("table plain: 6 {same}"));
    expect("DROP TABLE taken", "table taken: 1 rows there, no table here");
    expect("CREATE TABLE fresh(a)", "table fresh: only here");
    expect("DROP TRIGGER noted", "trigger noted: only there");
    expect("DROP VIEW seen; CREATE VIEW seen AS SELECT 1", "view seen: defined differently");
    expect("PRAGMA user_version = 43", "user_version: 42 there, 43 here");
    expect("INSERT INTO words VALUES ('more')", "table words_content: 1 rows there, 2 here");
    assert_eq!(Fingerprint::read(&connection, &Tell::quiet()).unwrap(), before);
    assert_eq!(before.pragmas["journal_mode"], "wal");
    assert_eq!(before.schema, schema);
    assert!(before.differences(&before).is_empty());
    let json = serde_json::to_string(&before).unwrap();
    assert_eq!(serde_json::from_str::<Fingerprint>(&json).unwrap(), before);
}

#[test]
fn our_ledger_and_statistics_do_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("live.db");
    let connection = hostile(&path);
    let before = fingerprint(&path);
    connection.execute_batch("ANALYZE; BEGIN").unwrap();
    ledger::record(&connection, &row("r", "s")).unwrap();
    connection.execute_batch("COMMIT").unwrap();
    assert_eq!(fingerprint(&path), before);
}

fn row(run: &str, step: &str) -> ledger::LedgerRow {
    let [run, step, at, state_dir, note] = [run, step, "now", "/x", ""].map(str::to_owned);
    ledger::LedgerRow { run, step, at, state_dir, note }
}

#[test]
fn several_workers_find_what_one_finds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("big.db");
    let connection = app(&path);
    connection
        .execute_batch(
            "CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE TABLE edge(a INTEGER PRIMARY KEY, b); CREATE TABLE none(a);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
             INSERT INTO t SELECT i * 37 - 50000, 'row ' || i FROM n;
             INSERT INTO edge VALUES (-9223372036854775808, 'first'), (0, 'middle'), (9223372036854775807, 'last');",
        )
        .unwrap();
    drop(connection);
    let one = fingerprint(&path);
    for workers in [1, 2, 3] {
        let many = Fingerprint::read_parallel(&|| open_immutable(&path), workers, &Tell::quiet()).unwrap();
        assert_eq!(many, one);
    }
    assert_eq!(one.counts()["t"], 20000);
    assert_eq!(one.counts()["edge"], 3);
    assert_eq!(one.counts()["none"], 0);
}

#[test]
fn two_readers_of_a_large_database_find_what_one_finds() {
    let of = |path: &std::path::Path| Fingerprint::of(&Database::new(path), &Tell::quiet()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large.db");
    let connection = app(&path);
    connection
        .execute_batch(
            "CREATE TABLE t(a, b); CREATE TABLE w(k PRIMARY KEY, b) WITHOUT ROWID;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
             INSERT INTO t SELECT i, randomblob(400) FROM n;
             INSERT INTO w SELECT a, b FROM t WHERE a % 3 = 0; DELETE FROM t WHERE a BETWEEN 9000 AND 9999;",
        )
        .unwrap();
    let together = of(&path);
    assert!(std::fs::metadata(&path).unwrap().len() > 8 << 20);
    assert_eq!(together, Fingerprint::read(&connection, &Tell::quiet()).unwrap());
    connection.execute("UPDATE t SET b = x'00' WHERE a = 15000", []).unwrap();
    assert_eq!(of(&path).differences(&together).len(), 1);
    // A writer that waits to commit keeps new readers out, and a reader that is in does not mind.
    connection.execute_batch("BEGIN IMMEDIATE; DELETE FROM t").unwrap();
    assert_eq!(of(&path).differences(&together).len(), 1);
}

#[test]
fn a_table_name_that_is_no_utf8_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("odd.db");
    let connection = app(&path);
    connection.execute_batch("CREATE TABLE abcdefgh(a)").unwrap();
    drop(connection);
    let bytes = std::fs::read(&path).unwrap();
    let odd: Vec<u8> = bytes.iter().map(|byte| if *byte == b'd' { 0xff } else { *byte }).collect();
    std::fs::write(&path, odd).unwrap();
    let connection = open_immutable(&path);
    let refused = connection.is_err()
        || Fingerprint::read(&connection.unwrap(), &Tell::quiet()).unwrap_err().to_string().contains("UTF-8");
    assert!(refused);
}
