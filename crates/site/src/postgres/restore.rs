//! Putting schemas back as a backup has them, in one transaction, and nothing outside of them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::backup::{BackupError, BackupReport, dump_of, read_backup, settings_of};
use super::connect::{Access, Database, OpenError};
use super::fingerprint::{Fingerprint, FingerprintError};
use super::names::NameError;
use super::outsiders::outsiders;
use super::pour::Pour;
use super::restore_sql::{make_room, set_right};
use super::rights::Rights;
use super::said::said;
use super::tools::{ToolError, Tools};
use super::wait::holders;
use crate::tell::{Failure, Halt, Tell, Unit};

/// How long others are waited for who hold what is to be dropped.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the queue is left alone between two tries.
const REST: Duration = Duration::from_millis(300);

/// Why a backup could not be put back. Unless the text says otherwise the database is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup could not be read.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The backup is of other schemas, or of another state than is wanted.
    #[error("restore from {}: it is not what is wanted ({}); the database is unchanged", .path.display(), .lines.join("; "))]
    Another {
        /// The backup.
        path: PathBuf,
        /// What differs.
        lines: Vec<String>,
    },
    /// Objects outside would go with what is inside.
    #[error("restore {place}: objects outside of the schemas lean on what is inside, and are in no backup of them: {}; move or drop them", .objects.join("; "))]
    Outsiders {
        /// The database.
        place: String,
        /// The objects.
        objects: Vec<String>,
    },
    /// Others hold what is to be dropped.
    #[error("restore {place}: others hold locks in it ({}); end what holds them and repeat", .holders.join("; "))]
    Blocked {
        /// The database.
        place: String,
        /// Who they are.
        holders: Vec<String>,
    },
    /// It was put back and reads differently.
    #[error("prove the restored {place}: it differs from the backup ({}); repeat, or look into the backup", .lines.join("; "))]
    Differs {
        /// The database.
        place: String,
        /// What differs.
        lines: Vec<String>,
    },
    /// The database could not be reached.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Reading it failed.
    #[error(transparent)]
    Fingerprint(#[from] FingerprintError),
    /// The tools failed. The transaction was taken back.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A name cannot be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The server refused.
    #[error("restore {place}: {}", said(.source))]
    Server {
        /// The database.
        place: String,
        /// What it says.
        source: postgres::Error,
    },
    /// Stopped on the way; a repeat finishes.
    #[error(transparent)]
    Halt(#[from] Halt),
}

impl Failure for RestoreError {
    fn halt(&self) -> Option<Halt> {
        match self {
            RestoreError::Halt(halt) => Some(*halt),
            RestoreError::Backup(error) => error.halt(),
            RestoreError::Fingerprint(error) => error.halt(),
            RestoreError::Tool(error) => error.halt(),
            _ => None,
        }
    }
}

/// What [`restore`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// The schemas were in the expected state already.
    AlreadyThere,
    /// What the backup holds was put in their place.
    Replaced,
}

/// Puts `schemas` of `database` back as the backup in `dir` has them, unless they equal `expected` already.
///
/// One transaction of the server: what is in the schemas is dropped, the dump is loaded, owners, rights and comments of the
/// schemas are set as they were, and the rows of `run` leave the ledger, as what they say is in is in no more. A schema that was not
/// there is dropped, one that was empty is emptied. Whoever dies, the server or we, leaves all or nothing. Nothing outside of the
/// schemas is touched: what leans in from there refuses the restore. After `Ok` the state was read back and equals `expected`.
pub fn restore(
    dir: &Path,
    database: &Database,
    schemas: &[String],
    expected: &Fingerprint,
    run: &str,
    tell: &Tell,
) -> Result<Restored, RestoreError> {
    let report = read_backup(dir)?;
    is_wanted(dir, &report, schemas, expected)?;
    let there = Fingerprint::read(database, schemas, tell)? == *expected;
    let dump = dump_of(dir, &report).filter(|_| !there);
    if !there {
        look_outside(database, schemas)?;
    }
    let tools = tools_for(database, &report)?;
    let before = if there { String::new() } else { make_room(&report.schemas, &report.extensions, run)? };
    let after = set_right(&report.schemas, Some(run))?;
    let settings = settings_of(database)?;
    let (dump, total) = (dump.as_deref(), report.bytes);
    let pour = Pour {
        tools: &tools,
        database,
        run,
        dump,
        before: &before,
        after: &after,
        settings: &settings,
        total,
    };
    tell.point("postgres.restore.begin")?;
    patiently(database, tell, || pour.run(tell))?;
    let lines = Fingerprint::read(database, schemas, tell)?.differences(expected);
    match (lines.is_empty(), there) {
        (false, _) => Err(RestoreError::Differs { place: database.place(), lines }),
        (true, true) => Ok(Restored::AlreadyThere),
        (true, false) => Ok(Restored::Replaced),
    }
}

fn is_wanted(
    dir: &Path,
    report: &BackupReport,
    schemas: &[String],
    expected: &Fingerprint,
) -> Result<(), RestoreError> {
    let mut lines = report.fingerprint.differences(expected);
    if report.schemas.iter().map(|schema| &schema.name).ne(schemas) {
        lines.push("it is of other schemas".to_owned());
    }
    if lines.is_empty() { Ok(()) } else { Err(RestoreError::Another { path: dir.to_owned(), lines }) }
}

/// The tools that made the dump read it best; where they are gone, others that fit the server do.
fn tools_for(database: &Database, report: &BackupReport) -> Result<Tools, RestoreError> {
    if report.tool.folder.join("pg_restore").is_file() {
        return Ok(report.tool.clone());
    }
    let mut client = database.connect("switchback reads", Access::ReadOnly)?;
    let rights = Rights::of(&mut client, &[])
        .map_err(|source| RestoreError::Server { place: database.place(), source })?;
    Ok(Tools::find(rights.server.max(report.tool.major))?)
}

/// Refuses before anything is begun what the transaction would refuse as well.
fn look_outside(database: &Database, schemas: &[String]) -> Result<(), RestoreError> {
    let mut client = database.connect("switchback reads", Access::ReadOnly)?;
    let found = outsiders(&mut client, schemas).map_err(FingerprintError::from)?;
    if found.objects.is_empty() {
        return Ok(());
    }
    Err(RestoreError::Outsiders { place: database.place(), objects: found.objects })
}

/// Tries again while others hold what is to be dropped; each try waits a moment for each lock and then lets others pass.
fn patiently(
    database: &Database,
    tell: &Tell,
    mut attempt: impl FnMut() -> Result<(), ToolError>,
) -> Result<(), RestoreError> {
    let clock = Instant::now();
    loop {
        let said = match attempt() {
            Err(ToolError::Failed { said, .. }) if is_contention(&said) => said,
            other => return Ok(other?),
        };
        tell.go_on()?;
        let place = database.place();
        let mut client = database.connect("switchback reads", Access::ReadOnly)?;
        let holders =
            holders(&mut client).map_err(|source| RestoreError::Server { place: place.clone(), source })?;
        if clock.elapsed() > PATIENCE {
            let holders = if holders.is_empty() { vec![said] } else { holders };
            return Err(RestoreError::Blocked { place, holders });
        }
        let doing = format!("waiting for {}", holders.join("; "));
        tell.progress(&doing, clock.elapsed().as_secs(), Some(PATIENCE.as_secs()), Unit::Seconds);
        std::thread::sleep(REST);
    }
}

/// Codes are the same in every language that the server speaks.
fn is_contention(said: &str) -> bool {
    said.contains("55P03:") || said.contains("40P01:")
}
