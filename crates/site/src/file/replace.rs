//! Replacing, removing and putting back a file.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::error::FileError;
use super::image::{FileImage, Image, copy, unhex, xattrs};
use super::place::{Place, folder_of, open_file};
use crate::tell::{Halt, Tell};

/// The most that [`read`] holds in memory: 256 MiB.
const READ_LIMIT: u64 = 256 * 1024 * 1024;

/// Whether an operation had something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The state was another one, and is now as wanted.
    Done,
    /// The state was as wanted already.
    Already,
}

/// The before-image of a file: what it was, and where its content is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// The fingerprint of the file.
    pub image: Image,
    /// The kept copy of the content; `None` when there was no file.
    pub kept: Option<PathBuf>,
}

/// Owner, mode and extended attributes that a written file gets.
struct Traits {
    mode: u32,
    owner: Option<(u32, u32)>,
    xattrs: BTreeMap<String, Vec<u8>>,
}

/// Returns the content of a file of at most 256 MiB; `None` when there is no file.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let place = Place::of(path)?;
    let Some(found) = place.file()? else { return Ok(None) };
    if found.len() > READ_LIMIT {
        return Err(FileError::TooLarge { path: place.real.clone(), len: found.len(), limit: READ_LIMIT });
    }
    let mut bytes = Vec::new();
    let file = open_file(&place.real).map_err(FileError::io("read", &place.real))?;
    file.take(READ_LIMIT).read_to_end(&mut bytes).map_err(FileError::io("read", &place.real))?;
    Ok(Some(bytes))
}

/// Refuses a file that [`put_back`] could not make what it is now, should somebody change it. Reads only.
pub fn refuse_unchangeable(path: &Path) -> Result<(), FileError> {
    let place = Place::of(path)?;
    place.check_changeable()?;
    match place.file()? {
        Some(found) if found.len() > READ_LIMIT => {
            Err(FileError::TooLarge { path: place.real.clone(), len: found.len(), limit: READ_LIMIT })
        }
        _ => Ok(()),
    }
}

/// Copies the content of `path` to `kept` (mode 0600, synced) and returns the before-image. The file is not changed.
pub fn capture(path: &Path, kept: &Path) -> Result<Before, FileError> {
    let image = Image::read(path)?;
    if image.file().is_none() {
        return Ok(Before { image, kept: None });
    }
    let place = Place::of(path)?;
    let mut from = open_file(&place.real).map_err(FileError::io("read", &place.real))?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits() as i32);
    let mut to = options.open(kept).map_err(FileError::io("write", kept))?;
    let mut hasher = blake3::Hasher::new();
    copy(&mut from, |chunk| {
        hasher.update(chunk);
        to.write_all(chunk)
    })
    .map_err(FileError::io("copy", path))?;
    to.sync_all().map_err(FileError::io("sync", kept))?;
    sync_folder(kept)?;
    let same = image.file().is_some_and(|file| file.digest == hasher.finalize().to_hex().as_str());
    if !same || Image::read(path)? != image {
        return Err(FileError::ChangedMeanwhile { path: path.to_owned() });
    }
    Ok(Before { image, kept: Some(kept.to_owned()) })
}

/// Makes `bytes` the content of `path`; a new file gets `new_mode` and our owner, an old one keeps owner, mode and
/// extended attributes, and symbolic links stay.
///
/// Atomic and durable: after `Ok` the content survives a power cut, and at any moment a reader sees the old content
/// or the new. The exception is a file that is itself a mount point (a container's bind mount): it cannot be renamed
/// over and is written in place, where a cut leaves a half that the repeat completes. A repeat after any cut is safe
/// and removes what the cut left.
pub fn replace(path: &Path, bytes: &[u8], new_mode: u32, tell: &Tell) -> Result<Change, FileError> {
    let place = Place::of(path)?;
    place.check_changeable()?;
    let Some(found) = place.file()? else {
        let traits = Traits { mode: new_mode & 0o7777, owner: None, xattrs: BTreeMap::new() };
        write(&place, bytes, &traits, tell)?;
        return Ok(Change::Done);
    };
    let file = open_file(&place.real).map_err(FileError::io("read", &place.real))?;
    if found.len() == bytes.len() as u64 && read(&place.real)?.as_deref() == Some(bytes) {
        clean(&place.real)?;
        return Ok(Change::Already);
    }
    let kept = xattrs(&file).map_err(FileError::io("read the attributes of", &place.real))?;
    let traits =
        Traits { mode: found.mode() & 0o7777, owner: Some((found.uid(), found.gid())), xattrs: kept };
    write(&place, bytes, &traits, tell)?;
    Ok(Change::Done)
}

