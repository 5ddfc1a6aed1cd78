//! Why a file cannot be read, replaced or put back.

use std::io;
use std::path::{Path, PathBuf};

use crate::tell::{Failure, Halt};

/// Why an operation on a file failed. The text fits after "cannot".
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operation was ended from outside.
    #[error("go on: {0}")]
    Halt(#[from] Halt),
    /// The system refused.
    #[error("{action} {}: {source}", shown(path))]
    Io {
        /// What was attempted, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is something else than a file in that place.
    #[error("use {} as a file: it is {what}", shown(path))]
    NotAFile {
        /// The place.
        path: PathBuf,
        /// What is there, with its article.
        what: &'static str,
    },
    /// A chain of symbolic links has no end.
    #[error("follow {}: its symbolic links have no end", shown(path))]
    LinkLoop {
        /// Where the chain begins.
        path: PathBuf,
    },
    /// The file has other names, which an atomic replacement would leave with the old content.
    #[error("replace {}: it has {names} names (hard links), and only this one would change", shown(path))]
    HardLinked {
        /// The file.
        path: PathBuf,
        /// How many names it has.
        names: u64,
    },
    /// The file has the attribute `immutable` or `append only`.
    #[error("change {}: it has the attribute `{attribute}` (see `lsattr`; `chattr` removes it)", shown(path))]
    Locked {
        /// The file.
        path: PathBuf,
        /// The attribute.
        attribute: &'static str,
    },
    /// The filesystem is mounted read-only.
    #[error("change {}: its filesystem is mounted read-only", shown(path))]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The new file could not be given what the old one had.
    #[error("keep the {what} of {}: {source}", shown(path))]
    CannotKeep {
        /// Owner, mode or the name of an extended attribute.
        what: String,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is longer than what is held in memory.
    #[error("read {}: it has {len} bytes, and at most {limit} are read at once", shown(path))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        len: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Somebody else wrote while we did.
    #[error("rely on {}: it changed while it was worked on", shown(path))]
    ChangedMeanwhile {
        /// The file.
        path: PathBuf,
    },
    /// The symbolic links on the way to the file are not those of the before-image.
    #[error("put back {}: its symbolic links are not as they were", shown(path))]
    LinksChanged {
        /// The place.
        path: PathBuf,
    },
    /// The kept copy is not what it should be.
    #[error("put back {}: the copy kept in {} is missing or damaged", shown(path), shown(kept))]
    KeptDamaged {
        /// The place.
        path: PathBuf,
        /// The copy.
        kept: PathBuf,
    },
}

impl FileError {
    /// Names the action and the path of an error of the system; meant for `map_err`.
    pub(crate) fn io<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> FileError {
        move |source| FileError::Io { action, path: path.to_owned(), source: source.into() }
    }
}

impl Failure for FileError {
    fn halt(&self) -> Option<Halt> {
        match self {
            FileError::Halt(halt) => Some(*halt),
            _ => None,
        }
    }
}

/// Shows a path on one line: a name may hold line feeds and terminal escapes.
pub(crate) fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    if !text.contains(char::is_control) {
        return text.into_owned();
    }
    let escape =
        |char: char| if char.is_control() { char.escape_default().to_string() } else { char.to_string() };
    text.chars().map(escape).collect()
}
