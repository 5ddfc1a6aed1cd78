//! `list`: the shipped playbooks, from which versions to which.

use crate::complaint::{Complaint, exit};
use crate::output::Output;
use crate::shipped;
use serde_json::json;
use std::path::Path;

/// Prints one line a playbook.
pub fn run(output: &Output) -> Result<u8, Complaint> {
    let registry = switchback_steps::registry();
    let mut values = Vec::new();
    for name in shipped::names() {
        let loaded = shipped::load(name, Path::new("."), &registry)?;
        let edges: Vec<String> = loaded
            .playbook
            .upgrades
            .iter()
            .map(|upgrade| format!("{} → {}", upgrade.from.value, upgrade.to.value))
            .collect();
        let title = loaded.playbook.title.clone().unwrap_or_default();
        if !output.json {
            output.data(&format!("{name:<14} {:<16} {title}", edges.join(", ")));
        }
        values.push(json!({ "playbook": name, "upgrades": edges, "title": title }));
    }
    if output.json {
        output.value(&json!({ "playbooks": values }));
    }
    Ok(exit::DONE)
}
