//! Durations measured by rehearsals.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Milliseconds by the name of the step, as the last rehearsal of this site measured them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings(BTreeMap<String, u64>);

impl Timings {
    /// Milliseconds that the step took, if it was rehearsed.
    pub fn of(&self, step: &str) -> Option<u64> {
        self.0.get(step).copied()
    }

    /// Adds to what the step took.
    pub fn add(&mut self, step: &str, ms: u64) {
        *self.0.entry(step.to_owned()).or_default() += ms;
    }
}
