//! Cut anywhere, killed anywhere: the same call goes on, and nothing is lost or doubled.
#![allow(clippy::unwrap_used)]

mod typed_common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use switchback_flow::typed::{Portions, prove, read_back, run_in, run_with};
use switchback_flow::{CursorKey, End, Indexes, Options, TableMove};
use switchback_labs::cluster::{Cluster, Durability};
use switchback_site::postgres::Database;
use switchback_site::sqlite;
use switchback_site::tell::{Failure, Faults, Halt, Tell};
use typed_common::{SMALL, file, key, same, server};

const ROWS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150) \
    INSERT INTO a SELECT i * 3, 'row ' || i, randomblob(i % 9) FROM n; \
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 90) \
    INSERT INTO k SELECT 'é' || (i * 7919 % 97), i, zeroblob(10) FROM n;";
/// A table with a rowid, and one without, whose key has two columns of mixed classes.
const SOURCE: &str = "CREATE TABLE a (id INTEGER PRIMARY KEY, t TEXT, b BLOB); \
    CREATE TABLE k (x TEXT COLLATE NOCASE, y INT, b BLOB, PRIMARY KEY (x, y DESC)) WITHOUT ROWID;";
const TARGET: &str = "CREATE TABLE a (id bigint PRIMARY KEY, t text, b bytea); CREATE TABLE k (x text, y int, b bytea); \
    CREATE INDEX t ON a (t); CREATE INDEX y ON k (y); CREATE UNIQUE INDEX xy ON k (x, y); \
    ALTER TABLE a ADD CONSTRAINT self FOREIGN KEY (id) REFERENCES a;";

/// Indexes, and keys that refer to another table.
const THERE: &str = "(SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = 'public'::regnamespace) \
    + (SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated)";

fn moves() -> Vec<TableMove> {
    vec![same("a", "a", &["id", "t", "b"]), same("k", "k", &["x", "y", "b"])]
}

fn proven(moves: &[TableMove], from: &End, to: &End) {
    let tell = Tell::quiet();
    for proof in prove(moves, from, to, Options::default(), &tell).unwrap() {
        assert!(proof.equal, "{proof:?}");
    }
    for proof in read_back(moves, from, to, &key(), &tell).unwrap() {
        assert!(proof.equal, "{proof:?}");
    }
}

/// Cuts at every fault point in turn, goes on, and compares. `fresh` makes an empty target.
fn cut_everywhere(indexes: Indexes, from: &End, fresh: &mut dyn FnMut() -> End) {
    let moves = moves();
    let options = Options { workers: 2, indexes };
    let run_in = |portions, moves: &[TableMove], from: &End, to: &End, key: &CursorKey, tell: &Tell| {
        run_with(portions, options, moves, from, to, key, tell)
    };
    let counting = Arc::new(Faults::none());
    let to = fresh();
    let whole = run_in(SMALL, &moves, from, &to, &key(), &Tell::with_faults(counting.clone())).unwrap();
    assert_eq!(whole.rows, 240);
    proven(&moves, from, &to);
    // Twice is once.
    let again = run_in(SMALL, &moves, from, &to, &key(), &Tell::quiet()).unwrap();
    assert_eq!((again.rows, again.found), (240, 2));
    proven(&moves, from, &to);
    assert!(counting.passed() >= 12, "{counting:?}");
    for at in 1..=counting.passed() {
        let to = fresh();
        let tell = Tell::with_faults(Arc::new(Faults::cut(at)));
        let error = run_in(SMALL, &moves, from, &to, &key(), &tell).unwrap_err();
        assert_eq!(error.halt(), Some(Halt::Cut), "{at}: {error}");
        // And once more on the way.
        let tell = Tell::with_faults(Arc::new(Faults::cut(3)));
        let _ = run_in(SMALL, &moves, from, &to, &key(), &tell);
        let report = run_in(SMALL, &moves, from, &to, &key(), &Tell::quiet()).unwrap();
        assert_eq!(report.rows, 240, "{at}");
        proven(&moves, from, &to);
    }
}

#[test]
fn sqlite_to_postgres_goes_on_behind_every_cut() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let from = file(&folder.path().join("a.db"), &format!("{SOURCE}{ROWS}"));
    let mut base = server.base(TARGET);
    for indexes in [Indexes::Kept, Indexes::After] {
        cut_everywhere(indexes, &from, &mut || {
            // A life that was taken up to its end left every index and reference there.
            assert_eq!(base.value(THERE), "5");
            let fresh = "DROP SCHEMA IF EXISTS switchback CASCADE; TRUNCATE a, k";
            base.client.batch_execute(fresh).unwrap();
            base.end.clone()
        });
        assert_eq!(base.value(THERE), "5");
    }
}

#[test]
fn postgres_to_sqlite_goes_on_behind_every_cut() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let base = server.base(&format!(
        "{TARGET} INSERT INTO a SELECT i * 3, 'row ' || i, substr('\\x00112233445566778899'::bytea, 1, i % 9) FROM generate_series(1, 150) i; \
         INSERT INTO k SELECT 'é' || (i * 7919 % 97), i, repeat('x', 400)::bytea FROM generate_series(1, 90) i"
    ));
    let mut number = 0;
    cut_everywhere(Indexes::Kept, &base.end, &mut || {
        number += 1;
        file(&folder.path().join(format!("{number}.db")), SOURCE)
    });
}

