//! Putting a backup back in the place of a database, so that at every moment one whole database lies there.
//!
//! The danger is in the side files. A log (`-wal`) or a hot journal (`-journal`) that survives beside a main file of
//! another state is replayed into it by the next program that opens it, and ruins it (sqlite.org/howtocorrupt.html §1.4,
//! §4.4). Hence the order:
//!
//! 1. The backup is copied beside the database under another name, with its owner and mode, synced, and proven. Up to here
//!    nothing is touched, and whatever can fail for want of space or rights has failed.
//! 2. SQLite itself folds log or journal into the *old* file (`take`), which is what they belong to. A cut leaves the
//!    old database, whole. Where the old file is beyond opening, its side files are removed: they are of use only with it,
//!    and it is lost.
//! 3. With no side file left, the folder is synced. Only then may the main file change: from here no power cut can
//!    bring a log back beside the new file.
//! 4. The copy is renamed over the database while SQLite's exclusive lock on the old file is held, so that nobody
//!    can write a new log or journal between 3 and 4. A cut leaves the old database or the new one, whole.
//! 5. The folder is synced and the database read back.
//!
//! A repeat after any cut begins by looking: it finds the expected state and is done, or starts over at 1.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rustix::io::Errno;

use crate::sqlite::backup::{is_same_file, sync_folder};
use crate::sqlite::connect::{Database, OpenError, open_immutable};
use crate::sqlite::exclusive::{Exclusive, ExclusiveError, side_files, take};
use crate::sqlite::fingerprint::{Fingerprint, FingerprintError};
use crate::sqlite::holders::holders;
use crate::sqlite::traits::{FileTraits, TraitsError};
use crate::tell::{Failure, Halt, Tell, Unit};

