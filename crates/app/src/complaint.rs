//! What the program says when it cannot do what was asked: what, why, what state things are in, and what to do.

use switchback_engine::error::chain;
use switchback_engine::journal::JournalError;
use switchback_engine::planner::{PlanFailure, Refusal};
use switchback_engine::runner::RunError;
use switchback_engine::session::SessionError;
use switchback_model::diagnostic::{Diagnostics, Source};
use switchback_model::plan::Place;

/// Exit codes: is it upgraded, is it as before, does it need me?
pub mod exit {
    /// Upgraded, or nothing to do.
    pub const DONE: u8 = 0;
    /// A bug in switchback.
    pub const BUG: u8 = 1;
    /// Usage.
    pub const USAGE: u8 = 2;
    /// The playbook is invalid.
    pub const PLAYBOOK: u8 = 10;
    /// The site is not as expected; nothing was changed.
    pub const SITE: u8 = 11;
    /// Another run holds the lock.
    pub const LOCKED: u8 = 12;
    /// Failed and rolled back: as before.
    pub const ROLLED_BACK: u8 = 20;
    /// An undo failed or met foreign hands: a person is needed.
    pub const STUCK: u8 = 21;
    /// Held past the commit point: a person decides.
    pub const HELD: u8 = 22;
    /// Interrupted, resumable.
    pub const INTERRUPTED: u8 = 30;
}

/// One complaint: everything that is wrong, and the exit code.
#[derive(Debug, Clone, PartialEq)]
pub struct Complaint {
    /// The exit code.
    pub exit: u8,
    /// What is wrong, one item each.
    pub items: Vec<Refusal>,
    /// Diagnostics of a file, rendered.
    pub rendered: String,
    /// The same for machines.
    pub located: Vec<serde_json::Value>,
    /// What state things are in, as a sentence.
    pub state: Option<String>,
}

impl Complaint {
    /// One thing is wrong.
    pub fn new(exit: u8, code: &str, message: impl Into<String>) -> Complaint {
        Complaint::of(exit, vec![Refusal::new(code, message)])
    }

    /// Several things are wrong.
    pub fn of(exit: u8, items: Vec<Refusal>) -> Complaint {
        Complaint { exit, items, rendered: String::new(), located: Vec::new(), state: None }
    }

    /// A usage error.
    pub fn usage(message: impl Into<String>) -> Complaint {
        Complaint::new(exit::USAGE, "U001", message)
    }

    /// Something is wrong with a file that a person writes.
    pub fn diagnostics(exit: u8, diagnostics: &Diagnostics, source: &Source) -> Complaint {
        let located = diagnostics.located(Some(source));
        Complaint {
            rendered: diagnostics.render_all(Some(source)),
            located: located.iter().map(|one| serde_json::to_value(one).unwrap_or_default()).collect(),
            ..Complaint::of(exit, Vec::new())
        }
    }

    /// Adds what to do about it.
    pub fn help(mut self, help: impl Into<String>) -> Complaint {
        if let Some(item) = self.items.last_mut() {
            item.help = Some(help.into());
        }
        self
    }

    /// Adds what state things are in.
    pub fn state(mut self, state: impl Into<String>) -> Complaint {
        self.state = Some(state.into());
        self
    }

    /// A failure to plan. The playbook's diagnostics point into its source.
    pub fn plan(failure: PlanFailure, source: &Source) -> Complaint {
        match failure {
            PlanFailure::Playbook(diagnostics) => {
                Complaint::diagnostics(exit::PLAYBOOK, &diagnostics, source)
            }
            PlanFailure::Refused(items) => Complaint::of(exit::SITE, items).state("nothing was changed"),
        }
    }

    /// A file of ours that cannot be read or written.
    pub fn io(what: &str, path: &std::path::Path, error: &std::io::Error) -> Complaint {
        Complaint::new(exit::SITE, "S010", format!("cannot {what} {}: {}", path.display(), io_words(error)))
    }

    /// A verb that needs a run, where there is none.
    pub fn no_run(state: &std::path::Path) -> Complaint {
        Complaint::new(exit::USAGE, "R041", format!("there is no run in {}", state.display()))
            .help("`switchback apply` begins one; `--state DIR` names another state folder")
    }

    /// Says which line asks for what is wrong, where nothing else says it.
    pub fn asked_at(mut self, place: &Place) -> Complaint {
        for item in &mut self.items {
            item.place.get_or_insert_with(|| place.clone());
        }
        self
    }
}

/// Says why a file of ours cannot be had, without the system's own words where there are better ones.
pub fn io_words(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => "there is no such file or folder".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::NotADirectory => "a part of the path is a file, not a folder".to_owned(),
        ErrorKind::IsADirectory => "it is a folder".to_owned(),
        ErrorKind::StorageFull => "no space left on device".to_owned(),
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only".to_owned(),
        ErrorKind::InvalidData => "it is not text".to_owned(),
        _ => error.to_string(),
    }
}

impl From<SessionError> for Complaint {
    fn from(error: SessionError) -> Complaint {
        let message = format!("cannot {}", chain(&error));
        match error {
            SessionError::RunHeld { .. } | SessionError::SiteHeld { .. } => {
                Complaint::new(exit::LOCKED, "L001", message)
                    .help("wait until it ends; `switchback status` there says how far it is")
                    .state("nothing was changed")
            }
            SessionError::SiteOpen { .. } => {
                Complaint::new(exit::SITE, "D002", message).state("nothing was changed by this command")
            }
            _ => Complaint::new(exit::SITE, "L002", message).state("nothing was changed"),
        }
    }
}

impl From<RunError> for Complaint {
    fn from(error: RunError) -> Complaint {
        match &error {
            RunError::Interrupted => Complaint::new(exit::INTERRUPTED, "R030", "interrupted"),
            RunError::Mark(_) => Complaint::new(exit::SITE, "R034", format!("cannot {}", chain(&error)))
                .help("make the folder of the database writable for whoever runs switchback"),
            RunError::Cut => Complaint::new(exit::BUG, "R031", "cut off at a fault point"),
            RunError::Journal(JournalError::Damaged { .. }) | RunError::Illegal(_) => {
                Complaint::new(exit::STUCK, "R032", format!("cannot {}", chain(&error)))
                    .help("somebody changed the journal; its backups lie beside it, in `backup/`")
            }
            RunError::Unfinished(trouble) => {
                let code = if trouble.code == "R005" { "R005" } else { "R034" };
                let mut complaint = Complaint::new(exit::INTERRUPTED, code, format!("cannot {}", chain(&error)));
                if let Some(item) = complaint.items.last_mut() {
                    item.details.clone_from(&trouble.details);
                }
                let usual = "mend what stands in the way, then `switchback resume` or `switchback rollback`";
                complaint.help(trouble.help.clone().unwrap_or_else(|| usual.to_owned()))
            }
            RunError::Journal(_) => Complaint::new(exit::INTERRUPTED, "R033", format!("cannot {}", chain(&error)))
                .help("mend what stands in the way of the journal, then `switchback resume` or `switchback rollback`"),
        }
    }
}

impl From<JournalError> for Complaint {
    fn from(error: JournalError) -> Complaint {
        RunError::from(error).into()
    }
}
