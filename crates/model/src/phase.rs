//! The phases of a plan.

use crate::choice;

choice! {
    /// Where a step stands in an upgrade. The order is the order of execution.
    pub enum Phase {
        /// Checks, downloads, building the new beside the old: the old system runs on.
        Prepare = "prepare",
        /// Writers out: downtime starts.
        Freeze = "freeze",
        /// Backup, schema, data, config: reversible.
        Change = "change",
        /// Reconciliation of the data, still frozen.
        Prove = "prove",
        /// Entrances opened: the commit point is before the first.
        Thaw = "thaw",
        /// Looking from outside.
        Confirm = "confirm",
    }
}

impl Phase {
    /// Returns whether steps of this phase run while writers are kept out.
    pub fn is_down(self) -> bool {
        matches!(self, Phase::Freeze | Phase::Change | Phase::Prove)
    }

    /// Returns whether the commit point must be passed before a step of this phase begins.
    pub fn needs_commit(self) -> bool {
        self >= Phase::Thaw
    }
}
