//! `json`: the records as they are, one a line on standard output.

use crate::output::Output;
use switchback_engine::View;
use switchback_model::record::Entry;
use switchback_model::run::RunState;
use switchback_site::{Progress, Unit};

/// The view.
pub struct Json {
    output: Output,
    waiting: String,
}

impl Json {
    /// Writes to `output`.
    pub fn new(output: Output) -> Json {
        Json { output, waiting: String::new() }
    }
}

impl View for Json {
    fn entry(&mut self, entry: &Entry, _state: &RunState) {
        if let Ok(value) = serde_json::to_value(entry) {
            self.output.value(&value);
        }
    }

    /// Progress is no record: a machine that wants it asks `status`. But a wait may be for a person, who has to be told
    /// where people read.
    fn progress(&mut self, progress: &Progress) {
        if progress.unit == Unit::Seconds && progress.doing != self.waiting {
            self.waiting.clone_from(&progress.doing);
            self.output.say(&progress.doing);
        }
    }
}
