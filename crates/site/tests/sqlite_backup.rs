//! A backup is complete and proven, or it is not there.
#![allow(clippy::unwrap_used)]

mod sqlite_common;

use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

use rusqlite::functions::FunctionFlags;
use sqlite_common::{app, fingerprint, half_done, hostile, killed, names, with};
use switchback_site::sqlite::{
    BackupError, Database, Fingerprint, OpenError, Restored, backup, open_immutable, read_backup, restore,
    scratch_copy,
};
use switchback_site::{Failure, Faults, Halt, Tell};

#[test]
fn a_backup_of_a_live_database_has_what_is_only_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (live, dest) = (dir.path().join("live.db"), dir.path().join("backup.db"));
    let connection = hostile(&live);
    let report = backup(&Database::new(&live), &dest, &Tell::quiet()).unwrap();
    assert_eq!(report.fingerprint, fingerprint(&live));
    assert_eq!(
        report.fingerprint,
        Fingerprint::read(&open_immutable(&dest).unwrap(), &Tell::quiet()).unwrap()
    );
    assert_eq!(report.fingerprint.pragmas["journal_mode"], "wal");
    assert_eq!(report.rows["plain"], 6);
    assert_eq!(report.bytes, std::fs::metadata(&dest).unwrap().len());
    assert_eq!(std::fs::metadata(&dest).unwrap().mode() & 0o777, 0o600);
    assert!(report.complaints.is_empty());
    let names = names(dir.path());
    assert_eq!(names, ["backup.db", "live.db", "live.db-shm", "live.db-wal"]);
    assert_eq!(read_backup(&dest, &report.traits, &Tell::quiet()).unwrap(), report);
    drop(connection);
}

#[test]
fn a_backup_of_what_a_killed_application_leaves_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (live, left) = (dir.path().join("live.db"), dir.path().join("left.db"));
    let connection = hostile(&live);
    killed(&live, &left);
    let report = backup(&Database::new(&left), &dir.path().join("b"), &Tell::quiet()).unwrap();
    assert_eq!(report.fingerprint, fingerprint(&live));
    drop(connection);
}

#[test]
fn a_backup_during_writes_is_of_one_moment() {
    back_up_during_writes("WAL");
}

/// There a writer that waits for the one that copies keeps the one that reads the rows beside it out.
#[test]
fn a_backup_during_writes_in_rollback_mode_is_of_one_moment() {
    back_up_during_writes("DELETE");
}

fn back_up_during_writes(mode: &str) {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live.db");
    let connection = app(&live);
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = {mode}; CREATE TABLE a(n, filler); CREATE TABLE b(n, filler);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
             INSERT INTO a SELECT i, randomblob(500) FROM n; INSERT INTO b SELECT * FROM a;",
        ))
        .unwrap();
    let (done, barrier) = (AtomicBool::new(false), Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let writer = app(&live);
            barrier.wait();
            while !done.load(Ordering::Relaxed) {
                // Both tables always have as many rows as each other.
                writer
                    .execute_batch(
                        "BEGIN; INSERT INTO a VALUES (0, randomblob(500)); UPDATE b SET filler = 'x' WHERE n % 7 = 0;
                         INSERT INTO b VALUES (0, 'y'); COMMIT",
                    )
                    .unwrap();
                // In this mode a reader polls for the lock: without a pause it may starve on a busy machine.
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        });
        barrier.wait();
        for round in 0..5 {
            let dest = dir.path().join(format!("backup-{round}"));
            let report = backup(&Database::new(&live), &dest, &Tell::quiet());
            if round == 4 {
                done.store(true, Ordering::Relaxed);
            }
            let report = report.inspect_err(|_| done.store(true, Ordering::Relaxed)).unwrap();
            assert_eq!(report.rows["a"], report.rows["b"]);
        }
    });
}

#[test]
fn a_cut_anywhere_leaves_no_backup_or_a_whole_one_and_a_repeat_finishes() {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live.db");
    let connection = hostile(&live);
    let whole = fingerprint(&live);
    for at in 1.. {
        let dest = dir.path().join(format!("b{at}"));
        let faults = Arc::new(Faults::cut(at));
        let first = backup(&Database::new(&live), &dest, &Tell::with_faults(faults.clone()));
        if faults.passed() < at {
            assert!(first.is_ok() && at > 5);
            break;
        }
        assert_eq!(first.unwrap_err().halt(), Some(Halt::Cut));
        if dest.exists() {
            assert_eq!(Fingerprint::read(&open_immutable(&dest).unwrap(), &Tell::quiet()).unwrap(), whole);
        }
        let again = backup(&Database::new(&live), &dest, &Tell::quiet()).unwrap();
        assert_eq!(again.fingerprint, whole);
        assert!(!with(&dest, ".partial").exists());
    }
    drop(connection);
}

