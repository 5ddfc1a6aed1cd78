//! The cover: everything that a plan changes has a way back, and nothing is changed while writers are in.

use crate::planner::{Draft, OwnSteps, Refusal};
use std::collections::{BTreeMap, BTreeSet};
use switchback_model::phase::Phase;
use switchback_model::plan::{Access, Reversal};
use switchback_model::target::TargetDef;

/// Puts in the backups that the steps need, their trials and the sweeping up; returns what cannot be covered.
pub(crate) fn cover(
    mut drafts: Vec<Draft>,
    targets: &BTreeMap<String, TargetDef>,
    own: &OwnSteps,
) -> (Vec<Draft>, Vec<Refusal>) {
    let refusals = writers_in(&drafts, targets);
    let needed = stores_at_risk(&drafts, targets);
    let backed_up: BTreeSet<String> = touched(&drafts, Access::BacksUp).collect();
    let wrap = |phase, step| Draft { phase, step, says: None, why: None, id: None, place: None };

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

/// A store is changed only after every service over it was stopped.
fn writers_in(drafts: &[Draft], targets: &BTreeMap<String, TargetDef>) -> Vec<Refusal> {
    let mut stopped = BTreeSet::new();
    let mut refusals = Vec::new();
    for draft in drafts {
        for touch in draft.step.touches() {
            match touch.access {
                Access::Stops => {
                    stopped.insert(touch.target.clone());
                }
                Access::Starts => {
                    stopped.remove(&touch.target);
                }
                Access::Writes if draft.phase == Phase::Change => {
                    let running = targets.keys().filter(|service| {
                        !stopped.contains(*service) && stores_of(service, targets).contains(&touch.target)
                    });
                    for service in running {
                        let message = format!(
                            "`{}` changes {} while service {service} still runs over it",
                            draft.step.kind(),
                            touch.target
                        );
                        let mut refusal = Refusal::new("P040", message)
                            .help(format!("add `- stop: {service}` to the playbook's `freeze:`"));
                        refusal.place = draft.place.clone();
                        refusals.push(refusal);
                    }
                }
                _ => {}
            }
        }
    }
    refusals
}
