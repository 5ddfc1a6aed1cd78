//! The step contract: one reversible change, the unit of journalling, reversal, progress and reporting.

use crate::error::StepError;
use crate::overlay::Overlay;
use crate::run_dir::RunDir;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Debug;
use switchback_model::artifact::Artifact;
use switchback_model::phase::Phase;
use switchback_model::plan::{Reversal, Switch, Touch};
use switchback_site::{Site, Tell};

/// Where a step stands in the world, as observed now. Never remembered, always looked at.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// Nothing of it is there.
    Pending,
    /// A half of it is there.
    Partial,
    /// All of it is there. Carries what was seen, for the journal.
    Applied(Value),
    /// The world is in a state that this step does not know.
    Conflict(String),
}

impl Condition {
    /// Applied, with nothing to tell.
    pub fn applied() -> Condition {
        Condition::Applied(Value::Null)
    }

    /// Returns whether all of it is there.
    pub fn is_applied(&self) -> bool {
        matches!(self, Condition::Applied(_))
    }
}

/// What a step has at hand beside the site.
#[derive(Debug, Clone, Copy)]
pub struct Work<'a> {
    /// Progress, interruption and fault points.
    pub tell: &'a Tell,
    /// Name of the run.
    pub run: &'a str,
    /// Name of the step.
    pub step: &'a str,
    /// Where the step stands in the plan.
    pub phase: Phase,
    /// The time in the step's `StepStarted` record, RFC 3339: the same in every life, so that a repeat is equal.
    pub now: &'a str,
    /// The run directory, for before-images, backups and logs.
    pub dir: &'a RunDir,
    /// Whether the commit point was passed: whoever writes from there on is somebody else.
    pub committed: bool,
    /// Whether what others wrote since is to be overwritten: an operator was shown it and asked for the way back.
    pub losing_writes: bool,
}

/// What a step will do, seen beforehand.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Preview {
    /// The change, line by line.
    pub lines: Vec<String>,
    /// Milliseconds it is expected to take, by a rule of thumb.
    pub guess_ms: u64,
    /// Bytes it needs beside the target named, at the worst moment, beyond what is used now.
    pub grows: Vec<(String, u64)>,
    /// Bytes it leaves in the run directory, apart from artifacts.
    pub keeps: u64,
    /// Bytes of the artifact that it brings from elsewhere; `None` where nobody can know before. What is made of artifacts
    /// is taken to be as large as they are.
    pub brings: Option<u64>,
    /// How many times over it needs the room of the artifact that it makes while it works, beyond what stays.
    pub copies: u64,
}

impl Work<'_> {
    /// Whether a service that runs now is this run's own affair: behind the backups, with no entrance open.
    pub fn is_private(&self) -> bool {
        matches!(self.phase, Phase::Change | Phase::Prove)
    }
}

impl Preview {
    /// A change that needs no space worth a word.
    pub fn of(lines: impl IntoIterator<Item = impl Into<String>>, guess_ms: u64) -> Preview {
        Preview { lines: lines.into_iter().map(Into::into).collect(), guess_ms, ..Preview::default() }
    }
}

