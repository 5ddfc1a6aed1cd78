//! A look changes nothing, and what is no database is refused before anything.
#![allow(clippy::unwrap_used)]

mod sqlite_common;

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use sqlite_common::{app, files, fingerprint, half_done, hostile, killed, with};
use switchback_site::Tell;
use switchback_site::sqlite::{Database, Fingerprint, OpenError, open_immutable};

#[test]
fn a_look_reads_the_log_of_a_killed_application_and_changes_no_byte() {
    let dir = tempfile::tempdir().unwrap();
    let (live, left) = (dir.path().join("live.db"), dir.path().join("left.db"));
    let connection = hostile(&live);
    killed(&live, &left);
    assert!(!with(&left, "-shm").exists());
    let before = (std::fs::read(&left).unwrap(), std::fs::read(with(&left, "-wal")).unwrap());
    let mode = std::fs::metadata(&left).unwrap().mode();

    let look = Database::new(&left).open_read().unwrap();
    let rows: i64 = look.query_row("SELECT count(*) FROM plain", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 6);
    assert!(look.execute("DELETE FROM plain", []).is_err());
    look.close().unwrap();

    assert_eq!(before, (std::fs::read(&left).unwrap(), std::fs::read(with(&left, "-wal")).unwrap()));
    assert_eq!(mode, std::fs::metadata(&left).unwrap().mode());
    // The main file alone has nothing yet: everything lies in the log.
    assert_eq!(fingerprint(&left), fingerprint(&live));
    drop(connection);
}

#[test]
fn a_look_keeps_the_log_of_a_running_application() {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live.db");
    let connection = hostile(&live);
    let before = std::fs::read(with(&live, "-wal")).unwrap();
    fingerprint(&live);
    assert_eq!(before, std::fs::read(with(&live, "-wal")).unwrap());
    connection.execute("INSERT INTO narrow VALUES (5, 6)", []).unwrap();
}

#[test]
fn what_is_no_database_is_refused_and_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        Database::new(path)
    };
    let good = dir.path().join("good.db");
    app(&good).execute_batch("CREATE TABLE t(a); INSERT INTO t VALUES (zeroblob(50000)); VACUUM").unwrap();
    let bytes = std::fs::read(&good).unwrap();
    let empty = file("empty", b"");
    std::fs::write(with(empty.path(), "-wal"), b"a log that must not be deleted").unwrap();
    let garbage = file("garbage", &vec![0x5a; 8192]);
    let short = file("short", b"SQLite format 3\0");
    let text = file("text", "a,b\n".repeat(1000).as_bytes());
    let cut = file("cut", &bytes[..8192]);
    let mut broken = bytes.clone();
    broken[100..4096].fill(0xee);
    let broken = file("broken", &broken);
    let before = files(dir.path());

    type Try = fn(&Database) -> Option<OpenError>;
    let ways: [Try; 3] =
        [|db| db.open_read().err(), |db| db.open_write().err(), |db| open_immutable(db.path()).err()];
    for open in ways {
        assert!(matches!(open(&empty), Some(OpenError::Empty { .. })));
        for wrong in [&garbage, &short, &text] {
            assert!(matches!(open(wrong), Some(OpenError::NotADatabase { .. })), "{wrong:?}");
        }
        for damaged in [&cut, &broken] {
            assert!(
                matches!(open(damaged), Some(OpenError::Damaged { .. })),
                "{damaged:?}: {:?}",
                open(damaged)
            );
        }
        assert!(matches!(open(&Database::new(dir.path())), Some(OpenError::Folder { .. })));
        assert!(matches!(open(&Database::new("/dev/null")), Some(OpenError::NotAFile { .. })));
        assert!(matches!(open(&Database::new(dir.path().join("none"))), Some(OpenError::Missing { .. })));
        assert!(matches!(open(&Database::new(good.join("below"))), Some(OpenError::Missing { .. })));
        assert!(open(&Database::new("a\0b")).is_some());
    }
    assert_eq!(files(dir.path()), before);
}

#[test]
fn a_half_done_transaction_is_reported_by_a_look_and_rolled_back_by_a_writer() {
    let dir = tempfile::tempdir().unwrap();
    let (live, left) = (dir.path().join("live.db"), dir.path().join("left.db"));
    let connection = app(&live);
    half_done(&connection);
    killed(&live, &left);
    connection.execute_batch("ROLLBACK").unwrap();
    let before = files(dir.path());

    let database = Database::new(&left);
    assert!(matches!(database.open_read().err(), Some(OpenError::HalfDone { .. })));
    assert_eq!(files(dir.path()), before);
    drop(database.open_write().unwrap());
    assert_eq!(fingerprint(&left), fingerprint(&live));
}

#[test]
fn odd_paths_are_file_names_and_not_uris() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a?mode=memory&x#y%41.db", "file:x.db", "ü ' \" ;.db", "line\nbreak.db"] {
        let path = dir.path().join(name);
        let connection = app(&path);
        connection.execute_batch("CREATE TABLE t(a); INSERT INTO t VALUES (1)").unwrap();
        drop(connection);
        let database = Database::new(&path);
        let plain = Fingerprint::read(&database.open_read().unwrap(), &Tell::quiet()).unwrap();
        let immutable = Fingerprint::read(&open_immutable(&path).unwrap(), &Tell::quiet()).unwrap();
        assert_eq!(plain, immutable);
        assert_eq!(plain.rows(), 1);
    }
}

#[test]
fn the_log_is_found_behind_a_symlink() {
    let dir = tempfile::tempdir().unwrap();
    let (live, link) = (dir.path().join("live.db"), dir.path().join("link.db"));
    let connection = hostile(&live);
    std::os::unix::fs::symlink("live.db", &link).unwrap();
    assert_eq!(fingerprint(&link), fingerprint(&live));
    assert!(!with(&link, "-wal").exists());
    drop(connection);
    std::fs::remove_file(&live).unwrap();
    let real = Database::new(&link).real_path().unwrap();
    assert_eq!(real, dir.path().canonicalize().unwrap().join("live.db"));
}

#[test]
fn side_files_made_by_a_look_have_the_mode_of_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("live.db");
    drop(hostile(&path));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    fingerprint(&path);
    for suffix in ["-wal", "-shm"] {
        let side = with(&path, suffix);
        assert!(!side.exists() || std::fs::metadata(side).unwrap().mode() & 0o777 == 0o640);
    }
}

#[test]
fn a_journal_that_holds_nothing_is_swept_away_and_a_writers_own_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    let program = rusqlite::Connection::open(&path).unwrap();
    program
        .execute_batch("PRAGMA journal_mode = DELETE; CREATE TABLE t(a); INSERT INTO t VALUES (1)")
        .unwrap();
    let journal = dir.path().join("app.db-journal");
    for cold in [Vec::new(), vec![0_u8; 512]] {
        std::fs::write(&journal, cold).unwrap();
        Database::new(&path).settle().unwrap();
        assert!(!journal.exists());
    }
    program.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (2)").unwrap();
    assert!(journal.exists());
    let _ = Database::new(&path).busy_timeout(std::time::Duration::from_millis(50)).settle();
    assert!(journal.exists(), "the journal of a transaction under way");
    program.execute_batch("COMMIT").unwrap();
    assert_eq!(program.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap(), 2);
}