#[test]
fn a_full_disk_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (live, dest) = (dir.path().join("live.db"), dir.path().join("b"));
    drop(hostile(&live));
    let error =
        backup(&Database::new(&live), &dest, &Tell::with_faults(Arc::new(Faults::full(3)))).unwrap_err();
    assert_eq!(error.halt(), Some(Halt::Full));
    assert!(!dest.exists() && !with(&dest, ".partial").exists());
}

#[test]
fn a_stop_ends_a_backup() {
    let dir = tempfile::tempdir().unwrap();
    let (live, dest) = (dir.path().join("live.db"), dir.path().join("b"));
    drop(hostile(&live));
    let tell = Tell::new(Arc::new(|_| ()), Arc::new(AtomicBool::new(true)), Arc::new(Faults::none()));
    let error = backup(&Database::new(&live), &dest, &tell).unwrap_err();
    assert_eq!(error.halt(), Some(Halt::Interrupted));
    assert!(!dest.exists() && !with(&dest, ".partial").exists());
}

#[test]
fn an_older_backup_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let (live, dest) = (dir.path().join("live.db"), dir.path().join("b"));
    let connection = hostile(&live);
    let first = backup(&Database::new(&live), &dest, &Tell::quiet()).unwrap();
    assert_eq!(scratch_copy(&Database::new(&live), &dest, &Tell::quiet()).unwrap(), first);
    connection.execute("INSERT INTO narrow VALUES (0, 0)", []).unwrap();
    let bytes = std::fs::read(&dest).unwrap();
    let error = backup(&Database::new(&live), &dest, &Tell::quiet()).unwrap_err();
    let BackupError::Exists { lines, .. } = error else { panic!("{error}") };
    assert_eq!(lines, ["table narrow: 3 rows there, 2 here"]);
    assert_eq!(std::fs::read(&dest).unwrap(), bytes);
}

#[test]
fn damaged_pages_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live.db");
    let connection = app(&live);
    connection
        .execute_batch(
            "CREATE TABLE t(a, b); CREATE INDEX i ON t(b);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
             INSERT INTO t SELECT i, hex(randomblob(50)) FROM n;",
        )
        .unwrap();
    drop(connection);
    let bytes = std::fs::read(&live).unwrap();
    let mut refused = 0;
    for page in 1..bytes.len() / 4096 {
        if page % 9 != 0 {
            continue;
        }
        let mut broken = bytes.clone();
        // The type byte and the cell count of the page.
        broken[page * 4096..page * 4096 + 8].fill(0xee);
        let (path, dest) = (dir.path().join(format!("p{page}.db")), dir.path().join(format!("b{page}")));
        std::fs::write(&path, broken).unwrap();
        let error = backup(&Database::new(&path), &dest, &Tell::quiet()).unwrap_err();
        assert!(matches!(error, BackupError::Damaged { .. }), "{error:?}");
        assert!(!dest.exists() && !with(&dest, ".partial").exists());
        refused += 1;
    }
    assert!(refused > 10);
}

#[test]
fn rows_that_break_a_rule_are_copied_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let (live, dest) = (dir.path().join("live.db"), dir.path().join("b"));
    let connection = app(&live);
    connection
        .execute_batch(
            "CREATE TABLE t(a); INSERT INTO t VALUES (NULL); PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = 'CREATE TABLE t(a NOT NULL)'; PRAGMA writable_schema = RESET;",
        )
        .unwrap();
    drop(connection);
    let report = backup(&Database::new(&live), &dest, &Tell::quiet()).unwrap();
    assert_eq!(report.complaints, ["NULL value in t.a"]);
}

#[test]
fn a_half_done_transaction_is_not_backed_up() {
    let dir = tempfile::tempdir().unwrap();
    let (live, left) = (dir.path().join("live.db"), dir.path().join("left.db"));
    let connection = app(&live);
    half_done(&connection);
    killed(&live, &left);
    let error = backup(&Database::new(&left), &dir.path().join("b"), &Tell::quiet()).unwrap_err();
    assert!(matches!(error, BackupError::Open(OpenError::HalfDone { .. })));
}

/// A collation that only an application has.
unsafe extern "C" fn backwards(
    _: *mut std::ffi::c_void,
    left_len: i32,
    left: *const std::ffi::c_void,
    right_len: i32,
    right: *const std::ffi::c_void,
) -> i32 {
    // SAFETY: SQLite gives pointers to so many bytes (sqlite.org/c3ref/create_collation.html).
    let bytes = |at: *const std::ffi::c_void, len: i32| unsafe {
        std::slice::from_raw_parts(at.cast::<u8>(), len.unsigned_abs() as usize)
    };
    bytes(right, right_len).cmp(bytes(left, left_len)) as i32
}

