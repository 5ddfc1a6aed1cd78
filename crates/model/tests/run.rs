//! The fold and the decision, in random worlds: whatever the world answers, the next move is known and the run ends.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;
use switchback_model::decide::{Move, decide};
use switchback_model::digest::Digest;
use switchback_model::phase::Phase;
use switchback_model::record::{Outcome, Record, Trouble, Turn};
use switchback_model::run::{RunState, StepState};

const PHASES: [Phase; 6] =
    [Phase::Prepare, Phase::Freeze, Phase::Change, Phase::Prove, Phase::Thaw, Phase::Confirm];

/// The phases of a plan of any shape, and what the world will answer, one number a question.
fn worlds() -> impl Strategy<Value = (Vec<Phase>, Vec<u8>)> {
    let phases = prop::collection::vec(0..PHASES.len(), 0..9).prop_map(|mut numbers| {
        numbers.sort_unstable();
        numbers.into_iter().map(|number| PHASES[number]).collect()
    });
    (phases, prop::collection::vec(any::<u8>(), 64))
}

fn trouble() -> Trouble {
    Trouble { code: "R001".into(), message: "it did not work".into(), details: vec![], help: None }
}

fn first_records(plan_steps: usize) -> (RunState, Vec<Record>) {
    let records = vec![
        Record::RunStarted {
            run: "run".into(),
            plan: Digest::of(b"plan"),
            accepted: vec![],
            rehearsal: false,
        },
        life(),
    ];
    (RunState::fold(plan_steps, &records).unwrap(), records)
}

fn life() -> Record {
    Record::LifeStarted { engine: "1".into(), by: "somebody@somewhere".into(), pid: 7 }
}

/// Every record with which the loop may answer a move.
fn answers(next: &Move, state: &RunState) -> Vec<Record> {
    match *next {
        Move::Begin(step) => vec![
            Record::StepStarted { step, before: json!({ "of": step }) },
            Record::StepFound { step, seen: json!(null) },
            Record::StepFailed { step, trouble: trouble() },
        ],
        Move::Advance(step) => vec![
            Record::StepFinished { step, seen: json!(null), took_ms: 1 },
            Record::StepFailed { step, trouble: trouble() },
        ],
        Move::PassCommit => {
            let mut answers = vec![Record::CommitPassed { stores: BTreeMap::new() }];
            let waiting = state.steps.iter().position(|step| *step == StepState::Waiting);
            answers.extend(waiting.map(|step| Record::StepFailed { step, trouble: trouble() }));
            answers
        }
        Move::Judge(step) => vec![
            Record::RollbackStarted { turn: Turn::NothingWritten { step } },
            Record::RunHeld { step, reason: "something was written".into() },
        ],
        Move::TurnRound(step) => vec![Record::RollbackStarted { turn: Turn::StepFailed { step } }],
        Move::Undo(step) => vec![
            Record::StepUndone { step, took_ms: 1 },
            Record::StepUndone { step, took_ms: 2 },
            Record::UndoFailed { step, trouble: trouble() },
        ],
        Move::Close(outcome) => vec![Record::RunEnded { outcome }],
        Move::Stop(_) => vec![],
    }
}

/// Every command that an operator may give when a life is over, as the records it appends.
fn commands(outcome: Outcome, state: &RunState) -> Vec<Vec<Record>> {
    let back = || Record::RollbackStarted { turn: Turn::Asked { losing: vec![] } };
    match outcome {
        Outcome::Held => {
            let step = state.held.as_ref().unwrap().0;
            vec![
                vec![life(), Record::StepRetried { step }],
                vec![life(), Record::FailureAccepted { step, by: "somebody".into() }],
                vec![life(), back()],
            ]
        }
        Outcome::Stuck => vec![vec![life()], vec![life(), Record::WritesGivenUp]],
        Outcome::Upgraded => vec![vec![life(), back()]],
        Outcome::RolledBack => vec![],
    }
}

/// Moves until there is no move left, and returns how it stopped.
fn live(
    phases: &[Phase],
    state: &mut RunState,
    journal: &mut Vec<Record>,
    answer: &mut dyn FnMut() -> usize,
) -> Outcome {
    // Each step is begun, ended and undone once, beside the commit, the judgement, the turn and the close.
    let bound = 3 * phases.len() + 6;
    for _ in 0..bound {
        let next = decide(phases, state);
        let Move::Stop(outcome) = next else {
            let legal = answers(&next, state);
            let record = legal[answer() % legal.len()].clone();
            state
                .apply(&record)
                .unwrap_or_else(|e| panic!("{next:?} is answered by what cannot follow: {e}"));
            journal.push(record);
            continue;
        };
        return outcome;
    }
    panic!("the run does not end within {bound} moves: {journal:#?}");
}

