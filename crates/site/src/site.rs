//! One installation, opened: its targets by name.

mod clear;
mod compare;
mod databases;
mod described;
mod made;
mod rehearsed;

use crate::artifacts::{ArtifactError, Artifacts};
use crate::command::{CommandError, Exit};
use crate::disk;
use crate::file::FileError;
use crate::http::{self, HttpError};
use crate::jq_child::{IndexError, JqChild, JqChildError, StreamError};
use crate::ledger_row::LedgerRow;
use crate::lock::LockError;
use crate::marker::{Marker, MarkerError};
use crate::postgres as pg;
use crate::probe::{Answer, patient};
use crate::records::Answered;
use crate::service::{Privates, Service, ServiceError, ServiceSpec};
use crate::sqlite::{
    CompareError, Database, ExclusiveError, Fingerprint, FingerprintError, JournalMode, LEDGER, LedgerError,
    OpenError, VacancyError, ledger,
};
use crate::tell::{Failure, Halt, Tell};
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use switchback_model::config::EditError;
use switchback_model::target::{MaintenanceDef, SQLITE, TargetDef};

pub(crate) use databases::pg_rows;

/// How long one HTTP exchange may take.
const HTTP_PATIENCE: Duration = Duration::from_secs(10);
/// How long a jq program of a probe may run, and how much memory it may have.
const JQ_PATIENCE: Duration = Duration::from_secs(10);
const JQ_MEMORY: u64 = 512 << 20;

