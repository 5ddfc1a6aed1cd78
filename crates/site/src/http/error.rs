//! Why there is no answer to a request.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::tell::{Failure, Halt};

/// Why a request got no answer. An answer with a status of 400 or 500 is an answer. The text fits after "cannot", and
/// its URLs are shown without their query, which may hold a secret.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The operation was ended from outside.
    #[error("go on: {0}")]
    Halt(#[from] Halt),
    /// Nobody listens there (yet): nothing was sent.
    #[error("reach {url}: {source}")]
    Unreachable {
        /// The place.
        url: String,
        /// What the system said.
        source: io::Error,
    },
    /// The connection ended before the answer: what was asked for may have happened or not.
    #[error("hear the end of the answer of {url}: {source}")]
    Broken {
        /// The place.
        url: String,
        /// What the system said.
        source: io::Error,
    },
    /// The answer did not come in time: what was asked for may have happened or not.
    #[error("wait longer for {url}: no answer after {} s", after.as_secs())]
    Timeout {
        /// The place.
        url: String,
        /// The time that was allowed.
        after: Duration,
    },
    /// The text is not a URL that can be used.
    #[error("use {shown:?} as a URL: {why}")]
    BadUrl {
        /// The text, without what may be secret.
        shown: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A header has a name or a value that cannot be sent.
    #[error("send the header {name:?}: its name or its value has characters that no header can have")]
    BadHeader {
        /// The name. The value may be a secret.
        name: String,
    },
    /// A header that would change how a transfer is carried out.
    #[error("send the header {name:?}: the transfer sets it itself")]
    TakenHeader {
        /// The name.
        name: String,
    },
    /// The file that was to be sent cannot be read as it was when the sending began.
    #[error("send {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The answer is larger than what is held in memory.
    #[error("read the answer of {url}: it is larger than {limit} bytes")]
    TooLarge {
        /// The place.
        url: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The other end does not speak HTTP, or cannot be trusted.
    #[error("understand {url}: {source}")]
    Protocol {
        /// The place.
        url: String,
        /// What is wrong.
        source: Box<ureq::Error>,
    },
    /// There is nothing to check certificates against.
    #[error("trust {url}: no certificate authorities were found ({looked}); name a bundle in SSL_CERT_FILE")]
    NoRoots {
        /// The place.
        url: String,
        /// Where they were looked for.
        looked: String,
    },
}

impl HttpError {
    /// Says whether a service that is just starting would give this error, so that asking again makes sense.
    pub fn is_not_yet(&self) -> bool {
        matches!(self, HttpError::Unreachable { .. } | HttpError::Broken { .. } | HttpError::Timeout { .. })
    }
}

impl Failure for HttpError {
    fn halt(&self) -> Option<Halt> {
        match self {
            HttpError::Halt(halt) => Some(*halt),
            _ => None,
        }
    }
}
