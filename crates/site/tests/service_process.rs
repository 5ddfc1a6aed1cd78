//! Services that are programs: found again whatever happened to who started them.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use switchback_site::service::{
    Launch, Outcome, ProcessSpec, Service, ServiceError, ServiceSpec, State, Which,
};
use switchback_site::{Failure, Faults, Halt, Tell};

fn launch(argv: &[&str]) -> Launch {
    Launch { argv: argv.iter().map(|&word| word.to_owned()).collect(), cwd: None, env: BTreeMap::new() }
}

/// A shell that runs until it is ended; the folder's name makes its arguments unlike those of any other test.
fn sleeper(folder: &Path, script: &str) -> Launch {
    launch(&["sh", "-c", script, folder.to_str().unwrap()])
}

fn spec(old: Launch, new: Option<Launch>) -> ProcessSpec {
    ProcessSpec { old, new, pid_file: None, grace: 10 }
}

fn service(spec: &ProcessSpec, folder: &Path) -> Box<dyn Service> {
    ServiceSpec::Process(spec.clone()).service("svc", folder, folder)
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what} never came");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn recorded_pid(folder: &Path) -> i32 {
    let text = fs::read_to_string(folder.join("svc.service")).unwrap();
    text.lines().find_map(|line| line.strip_prefix("pid ")).unwrap().parse().unwrap()
}

fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

const FOREVER: &str = "while :; do sleep 1000; done";

#[test]
fn start_and_stop_can_be_repeated_and_know_the_version() {
    let folder = tempfile::tempdir().unwrap();
    let tell = Tell::quiet();
    let new = sleeper(folder.path(), "echo new; while :; do sleep 1001; done");
    let spec = spec(sleeper(folder.path(), FOREVER), Some(new));
    let it = service(&spec, folder.path());

    assert_eq!(it.state().unwrap(), State::Stopped);
    assert_eq!(it.stop(&tell).unwrap(), Outcome::Already);
    assert_eq!(it.start(Which::Old, &tell).unwrap(), Outcome::Done);
    let pid = recorded_pid(folder.path());
    assert_eq!(it.start(Which::Old, &tell).unwrap(), Outcome::Already, "a double start is one process");
    assert_eq!(recorded_pid(folder.path()), pid);
    assert_eq!(it.state().unwrap(), State::Running(Some(Which::Old)));
    let other = it.start(Which::New, &tell);
    assert!(matches!(other, Err(ServiceError::OtherRuns { wanted: Which::New, running: Which::Old })));
    // Another life of switchback finds it by its record alone.
    let again = service(&spec, folder.path());
    assert_eq!(again.stop(&tell).unwrap(), Outcome::Done);
    assert!(!lives(pid));
    assert_eq!(again.state().unwrap(), State::Stopped);
    assert_eq!(again.start(Which::New, &tell).unwrap(), Outcome::Done);
    assert_eq!(it.state().unwrap(), State::Running(Some(Which::New)));
    let log = folder.path().join("svc.log");
    wait_for("output", || fs::read_to_string(&log).unwrap() == "new\n");
    assert_eq!(it.stop(&tell).unwrap(), Outcome::Done);
}

#[test]
fn a_service_that_ignores_sigterm_is_killed_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let script = "trap '' TERM; (while :; do sleep 1000; done) & echo up; while :; do sleep 1000; done";
    let mut spec = spec(sleeper(folder.path(), script), None);
    spec.grace = 0;
    let it = service(&spec, folder.path());
    it.start(Which::Old, &Tell::quiet()).unwrap();
    wait_for("output", || fs::read_to_string(folder.path().join("svc.log")).unwrap() == "up\n");
    assert_eq!(it.stop(&Tell::quiet()).unwrap(), Outcome::Done);
    assert_eq!(it.state().unwrap(), State::Stopped);
}

#[test]
fn a_child_that_left_the_group_is_found_by_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let script = "setsid sh -c 'echo $$; while :; do sleep 1000; done' & sleep 1000 & wait $!";
    let spec = spec(sleeper(folder.path(), script), None);
    let it = service(&spec, folder.path());
    it.start(Which::Old, &Tell::quiet()).unwrap();
    let log = folder.path().join("svc.log");
    wait_for("output", || fs::read_to_string(&log).unwrap().ends_with('\n'));
    let stray: i32 = fs::read_to_string(&log).unwrap().trim().parse().unwrap();
    // The leader dies by itself; the stray is still the service.
    let leader = recorded_pid(folder.path());
    Command::new("kill").args(["-9", &leader.to_string()]).status().unwrap();
    wait_for("death", || !lives(leader));
    assert_eq!(it.state().unwrap(), State::Running(Some(Which::Old)));
    assert_eq!(it.stop(&Tell::quiet()).unwrap(), Outcome::Done);
    assert!(!lives(stray));
}

