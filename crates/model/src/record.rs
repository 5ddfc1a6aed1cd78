//! The durable facts of a run: one line of the journal each.

use crate::digest::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// How a run or a rollback ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every step stands; writers are in.
    Upgraded,
    /// Every step was undone; the site is as before.
    RolledBack,
    /// An undo failed or met foreign hands: a person is needed.
    Stuck,
    /// A check failed past the commit point: a person decides.
    Held,
}

/// Why a run turned round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum Turn {
    /// The step failed before the commit point.
    StepFailed {
        /// Position of the step in the plan.
        step: usize,
    },
    /// The step failed past the commit point, and the stores were found as they were at the end of `prove`.
    NothingWritten {
        /// Position of the step in the plan.
        step: usize,
    },
    /// An operator asked for it.
    Asked {
        /// What was accepted to be lost, as it was shown.
        losing: Vec<String>,
    },
    /// A signal came, and the run was told to go back on one.
    Interrupted,
}

/// What went wrong with a step, in words for the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Stable code, such as `R007`.
    pub code: String,
    /// What was attempted, on what, and why it failed.
    pub message: String,
    /// Further lines: rows, names, output of commands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Trouble {
    /// What is wrong, as a sentence without a full stop. Only the words of something that did not work (R001) fit after
    /// "cannot"; those of a state that was found (a conflict, an unwanted answer) stand by themselves.
    pub fn headline(&self) -> String {
        match self.code.as_str() {
            "R001" => format!("cannot {}", self.message),
            _ => self.message.clone(),
        }
    }
}

/// One fact of a run. Appended and synced before the move that it announces.
///
/// A step is named by its position in the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Record {
    /// The run exists. Always the first record, and only the first.
    RunStarted {
        /// Name of the run.
        run: String,
        /// Digest of the plan that is carried out.
        plan: Digest,
        /// What was accepted by name: losses, risks, steps without a way back.
        accepted: Vec<String>,
        /// Whether the targets are scratch copies.
        rehearsal: bool,
    },
    /// A process took the run up: the first one, or one that resumes.
    LifeStarted {
        /// Version of the engine.
        engine: String,
        /// Who started the process, as `user@host`.
        by: String,
        /// Process id.
        pid: u32,
    },
    /// The step is about to have effects; `before` is what its undo needs.
    StepStarted {
        /// Position in the plan.
        step: usize,
        /// The before-image.
        before: Value,
    },
    /// The step's effect was read back.
    StepFinished {
        /// Position in the plan.
        step: usize,
        /// What the step measured.
        seen: Value,
        /// Duration of this life's part of the step, in milliseconds.
        took_ms: u64,
    },
    /// The step's effect was already there, or its check held: nothing was done.
    StepFound {
        /// Position in the plan.
        step: usize,
        /// What the check saw.
        seen: Value,
    },
    /// The step did not reach its effect.
    StepFailed {
        /// Position in the plan.
        step: usize,
        /// What went wrong.
        trouble: Trouble,
    },
    /// Everything before `thaw` stands and is proven. From here on writers may come in.
    CommitPassed {
        /// Fingerprint of every database and file at this moment.
        stores: BTreeMap<String, Value>,
    },
    /// A step failed past the commit point, and a person decides.
    RunHeld {
        /// Position in the plan.
        step: usize,
        /// What speaks against going back by itself.
        reason: String,
    },
    /// A person accepted a failed check and takes the run on.
    FailureAccepted {
        /// Position in the plan.
        step: usize,
        /// Who, as `user@host`.
        by: String,
    },
    /// A failed step of a held run is tried again.
    StepRetried {
        /// Position in the plan.
        step: usize,
    },
    /// The run turns round: every step that began is undone, last first.
    RollbackStarted {
        /// Why.
        turn: Turn,
    },
    /// On the way back a person gave up what others have written: a restore may go over it.
    WritesGivenUp,
    /// The step's effect is gone, and that was read back.
    StepUndone {
        /// Position in the plan.
        step: usize,
        /// Duration in milliseconds.
        took_ms: u64,
    },
    /// The step's effect could not be taken back.
    UndoFailed {
        /// Position in the plan.
        step: usize,
        /// What went wrong.
        trouble: Trouble,
    },
    /// A signal stopped this life; the run stays open.
    Interrupted,
    /// The run is closed: nothing of it is left in the site but what the plan says.
    RunEnded {
        /// How.
        outcome: Outcome,
    },
    /// What was kept for the way back is gone.
    Finalized {
        /// Who, as `user@host`.
        by: String,
    },
}

/// A record with its place in the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Position, from 0; order is this, never time.
    pub seq: u64,
    /// Wall-clock time, RFC 3339 in UTC; a step's `$now` is that of its `StepStarted`.
    pub at: String,
    /// Milliseconds since the process that wrote it began, from a clock that never jumps; durations are taken from this.
    pub up_ms: u64,
    /// The fact.
    #[serde(flatten)]
    pub record: Record,
}
