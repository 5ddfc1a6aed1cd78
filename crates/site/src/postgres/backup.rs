//! Dumping schemas of a database that may be in use, with what proves the dump.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use postgres::Client;
use serde::{Deserialize, Serialize};

use super::connect::{Access, Database, OpenError};
use super::fingerprint::{Fingerprint, FingerprintError, hold};
use super::guard::{self, Baseline};
use super::names::{NameError, quote};
use super::pour::{Pour, list_of, rows_of, sync_all};
use super::restore_sql::{
    ExtensionState, SchemaState, extension_states, prepare_fresh, schema_states, set_right,
};
use super::rights::Rights;
use super::said::said;
use super::tools::{ToolError, Tools, Working};
use crate::tell::{Failure, Halt, Tell, Unit};

/// How many connections a dump uses.
const JOBS: &str = "2";
/// The file beside the dump that says what it is.
const REPORT: &str = "switchback.json";
/// The folder of the dump itself; the tool wants it for itself.
const DUMP: &str = "dump";

/// Why a backup could not be made or read. The database is unchanged, and no folder has the name of the backup that is not one.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database could not be reached.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Reading it failed.
    #[error(transparent)]
    Fingerprint(#[from] FingerprintError),
    /// The tools failed, or there are none.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A name cannot be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The server refused.
    #[error("back up {place}: {}", said(.source))]
    Server {
        /// The database.
        place: String,
        /// What it says.
        source: postgres::Error,
    },
    /// A folder of that name holds something else than the database does now; it may be the only good copy.
    #[error("back up to {}: it holds another state already ({}); move it away first", .path.display(), .lines.join("; "))]
    Exists {
        /// The destination.
        path: PathBuf,
        /// What differs.
        lines: Vec<String>,
    },
    /// The dump lacks something.
    #[error("prove the backup of {place}: {}; check the disk and try again", .lines.join("; "))]
    Differs {
        /// The database.
        place: String,
        /// What is missing or differs.
        lines: Vec<String>,
    },
    /// The folder holds no backup that can be read.
    #[error("read the backup {}: {why}", .path.display())]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file system failed.
    #[error("write {}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
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
            BackupError::Tool(error) => error.halt(),
            _ => None,
        }
    }
}

/// What a backup was proven by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proven {
    /// It was restored into a scratch database, and that equals the original by fingerprint.
    Restored,
    /// It was read from end to end, and holds every table with as many rows; why it was not restored.
    Listed(String),
}

/// What is known about a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupReport {
    /// What the schemas were.
    pub fingerprint: Fingerprint,
    /// Size of the dump.
    pub bytes: u64,
    /// Rows by table, by quoted name.
    pub rows: BTreeMap<String, u64>,
    /// The moment of it, for telling foreign rows.
    pub baseline: Baseline,
    /// The tools that made it.
    pub tool: Tools,
    /// What it was proven by.
    pub proven: Proven,
    /// The schemas, those that were not there included.
    pub schemas: Vec<SchemaState>,
    /// The extensions of the whole database.
    pub extensions: Vec<ExtensionState>,
}

/// Dumps `schemas` of `database` into the folder `dir`, while others may read and write.
///
/// One exported view of the database spans the dump and the fingerprint, so both are of one moment. The folder is written as
/// `dir.partial`, read back from end to end, synced, and only then renamed: after `Ok` the backup survives a power cut. A schema
/// that is not there is noted as such. When `dir` exists and holds what the database holds now, this is a repeat and changes
/// nothing; any other `dir` is refused. Rights of roles, settings of the database and large objects are in no schema, and not in it.
pub fn backup(
    database: &Database,
    schemas: &[String],
    dir: &Path,
    run: &str,
    tell: &Tell,
) -> Result<BackupReport, BackupError> {
    if fs::symlink_metadata(dir).is_ok() {
        return repeat(database, schemas, dir, tell);
    }
    let partial = partial_of(dir);
    let report = make(database, schemas, &partial, run, tell).and_then(|report| {
        tell.point("postgres.backup.rename")?;
        fs::rename(&partial, dir).map_err(|source| io(dir, source))?;
        tell.point("postgres.backup.renamed")?;
        sync_folder_of(dir)?;
        tell.point("postgres.backup.synced")?;
        Ok(report)
    });
    // What failed is of no use, and may be what filled the disk. A dead process writes nothing more, though.
    if report.as_ref().is_err_and(|error| error.halt() != Some(Halt::Cut)) {
        let _ = fs::remove_dir_all(&partial);
    }
    report
}

