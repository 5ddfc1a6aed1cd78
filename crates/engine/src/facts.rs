//! The observed facts that a plan rests on.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use switchback_model::digest::Digest;
use switchback_model::phase::Phase;
use switchback_model::plan::{Access, Fact, FactKind, Plan, PlannedStep};
use switchback_model::run::{RunState, StepState};
use switchback_model::secret::SecretRef;
use switchback_model::target::TargetDef;
use switchback_site::secret::{self, SecretError};
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

/// Observes the secrets of a plan: where each lies, and a salted digest, so that another or a missing one is found before
/// anything is done.
pub fn of_secrets<'a>(
    secrets: impl IntoIterator<Item = &'a SecretRef>,
    salt: &[u8; 32],
) -> Result<Vec<Fact>, SecretError> {
    let secrets = secrets.into_iter().map(|secret| {
        let value = json!({ "lies": secret.lies, "digest": secret::read(secret)?.digest(salt).to_string() });
        Ok(Fact { name: secret_fact(&secret.secret), kind: FactKind::Identity, value })
    });
    secrets.collect()
}

/// Asks for the secrets again, for a run that is taken up: those of a step that has not begun must be what they were.
/// Returns the lines of a diff, or which one cannot be read.
pub fn drift_of_secrets(plan: &Plan, state: &RunState, salt: &[u8; 32]) -> Result<Vec<String>, SecretError> {
    if state.turn.is_some() {
        return Ok(Vec::new());
    }
    let waits = |at: usize| state.steps.get(at).is_none_or(|step| *step == StepState::Waiting);
    let bodies: Vec<&Value> =
        plan.steps.iter().enumerate().filter(|(at, _)| waits(*at)).map(|(_, step)| &step.body).collect();
    let mut now = plan.facts.clone();
    for fact in &mut now {
        let Some(name) = fact.name.strip_prefix(SECRET) else { continue };
        let Ok(lies) = serde_json::from_value(fact.value["lies"].clone()) else { continue };
        let secret = SecretRef { secret: name.to_owned(), lies };
        let Ok(written) = serde_json::to_value(&secret) else { continue };
        if bodies.iter().any(|body| holds(body, &written)) {
            *fact = of_secrets([&secret], salt)?.remove(0);
        }
    }
    Ok(plan.identity_drift(&now))
}

/// Whether a value stands anywhere in another.
fn holds(whole: &Value, part: &Value) -> bool {
    whole == part
        || match whole {
            Value::Array(items) => items.iter().any(|item| holds(item, part)),
            Value::Object(fields) => fields.values().any(|field| holds(field, part)),
            _ => false,
        }
}

/// What the facts about secrets begin with.
const SECRET: &str = "secret ";

fn secret_fact(name: &str) -> String {
    format!("{SECRET}{name}")
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
