//! A fixture: what the laws need to know of a step kind.

use crate::bench::Bench;
use serde_json::Value;
use switchback_engine::Step;

/// One kind, in one situation.
pub struct Fixture {
    /// Its name, and that of its golden copy.
    pub name: &'static str,
    /// The kind that it stands for: the key in a playbook, or the name of an own step.
    pub kind: &'static str,
    /// Makes a fresh site with the step.
    pub fresh: fn() -> Bench,
    /// Whether the step has an effect; a question has none, and is answered as wanted on the fresh site.
    pub has_effect: bool,
    /// Reads a before-image back as its type and writes it again.
    pub reread: fn(Value) -> Result<Value, serde_json::Error>,
    /// States that a death inside an effect leaves, where no fault point can stand.
    pub halves: &'static [Hand],
    /// What somebody else does between `prepare` and `apply`.
    pub foreign_before: &'static [Hand],
    /// What somebody else does between `apply` and `undo`.
    pub foreign_after: &'static [Hand],
}

/// A change that no step makes: what it is, and how it is done.
pub type Hand = (&'static str, fn(&Bench));

impl Fixture {
    /// A step with an effect, and no half or foreign state that it could know.
    pub fn of<S: Step>(name: &'static str, fresh: fn() -> Bench) -> Fixture {
        Fixture {
            name,
            kind: S::KIND,
            fresh,
            has_effect: true,
            reread: |value| {
                let before: S::Before = serde_json::from_value(value)?;
                serde_json::to_value(before)
            },
            halves: &[],
            foreign_before: &[],
            foreign_after: &[],
        }
    }
}
