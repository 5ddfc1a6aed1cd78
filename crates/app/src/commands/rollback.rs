//! `rollback`: takes a run back.

use super::carry_out::carry_out;
use super::confirm::confirm;
use super::which::open_run;
use crate::cli::Global;
use crate::complaint::{Complaint, exit};
use crate::context::state_dir;
use crate::output::Output;
use serde_json::Value;
use switchback_engine::session::Session;
use switchback_model::record::{Outcome, Record, Turn};
use switchback_model::run::RunState;
use switchback_site::Tell;
use switchback_site::sqlite::Fingerprint;

/// Goes back, after saying what that would lose.
pub fn run(
    global: &Global,
    name: Option<&str>,
    yes: bool,
    losing_writes: bool,
    output: &Output,
) -> Result<u8, Complaint> {
    let state = state_dir(global);
    let Some((mut session, folded)) = open_run(&state, name)? else {
        return Err(Complaint::no_run(state.root()));
    };
    if folded.finalized {
        return Err(Complaint::new(
            exit::USAGE,
            "R042",
            "the run is finalized: what was kept for the way back is gone",
        )
        .help("restore a backup of your own; `switchback report` says what the run did")
        .state("nothing was changed"));
    }
    if folded.ended == Some(Outcome::RolledBack) {
        output.say("nothing to do: the run is rolled back already");
        return Ok(exit::DONE);
    }
    let losing = written_since(&session, &folded);
    if !losing.is_empty() && folded.turn.is_none() {
        output.say("written since the commit point, and lost by going back:");
        for line in &losing {
            output.say(&format!("  {line}"));
        }
        // `--yes` does not answer this: what is lost is given up by its own flag, or by a person who has read it.
        if !losing_writes && output.ask("lose it and go back?") != Some(true) {
            return Err(Complaint::new(exit::SITE, "R043", "going back would lose what was written since")
                .help("keep what is worth keeping, then `switchback rollback --losing-writes`")
                .state("nothing was changed"));
        }
    } else if folded.turn.is_none() && folded.ended == Some(Outcome::Upgraded) && !yes && !losing_writes {
        let help = "add --yes; what was written since is given up by --losing-writes only";
        confirm("take this upgrade back?", help, output)?;
    }
    let turned = folded.turn.clone();
    carry_out(&mut session, Vec::new(), false, global.verbose, output, |runner| {
        if turned.is_none() {
            runner.note(Record::RollbackStarted { turn: Turn::Asked { losing } })?;
        }
        if losing_writes { runner.note(Record::WritesGivenUp) } else { Ok(()) }
    })
    .map(|code| if code == exit::ROLLED_BACK || code == exit::SITE { exit::DONE } else { code })
}

/// Lists what differs between databases and files now and at the commit point.
fn written_since(session: &Session, state: &RunState) -> Vec<String> {
    let mut lines = Vec::new();
    for (store, then) in state.committed.iter().flatten() {
        match session.site.fingerprint(store, &Tell::quiet()) {
            Ok(now) if now == *then => {}
            Ok(now) => {
                lines.extend(differences(&now, then).into_iter().map(|line| format!("{store}: {line}")))
            }
            Err(error) => lines.push(format!("{store}: cannot be seen: {error}")),
        }
    }
    lines
}

/// Speaks of *now* and *then*.
fn differences(now: &Value, then: &Value) -> Vec<String> {
    let database = |value: &Value| serde_json::from_value::<Fingerprint>(value.clone());
    match (database(now), database(then)) {
        (Ok(now), Ok(then)) => now.differences_as(&then, "now", "then"),
        _ => vec!["it was changed".to_owned()],
    }
}
