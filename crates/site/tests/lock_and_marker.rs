//! Locks and markers.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::os::unix::fs::MetadataExt;

use switchback_site::Tell;
use switchback_site::lock::{FolderLock, LockError, RunLock};
use switchback_site::marker::Marker;

#[test]
fn a_folder_is_locked_once_and_free_again_when_the_lock_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let lock = FolderLock::take(folder.path()).unwrap();
    assert!(matches!(FolderLock::take(folder.path()), Err(LockError::Held { .. })));
    drop(lock);
    FolderLock::take(folder.path()).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left in the folder");
}

#[test]
fn a_passed_on_descriptor_keeps_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let lock = FolderLock::take(folder.path()).unwrap();
    let child = lock.pass_on().unwrap();
    drop(lock);
    assert!(matches!(FolderLock::take(folder.path()), Err(LockError::Held { .. })));
    drop(child);
    FolderLock::take(folder.path()).unwrap();
}

#[test]
fn a_run_lock_is_a_file_that_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let lock = RunLock::take(&path).unwrap();
    assert!(RunLock::take(&path).unwrap_err().to_string().contains("another run holds it"));
    drop(lock);
    assert!(path.exists());
    RunLock::take(&path).unwrap();
    assert!(matches!(FolderLock::take(&path), Err(LockError::Io { .. })), "a file is not a folder");
}

#[test]
fn a_marker_is_written_read_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("O'Brien \"lab\".db");
    let marker = Marker {
        format: 1,
        run: "r1".into(),
        state_dir: "/somewhere/.switchback".into(),
        pid: 42,
        user: "ops".into(),
        host: "h".into(),
        since: "2026-11-20T21:26:00Z".into(),
    };
    assert_eq!(Marker::read(&target).unwrap(), None);
    marker.write(&target, &Tell::quiet()).unwrap();
    assert_eq!(Marker::read(&target).unwrap(), Some(marker));
    let path = Marker::path_of(&target).unwrap();
    assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o644);
    fs::write(&path, "{").unwrap();
    assert!(Marker::read(&target).is_err());
    Marker::remove(&target, &Tell::quiet()).unwrap();
    Marker::remove(&target, &Tell::quiet()).unwrap();
    assert_eq!(Marker::read(&target).unwrap(), None);
}
