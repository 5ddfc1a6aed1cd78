//! The fingerprint of a file.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::error::FileError;
use super::place::{Link, Place, open_file};

/// What two states of a file must share to be equal. Absent is a state too, and differs from empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Image {
    /// There is no file; symbolic links may still lead to where it would be.
    Absent {
        /// The links on the way, in order.
        links: Vec<Link>,
    },
    /// There is a file.
    File(FileImage),
}

/// What makes up a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileImage {
    /// BLAKE3 of the content, in hexadecimal digits.
    pub digest: String,
    /// Length of the content in bytes.
    pub len: u64,
    /// Permission bits, with set-user-ID, set-group-ID and sticky bit.
    pub mode: u32,
    /// Number of the owner.
    pub uid: u32,
    /// Number of the group.
    pub gid: u32,
    /// Extended attributes, in hexadecimal digits; an access control list is one (`system.posix_acl_access`).
    pub xattrs: BTreeMap<String, String>,
    /// The symbolic links on the way, in order.
    pub links: Vec<Link>,
}

impl Image {
    /// Looks at what `path` leads to, and changes nothing but perhaps its access time.
    pub fn read(path: &Path) -> Result<Image, FileError> {
        let place = Place::of(path)?;
        if place.file()?.is_none() {
            return Ok(Image::Absent { links: place.links });
        }
        let mut file = open_file(&place.real).map_err(FileError::io("read", &place.real))?;
        let found = file.metadata().map_err(FileError::io("read", &place.real))?;
        let mut hasher = blake3::Hasher::new();
        let len = copy(&mut file, |chunk| {
            hasher.update(chunk);
            Ok(())
        })
        .map_err(FileError::io("read", &place.real))?;
        let digest = hasher.finalize().to_hex().to_string();
        FileImage::of(&place.real, &file, &found, digest, len, place.links).map(Image::File)
    }

    /// Whether owner, mode, attributes and links are those of another: what was written into a file leaves them.
    pub fn differs_in_content_only(&self, other: &Image) -> bool {
        match (self, other) {
            (Image::File(now), Image::File(other)) => {
                let FileImage { digest: _, len: _, mode, uid, gid, xattrs, links } = now;
                (mode, uid, gid, xattrs, links)
                    == (&other.mode, &other.uid, &other.gid, &other.xattrs, &other.links)
            }
            _ => self == other,
        }
    }

    /// Returns the symbolic links on the way to the file.
    pub fn links(&self) -> &[Link] {
        match self {
            Image::Absent { links } => links,
            Image::File(file) => &file.links,
        }
    }

    /// Returns the file, if there is one.
    pub fn file(&self) -> Option<&FileImage> {
        match self {
            Image::Absent { .. } => None,
            Image::File(file) => Some(file),
        }
    }
}

impl FileImage {
    fn of(
        path: &Path,
        file: &File,
        found: &Metadata,
        digest: String,
        len: u64,
        links: Vec<Link>,
    ) -> Result<FileImage, FileError> {
        let xattrs = xattrs(file).map_err(FileError::io("read the attributes of", path))?;
        let xattrs = xattrs.into_iter().map(|(name, value)| (name, hex(&value))).collect();
        let mode = found.mode() & 0o7777;
        Ok(FileImage { digest, len, mode, uid: found.uid(), gid: found.gid(), xattrs, links })
    }
}

/// Feeds a stream to `each` in chunks and returns its length.
pub(super) fn copy(from: &mut File, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<u64> {
    let mut chunk = vec![0; 128 * 1024];
    let mut len = 0;
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return Ok(len),
            Ok(read) => {
                each(&chunk[..read])?;
                len += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads the extended attributes of a file, except those that the kernel derives from the content.
pub(super) fn xattrs(file: &File) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut xattrs = BTreeMap::new();
    let names = match sized(|buffer| rustix::fs::flistxattr(file, buffer)) {
        Ok(names) => names,
        Err(Errno::NOTSUP) => return Ok(xattrs),
        Err(error) => return Err(error.into()),
    };
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if matches!(name, b"security.ima" | b"security.evm") {
            continue;
        }
        let name =
            String::from_utf8(name.to_vec()).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        match sized(|buffer| rustix::fs::fgetxattr(file, name.as_str(), buffer)) {
            Ok(value) => drop(xattrs.insert(name, value)),
            // Removed between the list and the look, or not for us to see (`trusted.*`).
            Err(Errno::NODATA | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(xattrs)
}

/// Calls with the largest buffer that Linux allows for names and values (xattr(7): 64 KiB).
fn sized(call: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; 64 * 1024];
    let len = call(&mut buffer)?;
    buffer.truncate(len);
    Ok(buffer)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}
