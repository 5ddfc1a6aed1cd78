//! The plan: the frozen, flat list of steps of one stretch for one site, named by its digest.

use crate::digest::Digest;
use crate::phase::Phase;
use crate::target::TargetDef;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Version of the plan file that this build writes and reads.
pub const PLAN_FORMAT: u32 = 1;

/// How the way back of a step works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reversal {
    /// The step takes its own effect back.
    ByUndo,
    /// The undo of the backup before it takes the effect back.
    ByRestore,
    /// Nothing does: the step is itself a commit point, accepted by name.
    Never,
}

/// What a step does to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Looks at it.
    Reads,
    /// Compares it with what it was when the writers had gone.
    Compares,
    /// Changes it.
    Writes,
    /// Copies it for the way back.
    BacksUp,
    /// Stops the service.
    Stops,
    /// Starts the service.
    Starts,
    /// Writes into the stores of the service, through it.
    Feeds,
}

/// One target that a step touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touch {
    /// Name of the target in the playbook.
    pub target: String,
    /// What happens to it.
    pub access: Access,
}

impl Touch {
    /// Names a target and what happens to it.
    pub fn new(target: &str, access: Access) -> Touch {
        Touch { target: target.to_owned(), access }
    }
}

/// A maintenance mode that a step brings an endpoint into, or out of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// Name of the endpoint.
    pub target: String,
    /// Whether it is entered.
    pub on: bool,
}

/// A line of a playbook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// File, as the playbook's own name for it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
}

/// Where an estimate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Nothing like it was measured here: a rule of thumb.
    Guessed,
    /// Measured by rehearsing this plan.
    Rehearsed,
}

/// How long something will take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// Milliseconds.
    pub ms: u64,
    /// Where the figure comes from.
    pub origin: Origin,
}

/// Space that a plan needs on one filesystem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskNeed {
    /// Folder on that filesystem.
    pub folder: String,
    /// Bytes needed at the worst moment, beyond what is used now.
    pub needed: u64,
    /// Bytes free when the plan was made.
    pub free: u64,
    /// What takes the space.
    pub why: String,
}

/// One step of a plan, resolved: nothing in it depends on the playbook any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Name, unique in the plan: kind and subject.
    pub id: String,
    /// Where it stands.
    pub phase: Phase,
    /// Its kind.
    pub kind: String,
    /// The step itself, as its kind reads it.
    pub body: Value,
    /// What it does, as an imperative.
    pub says: String,
    /// Why, in the playbook's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Where the playbook asks for it; absent for steps that the planner put in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// How its way back works.
    pub reversal: Reversal,
    /// What it touches.
    pub touches: Vec<Touch>,
    /// The mode that it switches; plans of older builds do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switches: Option<Switch>,
    /// Whether it is about the site itself, so that a rehearsal on copies leaves it out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_live: bool,
    /// What it will change, line by line.
    pub preview: Vec<String>,
    /// How long it will take.
    pub estimate: Estimate,
}

/// What a fact is to `apply`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FactKind {
    /// A difference makes it another plan: `apply` refuses.
    Identity,
    /// A difference is drift: it is judged again and shown.
    Estimate,
}

/// Something observed that the plan rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// What was observed, in words that stay the same from one look to the next.
    pub name: String,
    /// What a difference means.
    pub kind: FactKind,
    /// What was seen. A list of lines is compared line by line.
    pub value: Value,
}

/// What this upgrade gives up, measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedLoss {
    /// Name by which it is accepted.
    pub id: String,
    /// What is lost, in the playbook's words.
    pub says: String,
    /// Each row that is lost, named, up to a page of them; `None` when it cannot be measured.
    pub rows: Option<Vec<String>>,
    /// How many more there are.
    pub more: u64,
    /// Digest of all of them, named or not: others are another loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Why it cannot be measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmeasured: Option<String>,
}

