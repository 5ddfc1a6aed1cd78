//! The cover: everything that a plan changes has a way back, and nothing is changed while writers are in.

use crate::draft::Draft;
use crate::planner::{OwnSteps, Refusal};
use std::collections::{BTreeMap, BTreeSet};
use switchback_model::phase::Phase;
use switchback_model::plan::{Access, Reversal, Touch};
use switchback_model::target::TargetDef;

/// Puts in the backups that the steps need, their trials and the sweeping up; returns what cannot be covered.
pub(crate) fn cover(
    mut drafts: Vec<Draft>,
    targets: &BTreeMap<String, TargetDef>,
    own: &OwnSteps,
) -> (Vec<Draft>, Vec<Refusal>) {
    let order = drafts.iter().map(|draft| (draft.phase, draft.step.touches()));
    let refusals = writers_in(order, targets)
        .into_iter()
        .map(|found| {
            let draft = &drafts[found.step];
            let mut refusal = Refusal::new("P040", found.message(draft.step.kind())).help(found.help());
            refusal.place = draft.place.clone();
            refusal
        })
        .collect();
    let needed = stores_at_risk(&drafts, targets);
    let backed_up: BTreeSet<String> = touched(&drafts, Access::BacksUp).collect();
    let wrap =
        |phase, step| Draft { phase, step, says: None, why: None, id: None, suffix: None, place: None };

    let at = |drafts: &[Draft], phase: Phase| drafts.partition_point(|draft| draft.phase < phase);
    for target in needed.iter().rev().filter(|target| !backed_up.contains(*target)) {
        let change = at(&drafts, Phase::Change);
        drafts.insert(change, wrap(Phase::Change, (own.backup)(target)));
    }
    for target in &needed {
        let freeze = at(&drafts, Phase::Freeze);
        drafts.insert(freeze, wrap(Phase::Prepare, (own.trial)(target)));
        let thaw = at(&drafts, Phase::Thaw);
        drafts.insert(thaw, wrap(Phase::Prove, (own.sweep)(target)));
    }
    (drafts, refusals)
}

fn touched(drafts: &[Draft], access: Access) -> impl Iterator<Item = String> {
    drafts.iter().flat_map(move |draft| {
        draft.step.touches().into_iter().filter(move |touch| touch.access == access).map(|touch| touch.target)
    })
}

/// Every store that only a backup can bring back: written by a step whose way back is a restore, or kept by a service
/// that is started, because a new release may migrate at its start.
fn stores_at_risk(drafts: &[Draft], targets: &BTreeMap<String, TargetDef>) -> BTreeSet<String> {
    let mut stores = BTreeSet::new();
    for draft in drafts {
        for touch in draft.step.touches() {
            match touch.access {
                Access::Writes if draft.step.reversal() == Reversal::ByRestore => {
                    stores.insert(touch.target);
                }
                Access::Starts => stores.extend(stores_of(&touch.target, targets)),
                _ => {}
            }
        }
    }
    stores.retain(|store| matches!(targets.get(store), Some(TargetDef::Sqlite { .. })));
    stores
}

fn stores_of(service: &str, targets: &BTreeMap<String, TargetDef>) -> Vec<String> {
    match targets.get(service) {
        Some(TargetDef::Service { stores, .. }) => stores.clone(),
        _ => Vec::new(),
    }
}

/// A step that changes a store while a service still runs over it.
pub(crate) struct WriterIn {
    /// Position of the step.
    pub step: usize,
    store: String,
    service: String,
}

impl WriterIn {
    /// What is wrong; `kind` is the step's.
    pub fn message(&self, kind: &str) -> String {
        format!("`{kind}` changes {} while service {} still runs over it", self.store, self.service)
    }

    /// What mends it.
    pub fn help(&self) -> String {
        format!("add `- stop: {}` to the playbook's `freeze:`", self.service)
    }
}

/// A store is changed only after every service over it was stopped. Finds where that is not so.
pub(crate) fn writers_in(
    steps: impl Iterator<Item = (Phase, Vec<Touch>)>,
    targets: &BTreeMap<String, TargetDef>,
) -> Vec<WriterIn> {
    let mut stopped = BTreeSet::new();
    let mut found = Vec::new();
    for (step, (phase, touches)) in steps.enumerate() {
        for touch in touches {
            match touch.access {
                Access::Stops => drop(stopped.insert(touch.target)),
                Access::Starts => drop(stopped.remove(&touch.target)),
                Access::Writes if phase == Phase::Change => {
                    let running = targets.keys().filter(|service| {
                        !stopped.contains(*service) && stores_of(service, targets).contains(&touch.target)
                    });
                    found.extend(running.map(|service| WriterIn {
                        step,
                        store: touch.target.clone(),
                        service: service.clone(),
                    }));
                }
                _ => {}
            }
        }
    }
    found
}
