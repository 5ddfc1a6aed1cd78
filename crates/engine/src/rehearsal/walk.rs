//! Which steps of a plan are rehearsed: a walk through it, with what the steps before leave running and make.

use super::privates::left_out;
use crate::overlay::Overlay;
use crate::registry::Registry;
use crate::step::AnyStep;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use switchback_model::artifact::Artifact;
use switchback_model::plan::{Access, PlannedStep};
use switchback_model::private::Moved;
use switchback_model::target::TargetDef;
use switchback_site::Site;
use switchback_site::service::{PrivateSpec, Privates};

/// What a walk comes to.
pub(super) struct Walked {
    /// The steps that are rehearsed.
    pub steps: Vec<PlannedStep>,
    /// The others: name and why.
    pub left_out: Vec<(String, String)>,
    /// The services that the steps start, and why others are left out.
    pub privates: Privates,
}

/// Returns the targets as the private services have them: where those answer, the endpoints and the probes are.
pub(super) fn moved_targets(
    targets: BTreeMap<String, TargetDef>,
    privates: &Privates,
) -> BTreeMap<String, TargetDef> {
    let moved = |name: String, def: TargetDef| {
        let served = match &def {
            TargetDef::Service { .. } => Some(&name),
            TargetDef::Http { served_by, .. } => served_by.as_ref(),
            _ => None,
        };
        let Some(spec) = served.and_then(|service| privates.specs.get(service)) else { return (name, def) };
        let plain = serde_json::to_value(&def).ok();
        let moved = plain.and_then(|plain| serde_json::from_value(at_private_urls(plain, &[spec])).ok());
        (name, moved.unwrap_or(def))
    };
    targets.into_iter().map(|(name, def)| moved(name, def)).collect()
}

/// Turns every URL of these services into the one at which the private one answers.
fn at_private_urls(value: Value, of: &[&PrivateSpec]) -> Value {
    match value {
        Value::String(text) => {
            let own = of.iter().flat_map(|spec| spec.elsewhere.moves.iter().map(move |moved| (spec, moved)));
            let urls = own.filter(|(spec, moved)| match moved {
                Moved::Url { copy, .. } => copy.starts_with(&spec.base()),
                _ => false,
            });
            Value::String(urls.fold(text, |text, (_, moved)| moved.text(&text)))
        }
        Value::Array(items) => items.into_iter().map(|item| at_private_urls(item, of)).collect(),
        Value::Object(entries) => {
            let moved = entries.into_iter().map(|(key, value)| (key, at_private_urls(value, of)));
            Value::Object(moved.collect())
        }
        other => other,
    }
}

/// Walks through a plan over a site of copies.
pub(super) fn walk(planned: &[PlannedStep], mut site: Site, registry: &Registry) -> Walked {
    let mut walk = Walk::default();
    let mut texts = BTreeMap::new();
    for planned in planned {
        let Some(planned) = walk.step(planned, &mut site, registry, &mut texts) else { continue };
        walk.steps.push(planned);
    }
    let privates = site.privates().cloned().unwrap_or_default();
    let Walk { steps, left_out, .. } = walk;
    Walked { steps, left_out, privates }
}

#[derive(Default)]
struct Walk {
    steps: Vec<PlannedStep>,
    left_out: Vec<(String, String)>,
    /// What nobody makes, and why.
    unmade: BTreeMap<String, String>,
    made: BTreeSet<String>,
}

/// The text of each file as the steps leave it.
type Texts = BTreeMap<String, String>;