/// Why a backup could not be put back. Unless the text says otherwise the database is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The database or the backup could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Somebody uses the database.
    #[error(transparent)]
    Exclusive(#[from] ExclusiveError),
    /// The backup is the database: a link to it, or the same path.
    #[error("restore {} from itself; name the backup", .path.display())]
    Itself {
        /// The database.
        path: PathBuf,
    },
    /// The backup is not what it was when it was made.
    #[error("restore from {}: it is no longer what was backed up ({}); the database is unchanged", .path.display(), .lines.join("; "))]
    Changed {
        /// The backup.
        path: PathBuf,
        /// What differs.
        lines: Vec<String>,
    },
    /// Nobody knows whose file it is to be.
    #[error("restore {}: the file is gone and its owner and mode were not recorded; create it empty with the right owner", .path.display())]
    NoTraits {
        /// The database.
        path: PathBuf,
    },
    /// It was put back and reads differently.
    #[error("prove the restored {}: it differs from the backup ({}); check the disk and repeat", .path.display(), .lines.join("; "))]
    Differs {
        /// The database.
        path: PathBuf,
        /// What differs.
        lines: Vec<String>,
    },
    /// Reading failed.
    #[error(transparent)]
    Fingerprint(#[from] FingerprintError),
    /// Owner, mode or attributes could not be given.
    #[error(transparent)]
    Traits(#[from] TraitsError),
    /// The file system failed.
    #[error("{what} {}: {source}", .path.display())]
    Io {
        /// What was attempted.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Stopped on the way; a repeat finishes.
    #[error(transparent)]
    Halt(#[from] Halt),
}

impl Failure for RestoreError {
    fn halt(&self) -> Option<Halt> {
        match self {
            RestoreError::Halt(halt) => Some(*halt),
            RestoreError::Fingerprint(error) => error.halt(),
            RestoreError::Exclusive(error) => error.halt(),
            _ => None,
        }
    }
}

/// What [`restore`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// The database was in the expected state already.
    AlreadyThere,
    /// The backup was put in its place.
    Replaced,
}

/// Puts `backup` in the place of `live`, unless `live` equals `expected` already.
///
/// `traits` are those that the backup recorded; without them the file keeps the owner and mode it has. A symlink stays
/// one. After `Ok` the restored state survives a power cut; after a cut or an error a repeat finishes.
pub fn restore(
    backup: &Path,
    live: &Database,
    expected: &Fingerprint,
    traits: Option<&FileTraits>,
    tell: &Tell,
) -> Result<Restored, RestoreError> {
    let path = live.real_path()?;
    if is_same_file(backup, &path) {
        return Err(RestoreError::Itself { path });
    }
    let copy = copy_path(&path);
    let traits = match traits {
        Some(traits) => traits.clone(),
        None if path.exists() => FileTraits::of(&path)?,
        None => return Err(RestoreError::NoTraits { path }),
    };
    let clean = side_files(&path).is_empty();
    if equals(live, expected, tell)? {
        if clean {
            // The look may have made an index and an empty log; a connection that may write takes them away again.
            drop(live.open_write()?);
        }
        return settle(&path, &copy, &traits, tell);
    }
    tell.point("sqlite.restore.copy")?;
    let copied =
        lay_beside(backup, &copy, expected, &traits, tell).and_then(|()| Ok(quiet(live, &path, tell)?));
    let exclusive = match copied {
        Ok(exclusive) => exclusive,
        Err(error) => {
            // The database stays, so its copy must not fill the disk. A dead process writes nothing more, though.
            if error.halt() != Some(Halt::Cut) {
                let _ = std::fs::remove_file(&copy);
            }
            return Err(error);
        }
    };
    drop_side_files(&path, tell)?;
    tell.point("sqlite.restore.rename")?;
    put_in_place(&copy, &path, exclusive, tell)?;
    tell.point("sqlite.restore.renamed")?;
    sync_folder(&path).map_err(|source| io("sync the folder of", &path, source))?;
    tell.point("sqlite.restore.synced")?;
    let lines = read_back(live, tell)?.differences(expected);
    if lines.is_empty() { Ok(Restored::Replaced) } else { Err(RestoreError::Differs { path, lines }) }
}

/// The name of the copy in the making; it must lie in the same folder to be renamed.
fn copy_path(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".switchback-restore");
    path.with_file_name(name)
}

/// Says whether the database is in the expected state. One that cannot be read is not.
fn equals(live: &Database, expected: &Fingerprint, tell: &Tell) -> Result<bool, RestoreError> {
    let connection = match live.open_read() {
        Ok(connection) => connection,
        // SQLite finishes the half-done transaction when we take the database.
        Err(OpenError::HalfDone { .. }) => return Ok(false),
        Err(error) if is_broken(&error) => return Ok(false),
        Err(OpenError::Locked { path, .. }) => {
            return Err(ExclusiveError::Busy { holders: holders(&path).others(), path }.into());
        }
        Err(error) => return Err(error.into()),
    };
    match Fingerprint::read_alone(connection, tell) {
        Ok(found) => Ok(found == *expected),
        Err(FingerprintError::Table { source, .. } | FingerprintError::Catalog { source })
            if is_corrupt(&source) =>
        {
            Ok(false)
        }
        // A name that cannot be read was not in the database that was backed up.
        Err(FingerprintError::Name { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn is_broken(error: &OpenError) -> bool {
    match error {
        OpenError::Missing { .. }
        | OpenError::Empty { .. }
        | OpenError::NotADatabase { .. }
        | OpenError::Damaged { .. } => true,
        OpenError::Sqlite { source, .. } => is_corrupt(source),
        _ => false,
    }
}

fn is_corrupt(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        || error
            .sqlite_error()
            .is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHORT_READ)
}

/// Ends a repeat whose predecessor died after the rename: what it did becomes durable, and what it left goes.
fn settle(path: &Path, copy: &Path, traits: &FileTraits, tell: &Tell) -> Result<Restored, RestoreError> {
    tell.point("sqlite.restore.settle")?;
    traits.give(path)?;
    remove(copy)?;
    sync_folder(path).map_err(|source| io("sync the folder of", path, source))?;
    tell.point("sqlite.restore.settled")?;
    Ok(Restored::AlreadyThere)
}

/// Copies the backup beside the database and proves the copy.
fn lay_beside(
    backup: &Path,
    copy: &Path,
    expected: &Fingerprint,
    traits: &FileTraits,
    tell: &Tell,
) -> Result<(), RestoreError> {
    // Refuses what is no database before a byte is copied.
    drop(open_immutable(backup)?);
    remove(copy)?;
    tell.point("sqlite.restore.copying")?;
    copy_bytes(backup, copy, tell)?;
    tell.point("sqlite.restore.copied")?;
    traits.give(copy)?;
    File::open(copy).and_then(|file| file.sync_all()).map_err(|source| io("sync", copy, source))?;
    tell.point("sqlite.restore.proving")?;
    let found = Fingerprint::read_parallel(&|| open_immutable(copy), 2, tell)?;
    let lines = found.differences(expected);
    if lines.is_empty() { Ok(()) } else { Err(RestoreError::Changed { path: backup.to_owned(), lines }) }
}

fn copy_bytes(from: &Path, to: &Path, tell: &Tell) -> Result<(), RestoreError> {
    let mut source = File::open(from).map_err(|source| io("read", from, source))?;
    let total = source.metadata().map_err(|source| io("read", from, source))?.len();
    let mut target = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(|source| io("create", to, source))?;
    pour(&mut source, &mut target, total, tell, |source| io("copy to", to, source))
}

/// Copies all bytes, with progress and in pieces that can be stopped between.
fn pour(
    source: &mut File,
    target: &mut File,
    total: u64,
    tell: &Tell,
    failed: impl Fn(std::io::Error) -> RestoreError,
) -> Result<(), RestoreError> {
    let (mut buffer, mut done) = (vec![0u8; 4 << 20], 0);
    loop {
        tell.go_on()?;
        let len = match source.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(len) => len,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        target.write_all(&buffer[..len]).map_err(&failed)?;
        done += len as u64;
        tell.progress("copying the backup", done, Some(total), Unit::Bytes);
    }
}

/// Makes the old database quiet and locks it; `None` where it is beyond opening and nobody holds it.
pub(super) fn quiet(live: &Database, path: &Path, tell: &Tell) -> Result<Option<Exclusive>, ExclusiveError> {
    let taken = take(live, tell).and_then(|exclusive| exclusive.lock().map(|()| exclusive));
    match taken {
        Ok(exclusive) => return Ok(Some(exclusive)),
        Err(ExclusiveError::Open(error)) if is_broken(&error) => {}
        Err(ExclusiveError::Sqlite { source, .. }) if is_corrupt(&source) => {}
        Err(error) => return Err(error),
    }
    let holders = holders(path);
    if holders.is_empty() { Ok(None) } else { Err(ExclusiveError::Busy { path: path.to_owned(), holders }) }
}

/// Removes what lies beside the old file. After `take` that is nothing; beside a broken file it is log and journal.
fn drop_side_files(path: &Path, tell: &Tell) -> Result<(), RestoreError> {
    for file in side_files(path) {
        tell.point("sqlite.restore.remove-side-file")?;
        remove(&file)?;
    }
    tell.point("sqlite.restore.side-files-gone")?;
    sync_folder(path).map_err(|source| io("sync the folder of", path, source))
}

fn put_in_place(copy: &Path, path: &Path, old: Option<Exclusive>, tell: &Tell) -> Result<(), RestoreError> {
    match std::fs::rename(copy, path) {
        Ok(()) => {
            drop(old);
            Ok(())
        }
        Err(error)
            if [Errno::BUSY, Errno::XDEV].map(|e| Some(e.raw_os_error())).contains(&error.raw_os_error()) =>
        {
            // A bind-mounted file cannot be replaced (rename(2)), only written. Our connection to it must close first,
            // as closing the other descriptor would drop its locks. A cut in here leaves half a file, which no
            // service may open before the repeat; that is why a restore happens while they are stopped.
            drop(old);
            overwrite(copy, path, tell)
        }
        Err(source) => Err(io("put the backup in the place of", path, source)),
    }
}

fn overwrite(copy: &Path, path: &Path, tell: &Tell) -> Result<(), RestoreError> {
    let mut source = File::open(copy).map_err(|source| io("read", copy, source))?;
    let total = source.metadata().map_err(|source| io("read", copy, source))?.len();
    let mut target = OpenOptions::new().write(true).open(path).map_err(|source| io("write", path, source))?;
    pour(&mut source, &mut target, total, tell, |source| io("write", path, source))?;
    target.set_len(total).and_then(|()| target.sync_all()).map_err(|source| io("write", path, source))?;
    drop(target);
    remove(copy)
}

/// Reads the restored database through a connection that may write, so that it tidies its side files away on closing.
fn read_back(live: &Database, tell: &Tell) -> Result<Fingerprint, RestoreError> {
    Ok(Fingerprint::read_alone(live.open_write()?, tell)?)
}

fn remove(path: &Path) -> Result<(), RestoreError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(io("remove", path, source)),
        _ => Ok(()),
    }
}

fn io(what: &'static str, path: &Path, source: std::io::Error) -> RestoreError {
    RestoreError::Io { what, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_bind_mounted_file_is_overwritten_in_place() {
        // A mount needs rights that tests lack, so the way that EBUSY leads to is walked directly.
        let dir = tempfile::tempdir().unwrap();
        let (copy, live) = (dir.path().join("copy"), dir.path().join("live"));
        std::fs::write(&copy, b"short").unwrap();
        std::fs::write(&live, vec![1; 10_000]).unwrap();
        let inode = std::fs::metadata(&live).unwrap().ino();
        overwrite(&copy, &live, &Tell::quiet()).unwrap();
        assert_eq!(std::fs::read(&live).unwrap(), b"short");
        assert_eq!(std::fs::metadata(&live).unwrap().ino(), inode);
        assert!(!copy.exists());
    }
}
