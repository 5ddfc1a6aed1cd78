//! `lint`: traps in a playbook that is valid.

use crate::complaint::{Complaint, exit};
use crate::output::Output;
use crate::shipped;
use serde_json::json;
use std::path::Path;

/// Prints each trap. A playbook with traps is still valid: the exit code says that something was found.
pub fn run(playbook: &str, output: &Output) -> Result<u8, Complaint> {
    let loaded = shipped::load(playbook, Path::new("."), &switchback_steps::registry())?;
    let traps = switchback_steps::lint::lint(&loaded);
    if output.json {
        output.value(&json!({ "traps": traps.located(Some(&loaded.source)) }));
    } else if traps.is_empty() {
        output.say(&format!("{}: no traps found", loaded.playbook.playbook.value));
    } else {
        output.data(&traps.render_all(Some(&loaded.source)));
    }
    Ok(if traps.is_empty() { exit::DONE } else { exit::PLAYBOOK })
}