#[test]
fn a_daemon_that_closed_the_descriptor_is_found_by_its_record() {
    let folder = tempfile::tempdir().unwrap();
    let script = "for fd in 3 4 5 6 7 8 9; do eval \"exec $fd>&-\"; done; echo closed; exec sleep 1000";
    // A shell can only name the descriptors up to 9, and ours may be higher: bash can close any.
    let bash = script.replace("3 4 5 6 7 8 9", "$(ls /proc/$$/fd)").replace("eval", "[ $fd -gt 2 ] && eval");
    let spec = spec(launch(&["bash", "-c", &bash, folder.path().to_str().unwrap()]), None);
    let it = service(&spec, folder.path());
    it.start(Which::Old, &Tell::quiet()).unwrap();
    wait_for("output", || fs::read_to_string(folder.path().join("svc.log")).unwrap().contains("closed"));
    let record = fs::File::open(folder.path().join("svc.service")).unwrap();
    record.try_lock_shared().unwrap();
    drop(record);
    assert_eq!(it.state().unwrap(), State::Running(Some(Which::Old)));
    assert_eq!(it.stop(&Tell::quiet()).unwrap(), Outcome::Done);
    assert_eq!(it.state().unwrap(), State::Stopped);
}

#[test]
fn a_cut_anywhere_in_start_and_stop_leaves_something_the_repeat_understands() {
    for at in 1.. {
        let folder = tempfile::tempdir().unwrap();
        let spec = spec(sleeper(folder.path(), FOREVER), None);
        let it = service(&spec, folder.path());
        let tell = Tell::with_faults(Arc::new(Faults::cut(at)));
        let done = it.start(Which::Old, &tell).and_then(|_| it.stop(&tell));
        if let Err(error) = &done {
            assert_eq!(error.halt(), Some(Halt::Cut), "{error}");
        }
        let outcome = it.start(Which::Old, &Tell::quiet()).unwrap();
        let state = it.state().unwrap();
        assert_eq!(state, State::Running(Some(Which::Old)), "cut at {at}: {outcome:?}");
        it.stop(&Tell::quiet()).unwrap();
        assert_eq!(it.state().unwrap(), State::Stopped);
        if done.is_ok() {
            assert!(at > 6);
            break;
        }
    }
}

#[test]
fn a_start_after_an_interrupted_stop_does_not_trust_the_dying_service() {
    let folder = tempfile::tempdir().unwrap();
    let script = "trap 'sleep 0.2; exit' TERM; echo up; while :; do sleep 0.01; done";
    let spec = spec(sleeper(folder.path(), script), None);
    let it = service(&spec, folder.path());
    it.start(Which::Old, &Tell::quiet()).unwrap();
    wait_for("output", || fs::read_to_string(folder.path().join("svc.log")).unwrap() == "up\n");
    let dying = recorded_pid(folder.path());
    // The fourth point of a stop is the one after SIGTERM.
    let error = it.stop(&Tell::with_faults(Arc::new(Faults::cut(4)))).unwrap_err();
    assert_eq!(error.halt(), Some(Halt::Cut));
    assert_eq!(it.start(Which::Old, &Tell::quiet()).unwrap(), Outcome::Done);
    assert!(!lives(dying));
    assert_ne!(recorded_pid(folder.path()), dying);
    assert_eq!(it.start(Which::Old, &Tell::quiet()).unwrap(), Outcome::Already);
    it.stop(&Tell::quiet()).unwrap();
}

#[test]
fn a_service_outlives_the_death_of_who_started_it_and_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "start_and_hang", "--ignored"])
        .env("SWITCHBACK_TEST_FOLDER", folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("start", || folder.path().join("started").exists());
    parent.kill().unwrap();
    parent.wait().unwrap();
    let it = service(&spec(sleeper(folder.path(), FOREVER), None), folder.path());
    assert_eq!(it.state().unwrap(), State::Running(Some(Which::Old)));
    let pid = recorded_pid(folder.path());
    let environ = fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    assert!(!environ.contains("SWITCHBACK_TEST_FOLDER"), "our own variables are not passed on");
    assert_eq!(it.stop(&Tell::quiet()).unwrap(), Outcome::Done);
    assert!(!lives(pid));
}

