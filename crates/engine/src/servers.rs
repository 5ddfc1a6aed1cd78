//! The database servers under a run: whether they are still there, and waiting for one that went away.

use crate::error::{StepError, chain, trouble};
use std::time::{Duration, Instant};
use switchback_site::postgres::{Lock, LockError};
use switchback_site::{Failure, Site, SiteError, Tell, Unit};

/// How long a server is waited for. One that only comes up again after a crash of a session is there in seconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long between two tries.
const PAUSE: Duration = Duration::from_millis(200);
/// How often in one life it is waited for: a server that goes away again and again may do so because of what we do.
const TIMES: u32 = 3;

/// The servers, with the locks of the run there. A lock ends with its session, so it also says that the server was away.
pub struct Servers<'a> {
    site: &'a Site,
    locks: &'a mut Vec<Lock>,
    /// Whether the locks are ours, as far as we know.
    held: bool,
    returned: u32,
}

impl<'a> Servers<'a> {
    /// Those of a site, whose locks were taken.
    pub fn of(site: &'a Site, locks: &'a mut Vec<Lock>) -> Servers<'a> {
        Servers { site, locks, held: true, returned: 0 }
    }

    /// Says what was lost, if a lock was; with `all` also whether a server that is only read does not answer.
    pub fn lost(&self, all: bool) -> Option<String> {
        if !self.held {
            return Some("the locks of the run are not ours".to_owned());
        }
        let lock = self.locks.iter().find_map(|lock| lock.still_held().err());
        match (lock, all) {
            (Some(LockError::Lost { place, why }), _) => {
                Some(format!("the session that held the lock of {place} has ended ({why})"))
            }
            (Some(error), _) => Some(chain(&error)),
            (None, true) => self.site.unreachable().map(|error| chain(&error)),
            (None, false) => None,
        }
    }

    /// Waits until every server answers and the locks of the run are ours again: somebody may hold one for a moment, only to look.
    /// After an error the run holds none; it is open, and where its steps stand is in the databases.
    pub fn come_back(&mut self, run: &str, why: &str, tell: &Tell) -> Result<(), StepError> {
        let clock = Instant::now();
        let mut last = why.to_owned();
        // Given up first: a session that seems to hold one still would be in the way of its successor.
        self.locks.clear();
        self.held = false;
        while self.returned < TIMES && clock.elapsed() < PATIENCE {
            match self.take_again(run, tell) {
                Ok(()) => {
                    self.returned += 1;
                    self.held = true;
                    return Ok(());
                }
                Err(error) if error.halt().is_some() => return Err(error.into()),
                Err(error) => last = chain(&error),
            }
            tell.go_on().map_err(StepError::from)?;
            let doing = format!("waiting for a database server: cannot {last}");
            tell.progress(&doing, clock.elapsed().as_secs(), Some(PATIENCE.as_secs()), Unit::Seconds);
            std::thread::sleep(PAUSE);
        }
        let times =
            if self.returned == TIMES { format!(", for the {}th time", TIMES + 1) } else { String::new() };
        let mut trouble = trouble("R005", format!("a database server went away{times}: {why}"));
        if last != why {
            trouble.details.push(format!("cannot {last}"));
        }
        trouble.help = Some(
            "see to it that the server runs (its log says why it went), then `switchback resume` or `switchback rollback`: what is committed is in, the rest is not".to_owned(),
        );
        Err(StepError::Failed(trouble))
    }

    fn take_again(&mut self, run: &str, tell: &Tell) -> Result<(), SiteError> {
        *self.locks = self.site.lock_databases(run, tell)?;
        match self.site.unreachable() {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }
}
