//! The fault points of one step: between the record before it and its own last one lies all that it does.

use crate::lab::{Ended, Verb, live_seen};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use switchback_engine::Bus;
use switchback_engine::bus::View;
use switchback_engine::state_dir::StateDir;
use switchback_model::plan::Plan;
use switchback_model::record::{Entry, Outcome, Record};
use switchback_model::run::RunState;
use switchback_site::{Faults, Progress, Tell};

/// Runs a plan that nothing disturbs, and returns the numbers of the fault points of the step called `id`.
pub fn of(plan: &Plan, state: &StateDir, id: &str) -> RangeInclusive<u64> {
    let step = plan.position(id).unwrap_or_else(|| panic!("there is no step {id}"));
    let (faults, window) = (Arc::new(Faults::none()), Arc::new(Mutex::new(Window::default())));
    let view = Watch { step, faults: faults.clone(), window: window.clone() };
    let bus = Bus::new(vec![Box::new(view)]);
    assert_eq!(
        live_seen(plan, state, Verb::Up, Tell::with_faults(faults), bus),
        Ended::With(Outcome::Upgraded)
    );
    let window = window.lock().unwrap();
    let (first, last) = (window.before.expect("it began") + 1, window.last.expect("it ended"));
    assert!(last > first + 1, "{id} passes the fault points {first} to {last}");
    crate::alone::print_lines(&format!("crash: {id} passes the fault points {first} to {last}"));
    first..=last
}

#[derive(Default)]
struct Window {
    /// How many points were passed at the record before the step began, and at the step's last one.
    before: Option<u64>,
    last: Option<u64>,
    latest: u64,
}

struct Watch {
    step: usize,
    faults: Arc<Faults>,
    window: Arc<Mutex<Window>>,
}

impl View for Watch {
    fn entry(&mut self, entry: &Entry, _state: &RunState) {
        let (passed, mut window) = (self.faults.passed(), self.window.lock().unwrap());
        match entry.record {
            Record::StepStarted { step, .. } if step == self.step => window.before = Some(window.latest),
            Record::StepFinished { step, .. } if step == self.step => window.last = Some(passed),
            _ => {}
        }
        window.latest = passed;
    }

    fn progress(&mut self, _progress: &Progress) {}
}