#[test]
#[ignore = "run by a_service_outlives_the_death_of_who_started_it_and_is_found"]
fn start_and_hang() {
    let Some(folder) = std::env::var_os("SWITCHBACK_TEST_FOLDER") else { return };
    let folder = Path::new(&folder);
    let it = service(&spec(sleeper(folder, FOREVER), None), folder);
    it.start(Which::Old, &Tell::quiet()).unwrap();
    fs::write(folder.join("started"), "").unwrap();
    std::thread::sleep(Duration::from_secs(600));
}

#[test]
fn records_of_the_dead_and_of_strangers_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let it = service(&spec(sleeper(folder.path(), FOREVER), None), folder.path());
    let record = folder.path().join("svc.service");
    let me = std::process::id();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    // The number was given to another process since: ours, which must survive.
    fs::write(
        &record,
        format!("switchback-service 1\nwhich old\nboot {}\npid {me}\nstart 1\nend\n", boot.trim()),
    )
    .unwrap();
    assert_eq!(it.state().unwrap(), State::Stopped);
    assert_eq!(it.stop(&Tell::quiet()).unwrap(), Outcome::Already);
    fs::write(&record, "4242\n").unwrap();
    assert!(matches!(it.state().unwrap(), State::Unknown(_)));
    assert!(matches!(it.start(Which::Old, &Tell::quiet()), Err(ServiceError::Unknown(_))));
    assert_eq!(fs::read_to_string(&record).unwrap(), "4242\n", "what is not ours is not touched");
}

#[test]
fn a_service_that_a_person_started_is_found_by_its_pid_file_and_stopped_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("app.pid");
    let old = sleeper(folder.path(), FOREVER);
    // A shell gives each job a group of its own.
    let mut person = Command::new(&old.argv[0]);
    person.args(&old.argv[1..]).stdout(Stdio::null()).process_group(0);
    let mut person = person.spawn().unwrap();
    let mut spec = spec(old, Some(sleeper(folder.path(), "while :; do sleep 1001; done")));
    let it = service(&spec, folder.path());
    wait_for("exec", || matches!(it.state().unwrap(), State::Unknown(_)));

    spec.pid_file = Some(pid_file.clone());
    let it = service(&spec, folder.path());
    fs::write(&pid_file, format!("{}\n", person.id())).unwrap();
    assert_eq!(it.state().unwrap(), State::Running(Some(Which::Old)));
    assert_eq!(it.start(Which::Old, &Tell::quiet()).unwrap(), Outcome::Already);
    // The person's shell reaps it.
    let reaper = std::thread::spawn(move || person.wait().unwrap());
    assert_eq!(it.stop(&Tell::quiet()).unwrap(), Outcome::Done);
    reaper.join().unwrap();
    assert_eq!(it.state().unwrap(), State::Stopped, "the pid file of a dead process");

    fs::write(&pid_file, std::process::id().to_string()).unwrap();
    let State::Unknown(why) = it.state().unwrap() else { panic!("a stranger was taken for the service") };
    assert!(why.contains("another program"), "{why}");
    fs::write(&pid_file, "\u{0}-1").unwrap();
    assert!(matches!(it.state().unwrap(), State::Unknown(_)));
}

#[test]
fn a_program_that_cannot_be_started_leaves_the_service_stopped() {
    let folder = tempfile::tempdir().unwrap();
    for argv in [&["/nonexistent/program"][..], &["a\u{0}b"], &[]] {
        let it = service(&spec(launch(argv), None), folder.path());
        it.start(Which::Old, &Tell::quiet()).unwrap_err();
        assert_eq!(it.state().unwrap(), State::Stopped);
    }
}

#[test]
fn the_spec_is_plain_data() {
    let folder = Path::new("/x");
    let spec = ServiceSpec::Process(spec(sleeper(folder, FOREVER), None));
    let text = serde_json::to_string(&spec).unwrap();
    assert_eq!(serde_json::from_str::<ServiceSpec>(&text).unwrap(), spec);
    assert_eq!(serde_json::from_str::<ServiceSpec>("\"none\"").unwrap(), ServiceSpec::None);
    assert!(serde_json::from_str::<ServiceSpec>(r#"{"command": {"begin": []}}"#).is_err());
    let none = ServiceSpec::None.service("web", folder, folder);
    assert!(matches!(none.state().unwrap(), State::Unknown(_)));
    assert!(matches!(none.stop(&Tell::quiet()).unwrap(), Outcome::Person(text) if text.contains("`web`")));
}
