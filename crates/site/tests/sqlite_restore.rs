//! A restore ends in the state that was backed up, whatever lies there and wherever it is cut.
#![allow(clippy::unwrap_used)]

mod sqlite_common;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use sqlite_common::{app, files, fingerprint, half_done, hostile, killed, names, with};
use switchback_site::sqlite::{
    BackupReport, Database, ExclusiveError, Fingerprint, RestoreError, Restored, backup, restore,
};
use switchback_site::{Failure, Faults, Halt, Tell};

/// Backs up the state that all tests want back.
fn saved(dir: &Path) -> BackupReport {
    let origin = dir.join("origin.db");
    drop(hostile(&origin));
    let report = backup(&Database::new(&origin), &dir.join("backup"), &Tell::quiet()).unwrap();
    std::fs::remove_file(origin).unwrap();
    report
}

/// What the next program that opens it would find; side files may be replayed. `None` is no database.
fn as_opened(path: &Path) -> Option<Fingerprint> {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy.db");
    killed(path, &copy);
    let connection = Database::new(&copy).open_write().ok()?;
    let mut found = Fingerprint::read(&connection, &Tell::quiet()).ok()?;
    let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    // On the way the mode may have changed already.
    found.pragmas.remove("journal_mode");
    Some(found)
}

/// Cuts the restore at every fault point, looks at what a program would find there, and repeats it.
fn cut_everywhere(lay: impl Fn(&Path)) {
    let dir = tempfile::tempdir().unwrap();
    let report = saved(dir.path());
    let mut wanted = report.fingerprint.clone();
    wanted.pragmas.remove("journal_mode");
    for at in 1.. {
        let folder = dir.path().join(format!("{at}"));
        std::fs::create_dir(&folder).unwrap();
        let live = folder.join("live.db");
        lay(&live);
        let old = as_opened(&live);
        let go = |tell: &Tell| {
            let database = Database::new(&live);
            restore(&dir.path().join("backup"), &database, &report.fingerprint, Some(&report.traits), tell)
        };
        let faults = Arc::new(Faults::cut(at));
        let first = go(&Tell::with_faults(faults.clone()));
        let struck = faults.passed() >= at;
        if struck {
            assert_eq!(first.unwrap_err().halt(), Some(Halt::Cut));
            let found = as_opened(&live);
            assert!(found == old || found.as_ref() == Some(&wanted), "cut {at} left a third state");
            // Cut the repeat as well, a little later, before letting it finish.
            let _ = go(&Tell::with_faults(Arc::new(Faults::cut(at / 2 + 1))));
            go(&Tell::quiet()).unwrap();
        } else {
            assert_eq!(first.unwrap(), Restored::Replaced);
        }
        assert_eq!(names(&folder), ["live.db"], "cut {at}");
        assert_eq!(as_opened(&live), Some(wanted.clone()));
        assert_eq!(fingerprint(&live), report.fingerprint);
        let before = std::fs::read(&live).unwrap();
        assert_eq!(go(&Tell::quiet()).unwrap(), Restored::AlreadyThere);
        assert_eq!(std::fs::read(&live).unwrap(), before);
        if !struck {
            assert!(at > 8);
            break;
        }
    }
}

/// Another database in WAL mode, most of it in the log.
fn other(live: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("other.db");
    let connection = hostile(&path);
    connection.execute_batch("PRAGMA wal_checkpoint; DROP TABLE plain; UPDATE narrow SET a = 99").unwrap();
    killed(&path, live);
}

#[test]
fn over_what_a_killed_application_leaves() {
    cut_everywhere(other);
}

#[test]
fn over_a_half_done_transaction() {
    cut_everywhere(|live| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("half.db");
        let connection = app(&path);
        half_done(&connection);
        killed(&path, live);
    });
}

#[test]
fn over_garbage_with_a_log_and_a_journal_of_another_database() {
    cut_everywhere(|live| {
        other(live);
        std::fs::write(live, vec![0x5a; 9000]).unwrap();
        std::fs::write(with(live, "-journal"), b"whatever").unwrap();
        std::fs::write(with(live, "-shm"), vec![1; 32768]).unwrap();
    });
}

#[test]
fn over_a_file_with_broken_pages_and_a_log() {
    cut_everywhere(|live| {
        other(live);
        let mut bytes = std::fs::read(live).unwrap();
        bytes[100..2000].fill(0xee);
        std::fs::write(live, bytes).unwrap();
        std::fs::remove_file(with(live, "-wal")).unwrap();
    });
}

#[test]
fn over_nothing_with_a_log_left() {
    cut_everywhere(|live| {
        other(live);
        std::fs::remove_file(live).unwrap();
    });
}

#[test]
fn over_an_empty_file_with_a_log_left() {
    cut_everywhere(|live| {
        other(live);
        std::fs::write(live, b"").unwrap();
    });
}

