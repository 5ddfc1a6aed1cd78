//! The cover: everything that a plan changes has a way back, and nothing is changed while writers are in.

use crate::artifacts::misplaced;
use crate::draft::Draft;
use crate::planner::{OwnSteps, Refusal};
use crate::step::AnyStep;
use std::collections::{BTreeMap, BTreeSet};
use switchback_model::phase::Phase;
use switchback_model::plan::{Access, Reversal, Touch};
use switchback_model::target::TargetDef;

/// The steps of a plan with what safety adds to them.
pub(crate) struct Covered {
    pub drafts: Vec<Draft>,
    /// What cannot be covered.
    pub refusals: Vec<Refusal>,
    /// Targets that would need a backup, and go without one because the playbook says so.
    pub bare: Vec<String>,
}

/// Puts in the backups that the steps need, their trials, their proofs and the sweeping up; returns what cannot be covered.
pub(crate) fn cover(
    mut drafts: Vec<Draft>,
    targets: &BTreeMap<String, TargetDef>,
    own: &OwnSteps,
) -> Covered {
    let order = || drafts.iter().map(|draft| (draft.phase, draft.step.touches()));
    let placed = |step: usize, code: &str, message: String, help: String| {
        let mut refusal = Refusal::new(code, message).help(help);
        refusal.place = drafts[step].place.clone();
        refusal
    };
    let mut refusals = Vec::new();
    for found in misplaced(drafts.iter().map(|draft| draft.step.as_ref())) {
        refusals.push(placed(found.step, "P046", found.message, found.help));
    }
    for found in writers_in(order(), targets) {
        let kind = drafts[found.step].step.kind();
        refusals.push(placed(found.step, "P040", found.message(kind), found.help()));
    }
    for found in written_read_only(order(), targets) {
        let kind = drafts[found.step].step.kind();
        refusals.push(placed(found.step, "P041", found.message(kind), WrittenReadOnly::help()));
    }
    let at_risk = stores_at_risk(&drafts, targets);
    let goes_bare = |target: &String| {
        matches!(targets.get(target), Some(TargetDef::Postgres { without_backup: true, .. }))
    };
    let (bare, needed): (Vec<String>, Vec<String>) = at_risk.iter().cloned().partition(goes_bare);
    let backed_up: BTreeSet<String> = touched(&drafts, Access::BacksUp).collect();
    let compared: BTreeSet<String> = touched(&drafts, Access::Compares).collect();
    let wrap = Draft::plain;

    let at = |drafts: &[Draft], phase: Phase| drafts.partition_point(|draft| draft.phase < phase);
    for target in needed.iter().rev().filter(|target| !backed_up.contains(*target)) {
        let change = at(&drafts, Phase::Change);
        // What this upgrade makes is written before the downtime begins, and its before-image is that it is not there.
        let first = drafts.iter().position(|draft| writes(draft, target)).unwrap_or(change);
        match is_made_by_us(targets, target) && first < change {
            true => drafts.insert(first, wrap(drafts[first].phase, (own.backup)(target))),
            false => drafts.insert(change, wrap(Phase::Change, (own.backup)(target))),
        }
    }
    let steps: Vec<&dyn AnyStep> = drafts.iter().map(|draft| draft.step.as_ref()).collect();
    let proofs = (own.proofs)(&steps);
    let prove = at(&drafts, Phase::Prove);
    drafts.splice(prove..prove, proofs.into_iter().map(|step| wrap(Phase::Prove, step)));
    for target in &compared {
        let change = at(&drafts, Phase::Change);
        let frozen = if drafts[..change].iter().any(|draft| draft.phase == Phase::Freeze) {
            Phase::Freeze
        } else {
            Phase::Change
        };
        drafts.insert(change, wrap(frozen, (own.fingerprint)(target)));
    }
    for target in &at_risk {
        let freeze = at(&drafts, Phase::Freeze);
        if needed.contains(target) && !is_made_by_us(targets, target) {
            drafts.insert(freeze, wrap(Phase::Prepare, (own.trial)(target)));
        }
        let untouched = !drafts[..freeze].iter().any(|draft| makes(draft, target));
        if needed.contains(target) && is_made_file(targets, target) && untouched {
            drafts.insert(freeze, wrap(Phase::Prepare, (own.vacant)(target)));
        }
        let thaw = at(&drafts, Phase::Thaw);
        drafts.insert(thaw, wrap(Phase::Prove, (own.sweep)(target)));
    }
    Covered { drafts, refusals, bare }
}

