//! `finalize`: drops what was kept for the way back.

use super::confirm::confirm;
use super::which::open_run;
use crate::cli::Global;
use crate::complaint::{Complaint, exit};
use crate::context::{driver, state_dir, tell};
use crate::output::Output;
use crate::views;
use serde_json::json;
use switchback_engine::RunDir;
use switchback_model::record::Record;
use switchback_model::words;
use switchback_site::artifacts::Artifacts;

/// Closes the way back for good.
pub fn run(global: &Global, name: Option<&str>, yes: bool, output: &Output) -> Result<u8, Complaint> {
    let state = state_dir(global);
    let Some((mut session, folded)) = open_run(&state, name)? else {
        return Err(Complaint::no_run(state.root()));
    };
    if folded.finalized {
        // The process that noted it may have died before everything was gone.
        drop_kept(&session.dir)?;
        output.say("nothing to do: the run is finalized already");
        return Ok(exit::DONE);
    }
    if folded.is_open() {
        return Err(Complaint::new(exit::SITE, "R044", "the run is open: its way back is still needed")
            .help("`switchback resume` or `switchback rollback` first")
            .state("nothing was changed by this command"));
    }
    if !yes {
        let help = "add --yes; the backups of the run are dropped, and there is no way back after that";
        confirm("drop the backups of this run? There is no way back after that.", help, output)?;
    }
    let dir = session.dir.clone();
    let bus = views::bus(output, &session.plan, global.verbose);
    let sink = bus.sink();
    let mut runner = session.begin(Vec::new(), bus, tell(sink), false)?;
    // The fact first: a crash in the middle of removing leaves a run that says it has no way back, never one that lies.
    runner.note(Record::Finalized { by: driver().name() })?;
    drop_kept(&dir)?;
    Ok(exit::DONE)
}

/// Takes the exports with secrets away, and leaves the way back.
pub fn secrets(global: &Global, name: Option<&str>, output: &Output) -> Result<u8, Complaint> {
    let state = state_dir(global);
    let Some((session, folded)) = open_run(&state, name)? else {
        return Err(Complaint::no_run(state.root()));
    };
    if folded.is_open() {
        return Err(Complaint::new(exit::SITE, "R044", "the run is open: what it exported is still needed")
            .help("`switchback resume` or `switchback rollback` first")
            .state("nothing was changed by this command"));
    }
    // A run that goes back from here on takes nothing from its artifacts: the way back is backups and kept files.
    let gone = Artifacts::at(&session.dir.artifacts()).remove_secrets().map_err(|error| {
        Complaint::new(exit::SITE, "A016", format!("cannot {error}"))
            .state("some exports with secrets may still lie there")
    })?;
    if output.json {
        output.value(&json!({ "removed": gone }));
        return Ok(exit::DONE);
    }
    output.say(&match gone {
        0 => "nothing to do: no export with secrets is left".to_owned(),
        gone => format!("{} with secrets removed; the way back stays", words::count(gone as u64, "export")),
    });
    Ok(exit::DONE)
}

fn drop_kept(dir: &RunDir) -> Result<(), Complaint> {
    for folder in [dir.keep(), dir.artifacts(), dir.backups()] {
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Complaint::io("remove", &folder, &error)
                    .state("the run is finalized; this folder is left to remove"));
            }
            _ => {}
        }
    }
    Ok(())
}
