//! The real program, struck at fault points: killed, cut off, or with a disk that is full, on its way up and on its way back.

use super::site::{End, Ends, Site};
use crate::chance::{Chance, seed, soak};
use crate::kill_points::AT_A_TIME;
use crate::program::run;
use std::sync::atomic::{AtomicU64, Ordering};

/// CI strikes at one point of so many, others each time; a soak at each of them, in as many ways as it says: of all blows
/// with all ways out there are six on the way up.
const ONE_OF: u64 = 48;
const BLOWS: [&str; 3] = ["kill", "cut", "full"];

#[test]
fn struck_at_any_fault_point_it_is_resumed_or_rolled_back() {
    let (ends, seed) = (Ends::reference(), seed("fault points of a run over HTTP"));
    let points = everywhere(seed, &["resume", "rollback"], |at, blow, verb| {
        let site = Site::new();
        let how = format!("{blow} at fault point {at}");
        let ran = run(site.verb(&["apply", "--yes"]).env("SWITCHBACK_FAULT", format!("{blow}@{at}")));
        match ran.code() {
            Some(0) => {
                site.assert(ends, End::After, &how);
                return blow == "full";
            }
            // A disk that is full for a moment: the run went back by itself, or was refused before it began.
            Some(20 | 11) => site.assert(ends, End::Before, &format!("{how}: {}", ran.text)),
            _ => {
                let stopped = ["cut off at a fault point", "simulated"];
                let struck = ran.was_killed() || stopped.iter().any(|words| ran.text.contains(words));
                assert!(struck, "{how}: {}", ran.text);
                site.finish(ends, verb, &format!("{how}, then {verb}: {}", ran.text));
            }
        }
        let twice = site.sent_twice(1);
        assert!(twice.is_empty(), "{how}, then {verb}: sent twice: {twice:?}");
        true
    });
    assert!(points > 150, "a run passes {points} fault points");
}

#[test]
fn struck_on_its_way_back_it_still_comes_back() {
    let (ends, seed) = (Ends::reference(), seed("fault points of a way back over HTTP"));
    let points = everywhere(seed, &["rollback"], |at, blow, verb| {
        let site = Site::new();
        let ran = run(&mut site.verb(&["apply", "--yes"]));
        assert_eq!(ran.code(), Some(0), "{}", ran.text);
        let back = ["rollback", "--yes"];
        let ran = run(site.verb(&back).env("SWITCHBACK_FAULT", format!("{blow}@{at}")));
        let how = format!("rolled back, {blow} at fault point {at} of that: {}", ran.text);
        if ran.code() == Some(0) {
            site.assert(ends, End::Before, &how);
            return blow == "full";
        }
        site.finish(ends, verb, &how);
        true
    });
    assert!(points > 50, "a way back passes {points} fault points");
}

/// Strikes at points until one is behind the end, by chance with one of the blows and ways out, or with more in a soak.
/// Returns about how many points there are.
fn everywhere(seed: u64, verbs: &[&str], strike: impl Fn(u64, &str, &str) -> bool + Sync) -> u64 {
    let mut chance = Chance::of(seed, 0);
    let all = soak();
    let (first, step) = if all.is_some() { (1, 1) } else { (1 + chance.below(ONE_OF), ONE_OF) };
    let (next, over) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let at = first + step * next.fetch_add(1, Ordering::Relaxed);
                    if at >= over.load(Ordering::Relaxed) {
                        return;
                    }
                    let mut chance = Chance::of(seed, at);
                    let mut ways: Vec<(&str, &str)> =
                        BLOWS.iter().flat_map(|blow| verbs.iter().map(|verb| (*blow, *verb))).collect();
                    let first = chance.below(ways.len() as u64) as usize;
                    ways.rotate_left(first);
                    ways.truncate(all.unwrap_or(1) as usize);
                    if !ways.into_iter().all(|(blow, verb)| strike(at, blow, verb)) {
                        over.fetch_min(at, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let points = over.load(Ordering::Relaxed) - 1;
    crate::alone::print_lines(&format!("crash: about {points} fault points"));
    points
}
