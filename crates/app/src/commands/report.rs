//! `report`: the story of a run, from its journal.

use super::which::find_run;
use crate::cli::{Format, Global};
use crate::complaint::{Complaint, exit};
use crate::context::state_dir;
use crate::output::Output;
use crate::views::report::Report;
use switchback_engine::RunError;
use switchback_model::run::RunState;

/// Prints it.
pub fn run(global: &Global, format: Format, run: Option<&str>, output: &Output) -> Result<u8, Complaint> {
    let state = state_dir(global);
    let found = find_run(&state, run)?;
    let Some((dir, entries)) = found else {
        return Err(Complaint::no_run(state.root()));
    };
    let plan = dir.plan().map_err(|e| Complaint::new(exit::SITE, "A013", format!("cannot {e}")))?;
    let folded = RunState::fold(plan.steps.len(), entries.iter().map(|entry| &entry.record))
        .map_err(RunError::from)?;
    let report = Report { plan: &plan, entries: &entries, state: &folded };
    if output.json || format == Format::Json {
        output.data(&serde_json::to_string_pretty(&report.json()).unwrap_or_default());
    } else {
        output.data(&report.text());
    }
    Ok(exit::DONE)
}
