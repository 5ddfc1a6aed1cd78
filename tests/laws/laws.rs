//! The laws of a step, one function each.

use crate::bench::{Bench, calm};
use crate::fixture::Fixture;
use std::sync::Arc;
use std::time::{Duration, Instant};
use switchback_engine::step::Condition;
use switchback_engine::{Overlay, StepError};
use switchback_site::Faults;

/// No step has so many fault points; a loop that comes here does not end.
const MANY: u64 = 400;

/// 1. Describing, checking and previewing change nothing, before the step and after it.
pub fn look_without_touching(fixture: &Fixture) {
    let mut bench = (fixture.fresh)();
    look(&bench);
    bench.forward(calm()).unwrap();
    look(&bench);
}

fn look(bench: &Bench) {
    let (seen, stamps, held) = (bench.seen(), bench.stamps(), bench.held());
    let step = bench.last();
    assert!(!step.describe().is_empty() && !step.describe().ends_with('.'));
    assert!(!step.subject().is_empty());
    let _ = (step.touches(), step.reversal(), step.by_hand(&bench.site), step.not_rehearsed(&bench.site));
    bench.condition();
    // What cannot be done any more may be refused, but is not touched either.
    let _ = step.preview(&mut Overlay::new(&bench.site));
    assert_eq!(bench.seen(), seen);
    assert_eq!(bench.stamps(), stamps);
    assert_eq!(bench.held(), held);
}

/// 2. `check` does not say `Applied` of nothing or of a half, and says it of the whole. What it says of each cut is looked at
///    where law 4 goes on from there.
pub fn tell_the_truth(fixture: &Fixture) {
    let bench = (fixture.fresh)();
    assert_eq!(bench.condition().is_applied(), !fixture.has_effect, "fresh");
    let whole = applied(fixture);
    let condition = patient_condition(&whole);
    assert!(condition.is_applied(), "after apply: {condition:?}");
    if fixture.has_effect {
        assert_ne!((bench.seen(), bench.held()), (whole.seen(), whole.held()), "it has an effect");
    }
    for (what, half) in fixture.halves {
        let mut bench = (fixture.fresh)();
        bench.prepare();
        half(&bench);
        assert!(!bench.condition().is_applied(), "`check` takes a half for the whole: {what}");
    }
}

/// 3. From every cut inside `apply` the way back leads to the state that `prepare` saw.
pub fn lead_back_from_every_cut(fixture: &Fixture) {
    each_cut(fixture, |at, bench| {
        bench.back(calm()).unwrap_or_else(|e| panic!("cut at {at}: {e:?}"));
        assert_eq!(&bench.seen(), bench.origin(), "cut at {at}");
        assert_no_waste(bench);
    });
    for (what, half) in fixture.halves {
        let mut bench = (fixture.fresh)();
        bench.prepare();
        half(&bench);
        bench.back(calm()).unwrap_or_else(|e| panic!("{what}: {e:?}"));
        assert_eq!(&bench.seen(), bench.origin(), "{what}");
        assert_no_waste(&bench);
    }
}

/// 3. The way back may be cut as well, at every point, and leads back when it is taken up again.
pub fn lead_back_when_the_way_back_is_cut(fixture: &Fixture) {
    for at in 1..MANY {
        let bench = applied(fixture);
        let uncut = survived_cut(at, |faults| bench.back(faults));
        bench.back(calm()).unwrap_or_else(|e| panic!("cut at {at}: {e:?}"));
        assert_eq!(&bench.seen(), bench.origin(), "cut at {at}");
        assert_no_waste(&bench);
        if uncut {
            return;
        }
    }
    panic!("the way back does not end");
}

/// 4. From every cut `apply` finishes, and what it leaves is what an uncut one leaves. And 2: `check` takes none for the whole.
pub fn go_on_from_every_cut(fixture: &Fixture) {
    let whole = applied(fixture);
    each_cut(fixture, |at, bench| {
        if bench.condition().is_applied() {
            assert_eq!(bench.seen(), whole.seen(), "cut at {at}: `check` takes a half for the whole");
            assert_eq!(bench.held(), whole.held(), "cut at {at}: `check` takes a half for the whole");
        }
        bench.forward(calm()).unwrap_or_else(|e| panic!("cut at {at}: {e:?}"));
        assert_whole(bench, &whole, &format!("cut at {at}"));
    });
    for (what, half) in fixture.halves {
        let mut bench = (fixture.fresh)();
        bench.prepare();
        half(&bench);
        bench.forward(calm()).unwrap_or_else(|e| panic!("{what}: {e:?}"));
        assert_whole(&bench, &whole, what);
    }
}

/// 4. Cut in life after life, each `every` points later than the one before, it still ends; and so does the way back.
pub fn go_on_through_many_lives(fixture: &Fixture) {
    let whole = applied(fixture);
    for every in [1, 2, 3, 5] {
        let mut bench = (fixture.fresh)();
        let lives = (1..MANY).find(|life| survived_cut(life * every, |faults| bench.forward(faults)));
        assert!(lives.is_some(), "cut every {every} points, it does not end");
        assert_whole(&bench, &whole, &format!("cut every {every} points"));
        let lives = (1..MANY).find(|life| survived_cut(life * every, |faults| bench.back(faults)));
        assert!(lives.is_some(), "cut every {every} points, the way back does not end");
        assert_eq!(&bench.seen(), bench.origin(), "back, cut every {every} points");
    }
}

