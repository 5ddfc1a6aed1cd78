//! `sweep`: takes our rows out of a database and gives it back, before the application sees it. Only the planner puts
//! it in, as the last step of `prove`.

use crate::database::{Manifest, foreign, guard, journal_mode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use switchback_engine::{Condition, Overlay, Preview, Step, StepError, Work};
use switchback_model::plan::{Access, Reversal, Touch};
use switchback_site::sqlite::{Fingerprint, JournalMode, OpenError, ledger, take};
use switchback_site::{Site, SiteError};

/// The step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// Name of the target.
    pub target: String,
}

impl Sweep {
    /// Returns what the database holds, whatever its journal mode.
    fn content(&self, site: &Site, work: &Work<'_>) -> Result<Fingerprint, StepError> {
        drop(site.database(&self.target)?.open_recovered().map_err(SiteError::from)?);
        let mut content = site.database_fingerprint(&self.target, work.tell)?;
        content.pragmas.remove("journal_mode");
        Ok(content)
    }

    /// Makes sure that nobody else wrote since the proof. Our own commit, of a life that was cut behind it, counts as one
    /// of others until the content shows whose it was.
    fn refuse_foreign(&self, site: &Site, before: &Fingerprint, work: &Work<'_>) -> Result<(), StepError> {
        let Err(error) = guard(site, &self.target, work) else { return Ok(()) };
        if !matches!(error, StepError::Conflict(_)) {
            return Err(error);
        }
        let now = self.content(site, work)?;
        if now == *before { Ok(()) } else { Err(error.details(before.differences(&now))) }
    }

    fn wanted_mode(&self, work: &Work<'_>) -> Result<Option<JournalMode>, StepError> {
        Ok(Manifest::read(work.dir, &self.target)?.map(|manifest| manifest.journal_mode))
    }
}

impl Step for Sweep {
    const KIND: &'static str = "sweep";
    type Before = Fingerprint;

    fn describe(&self) -> String {
        format!("take our rows out of {} and give it back", self.target)
    }

    fn subject(&self) -> String {
        self.target.clone()
    }

    fn touches(&self) -> Vec<Touch> {
        vec![Touch::new(&self.target, Access::Writes)]
    }

    fn reversal(&self) -> Reversal {
        Reversal::ByRestore
    }

    fn preview(&self, _world: &mut Overlay<'_>) -> Result<Preview, StepError> {
        Ok(Preview::of(Vec::<String>::new(), 10))
    }

    fn check(&self, site: &Site, work: &Work<'_>) -> Result<Condition, StepError> {
        let database = site.database(&self.target)?;
        let rows = match database.open_read() {
            Err(OpenError::HalfDone { .. }) => return Ok(Condition::Partial),
            other => ledger::rows(&other.map_err(SiteError::from)?)?,
        };
        let wanted = self.wanted_mode(work)?;
        let given_back = match wanted {
            Some(mode) => journal_mode(&database)? == mode,
            None => true,
        };
        Ok(match (rows.is_empty(), given_back) {
            (true, true) => Condition::applied(),
            _ => Condition::Pending,
        })
    }

    fn prepare(&self, site: &Site, work: &Work<'_>) -> Result<Fingerprint, StepError> {
        guard(site, &self.target, work)?;
        self.content(site, work)
    }

    fn apply(&self, site: &Site, before: &Fingerprint, work: &Work<'_>) -> Result<Value, StepError> {
        if self.check(site, work)?.is_applied() {
            return Ok(Value::Null);
        }
        self.refuse_foreign(site, before, work)?;
        let database = site.database(&self.target)?;
        let mut exclusive = take(&database, work.tell)?;
        ledger::sweep(exclusive.connection(), work.run, work.tell)?;
        drop(exclusive);
        if let Some(mode) = self.wanted_mode(work)? {
            site.set_journal_mode(&self.target, mode, work.tell)?;
        }
        Ok(json!({}))
    }

    /// From the sweep on nobody counts commits, and a life that died here left the database to whoever came along.
    fn vouch(&self, before: &Fingerprint, stores: &BTreeMap<String, Value>) -> Result<(), StepError> {
        let Some(now) = stores.get(&self.target) else { return Ok(()) };
        let mut now = Fingerprint::deserialize(now)
            .map_err(|e| StepError::failed(format!("read the fingerprint of {}: {e}", self.target)))?;
        now.pragmas.remove("journal_mode");
        if now == *before {
            return Ok(());
        }
        Err(foreign(&self.target, "its content is not what was proven".into())
            .details(before.differences(&now)))
    }

    /// Nothing to take back but the count of commits: from here on the ledger cannot tell ours from others'.
    fn undo(&self, site: &Site, before: &Fingerprint, work: &Work<'_>) -> Result<(), StepError> {
        if !work.losing_writes {
            let now = self.content(site, work)?;
            let restored = Manifest::read(work.dir, &self.target)?.is_some_and(|manifest| {
                let mut backup = manifest.report.fingerprint;
                backup.pragmas.remove("journal_mode");
                backup == now
            });
            if now != *before && !restored {
                return Err(foreign(&self.target, "its content is not what was proven".into())
                    .details(before.differences(&now)));
            }
        }
        let Some(manifest) = Manifest::read(work.dir, &self.target)? else { return Ok(()) };
        let mut exclusive = take(&site.database(&self.target)?, work.tell)?;
        manifest.count_from(exclusive.connection(), &self.target, work)
    }
}
