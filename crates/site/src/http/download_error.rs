//! Why there is no downloaded file.

use std::io;
use std::path::PathBuf;

use switchback_model::records::RecordError;

use super::error::HttpError;
use crate::tell::{Failure, Halt};

/// Why a download failed. The text fits after "cannot", and shows no header, no query and nothing of the content. The file
/// that it was to make is as it was before, and what had come is removed, unless the process was cut off.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The operation was ended from outside.
    #[error("go on: {0}")]
    Halt(#[from] Halt),
    /// There was no answer, or not all of it.
    #[error("{source} ({came} bytes had come; asked {asked} times)")]
    Http {
        /// What went wrong last.
        source: HttpError,
        /// How many bytes of the body had come.
        came: u64,
        /// How many times it was asked for.
        asked: u32,
    },
    /// The answer has another status than the wanted one.
    #[error("take the answer of {url}: its status is {status}, not {wanted}{}", said.as_ref().map(|said| format!("; it says: {said}")).unwrap_or_default())]
    Status {
        /// The place.
        url: String,
        /// The status.
        status: u16,
        /// What was wanted.
        wanted: u16,
        /// The beginning of the answer's text, if it is sure to hold no secret that was sent.
        said: Option<String>,
    },
    /// The answer leads to another origin, which must not see what is for this one.
    #[error("follow the redirect ({status}) of {url} to {to}: it is another origin")]
    Elsewhere {
        /// The place.
        url: String,
        /// The status.
        status: u16,
        /// The other origin.
        to: String,
    },
    /// One redirect leads to the next.
    #[error("find {url}: it leads from one redirect to the next, {limit} times")]
    TooManyRedirects {
        /// The place.
        url: String,
        /// How many are followed.
        limit: usize,
    },
    /// The next page is on another origin, which must not see what is for this one.
    #[error("follow the pages behind {url} to {to}: it is another origin")]
    PageElsewhere {
        /// The last page.
        url: String,
        /// The other origin.
        to: String,
    },
    /// The next page was there already: there would be no end.
    #[error("follow the pages behind {url}: the next one is one of the {pages} that have come")]
    Circle {
        /// The last page.
        url: String,
        /// How many pages there were.
        pages: usize,
    },
    /// The body is compressed although that was ruled out: its bytes would not be the ones that are counted.
    #[error("take the body of {url}: it is encoded as {encoding:?}, although it was asked for as it is")]
    Encoded {
        /// The place.
        url: String,
        /// The encoding.
        encoding: String,
    },
    /// Nothing says where the body ends, so that a connection that broke would look like its end.
    #[error(
        "take the body of {url}: it has neither a length nor chunks, so that its end could not be told from a cut"
    )]
    NoEnd {
        /// The place.
        url: String,
    },
    /// What is there is no longer what the first part came from.
    #[error("go on with {url} where it broke: {what}")]
    Changed {
        /// The place.
        url: String,
        /// What shows it.
        what: &'static str,
    },
    /// The body is no stream of records.
    #[error("use what {url} gave: cannot {source}")]
    Record {
        /// The place.
        url: String,
        /// Which record, and what is wrong with it.
        source: RecordError,
    },
    /// The file cannot be written.
    #[error("{what} {}: {source}", path.display())]
    File {
        /// What was attempted, as a verb.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl DownloadError {
    /// Says whether asking again may help: nobody listened, the connection broke, nothing came, or a server in front of the
    /// wanted one had none to ask.
    pub fn is_passing(&self) -> bool {
        match self {
            DownloadError::Http { source, .. } => source.is_not_yet(),
            DownloadError::Status { status, .. } => matches!(status, 502..=504),
            DownloadError::Changed { .. } => true,
            _ => false,
        }
    }
}

impl Failure for DownloadError {
    fn halt(&self) -> Option<Halt> {
        match self {
            DownloadError::Halt(halt) => Some(*halt),
            DownloadError::Http { source, .. } => source.halt(),
            _ => None,
        }
    }
}
