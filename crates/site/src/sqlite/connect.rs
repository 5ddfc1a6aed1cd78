//! Opening a SQLite database so that a look stays a look, and that a wrong file is refused before anything.
//!
//! The file of a live database is never opened by other means than SQLite itself: POSIX drops *all* locks that a
//! process holds on a file when it closes *any* descriptor of it (sqlite.org/howtocorrupt.html §2.2), and with the locks
//! gone another process may delete the write-ahead log under a running application. So this module uses `stat` and SQL.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use crate::tell::{Failure, Halt};

/// Why a database could not be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nothing lies there.
    #[error("open {}: there is no such file; check the path in site.yaml", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The path is a folder.
    #[error("open {}: it is a folder; name the database file in it", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// The path is a socket, a pipe or a device.
    #[error("open {}: it is not a regular file", .path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file has no bytes. SQLite would take it for a new database and delete a log that lies beside it.
    #[error("open {}: the file is empty; start the application once, or put back its data", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file is no SQLite database.
    #[error("open {}: it is not a SQLite database, or it is encrypted; check the path in site.yaml", .path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file is a SQLite database with broken pages, or a part of one.
    #[error("open {}: the database is damaged or cut short; put back a good copy of it first", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// A killed program left a transaction half done, and finishing it would be a change.
    #[error(
        "read {}: a killed program left a half-done transaction in it; start and stop the application once, \
         so that it is rolled back", .path.display()
    )]
    HalfDone {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// SQLite needs an index of the write-ahead log, and may not write one.
    #[error(
        "read {}: SQLite must be able to write beside it to read its write-ahead log; run as the owner of the folder \
         or as root", .path.display()
    )]
    LogUnreadable {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// Somebody holds it longer than we waited.
    #[error("open {}: another program holds its lock; stop the application and try again", .path.display())]
    Locked {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// Permissions.
    #[error("open {}: permission denied; run as the owner of the file or as root", .path.display())]
    Denied {
        /// The file.
        path: PathBuf,
    },
    /// The file system failed.
    #[error("look at {}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// SQLite failed in another way.
    #[error("open {}: {source}", .path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
}

impl Failure for OpenError {
    fn halt(&self) -> Option<Halt> {
        None
    }
}

/// A SQLite database by its path. Holds no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    path: PathBuf,
    patience: Duration,
}

impl Database {
    /// Names the database at `path`, which need not exist yet. Waits 5 s for locks of others.
    pub fn new(path: impl Into<PathBuf>) -> Database {
        Database { path: path.into(), patience: Duration::from_secs(5) }
    }

    /// Waits `patience` for the locks of others instead.
    pub fn busy_timeout(mut self, patience: Duration) -> Database {
        self.patience = patience;
        self
    }

    /// How long it waits for the locks of others.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// The path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the absolute path behind all symlinks; the last component need not exist.
    ///
    /// SQLite names the log after the real file, so whoever looks for side files must start here.
    pub fn real_path(&self) -> Result<PathBuf, OpenError> {
        real_path(&self.path)
    }

    /// Opens it for looking: no write is possible, and neither opening nor closing checkpoints or deletes the log.
    ///
    /// In WAL mode SQLite may create an index (`-shm`) and an empty log beside the database, with its owner and mode.
    /// `foreign_keys` is off, whatever the build default is.
    pub fn open_read(&self) -> Result<Connection, OpenError> {
        let path = self.real_path()?;
        look(&path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let connection = Connection::open_with_flags(&path, flags)?;
            // The last connection that closes checkpoints and deletes the log (sqlite.org/wal.html): not ours.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            connection.busy_timeout(self.patience)?;
            connection.pragma_update(None, "query_only", true)?;
            connection.pragma_update(None, "foreign_keys", false)?;
            touch(&connection)?;
            Ok(connection)
        };
        open().map_err(|source| refusal(&path, source))
    }

    /// Opens it for looking, as [`Database::open_read`] does; a half-done transaction of a killed program, which a look
    /// that cannot write cannot see past, is rolled back first, as every SQLite program that opens the file would.
    pub fn open_recovered(&self) -> Result<Connection, OpenError> {
        match self.open_read() {
            Err(OpenError::HalfDone { .. }) => {
                drop(self.open_write()?);
                self.open_read()
            }
            other => other,
        }
    }

    /// Puts an end to what a killed program left half done: a hot journal is rolled back, as every SQLite program would
    /// do it, and a journal that holds nothing to roll back goes, so that it never lies beside another state of the file.
    ///
    /// SQLite keeps such a cold journal until the next commit. It is deleted through SQLite, which asks for the lock of a
    /// writer first: a journal that a program is just writing is left alone (pager.c, sqlite3PagerSetJournalMode).
    pub fn settle(&self) -> Result<(), OpenError> {
        let path = self.real_path()?;
        let journal = side_file(&path, "-journal");
        if !path.exists() || !journal.exists() {
            return Ok(());
        }
        let connection = self.open_write()?;
        let failed = |source| refusal(&path, source);
        let mode: String =
            connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).map_err(failed)?;
        if mode.eq_ignore_ascii_case("delete") && journal.exists() {
            for mode in ["TRUNCATE", "DELETE"] {
                connection
                    .query_row(&format!("PRAGMA journal_mode = {mode}"), [], |_| Ok(()))
                    .map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Opens it for changes. A half-done transaction of a killed program is rolled back or taken in here, as every
    /// SQLite program would. `foreign_keys` is off and `synchronous` is FULL: what is committed survives a power cut.
    pub fn open_write(&self) -> Result<Connection, OpenError> {
        let path = self.real_path()?;
        look(&path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let connection = Connection::open_with_flags(&path, flags)?;
            connection.busy_timeout(self.patience)?;
            connection.pragma_update(None, "foreign_keys", false)?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            touch(&connection)?;
            Ok(connection)
        };
        open().map_err(|source| refusal(&path, source))
    }
}

/// Opens a copy that nobody writes, such as a backup: no locks, no log, no side files, from any folder.
///
/// A log that lies beside it is *not* read.
pub fn open_immutable(path: &Path) -> Result<Connection, OpenError> {
    let path = real_path(path)?;
    look(&path)?;
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(immutable_uri(&path), flags)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "foreign_keys", false)?;
        touch(&connection)?;
        Ok(connection)
    };
    open().map_err(|source| refusal(&path, source))
}

