//! Being alone with a database, and proving it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};
use serde::{Deserialize, Serialize};

use crate::sqlite::connect::{Database, OpenError, side_file};
use crate::sqlite::holders::{Holders, holders};
use crate::tell::{Failure, Halt, Tell};

/// Why a database could not be taken. What is committed in it is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum ExclusiveError {
    /// Somebody else has it open.
    #[error("take {} for ourselves: {holders} has it open; stop it and try again", .path.display())]
    Busy {
        /// The database.
        path: PathBuf,
        /// Who was found to hold it.
        holders: Holders,
    },
    /// It could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// SQLite refused a journal mode.
    #[error("set the journal mode of {} to {wanted}: SQLite keeps {got}", .path.display())]
    Mode {
        /// The database.
        path: PathBuf,
        /// The mode asked for.
        wanted: JournalMode,
        /// The mode that SQLite stays with.
        got: String,
    },
    /// SQLite failed.
    #[error("take {} for ourselves: {source}", .path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// Stopped on the way.
    #[error(transparent)]
    Halt(#[from] Halt),
}

impl Failure for ExclusiveError {
    fn halt(&self) -> Option<Halt> {
        match self {
            ExclusiveError::Halt(halt) => Some(*halt),
            _ => None,
        }
    }
}

/// The journal modes that a database file remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JournalMode {
    /// A write-ahead log.
    Wal,
    /// A rollback journal; `truncate` and `persist` are no property of the file.
    Delete,
}

impl fmt::Display for JournalMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JournalMode::Wal => "wal",
            JournalMode::Delete => "delete",
        })
    }
}

impl FromStr for JournalMode {
    type Err = std::convert::Infallible;

    /// Takes every word but `wal` for a rollback journal.
    fn from_str(text: &str) -> Result<JournalMode, Self::Err> {
        Ok(if text.eq_ignore_ascii_case("wal") { JournalMode::Wal } else { JournalMode::Delete })
    }
}

/// A database in which nobody else was, with an empty log and a rollback journal. Dropping it closes the connection and
/// leaves the journal mode as it is: put it back with [`set_journal_mode`].
#[derive(Debug)]
pub struct Exclusive {
    connection: Connection,
    path: PathBuf,
    patience: Duration,
    mode: JournalMode,
}

impl Exclusive {
    /// The connection to the database.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// The journal mode that it had before.
    pub fn journal_mode(&self) -> JournalMode {
        self.mode
    }

    /// Takes SQLite's exclusive lock and keeps it until this value is dropped: nobody reads or writes meanwhile.
    /// The holders are looked up again under the lock, as an idle program in rollback mode holds no lock at all.
    pub fn lock(&self) -> Result<(), ExclusiveError> {
        self.connection.execute_batch("BEGIN EXCLUSIVE").map_err(|source| busy(&self.path, source))?;
        alone(&self.path, self.patience, true)
    }

    /// Closes the connection.
    pub fn release(self) -> Result<(), ExclusiveError> {
        let path = self.path;
        self.connection.close().map_err(|(_, source)| ExclusiveError::Sqlite { path, source })
    }
}

/// Takes `database` for ourselves and proves that no other connection is open: folds the log into the file and leaves
/// WAL mode, which SQLite does for a sole connection only (sqlite.org/pragma.html#pragma_journal_mode).
///
/// Connections of this process count as others. After an error the committed content is unchanged.
pub fn take(database: &Database, tell: &Tell) -> Result<Exclusive, ExclusiveError> {
    let path = database.real_path()?;
    alone(&path, database.patience(), false)?;
    tell.point("sqlite.exclusive.open")?;
    let connection = match database.open_write() {
        Err(OpenError::Locked { .. }) => {
            return Err(ExclusiveError::Busy { holders: holders(&path).others(), path });
        }
        other => other?,
    };
    let mode: String = connection
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .map_err(|source| busy(&path, source))?;
    let mode = mode.parse::<JournalMode>().unwrap_or(JournalMode::Delete);
    if mode == JournalMode::Wal {
        tell.point("sqlite.exclusive.checkpoint")?;
        let blocked: i64 = connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
            .map_err(|source| busy(&path, source))?;
        if blocked != 0 {
            return Err(ExclusiveError::Busy { holders: holders(&path).others(), path });
        }
    }
    tell.point("sqlite.exclusive.mode")?;
    change_mode(&connection, &path, JournalMode::Delete)?;
    tell.point("sqlite.exclusive.taken")?;
    alone(&path, database.patience(), true)?;
    Ok(Exclusive { connection, path, patience: database.patience(), mode })
}

/// Sets the journal mode that the file remembers, and reads it back. Needs a sole connection.
pub fn set_journal_mode(database: &Database, mode: JournalMode, tell: &Tell) -> Result<(), ExclusiveError> {
    let path = database.real_path()?;
    tell.point("sqlite.journal-mode.set")?;
    let connection = database.open_write()?;
    change_mode(&connection, &path, mode)?;
    connection.close().map_err(|(_, source)| ExclusiveError::Sqlite { path, source })?;
    tell.point("sqlite.journal-mode.kept")?;
    Ok(())
}

fn change_mode(connection: &Connection, path: &Path, mode: JournalMode) -> Result<(), ExclusiveError> {
    let got: String = connection
        .query_row(&format!("PRAGMA journal_mode = {mode}"), [], |row| row.get(0))
        .map_err(|source| busy(path, source))?;
    if !got.eq_ignore_ascii_case(&mode.to_string()) {
        return Err(ExclusiveError::Mode { path: path.to_owned(), wanted: mode, got });
    }
    Ok(())
}

/// Refuses when somebody has the database open; `ours` says that this process has a connection by right.
///
/// It looks again for as long as one waits for a lock: a program that is just stopping is gone soon, and a child that
/// was forked but has not begun its own program yet holds copies of its parent's descriptors for a moment.
fn alone(path: &Path, patience: Duration, ours: bool) -> Result<(), ExclusiveError> {
    let start = Instant::now();
    loop {
        let found = if ours { holders(path).others() } else { holders(path) };
        if found.is_empty() {
            return Ok(());
        }
        if start.elapsed() >= patience {
            return Err(ExclusiveError::Busy { path: path.to_owned(), holders: found });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn busy(path: &Path, source: rusqlite::Error) -> ExclusiveError {
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            ExclusiveError::Busy { path: path.to_owned(), holders: holders(path).others() }
        }
        _ => ExclusiveError::Sqlite { path: path.to_owned(), source },
    }
}

/// Names the side files that lie beside `path`.
pub(super) fn side_files(path: &Path) -> Vec<PathBuf> {
    ["-wal", "-shm", "-journal"]
        .into_iter()
        .map(|suffix| side_file(path, suffix))
        .filter(|file| std::fs::symlink_metadata(file).is_ok())
        .collect()
}
