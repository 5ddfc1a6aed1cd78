//! Commands, and services behind commands.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use switchback_site::command::{Command, CommandError, Exit, run};
use switchback_site::lock::{FolderLock, LockError};
use switchback_site::service::{CommandSpec, Outcome, Service, ServiceError, ServiceSpec, State, Which};
use switchback_site::{Failure, Faults, Halt, Tell};

fn sh(script: &str) -> Command {
    Command { argv: vec!["sh".into(), "-c".into(), script.into()], ..Command::default() }
}

#[test]
fn a_command_gets_its_input_environment_and_folder_and_its_outputs_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = sh("cat; echo \"$WORD\" >&2; pwd; exit 3");
    command.stdin = Some(vec![b'x'; 300_000]);
    command.env.insert("WORD".into(), "se cret\n".into());
    command.cwd = Some(folder.path().to_owned());
    assert!(!format!("{command:?}").contains("se cret"));
    let ran = run(&command, folder.path(), "step 1/a", &Tell::quiet()).unwrap();
    assert_eq!(ran.exit, Exit::Code(3));
    assert_eq!(ran.stderr.tail, b"se cret\n\n");
    assert_eq!(ran.stdout.len, 300_000 + folder.path().as_os_str().len() as u64 + 1);
    assert_eq!(ran.stdout.tail.len(), 64 * 1024);
    assert_eq!(ran.stdout.read(3).unwrap(), b"xxx");
    assert!(!ran.left_running);
    // A repeat appends to the log, and its output begins where it began.
    let ran = run(&sh("echo again"), folder.path(), "step 1/a", &Tell::quiet()).unwrap();
    assert_eq!((ran.stdout.tail.as_slice(), ran.stdout.len), (&b"again\n"[..], 6));
    assert_eq!(ran.stdout.read(100).unwrap(), b"again\n");
}

#[test]
fn a_command_inherits_only_what_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let lock = FolderLock::take(folder.path()).unwrap();
    let list = "for fd in /proc/self/fd/*; do readlink $fd; done | grep -v ^/proc | grep -v pipe:; exit 0";
    let logs = tempfile::tempdir().unwrap();
    let without = run(&sh(list), logs.path(), "without", &Tell::quiet()).unwrap();
    let shown = String::from_utf8_lossy(&without.stdout.tail).into_owned();
    assert!(!shown.contains(folder.path().to_str().unwrap()), "{shown}");

    // What is left running in the background holds the lock.
    let mut command = sh("sleep 1000 >/dev/null 2>&1 & echo $!");
    command.inherit.push(lock.pass_on().unwrap());
    drop(lock);
    let ran = run(&command, logs.path(), "with", &Tell::quiet()).unwrap();
    drop(command);
    assert!(ran.left_running);
    assert!(matches!(FolderLock::take(folder.path()), Err(LockError::Held { .. })));
    let pid = String::from_utf8(ran.stdout.tail).unwrap();
    std::process::Command::new("kill").arg(pid.trim()).status().unwrap();
    let began = Instant::now();
    while FolderLock::take(folder.path()).is_err() {
        assert!(began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_command_that_takes_too_long_is_ended_with_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = sh("sleep 1000 & echo $!; wait");
    command.timeout = Some(Duration::from_millis(300));
    let error = run(&command, folder.path(), "slow", &Tell::quiet()).unwrap_err();
    assert!(matches!(error, CommandError::Timeout { .. }), "{error}");
    let child = fs::read_to_string(folder.path().join("slow.out")).unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z"), "{stat}");
}

#[test]
fn an_interruption_ends_the_command_and_a_cut_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let stop = Arc::new(AtomicBool::new(true));
    let tell = Tell::new(Arc::new(|_| ()), stop.clone(), Arc::new(Faults::none()));
    let error = run(&sh("sleep 1000"), folder.path(), "long", &tell).unwrap_err();
    assert_eq!(error.halt(), Some(Halt::Interrupted));
    stop.store(false, Ordering::Relaxed);

    let cut = Tell::with_faults(Arc::new(Faults::cut(2)));
    let error = run(&sh("true"), folder.path(), "cut", &cut);
    assert_eq!(error.unwrap_err().halt(), Some(Halt::Cut));
}

#[test]
fn what_cannot_be_started_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let text = |argv: &[&str]| {
        let argv = argv.iter().map(|&word| word.to_owned()).collect();
        let command = Command { argv, ..Command::default() };
        run(&command, folder.path(), "x", &Tell::quiet()).unwrap_err().to_string()
    };
    assert!(text(&["/nonexistent"]).starts_with("start /nonexistent: No such file"));
    assert!(text(&["a\u{0}b"]).starts_with("start a\\u{0}b: "));
    assert!(text(&[]).contains("empty"));
    assert!(switchback_site::command::exists("sh") && !switchback_site::command::exists("no such program"));
}

/// A supervisor that keeps its state in a file.
fn supervised(folder: &Path, start: &str, stop: &str) -> Box<dyn Service> {
    let command = |script: &str| {
        vec!["sh".to_owned(), "-c".to_owned(), script.to_owned(), folder.to_str().unwrap().to_owned()]
    };
    let spec = CommandSpec {
        start: command(start),
        stop: command(stop),
        status: command("if [ -e $0/odd ]; then exit 4; elif [ -e $0/up ]; then exit 0; else exit 3; fi"),
        start_old: Some(command("echo old >$0/up")),
        rehearse: None,
        grace: 0,
    };
    ServiceSpec::Command(spec).service("web", folder, folder)
}

#[test]
fn a_supervised_service_is_believed_by_its_status_only() {
    let folder = tempfile::tempdir().unwrap();
    let tell = Tell::quiet();
    let it = supervised(folder.path(), "echo new >$0/up", "rm $0/up");
    assert_eq!(it.state().unwrap(), State::Stopped);
    assert_eq!(it.start(Which::New, &tell).unwrap(), Outcome::Done);
    assert_eq!(it.start(Which::New, &tell).unwrap(), Outcome::Already);
    assert_eq!(fs::read_to_string(folder.path().join("up")).unwrap(), "new\n");
    assert_eq!(it.stop(&tell).unwrap(), Outcome::Done);
    assert_eq!(it.stop(&tell).unwrap(), Outcome::Already);
    it.start(Which::Old, &tell).unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("up")).unwrap(), "old\n");

    let liar = supervised(folder.path(), "exit 0", "echo 'no rights' >&2; exit 0");
    let error = liar.stop(&tell).unwrap_err();
    assert!(matches!(error, ServiceError::NoEffect { action: "stop", .. }));
    assert!(error.to_string().ends_with("its last words: no rights"), "{error}");
    fs::write(folder.path().join("odd"), "").unwrap();
    assert!(matches!(liar.state().unwrap(), State::Unknown(_)));
    assert!(matches!(liar.stop(&tell), Err(ServiceError::Unknown(_))));
}