/// Why the site did not answer or obey.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum SiteError {
    #[error("find target `{name}`")]
    NoTarget { name: String },
    #[error("use target `{name}` as a {wanted}: it is a {found}")]
    WrongKind { name: String, wanted: &'static str, found: &'static str },
    #[error("understand how service `{name}` is started: {source}")]
    Spec { name: String, source: serde_json::Error },
    #[error("find {what}")]
    Missing { what: String },
    #[error("ask with a statement that does not only read: {sql}")]
    NotReadOnly { sql: String },
    #[error("ask: nothing is known of the parameter :{name}")]
    Parameter { name: String },
    #[error("take {count} rows for a list: the most is {most}")]
    TooMany { count: u64, most: usize },
    #[error("ask: {0}")]
    Sql(#[from] rusqlite::Error),
    #[error("get {url}: it answered {status}")]
    Status { url: String, status: u16 },
    #[error("read the answer of {url} as JSON: {source}")]
    Json { url: String, source: serde_json::Error },
    #[error("look into {target}: {source}")]
    Config { target: String, source: EditError },
    #[error("believe `{command}`: {found}")]
    Command { command: String, found: String },
    #[error("write to {name}: the playbook says that it is only read")]
    ReadOnly { name: String },
    #[error("take the schemas of {name} back: {}", .objects.join("; "))]
    Leaning { name: String, objects: Vec<String> },
    #[error(transparent)]
    PgWait(#[from] pg::WaitError),
    #[error("turn what was read into data: {source}")]
    Row { source: serde_json::Error },
    #[error("ask the server: {}", pg::said(.0))]
    Server(#[from] ::postgres::Error),
    #[error(transparent)]
    PgOpen(#[from] pg::OpenError),
    #[error(transparent)]
    PgAsk(#[from] pg::AskError),
    #[error(transparent)]
    PgLedger(#[from] pg::LedgerError),
    #[error(transparent)]
    PgLock(#[from] pg::LockError),
    #[error(transparent)]
    PgCatalog(#[from] pg::CatalogError),
    #[error(transparent)]
    PgFingerprint(#[from] pg::FingerprintError),
    #[error(transparent)]
    PgCopy(#[from] pg::CopyError),
    #[error(transparent)]
    PgName(#[from] pg::NameError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Vacancy(#[from] VacancyError),
    #[error(transparent)]
    Fingerprint(#[from] FingerprintError),
    #[error(transparent)]
    Exclusive(#[from] ExclusiveError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Compare(#[from] CompareError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    Jq(#[from] JqChildError),
    #[error(transparent)]
    Run(#[from] CommandError),
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error(transparent)]
    Download(#[from] http::DownloadError),
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("make index `{name}`: {source}")]
    Index { name: String, source: IndexError },
    #[error("use the folder {}: {source}", path.display())]
    Scratch { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Marker(#[from] MarkerError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Halt(#[from] Halt),
}

impl Failure for SiteError {
    fn halt(&self) -> Option<Halt> {
        match self {
            SiteError::PgOpen(e) => e.halt(),
            SiteError::PgWait(e) => e.halt(),
            SiteError::PgAsk(e) => e.halt(),
            SiteError::PgLedger(e) => e.halt(),
            SiteError::PgLock(e) => e.halt(),
            SiteError::PgCatalog(e) => e.halt(),
            SiteError::PgFingerprint(e) => e.halt(),
            SiteError::PgCopy(e) => e.halt(),
            SiteError::Open(e) => e.halt(),
            SiteError::Vacancy(e) => e.halt(),
            SiteError::Fingerprint(e) => e.halt(),
            SiteError::Exclusive(e) => e.halt(),
            SiteError::Ledger(e) => e.halt(),
            SiteError::Compare(e) => e.halt(),
            SiteError::File(e) => e.halt(),
            SiteError::Http(e) => e.halt(),
            SiteError::Jq(e) => e.halt(),
            SiteError::Run(e) => e.halt(),
            SiteError::Service(e) => e.halt(),
            SiteError::Download(e) => e.halt(),
            SiteError::Artifact(e) => e.halt(),
            SiteError::Stream(e) => e.halt(),
            SiteError::Marker(e) => e.halt(),
            SiteError::Halt(halt) => Some(*halt),
            _ => None,
        }
    }
}

impl SiteError {
    /// Returns whether a database server did not answer, be it that it is down or that it is just coming up.
    pub fn is_away(&self) -> bool {
        match self {
            SiteError::PgOpen(error) | SiteError::PgLock(pg::LockError::Open(error)) => error.is_away(),
            SiteError::PgLock(pg::LockError::Server { source, .. }) | SiteError::Server(source) => {
                pg::is_away(source)
            }
            _ => false,
        }
    }
}

/// Folders that a site needs beside its targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteDirs {
    /// Where services that we start leave their process ids: the same for every run of a state folder.
    pub services: PathBuf,
    /// What commands and services print.
    pub logs: PathBuf,
    /// The backups of this run, for `db@backup`.
    pub backups: PathBuf,
    /// What the steps of this run have made for each other.
    pub artifacts: PathBuf,
    /// Our own program, for the limited child that runs jq.
    pub program: PathBuf,
}

/// One installation. Cheap to open: nothing is touched until it is asked.
pub struct Site {
    targets: BTreeMap<String, TargetDef>,
    services: BTreeMap<String, Box<dyn Service>>,
    databases: BTreeMap<String, pg::Database>,
    dirs: SiteDirs,
    jq: JqChild,
    rehearsal: Option<Privates>,
    locks: Vec<OwnedFd>,
    pub(crate) answered: Answered,
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site").field("targets", &self.targets.keys()).finish_non_exhaustive()
    }
}

impl Site {
    /// Opens a site, or says which service or address cannot be understood.
    pub fn open(targets: &BTreeMap<String, TargetDef>, dirs: SiteDirs) -> Result<Site, SiteError> {
        let (mut services, mut databases) = (BTreeMap::new(), BTreeMap::new());
        for (name, def) in targets {
            if let TargetDef::Postgres { url, .. } = def {
                databases.insert(name.clone(), pg::Database::parse(url)?);
            }
            if let TargetDef::Service { spec, .. } = def {
                let spec: ServiceSpec = serde_json::from_value(spec.clone())
                    .map_err(|source| SiteError::Spec { name: name.clone(), source })?;
                services.insert(name.clone(), spec.service(name, &dirs.services, &dirs.logs));
            }
        }
        let jq = JqChild::new(dirs.program.clone());
        Ok(Site {
            targets: targets.clone(),
            services,
            databases,
            dirs,
            jq,
            rehearsal: None,
            locks: Vec::new(),
            answered: Answered::default(),
        })
    }

    /// Keeps copies of the run's locks for the commands that it starts: one that outlives us keeps the run taken, so that
    /// nobody starts it a second time beside itself.
    pub fn holding(mut self, locks: Vec<OwnedFd>) -> Site {
        self.locks = locks;
        self
    }

    /// Returns the locks that a command of the run must inherit.
    pub fn locks(&self) -> std::io::Result<Vec<OwnedFd>> {
        self.locks.iter().map(OwnedFd::try_clone).collect()
    }

    /// The targets.
    pub fn targets(&self) -> &BTreeMap<String, TargetDef> {
        &self.targets
    }

    fn target(&self, name: &str) -> Result<&TargetDef, SiteError> {
        self.targets.get(name).ok_or_else(|| SiteError::NoTarget { name: name.to_owned() })
    }

    fn wrong(name: &str, def: &TargetDef, wanted: &'static str) -> SiteError {
        SiteError::WrongKind { name: name.to_owned(), wanted, found: def.kind() }
    }

    /// Returns a SQLite database.
    pub fn database(&self, name: &str) -> Result<Database, SiteError> {
        match self.target(name)? {
            TargetDef::Sqlite { path, .. } => Ok(patient(path)),
            other => Err(Site::wrong(name, other, SQLITE)),
        }
    }

    /// Keeps every database that can be opened open for looking, until the value is dropped.
    ///
    /// SQLite reads a whole log anew whenever a first connection opens it (sqlite.org/walformat.html §2.6); with one
    /// held, many looks in a row cost that once. Nobody can take a database for ourselves meanwhile. What cannot be
    /// opened is left to whoever needs it, who says why.
    pub fn hold_open(&self) -> Vec<rusqlite::Connection> {
        self.stores().filter_map(|store| self.database(store).ok()?.open_read().ok()).collect()
    }

    /// Returns the path of a file target.
    pub fn file(&self, name: &str) -> Result<PathBuf, SiteError> {
        match self.target(name)? {
            TargetDef::File { path } => Ok(PathBuf::from(path)),
            other => Err(Site::wrong(name, other, "file")),
        }
    }

    /// Returns a service.
    pub fn service(&self, name: &str) -> Result<&dyn Service, SiteError> {
        match self.services.get(name) {
            Some(service) => Ok(service.as_ref()),
            None => Err(Site::wrong(name, self.target(name)?, "service")),
        }
    }

    /// Returns how an endpoint enters and leaves maintenance.
    pub fn maintenance(&self, name: &str) -> Result<&MaintenanceDef, SiteError> {
        match self.target(name)? {
            TargetDef::Http { maintenance: Some(maintenance), .. } => Ok(maintenance),
            other => Err(Site::wrong(name, other, "endpoint with a maintenance mode")),
        }
    }

    /// Returns the text of a file target.
    pub fn read_file(&self, name: &str) -> Result<String, SiteError> {
        let path = self.file(name)?;
        let bytes = crate::file::read(&path)?
            .ok_or_else(|| SiteError::Missing { what: path.display().to_string() })?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The backup of a target that this run made, whether it is there or not.
    pub fn backup_of(&self, target: &str) -> PathBuf {
        self.dirs.backups.join(format!("{target}.backup"))
    }

    /// The artifacts of this run.
    pub fn artifacts(&self) -> Artifacts {
        Artifacts::at(&self.dirs.artifacts)
    }

    /// A folder for what is there only while a question is answered.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.dirs.logs.clone()
    }

    /// How jq programs are run: in limited children of our own program.
    pub fn jq(&self) -> &JqChild {
        &self.jq
    }

    /// The folder of a target that is a file.
    pub fn folder(&self, target: &str) -> Option<PathBuf> {
        let path = Path::new(self.targets.get(target)?.path()?);
        made::real(path).parent().map(Path::to_owned)
    }

    /// The files and folders of a target that this process may not write, with what the system says.
    pub fn not_writable(&self, target: &str) -> Vec<(PathBuf, std::io::Error)> {
        let Some(path) = self.targets.get(target).and_then(TargetDef::path) else { return Vec::new() };
        let real = made::real(Path::new(path));
        let both = [real.exists().then(|| real.clone()), real.parent().map(Path::to_owned)];
        both.into_iter()
            .flatten()
            .filter_map(|path| {
                let asked = rustix::fs::access(&path, rustix::fs::Access::WRITE_OK);
                asked.err().map(|error| (path, std::io::Error::from(error)))
            })
            .collect()
    }

    /// The databases.
    pub fn stores(&self) -> impl Iterator<Item = &str> {
        self.targets.iter().filter(|(_, def)| def.is_database()).map(|(name, _)| name.as_str())
    }

    /// Returns what makes two states of a target equal.
    pub fn fingerprint(&self, target: &str, tell: &Tell) -> Result<Value, SiteError> {
        let value = match self.target(target)? {
            // Absent and empty are fingerprints too, of what the upgrade makes.
            TargetDef::Sqlite { .. } => match self.vacancy(target)? {
                Some(vacancy) => serde_json::to_value(vacancy),
                None => serde_json::to_value(self.database_fingerprint(target, tell)?),
            },
            TargetDef::File { path } => serde_json::to_value(crate::file::Image::read(Path::new(path))?),
            TargetDef::Postgres { .. } => {
                let schemas = self.schemas(target, tell)?;
                serde_json::to_value(pg::Fingerprint::read(&self.postgres(target)?, &schemas, tell)?)
            }
            TargetDef::Service { .. } | TargetDef::Http { .. } => Ok(Value::Null),
        };
        // A fingerprint that is nothing would be equal to any other that is.
        value.map_err(|source| SiteError::Row { source })
    }

    /// Returns the fingerprint of a database.
    pub fn database_fingerprint(&self, target: &str, tell: &Tell) -> Result<Fingerprint, SiteError> {
        Ok(Fingerprint::of(&self.database(target)?, tell)?)
    }

    /// Rolls back what a killed process left half done in a database, as every program that opens it for changes does.
    ///
    /// Only for a run that is taken up: those who merely look may not write, and cannot read such a database either.
    pub fn settle(&self) -> Result<(), SiteError> {
        // What PostgreSQL left half done it rolls back itself, and the lock of the run waits for that.
        for store in self.stores().filter(|store| !self.is_postgres(store)) {
            match self.database(store)?.settle() {
                // Whoever holds its lock is at work, and not dead.
                Err(OpenError::Locked { .. }) => {}
                // What was begun there and is none yet is gone on with by its maker, or taken away.
                Err(_) if self.is_made_sqlite(store) => {}
                settled => settled?,
            }
        }
        Ok(())
    }

    /// Returns what identifies the shape of a target, a line each: a difference means that a plan is for another site.
    pub fn identity(&self, target: &str, tell: &Tell) -> Result<Option<Vec<String>>, SiteError> {
        match self.target(target)? {
            TargetDef::Sqlite { .. } => {
                if let Some(vacancy) = self.vacancy(target)? {
                    return Ok(Some(Site::vacant_identity(&vacancy)));
                }
                let connection = self.database(target)?.open_read()?;
                let sql = "SELECT type || ' ' || name || coalesce(': ' || sql, '') FROM sqlite_schema \
                           WHERE tbl_name <> ?1 AND name NOT LIKE 'sqlite_stat%' ORDER BY type, name";
                let mut statement = connection.prepare(sql)?;
                let lines = statement.query_map([LEDGER], |row| row.get::<_, String>(0))?;
                Ok(Some(lines.collect::<Result<_, _>>()?))
            }
            TargetDef::File { path } => {
                let image = crate::file::Image::read(Path::new(path))?;
                Ok(Some(vec![serde_json::to_string(&image).unwrap_or_default()]))
            }
            TargetDef::Postgres { .. } => Ok(Some(self.catalog_lines(target, tell)?)),
            TargetDef::Service { .. } | TargetDef::Http { .. } => Ok(None),
        }
    }

    /// Two targets that are one file, by whatever names and links: each would be the other's foreign hand.
    pub fn twins(&self) -> Option<(&str, &str)> {
        let mut seen: BTreeMap<(u64, u64), &str> = BTreeMap::new();
        let mut absent: BTreeMap<PathBuf, &str> = BTreeMap::new();
        for (name, def) in &self.targets {
            let Some(path) = def.path().map(Path::new) else { continue };
            let twin = match std::fs::metadata(path) {
                Ok(meta) => seen.insert((meta.dev(), meta.ino()), name),
                // What is not there yet is one file if it would be in one place.
                Err(_) => absent.insert(made::real(path), name),
            };
            if let Some(twin) = twin {
                return Some((twin, name));
            }
        }
        None
    }

    /// Returns the bytes that a target takes, with its side files.
    pub fn size(&self, target: &str) -> Result<Option<u64>, SiteError> {
        match self.target(target)? {
            TargetDef::Sqlite { .. } if self.vacancy(target)?.is_some() => Ok(Some(0)),
            TargetDef::Sqlite { path, .. } => Ok(disk::database_size(Path::new(path)).ok()),
            TargetDef::File { path } => Ok(std::fs::metadata(path).ok().map(|meta| meta.len())),
            TargetDef::Postgres { .. } => Ok(Some(self.schemas_size(target)?)),
            TargetDef::Service { .. } | TargetDef::Http { .. } => Ok(None),
        }
    }

    /// The marks of runs that are open on this site. One that cannot be read is an error: it may be a run's.
    pub fn open_runs(&self) -> Result<Vec<Marker>, SiteError> {
        let beside = self.marked().map(|path| Marker::read(&path)).collect::<Result<Vec<_>, _>>()?;
        let mut marks: Vec<Marker> = Vec::new();
        for mark in beside.into_iter().flatten().chain(self.marks_inside()?) {
            if !marks.iter().any(|known| known.run == mark.run) {
                marks.push(mark);
            }
        }
        Ok(marks)
    }

    /// The rows of runs that are inside the databases: also where a mark was lost, or a database was moved.
    pub fn rows_of_runs(&self) -> Result<Vec<LedgerRow>, SiteError> {
        let mut rows = self.rows_inside()?;
        for store in self.stores().filter(|store| !self.is_postgres(store)) {
            // A database that does not open is found by whoever needs it, with better words.
            if let Ok(connection) = self.database(store)?.open_read() {
                rows.extend(ledger::rows(&connection)?);
            }
        }
        Ok(rows)
    }

    /// Puts the mark of a run beside every target that is a file, and inside every PostgreSQL database that it may write to.
    pub fn put_marks(&self, mark: &Marker, tell: &Tell) -> Result<(), SiteError> {
        for path in self.marked() {
            mark.write(&path, tell)?;
        }
        self.put_marks_inside(mark, tell)
    }

    /// Takes the marks of a run away; those of other runs stay.
    pub fn remove_marks(&self, run: &str, tell: &Tell) -> Result<(), SiteError> {
        for path in self.marked() {
            if Marker::read(&path)?.is_some_and(|mark| mark.run == run) {
                Marker::remove(&path, tell)?;
            }
        }
        self.remove_marks_inside(run, tell)
    }

    /// The files that marks lie beside: whatever links lead there, it is one place for everybody.
    fn marked(&self) -> impl Iterator<Item = PathBuf> {
        self.targets.values().filter_map(TargetDef::path).map(|path| made::real(Path::new(path)))
    }

    /// The folders whose locks say that a run has this site.
    pub fn folders(&self) -> Vec<PathBuf> {
        let mut folders: Vec<PathBuf> = self.targets.keys().filter_map(|name| self.folder(name)).collect();
        folders.sort();
        folders.dedup();
        folders
    }

    /// The folder for what commands and services print.
    pub fn logs(&self) -> &Path {
        &self.dirs.logs
    }

    pub(crate) fn get(
        &self,
        url: &str,
        jq: Option<&str>,
        status: Option<u16>,
        tell: &Tell,
    ) -> Result<Answer, SiteError> {
        let response = http::get(&http::Url::parse(url)?, &[], HTTP_PATIENCE)?;
        let wanted = status.map_or((200..300).contains(&response.status), |status| status == response.status);
        if !wanted {
            return Err(SiteError::Status { url: url.to_owned(), status: response.status });
        }
        let Some(jq) = jq else {
            return Ok(Answer::Text(String::from_utf8_lossy(&response.body).into_owned()));
        };
        let json: Value = serde_json::from_slice(&response.body)
            .map_err(|source| SiteError::Json { url: url.to_owned(), source })?;
        Ok(Answer::Json(self.jq.eval(jq, &[], &json, JQ_PATIENCE, JQ_MEMORY, tell)?))
    }

    /// Sends a request without a body. The reply, of whatever status, proves nothing about its effect.
    pub fn send(&self, method: &str, url: &str, tell: &Tell) -> Result<u16, SiteError> {
        let url = http::Url::parse(url)?;
        let headers = [];
        let response = match method {
            "PUT" => http::put(&url, &headers, None, HTTP_PATIENCE, tell)?,
            "DELETE" => http::delete(&url, &headers, None, HTTP_PATIENCE, tell)?,
            _ => http::post(&url, &headers, &[], HTTP_PATIENCE, tell)?,
        };
        Ok(response.status)
    }

    pub(crate) fn run_probe(
        &self,
        argv: &[String],
        exit: i32,
        patience: Duration,
        tell: &Tell,
    ) -> Result<String, SiteError> {
        let command =
            crate::command::Command { argv: argv.to_vec(), timeout: Some(patience), ..Default::default() };
        let ran = crate::command::run(&command, &self.dirs.logs, "probe", tell)?;
        if ran.exit == Exit::Code(exit) {
            return Ok(String::from_utf8_lossy(&ran.stdout.tail).into_owned());
        }
        let found = format!("it ended with {}, and exit code {exit} was wanted", ran.exit);
        Err(SiteError::Command { command: argv.join(" "), found })
    }

    /// Puts the journal mode of a database back.
    pub fn set_journal_mode(&self, target: &str, mode: JournalMode, tell: &Tell) -> Result<(), SiteError> {
        Ok(crate::sqlite::set_journal_mode(&self.database(target)?, mode, tell)?)
    }
}
