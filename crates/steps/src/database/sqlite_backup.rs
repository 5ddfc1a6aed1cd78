//! The backup of a SQLite database: a proven copy, and from then on the database is ours.

use super::foreign;
use super::sqlite::{Manifest, guard, journal_mode};
use crate::trial::remove;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use switchback_engine::{Condition, StepError, Work};
use switchback_site::sqlite::connect::side_file;
use switchback_site::sqlite::{
    BackupReport, Database, FileTraits, JournalMode, backup, partial_of, restore, stamp, take,
};
use switchback_site::{Failure, Site, SiteError};

/// What the undo needs even if no backup was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SqliteBefore {
    journal_mode: JournalMode,
    traits: FileTraits,
}

/// Looks whether the copy is made and the database ours.
pub(crate) fn check(site: &Site, target: &str, work: &Work<'_>) -> Result<Condition, StepError> {
    let made = work.dir.backup_of(target).exists();
    match Manifest::read(work.dir, target)? {
        Some(manifest) if manifest.made.is_some() => Ok(Condition::Applied(manifest.measured())),
        Some(manifest) if made && manifest.counter.is_some() => {
            match journal_mode(&site.database(target)?)? {
                JournalMode::Wal => Ok(Condition::Partial),
                _ => Ok(Condition::Applied(manifest.measured())),
            }
        }
        None if !made => Ok(Condition::Pending),
        _ => Ok(Condition::Partial),
    }
}

/// Notes what the file is like.
pub(crate) fn prepare(site: &Site, target: &str) -> Result<SqliteBefore, StepError> {
    let database = site.database(target)?;
    let path = database.real_path().map_err(SiteError::from)?;
    Ok(SqliteBefore { journal_mode: journal_mode(&database)?, traits: FileTraits::of(&path)? })
}

/// Makes the copy, proves it, and takes the database.
pub(crate) fn apply(
    site: &Site,
    target: &str,
    before: &SqliteBefore,
    work: &Work<'_>,
) -> Result<Value, StepError> {
    let database = site.database(target)?;
    let mut manifest = match Manifest::read(work.dir, target)? {
        Some(manifest) => manifest,
        None => {
            let report = backup(&database, &work.dir.backup_of(target), work.tell)?;
            let manifest = Manifest {
                report: Some(report),
                journal_mode: before.journal_mode,
                counter: None,
                uncounted: false,
                made: None,
            };
            manifest.write(work.dir, target, work)?;
            manifest
        }
    };
    let copied = copied(&manifest, target)?.fingerprint.clone();
    // From here on nobody else is in the database, and each commit is counted.
    let mut exclusive = take(&database, work.tell)?;
    let counter = stamp::change_counter(exclusive.connection()).map_err(SiteError::from)?;
    drop(exclusive);
    if manifest.counter.is_none() {
        let mut now = site.database_fingerprint(target, work.tell)?;
        let mode = copied.pragmas.get("journal_mode").cloned();
        now.pragmas.extend(mode.map(|mode| ("journal_mode".to_owned(), mode)));
        if now != copied {
            return Err(foreign(target, "it changed between the backup and the moment it was taken".into())
                .details(copied.differences(&now)));
        }
        manifest.counter = Some(counter);
        manifest.write(work.dir, target, work)?;
    }
    Ok(manifest.measured())
}

/// Restores.
pub(crate) fn undo(
    site: &Site,
    target: &str,
    before: &SqliteBefore,
    work: &Work<'_>,
) -> Result<(), StepError> {
    let database = site.database(target)?;
    // Until the database was taken nothing of ours is in it: what is not as before is somebody else's work.
    let taken = Manifest::read(work.dir, target)?.filter(|manifest| manifest.counter.is_some());
    let Some(manifest) = taken else {
        remove(&partial_of(&work.dir.backup_of(target)))?;
        tidy(site, &database, target, work)?;
        if journal_mode(&database)? != before.journal_mode {
            site.set_journal_mode(target, before.journal_mode, work.tell)?;
        }
        return Ok(());
    };
    let report = copied(&manifest, target)?;
    let expected = &report.fingerprint;
    // A database that is as it was is so whoever made it so; anything else must be our doing.
    let as_it_was = match site.database_fingerprint(target, work.tell) {
        Ok(now) => now == *expected,
        Err(error) if error.halt().is_some() => return Err(error.into()),
        Err(_) => false,
    };
    if !as_it_was {
        guard(site, target, work)?;
    }
    // Where it is as it was, this makes durable and tidies away what a restore that was cut off has left.
    let copy = work.dir.backup_of(target);
    restore(&copy, &database, expected, Some(&report.traits), work.tell)?;
    let now = site.database_fingerprint(target, work.tell)?;
    if now != *expected {
        return Err(StepError::failed(format!("restore {}: it is not as it was", target))
            .details(expected.differences(&now)));
    }
    Ok(())
}

/// Rolls back what a cut life left half done, and deletes the journal that its switch out of WAL mode left cold:
/// SQLite does that in rollback mode only. Whoever else has the database open is left alone; the file is harmless.
fn tidy(site: &Site, database: &Database, target: &str, work: &Work<'_>) -> Result<(), StepError> {
    database.settle().map_err(SiteError::from)?;
    let path = database.real_path().map_err(SiteError::from)?;
    if !side_file(&path, "-journal").exists() {
        return Ok(());
    }
    match site.set_journal_mode(target, JournalMode::Delete, work.tell) {
        Ok(()) => Ok(database.settle().map_err(SiteError::from)?),
        Err(error) if error.halt().is_some() => Err(error.into()),
        Err(_) => Ok(()),
    }
}

/// What was proven of the copy. A manifest without it is that of a database that the upgrade makes.
fn copied<'a>(manifest: &'a Manifest, target: &str) -> Result<&'a BackupReport, StepError> {
    let missing = || StepError::failed(format!("find what was proven of the backup of {target}"));
    manifest.report.as_ref().ok_or_else(missing)
}
