//! SQLite: the manifest of a backup, and commits counted so that those of others are found.

use super::foreign;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use switchback_engine::run_dir::write_durably;
use switchback_engine::{Condition, RunDir, StepError, Work};
use switchback_site::sqlite::{
    BackupReport, Connection, Database, Exclusive, JournalMode, OpenError, Vacancy, holders, ledger, stamp,
    take,
};
use switchback_site::{Site, SiteError};

/// What is kept beside a backup, in the run directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// What was proven when the copy was made; `None` where there was nothing to copy.
    #[serde(default)]
    pub report: Option<BackupReport>,
    /// The journal mode to go back to: that of before, or of what the upgrade made.
    pub journal_mode: JournalMode,
    /// The change counter of the database without our commits; `None` until the database was taken for ourselves.
    pub counter: Option<u32>,
    /// Whether a foreign program works on the database for this run: until we commit again, whose commits are whose cannot
    /// be told.
    #[serde(default)]
    pub uncounted: bool,
    /// Of a database that the upgrade makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
}

/// A database that the upgrade makes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Made {
    /// What lay there before.
    pub was: Vacancy,
    /// What lies there as long as nobody has made it; `None` once it is made, and its commits are counted.
    pub vacant: Option<Vacancy>,
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
    let made = manifest.as_ref().and_then(|manifest| manifest.made.as_ref());
    if let Some(what) = made.map(|made| made.differs(site.vacancy(target)?)).transpose()?.flatten() {
        return Err(foreign(target, what.to_owned()));
    }
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

impl Made {
    /// Says what differs from what lay there last, if anything does.
    fn differs(&self, now: Option<Vacancy>) -> Result<Option<&'static str>, StepError> {
        Ok(match (&self.vacant, now) {
            (Some(then), Some(now)) if *then == now => None,
            (None, None) => None,
            (Some(_), None) => Some("another program made it"),
            (Some(_), Some(_)) => Some("another program laid an empty file there, or took one away"),
            (None, Some(_)) => Some("another program took it away, or emptied it"),
        })
    }
}

/// Stops counting before a foreign program works on the database for this run, and gives it the journal mode that it
/// had: some set it once, when they make it.
pub(crate) fn stop_counting(site: &Site, target: &str, work: &Work<'_>) -> Result<(), StepError> {
    guard(site, target, work)?;
    let Some(manifest) = Manifest::read(work.dir, target)? else { return Ok(()) };
    let had_a_log = manifest.journal_mode == JournalMode::Wal;
    if !manifest.uncounted {
        Manifest { uncounted: true, ..manifest }.write(work.dir, target, work)?;
    }
    let database = site.database(target)?;
    let nobody = |path: &Path| holders(path).is_empty();
    // A life that was cut may have let the program in already: then the mode is its own affair.
    if had_a_log
        && site.vacancy(target)?.is_none()
        && nobody(&database.real_path().map_err(SiteError::from)?)
        && recovered_mode(&database)? != JournalMode::Wal
    {
        site.set_journal_mode(target, JournalMode::Wal, work.tell)?;
    }
    Ok(())
}

/// Counts again, now that the foreign program is done: whoever writes from here on is somebody else.
pub(crate) fn count_again(site: &Site, target: &str, work: &Work<'_>) -> Result<(), StepError> {
    guard(site, target, work)?;
    match Manifest::read(work.dir, target)?.filter(|manifest| manifest.uncounted) {
        Some(manifest) => manifest.recount(site, target, work).map(drop),
        None if site.vacancy(target)?.is_some() => Ok(()),
        None => take(&site.database(target)?, work.tell).map(drop).map_err(StepError::from),
    }
}

/// Takes a database for a transaction of ours, and counts from here on if a foreign program was at it before.
pub(crate) fn take_counted(site: &Site, target: &str, work: &Work<'_>) -> Result<Exclusive, StepError> {
    guard(site, target, work)?;
    if let Some(manifest) = Manifest::read(work.dir, target)?.filter(|manifest| manifest.uncounted)
        && let Some(exclusive) = manifest.recount(site, target, work)?
    {
        return Ok(exclusive);
    }
    Ok(take(&site.database(target)?, work.tell)?)
}

impl Manifest {
    /// What it says of itself, for the journal.
    pub fn measured(&self) -> Value {
        let report = self.report.as_ref();
        json!({
            "bytes": report.map_or(0, |report| report.bytes),
            "rows": report.map_or(0, |report| report.rows.values().sum::<u64>()),
            "complaints": report.map_or(Vec::new(), |report| report.complaints.clone()),
        })
    }

    /// The fingerprint to go back to.
    pub fn fingerprint(&self) -> Option<Value> {
        match (&self.report, &self.made) {
            (Some(report), _) => serde_json::to_value(&report.fingerprint).ok(),
            (None, Some(made)) => serde_json::to_value(&made.was).ok(),
            (None, None) => None,
        }
    }

