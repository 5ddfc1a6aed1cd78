//! SQLite: the manifest of a backup, and commits counted so that those of others are found.

use super::foreign;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use switchback_engine::run_dir::write_durably;
use switchback_engine::{Condition, RunDir, StepError, Work};
use switchback_site::sqlite::{
    BackupReport, Connection, Database, Exclusive, JournalMode, OpenError, ledger, stamp, take,
};
use switchback_site::{Site, SiteError};

/// What is kept beside a backup, in the run directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// What was proven when it was made.
    pub report: BackupReport,
    /// The journal mode to go back to.
    pub journal_mode: JournalMode,
    /// The change counter of the database without our commits; `None` until the database was taken for ourselves.
    pub counter: Option<u32>,
    /// Whether a foreign program works on the database for this run: until we commit again, whose commits are whose cannot
    /// be told.
    #[serde(default)]
    pub uncounted: bool,
}

impl Manifest {
    fn path(dir: &RunDir, target: &str) -> PathBuf {
        dir.backups().join(format!("{target}.json"))
    }

    /// Reads the manifest of a backup that this run made.
    pub fn read(dir: &RunDir, target: &str) -> Result<Option<Manifest>, StepError> {
        let path = Manifest::path(dir, target);
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|e| StepError::failed(format!("read {}: {e}", path.display()))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StepError::failed(format!("read {}: {e}", path.display()))),
        }
    }

    /// Writes it. After `Ok` it survives a power cut.
    pub fn write(&self, dir: &RunDir, target: &str, work: &Work<'_>) -> Result<(), StepError> {
        let path = Manifest::path(dir, target);
        let text = serde_json::to_vec_pretty(self)
            .map_err(|e| StepError::failed(format!("write a manifest: {e}")))?;
        work.tell.point("backup.manifest")?;
        write_durably(&path, &text)
            .map_err(|e| StepError::failed(format!("write {}: {e}", path.display())))?;
        work.tell.point("backup.manifest-written")?;
        Ok(())
    }
}

/// Finds transactions that are not ours: since the database was taken, every one of ours left a row in the ledger.
///
/// Without a backup by this run there is nothing to measure from, and nothing is found.
pub(crate) fn guard(site: &Site, target: &str, work: &Work<'_>) -> Result<(), StepError> {
    if work.losing_writes {
        return Ok(());
    }
    let manifest = Manifest::read(work.dir, target)?.filter(|manifest| !manifest.uncounted);
    let Some(base) = manifest.and_then(|manifest| manifest.counter) else {
        return Ok(());
    };
    let connection = site.database(target)?.open_recovered().map_err(SiteError::from)?;
    let counter = stamp::change_counter(&connection).map_err(SiteError::from)?;
    let ours = ledger::rows(&connection)?.iter().filter(|row| row.run == work.run).count();
    let expected = base.wrapping_add(u32::try_from(ours).unwrap_or(u32::MAX));
    if counter == expected {
        return Ok(());
    }
    Err(foreign(target, format!("another program committed {}", counted(counter.wrapping_sub(expected)))))
}

/// Stops counting before a foreign program works on the database for this run.
pub(crate) fn stop_counting(site: &Site, target: &str, work: &Work<'_>) -> Result<(), StepError> {
    guard(site, target, work)?;
    match Manifest::read(work.dir, target)? {
        Some(manifest) => Manifest { uncounted: true, ..manifest }.write(work.dir, target, work),
        None => Ok(()),
    }
}

/// Takes a database for a transaction of ours, and counts from here on if a foreign program was at it before.
pub(crate) fn take_counted(site: &Site, target: &str, work: &Work<'_>) -> Result<Exclusive, StepError> {
    guard(site, target, work)?;
    let mut exclusive = take(&site.database(target)?, work.tell)?;
    if let Some(manifest) = Manifest::read(work.dir, target)?.filter(|manifest| manifest.uncounted) {
        manifest.count_from(exclusive.connection(), target, work)?;
    }
    Ok(exclusive)
}

impl Manifest {
    /// Whatever is in the database now was put there before this moment; what comes is counted.
    pub fn count_from(
        mut self,
        connection: &Connection,
        target: &str,
        work: &Work<'_>,
    ) -> Result<(), StepError> {
        let counter = stamp::change_counter(connection).map_err(SiteError::from)?;
        let ours = ledger::rows(connection)?.iter().filter(|row| row.run == work.run).count();
        self.counter = Some(counter.wrapping_sub(u32::try_from(ours).unwrap_or(u32::MAX)));
        self.uncounted = false;
        self.write(work.dir, target, work)
    }
}

fn counted(transactions: u32) -> String {
    switchback_model::words::count(u64::from(transactions), "transaction")
}

/// Returns whether the ledger says that this step's transaction is in.
pub(crate) fn is_in(site: &Site, target: &str, work: &Work<'_>) -> Result<bool, StepError> {
    let connection = site.database(target)?.open_recovered().map_err(SiteError::from)?;
    Ok(ledger::has(&connection, work.run, work.step)?)
}

/// Looks where this step's transaction stands, and leaves one that died half way as it is.
pub(crate) fn standing(site: &Site, target: &str, work: &Work<'_>) -> Result<Condition, StepError> {
    let connection = match site.database(target)?.open_read() {
        Err(OpenError::HalfDone { .. }) => return Ok(Condition::Partial),
        other => other.map_err(SiteError::from)?,
    };
    let is_in = ledger::has(&connection, work.run, work.step)?;
    Ok(if is_in { Condition::applied() } else { Condition::Pending })
}

/// The journal mode that a database is in.
pub(crate) fn journal_mode(database: &Database) -> Result<JournalMode, StepError> {
    let connection = database.open_read().map_err(SiteError::from)?;
    let mode: String =
        connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).map_err(SiteError::from)?;
    Ok(mode.parse::<JournalMode>().unwrap_or(JournalMode::Delete))
}
