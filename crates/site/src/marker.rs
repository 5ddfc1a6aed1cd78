//! The note beside a target that names the run which works on it.
//!
//! The lock excludes; the marker explains. It tells a second operator who holds the lock, and names the run directory
//! when that was lost while a run is open. It grants nothing and is believed for nothing else.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::file::{self, Change, FileError, shown};
use crate::tell::{Failure, Halt, Tell};

/// Why a marker cannot be read or written. The text fits after "cannot".
#[derive(Debug, thiserror::Error)]
pub enum MarkerError {
    /// The file could not be handled.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not a marker of ours.
    #[error("read the marker {}: {source}", shown(path))]
    Foreign {
        /// The marker.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The target has no name that a marker could be named after.
    #[error("put a marker beside {}: it names no file", shown(path))]
    NoName {
        /// The target.
        path: PathBuf,
    },
}

impl Failure for MarkerError {
    fn halt(&self) -> Option<Halt> {
        match self {
            MarkerError::File(error) => error.halt(),
            _ => None,
        }
    }
}

/// What a marker says. A later version may add fields: unknown ones are passed over, and new ones have defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// Version of this format.
    #[serde(default = "first_format")]
    pub format: u32,
    /// Id of the run.
    pub run: String,
    /// The state directory of the run.
    pub state_dir: PathBuf,
    /// Number of the process that wrote the marker.
    pub pid: u32,
    /// Who started it.
    pub user: String,
    /// On which machine.
    pub host: String,
    /// Since when, as RFC 3339.
    pub since: String,
}

fn first_format() -> u32 {
    1
}

impl Marker {
    /// Returns the path of the marker of `target`: `.{name}.switchback` beside it.
    pub fn path_of(target: &Path) -> Result<PathBuf, MarkerError> {
        let name = target.file_name().ok_or_else(|| MarkerError::NoName { path: target.to_owned() })?;
        let mut marker = OsString::from(".");
        marker.push(name);
        marker.push(".switchback");
        Ok(target.with_file_name(marker))
    }

    /// Returns the marker of `target`, if there is one.
    pub fn read(target: &Path) -> Result<Option<Marker>, MarkerError> {
        let path = Marker::path_of(target)?;
        let Some(bytes) = file::read(&path)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|source| MarkerError::Foreign { path, source })
    }

    /// Writes the marker of `target`, atomically and readable for everybody.
    pub fn write(&self, target: &Path, tell: &Tell) -> Result<Change, MarkerError> {
        let path = Marker::path_of(target)?;
        let text = serde_json::to_string_pretty(self)
            .map_err(|source| MarkerError::Foreign { path: path.clone(), source })?;
        Ok(file::replace(&path, format!("{text}\n").as_bytes(), 0o644, tell)?)
    }

    /// Removes the marker of `target` if it is there.
    pub fn remove(target: &Path, tell: &Tell) -> Result<Change, MarkerError> {
        Ok(file::remove(&Marker::path_of(target)?, tell)?)
    }
}