/// Names the folder of a backup in the making, which a life that was cut leaves behind.
pub fn partial_of(dir: &Path) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

/// Reads what a backup says of itself.
pub fn read_backup(dir: &Path) -> Result<BackupReport, BackupError> {
    let unreadable = |why: String| BackupError::Unreadable { path: dir.to_owned(), why };
    let text = fs::read(dir.join(REPORT)).map_err(|error| unreadable(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))
}

/// Writes into the backup what it was proven by, after a proof that was not part of making it.
pub fn note_proof(dir: &Path, proven: &Proven) -> Result<(), BackupError> {
    let mut report = read_backup(dir)?;
    report.proven = proven.clone();
    write_report(dir, &report)?;
    sync_folder_of(&dir.join(REPORT))
}

/// The folder of the dump; `None` when none of the schemas was there.
pub(super) fn dump_of(dir: &Path, report: &BackupReport) -> Option<PathBuf> {
    report.schemas.iter().any(|schema| schema.existed).then(|| dir.join(DUMP))
}

fn repeat(
    database: &Database,
    schemas: &[String],
    dir: &Path,
    tell: &Tell,
) -> Result<BackupReport, BackupError> {
    let report = read_backup(dir)?;
    let lines = report.fingerprint.differences(&Fingerprint::read(database, schemas, tell)?);
    if !lines.is_empty() {
        return Err(BackupError::Exists { path: dir.to_owned(), lines });
    }
    // The try before this one may have died between the rename and its sync.
    sync_folder_of(dir)?;
    Ok(report)
}

fn make(
    database: &Database,
    schemas: &[String],
    partial: &Path,
    run: &str,
    tell: &Tell,
) -> Result<BackupReport, BackupError> {
    let place = database.place();
    let failed = |source| BackupError::Server { place: place.clone(), source };
    tell.point("postgres.backup.create")?;
    match fs::remove_dir_all(partial) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(partial, error)),
        _ => {}
    }
    fs::DirBuilder::new().mode(0o700).create(partial).map_err(|source| io(partial, source))?;
    tell.point("postgres.backup.created")?;
    let mut holder = database.connect("switchback reads", Access::ReadOnly)?;
    let snapshot = hold(&mut holder).map_err(failed)?;
    let server = Rights::of(&mut holder, &[]).map_err(failed)?.server;
    let tools = Tools::find(server)?;
    let states = schema_states(&mut holder, schemas).map_err(failed)?;
    let extensions = extension_states(&mut holder).map_err(failed)?;
    let baseline = guard::snapshot(&mut holder).map_err(failed)?;
    let dump = partial.join(DUMP);
    let working = start_dump(&tools, database, &states, &snapshot, &dump, run)?;
    let fingerprint = Fingerprint::at(database, &mut holder, &snapshot, schemas, tell)?;
    if let Some(working) = working {
        let mut looks = 0_u32;
        working.wait("dump the database", tell, || {
            looks += 1;
            if looks.is_multiple_of(25) {
                tell.progress("dumping", bytes_of(&dump), None, Unit::Bytes);
            }
        })?;
    }
    // The view had to be held until the dump had its last table.
    holder.batch_execute("ROLLBACK").map_err(failed)?;
    tell.point("postgres.backup.dumped")?;
    let rows = fingerprint.counts();
    let lines = look_into(&tools, &dump, &states, &rows, tell)?;
    if !lines.is_empty() {
        return Err(BackupError::Differs { place, lines });
    }
    let bytes = if dump.exists() { sync_all(&dump).map_err(|source| io(&dump, source))? } else { 0 };
    let baseline = Baseline { snapshot: baseline, rows: rows.clone() };
    let proven = Proven::Listed("nobody has tried yet".to_owned());
    let report =
        BackupReport { fingerprint, bytes, rows, baseline, tool: tools, proven, schemas: states, extensions };
    write_report(partial, &report)?;
    tell.point("postgres.backup.proven")?;
    Ok(report)
}

