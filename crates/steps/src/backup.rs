//! `backup`: copies a database for the way back, proves the copy, and takes the database for ourselves.

use crate::database::postgres_backup::{self, PostgresBefore};
use crate::database::sqlite_backup::{self, SqliteBefore};
use crate::database::sqlite_made::{self, MadeBefore};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use switchback_engine::registry::Compiled;
use switchback_engine::{Condition, Kind, Overlay, Preview, Step, StepError, Work};
use switchback_model::compile::Compile;
use switchback_model::decode::Spanned;
use switchback_model::plan::{Access, Reversal, Touch};
use switchback_model::record;
use switchback_model::target::DATABASES;
use switchback_model::words;
use switchback_site::Site;

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
        let target = cx.target_name(&body.r#in.value, body.r#in.span, &DATABASES)?;
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
#[serde(untagged)]
pub enum BackupBefore {
    /// Of a SQLite database.
    Sqlite(SqliteBefore),
    /// Of a PostgreSQL database.
    Postgres(PostgresBefore),
    /// Of a SQLite database that the upgrade makes.
    Made(MadeBefore),
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
        if world.site.is_postgres(&self.target) {
            return postgres_backup::preview(&self.target, world);
        }
        if let Some(preview) = sqlite_made::preview(world.site, &self.target)? {
            return Ok(preview);
        }
        let bytes = world.site.size(&self.target)?.unwrap_or(0);
        Ok(Preview { keeps: bytes, ..Preview::of([words::bytes(bytes)], 20 + bytes / BYTES_A_MS) })
    }

    fn check(&self, site: &Site, work: &Work<'_>) -> Result<Condition, StepError> {
        match site.is_postgres(&self.target) {
            true => postgres_backup::check(&self.target, work),
            false => sqlite_backup::check(site, &self.target, work),
        }
    }

    fn prepare(&self, site: &Site, work: &Work<'_>) -> Result<BackupBefore, StepError> {
        if site.is_postgres(&self.target) {
            return Ok(BackupBefore::Postgres(postgres_backup::prepare(site, &self.target, work)?));
        }
        Ok(match sqlite_made::prepare(site, &self.target)? {
            Some(before) => BackupBefore::Made(before),
            None => BackupBefore::Sqlite(sqlite_backup::prepare(site, &self.target)?),
        })
    }

    fn apply(&self, site: &Site, before: &BackupBefore, work: &Work<'_>) -> Result<Value, StepError> {
        match before {
            BackupBefore::Sqlite(before) => sqlite_backup::apply(site, &self.target, before, work),
            BackupBefore::Postgres(before) => postgres_backup::apply(site, &self.target, before, work),
            BackupBefore::Made(before) => sqlite_made::apply(site, &self.target, before, work),
        }
    }

    fn undo(&self, site: &Site, before: &BackupBefore, work: &Work<'_>) -> Result<(), StepError> {
        match before {
            BackupBefore::Sqlite(before) => sqlite_backup::undo(site, &self.target, before, work),
            BackupBefore::Postgres(before) => postgres_backup::undo(site, &self.target, before, work),
            BackupBefore::Made(before) => sqlite_made::undo(site, &self.target, before, work),
        }
    }
}
