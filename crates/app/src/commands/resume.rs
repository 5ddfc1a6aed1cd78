//! `resume`: takes an open run up where its journal ends.

use super::carry_out::carry_out;
use super::which::open_run;
use crate::cli::{Global, OnInterrupt};
use crate::complaint::{Complaint, exit};
use crate::context::{driver, state_dir};
use crate::output::Output;
use switchback_engine::error::chain;
use switchback_engine::facts::{drift_before_freeze, drift_of_secrets};
use switchback_engine::planner::Refusal;
use switchback_engine::session::Session;
use switchback_engine::state_dir::StateDir;
use switchback_model::plan::Plan;
use switchback_model::record::Record;
use switchback_model::run::RunState;
use switchback_model::suggest::closest;
use switchback_site::Tell;

fn unknown_step(name: &str, plan: &Plan) -> Complaint {
    let near = closest(name, plan.steps.iter().map(|step| step.id.as_str()));
    Complaint::usage(format!("the run has no step `{name}`")).help(match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`switchback report` names every step".to_owned(),
    })
}

/// A run that was stopped before its freeze left the application running: the site must still be the one of the plan.
fn refuse_drift(state: &StateDir, session: &Session, folded: &RunState) -> Result<(), Complaint> {
    refuse_other_secrets(state, session, folded)?;
    let (plan, site) = (&session.plan, &session.site);
    let drift = drift_before_freeze(plan, folded, site, &Tell::quiet()).map_err(|error| {
        Complaint::new(exit::SITE, "A014", format!("cannot look at the site again: {}", chain(&error)))
            .help("mend what stands in the way, then `switchback resume` or `switchback rollback`")
            .state("nothing was changed by this command; the run is open, and nothing is stopped")
    })?;
    if drift.is_empty() {
        return Ok(());
    }
    let refusal = Refusal {
        details: drift,
        ..Refusal::new("A012", "the site is not the one that the plan was made for")
            .help("`switchback rollback` closes this run; then make a new plan and read it")
    };
    Err(Complaint::of(exit::SITE, vec![refusal])
        .state("nothing was changed by this command; the run is open, and nothing is stopped"))
}

/// A secret that a step to come needs must be at hand, and the one of the plan.
fn refuse_other_secrets(state: &StateDir, session: &Session, folded: &RunState) -> Result<(), Complaint> {
    if !session.plan.rests_on_secrets() {
        return Ok(());
    }
    let salt = state.salt().map_err(|error| Complaint::io("read the salt in", state.root(), &error))?;
    let refusal = match drift_of_secrets(&session.plan, folded, &salt) {
        Ok(drift) if drift.is_empty() => return Ok(()),
        Ok(_) => Refusal::new("A015", "a secret is not the one that the plan was made with")
            .help("set it as it was, then `switchback resume`; or `switchback rollback`, which needs none"),
        Err(error) => Refusal::new("A015", format!("cannot {error}"))
            .help("set it where this command runs, then `switchback resume`; or `switchback rollback`, which needs none"),
    };
    Err(Complaint::of(exit::SITE, vec![refusal])
        .state("nothing was changed by this command; the run is open"))
}

/// Goes on. Everything that it needs is in the run directory: the site file may be gone.
pub fn run(
    global: &Global,
    accept: Option<&str>,
    if_open: bool,
    on_interrupt: OnInterrupt,
    output: &Output,
) -> Result<u8, Complaint> {
    let state = state_dir(global);
    let nothing = || {
        if if_open {
            return Ok(exit::DONE);
        }
        Err(Complaint::new(exit::USAGE, "R040", format!("no run is open in {}", state.root().display()))
            .help(
                "`switchback status` says how the last one ended; `--state DIR` names another state folder",
            ))
    };
    let Some((mut session, folded)) = open_run(&state, None)? else { return nothing() };
    if !folded.is_open() {
        return nothing();
    }
    refuse_drift(&state, &session, &folded)?;
    let by = driver().name();
    let held = folded.held.clone();
    let accepted = match accept {
        None => None,
        Some(name) => {
            let Some(step) = session.plan.position(name) else {
                return Err(unknown_step(name, &session.plan));
            };
            if held.as_ref().map(|(step, _)| *step) != Some(step) {
                return Err(Complaint::usage(format!("step `{name}` does not hold this run")).help(
                    "only a step that failed past the commit point can be accepted; `switchback status` names it",
                ));
            }
            Some(step)
        }
    };
    let back = on_interrupt == OnInterrupt::Rollback;
    carry_out(&mut session, Vec::new(), back, global.verbose, output, |runner| match (accepted, held) {
        (Some(step), _) => runner.note(Record::FailureAccepted { step, by }),
        (None, Some((step, _))) => runner.note(Record::StepRetried { step }),
        (None, None) => Ok(()),
    })
}
