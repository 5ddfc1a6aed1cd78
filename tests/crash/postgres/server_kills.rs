//! The server is killed with all its processes, now and then stopped in order, at random moments, and started again at once, after a while, or only when the
//! program has given up.

use super::kill_moments::{COPYING, ROWS, say};
use super::shops::{End, Template};
use crate::chance::{Chance, cases, seed};
use crate::program::run;
use crate::server::Server;
use std::collections::BTreeMap;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use switchback_labs::cluster::Durability;

#[test]
fn a_killed_server_is_waited_for_and_nothing_is_lost() {
    let seed = seed("a server killed under a run");
    let template = Template::of(Server::start(Durability::Full), ROWS);
    let (ends, span) = template.reference();
    let mut met = BTreeMap::<String, u32>::new();
    for case in 0..cases(3) {
        let lab = template.copy();
        let mut chance = Chance::of(seed, case);
        let (moment, away) =
            (chance.moment(span), Duration::from_millis([0, 0, 500, 2000][chance.below(4) as usize]));
        let in_order = chance.below(4) == 0;
        let done = if in_order { "stopped" } else { "killed" };
        let mut how = format!("seed {seed}, case {case}: server {done} after {moment:?}, for {away:?}");
        let mut child = begin(&mut lab.apply());
        if moment < COPYING {
            lab.wait_for_a_copy(&mut child);
        }
        std::thread::sleep(moment);
        let at = lab.in_flight();
        template.restart_server(in_order, away);
        // Now and then our own process dies in the middle of its wait, or of what comes after.
        let killed = chance.below(3) == 0;
        if killed {
            std::thread::sleep(chance.moment(span / 2));
        }
        let output = end(child, killed);
        let code = output.status.code();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        how = format!("{how}, {:?}: {text}", output.status);
        let found = match code {
            Some(0) => {
                lab.assert(&ends, End::After, &how);
                "went on"
            }
            // As before: after steps that were undone, or before the first of them.
            Some(20 | 11) => {
                lab.assert(&ends, End::Before, &how);
                "went back"
            }
            // Left open, or killed.
            Some(30) | None => {
                let verb = if chance.below(2) == 0 { "resume" } else { "rollback" };
                lab.finish(&ends, verb, &format!("{how}, then {verb}"));
                if killed { "killed as well" } else { "was left open" }
            }
            _ => panic!("{how}"),
        };
        *met.entry(format!("in {}", at.as_deref().unwrap_or("no step"))).or_default() += 1;
        *met.entry(found.to_owned()).or_default() += 1;
    }
    say("the server killed", &met);
}

fn begin(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn end(mut child: Child, kill: bool) -> Output {
    if kill {
        child.kill().unwrap();
    }
    child.wait_with_output().unwrap()
}

#[test]
fn a_server_that_stays_away_leaves_the_run_open() {
    let template = Template::of(Server::start(Durability::Full), 200);
    let (ends, span) = template.reference();
    // A run that was over before the server was away has not met it: another one may.
    let (lab, output) = std::iter::repeat_with(|| {
        let lab = template.copy();
        let mut child = begin(&mut lab.apply());
        while lab.in_flight().is_none_or(|kind| kind == "trial") && child.try_wait().unwrap().is_none() {
            std::thread::sleep(span / 100);
        }
        template.kill_server();
        (lab, end(child, false))
    })
    .take(5)
    .find(|(_, output)| {
        let over = output.status.success();
        if over {
            template.start_server();
        }
        !over
    })
    .expect("a run takes longer than to kill a server");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(30), "{text}");
    for words in
        ["[R005]", "a database server went away", "its log says why", "the run is open", "switchback resume"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    let again = run(&mut lab.verb(&["resume"]));
    assert_eq!(again.code(), Some(30), "{}", again.text);
    assert!(again.text.contains("the run is open"), "{}", again.text);
    template.start_server();
    lab.finish(&ends, "resume", "the server was away");
}
