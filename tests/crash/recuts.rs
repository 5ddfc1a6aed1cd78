//! Runs that are cut again and again: no life comes far, and the damage of all of them adds up.

use crate::alone;
use crate::chance::{Chance, cases, seed, soak};
use crate::ends::Ends;
use crate::lab::{Ended, Lab, Verb};
use crate::script::{check_outcome, finish, reference};
use switchback_model::record::{Outcome, Record};
use switchback_site::Faults;

/// After how many fault points each life is cut.
const INTERVALS: [u64; 5] = [1, 3, 5, 9, 14];

/// The fault points that a life passes before its first move: those of its record and of the mark.
const BEGINNING: u64 = 8;

/// A life that comes no further than the one before gets more; one that got this many and came no further never will.
const PATIENCE: u64 = 400;

#[test]
fn a_run_cut_again_and_again_comes_to_its_end() {
    alone::run("recuts::a_run_cut_again_and_again_comes_to_its_end", |share| {
        let (ends, _) = reference();
        for (number, every) in INTERVALS.into_iter().enumerate().filter(|(number, _)| share.has(*number)) {
            let lab = Lab::small();
            limp(&lab, &ends, Verb::Up, every, &format!("{number}: up, cut every {every} points"));
        }
    });
}

#[test]
fn a_way_back_cut_again_and_again_comes_to_its_end() {
    alone::run("recuts::a_way_back_cut_again_and_again_comes_to_its_end", |share| {
        let (ends, _) = reference();
        for (number, every) in INTERVALS.into_iter().enumerate().filter(|(number, _)| share.has(*number)) {
            let lab = Lab::small();
            assert_eq!(lab.live(Verb::Up, Faults::none()), Ended::With(Outcome::Upgraded));
            limp(&lab, &ends, Verb::Back, every, &format!("{number}: back, cut every {every} points"));
        }
    });
}

#[test]
fn after_a_cut_at_any_point_further_cuts_do_no_harm() {
    alone::run("recuts::after_a_cut_at_any_point_further_cuts_do_no_harm", |share| {
        let (ends, points) = reference();
        // In CI each first cut is followed by one interval and one way out; a soak takes them all.
        let all = soak().is_some();
        for at in 1..=points {
            for (number, every) in INTERVALS.into_iter().enumerate().skip(1) {
                for verb in [Verb::Up, Verb::Back] {
                    let turn = at as usize % 8 == number * 2 - 2 + usize::from(verb == Verb::Up);
                    if !(all || turn) || !share.has(at as usize / 8) {
                        continue;
                    }
                    let lab = Lab::small();
                    assert_eq!(lab.live(Verb::Up, Faults::cut(at)), Ended::Cut);
                    limp(
                        &lab,
                        &ends,
                        verb,
                        every,
                        &format!("cut at {at}, then {verb:?}, cut every {every} points"),
                    );
                }
            }
        }
    });
}

#[test]
fn a_change_of_mind_between_cuts_does_no_harm() {
    alone::run("recuts::a_change_of_mind_between_cuts_does_no_harm", |share| {
        let ((ends, points), seed) = (reference(), seed("a change of mind"));
        for case in (0..cases(24)).filter(|case| share.has(*case as usize)) {
            let mut chance = Chance::of(seed, case);
            let lab = Lab::small();
            let mut how = format!("seed {seed}, case {case}:");
            for verb in [Verb::Up, Verb::Up, Verb::Back, Verb::Back] {
                let at = 1 + chance.below(points / 2);
                how = format!("{how} {verb:?} cut at {at},");
                match lab.live(verb, Faults::cut(at)) {
                    Ended::Cut | Ended::NoRun => {}
                    ended => check_outcome(&lab, &ends, &ended, &how),
                }
            }
            finish(&lab, &ends, Verb::Back, &how);
        }
    });
}

/// Brings a run to its end although every life is cut. A cut strikes after `every` points; a life that comes no further
/// than the one before it, by the journal, is followed by one that gets `every` more. So with an interval of 1 every
/// point of every move is cut in turn, within one run.
fn limp(lab: &Lab, ends: &Ends, verb: Verb, every: u64, how: &str) {
    let (mut allowance, mut came) = (every, moves(lab));
    loop {
        match lab.live(verb, Faults::cut(BEGINNING + allowance)) {
            Ended::Cut => {}
            Ended::With(_) | Ended::NoRun => break,
            ended => panic!("{how}: {ended:?}"),
        }
        let now = moves(lab);
        allowance = if now > came { every } else { allowance + every };
        came = now;
        assert!(allowance < PATIENCE, "{how}: it does not get past {:?}", lab.journal());
    }
    finish(lab, ends, verb, how);
}

/// How far a run has come: records that are not only those of one more life.
fn moves(lab: &Lab) -> usize {
    let Some((_, entries)) = lab.state.latest().unwrap() else { return 0 };
    entries.iter().filter(|entry| !matches!(entry.record, Record::LifeStarted { .. })).count()
}
