//! The real program, killed at every fault point: before and after every effect, every line of the journal included.

use crate::ends::{Content, End, Ends, exact};
use crate::program::{Installation, run};
use std::sync::atomic::{AtomicU64, Ordering};

/// How many installations are upgraded at a time: most of a run is waiting, for the disk and for the service.
pub const AT_A_TIME: usize = 6;

#[test]
fn killed_at_any_fault_point_it_is_resumed_or_rolled_back() {
    let ends = reference();
    let (next, over) = (AtomicU64::new(1), AtomicU64::new(u64::MAX));
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= over.load(Ordering::Relaxed) {
                        return;
                    }
                    if !killed_at(&ends, at) {
                        over.fetch_min(at, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let points = over.load(Ordering::Relaxed) - 1;
    assert!(points > 100, "a run passes {points} fault points");
}

/// The legal ends, from a run of the program that nothing disturbs.
pub fn reference() -> Ends {
    let lab = Installation::small();
    let before = exact(&lab.database);
    let ran = run(&mut lab.apply());
    assert_eq!(ran.code(), Some(0), "{}", ran.text);
    let ends = Ends { before, after: Content::of(&lab.database) };
    lab.assert(&ends, End::After, "a run that nothing disturbs");
    ends
}

/// Kills one run at this fault point, and takes it up; says whether the run has that many.
fn killed_at(ends: &Ends, at: u64) -> bool {
    let lab = Installation::small();
    let ran = run(lab.apply().env("SWITCHBACK_FAULT", format!("kill@{at}")));
    if !ran.was_killed() {
        assert_eq!(ran.code(), Some(0), "{}", ran.text);
        return false;
    }
    let verb = if at.is_multiple_of(2) { "resume" } else { "rollback" };
    lab.finish(ends, verb, &format!("killed at fault point {at}, then {verb}"));
    true
}
