//! The order of artifacts in a plan: made once, and before anybody reads them.

use crate::step::AnyStep;
use std::collections::BTreeMap;

/// A step that reads what is not there, or makes what is there already.
pub(crate) struct Misplaced {
    /// Position of the step.
    pub step: usize,
    /// What is wrong.
    pub message: String,
    /// What mends it.
    pub help: String,
}

/// Finds the steps that read an artifact before it is made, or make one that was made.
pub(crate) fn misplaced<'a>(steps: impl Iterator<Item = &'a dyn AnyStep>) -> Vec<Misplaced> {
    let mut made: BTreeMap<String, &'static str> = BTreeMap::new();
    let mut found = Vec::new();
    for (step, one) in steps.enumerate() {
        for artifact in one.takes() {
            let label = artifact.label();
            if !made.contains_key(&label) {
                found.push(Misplaced {
                    step,
                    message: format!("`{}` reads {label}, and no step before it makes that", one.kind()),
                    help: "put the `fetch`, `transform` or `send` that makes it before this step".to_owned(),
                });
            }
        }
        for artifact in one.makes() {
            let label = artifact.label();
            if let Some(kind) = made.get(&label) {
                found.push(Misplaced {
                    step,
                    message: format!("`{}` makes {label}, which a `{kind}` before it has made", one.kind()),
                    help: "give each its own name under `artifacts:`".to_owned(),
                });
            }
            made.insert(label, one.kind());
        }
    }
    found
}
