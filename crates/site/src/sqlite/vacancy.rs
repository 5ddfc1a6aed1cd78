//! The place of a database that an upgrade makes: what lies there before there is a database, and how it becomes so again.
//!
//! Like `connect`, this looks by `stat` alone: a file with content may be somebody's database.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::sqlite::backup::sync_folder;
use crate::sqlite::connect::{Database, OpenError};
use crate::sqlite::exclusive::{ExclusiveError, side_files};
use crate::sqlite::restore::quiet;
use crate::sqlite::traits::{FileTraits, TraitsError};
use crate::tell::{Failure, Halt, Tell};

/// Why the place of a database cannot be looked at or made vacant again.
#[derive(Debug, thiserror::Error)]
pub enum VacancyError {
    /// The folder is not there, and nobody but the operator knows whose it should be.
    #[error("make {}: its folder is not there; make it, for the user that the application runs as", .path.display())]
    NoFolder {
        /// The database.
        path: PathBuf,
    },
    /// The path cannot be looked at. Nothing was changed.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Somebody uses what lies there. Nothing was changed.
    #[error(transparent)]
    Exclusive(#[from] ExclusiveError),
    /// Owner, mode or attributes could not be read or given.
    #[error(transparent)]
    Traits(#[from] TraitsError),
    /// The file system failed; a repeat finishes.
    #[error("{what} {}: {source}", .path.display())]
    Io {
        /// What was attempted.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// It was made vacant, and is not.
    #[error("take {} away: it is there again; find out who made it", .path.display())]
    Kept {
        /// The database.
        path: PathBuf,
    },
    /// Stopped on the way; a repeat finishes.
    #[error(transparent)]
    Halt(#[from] Halt),
}

impl Failure for VacancyError {
    fn halt(&self) -> Option<Halt> {
        match self {
            VacancyError::Halt(halt) => Some(*halt),
            VacancyError::Exclusive(error) => error.halt(),
            _ => None,
        }
    }
}

/// What lies at the place of a database as long as there is none. Absent and empty differ, as they do for an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vacancy {
    /// There is no file; a symbolic link may still lead to where it would be.
    Absent,
    /// An empty file, whose owner and mode say who is to fill it.
    Empty(FileTraits),
}

impl Vacancy {
    /// Returns what is vacant at the place of a database; `None` where a file with content lies.
    pub fn of(database: &Database) -> Result<Option<Vacancy>, VacancyError> {
        let path = place(database)?;
        match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Some(Vacancy::Absent)),
            Err(source) => Err(io("look at", &path, source)),
            Ok(meta) if meta.is_file() && meta.len() == 0 => Ok(Some(Vacancy::Empty(FileTraits::of(&path)?))),
            Ok(_) => Ok(None),
        }
    }

    /// Says what it is, for people.
    pub fn words(&self) -> &'static str {
        match self {
            Vacancy::Absent => "it is not there",
            Vacancy::Empty(_) => "it is an empty file",
        }
    }
}

/// Names the logs and journals that lie at the place of a database.
pub fn beside(database: &Database) -> Result<Vec<PathBuf>, VacancyError> {
    Ok(side_files(&place(database)?))
}

/// Makes the place of a database as vacant as it was: what lies there goes, with its log and journal.
///
/// Nobody may have it open: SQLite itself folds the log in and leaves nobody else in it, as before a restore. The side
/// files go first and the folder is synced before the file goes, so that no log is ever beside a file of another life.
/// After `Ok` the vacancy survives a power cut; after a cut or an error a repeat finishes.
pub fn vacate(database: &Database, wanted: &Vacancy, tell: &Tell) -> Result<(), VacancyError> {
    let path = place(database)?;
    let is_wanted = |path: &Path| -> Result<bool, VacancyError> {
        Ok(Vacancy::of(database)?.as_ref() == Some(wanted) && side_files(path).is_empty())
    };
    if !is_wanted(&path)? {
        tell.point("sqlite.vacate.take")?;
        let exclusive = quiet(database, &path, tell)?;
        for file in side_files(&path) {
            tell.point("sqlite.vacate.remove-side-file")?;
            remove(&file)?;
        }
        tell.point("sqlite.vacate.side-files-gone")?;
        sync_folder(&path).map_err(|source| io("sync the folder of", &path, source))?;
        tell.point("sqlite.vacate.remove")?;
        match wanted {
            Vacancy::Absent => {
                remove(&path)?;
                drop(exclusive);
            }
            Vacancy::Empty(traits) => {
                // Closing another descriptor of the file would drop the locks of our connection all the same.
                drop(exclusive);
                empty(&path).map_err(|source| io("empty", &path, source))?;
                tell.point("sqlite.vacate.emptied")?;
                traits.give(&path)?;
            }
        }
        tell.point("sqlite.vacate.removed")?;
    }
    sync_folder(&path).map_err(|source| io("sync the folder of", &path, source))?;
    tell.point("sqlite.vacate.synced")?;
    if is_wanted(&path)? { Ok(()) } else { Err(VacancyError::Kept { path }) }
}

/// Empties the file, or lays an empty one there. It keeps its inode where it has one: it may be mounted by itself.
fn empty(path: &Path) -> std::io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.sync_all()
}

fn place(database: &Database) -> Result<PathBuf, VacancyError> {
    match database.real_path() {
        Ok(path) => Ok(path),
        Err(OpenError::Missing { path }) => Err(VacancyError::NoFolder { path }),
        Err(error) => Err(error.into()),
    }
}

fn remove(path: &Path) -> Result<(), VacancyError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(io("remove", path, source)),
        _ => Ok(()),
    }
}

fn io(what: &'static str, path: &Path, source: std::io::Error) -> VacancyError {
    VacancyError::Io { what, path: path.to_owned(), source }
}