#[test]
fn sqlite_to_sqlite_goes_on_behind_every_cut_and_the_source_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source.db");
    let from = file(&path, &format!("{SOURCE}{ROWS}"));
    let before = std::fs::read(&path).unwrap();
    let mut number = 0;
    cut_everywhere(Indexes::Kept, &from, &mut || {
        number += 1;
        file(&folder.path().join(format!("{number}.db")), SOURCE)
    });
    assert_eq!(std::fs::read(&path).unwrap(), before);
    // Every transaction left one row in the ledger, and a sweep leaves nothing of ours.
    let mut connection = rusqlite::Connection::open(folder.path().join("1.db")).unwrap();
    let rows = sqlite::ledger::rows(&connection).unwrap();
    assert!(rows.len() > 6 && rows.iter().all(|row| row.run == "run-1"));
    sqlite::ledger::sweep(&mut connection, "run-1", &Tell::quiet()).unwrap();
    let left: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'switchback%'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 0);
}

#[test]
fn an_interruption_ends_the_batch_and_is_gone_on_with() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let from = file(&folder.path().join("a.db"), &format!("{SOURCE}{ROWS}"));
    let mut base = server.base(TARGET);
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::new(AtomicU64::new(0));
    let (inner, count) = (stop.clone(), seen.clone());
    // Asked for a stop by the first sign of life.
    let sink = Arc::new(move |progress: switchback_site::tell::Progress| {
        count.fetch_max(progress.done, Ordering::Relaxed);
        inner.store(true, Ordering::Relaxed);
    });
    let tell = Tell::new(sink, stop, Arc::new(Faults::none()));
    let error = run_in(SMALL, &moves(), &from, &base.end, &key(), &tell).unwrap_err();
    assert_eq!(error.halt(), Some(Halt::Interrupted), "{error}");
    assert!(seen.load(Ordering::Relaxed) > 0);
    let there: u64 = base.value("SELECT count(*) FROM a").parse().unwrap();
    assert!(there < 150);
    run_in(SMALL, &moves(), &from, &base.end, &key(), &Tell::quiet()).unwrap();
    proven(&moves(), &from, &base.end);
}

#[test]
fn a_killed_server_loses_no_row_and_doubles_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(&folder.path().join("cluster"), Durability::Full).unwrap();
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) INSERT INTO a SELECT i, 'row ' || i, randomblob(20) FROM n";
    let from = file(&folder.path().join("a.db"), &format!("{SOURCE} {rows}"));
    cluster.create("app").unwrap();
    cluster.connect("app").unwrap().batch_execute(TARGET).unwrap();
    let to = End::Postgres(Database::parse(&cluster.url("app")).unwrap());
    let portions = Portions { piece: 20_000, batch: 100_000 };
    let moves = moves();
    // The moments come from the progress of the work, so that every kill is in the middle of it.
    let mut killed = 0;
    for kill_at in [1_u64, 9_000, 25_000, 48_000] {
        let reached = Arc::new(AtomicU64::new(0));
        let seen = reached.clone();
        let tell = Tell::new(
            Arc::new(move |progress: switchback_site::tell::Progress| {
                if progress.unit == switchback_site::tell::Unit::Rows {
                    seen.fetch_max(progress.done, Ordering::Relaxed);
                }
            }),
            Arc::new(AtomicBool::new(false)),
            Arc::new(Faults::none()),
        );
        std::thread::scope(|scope| {
            let moving = scope.spawn(|| run_in(portions, &moves, &from, &to, &key(), &tell));
            while reached.load(Ordering::Relaxed) < kill_at && !moving.is_finished() {
                std::thread::sleep(Duration::from_micros(200));
            }
            cluster.kill().unwrap();
            // Done before the kill is no failure of the test: the next life finds everything there.
            killed += u32::from(moving.join().unwrap().is_err());
        });
        cluster.restart().unwrap();
    }
    assert!(killed > 0, "no kill came in time");
    let report = run_in(portions, &moves, &from, &to, &key(), &Tell::quiet()).unwrap();
    assert_eq!(report.rows, 60_000);
    proven(&moves, &from, &to);
}

#[test]
fn tables_come_in_the_order_of_their_keys_and_one_that_refers_to_itself_at_once() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let mut base = server.base(
        "CREATE TABLE k (id int PRIMARY KEY, up int REFERENCES k); \
         CREATE TABLE a (id int PRIMARY KEY, k int REFERENCES k); CREATE TABLE x (id int PRIMARY KEY); \
         CREATE TABLE y (id int PRIMARY KEY REFERENCES x); ALTER TABLE x ADD FOREIGN KEY (id) REFERENCES y",
    );
    let from = file(
        &folder.path().join("a.db"),
        "CREATE TABLE a (id INTEGER PRIMARY KEY, k INT); CREATE TABLE k (id INTEGER PRIMARY KEY, up INT); \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) INSERT INTO k SELECT i, 301 - i FROM n; \
         INSERT INTO a SELECT id, up FROM k; CREATE TABLE x (id INT)",
    );
    let moves = [same("a", "a", &["id", "k"]), same("k", "k", &["id", "up"])];
    run_in(SMALL, &moves, &from, &base.end, &key(), &Tell::quiet()).unwrap();
    proven(&moves, &from, &base.end);
    assert_eq!(base.value("SELECT count(DISTINCT xmin::text) FROM k"), "1");
    assert_ne!(base.value("SELECT count(DISTINCT xmin::text) FROM a"), "1");
    let circle = [same("x", "x", &["id"]), same("x", "y", &["id"])];
    let error = run_in(SMALL, &circle, &from, &base.end, &key(), &Tell::quiet()).unwrap_err().to_string();
    assert!(error.starts_with("move the tables as asked: x, y refer to one another in a circle"), "{error}");
}
