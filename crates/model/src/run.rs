//! The state of a run: a pure fold over its journal. Resume, status, views and report all read this.

use crate::record::{Outcome, Record, Trouble, Turn};
use serde_json::Value;
use std::collections::BTreeMap;

/// Where one step stands, by the journal alone.
#[derive(Debug, Clone, PartialEq)]
pub enum StepState {
    /// Nothing was begun.
    Waiting,
    /// Begun; its effect may be there in part. Carries the before-image.
    Started(Value),
    /// Its effect was read back. Carries the before-image.
    Finished(Value),
    /// There was nothing to do.
    Found,
    /// It did not reach its effect, of which a part may be there. Carries the before-image if it was begun.
    Failed(Option<Value>, Trouble),
    /// It failed, and a person took the run on regardless. Carries the before-image if it was begun.
    Accepted(Option<Value>),
    /// Its effect was taken back.
    Undone,
    /// Its effect could not be taken back. Carries the before-image.
    Stuck(Value, Trouble),
}

impl StepState {
    /// Returns the before-image of a step that may have effects in the world.
    pub fn before(&self) -> Option<&Value> {
        match self {
            StepState::Started(before) | StepState::Finished(before) | StepState::Stuck(before, _) => {
                Some(before)
            }
            StepState::Failed(before, _) | StepState::Accepted(before) => before.as_ref(),
            StepState::Waiting | StepState::Found | StepState::Undone => None,
        }
    }

    /// Returns whether the run may go past this step.
    pub fn is_done(&self) -> bool {
        matches!(self, StepState::Finished(_) | StepState::Found | StepState::Accepted(_))
    }

    /// Returns one word for people and machines.
    pub fn word(&self) -> &'static str {
        match self {
            StepState::Waiting => "waiting",
            StepState::Started(_) => "started",
            StepState::Finished(_) => "finished",
            StepState::Found => "found",
            StepState::Failed(..) => "failed",
            StepState::Accepted(_) => "accepted",
            StepState::Undone => "undone",
            StepState::Stuck(..) => "stuck",
        }
    }
}

/// A record that cannot follow the ones before it: the journal is not one that switchback wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{record} cannot follow: {state}")]
pub struct Illegal {
    /// The record.
    pub record: String,
    /// What it met.
    pub state: String,
}

/// What the journal says, folded.
#[derive(Debug, Clone, PartialEq)]
pub struct RunState {
    /// One state a step of the plan.
    pub steps: Vec<StepState>,
    /// Name of the run; empty before its first record.
    pub run: String,
    /// Why the run goes back, if it does.
    pub turn: Option<Turn>,
    /// Fingerprints of the stores at the commit point, once it was passed.
    pub committed: Option<BTreeMap<String, Value>>,
    /// The step that holds the run, with the reason.
    pub held: Option<(usize, String)>,
    /// How the run was closed, if it was.
    pub ended: Option<Outcome>,
    /// Whether what was kept for the way back is gone.
    pub finalized: bool,
    /// How many processes took the run up.
    pub lives: u32,
    /// Whether the last life ended by a signal.
    pub interrupted: bool,
    /// What was accepted by name when the run began.
    pub accepted: Vec<String>,
    /// Whether the targets are scratch copies.
    pub rehearsal: bool,
    /// Whether a person gave up what others have written, after the way back met it.
    pub losing_writes: bool,
}

impl RunState {
    /// The state of a run of `steps` steps before its first record.
    pub fn new(steps: usize) -> RunState {
        RunState {
            steps: vec![StepState::Waiting; steps],
            run: String::new(),
            turn: None,
            committed: None,
            held: None,
            ended: None,
            finalized: false,
            lives: 0,
            interrupted: false,
            accepted: Vec::new(),
            rehearsal: false,
            losing_writes: false,
        }
    }

