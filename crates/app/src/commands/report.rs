//! `report`: the story of a run, from its journal.

use crate::cli::{Format, Global};
use crate::complaint::{Complaint, exit};
use crate::context::state_dir;
use crate::output::Output;
use crate::views::report::Report;
use switchback_engine::state_dir::StateDir;
use switchback_engine::{Journal, RunError};
use switchback_model::run::RunState;
use switchback_model::suggest::closest;

fn unknown_run(name: &str, state: &StateDir) -> Complaint {
    let known = state.runs();
    let help = match closest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => {
            "`switchback apply` begins one; `--state DIR` names another state folder".to_owned()
        }
        None => format!("the last one is `{}`", known.last().map_or("", String::as_str)),
    };
    let message = format!("there is no run `{name}` in {}", state.root().display());
    Complaint::new(exit::USAGE, "R045", message).help(help)
}

/// Prints it.
pub fn run(global: &Global, format: Format, run: Option<&str>, output: &Output) -> Result<u8, Complaint> {
    let state = state_dir(global);
    let found = match run {
        Some(name) => {
            let dir = state.run(name);
            if !dir.journal().exists() {
                return Err(unknown_run(name, &state));
            }
            let entries = Journal::read(&dir.journal())?;
            Some((dir, entries))
        }
        None => state.latest()?,
    };
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
