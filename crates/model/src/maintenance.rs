//! When maintenance was on: a pure fold over a plan and its journal.

use crate::plan::{Access, Plan, PlannedStep, Switch};
use crate::record::{Entry, Record};
use crate::run::step_of;
use crate::target::TargetDef;
use serde::Serialize;
use std::collections::BTreeMap;

/// How a time of maintenance came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// A step left it.
    Left,
    /// The step that had entered it was taken back.
    TakenBack,
    /// The service that was in it was stopped.
    Stopped,
}

/// A time in which an endpoint was in maintenance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Spell {
    /// The endpoint.
    pub target: String,
    /// When it was asked for, or found, or came back with its service: RFC 3339 in UTC.
    pub since: String,
    /// Whether the mode was read back; where not, it was asked for and may be on.
    pub reached: bool,
    /// When and how it ended; `None` while it is on.
    pub until: Option<(String, Ended)>,
}

/// Who runs as a service, as far as the run brought it about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Runs {
    /// Whoever ran before the run.
    #[default]
    Before,
    /// Nobody.
    Nobody,
    /// Whom the run started.
    After,
}

/// A mode that an endpoint was brought into.
#[derive(Debug, Clone, Copy)]
struct Mode {
    reached: bool,
    /// Who was in it: another release knows nothing of it, unless the plan takes that one out of it.
    of: Runs,
}

/// Returns every time in which a step of this plan had brought an endpoint into maintenance, in the order in which they began.
///
/// The bounds are those that the journal is sure of: from the moment before it was asked for until it was read back that it is
/// off, or until the service that was in it was stopped.
pub fn spells(plan: &Plan, entries: &[Entry]) -> Vec<Spell> {
    let (mut modes, mut services) = (BTreeMap::new(), BTreeMap::new());
    let mut spells: Vec<Spell> = Vec::new();
    for entry in entries {
        let Some((number, step)) =
            step_of(&entry.record).and_then(|number| Some((number, plan.steps.get(number)?)))
        else {
            continue;
        };
        follow(plan, number, step, &entry.record, &mut services);
        if let Some(switch) = &step.switches {
            let of = runs(plan, &switch.target, &services);
            switched(switch, of, &entry.record, &mut modes);
        }
        for target in plan.steps.iter().filter_map(|step| Some(&step.switches.as_ref()?.target)) {
            let mode: Option<Mode> = modes.get(target.as_str()).copied();
            let seen = mode.filter(|mode| {
                let of = runs(plan, target, &services);
                of != Runs::Nobody && (of == mode.of || is_left(plan, target))
            });
            let open = spells.iter_mut().find(|spell| spell.target == *target && spell.until.is_none());
            match (open, seen) {
                (Some(spell), Some(mode)) => spell.reached = mode.reached,
                (Some(spell), None) => {
                    let how = match (mode, &entry.record) {
                        (Some(_), _) => Ended::Stopped,
                        (None, Record::StepUndone { .. }) => Ended::TakenBack,
                        (None, _) => Ended::Left,
                    };
                    spell.until = Some((entry.at.clone(), how));
                }
                (None, Some(mode)) => spells.push(Spell {
                    target: target.clone(),
                    since: entry.at.clone(),
                    // Another release has not been asked yet whether it is so.
                    reached: mode.reached && runs(plan, target, &services) == mode.of,
                    until: None,
                }),
                (None, None) => {}
            }
        }
    }
    spells
}

/// Notes what a record says of the mode that a step switches.
fn switched<'a>(switch: &'a Switch, of: Runs, record: &Record, modes: &mut BTreeMap<&'a str, Mode>) {
    let target = switch.target.as_str();
    match (record, switch.on) {
        (Record::StepStarted { .. }, true) => drop(modes.insert(target, Mode { reached: false, of })),
        (Record::StepFinished { .. } | Record::StepFound { .. }, true) => {
            modes.insert(target, Mode { reached: true, of });
        }
        // An endpoint that left it is in it again once that is taken back.
        (Record::StepUndone { .. }, false) => drop(modes.insert(target, Mode { reached: true, of })),
        (Record::StepUndone { .. }, true)
        | (Record::StepFinished { .. } | Record::StepFound { .. }, false) => drop(modes.remove(target)),
        _ => {}
    }
}

/// Notes what a record says of the services that a step stops and starts.
fn follow<'a>(
    plan: &'a Plan,
    number: usize,
    step: &'a PlannedStep,
    record: &Record,
    services: &mut BTreeMap<&'a str, Runs>,
) {
    for touch in &step.touches {
        let started = |before: &&PlannedStep| {
            before.touches.iter().any(|one| one.target == touch.target && one.access == Access::Starts)
        };
        let runs = match (record, touch.access) {
            (Record::StepFinished { .. } | Record::StepFound { .. }, Access::Stops) => Runs::Nobody,
            (Record::StepFinished { .. } | Record::StepFound { .. }, Access::Starts) => Runs::After,
            (Record::StepUndone { .. }, Access::Starts) => Runs::Nobody,
            // What the run itself had started is not started again on the way back.
            (Record::StepUndone { .. }, Access::Stops)
                if plan.steps[..number].iter().any(|it| started(&it)) =>
            {
                Runs::Nobody
            }
            (Record::StepUndone { .. }, Access::Stops) => Runs::Before,
            _ => continue,
        };
        services.insert(&touch.target, runs);
    }
}

/// Who runs behind an endpoint.
fn runs(plan: &Plan, target: &str, services: &BTreeMap<&str, Runs>) -> Runs {
    match plan.targets.get(target) {
        Some(TargetDef::Http { served_by: Some(service), .. }) => {
            services.get(service.as_str()).copied().unwrap_or_default()
        }
        _ => Runs::default(),
    }
}

/// Whether the plan takes the endpoint out of its maintenance, whoever answers there by then.
fn is_left(plan: &Plan, target: &str) -> bool {
    plan.steps.iter().filter_map(|step| step.switches.as_ref()).any(|it| it.target == target && !it.on)
}
