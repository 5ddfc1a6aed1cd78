//! The real program, killed at random moments, those in the middle of a copy included.

use super::shops::{End, Ends, Shops, Template};
use crate::chance::{Chance, cases, seed};
use crate::kill_moments::{each, kill_at};
use crate::program::start;
use crate::server::Server;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;
use switchback_labs::cluster::Durability;

/// Enough for a copy to take a good part of a run.
pub const ROWS: u32 = 9_000;
/// How long that copy takes, at the most.
pub const COPYING: Duration = Duration::from_millis(600);

#[test]
fn killed_at_any_moment_a_postgres_run_is_resumed_or_rolled_back() {
    let seed = seed("a PostgreSQL run killed at random moments");
    let template = Template::of(Server::start(Durability::None), ROWS);
    let (ends, span) = template.reference();
    let met = Mutex::new(BTreeMap::<String, u32>::new());
    each(cases(5), 2, |case| {
        let lab = template.copy();
        let (mut chance, how) = (Chance::of(seed, case), format!("seed {seed}, case {case}"));
        let (at, end) = kill_and_finish(&lab, &ends, span, &mut chance, &how);
        let mut met = met.lock().unwrap();
        *met.entry(format!("in {at}")).or_default() += 1;
        *met.entry(format!("{end:?}")).or_default() += 1;
    });
    say("our process killed", &met.into_inner().unwrap());
}

/// Kills an upgrade at a random moment, now and then what takes it up as well, and looks where it ends. Returns what the first
/// kill met.
fn kill_and_finish(
    lab: &Shops<'_>,
    ends: &Ends,
    span: Duration,
    chance: &mut Chance,
    how: &str,
) -> (String, End) {
    let verb = if chance.below(2) == 0 { "resume" } else { "rollback" };
    let mut child = start(&mut lab.apply());
    // Two of three in the middle of a copy, or soon after one.
    let moment = if chance.below(3) == 0 { chance.moment(span) } else { chance.moment(COPYING) };
    let aimed = moment < COPYING;
    if aimed {
        lab.wait_for_a_copy(&mut child);
    }
    std::thread::sleep(moment);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    let mut how =
        format!("{how}: apply killed {moment:?} into {} ({status})", if aimed { "a copy" } else { "it" });
    let met = lab.in_flight().unwrap_or_else(|| "no step".to_owned());
    while chance.below(4) == 0 {
        let words: &[&str] = if verb == "rollback" { &["rollback", "--yes"] } else { &["resume"] };
        how = format!("{how}, {}", kill_at(&mut lab.verb(words), verb, chance.moment(span / 2)));
    }
    let end = lab.finish(ends, verb, &format!("{how}, then {verb}"));
    (met, end)
}

/// Says what the kills met, for whoever asks for output.
#[allow(clippy::print_stdout)]
pub fn say(what: &str, met: &BTreeMap<String, u32>) {
    println!("crash: {what}: {met:?}");
}
