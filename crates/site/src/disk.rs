//! Room on disk, and what a database takes of it.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::file::shown;

/// Why the disk cannot be measured. The text fits after "cannot".
#[derive(Debug, thiserror::Error)]
#[error("measure {}: {source}", shown(path))]
pub struct DiskError {
    /// What was to be measured.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl crate::tell::Failure for DiskError {
    fn halt(&self) -> Option<crate::tell::Halt> {
        None
    }
}

/// The room of one filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Space {
    /// Bytes that we may still write; what is reserved for root counts only for root.
    pub free: u64,
    /// Bytes of the whole filesystem.
    pub total: u64,
    /// Number of the device: equal for paths of one filesystem.
    pub device: u64,
}

/// Measures the filesystem that holds `path`, or would hold it once it exists.
pub fn space(path: &Path) -> Result<Space, DiskError> {
    let (existing, device) = existing(path)?;
    let stat = rustix::fs::statvfs(&existing)
        .map_err(|error| DiskError { path: path.to_owned(), source: error.into() })?;
    let free = if rustix::process::geteuid().is_root() { stat.f_bfree } else { stat.f_bavail };
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Ok(Space { free: bytes(free), total: bytes(stat.f_blocks), device })
}

/// Says whether two paths, existing or not, are on one filesystem, so that a rename between them works and their
/// needs add up.
pub fn same_filesystem(one: &Path, other: &Path) -> Result<bool, DiskError> {
    Ok(existing(one)?.1 == existing(other)?.1)
}

/// Returns the bytes of a SQLite database with its `-wal`, `-shm` and `-journal`, by `stat` alone: opening a live
/// database file and closing it again drops its locks (sqlite.org/howtocorrupt.html, section 2.2).
pub fn database_size(path: &Path) -> Result<u64, DiskError> {
    let fail = |source| DiskError { path: path.to_owned(), source };
    // The sidecars lie beside the file itself and not beside a link to it.
    let real = path.canonicalize().map_err(fail)?;
    let mut size = real.metadata().map_err(fail)?.len();
    for suffix in ["-wal", "-shm", "-journal"] {
        let mut name = OsString::from(&real);
        name.push(suffix);
        match PathBuf::from(name).metadata() {
            Ok(found) => size += found.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(fail(error)),
        }
    }
    Ok(size)
}

fn existing(path: &Path) -> Result<(PathBuf, u64), DiskError> {
    let fail = |source| DiskError { path: path.to_owned(), source };
    let absolute = std::path::absolute(path).map_err(fail)?;
    for ancestor in absolute.ancestors() {
        match ancestor.metadata() {
            Ok(found) => return Ok((ancestor.to_owned(), found.dev())),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => return Err(fail(error)),
        }
    }
    Err(fail(io::ErrorKind::NotFound.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_does_not_exist_yet_is_measured_by_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let there = space(folder.path()).unwrap();
        let not_yet = space(&folder.path().join("a/b/c")).unwrap();
        assert_eq!(there.device, not_yet.device);
        assert!(there.total >= there.free && there.total > 0);
        assert!(same_filesystem(folder.path(), &folder.path().join("x")).unwrap());
        assert!(!same_filesystem(folder.path(), Path::new("/proc")).unwrap());
    }

    #[test]
    fn a_database_is_measured_with_its_sidecars_also_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("real")).unwrap();
        std::fs::write(at("real/a.db"), [0; 10]).unwrap();
        std::fs::write(at("real/a.db-wal"), [0; 5]).unwrap();
        std::os::unix::fs::symlink("real/a.db", at("link.db")).unwrap();
        assert_eq!(database_size(&at("link.db")).unwrap(), 15);
        assert!(database_size(&at("none.db")).unwrap_err().to_string().starts_with("measure "));
    }
}