/// Removes the file that `path` leads to; symbolic links stay, so that [`put_back`] finds the way.
pub fn remove(path: &Path, tell: &Tell) -> Result<Change, FileError> {
    let place = Place::of(path)?;
    if place.file()?.is_none() {
        if folder_of(&place.real).is_dir() {
            clean(&place.real)?;
        }
        return Ok(Change::Already);
    }
    place.check_changeable()?;
    clean(&place.real)?;
    tell.point("file: before remove")?;
    fs::remove_file(&place.real).map_err(FileError::io("remove", &place.real))?;
    tell.point("file: removed")?;
    sync_folder(&place.real)?;
    tell.point("file: removal synced")?;
    Ok(Change::Done)
}

/// Makes `path` what `before` says, content, owner, mode and extended attributes. A repeat changes nothing.
///
/// It does not ask whether the present state is ours: the step that calls it does.
pub fn put_back(path: &Path, before: &Before, tell: &Tell) -> Result<Change, FileError> {
    let place = Place::of(path)?;
    let now = Image::read(path)?;
    if now == before.image {
        if folder_of(&place.real).is_dir() {
            clean(&place.real)?;
        }
        return Ok(Change::Already);
    }
    if now.links() != before.image.links() {
        return Err(FileError::LinksChanged { path: path.to_owned() });
    }
    let Some(image) = before.image.file() else { return remove(path, tell) };
    let kept = before.kept.clone().unwrap_or_default();
    let bytes = fs::read(&kept).ok().filter(|bytes| blake3::hash(bytes).to_hex().as_str() == image.digest);
    let bytes = bytes.ok_or_else(|| FileError::KeptDamaged { path: path.to_owned(), kept })?;
    place.check_changeable()?;
    write(&place, &bytes, &Traits::of(image), tell)?;
    if Image::read(path)? != before.image {
        return Err(FileError::ChangedMeanwhile { path: path.to_owned() });
    }
    Ok(Change::Done)
}

impl Traits {
    fn of(image: &FileImage) -> Traits {
        let xattr = |(name, value): (&String, &String)| Some((name.clone(), unhex(value)?));
        let xattrs = image.xattrs.iter().filter_map(xattr).collect();
        Traits { mode: image.mode, owner: Some((image.uid, image.gid)), xattrs }
    }

    /// Owner first, since a change of owner clears the set-user-ID bit; the access control list last, since a change
    /// of mode rewrites its mask.
    fn give(&self, file: &File, path: &Path) -> Result<(), FileError> {
        let fail = |what: &str, error: Errno| FileError::CannotKeep {
            what: what.to_owned(),
            path: path.to_owned(),
            source: error.into(),
        };
        let found = file.metadata().map_err(FileError::io("look at", path))?;
        if let Some((uid, gid)) = self.owner.filter(|owner| *owner != (found.uid(), found.gid())) {
            let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
            rustix::fs::fchown(file, owner.0, owner.1).map_err(|error| fail("owner", error))?;
        }
        rustix::fs::fchmod(file, Mode::from_raw_mode(self.mode)).map_err(|error| fail("mode", error))?;
        let present = xattrs(file).map_err(FileError::io("read the attributes of", path))?;
        for name in present.keys().filter(|name| !self.xattrs.contains_key(*name)) {
            // What a new file inherits from its folder (a default list, a label) goes if the old file had none.
            // A label cannot go, and needs not: the old file would have had one.
            if !name.starts_with("security.") {
                rustix::fs::fremovexattr(file, name.as_str()).map_err(|error| fail(name, error))?;
            }
        }
        for (name, value) in self.xattrs.iter().filter(|(name, value)| present.get(*name) != Some(*value)) {
            rustix::fs::fsetxattr(file, name.as_str(), value, XattrFlags::empty())
                .map_err(|error| fail(name, error))?;
        }
        // Removing an access control list leaves its mask as the group's bits.
        rustix::fs::fchmod(file, Mode::from_raw_mode(self.mode)).map_err(|error| fail("mode", error))
    }
}

