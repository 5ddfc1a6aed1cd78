//! The small old installation, out of process: the real program builds it, upgrades it, and is killed at it.

#![allow(dead_code)]

use crate::ends::{End, Ends};
use crate::lab::{LOSSES, PROGRAM, free_port, site_file, stand_ins, wait_until_it_listens};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use switchback_engine::state_dir::StateDir;
use switchback_site::Tell;
use switchback_site::service::{Service, ServiceSpec, Which};

/// An installation whose old release runs, built by `switchback demo --build-only`.
pub struct Installation {
    /// The database.
    pub database: PathBuf,
    /// The site file.
    pub site: PathBuf,
    /// The state folder.
    pub state: StateDir,
    /// The service, for looking at it and for stopping it at the end.
    pub service: Box<dyn Service>,
    /// Where the service answers.
    pub port: u16,
    _folder: tempfile::TempDir,
}

/// What a run of the program came to.
#[derive(Debug)]
pub struct Ran {
    /// How it ended.
    pub status: ExitStatus,
    /// What it said, both streams.
    pub text: String,
}

impl Ran {
    /// Its exit code, if it was not killed.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Returns whether SIGKILL ended it.
    pub fn was_killed(&self) -> bool {
        self.status.signal() == Some(9)
    }
}

impl Installation {
    /// The small lab.
    pub fn small() -> Installation {
        let folder = tempfile::tempdir().unwrap();
        let built = run(Command::new(PROGRAM).args(["demo", "--build-only", "--dir"]).arg(folder.path()));
        assert!(built.status.success(), "{}", built.text);
        Installation::started_in(folder)
    }

    /// Writes a site file for the database in this folder, and starts the old release over it.
    pub fn started_in(folder: tempfile::TempDir) -> Installation {
        let (database, port) = (folder.path().join("data/backups.db"), free_port());
        let spec = stand_ins(&database, port);
        let site = folder.path().join("site.yaml");
        std::fs::write(&site, site_file(&database, port, &spec)).unwrap();
        let state = StateDir::at(folder.path().join(".switchback"));
        state.make().unwrap();
        std::fs::create_dir_all(state.logs()).unwrap();
        let service = ServiceSpec::Process(spec).service("app", &state.services(), &state.logs());
        service.start(Which::Old, &Tell::quiet()).unwrap();
        wait_until_it_listens(port);
        Installation { database, site, state, service, port, _folder: folder }
    }

    /// A verb, ready to be run on this site.
    pub fn verb(&self, words: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(words).arg("--site").arg(&self.site).env_remove("SWITCHBACK_FAULT");
        command
    }

    /// `apply`, with everything accepted.
    pub fn apply(&self) -> Command {
        let [one, other] = LOSSES;
        self.verb(&["apply", "--yes", "--accept", one, "--accept", other])
    }

    /// Runs a verb to its end.
    pub fn run(&self, words: &[&str]) -> Ran {
        run(&mut self.verb(words))
    }

    /// Runs `resume` or `rollback` to its end and looks whether that is the legal one. A program that was killed before
    /// its run was on record leaves nothing to take up: then the site must be as before, and open for another `apply`.
    pub fn finish(&self, ends: &Ends, verb: &str, how: &str) {
        let words: &[&str] = if verb == "rollback" { &["rollback", "--yes"] } else { &["resume"] };
        let was_over = self.state.latest().unwrap().is_some_and(|(_, entries)| {
            matches!(
                entries.last().map(|entry| &entry.record),
                Some(switchback_model::record::Record::RunEnded { .. })
            )
        });
        let ran = self.run(words);
        let wanted = match (ran.code(), verb) {
            (Some(0), "rollback") => End::Before,
            (Some(0), _) => End::After,
            (Some(2), _) if ran.text.contains("[R040]") && was_over => End::After,
            (Some(2), _) if ran.text.contains("[R040]") || ran.text.contains("[R041]") => {
                let again = run(&mut self.apply());
                assert_eq!(
                    again.code(),
                    Some(0),
                    "{how}: {}: nothing stands in the way: {}",
                    ran.text,
                    again.text
                );
                End::After
            }
            _ => panic!("{how}: {:?}: {}", ran.status, ran.text),
        };
        self.assert(ends, wanted, how);
    }

    /// Fails unless the site is in that state.
    pub fn assert(&self, ends: &Ends, wanted: End, how: &str) {
        ends.assert(wanted, &self.database, self.service.as_ref(), self.port, how);
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        let _ = self.service.stop(&Tell::quiet());
    }
}

/// Runs a command to its end, with nobody to ask.
pub fn run(command: &mut Command) -> Ran {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ran { status: output.status, text }
}

/// Starts a command that nobody listens to.
pub fn start(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}
