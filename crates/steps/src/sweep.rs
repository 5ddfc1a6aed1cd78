//! `sweep`: takes our rows out of a database and gives it back, before the application sees it. Only the planner puts
//! it in, as the last step of `prove`.

use crate::database::sqlite::{Manifest, journal_mode};
use crate::database::{foreign, guard, postgres};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use switchback_engine::{Condition, Overlay, Preview, Step, StepError, Work};
use switchback_model::plan::{Access, Reversal, Touch};
use switchback_site::sqlite::{JournalMode, OpenError, ledger, take};
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
    fn content(&self, site: &Site, work: &Work<'_>) -> Result<Value, StepError> {
        if !site.is_postgres(&self.target) {
            drop(site.database(&self.target)?.open_recovered().map_err(SiteError::from)?);
        }
        Ok(without_mode(site.fingerprint(&self.target, work.tell)?))
    }

    /// Makes sure that nobody else wrote since the proof. Our own commit, of a life that was cut behind it, counts as one
    /// of others until the content shows whose it was.
    fn refuse_foreign(&self, site: &Site, before: &Value, work: &Work<'_>) -> Result<(), StepError> {
        let Err(error) = guard(site, &self.target, work) else { return Ok(()) };
        if !matches!(error, StepError::Conflict(_)) {
            return Err(error);
        }
        let now = self.content(site, work)?;
        if now == *before { Ok(()) } else { Err(error.details(site.differences(&self.target, before, &now))) }
    }

    /// What the backup holds, if there is one: a database that was restored already is nobody else's work.
    fn backed_up(&self, site: &Site, work: &Work<'_>) -> Result<Option<Value>, StepError> {
        let fingerprint = match site.is_postgres(&self.target) {
            true => postgres::backed_up(site, &self.target, work)?,
            false => Manifest::read(work.dir, &self.target)?
                .and_then(|manifest| serde_json::to_value(manifest.report.fingerprint).ok()),
        };
        Ok(fingerprint.map(without_mode))
    }

    fn wanted_mode(&self, work: &Work<'_>) -> Result<Option<JournalMode>, StepError> {
        Ok(Manifest::read(work.dir, &self.target)?.map(|manifest| manifest.journal_mode))
    }
}

/// A fingerprint without the journal mode, which a database has while it is ours and another afterwards.
fn without_mode(mut fingerprint: Value) -> Value {
    if let Some(pragmas) = fingerprint.get_mut("pragmas").and_then(Value::as_object_mut) {
        pragmas.remove("journal_mode");
    }
    fingerprint
}

impl Step for Sweep {
    const KIND: &'static str = "sweep";
    type Before = Value;

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
        if site.is_postgres(&self.target) {
            let swept = postgres::is_swept(site, &self.target, work)?;
            return Ok(if swept { Condition::applied() } else { Condition::Pending });
        }
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

    fn prepare(&self, site: &Site, work: &Work<'_>) -> Result<Value, StepError> {
        guard(site, &self.target, work)?;
        self.content(site, work)
    }

    fn apply(&self, site: &Site, before: &Value, work: &Work<'_>) -> Result<Value, StepError> {
        if self.check(site, work)?.is_applied() {
            return Ok(Value::Null);
        }
        self.refuse_foreign(site, before, work)?;
        if site.is_postgres(&self.target) {
            postgres::sweep(site, &self.target, work)?;
            return Ok(json!({}));
        }
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
    fn vouch(&self, before: &Value, stores: &BTreeMap<String, Value>) -> Result<(), StepError> {
        let Some(now) = stores.get(&self.target) else { return Ok(()) };
        let now = without_mode(now.clone());
        if now == *before {
            return Ok(());
        }
        Err(foreign(&self.target, "its content is not what was proven".into()))
    }

    /// Nothing to take back but the count of commits: from here on the ledger cannot tell ours from others'.
    fn undo(&self, site: &Site, before: &Value, work: &Work<'_>) -> Result<(), StepError> {
        if !work.losing_writes {
            let now = self.content(site, work)?;
            if now != *before && self.backed_up(site, work)? != Some(now.clone()) {
                return Err(foreign(&self.target, "its content is not what was proven".into())
                    .details(site.differences(&self.target, before, &now)));
            }
        }
        if site.is_postgres(&self.target) {
            return postgres::count_from_here(site, &self.target, work);
        }
        let Some(manifest) = Manifest::read(work.dir, &self.target)? else { return Ok(()) };
        let mut exclusive = take(&site.database(&self.target)?, work.tell)?;
        manifest.count_from(exclusive.connection(), &self.target, work)
    }
}
