//! `start`: lets a service in, and waits until the new release answers as itself.

use crate::database::{guard, stop_counting};
use crate::let_in;
use crate::services::{Known, PERSON_MS, READY_MS, programs_are_there};
use crate::stop::{LETTING_GO_MS, ServicesBody};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use switchback_engine::registry::Compiled;
use switchback_engine::{Condition, Kind, Overlay, Preview, Step, StepError, Work};
use switchback_model::compile::Compile;
use switchback_model::plan::{Access, Reversal, Touch};
use switchback_model::target::TargetDef;
use switchback_site::Site;
use switchback_site::service::{Outcome, State, Which};

/// The kind.
pub struct StartKind;

impl Kind for StartKind {
    type Body = ServicesBody;
    const NAME: &'static str = "start";
    const SAYS: &'static str =
        "starts services in their new release, and waits until they answer as themselves";

    fn compile(body: ServicesBody, cx: &mut Compile<'_>) -> Compiled {
        let mut steps: Vec<Box<dyn switchback_engine::AnyStep>> = Vec::new();
        for name in body.0 {
            let service = cx.target_name(&name.value, name.span, &["service"])?;
            steps.push(Box::new(Start { service }));
        }
        Some(steps)
    }
}

/// The step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Name of the target.
    pub service: String,
}

impl Step for Start {
    const KIND: &'static str = "start";
    type Before = ();

    fn describe(&self) -> String {
        format!("start {} in its new release", self.service)
    }

    fn subject(&self) -> String {
        self.service.clone()
    }

    fn touches(&self) -> Vec<Touch> {
        vec![Touch::new(&self.service, Access::Starts)]
    }

    fn reversal(&self) -> Reversal {
        Reversal::ByUndo
    }

    fn preview(&self, world: &mut Overlay<'_>) -> Result<Preview, StepError> {
        programs_are_there(&self.service, &["new", "start", "status"], world)?;
        let known = Known::of(world.site, &self.service)?;
        if known.is_by_hand() && known.probe(Which::New).is_none() {
            let name = &self.service;
            return Err(StepError::failed(format!(
                "tell whether the new release of {name} runs: a person starts it, and it has no `new:` probe"
            ))
            .help(format!("give `{name}` a `new:` probe in the playbook, or say how it is started")));
        }
        if let Some(TargetDef::Service { stores, .. }) = world.site.targets().get(&self.service) {
            for store in stores.clone() {
                world.lose_sight(&store, format!("{} runs over it by then", self.service));
            }
        }
        Ok(Preview::of(Vec::<String>::new(), 3000))
    }

    fn check(&self, site: &Site, work: &Work<'_>) -> Result<Condition, StepError> {
        let known = Known::of(site, &self.service)?;
        let answers = |which| known.answers(which, work.tell);
        Ok(match known.state()? {
            State::Stopped => Condition::Pending,
            State::Running(Some(Which::Old)) => {
                Condition::Conflict(format!("{} runs in its old release: somebody started it", self.service))
            }
            State::Running(Some(Which::New)) => match answers(Which::New)? {
                Some(false) => Condition::Pending,
                _ => Condition::applied(),
            },
            State::Running(None) | State::Unknown(_) => match (answers(Which::New)?, answers(Which::Old)?) {
                (Some(true), _) => Condition::applied(),
                (_, Some(true)) => Condition::Conflict(format!(
                    "{} answers as its old release: somebody started it",
                    self.service
                )),
                (None, _) if known.state()? == State::Running(None) => Condition::applied(),
                _ => Condition::Pending,
            },
        })
    }

    fn prepare(&self, site: &Site, work: &Work<'_>) -> Result<(), StepError> {
        if !work.is_private() {
            return Ok(());
        }
        Known::of(site, &self.service)?.databases().try_for_each(|store| guard(site, store, work))
    }

    fn apply(&self, site: &Site, (): &(), work: &Work<'_>) -> Result<Value, StepError> {
        let known = Known::of(site, &self.service)?;
        if work.is_private() {
            // What it writes from here on is written for this run, until `stop` takes the stores back.
            known.databases().try_for_each(|store| stop_counting(site, store, work))?;
        }
        let_in::note(&self.service, work)?;
        if let Outcome::Person(instruction) = site.service(&self.service)?.start(Which::New, work.tell)? {
            known.wait_for_person(&instruction, PERSON_MS, work.tell, || {
                Ok(known.answers(Which::New, work.tell)? == Some(true))
            })?;
        }
        known.wait_ready(Which::New, READY_MS, work.tell)?;
        Ok(json!({}))
    }

    /// Stops it again. A status is believed no more than by `stop`: what comes next is a restore under its feet.
    fn undo(&self, site: &Site, (): &(), work: &Work<'_>) -> Result<(), StepError> {
        let known = Known::of(site, &self.service)?;
        known.refuse_foreign(Which::Old, work)?;
        let (doing, patience) = match site.service(&self.service)?.stop(work.tell)? {
            Outcome::Person(instruction) => (instruction, PERSON_MS),
            Outcome::Done | Outcome::Already => {
                ("waiting until its stores are let go".to_owned(), LETTING_GO_MS)
            }
        };
        if known.poll(&doing, patience, work.tell, || known.is_stopped(work.tell))? {
            return let_in::forget(work);
        }
        Err(StepError::failed(format!("stop {}: it still runs ({})", self.service, known.state()?))
            .details(known.in_the_stores()?))
    }

    fn by_hand(&self, site: &Site) -> Option<String> {
        matches!(Known::of(site, &self.service).ok()?.state(), Ok(State::Unknown(_))).then(|| {
            format!("you start the new release of {} when asked; the run waits for it", self.service)
        })
    }

    fn not_rehearsed(&self, site: &Site) -> Option<String> {
        site.not_private(&self.service)
    }
}
