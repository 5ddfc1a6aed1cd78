//! Killed at random moments, switchback itself or a service: upgraded with everything there, or as before to the byte;
//! maintenance is on in neither, and nothing of the other generation runs.

use super::{Installation, Options, every};
use crate::chance::{Chance, cases, seed};
use crate::support::kill;
use std::process::Child;
use std::time::{Duration, Instant};
use switchback_labs::agola::{Component, SERVED};
use switchback_site::Tell;
use switchback_site::service::Which;

/// How many cases CI has of each.
const USUAL: u64 = 4;
/// How long an apply takes here, roughly.
const SPAN: Duration = Duration::from_millis(6000);

/// `AGOLA_KILLS=320` runs so many, as `SWITCHBACK_SOAK` does.
fn count() -> u64 {
    std::env::var("AGOLA_KILLS").map_or_else(|_| cases(USUAL), |text| text.parse().unwrap())
}

#[test]
fn killed_at_any_moment_it_ends_upgraded_or_as_before() {
    let seed = seed("agola, switchback killed");
    every(count(), |case| {
        let mut chance = Chance::of(seed, case);
        let site = Installation::of(&Options::default());
        let before = site.everything();
        let mut child = apply(&site);
        std::thread::sleep(chance.moment(SPAN));
        child.kill().unwrap();
        child.wait().unwrap();
        let verb: &[&str] = if chance.below(2) == 0 { &["resume"] } else { &["rollback", "--yes"] };
        let mut how = format!("seed {seed}, case {case}, {verb:?}");
        if chance.below(3) == 0 && site.journal().is_some() {
            let mut again = site.spawn(verb);
            std::thread::sleep(chance.moment(SPAN / 3));
            again.kill().unwrap();
            again.wait().unwrap();
            how += ", which was killed too";
        }
        let ran = site.run(verb);
        how += &format!(": {}\n{}", ran.code, ran.said());
        // Before its first record there is nothing to take up, and a run that is over is not taken up again.
        let begun = site.journal().is_some_and(|text| text.contains('\n'));
        assert!(ran.code == 0 || !begun || site.journal().unwrap().contains("\"run-ended\""), "{how}");
        end(&site, &before, &how);
    });
}

#[test]
fn a_service_that_is_killed_at_any_moment_leaves_no_half() {
    let seed = seed("agola, a service killed");
    every(count(), |case| {
        let mut chance = Chance::of(seed, case);
        let site = Installation::of(&Options::default());
        let before = site.everything();
        let mut child = apply(&site);
        let component = [Component::Runservice, Component::Configstore][chance.below(2) as usize];
        let clock = Instant::now();
        std::thread::sleep(chance.moment(SPAN));
        let mut how = format!("seed {seed}, case {case}, {} at {:?}", component.name(), clock.elapsed());
        let record = site.path(&format!(".switchback/services/{}.service", component.name()));
        let text = std::fs::read_to_string(record).unwrap_or_default();
        let pid = text.lines().find_map(|line| line.strip_prefix("pid ")).and_then(|pid| pid.parse().ok());
        // Only what runs now as this service is ours to kill.
        let alive = !matches!(site.service(component).state(), Ok(switchback_site::service::State::Stopped));
        let killed = pid.filter(|_| alive).map(kill_if_there);
        let code = child.wait().unwrap().code();
        // What was killed may be seen for a moment yet.
        std::thread::sleep(Duration::from_millis(200));
        how += &format!(", killed {killed:?}, apply ended with {code:?}");
        // Whoever operates it starts again what was killed, and lets the run end.
        if site.journal().is_none() {
            // Killed before anything was begun: refused, and nothing is changed.
            assert_eq!(code, Some(11), "{how}");
            site.service(component).start(Which::Old, &Tell::quiet()).unwrap();
        } else if code != Some(0) && code != Some(20) {
            let which =
                if site.journal().unwrap().contains("commit-passed") { Which::New } else { Which::Old };
            let _ = site.service(component).start(which, &Tell::quiet());
            let ran = site.run(&["rollback", "--yes", "--losing-writes"]);
            how += &format!(", then {}\n{}", ran.code, ran.said());
            assert!(ran.code == 0, "{how}");
        } else if matches!(site.service(component).state(), Ok(switchback_site::service::State::Stopped)) {
            let which = if code == Some(0) { Which::New } else { Which::Old };
            site.service(component).start(which, &Tell::quiet()).unwrap();
        }
        end(&site, &before, &how);
    });
}

fn kill_if_there(pid: i32) -> i32 {
    if std::path::Path::new(&format!("/proc/{pid}")).exists() {
        kill(pid);
    }
    pid
}

fn apply(site: &Installation) -> Child {
    let words = site.words_of_apply();
    site.spawn(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// One of the two ends, whichever the services say that it is.
fn end(site: &Installation, before: &super::Everything, how: &str) {
    let running = |which: Which| {
        SERVED.into_iter().all(|component| {
            matches!(site.service(component).state(),
                Ok(switchback_site::service::State::Running(Some(runs))) if runs == which)
        })
    };
    let silent =
        || site.lab.ports.keys().filter(|it| site.ask(**it, "/api/v1alpha/version").is_none()).count();
    let clock = Instant::now();
    while silent() > 0 {
        let logs = site.path(".switchback/logs");
        let waits = clock.elapsed() < Duration::from_secs(30);
        assert!(waits, "{how}: not all answer: {:?}, {:?}", super::states(site), super::tails(&logs));
        std::thread::sleep(Duration::from_millis(10));
    }
    let complaints = match (running(Which::Old), running(Which::New)) {
        (true, false) => site.complaints_of_old(before),
        (false, true) => site.complaints_of_new(),
        _ => super::states(site),
    };
    assert!(complaints.is_empty(), "{how}: {complaints:#?}");
}
