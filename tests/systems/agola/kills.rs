//! Killed at random moments, switchback itself or a service: upgraded with everything there, or as before to the byte;
//! maintenance is on in neither, and nothing of the other generation runs.

use super::{Everything, Installation, Options, every};
use crate::chance::{Chance, cases, seed};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Child;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use switchback_engine::state_dir::StateDir;
use switchback_labs::agola::{Component, SERVED};
use switchback_model::run::{RunState, StepState};
use switchback_site::Tell;
use switchback_site::service::{State, Which};

/// How many cases CI has of each.
const USUAL: u64 = 4;
/// How long an apply takes here, roughly.
const SPAN: Duration = Duration::from_millis(6000);
/// How far behind the beginning of a step a moment may be.
const SOON: Duration = Duration::from_millis(80);

/// `AGOLA_KILLS=320` runs so many, as `SWITCHBACK_SOAK` does.
fn count() -> u64 {
    std::env::var("AGOLA_KILLS").map_or_else(|_| cases(USUAL), |text| text.parse().unwrap())
}

#[test]
fn killed_at_any_moment_it_ends_upgraded_or_as_before() {
    let seed = seed("agola, switchback killed");
    let met = Met::default();
    every(count(), |case| {
        let mut chance = Chance::of(seed, case);
        let site = Installation::of(&Options::default());
        let before = site.everything();
        let mut child = apply(&site);
        wait_for_a_moment(&site, &mut child, &mut chance);
        child.kill().unwrap();
        let killed = child.wait().unwrap().code().is_none();
        let verb: &[&str] = if chance.below(2) == 0 { &["resume"] } else { &["rollback", "--yes"] };
        let at = at(&site);
        let mut how = format!("seed {seed}, case {case}, killed {killed} {at}, {verb:?}");
        let mut kills = u32::from(killed);
        if chance.below(3) == 0 && site.journal().is_some() {
            let mut again = site.spawn(verb);
            std::thread::sleep(chance.moment(SPAN / 3));
            again.kill().unwrap();
            if again.wait().unwrap().code().is_none() {
                how += &format!(", which was killed too {}", self::at(&site));
                kills += 1;
            }
        }
        let ran = site.run(verb);
        how += &format!(": {}\n{}", ran.code, ran.said());
        // Before its first record there is nothing to take up, and a run that is over is not taken up again.
        let begun = site.journal().is_some_and(|text| text.contains('\n'));
        assert!(ran.code == 0 || !begun || site.journal().unwrap().contains("\"run-ended\""), "{how}");
        let ended = end(&site, &before, &how);
        met.note("kills of switchback", kills);
        met.note(&format!("{at}, {}, ended {ended}", verb[0]), 1);
    });
    met.say("switchback killed");
}

#[test]
fn a_service_that_is_killed_at_any_moment_leaves_no_half() {
    let seed = seed("agola, a service killed");
    let met = Met::default();
    every(count(), |case| {
        let mut chance = Chance::of(seed, case);
        let site = Installation::of(&Options::default());
        let before = site.everything();
        let component = [Component::Runservice, Component::Configstore][chance.below(2) as usize];
        let mut child = apply(&site);
        wait_for_a_moment(&site, &mut child, &mut chance);
        let at = at(&site);
        let killed = kill_service(&site, component);
        let code = child.wait().unwrap().code();
        let mut how = format!(
            "seed {seed}, case {case}, {}, killed {killed:?} {at}, apply ended with {code:?}",
            component.name()
        );
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
        } else if matches!(site.service(component).state(), Ok(State::Stopped)) {
            let which = if code == Some(0) { Which::New } else { Which::Old };
            site.service(component).start(which, &Tell::quiet()).unwrap();
        }
        let ended = end(&site, &before, &how);
        met.note("kills of a service", u32::from(killed.is_some()));
        let who = if killed.is_some() { component.name() } else { "nobody ran" };
        met.note(&format!("{at}, {who}, apply {}, ended {ended}", code.unwrap_or(-1)), 1);
    });
    met.say("a service killed");
}

/// What the kills met and how it ended, counted.
#[derive(Default)]
struct Met(Mutex<BTreeMap<String, u32>>);

impl Met {
    fn note(&self, what: &str, count: u32) {
        *self.0.lock().unwrap().entry(what.to_owned()).or_default() += count;
    }