    /// Takes the database, and counts its commits from here on; or notes that there still is none, and returns `None`.
    pub fn recount(
        mut self,
        site: &Site,
        target: &str,
        work: &Work<'_>,
    ) -> Result<Option<Exclusive>, StepError> {
        let database = site.database(target)?;
        if let Some(mut made) = self.made.clone() {
            if site.vacancy(target)?.is_none() {
                // A first transaction that was cut off leaves nothing when it is rolled back.
                database.settle().map_err(SiteError::from)?;
            }
            if let Some(vacant) = site.vacancy(target)? {
                made.vacant = Some(vacant);
                let manifest = Manifest { counter: None, uncounted: false, made: Some(made), ..self };
                return manifest.write(work.dir, target, work).map(|()| None);
            }
            // It is ours to say from here on what mode it has: what it was made with is noted before that is changed.
            if self.journal_mode == JournalMode::Delete && recovered_mode(&database)? == JournalMode::Wal {
                self.journal_mode = JournalMode::Wal;
                self.write(work.dir, target, work)?;
            }
        }
        let mut exclusive = take(&database, work.tell)?;
        self.count_from(exclusive.connection(), target, work)?;
        Ok(Some(exclusive))
    }

    /// Whatever is in the database now was put there before this moment; what comes is counted.
    fn count_from(mut self, connection: &Connection, target: &str, work: &Work<'_>) -> Result<(), StepError> {
        let counter = stamp::change_counter(connection).map_err(SiteError::from)?;
        let ours = ledger::rows(connection)?.iter().filter(|row| row.run == work.run).count();
        self.counter = Some(counter.wrapping_sub(u32::try_from(ours).unwrap_or(u32::MAX)));
        self.uncounted = false;
        if let Some(made) = &mut self.made {
            made.vacant = None;
        }
        self.write(work.dir, target, work)
    }
}

fn counted(transactions: u32) -> String {
    switchback_model::words::count(u64::from(transactions), "transaction")
}

/// Returns whether the ledger says that this step's transaction is in.
pub(crate) fn is_in(site: &Site, target: &str, work: &Work<'_>) -> Result<bool, StepError> {
    if site.vacancy(target)?.is_some() {
        return Ok(false);
    }
    let connection = site.database(target)?.open_recovered().map_err(SiteError::from)?;
    Ok(ledger::has(&connection, work.run, work.step)?)
}

/// Looks where this step's transaction stands, and leaves one that died half way as it is.
pub(crate) fn standing(site: &Site, target: &str, work: &Work<'_>) -> Result<Condition, StepError> {
    if site.vacancy(target)?.is_some() {
        return Ok(Condition::Pending);
    }
    let connection = match site.database(target)?.open_read() {
        Err(OpenError::HalfDone { .. }) => return Ok(Condition::Partial),
        other => other.map_err(SiteError::from)?,
    };
    let is_in = ledger::has(&connection, work.run, work.step)?;
    Ok(if is_in { Condition::applied() } else { Condition::Pending })
}

/// The journal mode that a database is in.
pub(crate) fn journal_mode(database: &Database) -> Result<JournalMode, StepError> {
    mode_of(&database.open_read().map_err(SiteError::from)?)
}

/// The same, of one in which a killed program may have left a transaction half done.
fn recovered_mode(database: &Database) -> Result<JournalMode, StepError> {
    mode_of(&database.open_recovered().map_err(SiteError::from)?)
}

fn mode_of(connection: &Connection) -> Result<JournalMode, StepError> {
    let mode: String =
        connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).map_err(SiteError::from)?;
    Ok(mode.parse::<JournalMode>().unwrap_or(JournalMode::Delete))
}

/// Returns whether some of the transactions of this step are in: each has a row of its own, named after the step.
pub(crate) fn is_begun(site: &Site, target: &str, work: &Work<'_>) -> Result<bool, StepError> {
    if site.vacancy(target)?.is_some() {
        return Ok(false);
    }
    let connection = site.database(target)?.open_recovered().map_err(SiteError::from)?;
    let head = format!("{}#", work.step);
    Ok(ledger::rows(&connection)?.iter().any(|row| row.run == work.run && row.step.starts_with(&head)))
}

/// Writes the row that says that all of the step is in.
pub(crate) fn enter(site: &Site, target: &str, work: &Work<'_>) -> Result<(), StepError> {
    let mut exclusive = take_counted(site, target, work)?;
    let transaction = exclusive.connection().transaction().map_err(SiteError::from)?;
    ledger::record(&transaction, &super::ledger_row(work))?;
    work.tell.point("sqlite.enter")?;
    transaction.commit().map_err(SiteError::from)?;
    work.tell.point("sqlite.entered")?;
    Ok(())
}