/// Returns the side file of `main` with this suffix: `-wal`, `-shm` or `-journal`.
pub fn side_file(main: &Path, suffix: &str) -> PathBuf {
    let mut name = main.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Says whether `connection` was opened by [`open_immutable`].
pub(super) fn is_immutable(connection: &Connection) -> bool {
    // SAFETY: the handle lives as long as the borrow, and SQLite owns the file name it returns for the connection's
    // life; sqlite3_uri_boolean accepts exactly such a name (sqlite.org/c3ref/uri_boolean.html).
    unsafe {
        let name = ffi::sqlite3_db_filename(connection.handle(), c"main".as_ptr());
        !name.is_null() && ffi::sqlite3_uri_boolean(name, c"immutable".as_ptr(), 0) != 0
    }
}

/// Reads the catalog: SQLite opens lazily, so this is where a wrong file shows.
fn touch(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
}

fn real_path(path: &Path) -> Result<PathBuf, OpenError> {
    let io = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
            OpenError::Missing { path: path.to_owned() }
        }
        std::io::ErrorKind::PermissionDenied => OpenError::Denied { path: path.to_owned() },
        _ => OpenError::Io { path: path.to_owned(), source },
    };
    let mut here = path.to_owned();
    // Forty is how many links the kernel itself follows (path_resolution(7)).
    for _ in 0..40 {
        match std::fs::canonicalize(&here) {
            Ok(real) => return Ok(real),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(io(error)),
        }
        // The file is gone, but a link to it may still stand: a restore must put it where the link points.
        let folder = match here.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        match std::fs::read_link(&here) {
            Ok(target) => here = folder.join(target),
            Err(_) => {
                let name = here.file_name().ok_or_else(|| OpenError::Missing { path: path.to_owned() })?;
                return Ok(std::fs::canonicalize(&folder).map_err(io)?.join(name));
            }
        }
    }
    Err(OpenError::Missing { path: path.to_owned() })
}

/// Refuses by `stat` what SQLite would take for a new database or fail on obscurely.
fn look(path: &Path) -> Result<(), OpenError> {
    let path = path.to_owned();
    let meta = match std::fs::metadata(&path) {
        Ok(meta) => meta,
        Err(error) => {
            return Err(match error.kind() {
                std::io::ErrorKind::NotFound => OpenError::Missing { path },
                std::io::ErrorKind::PermissionDenied => OpenError::Denied { path },
                _ => OpenError::Io { path, source: error },
            });
        }
    };
    if meta.is_dir() {
        Err(OpenError::Folder { path })
    } else if !meta.is_file() {
        Err(OpenError::NotAFile { path })
    } else if meta.len() == 0 {
        Err(OpenError::Empty { path })
    } else if meta.len() < 512 {
        // The smallest page is 512 bytes (sqlite.org/fileformat.html §1.3.2).
        Err(OpenError::NotADatabase { path })
    } else {
        Ok(())
    }
}

fn refusal(path: &Path, source: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    let Some(error) = source.sqlite_error().copied() else { return OpenError::Sqlite { path, source } };
    match error.extended_code {
        ffi::SQLITE_READONLY_ROLLBACK => return OpenError::HalfDone { path, source },
        ffi::SQLITE_READONLY_RECOVERY | ffi::SQLITE_READONLY_CANTINIT | ffi::SQLITE_READONLY_DIRECTORY => {
            return OpenError::LogUnreadable { path, source };
        }
        _ => {}
    }
    match error.code {
        ErrorCode::NotADatabase => OpenError::NotADatabase { path },
        ErrorCode::DatabaseCorrupt => OpenError::Damaged { path, source },
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => OpenError::Locked { path, source },
        ErrorCode::PermissionDenied => OpenError::Denied { path },
        ErrorCode::CannotOpen if rustix::fs::access(&path, rustix::fs::Access::READ_OK).is_err() => {
            OpenError::Denied { path }
        }
        ErrorCode::CannotOpen => OpenError::LogUnreadable { path, source },
        _ => OpenError::Sqlite { path, source },
    }
}

/// Every byte that has a meaning in a URI is escaped: a path may hold `?`, `#`, `%` or no UTF-8 at all.
fn immutable_uri(path: &Path) -> PathBuf {
    let mut uri = b"file:".to_vec();
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => uri.push(byte),
            _ => uri.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    uri.extend_from_slice(b"?immutable=1");
    PathBuf::from(OsStr::from_bytes(&uri))
}