#[test]
fn the_main_file_of_the_backup_beside_a_log_of_later_writes_is_put_right() {
    // What `cp backup live` without removing the log leaves.
    cut_everywhere(|live| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        let connection = hostile(&path);
        connection
            .execute_batch("PRAGMA wal_checkpoint(TRUNCATE); UPDATE narrow SET a = 77; DELETE FROM flat")
            .unwrap();
        killed(&path, live);
    });
}

#[test]
fn a_log_that_fits_the_backup_is_gone_before_the_backup_lies_beside_it() {
    // A log of later writes over the very pages of the backup: beside it, it would be replayed into a sound database
    // of a third state.
    cut_everywhere(|live| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.db");
        let connection = hostile(&path);
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); UPDATE narrow SET a = 77").unwrap();
        killed(&path, live);
        assert!(with(live, "-wal").exists());
        std::fs::remove_file(live).unwrap();
    });
}

#[test]
fn owner_mode_and_attributes_come_back_and_the_symlink_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (live, link) = (dir.path().join("data.db"), dir.path().join("link.db"));
    let connection = hostile(&live);
    std::fs::set_permissions(&live, std::fs::Permissions::from_mode(0o664)).unwrap();
    let attribute =
        rustix::fs::setxattr(&live, "user.note", b"kept", rustix::fs::XattrFlags::empty()).is_ok();
    let root = rustix::process::geteuid().is_root();
    if root {
        std::os::unix::fs::chown(&live, Some(1234), Some(2345)).unwrap();
    }
    drop(connection);
    std::os::unix::fs::symlink("data.db", &link).unwrap();
    let (dest, database) = (dir.path().join("backup"), Database::new(&link));
    let report = backup(&database, &dest, &Tell::quiet()).unwrap();
    assert_eq!(report.traits.mode, 0o664);

    std::fs::remove_file(&live).unwrap();
    let go = || restore(&dest, &database, &report.fingerprint, Some(&report.traits), &Tell::quiet());
    assert_eq!(go().unwrap(), Restored::Replaced);
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    let meta = std::fs::metadata(&live).unwrap();
    assert_eq!(meta.mode() & 0o7777, 0o664);
    if root {
        assert_eq!((meta.uid(), meta.gid()), (1234, 2345));
    }
    if attribute {
        let mut value = [0u8; 16];
        let len = rustix::fs::getxattr(&live, "user.note", &mut value[..]).unwrap();
        assert_eq!(&value[..len], b"kept");
    }
    // A mode that somebody changed is put right even where the content is.
    std::fs::set_permissions(&live, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(go().unwrap(), Restored::AlreadyThere);
    assert_eq!(std::fs::metadata(&live).unwrap().mode() & 0o7777, 0o664);
}

#[test]
fn a_database_in_use_is_refused_and_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let report = saved(dir.path());
    let live = dir.path().join("live.db");
    other(&live);
    let holder = app(&live);
    holder.query_row("SELECT count(*) FROM narrow", [], |_| Ok(())).unwrap();
    let before = std::fs::read(with(&live, "-wal")).unwrap();
    let database = Database::new(&live).busy_timeout(std::time::Duration::from_millis(20));
    let error = restore(&dir.path().join("backup"), &database, &report.fingerprint, None, &Tell::quiet())
        .unwrap_err();
    let RestoreError::Exclusive(ExclusiveError::Busy { holders, .. }) = error else { panic!("{error:?}") };
    assert!(holders.seen.iter().any(|holder| holder.pid == std::process::id()));
    assert_eq!(before, std::fs::read(with(&live, "-wal")).unwrap());
    assert!(!names(dir.path()).iter().any(|name| name.contains("switchback-restore")));
}

#[test]
fn a_backup_that_changed_is_refused_before_the_database_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let report = saved(dir.path());
    let folder = dir.path().join("site");
    std::fs::create_dir(&folder).unwrap();
    let live = folder.join("live.db");
    drop(hostile(&live));
    app(&live).execute_batch("DELETE FROM narrow").unwrap();
    app(&dir.path().join("backup")).execute_batch("UPDATE counted SET v = 'forged'").unwrap();
    let before = files(&folder);
    let database = Database::new(&live);
    let error = restore(&dir.path().join("backup"), &database, &report.fingerprint, None, &Tell::quiet())
        .unwrap_err();
    assert!(matches!(error, RestoreError::Changed { .. }), "{error}");
    let main = |files: Vec<(String, Vec<u8>)>| files.into_iter().find(|(name, _)| name == "live.db");
    assert_eq!(main(files(&folder)), main(before));
}

#[test]
fn without_a_file_and_without_its_traits_nothing_is_guessed() {
    let dir = tempfile::tempdir().unwrap();
    let report = saved(dir.path());
    let database = Database::new(dir.path().join("gone.db"));
    let error = restore(&dir.path().join("backup"), &database, &report.fingerprint, None, &Tell::quiet())
        .unwrap_err();
    assert!(matches!(error, RestoreError::NoTraits { .. }));
}
