//! The observed facts that a plan rests on.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use switchback_model::digest::Digest;
use switchback_model::phase::Phase;
use switchback_model::plan::{Access, Fact, FactKind, Plan, PlannedStep};
use switchback_model::run::{RunState, StepState};
use switchback_model::target::TargetDef;
use switchback_site::{Site, SiteError, Tell};

/// Asks the identity facts again for a run that is taken up before its freeze, while the application still runs and changes
/// as it likes. Returns the lines of a diff, and nothing for a run that has come further.
///
/// What a step before the freeze wrote is not as it was when the plan was made, and is left out. The playbook and the
/// inputs need not be there any more: a resume has nothing but the run directory, and the plan's own steps.
pub fn drift_before_freeze(
    plan: &Plan,
    state: &RunState,
    site: &Site,
    tell: &Tell,
) -> Result<Vec<String>, SiteError> {
    let begun = |at: usize| state.steps.get(at).is_some_and(|step| *step != StepState::Waiting);
    let steps = plan.steps.iter().enumerate().filter(|(at, _)| begun(*at));
    let steps: Vec<&PlannedStep> = steps.map(|(_, step)| step).collect();
    if state.turn.is_some() || steps.iter().any(|step| step.phase != Phase::Prepare) {
        return Ok(Vec::new());
    }
    let written: BTreeSet<&str> = steps
        .iter()
        .flat_map(|step| &step.touches)
        .filter(|touch| touch.access == Access::Writes)
        .map(|touch| touch.target.as_str())
        .collect();
    let mut now = plan.facts.clone();
    for name in plan.targets.keys().filter(|name| !written.contains(name.as_str())) {
        let shape = shape_of(name);
        if let Some(lines) = site.identity(name, tell)?
            && let Some(fact) = now.iter_mut().find(|fact| fact.name == shape)
        {
            fact.value = Value::from(lines);
        }
    }
    Ok(plan.identity_drift(&now))
}

fn shape_of(target: &str) -> String {
    format!("shape of {target}")
}

/// Observes the site: what makes this plan the plan for it, and what only sizes it.
pub fn observe(
    site: &Site,
    targets: &BTreeMap<String, TargetDef>,
    playbook: &Digest,
    installed: &str,
    tell: &Tell,
) -> Result<Vec<Fact>, SiteError> {
    let identity = |name: String, value: Value| Fact { name, kind: FactKind::Identity, value };
    let estimate = |name: String, value: Value| Fact { name, kind: FactKind::Estimate, value };
    let mut facts = vec![
        identity("playbook".to_owned(), Value::from(playbook.to_string())),
        identity("installed release".to_owned(), Value::from(installed)),
    ];
    for (name, def) in targets {
        let definition = serde_json::to_value(def).unwrap_or_default();
        facts.push(identity(format!("definition of {name}"), definition));
        if let Some(lines) = site.identity(name, tell)? {
            facts.push(identity(shape_of(name), Value::from(lines)));
        }
        if let Some(bytes) = site.size(name)? {
            facts.push(estimate(format!("size of {name} in bytes"), Value::from(bytes)));
        }
    }
    Ok(facts)
}
