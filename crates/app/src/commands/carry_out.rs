//! What `apply`, `resume` and `rollback` share: a session is moved until there is no move left, and what came of it is
//! said, with what to do next.

use crate::complaint::{Complaint, exit};
use crate::output::Output;
use crate::views;
use crate::views::downtime::stopped_since;
use std::collections::BTreeSet;
use switchback_engine::Journal;
use switchback_engine::runner::{RunError, Runner};
use switchback_engine::session::Session;
use switchback_model::plan::{Plan, Reversal};
use switchback_model::record::{Entry, Outcome};
use switchback_model::run::{RunState, StepState};

/// Moves a run to its end in this life. `first` appends the records that the operator's command stands for.
pub fn carry_out(
    session: &mut Session,
    accepted: Vec<String>,
    back_on_interrupt: bool,
    verbose: bool,
    output: &Output,
    first: impl FnOnce(&mut Runner<'_>) -> Result<(), RunError>,
) -> Result<u8, Complaint> {
    let plan = session.plan.clone();
    let bus = views::bus(output, &plan, verbose);
    let tell = crate::context::tell(bus.sink());
    let mut runner = session.begin(accepted, bus, tell, back_on_interrupt)?;
    first(&mut runner)?;
    let ended = runner.run();
    let state = runner.state().clone();
    drop(runner);
    // A journal that cannot be read is what the error is about; then nobody can tell since when.
    let entries = Journal::read(&session.dir.journal()).unwrap_or_default();
    let stopped = stopped(&plan, &state, &entries);
    match ended {
        Ok(outcome) => Ok(say_outcome(outcome, &plan, &state, &stopped, output)),
        Err(RunError::Interrupted) => {
            output.say(&interrupted(&stopped));
            Ok(exit::INTERRUPTED)
        }
        Err(error @ RunError::Mark(_)) => Err(Complaint::from(error).state("nothing was changed")),
        Err(error) => Err(Complaint::from(error).state(interrupted(&stopped))),
    }
}

fn say_outcome(outcome: Outcome, plan: &Plan, state: &RunState, stopped: &str, output: &Output) -> u8 {
    let failed =
        state.failure().and_then(|(step, _)| plan.steps.get(step)).map_or("", |step| step.id.as_str());
    let (code, text) = match outcome {
        Outcome::Upgraded => (
            exit::DONE,
            "the way back stays open: `switchback rollback`; once all is well, `switchback finalize` drops what is kept for it"
                .to_owned(),
        ),
        Outcome::RolledBack => {
            let touched = state.steps.contains(&StepState::Undone);
            let code = if touched { exit::ROLLED_BACK } else { exit::SITE };
            (code, as_before(plan, state))
        }
        Outcome::Stuck => (
            exit::STUCK,
            format!(
                "stuck: the way back stops at `{failed}`, and what was undone before it stays undone{stopped}; mend what it says, then `switchback rollback`"
            ),
        ),
        Outcome::Held => (
            exit::HELD,
            format!(
                "held past the commit point: the new release is in and has been written to, and `{failed}` failed.\n\
                 `switchback resume` tries it again; `switchback resume --accept {failed}` goes on without it;\n\
                 `switchback rollback` goes back, listing what was written since and would be lost"
            ),
        ),
    };
    if outcome == Outcome::RolledBack && code == exit::SITE {
        output.say("nothing was changed");
    } else {
        output.say(&text);
    }
    code
}

/// Says what a run that was rolled back has left: nothing, but what was accepted as having no way back.
fn as_before(plan: &Plan, state: &RunState) -> String {
    let steps = plan.steps.iter().zip(&state.steps);
    let stays =
        steps.filter(|(planned, step)| planned.reversal == Reversal::Never && **step == StepState::Undone);
    let stays: Vec<_> = stays.map(|(planned, _)| format!("`{}`", planned.id)).collect();
    if stays.is_empty() {
        "the site is as it was before the run".to_owned()
    } else {
        format!(
            "the site is as it was before the run, but for what nothing takes back: {} was begun",
            stays.join(", ")
        )
    }
}

/// Says what is true while a run is open.
fn interrupted(stopped: &str) -> String {
    format!("the run is open{stopped}: `switchback resume` goes on, `switchback rollback` goes back")
}

/// Says that the services which the run stopped have not been started again, and since when.
fn stopped(plan: &Plan, state: &RunState, entries: &[Entry]) -> String {
    let since = stopped_since(plan, state, entries);
    since.map_or_else(String::new, |since| format!("; the application is stopped since {since}"))
}

/// Names that a person has to accept: losses with rows, risks, and steps without a way back.
pub fn wanted_consents(plan: &Plan) -> BTreeSet<String> {
    let losses = plan.losses.iter().filter(|loss| loss.needs_consent()).map(|loss| loss.id.clone());
    let never = plan.steps.iter().filter(|step| step.reversal == Reversal::Never).map(|step| step.id.clone());
    let risks = plan.risks.iter().map(|risk| risk.id.clone());
    losses.chain(risks).chain(never).collect()
}