fn write(place: &Place, bytes: &[u8], traits: &Traits, tell: &Tell) -> Result<(), FileError> {
    let temporary = temporary_of(&place.real);
    let result = write_beside(place, &temporary, bytes, traits, tell);
    match &result {
        // After a cut nothing more is written, not even a clean-up: that is what the repeat is for.
        Err(FileError::Halt(Halt::Cut)) | Ok(()) => {}
        Err(_) => drop(fs::remove_file(&temporary)),
    }
    result?;
    if read(&place.real)?.as_deref() != Some(bytes) {
        return Err(FileError::ChangedMeanwhile { path: place.real.clone() });
    }
    Ok(())
}

fn write_beside(
    place: &Place,
    temporary: &Path,
    bytes: &[u8],
    traits: &Traits,
    tell: &Tell,
) -> Result<(), FileError> {
    let real = &place.real;
    clean(real)?;
    tell.point("file: before temporary")?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = match options.open(temporary) {
        Ok(file) => file,
        // A container with a read-only root may have this one file mounted writable into it.
        Err(error) if error.raw_os_error() == Some(Errno::ROFS.raw_os_error()) && place.found.is_some() => {
            return write_in_place(real, bytes, traits, tell);
        }
        Err(error) => return Err(FileError::io("write a new file beside", real)(error)),
    };
    tell.point("file: temporary created")?;
    file.write_all(bytes).map_err(FileError::io("write a new file beside", real))?;
    tell.point("file: temporary written")?;
    traits.give(&file, real)?;
    file.sync_all().map_err(FileError::io("sync the new file beside", real))?;
    tell.point("file: temporary synced")?;
    match fs::rename(temporary, real) {
        Ok(()) => {}
        // A mount point can be written but not renamed over: EBUSY, and on some kernels EXDEV (rename(2)).
        Err(error) if is_mount_point(&error) && place.found.is_some() => {
            clean(real)?;
            return write_in_place(real, bytes, traits, tell);
        }
        Err(error) => return Err(FileError::io("replace", real)(error)),
    }
    tell.point("file: replaced")?;
    sync_folder(real)?;
    tell.point("file: replacement synced")?;
    Ok(())
}

fn is_mount_point(error: &io::Error) -> bool {
    let busy = [Errno::BUSY, Errno::XDEV];
    busy.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn write_in_place(real: &Path, bytes: &[u8], traits: &Traits, tell: &Tell) -> Result<(), FileError> {
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(OFlags::NOFOLLOW.bits() as i32);
    let mut file = options.open(real).map_err(FileError::io("write", real))?;
    let len = bytes.len() as u64;
    if len > 0 {
        // Room is asked for before the first byte changes, so that a full disk leaves the file as it was.
        match rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 0, len) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            Err(error) => return Err(FileError::io("make room for", real)(error)),
        }
    }
    tell.point("file: before writing in place")?;
    file.rewind().and_then(|()| file.write_all(bytes)).map_err(FileError::io("write", real))?;
    tell.point("file: written in place")?;
    file.set_len(len).map_err(FileError::io("write", real))?;
    traits.give(&file, real)?;
    file.sync_all().map_err(FileError::io("sync", real))?;
    tell.point("file: synced in place")?;
    Ok(())
}

/// The name depends on nothing but the name of the file, so that a repeat finds what a cut left, and has a fixed
/// length, so that a file name of 255 bytes has one too.
fn temporary_of(real: &Path) -> PathBuf {
    let name = real.file_name().unwrap_or_default();
    let digest = blake3::hash(name.as_bytes()).to_hex();
    folder_of(real).join(format!(".switchback-{}.tmp", &digest[..24]))
}

fn clean(real: &Path) -> Result<(), FileError> {
    let temporary = temporary_of(real);
    match fs::remove_file(&temporary) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // Nothing can be left in a folder that cannot be written.
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(()),
        Err(error) => Err(FileError::io("remove", &temporary)(error)),
    }
}

fn sync_folder(path: &Path) -> Result<(), FileError> {
    let folder = folder_of(path);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(FileError::io("sync the folder", folder))
}
