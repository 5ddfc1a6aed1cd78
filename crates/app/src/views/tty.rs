//! `tty`: the lines of a run above a bar for what goes on now, with the downtime clock.

use super::line::{lines, progress_words};
use crate::output::Output;
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::Arc;
use std::time::{Duration, Instant};
use switchback_engine::View;
use switchback_model::phase::Phase;
use switchback_model::plan::Plan;
use switchback_model::record::{Entry, Record};
use switchback_model::run::RunState;
use switchback_model::words;
use switchback_site::{Progress, Unit};

/// The view.
pub struct Tty {
    plan: Arc<Plan>,
    verbose: bool,
    phase: Option<Phase>,
    bar: ProgressBar,
    down_since: Option<Instant>,
    doing: String,
    begun: Instant,
}

impl Tty {
    /// Shows a run of `plan`.
    pub fn new(output: Output, plan: Arc<Plan>, verbose: bool) -> Tty {
        let bar = ProgressBar::new_spinner();
        let template = if output.color { "{spinner:.cyan} {msg}" } else { "{spinner} {msg}" };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Tty { plan, verbose, phase: None, bar, down_since: None, doing: String::new(), begun: Instant::now() }
    }

    fn show(&self, text: &str) {
        let down =
            self.down_since.map(|since| format!("  [down for {}]", words::duration(millis(since.elapsed()))));
        self.bar.set_message(format!("{text}{}", down.unwrap_or_default()));
    }
}

impl View for Tty {
    fn entry(&mut self, entry: &Entry, state: &RunState) {
        for line in lines(&self.plan, &mut self.phase, &entry.record, state, self.verbose) {
            self.bar.println(line);
        }
        let planned =
            switchback_model::run::step_of(&entry.record).and_then(|step| self.plan.steps.get(step));
        match (&entry.record, planned) {
            (Record::StepStarted { .. }, Some(planned)) => {
                if planned.phase.is_down() && self.down_since.is_none() {
                    self.down_since = Some(Instant::now());
                }
                self.doing.clear();
                self.show(&planned.says);
            }
            (Record::RunEnded { .. } | Record::Interrupted | Record::RunHeld { .. }, _) => {
                self.bar.finish_and_clear()
            }
            _ => {}
        }
        if self.phase == Some(Phase::Confirm) {
            self.down_since = None;
        }
    }

    fn progress(&mut self, progress: &Progress) {
        if self.doing != progress.doing {
            self.doing.clone_from(&progress.doing);
            self.begun = Instant::now();
        }
        self.show(&format!("{}{}", progress_words(progress), left(progress, self.begun.elapsed())));
    }
}

/// How long it will take at the rate so far; said only once there is a rate.
fn left(progress: &Progress, elapsed: Duration) -> String {
    match progress.total {
        Some(total)
            if progress.unit != Unit::Seconds && progress.done > 0 && elapsed > Duration::from_secs(1) =>
        {
            let whole = millis(elapsed).saturating_mul(total) / progress.done;
            format!(", about {} left", words::duration(whole.saturating_sub(millis(elapsed))))
        }
        _ => String::new(),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
