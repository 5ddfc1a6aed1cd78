//! `status`: where a run stands.

use super::which::find_run;
use crate::cli::Global;
use crate::complaint::{Complaint, exit};
use crate::context::state_dir;
use crate::output::Output;
use crate::views::downtime::stopped_since;
use crate::views::line::trouble_lines;
use crate::views::maintenance;
use crate::views::report::standing;
use serde_json::json;
use switchback_engine::RunError;
use switchback_model::maintenance::spells;
use switchback_model::record::Turn;
use switchback_model::run::{RunState, StepState};
use switchback_site::artifacts::Artifacts;

/// Prints it; the exit code says the same.
pub fn run(global: &Global, name: Option<&str>, output: &Output) -> Result<u8, Complaint> {
    let state = state_dir(global);
    let Some((dir, entries)) = find_run(&state, name)? else {
        if output.json {
            output.value(&json!({ "run": null }));
        } else {
            output.say(&format!("no run in {}", state.root().display()));
        }
        return Ok(exit::DONE);
    };
    let plan = dir.plan().map_err(|e| Complaint::new(exit::SITE, "A013", format!("cannot {e}")))?;
    let folded = RunState::fold(plan.steps.len(), entries.iter().map(|entry| &entry.record))
        .map_err(RunError::from)?;
    let standing = standing(&folded);
    let code = match standing {
        "held" => exit::HELD,
        "stuck" => exit::STUCK,
        _ if folded.is_open() => exit::INTERRUPTED,
        _ => exit::DONE,
    };
    let done = folded.steps.iter().filter(|step| step.is_done()).count();
    let mut steps = plan.steps.iter().zip(&folded.steps);
    let at = match folded.turn {
        // On the way back the next step is the last one that has something to undo.
        Some(_) => steps.rfind(|(_, step)| step.before().is_some()),
        None => steps.find(|(_, step)| !step.is_done() && **step != StepState::Undone),
    };
    let secrets_since = Artifacts::at(&dir.artifacts()).secret_since();
    let secrets_since =
        secrets_since.map_err(|e| Complaint::new(exit::SITE, "A016", format!("cannot {e}")))?;
    let stopped_since = stopped_since(&plan, &folded, &entries).filter(|_| folded.is_open());
    let mut spells = spells(&plan, &entries);
    spells.retain(|spell| spell.until.is_none());
    if output.json {
        output.value(&json!({
            "run": folded.run, "standing": standing, "open": folded.is_open(), "done": done, "steps": plan.steps.len(),
            "at": at.map(|(planned, _)| planned.id.clone()), "committed": folded.committed.is_some(),
            "directory": dir.root(), "exit": code, "stopped_since": stopped_since, "maintenance": maintenance::json(&spells),
            "secrets_since": secrets_since, "from": plan.installed, "to": plan.wanted,
        }));
        return Ok(code);
    }
    output.data(&format!("{} {} → {}: {standing}", plan.playbook.name, plan.installed, plan.wanted));
    output.say(&format!(
        "run {}, {done} of {} steps, in {}",
        folded.run,
        plan.steps.len(),
        dir.root().display()
    ));
    if let Some(Turn::StepFailed { step } | Turn::NothingWritten { step }) = &folded.turn {
        let failed = plan.steps.get(*step).map_or("", |step| step.id.as_str());
        output.say(&format!("it went back because `{failed}` failed: `switchback report` tells why"));
    }
    if let (true, Some((planned, step))) = (folded.is_open(), at) {
        output.say(&format!("at `{}` ({}): {}", planned.id, step.word(), planned.says));
        if let StepState::Failed(_, trouble) | StepState::Stuck(_, trouble) = step {
            trouble_lines(trouble).iter().for_each(|line| output.say(line));
        }
        if let Some(since) = stopped_since {
            output.say(&format!("the application is stopped since {since}"));
        }
        output.say(&match (standing, folded.turn.is_some()) {
            ("held", _) => format!(
                "`switchback resume` tries it again, `switchback resume --accept {}` goes on without it,\n\
                 `switchback rollback` goes back",
                planned.id
            ),
            (_, true) => "`switchback resume` or `switchback rollback` goes on going back".to_owned(),
            (_, false) => "`switchback resume` goes on, `switchback rollback` goes back".to_owned(),
        });
    }
    spells.iter().for_each(|spell| output.say(&maintenance::line(spell)));
    if let Some(since) = secrets_since {
        output.say(&format!(
            "exports with secrets in them lie in {} since {since}{}",
            dir.artifacts().display(),
            if folded.is_open() { "" } else { "; `switchback finalize --secrets-only` removes them" }
        ));
    }
    Ok(code)
}
