//! A service that is handled by the commands of its supervisor.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::error::ServiceError;
use super::spec::{CommandSpec, Outcome, Service, State, Which};
use crate::command::{self, Command, Exit, Ran};
use crate::tell::{Tell, Unit};

/// How long one look at the status may take.
const STATUS_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a command to start or stop may take, beside its grace.
const VERB_TIMEOUT: Duration = Duration::from_secs(300);

/// A service behind three commands. The status decides; what the other two say of themselves is only reported.
#[derive(Debug, Clone)]
pub struct CommandService {
    name: String,
    spec: CommandSpec,
    logs: PathBuf,
}

impl CommandService {
    pub(super) fn new(name: &str, spec: CommandSpec, logs: &Path) -> CommandService {
        CommandService { name: name.to_owned(), spec, logs: logs.to_owned() }
    }

    fn run(&self, argv: &[String], verb: &str, timeout: Duration, tell: &Tell) -> Result<Ran, ServiceError> {
        let command = Command { argv: argv.to_vec(), timeout: Some(timeout), ..Command::default() };
        Ok(command::run(&command, &self.logs, &format!("{}.{verb}", self.name), tell)?)
    }

    fn look(&self, tell: &Tell) -> Result<State, ServiceError> {
        let ran = self.run(&self.spec.status, "status", STATUS_TIMEOUT, tell)?;
        // 3 is "not running" in the Linux Standard Base and in systemctl; supervisorctl and many scripts say 1.
        Ok(match ran.exit {
            Exit::Code(0) => State::Running(None),
            Exit::Code(1 | 3) => State::Stopped,
            other => State::Unknown(format!("its status command ended with {other}")),
        })
    }

    fn bring(
        &self,
        action: &'static str,
        argv: &[String],
        to: &State,
        tell: &Tell,
    ) -> Result<Outcome, ServiceError> {
        match self.look(tell)? {
            State::Unknown(why) => return Err(ServiceError::Unknown(why)),
            state if state == *to => return Ok(Outcome::Already),
            _ => {}
        }
        let grace = Duration::from_secs(self.spec.grace);
        let ran = self.run(argv, action, VERB_TIMEOUT + grace, tell)?;
        let (began, mut shown_seconds) = (Instant::now(), 0);
        loop {
            let state = self.look(tell)?;
            if state == *to {
                return Ok(Outcome::Done);
            }
            let elapsed = began.elapsed();
            // A command that failed has said so: only one that claims success is waited for.
            if elapsed >= grace || ran.exit != Exit::Code(0) {
                let (exit, state) = (ran.exit, state.to_string());
                return Err(ServiceError::NoEffect { action, exit, state, last_words: last_words(&ran) });
            }
            tell.go_on()?;
            if elapsed.as_secs() > shown_seconds {
                shown_seconds = elapsed.as_secs();
                tell.progress("waiting for the service", shown_seconds, Some(self.spec.grace), Unit::Seconds);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Returns the last line that the command wrote, errors first, without what would move a terminal's cursor.
fn last_words(ran: &Ran) -> String {
    let line = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let line =
            text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned();
        line.chars().filter(|char| !char.is_control()).take(200).collect::<String>()
    };
    let words = [line(&ran.stderr.tail), line(&ran.stdout.tail)];
    words.into_iter().find(|words| !words.is_empty()).unwrap_or_else(|| "(none)".to_owned())
}

impl Service for CommandService {
    fn state(&self) -> Result<State, ServiceError> {
        self.look(&Tell::quiet())
    }

    fn start(&self, which: Which, tell: &Tell) -> Result<Outcome, ServiceError> {
        let argv = match (which, &self.spec.start_old) {
            (Which::Old, Some(old)) => old,
            _ => &self.spec.start,
        };
        self.bring("start", argv, &State::Running(None), tell)
    }

    fn stop(&self, tell: &Tell) -> Result<Outcome, ServiceError> {
        self.bring("stop", &self.spec.stop, &State::Stopped, tell)
    }
}
