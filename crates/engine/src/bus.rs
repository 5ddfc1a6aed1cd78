//! The bus: durable records and disposable progress on their way to the views.

use std::sync::{Arc, Mutex, PoisonError};
use switchback_model::record::Entry;
use switchback_model::run::RunState;
use switchback_site::{Progress, tell::Sink};

/// Someone who watches a run. A view has no way to stop one: its methods return nothing, and a panic in them is its own.
pub trait View: Send {
    /// A record was appended; `state` has it folded in.
    fn entry(&mut self, entry: &Entry, state: &RunState);
    /// Work goes on.
    fn progress(&mut self, progress: &Progress);
}

/// Hands everything to every view.
#[derive(Clone, Default)]
pub struct Bus {
    views: Arc<Mutex<Vec<Box<dyn View>>>>,
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bus")
    }
}

impl Bus {
    /// A bus with these views.
    pub fn new(views: Vec<Box<dyn View>>) -> Bus {
        Bus { views: Arc::new(Mutex::new(views)) }
    }

    /// Shows a record to every view.
    pub fn entry(&self, entry: &Entry, state: &RunState) {
        self.each(|view| view.entry(entry, state));
    }

    /// Returns where a step's progress goes.
    pub fn sink(&self) -> Sink {
        let bus = self.clone();
        Arc::new(move |progress| bus.each(|view| view.progress(&progress)))
    }

    fn each(&self, mut show: impl FnMut(&mut dyn View)) {
        let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        // A view that panics is dropped; the run does not care.
        views.retain_mut(|view| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| show(view.as_mut()))).is_ok()
        });
    }
}
