//! The row that says "this is in", in whatever database it lies.

use serde::{Deserialize, Serialize};

/// One row: a step of a run whose effect is in this database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRow {
    /// The run.
    pub run: String,
    /// The step of it.
    pub step: String,
    /// When the step started, as the journal has it.
    pub at: String,
    /// The run directory, so that a lost one can be asked for by name.
    pub state_dir: String,
    /// What the step wants to remember, such as a cursor.
    pub note: String,
}

/// What a sweep of the ledger found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swept {
    /// There was no ledger.
    Absent,
    /// It held our rows only and is gone.
    Dropped,
    /// Our rows are gone; so many rows of other runs keep it.
    Kept(u64),
}
