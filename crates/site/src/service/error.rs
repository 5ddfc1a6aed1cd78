//! Why a service cannot be started, stopped or looked at.

use std::io;
use std::path::PathBuf;

use super::spec::Which;
use crate::command::CommandError;
use crate::file::shown;
use crate::tell::{Failure, Halt};
use switchback_model::private::PrivateError;

/// Why an operation on a service failed. The text fits after "cannot".
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The operation was ended from outside.
    #[error("go on: {0}")]
    Halt(#[from] Halt),
    /// One of the commands of the service could not be run.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A file of ours could not be handled.
    #[error("{action} {}: {source}", shown(path))]
    Io {
        /// What was attempted, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The program could not be started.
    #[error("start {}: {source}", shown(std::path::Path::new(program)))]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// The service has no such version.
    #[error("start the {0} version of the service: nothing says how")]
    NoLaunch(Which),
    /// The other version runs.
    #[error("start the {wanted} version of the service: the {running} one runs")]
    OtherRuns {
        /// What was to be started.
        wanted: Which,
        /// What runs.
        running: Which,
    },
    /// Nobody can tell whether the service runs, so that neither a start nor a stop would be safe.
    #[error("tell whether the service runs: {0}")]
    Unknown(String),
    /// The service does not end, not even after SIGKILL.
    #[error("stop the service: processes {0:?} do not end")]
    DoesNotEnd(Vec<i32>),
    /// What it would be started with privately leads out of the rehearsal.
    #[error("start {name} privately: cannot {source}")]
    Private {
        /// The service.
        name: String,
        /// What leads where.
        source: PrivateError,
    },
    /// The port of a private service is not free.
    #[error("start {name} privately: somebody listens on its port {port}")]
    Port {
        /// The service.
        name: String,
        /// The port.
        port: u16,
    },
    /// The service is no part of the rehearsal.
    #[error("{action} {name}: it is no part of the rehearsal")]
    Apart {
        /// What was attempted, as a verb.
        action: &'static str,
        /// The service.
        name: String,
    },
    /// A command of the service ended, and the service is still not what it should be.
    #[error(
        "{action} the service: its command ended with {exit}, and it is {state}; its last words: {last_words}"
    )]
    NoEffect {
        /// `start` or `stop`.
        action: &'static str,
        /// How the command ended.
        exit: crate::command::Exit,
        /// What the service is.
        state: String,
        /// The end of what the command wrote.
        last_words: String,
    },
}

impl Failure for ServiceError {
    fn halt(&self) -> Option<Halt> {
        match self {
            ServiceError::Halt(halt) => Some(*halt),
            ServiceError::Command(error) => error.halt(),
            _ => None,
        }
    }
}
