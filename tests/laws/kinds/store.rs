//! A small database with what is hard to keep, and what others do to it.

use crate::bench::{Bench, Plan, RUN};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use switchback_engine::step::AnyStep;
use switchback_model::target::TargetDef;
use switchback_steps::backup::Backup;

pub const DB: &str = "app.db";

const SCHEMA: &str = "
CREATE TABLE machines(id TEXT PRIMARY KEY, name TEXT NOT NULL, made DATETIME DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE jobs(id INTEGER PRIMARY KEY AUTOINCREMENT, machine TEXT NOT NULL, size INTEGER, note BLOB,
    FOREIGN KEY(machine) REFERENCES machines(id) ON DELETE CASCADE);
CREATE INDEX jobs_machine ON jobs(machine) WHERE size > 1;
CREATE TRIGGER jobs_log AFTER DELETE ON jobs BEGIN UPDATE machines SET name = name || '!' WHERE id = OLD.machine; END;
CREATE VIEW busy AS SELECT id, size FROM jobs WHERE size > 10;
INSERT INTO machines VALUES ('a', 'O''Brien \"lab\"; DROP TABLE machines;--', '2025-01-01'), (NULL, 'x' || char(0), NULL);
INSERT INTO machines VALUES ('b', 'b:c', 1.5);
INSERT INTO jobs(machine, size, note) VALUES ('a', 'text in an integer column', x'00ff'), ('a', 12, NULL), ('b', 7.25, '');
DELETE FROM jobs WHERE id = 2;
INSERT INTO jobs(machine, size) VALUES ('b', 40);
";

/// A bench over a database: a backup first, then `steps`, of which the first `done` are carried out beforehand.
pub fn after_backup(wal: bool, steps: Vec<Box<dyn AnyStep>>, done: usize) -> Bench {
    let mut all: Vec<Box<dyn AnyStep>> = vec![Box::new(Backup { target: "db".into() })];
    all.extend(steps);
    over_database(wal, all, done + 1)
}

/// A bench over a database.
pub fn over_database(wal: bool, steps: Vec<Box<dyn AnyStep>>, done: usize) -> Bench {
    Bench::new(|folder| {
        make(&folder.join(DB), wal);
        Plan { targets: target(folder), steps, done, ..Plan::default() }
    })
}

pub fn target(folder: &Path) -> BTreeMap<String, TargetDef> {
    BTreeMap::from([(
        "db".to_owned(),
        TargetDef::Sqlite { path: folder.join(DB).display().to_string(), made_by_us: false },
    )])
}

/// Makes the database; in WAL mode most of it is still in the log, as a killed application leaves it.
pub fn make(path: &Path, wal: bool) {
    let connection = app(path);
    connection.execute_batch("PRAGMA page_size = 1024; PRAGMA synchronous = OFF;").unwrap();
    if !wal {
        connection.execute_batch(&format!("BEGIN; {SCHEMA} COMMIT")).unwrap();
        return;
    }
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0").unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    let copies = ["", "-wal"].map(|side| (side_of(path, side), fs::read(side_of(path, side)).unwrap()));
    drop(connection);
    for (path, bytes) in copies {
        fs::write(path, bytes).unwrap();
    }
}

/// Opens it as an application would.
pub fn app(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    connection
}

fn side_of(path: &Path, side: &str) -> PathBuf {
    PathBuf::from(format!("{}{side}", path.display()))
}

/// Somebody adds a row.
pub fn a_row(bench: &Bench) {
    app(&bench.path(DB)).execute("INSERT INTO db_notes VALUES ('foreign')", []).unwrap_or_else(|_| {
        let batch = "CREATE TABLE db_notes(note); INSERT INTO db_notes VALUES ('foreign')";
        app(&bench.path(DB)).execute_batch(batch).unwrap();
        1
    });
}

/// The application comes up for a moment: it turns its log on, and adds a row.
pub fn a_row_by_the_application(bench: &Bench) {
    let connection = app(&bench.path(DB));
    connection.execute_batch("PRAGMA journal_mode = WAL").unwrap();
    connection.execute_batch("CREATE TABLE db_notes(note); INSERT INTO db_notes VALUES ('foreign')").unwrap();
}

/// What a death in the middle of a large transaction of ours leaves: pages of it in the file, and the journal that
/// takes them out again.
pub fn a_hot_journal(bench: &Bench) {
    let path = bench.path(DB);
    let connection = app(&path);
    // A cache of one page spills the others into the file before the commit.
    connection
        .execute_batch("PRAGMA journal_mode = DELETE; PRAGMA cache_size = 1; PRAGMA cache_spill = 1")
        .unwrap();
    connection.execute_batch("BEGIN IMMEDIATE; CREATE TABLE half(text)").unwrap();
    for _ in 0..60 {
        connection.execute("INSERT INTO half VALUES (?1)", [format!("{RUN}{}", "x".repeat(3000))]).unwrap();
    }
    connection.execute_batch("UPDATE machines SET name = 'half'").unwrap();
    connection.cache_flush().unwrap();
    let copies = ["", "-journal"].map(|side| (side_of(&path, side), fs::read(side_of(&path, side)).unwrap()));
    connection.execute_batch("ROLLBACK").unwrap();
    drop(connection);
    for (path, bytes) in copies {
        fs::write(path, bytes).unwrap();
    }
}
