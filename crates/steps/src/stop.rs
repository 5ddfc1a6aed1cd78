//! `stop`: keeps writers out, and proves that none is left in the stores.

use crate::database::{count_again, is_counted};
use crate::let_in;
use crate::services::{Known, PERSON_MS, READY_MS, programs_are_there};
use crate::trial::remove;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::PathBuf;
use switchback_engine::registry::Compiled;
use switchback_engine::{Condition, Kind, Overlay, Preview, Step, StepError, Work};
use switchback_model::compile::Compile;
use switchback_model::decode::{Decode, Decoder, OneOrMany, Schemas, Spanned};
use switchback_model::plan::{Access, Reversal, Touch};
use switchback_model::tree::Node;
use switchback_site::service::{Outcome, State, Which};
use switchback_site::{Failure, Site, SiteError};

/// How long programs may take to let go of a store after their service was stopped.
pub(crate) const LETTING_GO_MS: u64 = 5_000;

/// A service or a list of them: `stop: app`.
pub struct ServicesBody(pub(crate) Vec<Spanned<String>>);

impl Decode for ServicesBody {
    fn decode(node: &Node, cx: &mut Decoder) -> Option<ServicesBody> {
        OneOrMany::<Spanned<String>>::decode(node, cx).map(|many| ServicesBody(many.0))
    }

    fn schema(cx: &mut Schemas) -> Value {
        OneOrMany::<String>::schema(cx)
    }
}

/// The kind.
pub struct StopKind;

impl Kind for StopKind {
    type Body = ServicesBody;
    const NAME: &'static str = "stop";
    const SAYS: &'static str = "stops services, and proves that nobody is left in their stores";

    fn compile(body: ServicesBody, cx: &mut Compile<'_>) -> Compiled {
        let mut steps: Vec<Box<dyn switchback_engine::AnyStep>> = Vec::new();
        for name in body.0 {
            let service = cx.target_name(&name.value, name.span, &["service"])?;
            steps.push(Box::new(Stop { service }));
        }
        Some(steps)
    }
}

/// The step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// Name of the target.
    pub service: String,
}

/// What ran before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StopBefore {
    /// The release to start again on the way back; `None` if nothing ran.
    was: Option<Which>,
}

impl Step for Stop {
    const KIND: &'static str = "stop";
    type Before = StopBefore;

    fn describe(&self) -> String {
        format!("stop {}", self.service)
    }

    fn subject(&self) -> String {
        self.service.clone()
    }

    fn touches(&self) -> Vec<Touch> {
        vec![Touch::new(&self.service, Access::Stops)]
    }

    fn reversal(&self) -> Reversal {
        Reversal::ByUndo
    }

    fn preview(&self, world: &mut Overlay<'_>) -> Result<Preview, StepError> {
        programs_are_there(&self.service, &["old", "stop", "status", "start_old"], world)?;
        let known = Known::of(world.site, &self.service)?;
        if let Some(why) = known.cannot_tell()? {
            return Err(StepError::failed(format!("tell whether {} is stopped: {why}", self.service))
                .help(format!("give `{}` an `old:` probe in the playbook, or run as root", self.service)));
        }
        Ok(Preview::of([known.state()?.to_string()], 1000))
    }

    fn check(&self, site: &Site, work: &Work<'_>) -> Result<Condition, StepError> {
        let known = Known::of(site, &self.service)?;
        let stopped = known.is_stopped(work.tell)? && uncounted(&known, site, work)?.is_empty();
        Ok(if stopped { Condition::applied() } else { Condition::Pending })
    }

    fn prepare(&self, site: &Site, work: &Work<'_>) -> Result<StopBefore, StepError> {
        let known = Known::of(site, &self.service)?;
        let was = match known.state()? {
            State::Running(Some(which)) => Some(which),
            State::Stopped => None,
            // What this run let in is the new release, also where that does not answer any more.
            _ if work.is_private() && let_in::by_this_run(&self.service, work)? => Some(Which::New),
            // Whoever cannot say which release runs is asked by the probes.
            State::Running(None) | State::Unknown(_) => {
                let new = known.answers(Which::New, work.tell)? == Some(true);
                Some(if new { Which::New } else { Which::Old })
            }
        };
        Ok(StopBefore { was })
    }

