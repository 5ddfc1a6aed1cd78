//! The state folder of a site: its runs, the last plan, and what rehearsals measured.

use crate::journal::{Journal, JournalError};
use crate::run_dir::{RunDir, make_private, write_durably};
use crate::timing::Timings;
use std::io;
use std::path::{Path, PathBuf};
use switchback_model::record::{Entry, Record};
use switchback_site::marker::Marker;

/// The state folder.
#[derive(Debug, Clone)]
pub struct StateDir {
    root: PathBuf,
}

impl StateDir {
    /// Names a state folder; it need not exist.
    pub fn at(root: impl Into<PathBuf>) -> StateDir {
        StateDir { root: root.into() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the folder, with mode 0700.
    pub fn make(&self) -> io::Result<()> {
        for folder in [self.root.clone(), self.runs_folder(), self.services(), self.logs()] {
            make_private(&folder)?;
        }
        Ok(())
    }

    /// The salt of this state folder: 32 random bytes that leave it with no plan. Made when it is asked for first.
    pub fn salt(&self) -> io::Result<[u8; 32]> {
        let path = self.root.join("salt");
        match std::fs::read(&path) {
            Ok(bytes) => bytes.try_into().map_err(|_| {
                io::Error::other(format!(
                    "{} is not 32 bytes long; remove it, and plan again",
                    path.display()
                ))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut salt = [0; 32];
                io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut salt)?;
                write_durably(&path, &salt)?;
                Ok(salt)
            }
            Err(error) => Err(error),
        }
    }

    fn runs_folder(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// Where `plan` leaves the plan, and `apply` and `rehearse` find it.
    pub fn plan(&self) -> PathBuf {
        self.root.join("plan.json")
    }

    /// Where services that we start leave their process ids.
    pub fn services(&self) -> PathBuf {
        self.root.join("services")
    }

    /// What is printed outside of runs: by probes of `plan`, by services.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Scratch copies.
    pub fn rehearsals(&self) -> PathBuf {
        self.root.join("rehearsal")
    }

    /// What a rehearsal holds while it is at work.
    pub fn rehearsal_lock(&self) -> PathBuf {
        self.root.join("rehearsal.lock")
    }

    /// The directory of a run by its name.
    pub fn run(&self, name: &str) -> RunDir {
        RunDir::at(self.runs_folder().join(name))
    }

    /// The names of all runs, the oldest first.
    pub fn runs(&self) -> Vec<String> {
        let folder = std::fs::read_dir(self.runs_folder());
        let mut names: Vec<_> = folder
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// The run that is open, else the last one that began, with its journal. A directory whose journal never got its first
    /// record is no run.
    pub fn latest(&self) -> Result<Option<(RunDir, Vec<Entry>)>, JournalError> {
        let mut names: Vec<_> = match std::fs::read_dir(self.runs_folder()) {
            Ok(folder) => folder.flatten().map(|entry| entry.path()).collect(),
            Err(_) => return Ok(None),
        };
        // Names begin with the time, so their order is that of the runs, unless the clock was wrong when one began: so an
        // open run is looked for first, and can never be hidden by one that has ended.
        names.sort();
        let mut last = None;
        for path in names.into_iter().rev() {
            let dir = RunDir::at(path);
            if !dir.journal().exists() {
                continue;
            }
            let entries = Journal::read(&dir.journal())?;
            if matches!(entries.first(), Some(Entry { record: Record::RunStarted { .. }, .. })) {
                if !has_ended(&entries) {
                    return Ok(Some((dir, entries)));
                }
                last = last.or(Some((dir, entries)));
            }
        }
        Ok(last)
    }

    /// Durations that rehearsals measured; none when there are none, or they cannot be read.
    pub fn timings(&self) -> Timings {
        std::fs::read(self.root.join("timings.json"))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// Keeps durations for later plans.
    pub fn keep_timings(&self, timings: &Timings) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(timings).map_err(io::Error::other)?;
        write_durably(&self.root.join("timings.json"), &text)
    }
}

/// Whether the run of a mark has ended, by its own journal: then only the mark could not be removed.
pub fn is_over(mark: &Marker) -> bool {
    let dir = StateDir::at(&mark.state_dir).run(&mark.run);
    // A journal that cannot be read says nothing, and a run of which nothing is known may be open.
    Journal::read(&dir.journal()).is_ok_and(|entries| has_ended(&entries))
}

/// Whether the last thing that happened to a run is its end; that a process has looked at it since is nothing.
fn has_ended(entries: &[Entry]) -> bool {
    let mut last = entries.iter().rev().filter(|entry| !matches!(entry.record, Record::LifeStarted { .. }));
    matches!(last.next().map(|entry| &entry.record), Some(Record::RunEnded { .. } | Record::Finalized { .. }))
}
