//! Why a step did not do what was asked.

use switchback_model::record::Trouble;
use switchback_site::{Failure, Halt};

/// Why a step's `check`, `prepare`, `apply` or `undo` ended without its result.
#[derive(Debug, Clone, PartialEq)]
pub enum StepError {
    /// The process is taken to be dead: nothing more may be written.
    Cut,
    /// A signal asked for a stop; the step can be continued or undone.
    Interrupted,
    /// It did not work. The step's effect may be there in part.
    Failed(Trouble),
    /// The world is neither as before nor as this step leaves it, nor half way: nothing was changed.
    Conflict(Trouble),
}

impl StepError {
    /// Something that did not work, in words that fit after "cannot".
    pub fn failed(message: impl Into<String>) -> StepError {
        StepError::Failed(trouble("R001", message))
    }

    /// A state that is not ours, in words that say what was found.
    pub fn conflict(message: impl Into<String>) -> StepError {
        StepError::Conflict(trouble("R003", message))
    }

    /// Adds what to do about it.
    pub fn help(self, help: impl Into<String>) -> StepError {
        self.with(|trouble| trouble.help = Some(help.into()))
    }

    /// Adds further lines.
    pub fn details(self, details: Vec<String>) -> StepError {
        self.with(|trouble| trouble.details = details)
    }

    fn with(mut self, change: impl FnOnce(&mut Trouble)) -> StepError {
        if let StepError::Failed(trouble) | StepError::Conflict(trouble) = &mut self {
            change(trouble);
        }
        self
    }
}

/// Words a trouble.
pub fn trouble(code: &str, message: impl Into<String>) -> Trouble {
    Trouble { code: code.to_owned(), message: message.into(), details: Vec::new(), help: None }
}

impl<E: Failure + 'static> From<E> for StepError {
    fn from(error: E) -> StepError {
        match error.halt() {
            Some(Halt::Cut) => StepError::Cut,
            Some(Halt::Interrupted) => StepError::Interrupted,
            Some(Halt::Full) => {
                let text = chain(&error);
                let bare = text == Halt::Full.to_string();
                StepError::failed(if bare { format!("go on: {text}") } else { text })
                    .help("free space where the site and the state folder lie")
            }
            None => StepError::failed(chain(&error)),
        }
    }
}

/// Joins an error and its sources into one line, leaving out what a source only repeats.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
