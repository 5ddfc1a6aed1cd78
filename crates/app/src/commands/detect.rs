//! `detect`: the installed version, with the evidence for it.

use crate::cli::Global;
use crate::complaint::{Complaint, exit};
use crate::context::Context;
use crate::output::Output;
use serde_json::json;
use switchback_engine::session::SessionError;
use switchback_engine::state_dir::is_over;

/// Prints what is installed.
pub fn run(global: &Global, output: &Output) -> Result<u8, Complaint> {
    let context = Context::load(global)?;
    let site = context.site()?;
    let marks = site.open_runs().map_err(SessionError::from)?;
    let open: Vec<_> =
        marks.into_iter().filter(|mark| !is_over(mark)).map(|mark| (mark.run, mark.state_dir)).collect();
    let name = |(run, state): &(String, std::path::PathBuf)| {
        output.say(&format!("  run {run} is open on this site; its state folder is {}", state.display()));
    };
    // In the middle of a run the evidence may disagree; then this is why.
    let installed = context.detect(&site).inspect_err(|_| open.iter().for_each(name))?;
    if output.json {
        output.value(&json!({
            "playbook": context.playbook.playbook.playbook.value,
            "installed": installed.version, "evidence": installed.evidence, "open_runs": open,
        }));
        return Ok(exit::DONE);
    }
    output.data(&format!("{} {}", context.playbook.playbook.playbook.value, installed.version));
    for line in &installed.evidence {
        output.say(&format!("  {line}"));
    }
    open.iter().for_each(name);
    Ok(exit::DONE)
}
