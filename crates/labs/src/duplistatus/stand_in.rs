//! A stand-in for the application's service: it answers, fails and dies as the real one was measured to.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::answers::Application;
use crate::http::{Server, Stopper};

/// The signal that asks a process to end; the same number on every system that this runs on.
const SIGTERM: i32 = 15;

/// Which application the stand-in plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 0.6.1, on schema 2.0.
    V06,
    /// 0.7.27, on schema 3.0. On a database that is still 2.0 it does not migrate, but answers as the real one does
    /// after its migration has failed.
    V07,
}

impl Version {
    fn named(name: &str) -> Option<Version> {
        match name {
            "0.6" => Some(Version::V06),
            "0.7" => Some(Version::V07),
            _ => None,
        }
    }

    fn other(self) -> Version {
        match self {
            Version::V06 => Version::V07,
            Version::V07 => Version::V06,
        }
    }
}

/// How the service misbehaves; the default is not at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// SIGTERM does nothing, as with the real image, whose first process is a shell.
    pub ignore_term: bool,
    /// How long it takes before the port answers.
    pub slow_start: Duration,
    /// It ends at once with a failure.
    pub fail_start: bool,
    /// It is in truth the other version: an image that was not changed, or was changed too early.
    pub wrong_version: bool,
}

/// Why a stand-in does not run.
#[derive(Debug, thiserror::Error)]
pub enum StandInError {
    /// It was told to fail.
    #[error("start: it was told to fail")]
    ToldToFail,
    /// The signal cannot be ignored.
    #[error("ignore SIGTERM")]
    Signal(#[source] io::Error),
    /// The database cannot be opened.
    #[error("open {database}")]
    Database {
        /// The database.
        database: PathBuf,
        /// Why not.
        source: rusqlite::Error,
    },
    /// The port cannot be had.
    #[error("listen on port {port} of the loopback address")]
    Port {
        /// The port.
        port: u16,
        /// Why not.
        source: io::Error,
    },
    /// The command line is not understood.
    #[error("read the command line: {0}")]
    Usage(String),
}

/// A started service that does not answer yet: its database is open, its port bound.
#[derive(Debug)]
pub struct StandIn {
    server: Server,
    application: Application,
}

impl StandIn {
    /// Opens the database in WAL mode and binds the port (0 takes a free one), after the delay of `behaviour`.
    ///
    /// Changes nothing of the process but, where asked for, what SIGTERM does. Left alone, SIGTERM ends the process
    /// without a checkpoint, as the real one ends.
    pub fn start(
        version: Version,
        database: &Path,
        port: u16,
        behaviour: Behaviour,
    ) -> Result<StandIn, StandInError> {
        if behaviour.ignore_term {
            // A handler that only sets a flag nobody reads.
            signal_hook::flag::register(SIGTERM, Arc::new(AtomicBool::new(false)))
                .map_err(StandInError::Signal)?;
        }
        if behaviour.fail_start {
            return Err(StandInError::ToldToFail);
        }
        std::thread::sleep(behaviour.slow_start);
        let version = if behaviour.wrong_version { version.other() } else { version };
        let application = Application::open(version, database)
            .map_err(|source| StandInError::Database { database: database.to_owned(), source })?;
        let server = Server::bind(port).map_err(|source| StandInError::Port { port, source })?;
        Ok(StandIn { server, application })
    }

    /// Returns the port that was bound.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Returns what ends [`StandIn::run`] from another thread; the last close of its database makes a checkpoint then.
    pub fn stopper(&self) -> Stopper {
        self.server.stopper()
    }

