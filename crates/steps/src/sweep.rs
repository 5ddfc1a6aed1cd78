//! `sweep`: takes our rows out of a database and gives it back, before the application sees it. Only the planner puts
//! it in, as the last step of `prove`.

use crate::database::sqlite::{Manifest, journal_mode};
use crate::database::{foreign, guard, is_counted, postgres};
use crate::trial::remove;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use switchback_engine::run_dir::write_durably;
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
        if !site.is_postgres(&self.target) && site.vacancy(&self.target)?.is_none() {
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

    /// Looks whether nothing of ours is in the database, and it is in the mode that it is to be given back in.
    fn is_clean(&self, site: &Site, work: &Work<'_>) -> Result<Condition, StepError> {
        if site.is_postgres(&self.target) {
            let swept = postgres::is_swept(site, &self.target, work)?;
            return Ok(if swept { Condition::applied() } else { Condition::Pending });
        }
        if site.vacancy(&self.target)?.is_some() {
            // What is not there holds nothing of ours.
            return Ok(Condition::applied());
        }
        let database = site.database(&self.target)?;
        let rows = match database.open_read() {
            Err(OpenError::HalfDone { .. }) => return Ok(Condition::Partial),
            other => ledger::rows(&other.map_err(SiteError::from)?)?,
        };
        let given_back = match self.wanted_mode(work)? {
            Some(mode) => journal_mode(&database)? == mode,
            None => true,
        };
        Ok(if rows.is_empty() && given_back { Condition::applied() } else { Condition::Pending })
    }

    /// Takes our rows out. Where a service of this run is in the database it stays there, and in the mode that it set.
    fn sweep(&self, site: &Site, private: bool, work: &Work<'_>) -> Result<(), StepError> {
        if site.is_postgres(&self.target) {
            return postgres::sweep(site, &self.target, work);
        }
        let database = site.database(&self.target)?;
        if private {
            let mut connection = database.open_write().map_err(SiteError::from)?;
            ledger::sweep(&mut connection, work.run, work.tell)?;
            return Ok(());
        }
        let mut exclusive = take(&database, work.tell)?;
        ledger::sweep(exclusive.connection(), work.run, work.tell)?;
        drop(exclusive);
        match self.wanted_mode(work)? {
            Some(mode) => Ok(site.set_journal_mode(&self.target, mode, work.tell)?),
            None => Ok(()),
        }
    }

    /// What the backup holds, if there is one: a database that was restored already is nobody else's work.
    fn backed_up(&self, site: &Site, work: &Work<'_>) -> Result<Option<Value>, StepError> {
        let fingerprint = match site.is_postgres(&self.target) {
            true => postgres::backed_up(site, &self.target, work)?,
            false => Manifest::read(work.dir, &self.target)?.and_then(|manifest| manifest.fingerprint()),
        };
        Ok(fingerprint.map(without_mode))
    }

    /// The mode to give the database back in; `None` where it was never taken, or a service of this run is in it.
    fn wanted_mode(&self, work: &Work<'_>) -> Result<Option<JournalMode>, StepError> {
        let manifest = Manifest::read(work.dir, &self.target)?.filter(|manifest| !manifest.uncounted);
        Ok(manifest.map(|manifest| manifest.journal_mode))
    }
}

/// The note that a database was given back as it was proven.
fn note(work: &Work<'_>) -> PathBuf {
    work.dir.keep().join(format!("{}.swept", work.step))
}

/// The key under which a before-image holds the content of a store that a service of this run is still in.
const PRIVATE: &str = "private";

/// What was proven, and whether a service of this run was in the store by then: what that writes up to the commit point is
/// the run's own.
fn proven(before: &Value) -> (&Value, bool) {
    match before.get(PRIVATE) {
        Some(content) => (content, true),
        None => (before, false),
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

    /// Whether the database was looked at as well: one that holds nothing of ours is proven all the same.
    fn check(&self, site: &Site, work: &Work<'_>) -> Result<Condition, StepError> {
        match self.is_clean(site, work)? {
            Condition::Applied(_) if !note(work).exists() => Ok(Condition::Pending),
            found => Ok(found),
        }
    }

    fn prepare(&self, site: &Site, work: &Work<'_>) -> Result<Value, StepError> {
        guard(site, &self.target, work)?;
        let content = self.content(site, work)?;
        Ok(if is_counted(site, &self.target, work)? { content } else { json!({ PRIVATE: content }) })
    }

    fn apply(&self, site: &Site, before: &Value, work: &Work<'_>) -> Result<Value, StepError> {
        if self.check(site, work)?.is_applied() {
            return Ok(Value::Null);
        }
        let (content, private) = proven(before);
        self.refuse_foreign(site, content, work)?;
        if !self.is_clean(site, work)?.is_applied() {
            self.sweep(site, private, work)?;
        }
        let note = note(work);
        work.tell.point("sweep.note")?;
        write_durably(&note, b"").map_err(|e| StepError::failed(format!("write {}: {e}", note.display())))?;
        work.tell.point("sweep.noted")?;
        Ok(json!({}))
    }

    /// From the sweep on nobody counts commits, and a life that died here left the database to whoever came along.
    fn vouch(&self, before: &Value, stores: &BTreeMap<String, Value>) -> Result<(), StepError> {
        let Some(now) = stores.get(&self.target) else { return Ok(()) };
        let (content, private) = proven(before);
        let now = without_mode(now.clone());
        if private || now == *content {
            return Ok(());
        }
        Err(foreign(&self.target, "its content is not what was proven".into()))
    }

    /// Nothing to take back but the count of commits: from here on the ledger cannot tell ours from others'.
    fn undo(&self, site: &Site, before: &Value, work: &Work<'_>) -> Result<(), StepError> {
        let (content, private) = proven(before);
        if !work.losing_writes && (!private || work.committed) {
            let now = self.content(site, work)?;
            if now != *content && self.backed_up(site, work)? != Some(now.clone()) {
                return Err(foreign(&self.target, "its content is not what was proven".into())
                    .details(site.differences(&self.target, content, &now)));
            }
        }
        remove(&note(work))?;
        if private {
            return Ok(());
        }
        if site.is_postgres(&self.target) {
            return postgres::count_from_here(site, &self.target, work);
        }
        match Manifest::read(work.dir, &self.target)? {
            Some(manifest) => manifest.recount(site, &self.target, work).map(drop),
            None => Ok(()),
        }
    }
}
