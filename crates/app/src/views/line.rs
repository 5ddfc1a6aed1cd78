//! `line`: one line a record, for pipes and logs.

use crate::output::Output;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use switchback_engine::View;
use switchback_model::phase::Phase;
use switchback_model::plan::Plan;
use switchback_model::record::{Entry, Outcome, Record, Trouble, Turn};
use switchback_model::run::RunState;
use switchback_model::words;
use switchback_site::{Progress, Unit};

/// How often progress is worth a line where lines stay.
const PAUSE: Duration = Duration::from_secs(10);
/// After how many seconds a wait is worth its first line.
const WORTH_A_LINE: u64 = 2;
/// The same for waits, which change nothing but the time.
const WAIT: Duration = Duration::from_secs(60);

/// The view.
pub struct Line {
    output: Output,
    plan: Arc<Plan>,
    verbose: bool,
    phase: Option<Phase>,
    said: Instant,
    doing: String,
}

impl Line {
    /// Talks to `output` about a run of `plan`.
    pub fn new(output: Output, plan: Arc<Plan>, verbose: bool) -> Line {
        Line { output, plan, verbose, phase: None, said: Instant::now(), doing: String::new() }
    }
}

impl View for Line {
    fn entry(&mut self, entry: &Entry, state: &RunState) {
        for line in lines(&self.plan, &mut self.phase, &entry.record, state, self.verbose) {
            self.output.say(&line);
        }
        self.said = Instant::now();
    }

    fn progress(&mut self, progress: &Progress) {
        // A wait may be for a person, who has to read soon what for; work is worth a line only when it takes long.
        let waits = progress.unit == Unit::Seconds && progress.done >= WORTH_A_LINE;
        let waits_anew = waits && progress.doing != self.doing;
        if waits_anew {
            self.doing.clone_from(&progress.doing);
            self.output.say(&format!("    … {}", progress.doing));
        } else if self.said.elapsed() >= if progress.unit == Unit::Seconds { WAIT } else { PAUSE } {
            self.output.say(&format!("    … {}", progress_words(progress)));
        } else {
            return;
        }
        self.said = Instant::now();
    }
}

