//! The real program, killed at fault points: before and after every effect and every line of the journal.

use super::shops::{Ends, Template};
use crate::chance::{Chance, seed, soak};
use crate::program::run;
use crate::server::Server;
use std::sync::atomic::{AtomicU64, Ordering};
use switchback_labs::cluster::Durability;

/// CI strikes at one point of so many, another one each time.
const ONE_OF: u64 = 24;

#[test]
fn killed_at_any_fault_point_a_postgres_run_is_resumed_or_rolled_back() {
    let template = Template::of(Server::start(Durability::None), 200);
    let (ends, _) = template.reference();
    let seed = seed("fault points of a PostgreSQL run");
    let mut chance = Chance::of(seed, 0);
    let (first, step) = if soak().is_some() { (1, 1) } else { (1 + chance.below(ONE_OF), ONE_OF) };
    let (next, over) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let at = first + step * next.fetch_add(1, Ordering::Relaxed);
                    if at >= over.load(Ordering::Relaxed) {
                        return;
                    }
                    if !killed_at(&template, &ends, at, &mut Chance::of(seed, at)) {
                        over.fetch_min(at, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let points = over.load(Ordering::Relaxed) - 1;
    assert!(points > 100, "a run passes {points} fault points");
}

/// Kills one run at this fault point, or cuts its connections there, and takes it up; says whether the run has that many.
fn killed_at(template: &Template, ends: &Ends, at: u64, chance: &mut Chance) -> bool {
    let lab = template.copy();
    // A cut closes what is open in order, as a dying network would; a kill leaves it to the server to notice.
    let blow = if chance.below(4) == 0 { "cut" } else { "kill" };
    let ran = run(lab.apply().env("SWITCHBACK_FAULT", format!("{blow}@{at}")));
    if ran.code() == Some(0) {
        return false;
    }
    assert!(ran.was_killed() || ran.text.contains("cut off at a fault point"), "{blow}@{at}: {}", ran.text);
    let verb = if chance.below(2) == 0 { "resume" } else { "rollback" };
    lab.finish(ends, verb, &format!("{blow} at fault point {at}, then {verb}"));
    true
}
