//! Copying a database that may be in use, and proving the copy before it gets its name.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use serde::{Deserialize, Serialize};

use crate::sqlite::collation::{is_standing_in, stand_in};
use crate::sqlite::connect::{Database, OpenError, open_immutable, side_file};
use crate::sqlite::fingerprint::{Fingerprint, FingerprintError, Snapshot, join};
use crate::sqlite::shares::Shares;
use crate::sqlite::traits::{FileTraits, TraitsError};
use crate::tell::{Failure, Halt, Tell, Unit};

/// Why a backup could not be made. The source is unchanged, and no file has the name of the backup that is not one.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The source or the copy could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The destination is the source: a link to it, or the same path.
    #[error("back up {} to itself; name another file", .path.display())]
    Itself {
        /// The source.
        path: PathBuf,
    },
    /// A file of that name holds something else than the source does now; it may be the only good copy.
    #[error("back up to {}: it holds another state already ({}); move it away first", .path.display(), .lines.join("; "))]
    Exists {
        /// The destination.
        path: PathBuf,
        /// What differs.
        lines: Vec<String>,
    },
    /// The copy has broken pages, so the source has them too.
    #[error("back up {}: its pages are damaged ({}); put back a good copy of it first", .path.display(), .lines.join("; "))]
    Damaged {
        /// The source.
        path: PathBuf,
        /// What SQLite found.
        lines: Vec<String>,
    },
    /// The copy reads differently.
    #[error("prove the backup of {}: the copy differs ({}); check the disk and try again", .path.display(), .lines.join("; "))]
    Differs {
        /// The source.
        path: PathBuf,
        /// What differs.
        lines: Vec<String>,
    },
    /// Reading the source or the copy failed.
    #[error(transparent)]
    Fingerprint(#[from] FingerprintError),
    /// Owner, mode or attributes of the source could not be read.
    #[error(transparent)]
    Traits(#[from] TraitsError),
    /// SQLite failed to copy.
    #[error("copy {}: {source}", .path.display())]
    Sqlite {
        /// The source.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// The file system failed.
    #[error("write {}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Stopped on the way.
    #[error(transparent)]
    Halt(#[from] Halt),
}

impl Failure for BackupError {
    fn halt(&self) -> Option<Halt> {
        match self {
            BackupError::Halt(halt) => Some(*halt),
            BackupError::Fingerprint(error) => error.halt(),
            _ => None,
        }
    }
}

/// What is known about a proven backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupReport {
    /// Its size.
    pub bytes: u64,
    /// Its rows, by table.
    pub rows: BTreeMap<String, u64>,
    /// What the source was, and the copy is.
    pub fingerprint: Fingerprint,
    /// Owner, mode and attributes of the source; the copy itself is readable by its owner alone.
    pub traits: FileTraits,
    /// Rows that break the application's own rules (a NULL where NOT NULL is declared). They are copied as they are.
    pub complaints: Vec<String>,
}

/// Backs up `source` to the file `dest`, while others may read and write the source.
///
/// One read transaction spans the copy of the pages and its proof. A second connection reads the rows of the source at the
/// same time; where it saw another moment than the copy, because of a commit between the two, they are read again in that
/// transaction. In WAL mode writers go on meanwhile; in rollback mode their commits wait, as SQLite has one version of a
/// page there. The pages go to `dest.partial`; that file is checked page by page and row by row against the source, synced, and only
/// then renamed. After `Ok` the backup survives a power cut; after anything else there is no `dest`, or a proven one.
///
/// When `dest` exists and holds what the source holds now, this is a repeat and changes nothing; any other `dest` is refused.
pub fn backup(source: &Database, dest: &Path, tell: &Tell) -> Result<BackupReport, BackupError> {
    let path = source.real_path()?;
    let connection = source.open_read()?;
    stand_in(&connection).map_err(|source| BackupError::Sqlite { path: path.clone(), source })?;
    if is_same_file(&path, dest) {
        return Err(BackupError::Itself { path });
    }
    if std::fs::symlink_metadata(dest).is_ok() {
        return repeat(&path, &connection, dest, tell);
    }
    let partial = partial_of(dest);
    let report = make(source, &path, connection, &partial, tell).and_then(|report| {
        tell.point("sqlite.backup.rename")?;
        std::fs::rename(&partial, dest).map_err(|source| io(dest, source))?;
        tell.point("sqlite.backup.renamed")?;
        sync_folder(dest).map_err(|source| io(dest, source))?;
        tell.point("sqlite.backup.synced")?;
        Ok(report)
    });
    // What failed is of no use, and may be what filled the disk. A dead process writes nothing more, though.
    if report.as_ref().is_err_and(|error| error.halt() != Some(Halt::Cut)) {
        let _ = std::fs::remove_file(&partial);
    }
    report
}

/// Names the copy in the making, which a life that was cut leaves behind.
pub fn partial_of(dest: &Path) -> PathBuf {
    side_file(dest, ".partial")
}

/// Makes a copy of `source` to try things on: the same as [`backup`].
pub fn scratch_copy(source: &Database, dest: &Path, tell: &Tell) -> Result<BackupReport, BackupError> {
    backup(source, dest, tell)
}

/// Reads a backup that was made before and proves it again; `traits` are those that were recorded with it.
pub fn read_backup(path: &Path, traits: &FileTraits, tell: &Tell) -> Result<BackupReport, BackupError> {
    let ((), proof) = prove(path, path, tell, || ());
    Ok(report(proof?, traits.clone()))
}

fn repeat(
    path: &Path,
    connection: &Connection,
    dest: &Path,
    tell: &Tell,
) -> Result<BackupReport, BackupError> {
    let (source, proof) = prove(dest, dest, tell, || Fingerprint::read(connection, &tell.unheard()));
    let (source, proof) = (source?, proof?);
    let lines = proof.fingerprint.differences(&source);
    if !lines.is_empty() {
        return Err(BackupError::Exists { path: dest.to_owned(), lines });
    }
    // The try before this one may have died between the rename and its sync.
    sync_folder(dest).map_err(|source| io(dest, source))?;
    Ok(report(proof, FileTraits::of(path)?))
}

fn make(
    source: &Database,
    path: &Path,
    connection: Connection,
    partial: &Path,
    tell: &Tell,
) -> Result<BackupReport, BackupError> {
    let sqlite = |source| BackupError::Sqlite { path: path.to_owned(), source };
    let traits = FileTraits::of(path)?;
    let second = second(source);
    tell.point("sqlite.backup.create")?;
    create(partial).map_err(|source| io(partial, source))?;
    tell.point("sqlite.backup.created")?;
    let snapshot = Snapshot::hold(&connection).map_err(sqlite)?;
    let held = || Fingerprint::read(&connection, &tell.unheard());
    let abandon = Abandon::default();
    let (source, proof) = std::thread::scope(|scope| {
        // Whatever way this block is left, the other thread does not read on for nothing.
        let abandon = abandon;
        let unheard = tell.unheard_until(abandon.0.clone());
        let beside = scope.spawn(move || Fingerprint::read_alone(second?, &unheard));
        copy_pages(path, &connection, partial, tell)?;
        tell.point("sqlite.backup.copied")?;
        Ok::<_, BackupError>(prove(partial, path, tell, || match join(beside) {
            // The second may have been refused, and then the first does without.
            Err(error) if error.halt().is_none() => held(),
            read => read,
        }))
    })?;
    // Broken pages are named as such, even where they also made the source unreadable.
    let proof = match (source, proof) {
        (_, Err(error @ BackupError::Damaged { .. })) => return Err(error),
        (Err(error), _) => return Err(error.into()),
        (Ok(source), proof) => {
            let proof = proof?;
            // Equal is equal, whatever moment the second connection saw. If a commit came between the two, it saw another
            // one than was copied, and only the one that was copied can tell.
            if proof.fingerprint != source {
                let lines = proof.fingerprint.differences(&held()?);
                if !lines.is_empty() {
                    return Err(BackupError::Differs { path: path.to_owned(), lines });
                }
            }
            proof
        }
    };
    drop(snapshot);
    tell.point("sqlite.backup.proven")?;
    Ok(report(proof, traits))
}

/// Opens another connection to read the rows of the source by, while the first copies its pages.
///
/// It is opened before the first begins to read, and waits for nobody: a writer that has announced itself in rollback mode
/// waits for the first reader and keeps a second one out until then (sqlite.org/lockingv3.html, PENDING).
fn second(source: &Database) -> Result<Connection, FingerprintError> {
    Ok(source.clone().busy_timeout(Duration::ZERO).open_read()?)
}

/// Turns true when it goes.
#[derive(Default)]
struct Abandon(Arc<AtomicBool>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn create(partial: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(partial) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(partial)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
}

/// Copies all pages in steps. The read transaction that `from` is in pins the version that every step sees: a backup
/// starts over only when the source's transaction ends between steps (sqlite.org/backup.html), and this one does not.
fn copy_pages(path: &Path, from: &Connection, partial: &Path, tell: &Tell) -> Result<(), BackupError> {
    let sqlite = |source| BackupError::Sqlite { path: path.to_owned(), source };
    let absolute = std::path::absolute(partial).map_err(|source| io(partial, source))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut to = Connection::open_with_flags(&absolute, flags).map_err(sqlite)?;
    // The file has no name yet, so half of it needs no journal; it is synced once, at the end.
    to.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;")
        .map_err(sqlite)?;
    let page_size: i64 = from.query_row("PRAGMA page_size", [], |row| row.get(0)).map_err(sqlite)?;
    let page_size = page_size.unsigned_abs().max(512);
    let pages = i32::try_from((16 << 20) / page_size).unwrap_or(1024);
    let backup = Backup::new(from, &mut to).map_err(sqlite)?;
    loop {
        tell.go_on()?;
        let step = backup.step(pages).map_err(sqlite)?;
        let progress = backup.progress();
        let count = |pages: i32| u64::from(pages.unsigned_abs()) * page_size;
        let (total, left) = (count(progress.pagecount), count(progress.remaining));
        tell.progress("copying pages", total.saturating_sub(left), Some(total), Unit::Bytes);
        match step {
            StepResult::Done => break,
            StepResult::More => tell.point("sqlite.backup.copying")?,
            // Nobody else knows the copy, and the source is locked by our transaction: waiting would not help.
            _ => {
                let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
                return Err(sqlite(rusqlite::Error::SqliteFailure(busy, None)));
            }
        }
    }
    drop(backup);
    to.close().map_err(|(_, source)| sqlite(source))
}

/// What was found out about a copy.
struct Proof {
    bytes: u64,
    fingerprint: Fingerprint,
    complaints: Vec<String>,
}

/// How many share the rows of a copy; by then another thread looks at its pages.
const READERS: usize = 2;

/// Proves the copy in the making: syncs it, has its pages checked and its rows read, and does `beside` meanwhile. Whoever
/// is ready with his own helps with the rows.
///
/// `subject` is what is called damaged if it is.
fn prove<T>(
    copy: &Path,
    subject: &Path,
    tell: &Tell,
    beside: impl FnOnce() -> T,
) -> (T, Result<Proof, BackupError>) {
    let open = || -> Result<Connection, FingerprintError> {
        let connection = open_immutable(copy)?;
        stand_in(&connection)?;
        Ok(connection)
    };
    let shares = open().and_then(|connection| Shares::of(&connection, READERS));
    let read = || match &shares {
        Ok(shares) => shares.work(&open()?, tell),
        Err(_) => Ok(()),
    };
    let (beside, synced, pages, rows) = std::thread::scope(|scope| {
        let synced = scope.spawn(|| File::open(copy).and_then(|file| file.sync_all().and(file.metadata())));
        let pages = scope.spawn(|| check_pages(copy, tell));
        let rows = scope.spawn(read);
        let beside = beside();
        let helped = read();
        (beside, join(synced), join(pages), join(rows).and(helped))
    });
    let proof = || {
        let bytes = synced.map_err(|source| io(copy, source))?.len();
        let (damage, complaints): (Vec<_>, Vec<_>) = pages?.into_iter().partition(|line| !is_complaint(line));
        if !damage.is_empty() {
            return Err(BackupError::Damaged { path: subject.to_owned(), lines: damage });
        }
        let shares = shares?;
        rows?;
        Ok(Proof { bytes, fingerprint: shares.fingerprint(), complaints })
    };
    (beside, proof())
}

fn report(proof: Proof, traits: FileTraits) -> BackupReport {
    let Proof { bytes, fingerprint, complaints } = proof;
    BackupReport { bytes, rows: fingerprint.counts(), fingerprint, traits, complaints }
}

/// Runs `quick_check` and returns what it says, which is nothing for a sound copy.
fn check_pages(copy: &Path, tell: &Tell) -> Result<Vec<String>, BackupError> {
    let sqlite = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => BackupError::Halt(Halt::Interrupted),
        Some(ErrorCode::DatabaseCorrupt) => {
            BackupError::Damaged { path: copy.to_owned(), lines: vec![source.to_string()] }
        }
        _ => BackupError::Sqlite { path: copy.to_owned(), source },
    };
    let mut connection = open_immutable(copy)?;
    stand_in(&connection).map_err(sqlite)?;
    let stop = tell.stop_flag();
    let stopped = move || stop.load(Ordering::Relaxed);
    connection.progress_handler(100_000, Some(stopped)).map_err(sqlite)?;
    // CHECK constraints may call functions that only the application has; they say nothing about the pages.
    connection.pragma_update(None, "ignore_check_constraints", true).map_err(sqlite)?;
    let mut statement = connection.prepare("PRAGMA quick_check(20)").map_err(sqlite)?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0)).map_err(sqlite)?;
    let lines = lines.collect::<Result<Vec<_>, _>>().map_err(sqlite)?;
    let misordered = is_standing_in(&connection).map_err(sqlite)?;
    // A stand-in orders by bytes, so only its absence makes this line mean something.
    let empty =
        |line: &String| line == "ok" || misordered && line.starts_with("row not in PRIMARY KEY order for ");
    Ok(lines.into_iter().filter(|line| !empty(line)).collect())
}

/// Says whether a line of `quick_check` is about a row that breaks a rule, and not about a broken file.
fn is_complaint(line: &str) -> bool {
    // The texts are those of sqlite3Pragma (pragma.c); "non-unique entry in index" is damage.
    let typed = line.starts_with("non-") && line.contains(" value in ");
    line.starts_with("NULL value in ") || typed
}

/// Says whether two paths lead to one file, by links or otherwise.
pub(super) fn is_same_file(a: &Path, b: &Path) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    matches!((identity(a), identity(b)), (Ok(a), Ok(b)) if a == b)
}

/// Makes the names in the folder of `path` durable.
pub(super) fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn io(path: &Path, source: std::io::Error) -> BackupError {
    BackupError::Io { path: path.to_owned(), source }
}