/// One reversible change.
///
/// The laws, tested for every kind by one harness (`tests/laws`): `describe`, `check` and `preview` change nothing;
/// `check` tells the truth; from any cut inside `apply`, `undo` leads back and `apply` leads on; twice is once;
/// step and before-image are plain data; a state that is nobody's is left alone.
pub trait Step: Serialize + DeserializeOwned + Debug + Send + Sync + Sized + 'static {
    /// Name of the kind: the key in a playbook, the name of its docs page.
    const KIND: &'static str;
    /// The before-image: what `undo` needs, durable in the journal before `apply` begins.
    type Before: Serialize + DeserializeOwned;

    /// Says what it does, as an imperative without a full stop.
    fn describe(&self) -> String;
    /// Names what it is about; with the kind it makes the step's name.
    fn subject(&self) -> String;
    /// Names every target it looks at or changes.
    fn touches(&self) -> Vec<Touch>;
    /// Says how its way back works.
    fn reversal(&self) -> Reversal;
    /// Says what it will change, and leaves that in the overlay for later steps.
    fn preview(&self, world: &mut Overlay<'_>) -> Result<Preview, StepError>;
    /// Looks where it stands. Reads only.
    fn check(&self, site: &Site, work: &Work<'_>) -> Result<Condition, StepError>;
    /// Makes the before-image. Writes only to the run directory.
    fn prepare(&self, site: &Site, work: &Work<'_>) -> Result<Self::Before, StepError>;
    /// Brings the effect about, from nothing or from a half. Returns what it measured.
    fn apply(&self, site: &Site, before: &Self::Before, work: &Work<'_>) -> Result<Value, StepError>;
    /// Takes the effect back, from all or from a half, and reads that back.
    fn undo(&self, site: &Site, before: &Self::Before, work: &Work<'_>) -> Result<(), StepError>;
    /// Looks at the fingerprints of the commit point, by target, once the step is finished: a store that is not as the step
    /// left it was written by somebody else, perhaps while nobody had the run. Most steps have nothing to say.
    fn vouch(&self, _before: &Self::Before, _stores: &BTreeMap<String, Value>) -> Result<(), StepError> {
        Ok(())
    }
    /// Returns one step that does both turns of a loop whose only step this is, for kinds that do many turns better at once.
    fn join(&self, _next: &Self) -> Option<Self> {
        None
    }
    /// Names the artifacts that it makes, whole when it is applied and gone when it is undone.
    fn makes(&self) -> Vec<Artifact> {
        Vec::new()
    }
    /// Names the artifacts that it reads.
    fn takes(&self) -> Vec<Artifact> {
        Vec::new()
    }
    /// Names the maintenance mode that it switches, if it does: the report tells for how long it was on.
    fn switches(&self) -> Option<Switch> {
        None
    }
    /// Says what a person has to know or do around this step; shown in the plan.
    fn by_hand(&self, _site: &Site) -> Option<String> {
        None
    }
    /// Says why it cannot be carried out on scratch copies, if it cannot.
    fn not_rehearsed(&self, _site: &Site) -> Option<String> {
        None
    }
}

/// The same contract with `Before` erased, so that a plan is one list.
#[allow(missing_docs)]
pub trait AnyStep: Debug + Send + Sync {
    fn kind(&self) -> &'static str;
    fn body(&self) -> Value;
    fn describe(&self) -> String;
    fn subject(&self) -> String;
    fn touches(&self) -> Vec<Touch>;
    fn reversal(&self) -> Reversal;
    fn preview(&self, world: &mut Overlay<'_>) -> Result<Preview, StepError>;
    fn check(&self, site: &Site, work: &Work<'_>) -> Result<Condition, StepError>;
    fn prepare(&self, site: &Site, work: &Work<'_>) -> Result<Value, StepError>;
    fn apply(&self, site: &Site, before: &Value, work: &Work<'_>) -> Result<Value, StepError>;
    fn undo(&self, site: &Site, before: &Value, work: &Work<'_>) -> Result<(), StepError>;
    fn vouch(&self, before: &Value, stores: &BTreeMap<String, Value>) -> Result<(), StepError>;
    fn join(&self, next: &dyn AnyStep) -> Option<Box<dyn AnyStep>>;
    fn makes(&self) -> Vec<Artifact>;
    fn takes(&self) -> Vec<Artifact>;
    fn switches(&self) -> Option<Switch>;
    fn by_hand(&self, site: &Site) -> Option<String>;
    fn not_rehearsed(&self, site: &Site) -> Option<String>;
}

impl<S: Step> AnyStep for S {
    fn kind(&self) -> &'static str {
        S::KIND
    }
    fn body(&self) -> Value {
        plain(self)
    }
    fn describe(&self) -> String {
        Step::describe(self)
    }
    fn subject(&self) -> String {
        Step::subject(self)
    }
    fn touches(&self) -> Vec<Touch> {
        Step::touches(self)
    }
    fn reversal(&self) -> Reversal {
        Step::reversal(self)
    }
    fn preview(&self, world: &mut Overlay<'_>) -> Result<Preview, StepError> {
        Step::preview(self, world)
    }
    fn check(&self, site: &Site, work: &Work<'_>) -> Result<Condition, StepError> {
        Step::check(self, site, work)
    }
    fn prepare(&self, site: &Site, work: &Work<'_>) -> Result<Value, StepError> {
        Ok(plain(&Step::prepare(self, site, work)?))
    }
    fn apply(&self, site: &Site, before: &Value, work: &Work<'_>) -> Result<Value, StepError> {
        Step::apply(self, site, &typed::<S>(before)?, work)
    }
    fn undo(&self, site: &Site, before: &Value, work: &Work<'_>) -> Result<(), StepError> {
        Step::undo(self, site, &typed::<S>(before)?, work)
    }
    fn vouch(&self, before: &Value, stores: &BTreeMap<String, Value>) -> Result<(), StepError> {
        Step::vouch(self, &typed::<S>(before)?, stores)
    }
    fn join(&self, next: &dyn AnyStep) -> Option<Box<dyn AnyStep>> {
        let next: S = (next.kind() == S::KIND).then(|| serde_json::from_value(next.body()).ok())??;
        Step::join(self, &next).map(|joined| Box::new(joined) as Box<dyn AnyStep>)
    }
    fn makes(&self) -> Vec<Artifact> {
        Step::makes(self)
    }
    fn takes(&self) -> Vec<Artifact> {
        Step::takes(self)
    }
    fn switches(&self) -> Option<Switch> {
        Step::switches(self)
    }
    fn by_hand(&self, site: &Site) -> Option<String> {
        Step::by_hand(self, site)
    }
    fn not_rehearsed(&self, site: &Site) -> Option<String> {
        Step::not_rehearsed(self, site)
    }
}

fn typed<S: Step>(before: &Value) -> Result<S::Before, StepError> {
    serde_json::from_value(before.clone())
        .map_err(|e| StepError::failed(format!("read the before-image of a `{}` step: {e}", S::KIND)))
}

/// Plain data always serializes: maps with text keys, no cycles.
fn plain(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}