/// Says a record in lines. `phase` is the last one that was named.
pub fn lines(
    plan: &Plan,
    phase: &mut Option<Phase>,
    record: &Record,
    state: &RunState,
    verbose: bool,
) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(step) = switchback_model::run::step_of(record)
        && state.turn.is_none()
        && let Some(planned) = plan.steps.get(step)
        && *phase != Some(planned.phase)
    {
        *phase = Some(planned.phase);
        lines.push(format!(
            "{}{}",
            planned.phase,
            if planned.phase == Phase::Freeze { "  (the downtime begins)" } else { "" }
        ));
    }
    let says = |step: usize| {
        plan.steps.get(step).map_or_else(|| format!("step {step}"), |planned| planned.says.clone())
    };
    let id =
        |step: usize| plan.steps.get(step).map_or_else(|| step.to_string(), |planned| planned.id.clone());
    match record {
        Record::RunStarted { run, rehearsal, .. } => {
            lines.push(if *rehearsal { "rehearsal on copies".to_owned() } else { format!("run {run}") });
        }
        Record::LifeStarted { by, .. } if state.lives > 1 => lines.push(format!("taken up by {by}")),
        Record::LifeStarted { .. } => {}
        Record::StepStarted { step, .. } if verbose => lines.push(format!("  …  {}", says(*step))),
        Record::StepStarted { .. } => {}
        Record::StepFinished { step, seen, took_ms } => {
            lines.push(format!("  ok {} ({}{})", says(*step), words::duration(*took_ms), seen_words(seen)));
        }
        Record::StepFound { step, seen } => match seen.get("unexpected").and_then(Value::as_str) {
            Some(unexpected) => lines.push(format!("  !! {}: {unexpected}", says(*step))),
            None => lines.push(format!("  ok {}", says(*step)) + &seen_bracket(seen)),
        },
        Record::StepFailed { step, trouble } => {
            lines.push(format!("  FAILED {} [{}]", says(*step), id(*step)));
            lines.extend(trouble_lines(trouble));
        }
        Record::CommitPassed { .. } => {
            lines.push("commit point: everything is proven; writers are let in from here on".to_owned());
        }
        Record::RunHeld { step, reason } => {
            lines.push(format!("held: {} failed, and {reason}", id(*step)));
        }
        Record::FailureAccepted { step, by } => {
            lines.push(format!("  {by} accepted the failure of {}", id(*step)))
        }
        Record::StepRetried { step } => lines.push(format!("  trying {} again", id(*step))),
        Record::RollbackStarted { turn } => lines.push(match turn {
            Turn::StepFailed { step } => format!("going back, because {} failed", id(*step)),
            Turn::NothingWritten { step } => {
                format!("going back, because {} failed and nothing was written since", id(*step))
            }
            Turn::Asked { .. } => "going back, as asked".to_owned(),
            Turn::Interrupted => "going back, because of a signal".to_owned(),
        }),
        Record::WritesGivenUp => lines.push("what others have written is given up".to_owned()),
        Record::StepUndone { step, took_ms } => {
            lines.push(format!("  undone: {} ({})", says(*step), words::duration(*took_ms)));
        }
        Record::UndoFailed { step, trouble } => {
            lines.push(format!("  STUCK undoing: {} [{}]", says(*step), id(*step)));
            lines.extend(trouble_lines(trouble));
        }
        Record::Interrupted => lines.push("interrupted: the run is open".to_owned()),
        Record::RunEnded { outcome } => lines.push(
            match outcome {
                Outcome::Upgraded if state.rehearsal => "rehearsed",
                Outcome::Upgraded => "upgraded",
                Outcome::RolledBack => "rolled back: as before",
                Outcome::Stuck => "stuck",
                Outcome::Held => "held",
            }
            .to_owned(),
        ),
        Record::Finalized { .. } => lines.push("finalized".to_owned()),
    }
    lines
}

/// What is wrong and what to do, indented below the step.
pub fn trouble_lines(trouble: &Trouble) -> Vec<String> {
    let mut lines = vec![format!("     error[{}]: {}", trouble.code, trouble.headline())];
    lines.extend(trouble.details.iter().map(|line| format!("       {line}")));
    lines.extend(trouble.help.iter().map(|help| format!("     help: {help}")));
    lines
}

/// How far something has come, with a rate where there is one.
pub fn progress_words(progress: &Progress) -> String {
    let figure = |count: u64| match progress.unit {
        Unit::Bytes => words::bytes(count),
        Unit::Rows => words::count(count, "row"),
        Unit::Seconds => words::duration(count * 1000),
    };
    match progress.total {
        Some(total) if total > 0 => {
            format!("{}: {} of {}", progress.doing, figure(progress.done), figure(total))
        }
        _ => format!("{}: {}", progress.doing, figure(progress.done)),
    }
}

fn seen_bracket(seen: &Value) -> String {
    let words = seen_words(seen);
    if words.is_empty() { words } else { format!(" ({})", words.trim_start_matches(", ")) }
}

/// The figures that a step measured.
fn seen_words(seen: &Value) -> String {
    let mut text = String::new();
    if let Some(bytes) = seen.get("bytes").and_then(Value::as_u64) {
        text.push_str(&format!(", {}", words::bytes(bytes)));
    }
    if let Some(rows) = seen.get("rows").and_then(Value::as_u64) {
        text.push_str(&format!(", {}", words::count(rows, "row")));
    }
    if let Some(proven) = seen.get("proven").and_then(Value::as_str) {
        text.push_str(&format!(", {proven}"));
    }
    if let Some(seen) =
        seen.get("seen").and_then(Value::as_str).filter(|seen| !seen.is_empty() && seen.len() < 60)
    {
        text.push_str(&format!(", seen: {seen}"));
    }
    text
}