impl PlannedLoss {
    /// Returns whether a person has to accept it: it has rows, or nobody can know.
    pub fn needs_consent(&self) -> bool {
        self.rows.as_ref().is_none_or(|rows| !rows.is_empty())
    }

    /// How many rows are lost, named or not; `None` when it cannot be measured.
    pub fn count(&self) -> Option<u64> {
        self.rows.as_ref().map(|rows| rows.len() as u64 + self.more)
    }
}

/// A danger that is there on this site, taken on by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedRisk {
    /// Name by which it is accepted.
    pub id: String,
    /// What may happen, in the playbook's words.
    pub says: String,
}

/// One release change on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// Release before.
    pub from: String,
    /// Release after.
    pub to: String,
}

/// Hops that share one downtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// The hops, in order.
    pub hops: Vec<Hop>,
    /// Why it ends where it ends, when that is not the wanted release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_because: Option<String>,
}

/// The playbook that a plan was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaybookRef {
    /// Its name.
    pub name: String,
    /// Digest of all its files.
    pub digest: Digest,
}

/// A plan. What was reviewed is what runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`PLAN_FORMAT`] of the build that wrote it.
    pub format: u32,
    /// Digest of everything else in it: its name.
    pub digest: Digest,
    /// Version of the engine that planned.
    pub engine: String,
    /// When it was made, RFC 3339 in UTC.
    pub made_at: String,
    /// The playbook.
    pub playbook: PlaybookRef,
    /// The installed release, as detected.
    pub installed: String,
    /// The evidence for it, line by line.
    pub evidence: Vec<String>,
    /// The wanted release.
    pub wanted: String,
    /// All stretches; this plan carries out the first.
    pub stretches: Vec<Stretch>,
    /// The targets, resolved.
    pub targets: BTreeMap<String, TargetDef>,
    /// The steps, in order.
    pub steps: Vec<PlannedStep>,
    /// What it rests on.
    pub facts: Vec<Fact>,
    /// What it gives up.
    pub losses: Vec<PlannedLoss>,
    /// What is risked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub risks: Vec<PlannedRisk>,
    /// What integrators have to know.
    pub notes: Vec<String>,
    /// Space it needs.
    pub disk: Vec<DiskNeed>,
    /// Space that it needs where nobody can see from here how much is free, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disk_unseen: Vec<String>,
}

/// A file that is not a plan of ours, or no longer the one that was reviewed.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Not JSON, or not of our shape.
    #[error("read the plan: {0}")]
    Shape(#[from] serde_json::Error),
    /// A newer or older format.
    #[error("read the plan: it has format {found}, this build reads format {PLAN_FORMAT}")]
    Format {
        /// The format found.
        found: u64,
    },
    /// The digest does not match the content.
    #[error(
        "use the plan: it was changed after it was made (it calls itself {named}, its content is {found})"
    )]
    Edited {
        /// The digest written in it.
        named: Digest,
        /// The digest of its content.
        found: Digest,
    },
}

impl Plan {
    /// Gives the plan its name. Call last.
    pub fn seal(mut self) -> Plan {
        self.digest = self.content_digest();
        self
    }

    fn content_digest(&self) -> Digest {
        let mut content = self.clone();
        content.digest = Digest::of(b"");
        // Struct fields serialize in order and maps are sorted, so equal plans have equal bytes.
        Digest::of(serde_json::to_string(&content).unwrap_or_default().as_bytes())
    }

    /// Reads a plan file and proves that it is what was written.
    pub fn read(text: &str) -> Result<Plan, PlanError> {
        let value: Value = serde_json::from_str(text)?;
        match value.get("format").and_then(Value::as_u64) {
            Some(found) if found != u64::from(PLAN_FORMAT) => return Err(PlanError::Format { found }),
            _ => {}
        }
        let plan: Plan = serde_json::from_value(value)?;
        match plan.content_digest() {
            found if found == plan.digest => Ok(plan),
            found => Err(PlanError::Edited { named: plan.digest, found }),
        }
    }

