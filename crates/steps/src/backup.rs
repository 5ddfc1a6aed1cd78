//! `backup`: copies a database for the way back, proves the copy, and takes the database for ourselves.

use crate::database::{Manifest, foreign, guard, journal_mode};
use crate::trial::remove;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use switchback_engine::registry::Compiled;
use switchback_engine::{Condition, Kind, Overlay, Preview, Step, StepError, Work};
use switchback_model::compile::Compile;
use switchback_model::decode::Spanned;
use switchback_model::plan::{Access, Reversal, Touch};
use switchback_model::record;
use switchback_model::words;
use switchback_site::sqlite::connect::side_file;
use switchback_site::sqlite::{Database, FileTraits, JournalMode, backup, partial_of, restore, stamp, take};
use switchback_site::{Failure, Site, SiteError};

/// Bytes that a verified backup moves in a millisecond, by a rule of thumb: a slow disk.
pub(crate) const BYTES_A_MS: u64 = 50_000;

record! {
    /// Backs a database up. The planner puts one in wherever a step needs it, so a playbook rarely says it.
    pub struct BackupBody {
        /// The database.
        pub r#in: Spanned<String>,
    }
}

/// The kind.
pub struct BackupKind;

impl Kind for BackupKind {
    type Body = BackupBody;
    const NAME: &'static str = "backup";
    const SAYS: &'static str = "copies a database for the way back, and proves the copy";

    fn compile(body: BackupBody, cx: &mut Compile<'_>) -> Compiled {
        let target = cx.target_name(&body.r#in.value, body.r#in.span, &["SQLite database"])?;
        Some(vec![Box::new(Backup { target })])
    }
}

/// The step. Its undo is the restore, and so the undo of every `ByRestore` step after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// Name of the target.
    pub target: String,
}

/// What the undo needs even if no backup was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackupBefore {
    journal_mode: JournalMode,
    traits: FileTraits,
}

impl Step for Backup {
    const KIND: &'static str = "backup";
    type Before = BackupBefore;

    fn describe(&self) -> String {
        format!("back {} up and prove the backup", self.target)
    }

    fn subject(&self) -> String {
        self.target.clone()
    }

    fn touches(&self) -> Vec<Touch> {
        vec![Touch::new(&self.target, Access::BacksUp)]
    }

    fn reversal(&self) -> Reversal {
        Reversal::ByUndo
    }

    fn preview(&self, world: &mut Overlay<'_>) -> Result<Preview, StepError> {
        let bytes = world.site.size(&self.target)?.unwrap_or(0);
        Ok(Preview { keeps: bytes, ..Preview::of([words::bytes(bytes)], 20 + bytes / BYTES_A_MS) })
    }

    fn check(&self, site: &Site, work: &Work<'_>) -> Result<Condition, StepError> {
        let made = work.dir.backup_of(&self.target).exists();
        match Manifest::read(work.dir, &self.target)? {
            Some(manifest) if made && manifest.counter.is_some() => {
                match journal_mode(&site.database(&self.target)?)? {
                    JournalMode::Wal => Ok(Condition::Partial),
                    _ => Ok(Condition::Applied(measured(&manifest))),
                }
            }
            None if !made => Ok(Condition::Pending),
            _ => Ok(Condition::Partial),
        }
    }

    fn prepare(&self, site: &Site, _work: &Work<'_>) -> Result<BackupBefore, StepError> {
        let database = site.database(&self.target)?;
        let path = database.real_path().map_err(SiteError::from)?;
        Ok(BackupBefore { journal_mode: journal_mode(&database)?, traits: FileTraits::of(&path)? })
    }

    fn apply(&self, site: &Site, before: &BackupBefore, work: &Work<'_>) -> Result<Value, StepError> {
        let database = site.database(&self.target)?;
        let mut manifest = match Manifest::read(work.dir, &self.target)? {
            Some(manifest) => manifest,
            None => {
                let report = backup(&database, &work.dir.backup_of(&self.target), work.tell)?;
                let manifest =
                    Manifest { report, journal_mode: before.journal_mode, counter: None, uncounted: false };
                manifest.write(work.dir, &self.target, work)?;
                manifest
            }
        };
        // From here on nobody else is in the database, and each commit is counted.
        let mut exclusive = take(&database, work.tell)?;
        let counter = stamp::change_counter(exclusive.connection()).map_err(SiteError::from)?;
        drop(exclusive);
        if manifest.counter.is_none() {
            let mut now = site.database_fingerprint(&self.target, work.tell)?;
            let mode = manifest.report.fingerprint.pragmas.get("journal_mode").cloned();
            now.pragmas.extend(mode.map(|mode| ("journal_mode".to_owned(), mode)));
            if now != manifest.report.fingerprint {
                return Err(foreign(
                    &self.target,
                    "it changed between the backup and the moment it was taken".into(),
                )
                .details(manifest.report.fingerprint.differences(&now)));
            }
            manifest.counter = Some(counter);
            manifest.write(work.dir, &self.target, work)?;
        }
        Ok(measured(&manifest))
    }

    fn undo(&self, site: &Site, before: &BackupBefore, work: &Work<'_>) -> Result<(), StepError> {
        let database = site.database(&self.target)?;
        // Until the database was taken nothing of ours is in it: what is not as before is somebody else's work.
        let taken = Manifest::read(work.dir, &self.target)?.filter(|manifest| manifest.counter.is_some());
        let Some(manifest) = taken else {
            remove(&partial_of(&work.dir.backup_of(&self.target)))?;
            self.tidy(site, &database, work)?;
            if journal_mode(&database)? != before.journal_mode {
                site.set_journal_mode(&self.target, before.journal_mode, work.tell)?;
            }
            return Ok(());
        };
        let expected = &manifest.report.fingerprint;
        // A database that is as it was is so whoever made it so; anything else must be our doing.
        let as_it_was = match site.database_fingerprint(&self.target, work.tell) {
            Ok(now) => now == *expected,
            Err(error) if error.halt().is_some() => return Err(error.into()),
            Err(_) => false,
        };
        if !as_it_was {
            guard(site, &self.target, work)?;
        }
        // Where it is as it was, this makes durable and tidies away what a restore that was cut off has left.
        let copy = work.dir.backup_of(&self.target);
        restore(&copy, &database, expected, Some(&manifest.report.traits), work.tell)?;
        let now = site.database_fingerprint(&self.target, work.tell)?;
        if now != *expected {
            return Err(StepError::failed(format!("restore {}: it is not as it was", self.target))
                .details(expected.differences(&now)));
        }
        Ok(())
    }
}

impl Backup {
    /// Rolls back what a cut life left half done, and deletes the journal that its switch out of WAL mode left cold:
    /// SQLite does that in rollback mode only. Whoever else has the database open is left alone; the file is harmless.
    fn tidy(&self, site: &Site, database: &Database, work: &Work<'_>) -> Result<(), StepError> {
        database.settle().map_err(SiteError::from)?;
        let path = database.real_path().map_err(SiteError::from)?;
        if !side_file(&path, "-journal").exists() {
            return Ok(());
        }
        match site.set_journal_mode(&self.target, JournalMode::Delete, work.tell) {
            Ok(()) => Ok(database.settle().map_err(SiteError::from)?),
            Err(error) if error.halt().is_some() => Err(error.into()),
            Err(_) => Ok(()),
        }
    }
}

fn measured(manifest: &Manifest) -> Value {
    json!({
        "bytes": manifest.report.bytes,
        "rows": manifest.report.rows.values().sum::<u64>(),
        "complaints": manifest.report.complaints,
    })
}
