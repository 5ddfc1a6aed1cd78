//! What a service is, and what every kind of service can do.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::ServiceError;
use super::{CommandService, NoService, Process};
use crate::tell::Tell;

/// The old version of a service or the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    /// The version before the upgrade.
    Old,
    /// The version after it.
    New,
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Which::Old => "old",
            Which::New => "new",
        })
    }
}

/// What a service is at the moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It runs; `None` where nobody but a probe can tell which version.
    Running(Option<Which>),
    /// It does not run, and nothing of it is left.
    Stopped,
    /// Nobody can tell, for this reason.
    Unknown(String),
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Running(Some(which)) => write!(f, "running ({which})"),
            State::Running(None) => f.write_str("running"),
            State::Stopped => f.write_str("stopped"),
            State::Unknown(why) => write!(f, "unknown: {why}"),
        }
    }
}

/// What became of a wish to start or stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It was so already.
    Already,
    /// A person has to do it, by this instruction; a probe will tell when it is done.
    Person(String),
}

/// A service that can be looked at, started and stopped. Both verbs may be repeated at any time.
pub trait Service: Send {
    /// Looks at the service and changes nothing.
    fn state(&self) -> Result<State, ServiceError>;

    /// Starts one version. That it runs says nothing about its readiness: a probe does.
    fn start(&self, which: Which, tell: &Tell) -> Result<Outcome, ServiceError>;

    /// Stops whichever version runs; after `Done` none of its processes is left.
    fn stop(&self, tell: &Tell) -> Result<Outcome, ServiceError>;
}

/// How a service of a site is handled, as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceSpec {
    /// A person starts and stops it.
    None,
    /// It is a program that we start and stop.
    Process(ProcessSpec),
    /// A supervisor handles it, by its commands.
    Command(CommandSpec),
}

/// A program with its arguments, as it is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// The program and its arguments; no shell.
    pub argv: Vec<String>,
    /// Where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// Variables added to its environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

/// A service that is a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessSpec {
    /// How the version before the upgrade is started.
    pub old: Launch,
    /// How the version after it is started; as the old one if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<Launch>,
    /// Where the service, or who started it before us, wrote its process number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_file: Option<PathBuf>,
    /// How many seconds it may take to end after SIGTERM.
    #[serde(default = "default_grace")]
    pub grace: u64,
}

/// A service that is handled by commands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandSpec {
    /// Starts the service (its new version, if `start_old` is given).
    pub start: Vec<String>,
    /// Stops the service.
    pub stop: Vec<String>,
    /// Exits with 0 if it runs, with 1 or 3 if it does not; anything else is no answer.
    pub status: Vec<String>,
    /// Starts the old version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_old: Option<Vec<String>>,
    /// How its new release is started privately in a rehearsal, where the other commands would act on the real one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearse: Option<Launch>,
    /// How many seconds it may take until `status` shows the effect of a start or a stop.
    #[serde(default = "default_grace")]
    pub grace: u64,
}

fn default_grace() -> u64 {
    30
}

impl ServiceSpec {
    /// Every command line of the service, with the word that it goes by in the site file.
    pub fn command_lines(&self) -> Vec<(&'static str, &[String])> {
        match self {
            ServiceSpec::None => Vec::new(),
            ServiceSpec::Process(spec) => {
                let new = spec.new.as_ref().map(|new| ("new", new.argv.as_slice()));
                [("old", spec.old.argv.as_slice())].into_iter().chain(new).collect()
            }
            ServiceSpec::Command(spec) => {
                let old = spec.start_old.as_ref().map(|old| ("start_old", old.as_slice()));
                [("stop", &spec.stop), ("start", &spec.start), ("status", &spec.status)]
                    .map(|(word, argv)| (word, argv.as_slice()))
                    .into_iter()
                    .chain(old)
                    .collect()
            }
        }
    }

    /// Returns the service called `name`. `folder` holds its record and outlives the run (it is ours, mode 0700);
    /// `logs` gets what the service writes.
    pub fn service(&self, name: &str, folder: &Path, logs: &Path) -> Box<dyn Service> {
        match self {
            ServiceSpec::None => Box::new(NoService::new(name)),
            ServiceSpec::Process(spec) => Box::new(Process::new(name, spec.clone(), folder, logs)),
            ServiceSpec::Command(spec) => Box::new(CommandService::new(name, spec.clone(), logs)),
        }
    }
}

impl ProcessSpec {
    pub(super) fn grace(&self) -> Duration {
        Duration::from_secs(self.grace)
    }

    pub(super) fn launch(&self, which: Which) -> &Launch {
        match (which, &self.new) {
            (Which::New, Some(new)) => new,
            _ => &self.old,
        }
    }
}