    /// Returns the text of the plan file.
    pub fn write(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// The phase of each step.
    pub fn phases(&self) -> Vec<Phase> {
        self.steps.iter().map(|step| step.phase).collect()
    }

    /// Whether secrets are among what it rests on.
    pub fn rests_on_secrets(&self) -> bool {
        self.facts.iter().any(|fact| fact.name.starts_with("secret "))
    }

    /// Estimated downtime: everything from the first step of `freeze` to the end of `thaw`.
    pub fn downtime(&self) -> Estimate {
        let down = self.steps.iter().filter(|step| step.phase.is_down() || step.phase == Phase::Thaw);
        down.map(|step| step.estimate).fold(Estimate { ms: 0, origin: Origin::Rehearsed }, |sum, one| {
            Estimate { ms: sum.ms + one.ms, origin: sum.origin.min(one.origin) }
        })
    }

    /// The position of the step called `id`.
    pub fn position(&self, id: &str) -> Option<usize> {
        self.steps.iter().position(|step| step.id == id)
    }

    /// The identity facts that differ from `now`, each as a line of a diff.
    pub fn identity_drift(&self, now: &[Fact]) -> Vec<String> {
        self.drift(now, FactKind::Identity)
    }

    /// The estimates that differ from `now`, each as a line.
    pub fn estimate_drift(&self, now: &[Fact]) -> Vec<String> {
        self.drift(now, FactKind::Estimate)
    }

    /// The steps that `now`, made of the same playbook for the same site, has otherwise, each as a line of a diff: a `when:`
    /// that holds no more, a script with another parameter.
    pub fn step_drift(&self, now: &Plan) -> Vec<String> {
        let has = |plan: &Plan, step: &PlannedStep| {
            plan.steps.iter().any(|one| {
                (&one.id, one.phase, &one.kind, &one.body) == (&step.id, step.phase, &step.kind, &step.body)
            })
        };
        let gone = self.steps.iter().filter(|step| !has(now, step));
        let come = now.steps.iter().filter(|step| !has(self, step));
        let lines = gone.map(|step| format!("  - {}: {}", step.id, step.says));
        let mut lines: Vec<String> =
            lines.chain(come.map(|step| format!("  + {}: {}", step.id, step.says))).collect();
        let order = |plan: &Plan| plan.steps.iter().map(|step| step.id.clone()).collect::<Vec<_>>();
        if lines.is_empty() && order(self) != order(now) {
            lines.push("  another order".to_owned());
        }
        if !lines.is_empty() {
            lines.insert(0, "steps:".to_owned());
        }
        lines
    }

    fn drift(&self, now: &[Fact], kind: FactKind) -> Vec<String> {
        let find =
            |facts: &[Fact], name: &str| facts.iter().find(|f| f.name == name).map(|f| f.value.clone());
        let mut lines = Vec::new();
        for fact in self.facts.iter().filter(|fact| fact.kind == kind) {
            match find(now, &fact.name) {
                Some(value) if value == fact.value => {}
                Some(value) => difference(&mut lines, &fact.name, &fact.value, &value),
                None => {
                    lines.push(format!("{}: was {}, cannot be observed now", fact.name, show(&fact.value)))
                }
            }
        }
        for fact in now.iter().filter(|fact| fact.kind == kind && find(&self.facts, &fact.name).is_none()) {
            lines.push(format!("{}: was not there, is {}", fact.name, show(&fact.value)));
        }
        lines
    }
}

fn difference(lines: &mut Vec<String>, name: &str, was: &Value, is: &Value) {
    let (Value::Array(old), Value::Array(new)) = (was, is) else {
        lines.push(format!("{name}: was {}, is {}", show(was), show(is)));
        return;
    };
    lines.push(format!("{name}:"));
    lines.extend(old.iter().filter(|line| !new.contains(line)).map(|line| format!("  - {}", show(line))));
    lines.extend(new.iter().filter(|line| !old.contains(line)).map(|line| format!("  + {}", show(line))));
}

fn show(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