    /// Answers requests until it is stopped.
    pub fn run(self) {
        let application = self.application;
        self.server.run(move |request| application.answer(request));
    }
}

/// Starts a stand-in and answers requests for as long as the process lives.
pub fn serve(version: Version, database: &Path, port: u16, behaviour: Behaviour) -> Result<(), StandInError> {
    StandIn::start(version, database, port, behaviour)?.run();
    Ok(())
}

/// Runs a stand-in from its command line (without the program's name) and returns the exit status:
/// 0 stopped, 1 could not start, 2 not understood. Says why on stderr.
///
/// `--version 0.6|0.7`, `--database FILE`, `--port N`, and for bad behaviour `--ignore-term`, `--slow-start SECS`,
/// `--fail-start`, `--wrong-version`. Without the flag, the database is `$DATA_DIR/backups.db` and the port `$PORT`,
/// as the real application takes them.
pub fn stand_in_main(args: Vec<String>) -> i32 {
    let outcome = Command::parse(args, |name| std::env::var(name).ok())
        .and_then(|command| serve(command.version, &command.database, command.port, command.behaviour));
    let Err(error) = outcome else { return 0 };
    let mut text = format!("stand-in: cannot {error}");
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    // Whoever closed stderr does not want to know.
    let _ = writeln!(io::stderr(), "{text}");
    if matches!(error, StandInError::Usage(_)) { 2 } else { 1 }
}

#[derive(Debug, PartialEq)]
struct Command {
    version: Version,
    database: PathBuf,
    port: u16,
    behaviour: Behaviour,
}

impl Command {
    fn parse(args: Vec<String>, env: impl Fn(&str) -> Option<String>) -> Result<Command, StandInError> {
        let mut version = None;
        let mut database = env("DATA_DIR").map(|dir| Path::new(&dir).join("backups.db"));
        let mut port = env("PORT");
        let mut behaviour = Behaviour::default();
        let mut args = args.into_iter();
        while let Some(flag) = args.next() {
            let mut value = || args.next().ok_or_else(|| usage(format!("`{flag}` wants a value")));
            match flag.as_str() {
                "--version" => version = Some(value()?),
                "--database" => database = Some(PathBuf::from(value()?)),
                "--port" => port = Some(value()?),
                "--slow-start" => {
                    let text = value()?;
                    let seconds =
                        text.parse().map_err(|_| usage(format!("`{text}` is no number of seconds")))?;
                    behaviour.slow_start = Duration::from_secs(seconds);
                }
                "--ignore-term" => behaviour.ignore_term = true,
                "--fail-start" => behaviour.fail_start = true,
                "--wrong-version" => behaviour.wrong_version = true,
                _ => return Err(usage(format!("`{flag}` is not known"))),
            }
        }
        let version = version.ok_or_else(|| usage("`--version` is missing".to_owned()))?;
        let port = port.ok_or_else(|| usage("`--port` is missing".to_owned()))?;
        Ok(Command {
            version: Version::named(&version)
                .ok_or_else(|| usage(format!("version `{version}` is neither 0.6 nor 0.7")))?,
            database: database.ok_or_else(|| usage("`--database` is missing".to_owned()))?,
            port: port.parse().map_err(|_| usage(format!("`{port}` is no port")))?,
            behaviour,
        })
    }
}

fn usage(text: String) -> StandInError {
    StandInError::Usage(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str, env: &[(&str, &str)]) -> Result<Command, StandInError> {
        let env =
            |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Command::parse(line.split_whitespace().map(str::to_owned).collect(), env)
    }

    #[test]
    fn flags_win_over_the_environment() {
        let env = [("PORT", "1"), ("DATA_DIR", "/data")];
        let command = parse("--version 0.7", &env).unwrap();
        assert_eq!((command.port, command.database), (1, PathBuf::from("/data/backups.db")));
        let command = parse("--version 0.6 --port 2 --database x.db --slow-start 3", &env).unwrap();
        assert_eq!((command.port, command.database), (2, PathBuf::from("x.db")));
        assert_eq!(command.behaviour.slow_start, Duration::from_secs(3));
    }

    #[test]
    fn a_line_that_is_not_understood_is_refused() {
        for line in [
            "",
            "--version",
            "--version 0.8 --port 1 --database x",
            "--port 99999 --version 0.6 --database x",
            "--what",
        ] {
            assert!(matches!(parse(line, &[]), Err(StandInError::Usage(_))), "{line}");
        }
    }
}
