//! When writers were out: the same answer for the report, the status and the last words of a life.

use switchback_model::phase::Phase;
use switchback_model::plan::Plan;
use switchback_model::record::{Entry, Record};
use switchback_model::run::{RunState, step_of};

fn is_of(plan: &Plan, entry: &Entry, phase: Phase) -> bool {
    step_of(&entry.record).and_then(|step| plan.steps.get(step)).is_some_and(|step| step.phase == phase)
}

/// Milliseconds from the freeze's first step until writers were let in again, on the way up or on the way back, by the
/// wall clock: the pauses between lives are part of it. Also where the service was found stopped: nobody was let in from
/// there on. On the way back of such a run it is until the run's end. `None` before a freeze, and while it lasts.
pub fn downtime_ms(plan: &Plan, entries: &[Entry]) -> Option<u64> {
    let began = entries.iter().find(|entry| {
        matches!(entry.record, Record::StepStarted { .. } | Record::StepFound { .. })
            && is_of(plan, entry, Phase::Freeze)
    })?;
    let let_in = |entry: &&Entry| {
        matches!(entry.record, Record::StepFinished { .. } | Record::StepFound { .. })
            && is_of(plan, entry, Phase::Thaw)
    };
    let put_back = |entry: &&Entry| {
        matches!(entry.record, Record::StepUndone { .. }) && is_of(plan, entry, Phase::Freeze)
    };
    let ended = |entry: &&Entry| matches!(entry.record, Record::RunEnded { .. });
    let last = |wanted: &dyn Fn(&&Entry) -> bool| entries.iter().rev().find(|entry| wanted(entry));
    let ended = last(&let_in).or_else(|| last(&put_back)).or_else(|| last(&ended))?;
    let at = |entry: &Entry| entry.at.parse::<jiff::Timestamp>().ok();
    u64::try_from(at(ended)?.as_millisecond() - at(began)?.as_millisecond()).ok()
}

/// Says since when the services are stopped that the run stopped and has not started again, if there are any: RFC 3339 in
/// UTC, to the second.
pub fn stopped_since(plan: &Plan, state: &RunState, entries: &[Entry]) -> Option<String> {
    let stands = |step: usize| state.steps.get(step).is_some_and(|step| step.before().is_some());
    let mut stops = entries.iter().filter(|entry| match entry.record {
        Record::StepStarted { step, .. } => stands(step) && is_of(plan, entry, Phase::Freeze),
        _ => false,
    });
    let mut stopped = stops.next()?;
    if state.committed.is_some() {
        // The new release was let in, and is out only since that was taken back.
        let taken_back = |entry: &&Entry| {
            matches!(entry.record, Record::StepUndone { .. }) && is_of(plan, entry, Phase::Thaw)
        };
        stopped = entries.iter().find(taken_back)?;
    }
    let at: jiff::Timestamp = stopped.at.parse().ok()?;
    Some(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
