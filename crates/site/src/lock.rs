//! Locks that die with their owner.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use crate::file::shown;
use crate::tell::{Failure, Halt};

/// Why a lock cannot be had. The text fits after "cannot".
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it. The marker beside the target may say who.
    #[error("lock {}: another run holds it", shown(path))]
    Held {
        /// What was to be locked.
        path: PathBuf,
    },
    /// The system refused.
    #[error("lock {}: {source}", shown(path))]
    Io {
        /// What was to be locked.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Failure for LockError {
    fn halt(&self) -> Option<Halt> {
        None
    }
}

/// An exclusive `flock` on a folder: on its descriptor, so that no lock file is left in an application's folder.
///
/// It ends when the last copy of the descriptor is closed, which the death of the process does. The descriptor is not
/// inherited by children, except by those that [`FolderLock::pass_on`] is handed to.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
}

impl FolderLock {
    /// Takes the lock, or says at once that it is held.
    pub fn take(folder: &Path) -> Result<FolderLock, LockError> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OFlags::DIRECTORY.bits() as i32);
        let file =
            options.open(folder).map_err(|source| LockError::Io { path: folder.to_owned(), source })?;
        lock(&file, folder)?;
        Ok(FolderLock { file })
    }

    /// Returns a copy of the descriptor for a child that must not outlive the lock unseen: as long as the child
    /// lives, the folder stays locked, also when this process is killed.
    pub fn pass_on(&self) -> io::Result<OwnedFd> {
        self.file.as_fd().try_clone_to_owned()
    }
}

/// An exclusive `flock` on a file of ours, which is created if it is missing and never removed.
#[derive(Debug)]
pub struct RunLock {
    file: File,
}

impl RunLock {
    /// Takes the lock, or says at once that it is held.
    pub fn take(path: &Path) -> Result<RunLock, LockError> {
        let mut options = OpenOptions::new();
        // The file is never removed: a lock on a removed file excludes nobody.
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32);
        let file = options.open(path).map_err(|source| LockError::Io { path: path.to_owned(), source })?;
        lock(&file, path)?;
        Ok(RunLock { file })
    }

    /// Returns a copy of the descriptor for a child; see [`FolderLock::pass_on`].
    pub fn pass_on(&self) -> io::Result<OwnedFd> {
        self.file.as_fd().try_clone_to_owned()
    }
}

fn lock(file: &File, path: &Path) -> Result<(), LockError> {
    loop {
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) => return Err(LockError::Held { path: path.to_owned() }),
            Err(error) => return Err(LockError::Io { path: path.to_owned(), source: error.into() }),
        }
    }
}