/// A whole story: lives, and what an operator says between them.
fn story(phases: &[Phase], numbers: &[u8]) -> (RunState, Vec<Record>, Vec<Outcome>) {
    let (mut state, mut journal) = first_records(phases.len());
    let mut numbers = numbers.iter().map(|number| usize::from(*number)).cycle();
    let mut outcomes = Vec::new();
    for _ in 0..6 {
        let outcome = live(phases, &mut state, &mut journal, &mut || numbers.next().unwrap());
        outcomes.push(outcome);
        let commands = commands(outcome, &state);
        let choice = numbers.next().unwrap();
        let Some(command) = commands.get(choice % commands.len().max(1)) else { break };
        for record in command {
            state.apply(record).unwrap();
            journal.push(record.clone());
        }
    }
    (state, journal, outcomes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_life_ends_and_the_way_back_ends_the_run((phases, numbers) in worlds()) {
        let (state, _, outcomes) = story(&phases, &numbers);
        prop_assert!(!outcomes.is_empty());
        if *outcomes.last().unwrap() == Outcome::RolledBack {
            prop_assert_eq!(decide(&phases, &state), Move::Stop(Outcome::RolledBack));
            for step in &state.steps {
                prop_assert!(step.before().is_none(), "{:?} may still have effects", step);
            }
        }
    }

    #[test]
    fn every_prefix_of_a_journal_folds_and_has_a_next_move((phases, numbers) in worlds()) {
        let (state, journal, _) = story(&phases, &numbers);
        for end in 0..=journal.len() {
            let prefix = RunState::fold(phases.len(), &journal[..end]).unwrap();
            decide(&phases, &prefix);
            if end == journal.len() {
                prop_assert_eq!(&prefix, &state);
            }
        }
    }

    #[test]
    fn started_steps_are_undone_last_first((phases, numbers) in worlds()) {
        let (_, journal, outcomes) = story(&phases, &numbers);
        let turn = journal.iter().position(|record| matches!(record, Record::RollbackStarted { .. }));
        let Some(turn) = turn else { return Ok(()) };
        let at_turn = RunState::fold(phases.len(), &journal[..turn]).unwrap();
        let undone: Vec<usize> = journal[turn..]
            .iter()
            .filter_map(|record| match record {
                Record::StepUndone { step, .. } => Some(*step),
                _ => None,
            })
            .collect();
        prop_assert!(undone.is_sorted_by(|one, next| one > next), "{:?}", undone);
        if outcomes.last() == Some(&Outcome::RolledBack) {
            let effects =
                (0..phases.len()).rev().filter(|step| at_turn.steps[*step].before().is_some()).collect::<Vec<_>>();
            prop_assert_eq!(undone, effects);
        }
    }

    #[test]
    fn no_step_beyond_the_commit_point_begins_before_it((phases, numbers) in worlds()) {
        let (_, journal, _) = story(&phases, &numbers);
        let commit = journal.iter().position(|record| matches!(record, Record::CommitPassed { .. }));
        for (at, record) in journal.iter().enumerate() {
            if let Record::StepStarted { step, .. } | Record::StepFound { step, .. } = record {
                prop_assert!(!phases[*step].needs_commit() || commit.is_some_and(|commit| commit < at));
            }
        }
    }

    #[test]
    fn a_life_that_dies_anywhere_is_taken_up_where_it_was(
        (phases, numbers) in worlds(),
        deaths in prop::collection::vec(0_usize..12, 0..5),
    ) {
        // The same world, once undisturbed and once with deaths: a death loses no record and adds none but its own.
        let mut numbers = numbers.iter().map(|number| usize::from(*number)).cycle();
        let (mut state, mut journal) = first_records(phases.len());
        for moves in deaths {
            for _ in 0..moves {
                let next = decide(&phases, &state);
                let legal = answers(&next, &state);
                if legal.is_empty() {
                    break;
                }
                let record = legal[numbers.next().unwrap() % legal.len()].clone();
                state.apply(&record).unwrap();
                journal.push(record);
            }
            let before = decide(&phases, &state);
            state.apply(&life()).unwrap();
            journal.push(life());
            if before != Move::Stop(Outcome::Stuck) {
                prop_assert_eq!(decide(&phases, &state), before);
            }
        }
        live(&phases, &mut state, &mut journal, &mut || numbers.next().unwrap());
    }

    #[test]
    fn a_record_that_cannot_follow_leaves_the_state_as_it_was(
        (phases, numbers) in worlds(),
        strange in any::<(u8, u8)>(),
        end in any::<prop::sample::Index>(),
    ) {
        let (_, journal, _) = story(&phases, &numbers);
        let mut state = RunState::fold(phases.len(), &journal[..=end.index(journal.len())]).unwrap();
        let step = usize::from(strange.1) % (phases.len() + 1);
        let records = [
            journal[0].clone(),
            Record::StepStarted { step, before: json!(null) },
            Record::StepFinished { step, seen: json!(null), took_ms: 0 },
            Record::StepFound { step, seen: json!(null) },
            Record::StepFailed { step, trouble: trouble() },
            Record::CommitPassed { stores: BTreeMap::new() },
            Record::RunHeld { step, reason: String::new() },
            Record::FailureAccepted { step, by: String::new() },
            Record::StepRetried { step },
            Record::RollbackStarted { turn: Turn::Interrupted },
            Record::WritesGivenUp,
            Record::StepUndone { step, took_ms: 0 },
            Record::UndoFailed { step, trouble: trouble() },
            Record::Finalized { by: String::new() },
        ];
        let before = state.clone();
        match state.apply(&records[usize::from(strange.0) % records.len()]) {
            Err(_) => prop_assert_eq!(state, before),
            // What is taken in leaves a state that has a move, whoever wrote it.
            Ok(()) => drop(decide(&phases, &state)),
        }
    }
}
