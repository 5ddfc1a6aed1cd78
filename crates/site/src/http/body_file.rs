//! The file that a download writes, and what is known of its content.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use switchback_model::records::{RecordError, Shape, Splitter, check};

use super::download::Downloaded;
use super::download_error::DownloadError;
use super::url::Url;
use crate::tell::Tell;

/// The part that has come, beside the file that it will be.
pub(super) struct BodyFile<'a> {
    into: &'a Path,
    partial: PathBuf,
    url: &'a Url,
    file: File,
    shape: Option<Shape>,
    splitter: Option<Splitter>,
    records: u64,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<'a> BodyFile<'a> {
    /// Begins anew: what an earlier life left is removed, never written to.
    pub(super) fn create(
        into: &'a Path,
        url: &'a Url,
        shape: Option<Shape>,
    ) -> Result<BodyFile<'a>, DownloadError> {
        let mut partial = into.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        match fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &partial)(error));
            }
            _ => {}
        }
        // Whatever somebody else puts there meanwhile is an error: `create_new` follows no link.
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&partial);
        let file = file.map_err(failed("create", &partial))?;
        Ok(BodyFile {
            into,
            partial,
            url,
            file,
            shape,
            splitter: shape.map(Splitter::new),
            records: 0,
            hasher: blake3::Hasher::new(),
            bytes: 0,
        })
    }

    /// Returns how many bytes have come.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Forgets what has come.
    pub(super) fn restart(&mut self) -> Result<(), DownloadError> {
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(failed("empty", &self.partial))?;
        self.splitter = self.shape.map(Splitter::new);
        self.hasher = blake3::Hasher::new();
        (self.records, self.bytes) = (0, 0);
        Ok(())
    }

    /// Takes the next bytes, and looks at the records that end in them.
    pub(super) fn take(&mut self, chunk: &[u8]) -> Result<(), DownloadError> {
        if let Some(splitter) = &mut self.splitter {
            let records = &mut self.records;
            splitter.push(chunk, |record| count(records, record)).map_err(|error| wrong(self.url, error))?;
        }
        self.hasher.update(chunk);
        self.file.write_all(chunk).map_err(failed("write", &self.partial))?;
        self.bytes += chunk.len() as u64;
        Ok(())
    }

    /// Makes the part the whole: after `Ok` the file survives a power cut.
    pub(super) fn finish(&mut self, tell: &Tell) -> Result<Downloaded, DownloadError> {
        if let Some(splitter) = &mut self.splitter {
            let records = &mut self.records;
            splitter.finish(|record| count(records, record)).map_err(|error| wrong(self.url, error))?;
        }
        self.file.sync_all().map_err(failed("sync", &self.partial))?;
        let found = fs::symlink_metadata(&self.partial).map_err(failed("look at", &self.partial))?;
        if !found.is_file() || found.len() != self.bytes {
            let error = io::Error::other("somebody else changed it meanwhile");
            return Err(failed("finish", &self.partial)(error));
        }
        tell.point("download: before rename")?;
        fs::rename(&self.partial, self.into).map_err(failed("replace", self.into))?;
        tell.point("download: renamed")?;
        let folder = match self.into.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync the folder", folder))?;
        tell.point("download: synced")?;
        let blake3 = self.hasher.finalize().to_hex().to_string();
        Ok(Downloaded { bytes: self.bytes, blake3, records: self.splitter.as_ref().map(|_| self.records) })
    }

    /// Removes what has come. There is nobody to hear of trouble: the error that led here is the one to tell.
    pub(super) fn discard(self) {
        drop(fs::remove_file(&self.partial));
    }
}

fn count(records: &mut u64, record: switchback_model::records::Record<'_>) -> Result<(), RecordError> {
    check(record.bytes).map_err(|wrong| RecordError {
        number: record.number,
        offset: record.offset,
        wrong,
    })?;
    *records = record.number;
    Ok(())
}

fn wrong(url: &Url, source: RecordError) -> DownloadError {
    DownloadError::Record { url: url.to_string(), source }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DownloadError {
    let path = path.to_owned();
    move |source| DownloadError::File { what, path, source }
}