fn start_dump(
    tools: &Tools,
    database: &Database,
    schemas: &[SchemaState],
    snapshot: &str,
    dump: &Path,
    run: &str,
) -> Result<Option<Working>, BackupError> {
    if !schemas.iter().any(|schema| schema.existed) {
        return Ok(None);
    }
    let mut command = tools.command("pg_dump", Some(database), run);
    command.args([
        "--format=directory",
        "--compress=1",
        "--no-password",
        "--lock-wait-timeout=60s",
        "--jobs",
        JOBS,
    ]);
    command.arg("--snapshot").arg(snapshot).arg("--file").arg(dump);
    for schema in schemas.iter().filter(|schema| schema.existed) {
        // A pattern; between double quotes nothing has a meaning of its own (app-psql, "Patterns").
        command.arg(format!("--schema={}", quote(&schema.name)?));
    }
    Ok(Some(Working::start(&mut command, tools.program("pg_dump"))?))
}

/// Reads a dump from end to end and names what is not in it, or is in it otherwise.
fn look_into(
    tools: &Tools,
    dump: &Path,
    schemas: &[SchemaState],
    rows: &BTreeMap<String, u64>,
    tell: &Tell,
) -> Result<Vec<String>, BackupError> {
    if !schemas.iter().any(|schema| schema.existed) {
        return Ok(Vec::new());
    }
    let list = list_of(tools, dump, tell)?;
    let found = rows_of(tools, dump, tell)?;
    let mut lines = Vec::new();
    for schema in schemas.iter().filter(|schema| schema.existed && schema.name != "public") {
        if !list.lines().any(|line| line.contains(&format!(" SCHEMA - {} ", schema.name))) {
            lines.push(format!("the dump lacks the schema {}", schema.name));
        }
    }
    for (table, rows) in rows {
        match found.get(table) {
            Some(dumped) if dumped == rows => {}
            Some(dumped) => lines.push(format!("the dump holds {dumped} rows of {table}, which has {rows}")),
            None => lines.push(format!("the dump lacks the rows of {table}")),
        }
    }
    Ok(lines)
}

/// Restores a backup into a scratch database and compares, where that is allowed and the server has room for it.
///
/// `Listed` says why it was not tried or not possible; a restore that succeeds and differs is an error.
pub fn prove(
    database: &Database,
    dir: &Path,
    report: &BackupReport,
    run: &str,
    tell: &Tell,
) -> Result<Proven, BackupError> {
    let Some(dump) = dump_of(dir, report) else {
        return Ok(Proven::Listed("there was nothing to dump".to_owned()));
    };
    let place = database.place();
    let failed = |source| BackupError::Server { place: place.clone(), source };
    let mut client = database.connect("switchback reads", Access::ReadOnly)?;
    if let Some(why) = no_room(database, &mut client, report).map_err(failed)? {
        return Ok(Proven::Listed(why));
    }
    drop(client);
    let name = match super::scratch::create(database, run, tell) {
        Ok(name) => name,
        Err(error) => match error.halt() {
            Some(halt) => return Err(halt.into()),
            None => return Ok(Proven::Listed(format!("no scratch database: cannot {error}"))),
        },
    };
    let scratch = database.beside(&name);
    let proven = load_fresh(&scratch, report, &dump, run, tell).and_then(|()| {
        let schemas: Vec<String> = report.schemas.iter().map(|schema| schema.name.clone()).collect();
        Ok(report.fingerprint.differences(&Fingerprint::read(&scratch, &schemas, tell)?))
    });
    if proven.as_ref().err().and_then(Failure::halt) != Some(Halt::Cut)
        && let Err(error) = super::scratch::drop_scratch(database, &name, run, tell)
        && let Some(halt) = error.halt()
    {
        return Err(halt.into());
    }
    match proven {
        Ok(lines) if lines.is_empty() => Ok(Proven::Restored),
        Ok(lines) => Err(BackupError::Differs { place, lines }),
        // What leans on other schemas of the database cannot come up without them.
        Err(BackupError::Tool(ToolError::Failed { said, .. })) if report.leans_outside(&said) => {
            Ok(Proven::Listed(format!("it needs what is outside of the schemas: {}", said.trim())))
        }
        Err(error) => Err(error),
    }
}

impl BackupReport {
    /// Says whether a failed trial restore is explained by something that is no part of the backup: another schema, which the
    /// scratch database does not have, or an extension that we may not make there.
    fn leans_outside(&self, said: &str) -> bool {
        // No such table, schema, object or function; no right to make an extension.
        let missing = ["42P01:", "3F000:", "42704:", "42883:"].iter().any(|code| said.contains(code));
        let own = self.schemas.iter().any(|schema| {
            quote(&schema.name).is_ok_and(|quoted| {
                said.contains(&format!("{}.", schema.name)) || said.contains(&format!("{quoted}."))
            })
        });
        missing && !own || said.contains("42501:")
    }
}