impl Walk {
    /// Returns the step as it is rehearsed; none if it is left out.
    fn step(
        &mut self,
        planned: &PlannedStep,
        site: &mut Site,
        registry: &Registry,
        texts: &mut Texts,
    ) -> Option<PlannedStep> {
        if planned.only_live {
            return self.leave_out(planned, "it is about the site itself, and not about a copy".to_owned());
        }
        let mut planned = planned.clone();
        let Ok(written) = registry.read(&planned.kind, planned.body.clone()) else { return Some(planned) };
        let running = site.privates().map(running).unwrap_or_default();
        planned.body = at_private_urls(planned.body, &running.iter().collect::<Vec<_>>());
        let Ok(step) = registry.read(&planned.kind, planned.body.clone()) else { return Some(planned) };
        if planned.says == written.describe() {
            planned.says = step.describe();
        }
        let started = started(&planned);
        for service in &started {
            look_through(service, site, texts);
        }
        let needs = planned.touches.iter().find_map(|touch| self.unmade.get(&touch.target).cloned());
        if let Some(why) = step.not_rehearsed(site).or(needs) {
            self.unmade.extend(not_made_without(&planned, site));
            return self.leave_out(&planned, why);
        }
        // What is made from something that is not made in a rehearsal is not made either.
        if let Some(missing) =
            step.takes().into_iter().find(|artifact| !self.made.contains(&artifact.label()))
        {
            let why = format!("it reads {}, which is not made in a rehearsal", missing.label());
            return self.leave_out(&planned, why);
        }
        self.made.extend(step.makes().iter().map(Artifact::label));
        leave_texts(step.as_ref(), site, texts);
        if let Some(privates) = site.privates_mut() {
            privates.running.extend(started);
        }
        Some(planned)
    }

    fn leave_out(&mut self, planned: &PlannedStep, why: String) -> Option<PlannedStep> {
        self.left_out.push((planned.id.clone(), why));
        None
    }
}

fn running(privates: &Privates) -> Vec<PrivateSpec> {
    privates.running.iter().filter_map(|name| privates.specs.get(name).cloned()).collect()
}

fn started(planned: &PlannedStep) -> Vec<String> {
    let starts = planned.touches.iter().filter(|touch| touch.access == Access::Starts);
    starts.map(|touch| touch.target.clone()).collect()
}

/// Makes the configs that a service would be started with from what the steps before leave, and leaves the service out where
/// they name what has no copy.
fn look_through(service: &str, site: &mut Site, texts: &Texts) {
    let Some(spec) = site.privates().and_then(|privates| privates.specs.get(service)) else { return };
    let (mut wrong, mut configs) = (None, Vec::new());
    for read in &spec.reads {
        let target = &read.def.target;
        let text = texts.get(target).cloned().map_or_else(|| site.read_file(target), Ok);
        let made = match text {
            Ok(text) => spec.elsewhere.config(&read.def, &text).map_err(|error| error.to_string()),
            Err(error) => Err(format!("read {target}: {error}")),
        };
        match made {
            Ok(made) => configs.push(made),
            Err(why) => wrong = wrong.or(Some(why)),
        }
    }
    let wrong = wrong.or(spec.is_told(&configs).err().map(|error| error.to_string()));
    if let (Some(why), Some(privates)) = (wrong, site.privates_mut()) {
        privates.leave_out(service, left_out(service, &why));
    }
}

/// Notes what a step leaves in the files that it writes, as far as it can be known beforehand.
fn leave_texts(step: &dyn AnyStep, site: &Site, texts: &mut Texts) {
    let is_file = |target: &str| matches!(site.targets().get(target), Some(TargetDef::File { .. }));
    let written: Vec<String> = step
        .touches()
        .into_iter()
        .filter(|touch| touch.access == Access::Writes && is_file(&touch.target))
        .map(|touch| touch.target)
        .collect();
    if written.is_empty() {
        return;
    }
    let mut world = Overlay::new(site);
    for (target, text) in texts.iter() {
        world.leave(target, "text", Value::from(text.as_str()));
    }
    // One that cannot be known is looked through once more before the service is started.
    if step.preview(&mut world).is_err() {
        return;
    }
    for target in written {
        if let Some(text) = world.left(&target, "text").and_then(Value::as_str) {
            texts.insert(target, text.to_owned());
        }
    }
}

/// What nobody makes where this step is left out, and why: nothing that is about it can be rehearsed after that.
fn not_made_without(planned: &PlannedStep, site: &Site) -> BTreeMap<String, String> {
    let mut targets: Vec<&String> = Vec::new();
    for touch in &planned.touches {
        match (touch.access, site.targets().get(&touch.target)) {
            (Access::Starts, Some(TargetDef::Service { stores, .. })) => targets.extend(stores),
            (Access::Writes, Some(_)) => targets.push(&touch.target),
            _ => {}
        }
    }
    targets
        .into_iter()
        .filter(|target| matches!(site.vacancy(target), Ok(Some(_))))
        .map(|target| (target.clone(), format!("{target} is made by {}, which is left out", planned.id)))
        .collect()
}
