//! Owner, mode and extended attributes (ACLs among them) of a database file, read and given without opening it.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::XattrFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::tell::{Failure, Halt};

/// Why the traits of a file could not be read or given.
#[derive(Debug, thiserror::Error)]
pub enum TraitsError {
    /// The system refused.
    #[error("{what} of {}: {source}", .path.display())]
    Io {
        /// What was attempted ("read the owner").
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// They were given, but reading them back shows others.
    #[error("give {} the owner, mode and attributes it had; the file system keeps others", .path.display())]
    NotKept {
        /// The file.
        path: PathBuf,
    },
}

impl Failure for TraitsError {
    fn halt(&self) -> Option<Halt> {
        None
    }
}

/// What a file is beside its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileTraits {
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The permission bits.
    pub mode: u32,
    /// Extended attributes by name, their values in hexadecimal. POSIX ACLs are among them (acl(5)).
    pub xattrs: BTreeMap<String, String>,
}

impl FileTraits {
    /// Reads the traits of the file at `path`, behind symlinks.
    pub fn of(path: &Path) -> Result<FileTraits, TraitsError> {
        let meta = std::fs::metadata(path).map_err(|source| failed("read the owner", path, source))?;
        let mut xattrs = BTreeMap::new();
        for name in names(path)? {
            let value = value(path, &name)?;
            let hex = value.iter().map(|byte| format!("{byte:02x}")).collect();
            xattrs.insert(name.to_string_lossy().into_owned(), hex);
        }
        Ok(FileTraits { uid: meta.uid(), gid: meta.gid(), mode: meta.mode() & 0o7777, xattrs })
    }

    /// Gives these traits to the file at `path` and reads them back. Changes nothing that is right already.
    pub fn give(&self, path: &Path) -> Result<(), TraitsError> {
        let now = FileTraits::of(path)?;
        if now == *self {
            return Ok(());
        }
        if (now.uid, now.gid) != (self.uid, self.gid) {
            std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
                .map_err(|source| failed("set the owner", path, source))?;
        }
        for name in now.xattrs.keys().filter(|name| !self.xattrs.contains_key(*name)) {
            rustix::fs::removexattr(path, name.as_str())
                .map_err(|source| failed("remove an attribute", path, source.into()))?;
        }
        // After chown, which drops set-id bits, and before ACLs, whose mask shares the group bits of the mode.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(self.mode))
            .map_err(|source| failed("set the mode", path, source))?;
        for (name, hex) in &self.xattrs {
            if now.xattrs.get(name) == Some(hex) && !name.starts_with("system.posix_acl") {
                continue;
            }
            let value: Option<Vec<u8>> = (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok())
                .collect();
            let value = value.ok_or_else(|| TraitsError::NotKept { path: path.to_owned() })?;
            rustix::fs::setxattr(path, name.as_str(), &value, XattrFlags::empty())
                .map_err(|source| failed("set an attribute", path, source.into()))?;
        }
        if FileTraits::of(path)? == *self {
            Ok(())
        } else {
            Err(TraitsError::NotKept { path: path.to_owned() })
        }
    }
}

fn failed(what: &'static str, path: &Path, source: std::io::Error) -> TraitsError {
    TraitsError::Io { what, path: path.to_owned(), source }
}

fn names(path: &Path) -> Result<Vec<CString>, TraitsError> {
    let mut buffer = vec![0u8; 64 * 1024];
    // 64 KiB is the kernel's own limit for the list and for one value (xattr(7)).
    let len = match rustix::fs::listxattr(path, &mut buffer[..]) {
        Ok(len) => len,
        Err(Errno::NOTSUP) => 0,
        Err(errno) => return Err(failed("list the attributes", path, errno.into())),
    };
    buffer.truncate(len);
    Ok(buffer
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .filter_map(|n| CString::new(n).ok())
        .collect())
}

fn value(path: &Path, name: &CString) -> Result<Vec<u8>, TraitsError> {
    let mut buffer = vec![0u8; 64 * 1024];
    let len = rustix::fs::getxattr(path, name.as_c_str(), &mut buffer[..])
        .map_err(|errno| failed("read an attribute", path, errno.into()))?;
    buffer.truncate(len);
    Ok(buffer)
}
