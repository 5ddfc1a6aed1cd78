//! What the SQLite tests share: fixtures with hostile content, and what a killed application leaves.
#![allow(dead_code, clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use switchback_site::Tell;
use switchback_site::sqlite::{Database, Fingerprint};

/// Opens or creates a database as an application would.
pub fn app(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    connection
}

/// A WAL database with everything that is hard to keep.
pub fn hostile(path: &Path) -> Connection {
    let connection = app(path);
    connection.execute_batch(HOSTILE).unwrap();
    let huge = format!("{{\"a\":\"{}\"}}", "x".repeat(5 << 20));
    connection.execute("INSERT INTO plain(a, n) VALUES (?1, 7)", [huge]).unwrap();
    connection
}

const HOSTILE: &str = r#"
PRAGMA page_size = 4096;
PRAGMA journal_mode = WAL;
PRAGMA wal_autocheckpoint = 0;
PRAGMA user_version = 42;
PRAGMA application_id = 7;
CREATE TABLE plain(a TEXT, n INTEGER, r REAL, b BLOB);
INSERT INTO plain VALUES ('x' || char(0) || 'y', 'text in an integer column', 1.5, x'00ff');
INSERT INTO plain VALUES (CAST(x'ff41fe' AS TEXT), 3.25, 2, CAST('b' AS TEXT));
INSERT INTO plain VALUES (NULL, NULL, NULL, NULL), (NULL, NULL, NULL, NULL), ('', 9223372036854775807, -0.0, x'');
CREATE TABLE "O'Brien ""lab""; DROP TABLE plain;--"("sel""ect" TEXT PRIMARY KEY, "a]b" INTEGER);
INSERT INTO "O'Brien ""lab""; DROP TABLE plain;--" VALUES (NULL, 1), (NULL, 2), ('ü💾', 3);
CREATE TABLE counted(id INTEGER PRIMARY KEY AUTOINCREMENT, v, g AS (v || '!') STORED, h AS (id * 2));
INSERT INTO counted(v) VALUES (1), ('1'), (1.0), (x'31');
DELETE FROM counted WHERE id = 4;
CREATE TABLE flat(k TEXT, l INT, v, PRIMARY KEY(k, l)) WITHOUT ROWID;
INSERT INTO flat VALUES ('a', 1, 'x'), ('a', 2, NULL);
CREATE TABLE taken(rowid TEXT, _rowid_ TEXT, oid TEXT);
INSERT INTO taken VALUES ('1', '2', '3');
CREATE TABLE narrow(a INT, b INT);
CREATE INDEX narrow_covering ON narrow(b, a);
INSERT INTO narrow VALUES (1, 2), (3, 4);
CREATE VIEW seen AS SELECT a FROM plain;
CREATE TRIGGER noted AFTER INSERT ON flat BEGIN SELECT 1; END;
CREATE VIRTUAL TABLE words USING fts5(body);
INSERT INTO words VALUES ('the quick brown fox');
"#;

/// Leaves a transaction open in rollback mode, parts of which are in the main file already.
pub fn half_done(connection: &Connection) {
    connection
        .execute_batch(
            "PRAGMA journal_mode = DELETE; CREATE TABLE t(a);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
             INSERT INTO t SELECT zeroblob(1000) FROM n;
             PRAGMA cache_size = 5; BEGIN; UPDATE t SET a = randomblob(1000);",
        )
        .unwrap();
}

/// Copies a database with its side files while it is open: what `kill -9` leaves.
pub fn killed(from: &Path, to: &Path) {
    for suffix in ["", "-wal", "-journal"] {
        let (from, to) = (with(from, suffix), with(to, suffix));
        if from.exists() {
            std::fs::copy(from, to).unwrap();
        }
    }
}

pub fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

pub fn fingerprint(path: &Path) -> Fingerprint {
    Fingerprint::read(&Database::new(path).open_read().unwrap(), &Tell::quiet()).unwrap()
}

/// Every file of a folder with its bytes.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

pub fn names(folder: &Path) -> Vec<String> {
    files(folder).into_iter().map(|(name, _)| name).collect()
}