/// Loads a dump into a database that has nothing in it yet.
pub(super) fn load_fresh(
    scratch: &Database,
    report: &BackupReport,
    dump: &Path,
    run: &str,
    tell: &Tell,
) -> Result<(), BackupError> {
    let settings = settings_of(scratch)?;
    let before = prepare_fresh(&report.schemas, &report.extensions)?;
    let after = set_right(&report.schemas, None)?;
    let pour = Pour {
        tools: &report.tool,
        database: scratch,
        run,
        dump: Some(dump),
        before: &before,
        after: &after,
        settings: &settings,
        total: report.bytes,
    };
    Ok(pour.run(tell)?)
}

/// Dumps schemas of one database to `work` and loads them into another, which is fresh. `work` is gone afterwards.
pub(super) fn dump_into(
    of: &Database,
    schemas: &[String],
    to: &Database,
    run: &str,
    work: &Path,
    tell: &Tell,
) -> Result<(), BackupError> {
    let report = backup(of, schemas, work, run, tell)?;
    let loaded = match dump_of(work, &report) {
        Some(dump) => load_fresh(to, &report, &dump, run, tell),
        None => Ok(()),
    };
    if loaded.as_ref().err().and_then(Failure::halt) != Some(Halt::Cut) {
        fs::remove_dir_all(work).map_err(|source| io(work, source))?;
    }
    loaded
}

/// The names of the settings that the server knows.
pub(super) fn settings_of(database: &Database) -> Result<BTreeSet<String>, BackupError> {
    let mut client = database.connect("switchback reads", Access::ReadOnly)?;
    let rows = client
        .query("SELECT name FROM pg_catalog.pg_settings", &[])
        .map_err(|source| BackupError::Server { place: database.place(), source })?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// How large a restore may be where nobody can see the server's disk.
const UNSEEN: u64 = 256 << 20;

/// Says why there is no room for a scratch copy on the server, or that nobody can see. A full disk there stops every database.
fn no_room(
    database: &Database,
    client: &mut Client,
    report: &BackupReport,
) -> Result<Option<String>, postgres::Error> {
    let names: Vec<&String> = report.schemas.iter().map(|schema| &schema.name).collect();
    let size: i64 = client
        .query_one(
            "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ANY ($1::text[]::name[]) AND c.relkind IN ('r', 'm')",
            &[&names],
        )?
        .get(0);
    // Rows, indexes, and as much again in the server's log of changes.
    let needed = size.unsigned_abs() * 2 + (64 << 20);
    let host = database.address().host.as_str();
    let here = host.starts_with('/') || ["localhost", "127.0.0.1", "::1"].contains(&host);
    let sql = "SELECT CASE WHEN pg_has_role('pg_read_all_settings', 'MEMBER') THEN current_setting('data_directory', true) END";
    let folder: Option<String> = client.query_one(sql, &[])?.get(0);
    let space = folder.filter(|_| here).and_then(|folder| crate::disk::space(Path::new(&folder)).ok());
    let bytes = switchback_model::words::bytes;
    Ok(match space {
        Some(space) if space.free < needed => Some(format!(
            "the server has {} free, and a scratch copy needs {}",
            bytes(space.free),
            bytes(needed)
        )),
        Some(_) => None,
        None if needed > UNSEEN => Some(format!(
            "a scratch copy needs {}, and the server's free disk cannot be seen from here",
            bytes(needed)
        )),
        None => None,
    })
}

fn write_report(dir: &Path, report: &BackupReport) -> Result<(), BackupError> {
    let path = dir.join(REPORT);
    let text = serde_json::to_vec(report).map_err(|error| io(&path, error.into()))?;
    crate::file::replace(&path, &text, 0o600, &Tell::quiet())
        .map(|_| ())
        .map_err(|error| io(&path, std::io::Error::other(error)))
}

fn bytes_of(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|about| about.len()).sum()
}

fn sync_folder_of(path: &Path) -> Result<(), BackupError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(|source| io(folder, source))
}

fn io(path: &Path, source: std::io::Error) -> BackupError {
    BackupError::Io { path: path.to_owned(), source }
}

/// Whether nobody but its owner can look into a folder; the backup of a secret is one.
pub fn is_private(dir: &Path) -> bool {
    fs::metadata(dir).is_ok_and(|about| about.permissions().mode() & 0o077 == 0)
}
