//! A signal at a random moment: the run stops where it can be resumed, or goes back when it was told to.

use crate::chance::{Chance, cases, seed};
use crate::ends::End;
use crate::kill_points::reference;
use crate::program::{Installation, run};
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A program that was asked to end before it had a run in hand ends by the signal itself.
fn ended_before_its_run(ran: &crate::program::Ran) -> bool {
    ran.code().is_none()
}

#[test]
fn a_signal_stops_the_run_where_it_can_be_resumed() {
    let (ends, seed) = (reference(), seed("signals"));
    let (span, mut stopped) = (span(), 0);
    for case in 0..cases(25) {
        let (lab, mut chance) = (Installation::small(), Chance::of(seed, case));
        let ran = signalled(&mut lab.apply(), &mut chance, span);
        let how = format!("seed {seed}, case {case}: {:?}: {}", ran.status, ran.text);
        match ran.code() {
            Some(0) => lab.assert(&ends, End::After, &how),
            Some(30) => {
                stopped += 1;
                assert_eq!(lab.run(&["status"]).code(), Some(30), "{how}");
                let verb = if chance.below(2) == 0 { "resume" } else { "rollback" };
                lab.finish(&ends, verb, &format!("{how}, then {verb}"));
            }
            _ if ended_before_its_run(&ran) => lab.finish(&ends, "resume", &how),
            _ => panic!("{how}"),
        }
    }
    assert!(stopped > 0, "some signals meet a run");
}

#[test]
fn a_signal_turns_the_run_round_when_it_was_told_to() {
    let (ends, seed) = (reference(), seed("signals that turn a run round"));
    let (span, mut turned) = (span(), 0);
    for case in 0..cases(25) {
        let (lab, mut chance) = (Installation::small(), Chance::of(seed, case));
        let ran = signalled(lab.apply().args(["--on-interrupt", "rollback"]), &mut chance, span);
        let how = format!("seed {seed}, case {case}: {:?}: {}", ran.status, ran.text);
        match ran.code() {
            Some(0) => lab.assert(&ends, End::After, &how),
            // As before: after steps that were undone, or before the first of them.
            Some(20 | 11) => {
                turned += 1;
                lab.assert(&ends, End::Before, &how);
            }
            // Past the commit point going back is not ours to decide.
            Some(30) => lab.finish(&ends, "resume", &how),
            _ if ended_before_its_run(&ran) => lab.finish(&ends, "resume", &how),
            _ => panic!("{how}"),
        }
    }
    assert!(turned > 0, "some signals meet a run before its commit point");
}

/// Runs a command that gets SIGTERM or SIGINT at a random moment.
fn signalled(command: &mut Command, chance: &mut Chance, span: Duration) -> crate::program::Ran {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(chance.moment(span));
    let signal = if chance.below(2) == 0 { Signal::TERM } else { Signal::INT };
    // It is our child and was not waited for, so the number is still its own.
    let _ = kill_process(Pid::from_child(&child), signal);
    let output = child.wait_with_output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    crate::program::Ran { status: output.status, text }
}

fn span() -> Duration {
    let lab = Installation::small();
    let began = Instant::now();
    assert_eq!(run(&mut lab.apply()).code(), Some(0));
    began.elapsed()
}
