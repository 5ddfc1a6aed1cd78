//! The observed facts that a plan rests on.

use serde_json::Value;
use std::collections::BTreeMap;
use switchback_model::digest::Digest;
use switchback_model::plan::{Fact, FactKind};
use switchback_model::target::TargetDef;
use switchback_site::{Site, SiteError, Tell};

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
            facts.push(identity(format!("shape of {name}"), Value::from(lines)));
        }
        if let Some(bytes) = site.size(name)? {
            facts.push(estimate(format!("size of {name} in bytes"), Value::from(bytes)));
        }
    }
    Ok(facts)
}