#[test]
fn functions_collations_and_modules_of_the_application_need_not_be_known() {
    let dir = tempfile::tempdir().unwrap();
    let (live, dest) = (dir.path().join("live.db"), dir.path().join("b"));
    let connection = app(&live);
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("own", 1, flags, |call| call.get::<i64>(0).map(|n| n + 1)).unwrap();
    // SAFETY: the handle is alive, the name is a C string, and the function keeps nothing.
    let created = unsafe {
        let (handle, utf8) = (connection.handle(), rusqlite::ffi::SQLITE_UTF8);
        rusqlite::ffi::sqlite3_create_collation_v2(
            handle,
            c"theirs".as_ptr(),
            utf8,
            std::ptr::null_mut(),
            Some(backwards),
            None,
        )
    };
    assert_eq!(created, 0);
    connection
        .execute_batch(
            "CREATE TABLE t(a INTEGER CHECK (own(a) > 0), g AS (own(a)) STORED, v AS (own(a)), c TEXT COLLATE theirs);
             CREATE INDEX by_function ON t(own(a)); CREATE INDEX some ON t(a) WHERE a > 1; CREATE INDEX by_c ON t(c);
             CREATE TABLE w(k TEXT COLLATE theirs PRIMARY KEY, x COLLATE theirs) WITHOUT ROWID;
             CREATE VIEW dangling AS SELECT own(a) FROM t; CREATE TABLE u(a COLLATE theirs UNIQUE);
             INSERT INTO t(a, c) VALUES (1, 'x'), (2, 'y'); INSERT INTO w VALUES ('a', 1), ('b', 2);
             INSERT INTO u VALUES ('a'), ('b');
             CREATE VIRTUAL TABLE f USING fts5(body); INSERT INTO f VALUES ('fox');
             CREATE VIEW broken AS SELECT * FROM u; PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = replace(sql, 'fts5', 'unknown') WHERE name = 'f';
             UPDATE sqlite_schema SET sql = replace(sql, 'u', 'gone') WHERE name = 'broken';",
        )
        .unwrap();
    drop(connection);
    let report = backup(&Database::new(&live), &dest, &Tell::quiet()).unwrap();
    assert_eq!((report.rows["t"], report.rows["w"], report.rows["u"]), (2, 2, 2));
    assert!(report.complaints.is_empty());
    assert_eq!(Fingerprint::of(&Database::new(&live), &Tell::quiet()).unwrap(), report.fingerprint);
    std::fs::remove_file(&live).unwrap();
    let back =
        restore(&dest, &Database::new(&live), &report.fingerprint, Some(&report.traits), &Tell::quiet());
    assert_eq!(back.unwrap(), Restored::Replaced);
}

#[test]
fn a_database_is_not_backed_up_to_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (live, link) = (dir.path().join("live.db"), dir.path().join("link.db"));
    drop(hostile(&live));
    std::os::unix::fs::symlink(&live, &link).unwrap();
    let bytes = std::fs::read(&live).unwrap();
    for dest in [&live, &link] {
        let error = backup(&Database::new(&live), dest, &Tell::quiet()).unwrap_err();
        assert!(matches!(error, BackupError::Itself { .. }));
    }
    assert_eq!(std::fs::read(&live).unwrap(), bytes);
}

#[test]
fn other_encodings_page_sizes_and_vacuum_modes_are_kept() {
    for (number, pragmas) in [
        "PRAGMA encoding = 'UTF-16le'; PRAGMA page_size = 512",
        "PRAGMA encoding = 'UTF-16be'; PRAGMA page_size = 65536; PRAGMA auto_vacuum = 1",
        "PRAGMA auto_vacuum = 2; PRAGMA journal_mode = PERSIST",
    ]
    .into_iter()
    .enumerate()
    {
        let dir = tempfile::tempdir().unwrap();
        let (live, dest) = (dir.path().join("live.db"), dir.path().join(format!("b{number}")));
        let connection = app(&live);
        connection
            .execute_batch(&format!(
                "{pragmas}; CREATE TABLE t(a); INSERT INTO t VALUES ('ü💾'), (x'00'), (zeroblob(200000)), (1)"
            ))
            .unwrap();
        drop(connection);
        let report = backup(&Database::new(&live), &dest, &Tell::quiet()).unwrap();
        assert_eq!(report.fingerprint, fingerprint(&live));
        assert_eq!(report.fingerprint, fingerprint(&dest));
        assert_eq!(std::fs::read(&live).unwrap()[100..], std::fs::read(&dest).unwrap()[100..]);
    }
}