    /// For whoever asks for output.
    #[allow(clippy::print_stdout)]
    fn say(&self, what: &str) {
        for (met, count) in self.0.lock().unwrap().iter() {
            println!("crash: agola, {what}: {count} × {met}");
        }
    }
}

/// Waits for a moment soon after a step has begun, so that short steps are met as well as long ones on any machine; now
/// and then for any moment from the start of the program on.
fn wait_for_a_moment(site: &Installation, child: &mut Child, chance: &mut Chance) {
    let behind = match chance.below(8) {
        0 => return std::thread::sleep(chance.moment(SPAN)),
        1..=4 => chance.moment(SOON),
        _ => chance.moment(SPAN / 8),
    };
    let plan = std::fs::read_to_string(site.path(".switchback/plan.json")).unwrap();
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let step = chance.below(plan["steps"].as_array().unwrap().len() as u64);
    let (found, started) = (format!("-found\",\"step\":{step},"), format!("-started\",\"step\":{step},"));
    let begun = || site.journal().is_some_and(|text| text.contains(&found) || text.contains(&started));
    while !begun() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::sleep(behind);
}

/// Where the last run is, as its journal has it.
fn at(site: &Installation) -> String {
    // While the program writes, a line may be half there.
    let Ok(Some((dir, entries))) = StateDir::at(site.path(".switchback")).latest() else {
        return "before a run".to_owned();
    };
    let plan = dir.plan().unwrap();
    let Ok(run) = RunState::fold(plan.steps.len(), entries.iter().map(|entry| &entry.record)) else {
        return "before a run".to_owned();
    };
    let way = if run.turn.is_some() { "on the way back in" } else { "in" };
    let begun = |step: &StepState| match run.turn {
        Some(_) => step.before().is_some(),
        None => matches!(step, StepState::Started(_)),
    };
    // A look that has no effect, and the preparation of a step, are before its first record.
    let next = || run.steps.iter().position(|step| matches!(step, StepState::Waiting));
    match (run.ended, run.steps.iter().rposition(begun)) {
        (Some(_), _) => "behind the end".to_owned(),
        (None, Some(step)) => format!("{way} {}", plan.steps[step].id),
        (None, None) => {
            next().map_or_else(|| "before the end".into(), |at| format!("before {}", plan.steps[at].id))
        }
    }
}

/// Kills what runs now as a service, and waits until it is gone; `None` where nothing runs.
fn kill_service(site: &Installation, component: Component) -> Option<i32> {
    let record = site.path(&format!(".switchback/services/{}.service", component.name()));
    let text = std::fs::read_to_string(record).unwrap_or_default();
    let pid: i32 = text.lines().find_map(|line| line.strip_prefix("pid "))?.parse().ok()?;
    // Only what runs now as this service is ours to kill, and a number may be another's by now.
    if matches!(site.service(component).state(), Ok(State::Stopped)) || !is_of(pid, &site.lab.dir) {
        return None;
    }
    // One that has just ended by itself was not killed.
    kill_process(Pid::from_raw(pid)?, Signal::KILL).ok()?;
    let clock = Instant::now();
    while is_of(pid, &site.lab.dir) {
        assert!(clock.elapsed() < Duration::from_secs(20), "{pid} was killed and is still there");
        std::thread::sleep(Duration::from_millis(1));
    }
    Some(pid)
}

/// Whether a process was started with a file of this folder. One that has ended has no words.
fn is_of(pid: i32, folder: &Path) -> bool {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).contains(&folder.display().to_string())
}

fn apply(site: &Installation) -> Child {
    let words = site.words_of_apply();
    site.spawn(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// One of the two ends, whichever the services say that it is.
fn end(site: &Installation, before: &Everything, how: &str) -> &'static str {
    let running = |which: Which| {
        SERVED.into_iter().all(|component| {
            matches!(site.service(component).state(),
                Ok(State::Running(Some(runs))) if runs == which)
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
    let (ended, complaints) = match (running(Which::Old), running(Which::New)) {
        (true, false) => ("as before", site.complaints_of_old(before)),
        (false, true) => ("upgraded", site.complaints_of_new()),
        _ => ("neither", super::states(site)),
    };
    assert!(complaints.is_empty(), "{how}: {complaints:#?}");
    ended
}