    fn apply(&self, site: &Site, before: &StopBefore, work: &Work<'_>) -> Result<Value, StepError> {
        let known = Known::of(site, &self.service)?;
        if let Some(was) = before.was {
            known.refuse_foreign(other(was), work)?;
        }
        note_begun(work)?;
        if let Outcome::Person(instruction) = site.service(&self.service)?.stop(work.tell)? {
            known.wait_for_person(&instruction, PERSON_MS, work.tell, || known.is_stopped(work.tell))?;
        }
        // A service that says it is stopped may have left a child behind, and others may write as well.
        let let_go = known.poll("waiting until its stores are let go", LETTING_GO_MS, work.tell, || {
            Ok(known.in_the_stores()?.is_empty())
        })?;
        if !let_go {
            return Err(StepError::failed(format!("keep writers out of the stores of {}", self.service))
                .details(known.in_the_stores()?)
                .help("stop these processes, and whatever starts them again"));
        }
        // What it wrote for this run is in: whoever writes from here on is somebody else.
        for store in uncounted(&known, site, work)? {
            count_again(site, store, work)?;
        }
        Ok(json!({}))
    }

    fn undo(&self, site: &Site, before: &StopBefore, work: &Work<'_>) -> Result<(), StepError> {
        let known = Known::of(site, &self.service)?;
        let Some(was) = before.was else { return Ok(()) };
        if work.is_private() && was == Which::New {
            // This run started it, and undoes that next; nobody starts it over stores that are not restored yet.
            return Ok(());
        }
        known.refuse_foreign(other(was), work)?;
        // Also when it seems to run: it may have been told to end and not have ended yet, which only a start can tell.
        let mut outcome = site.service(&self.service)?.start(was, work.tell)?;
        if matches!(outcome, Outcome::Already) && begun(work).exists() {
            // A program that is asked by commands cannot say that it is about to end: it is seen to its end, and started.
            // One that does not end runs on, which is as it was.
            match site.service(&self.service)?.stop(work.tell) {
                Err(error) if error.halt().is_some() => return Err(SiteError::from(error).into()),
                _ => outcome = site.service(&self.service)?.start(was, work.tell)?,
            }
        }
        remove(&begun(work))?;
        if let Outcome::Person(instruction) = outcome
            && known.probe(was).is_some()
        {
            known.wait_for_person(&instruction, PERSON_MS, work.tell, || {
                Ok(known.answers(was, work.tell)? == Some(true))
            })?;
        }
        known.wait_ready(was, READY_MS, work.tell)
    }

    fn by_hand(&self, site: &Site) -> Option<String> {
        matches!(Known::of(site, &self.service).ok()?.state(), Ok(State::Unknown(_)))
            .then(|| format!("you stop {} when asked; the run waits for it", self.service))
    }

    fn not_rehearsed(&self, site: &Site) -> Option<String> {
        // The one that runs for the people stays; one that the rehearsal started is its own.
        (!site.runs_privately(&self.service)).then(|| format!("{} stays as it is", self.service))
    }
}

/// The stores that a service was let at for this run, and that nobody has taken back. One in which another service still
/// works for this run is counted again when that is stopped.
fn uncounted<'a>(known: &Known<'a>, site: &Site, work: &Work<'_>) -> Result<Vec<&'a String>, StepError> {
    let mut uncounted = Vec::new();
    for store in known.databases().filter(|_| work.is_private()) {
        if !is_counted(site, store, work)? && !known.is_shared(store)? {
            uncounted.push(store);
        }
    }
    Ok(uncounted)
}

/// The note that this step may have told its service to end.
fn begun(work: &Work<'_>) -> PathBuf {
    work.dir.keep().join(format!("{}.stopping", work.step))
}

/// Notes it. Not synced: a power cut ends the service as well.
fn note_begun(work: &Work<'_>) -> Result<(), StepError> {
    let path = begun(work);
    std::fs::write(&path, b"").map_err(|e| StepError::failed(format!("write {}: {e}", path.display())))
}

fn other(which: Which) -> Which {
    match which {
        Which::Old => Which::New,
        Which::New => Which::Old,
    }
}
