//! The next move of a run, from the plan's phases and the folded journal alone. No I/O, no clock.

use crate::phase::Phase;
use crate::record::Outcome;
use crate::run::{RunState, StepState};

/// What the loop does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// Look at a step that nobody has begun; begin it if there is something to do.
    Begin(usize),
    /// Bring a begun step to its end, whether it is fresh or was cut off last time.
    Advance(usize),
    /// Prove that the stores stand and journal the commit point.
    PassCommit,
    /// A step failed past the commit point: look whether anything was written since, then go back or hold.
    Judge(usize),
    /// Turn round because this step failed.
    TurnRound(usize),
    /// Take this step's effect back.
    Undo(usize),
    /// Take our marks out of the site and close the run.
    Close(Outcome),
    /// There is nothing left to do in this life.
    Stop(Outcome),
}

/// Decides. Total: every state that the fold can produce has a move, and every chain of moves ends.
pub fn decide(phases: &[Phase], state: &RunState) -> Move {
    if let Some(outcome) = state.ended {
        return Move::Stop(outcome);
    }
    if state.turn.is_some() { go_back(state) } else { go_on(phases, state) }
}

fn go_on(phases: &[Phase], state: &RunState) -> Move {
    if state.held.is_some() {
        return Move::Stop(Outcome::Held);
    }
    for (i, step) in state.steps.iter().enumerate() {
        let committed = state.committed.is_some();
        match step {
            done if done.is_done() => continue,
            StepState::Failed(..) if committed => return Move::Judge(i),
            StepState::Failed(..) => return Move::TurnRound(i),
            _ if !committed && phases[i].needs_commit() => return Move::PassCommit,
            StepState::Waiting => return Move::Begin(i),
            _ => return Move::Advance(i),
        }
    }
    if state.committed.is_none() { Move::PassCommit } else { Move::Close(Outcome::Upgraded) }
}

fn go_back(state: &RunState) -> Move {
    for (i, step) in state.steps.iter().enumerate().rev() {
        match step {
            StepState::Stuck(..) => return Move::Stop(Outcome::Stuck),
            step if step.before().is_some() => return Move::Undo(i),
            _ => continue,
        }
    }
    Move::Close(Outcome::RolledBack)
}
