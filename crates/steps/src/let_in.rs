//! Which services this run has started in their new release: a note for each `start`, until it is undone.
//!
//! A service that was let in by the run is the run's own affair, whatever it answers or fails to answer: it is never taken
//! for the release that ran before.

use crate::trial::remove;
use std::path::PathBuf;
use switchback_engine::run_dir::write_durably;
use switchback_engine::{StepError, Work};

/// What the notes end with.
const NOTE: &str = "let-in";

fn note_of(work: &Work<'_>) -> PathBuf {
    work.dir.keep().join(format!("{}.{NOTE}", work.step))
}

/// Notes that this step lets a service in. After `Ok` the note survives a power cut.
pub(crate) fn note(service: &str, work: &Work<'_>) -> Result<(), StepError> {
    let note = note_of(work);
    if note.exists() {
        return Ok(());
    }
    work.tell.point("start.note")?;
    write_durably(&note, service.as_bytes())
        .map_err(|e| StepError::failed(format!("write {}: {e}", note.display())))?;
    work.tell.point("start.noted")?;
    Ok(())
}

/// Forgets it: the service is stopped again.
pub(crate) fn forget(work: &Work<'_>) -> Result<(), StepError> {
    remove(&note_of(work))
}

/// Returns whether a step of this run let the service in, and was not undone.
pub(crate) fn by_this_run(service: &str, work: &Work<'_>) -> Result<bool, StepError> {
    let keep = work.dir.keep();
    let failed = |e: std::io::Error| StepError::failed(format!("read {}: {e}", keep.display()));
    for entry in std::fs::read_dir(&keep).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_note = path.extension().is_some_and(|end| end == NOTE);
        if is_note && std::fs::read(&path).map_err(failed)? == service.as_bytes() {
            return Ok(true);
        }
    }
    Ok(false)
}
