//! Where a path leads, and whether a file may be put there.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{IFlags, OFlags, StatVfsMountFlags};
use serde::{Deserialize, Serialize};

use super::error::FileError;

/// As many links as Linux itself follows (path_resolution(7)).
const LINK_LIMIT: usize = 40;

/// A symbolic link on the way to a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Where the link is.
    pub at: PathBuf,
    /// What it says, unresolved.
    pub to: PathBuf,
}

/// The end of a path after its symbolic links.
pub(super) struct Place {
    pub(super) real: PathBuf,
    pub(super) links: Vec<Link>,
    /// `None`: there is nothing.
    pub(super) found: Option<Metadata>,
}

impl Place {
    /// Follows the symbolic links of the last component; the folders on the way are the system's business.
    pub(super) fn of(path: &Path) -> Result<Place, FileError> {
        let mut real = path.to_owned();
        let mut links = Vec::new();
        loop {
            if real.file_name().is_none() {
                return Err(FileError::NotAFile { path: path.to_owned(), what: "a folder" });
            }
            let found = match fs::symlink_metadata(&real) {
                Ok(found) => found,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(Place { real, links, found: None });
                }
                Err(error) => return Err(FileError::io("look at", &real)(error)),
            };
            if !found.is_symlink() {
                return Ok(Place { real, links, found: Some(found) });
            }
            if links.len() == LINK_LIMIT {
                return Err(FileError::LinkLoop { path: path.to_owned() });
            }
            let to = fs::read_link(&real).map_err(FileError::io("follow", &real))?;
            let next = folder_of(&real).join(&to);
            links.push(Link { at: real, to });
            real = next;
        }
    }

    /// Returns the metadata of the file, `None` where there is nothing, and an error where there is something else.
    pub(super) fn file(&self) -> Result<Option<&Metadata>, FileError> {
        let Some(found) = &self.found else { return Ok(None) };
        let kind = found.file_type();
        if kind.is_file() {
            return Ok(Some(found));
        }
        let what = if kind.is_dir() {
            "a folder"
        } else if kind.is_block_device() || kind.is_char_device() {
            "a device"
        } else if kind.is_fifo() {
            "a pipe"
        } else {
            "a socket"
        };
        Err(FileError::NotAFile { path: self.real.clone(), what })
    }

    /// Refuses early what a change would fail on late.
    pub(super) fn check_changeable(&self) -> Result<(), FileError> {
        let path = || self.real.clone();
        let Some(found) = self.file()? else {
            return check_mount(folder_of(&self.real), &self.real);
        };
        if found.nlink() > 1 {
            return Err(FileError::HardLinked { path: path(), names: found.nlink() });
        }
        check_mount(&self.real, &self.real)?;
        // Many filesystems have no such attributes, and a file that cannot be read is refused elsewhere.
        let flags = open_file(&self.real).and_then(|file| Ok(rustix::fs::ioctl_getflags(file)?));
        let flags = flags.unwrap_or(IFlags::empty());
        for (flag, attribute) in [(IFlags::IMMUTABLE, "immutable"), (IFlags::APPEND, "append only")] {
            if flags.contains(flag) {
                return Err(FileError::Locked { path: path(), attribute });
            }
        }
        Ok(())
    }
}

/// Returns the folder that holds `path`; the current one where the path names none.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Opens for reading, without waiting for the other end of a pipe and without following a link.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)
}

fn check_mount(mounted: &Path, path: &Path) -> Result<(), FileError> {
    let mount = rustix::fs::statvfs(mounted).map_err(FileError::io("look at the filesystem of", path))?;
    if mount.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err(FileError::ReadOnly { path: path.to_owned() });
    }
    Ok(())
}
