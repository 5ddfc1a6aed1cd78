//! Which run a verb is about: the one that is named, else the newest that is open, else the newest.

use crate::complaint::{Complaint, exit};
use crate::context::driver;
use switchback_engine::session::{Session, SessionError};
use switchback_engine::state_dir::StateDir;
use switchback_engine::{Journal, RunDir};
use switchback_model::record::{Entry, Record};
use switchback_model::run::RunState;
use switchback_model::suggest::closest;

/// Finds the run, with its journal; `None` if none is named and there is none.
pub fn find_run(state: &StateDir, name: Option<&str>) -> Result<Option<(RunDir, Vec<Entry>)>, Complaint> {
    let Some(name) = name else { return Ok(state.latest()?) };
    // Only what lies in the folder of the runs is one: a name is no path.
    let dir = state.run(name);
    if !state.runs().iter().any(|known| known == name) || !dir.journal().exists() {
        return Err(unknown_run(name, state));
    }
    let entries = Journal::read(&dir.journal())?;
    match entries.first() {
        Some(Entry { record: Record::RunStarted { .. }, .. }) => Ok(Some((dir, entries))),
        _ => Err(unknown_run(name, state)),
    }
}

/// Opens that run for this process.
pub fn open_run(state: &StateDir, name: Option<&str>) -> Result<Option<(Session, RunState)>, Complaint> {
    let Some((dir, entries)) = find_run(state, name)? else { return Ok(None) };
    let session = Session::open(dir, state, &switchback_steps::registry(), &driver())
        .map_err(|error| if error.is_away() { away(error, &entries) } else { error.into() })?;
    let folded = session.state()?;
    Ok(Some((session, folded)))
}

/// A database server does not answer. That is no answer about the site: what is open stays open.
fn away(error: SessionError, entries: &[Entry]) -> Complaint {
    let is_over = entries.last().is_some_and(|entry| matches!(entry.record, Record::RunEnded { .. }));
    let mut complaint = Complaint::from(error).help("see to it that the database server runs, and repeat");
    if !is_over {
        complaint.exit = exit::INTERRUPTED;
        complaint.state = Some("nothing was changed by this command; the run is open".to_owned());
    }
    complaint
}

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