/// Says how the way back of a step works on this site: where nothing is backed up, nothing can be restored.
pub(crate) fn reversal(
    step: &dyn AnyStep,
    targets: &BTreeMap<String, TargetDef>,
    own: &OwnSteps,
) -> Reversal {
    let bare = |touch: &Touch| {
        touch.access == Access::Writes
            && matches!(targets.get(&touch.target), Some(TargetDef::Postgres { without_backup: true, .. }))
    };
    match step.reversal() {
        // The sweep takes out what is ours and nothing else.
        Reversal::ByRestore if step.kind() != (own.sweep)("").kind() && step.touches().iter().any(bare) => {
            Reversal::Never
        }
        other => other,
    }
}

fn is_made_by_us(targets: &BTreeMap<String, TargetDef>, target: &str) -> bool {
    targets.get(target).is_some_and(TargetDef::is_made_by_us)
}

/// Whether it is a file that whoever comes along could have made before this upgrade does.
fn is_made_file(targets: &BTreeMap<String, TargetDef>, target: &str) -> bool {
    targets.get(target).is_some_and(|def| def.is_made_by_us() && def.path().is_some())
}

fn writes(draft: &Draft, target: &str) -> bool {
    draft.step.touches().iter().any(|touch| touch.target == target && touch.access == Access::Writes)
}

/// Whether it begins to make a target, or notes that nobody has.
fn makes(draft: &Draft, target: &str) -> bool {
    let begins = |access| matches!(access, Access::Writes | Access::BacksUp);
    draft.step.touches().iter().any(|touch| touch.target == target && begins(touch.access))
}

fn touched(drafts: &[Draft], access: Access) -> impl Iterator<Item = String> {
    drafts.iter().flat_map(move |draft| {
        draft.step.touches().into_iter().filter(move |touch| touch.access == access).map(|touch| touch.target)
    })
}

/// Every store that only a backup can bring back: written by a step whose way back is a restore, or kept by a service
/// that is started, because a new release may migrate at its start, or that is sent something to store.
fn stores_at_risk(drafts: &[Draft], targets: &BTreeMap<String, TargetDef>) -> BTreeSet<String> {
    let mut stores = BTreeSet::new();
    for draft in drafts {
        for touch in draft.step.touches() {
            match touch.access {
                Access::Writes if draft.step.reversal() == Reversal::ByRestore => {
                    stores.insert(touch.target);
                }
                Access::Starts | Access::Feeds => stores.extend(stores_of(&touch.target, targets)),
                _ => {}
            }
        }
    }
    // Nothing is ever written to what is only read: it needs no way back.
    let is_kept = |def: &TargetDef| def.is_database() && !def.is_read_only();
    stores.retain(|store| targets.get(store).is_some_and(is_kept));
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

/// A step that changes what is only read.
pub(crate) struct WrittenReadOnly {
    /// Position of the step.
    pub step: usize,
    target: String,
}

impl WrittenReadOnly {
    /// What is wrong; `kind` is the step's.
    pub fn message(&self, kind: &str) -> String {
        format!("`{kind}` changes {}, which is only read", self.target)
    }

    /// What mends it.
    pub fn help() -> String {
        "take `read_only: true` from the target, and it gets a backup; or change another one".to_owned()
    }
}

/// Finds the steps that change what is only read.
pub(crate) fn written_read_only(
    steps: impl Iterator<Item = (Phase, Vec<Touch>)>,
    targets: &BTreeMap<String, TargetDef>,
) -> Vec<WrittenReadOnly> {
    let changes = |touch: &Touch| matches!(touch.access, Access::Writes | Access::BacksUp);
    steps
        .enumerate()
        .flat_map(|(step, (_, touches))| touches.into_iter().map(move |touch| (step, touch)))
        .filter(|(_, touch)| {
            changes(touch) && targets.get(&touch.target).is_some_and(TargetDef::is_read_only)
        })
        .map(|(step, touch)| WrittenReadOnly { step, target: touch.target })
        .collect()
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
