//! The file that a download writes, and what is known of its content.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
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
    file: File,
    shape: Option<Shape>,
    splitter: Option<Splitter>,
    now: Content,
    /// What it held when the page at hand began.
    mark: Content,
}

/// What is known of the content so far.
#[derive(Clone, Default)]
struct Content {
    bytes: u64,
    records: u64,
    hasher: blake3::Hasher,
    last: Option<u8>,
}

impl<'a> BodyFile<'a> {
    /// Begins anew: what an earlier life left is removed, never written to.
    pub(super) fn create(into: &'a Path, shape: Option<Shape>) -> Result<BodyFile<'a>, DownloadError> {
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
        let splitter = shape.map(Splitter::new);
        Ok(BodyFile {
            into,
            partial,
            file,
            shape,
            splitter,
            now: Content::default(),
            mark: Content::default(),
        })
    }

    /// Returns how many bytes have come.
    pub(super) fn bytes(&self) -> u64 {
        self.now.bytes
    }

    /// Returns how many bytes have come of the page at hand.
    pub(super) fn page_bytes(&self) -> u64 {
        self.now.bytes - self.mark.bytes
    }

    /// Returns the file as far as it has come.
    pub(super) fn partial(&self) -> &Path {
        &self.partial
    }

    /// Forgets what has come of the page at hand.
    pub(super) fn restart(&mut self) -> Result<(), DownloadError> {
        let length = self.mark.bytes;
        self.file
            .set_len(length)
            .and_then(|()| self.file.seek(SeekFrom::Start(length)).map(drop))
            .map_err(failed("shorten", &self.partial))?;
        self.now = self.mark.clone();
        self.splitter = self.shape.map(|shape| Splitter::resume(shape, self.now.records, length));
        Ok(())
    }

    /// Begins the next page behind the one that [`BodyFile::end_page`] ended.
    pub(super) fn turn(&mut self) -> Result<(), DownloadError> {
        let apart = self.now.last.is_none_or(|byte| byte.is_ascii_whitespace());
        if self.shape.is_some() && !apart {
            // Two records must not become one, nor stand on one line.
            self.write(b"\n")?;
        }
        self.mark = self.now.clone();
        self.restart()
    }

    /// Takes the next bytes, and looks at the records that end in them. `url` is where they come from.
    pub(super) fn take(&mut self, chunk: &[u8], url: &Url) -> Result<(), DownloadError> {
        if let Some(splitter) = &mut self.splitter {
            let records = &mut self.now.records;
            splitter.push(chunk, |record| count(records, record)).map_err(|error| wrong(url, error))?;
        }
        self.write(chunk)
    }

    fn write(&mut self, chunk: &[u8]) -> Result<(), DownloadError> {
        self.now.hasher.update(chunk);
        self.file.write_all(chunk).map_err(failed("write", &self.partial))?;
        self.now.bytes += chunk.len() as u64;
        self.now.last = chunk.last().copied().or(self.now.last);
        Ok(())
    }

    /// Ends the page at hand, whose last record must be whole.
    pub(super) fn end_page(&mut self, url: &Url) -> Result<(), DownloadError> {
        let Some(splitter) = &mut self.splitter else { return Ok(()) };
        let records = &mut self.now.records;
        splitter.finish(|record| count(records, record)).map_err(|error| wrong(url, error))
    }

    /// Makes the part the whole, whose last page has ended: after `Ok` the file survives a power cut.
    pub(super) fn finish(&mut self, tell: &Tell) -> Result<Downloaded, DownloadError> {
        self.file.sync_all().map_err(failed("sync", &self.partial))?;
        let found = fs::symlink_metadata(&self.partial).map_err(failed("look at", &self.partial))?;
        if !found.is_file() || found.len() != self.now.bytes {
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
        let blake3 = self.now.hasher.finalize().to_hex().to_string();
        let records = self.shape.map(|_| self.now.records);
        Ok(Downloaded { bytes: self.now.bytes, blake3, records })
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
