//! `json`: the records as they are, one a line on standard output.

use crate::output::Output;
use switchback_engine::View;
use switchback_model::record::Entry;
use switchback_model::run::RunState;
use switchback_site::Progress;

/// The view.
pub struct Json {
    output: Output,
}

impl Json {
    /// Writes to `output`.
    pub fn new(output: Output) -> Json {
        Json { output }
    }
}

impl View for Json {
    fn entry(&mut self, entry: &Entry, _state: &RunState) {
        if let Ok(value) = serde_json::to_value(entry) {
            self.output.value(&value);
        }
    }

    /// Progress is no record: a machine that wants it asks `status`.
    fn progress(&mut self, _progress: &Progress) {}
}
