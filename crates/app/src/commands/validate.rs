//! `validate`: everything that is wrong with a playbook, at once.

use crate::complaint::{Complaint, exit};
use crate::output::Output;
use crate::shipped;
use serde_json::json;
use std::path::Path;
use switchback_engine::playbook::all_entries;

/// Checks it without a site.
pub fn run(playbook: &str, output: &Output) -> Result<u8, Complaint> {
    let loaded = shipped::load(playbook, Path::new("."), &switchback_steps::registry())?;
    let steps: usize = loaded.playbook.upgrades.iter().map(|upgrade| all_entries(upgrade).len()).sum();
    let name = &loaded.playbook.playbook.value;
    if output.json {
        output.value(&json!({ "playbook": name, "valid": true, "steps": steps, "digest": loaded.digest }));
    } else {
        output.say(&format!(
            "{name} is valid: {} in {}",
            switchback_model::words::count(steps as u64, "step"),
            loaded.source.name
        ));
    }
    Ok(exit::DONE)
}