/// 5. Twice is once, in both directions: not even a file is written anew.
pub fn do_nothing_twice(fixture: &Fixture) {
    let bench = applied(fixture);
    let (seen, stamps) = (bench.seen(), bench.stamps());
    bench.apply().unwrap();
    assert_eq!((bench.seen(), bench.stamps()), (seen, stamps), "applied twice");
    assert!(bench.condition().is_applied());
    bench.back_twice(|bench, again| {
        let (seen, stamps) = (bench.seen(), bench.stamps());
        again();
        assert_eq!((bench.seen(), bench.stamps()), (seen, stamps), "undone twice");
    });
    assert_eq!(&bench.seen(), bench.origin());
}

/// 7. What somebody else did is neither overwritten nor built upon.
pub fn leave_foreign_work_alone(fixture: &Fixture) {
    for (what, hand) in fixture.foreign_before {
        let mut bench = (fixture.fresh)();
        bench.prepare();
        hand(&bench);
        let seen = bench.seen();
        refused(bench.apply(), what);
        assert_eq!(bench.seen(), seen, "{what}: apply changed something");
    }
    for (what, hand) in fixture.foreign_after {
        let bench = applied(fixture);
        hand(&bench);
        let seen = bench.seen();
        refused(bench.back(calm()), what);
        assert_eq!(bench.seen(), seen, "{what}: undo changed something");
    }
}

/// A disk that is full at any point, on either way, is an error that says so, and the way back is open.
pub fn survive_a_full_disk(fixture: &Fixture) {
    for at in 1..MANY {
        let mut bench = (fixture.fresh)();
        let enough = had_room(at, |faults| bench.forward(faults));
        bench.back(calm()).unwrap_or_else(|e| panic!("full at {at}: {e:?}"));
        assert_eq!(&bench.seen(), bench.origin(), "full at {at}");
        assert_no_waste(&bench);
        if enough {
            break;
        }
    }
    for at in 1..MANY {
        let bench = applied(fixture);
        let enough = had_room(at, |faults| bench.back(faults));
        bench.back(calm()).unwrap_or_else(|e| panic!("full at {at} of the way back: {e:?}"));
        assert_eq!(&bench.seen(), bench.origin(), "full at {at} of the way back");
        assert_no_waste(&bench);
        if enough {
            break;
        }
    }
}

fn applied(fixture: &Fixture) -> Bench {
    let mut bench = (fixture.fresh)();
    bench.forward(calm()).unwrap();
    bench
}

/// Cuts a fresh step at every fault point in turn.
fn each_cut(fixture: &Fixture, then: impl Fn(u64, &mut Bench)) {
    for at in 1..MANY {
        let mut bench = (fixture.fresh)();
        let uncut = survived_cut(at, |faults| bench.forward(faults));
        then(at, &mut bench);
        if uncut {
            return;
        }
    }
    panic!("it does not end");
}

/// Runs one life with a cut at its `at`-th fault point. Returns whether it came to its end before that; a life that goes
/// on after its cut, or ends for another reason, breaks the law.
fn survived_cut(at: u64, life: impl FnOnce(Arc<Faults>) -> Result<(), StepError>) -> bool {
    let faults = Arc::new(Faults::cut(at));
    let result = life(faults.clone());
    match (result, faults.passed() >= at) {
        (Ok(()), false) => true,
        (Err(StepError::Cut), true) => false,
        (result, _) => panic!("cut at {at}, it went on: {result:?}"),
    }
}

/// Runs one life with a disk that is full at its `at`-th fault point. Returns whether it never came there.
fn had_room(at: u64, life: impl FnOnce(Arc<Faults>) -> Result<(), StepError>) -> bool {
    let faults = Arc::new(Faults::full(at));
    match life(faults.clone()) {
        Ok(()) => {}
        Err(StepError::Failed(trouble)) => {
            let text = format!("{} {:?}", trouble.message, trouble.details);
            assert!(text.contains("no space left"), "full at {at}: {text}");
        }
        Err(other) => panic!("full at {at}: {other:?}"),
    }
    faults.passed() < at
}

fn refused(result: Result<(), StepError>, what: &str) {
    match result {
        Err(StepError::Failed(_) | StepError::Conflict(_)) => {}
        other => panic!("{what}: {other:?}"),
    }
}

/// A child of another test holds copies of this process's descriptors until its exec, and seems to be in our database for
/// that moment.
fn patient_condition(bench: &Bench) -> Condition {
    let began = Instant::now();
    loop {
        let condition = bench.condition();
        if condition.is_applied() || began.elapsed() > Duration::from_secs(5) {
            return condition;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn assert_whole(bench: &Bench, whole: &Bench, when: &str) {
    let condition = patient_condition(bench);
    assert!(condition.is_applied(), "{when}: {condition:?}");
    assert_eq!(bench.seen(), whole.seen(), "{when}");
    assert_eq!(bench.held(), whole.held(), "{when}");
}

/// What was begun and given up takes no room in the run's folder.
fn assert_no_waste(bench: &Bench) {
    let waste = |name: &String| name.contains(".partial") || name.contains(".trial");
    assert_eq!(bench.held().into_iter().filter(waste).collect::<Vec<_>>(), Vec::<String>::new());
}