    /// Folds `records` over a run of `steps` steps.
    pub fn fold<'a>(
        steps: usize,
        records: impl IntoIterator<Item = &'a Record>,
    ) -> Result<RunState, Illegal> {
        let mut state = RunState::new(steps);
        for record in records {
            state.apply(record)?;
        }
        Ok(state)
    }

    /// Takes one record in. On `Err` the state is unchanged.
    pub fn apply(&mut self, record: &Record) -> Result<(), Illegal> {
        let illegal = |state: String| Err(Illegal { record: name(record), state });
        if self.run.is_empty() != matches!(record, Record::RunStarted { .. }) {
            return illegal("a run starts once, and first".into());
        }
        if self.finalized {
            return illegal("the run is finalized".into());
        }
        if self.ended.is_some()
            && !matches!(
                record,
                Record::LifeStarted { .. } | Record::RollbackStarted { .. } | Record::Finalized { .. }
            )
        {
            return illegal("the run has ended".into());
        }
        match record {
            Record::RunStarted { run, accepted, rehearsal, .. } => {
                self.run = run.clone();
                self.accepted = accepted.clone();
                self.rehearsal = *rehearsal;
            }
            Record::LifeStarted { .. } => {
                self.lives += 1;
                self.interrupted = false;
                // A new life tries a stuck undo again: the world may have been mended.
                for step in &mut self.steps {
                    if let StepState::Stuck(before, _) = step {
                        *step = StepState::Started(std::mem::take(before));
                    }
                }
            }
            Record::CommitPassed { stores } => match (&self.turn, &self.committed) {
                (None, None) => self.committed = Some(stores.clone()),
                _ => return illegal("the commit point is passed once, on the way up".into()),
            },
            Record::RunHeld { step, reason } => match self.steps.get(*step) {
                Some(StepState::Failed(..)) if self.committed.is_some() && self.turn.is_none() => {
                    self.held = Some((*step, reason.clone()));
                }
                was => return illegal(format!("step {step} is {was:?}")),
            },
            Record::RollbackStarted { turn } => match (&self.turn, self.ended) {
                (Some(_), _) => return illegal("the run goes back already".into()),
                (None, Some(ended)) if ended != Outcome::Upgraded => {
                    return illegal(format!("the run ended as {ended:?}"));
                }
                (None, _) => {
                    self.turn = Some(turn.clone());
                    self.held = None;
                    self.ended = None;
                }
            },
            Record::WritesGivenUp => match self.turn {
                Some(_) => self.losing_writes = true,
                None => return illegal("the run does not go back".into()),
            },
            Record::Interrupted => self.interrupted = true,
            Record::RunEnded { outcome } => {
                let up = self.turn.is_none() && self.committed.is_some();
                let legal = match outcome {
                    Outcome::Upgraded => up && self.steps.iter().all(StepState::is_done),
                    Outcome::RolledBack => self.steps.iter().all(|step| step.before().is_none()),
                    // A run that is stuck or held is open: a person will take it on.
                    Outcome::Stuck | Outcome::Held => false,
                };
                if !legal {
                    return illegal(format!("the run has not come to that end ({outcome:?})"));
                }
                self.ended = Some(*outcome);
            }
            Record::Finalized { .. } => match self.ended {
                Some(_) => self.finalized = true,
                None => return illegal("the run is open".into()),
            },
            Record::StepStarted { .. }
            | Record::StepFinished { .. }
            | Record::StepFound { .. }
            | Record::StepFailed { .. }
            | Record::FailureAccepted { .. }
            | Record::StepRetried { .. }
            | Record::StepUndone { .. }
            | Record::UndoFailed { .. } => self.apply_to_step(record)?,
        }
        Ok(())
    }

    /// The legality of every step record, on one screen.
    fn apply_to_step(&mut self, record: &Record) -> Result<(), Illegal> {
        use StepState::{Accepted, Failed, Finished, Found, Started, Stuck, Undone, Waiting};
        let Some(step) = step_of(record) else { return Ok(()) };
        let Some(was) = self.steps.get(step).cloned() else {
            return Err(Illegal { record: name(record), state: format!("the plan has no step {step}") });
        };
        let back = self.turn.is_some();
        let next = match (record, was) {
            (Record::StepStarted { before, .. }, Waiting) if !back => Started(before.clone()),
            (Record::StepFound { .. }, Waiting) if !back => Found,
            (Record::StepFinished { .. }, Started(before)) if !back => Finished(before),
            (Record::StepFailed { trouble, .. }, Waiting) if !back => Failed(None, trouble.clone()),
            (Record::StepFailed { trouble, .. }, Started(before)) if !back => {
                Failed(Some(before), trouble.clone())
            }
            (Record::FailureAccepted { .. }, Failed(before, _)) if !back => {
                self.held = None;
                Accepted(before)
            }
            (Record::StepRetried { .. }, Failed(before, _)) if !back => {
                self.held = None;
                before.map_or(Waiting, Started)
            }
            (Record::StepUndone { .. }, Started(_) | Finished(_) | Failed(..) | Accepted(_)) if back => {
                Undone
            }
            (
                Record::UndoFailed { trouble, .. },
                Started(b) | Finished(b) | Failed(Some(b), _) | Accepted(Some(b)),
            ) if back => Stuck(b, trouble.clone()),
            (_, was) => {
                return Err(Illegal {
                    record: name(record),
                    state: format!("step {step} is {}", was.word()),
                });
            }
        };
        self.steps[step] = next;
        Ok(())
    }

    /// Returns whether the run still has to be taken to an end.
    pub fn is_open(&self) -> bool {
        !self.run.is_empty() && self.ended.is_none()
    }

    /// Returns whether the way back may go over what others have written: only when somebody was shown what that is.
    ///
    /// A run that turned round because nothing was written is not among them: its service ran on for a moment after
    /// that was seen.
    pub fn may_lose_writes(&self) -> bool {
        self.losing_writes || matches!(&self.turn, Some(Turn::Asked { losing }) if !losing.is_empty())
    }

    /// Returns the first step that failed and was not accepted, with its trouble.
    pub fn failure(&self) -> Option<(usize, &Trouble)> {
        self.steps.iter().enumerate().find_map(|(i, step)| match step {
            StepState::Failed(_, trouble) | StepState::Stuck(_, trouble) => Some((i, trouble)),
            _ => None,
        })
    }
}

/// Returns the step that a record speaks of.
pub fn step_of(record: &Record) -> Option<usize> {
    match record {
        Record::StepStarted { step, .. }
        | Record::StepFinished { step, .. }
        | Record::StepFound { step, .. }
        | Record::StepFailed { step, .. }
        | Record::RunHeld { step, .. }
        | Record::FailureAccepted { step, .. }
        | Record::StepRetried { step }
        | Record::StepUndone { step, .. }
        | Record::UndoFailed { step, .. } => Some(*step),
        _ => None,
    }
}

fn name(record: &Record) -> String {
    match serde_json::to_value(record) {
        Ok(Value::Object(map)) => map.get("record").and_then(Value::as_str).unwrap_or("a record").to_owned(),
        _ => "a record".to_owned(),
    }
}
