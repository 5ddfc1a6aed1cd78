//! The one loop: run, resume and rollback are the same code. It only ever does the next move that the journal asks for.

use crate::broken::Broken;
use crate::bus::Bus;
use crate::error::{StepError, trouble};
use crate::journal::{Journal, JournalError};
use crate::run_dir::RunDir;
use crate::servers::Servers;
use crate::step::{AnyStep, Condition, Work};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Instant;
use switchback_model::decide::{Move, decide};
use switchback_model::phase::Phase;
use switchback_model::record::{Entry, Outcome, Record, Trouble, Turn};
use switchback_model::run::{Illegal, RunState, StepState};
use switchback_site::marker::Marker;
use switchback_site::postgres::Lock;
use switchback_site::{Failure, Halt, Site, Tell};

/// Why the loop ended without an outcome.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A signal: the run is open and can be resumed.
    #[error("go on: interrupted")]
    Interrupted,
    /// A simulated power cut.
    #[error("go on: cut off at a fault point")]
    Cut,
    /// The journal cannot be written or read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The site cannot be marked as taken; nothing of it was changed, and the run is closed.
    #[error("mark the site as taken: {0}")]
    Mark(switchback_site::SiteError),
    /// The journal holds records that cannot follow each other.
    #[error("trust the journal: {0}")]
    Illegal(#[from] Illegal),
    /// What is no step's work did not succeed, such as removing a mark: the run is open and can be resumed.
    #[error("go on: {}", .0.message)]
    Unfinished(Trouble),
}

/// A run in the hands of this process.
pub struct Runner<'a> {
    phases: Vec<Phase>,
    steps: &'a [Box<dyn AnyStep>],
    ids: Vec<String>,
    site: &'a Site,
    dir: &'a RunDir,
    journal: Journal,
    state: RunState,
    started_at: BTreeMap<usize, String>,
    bus: Bus,
    tell: Tell,
    mark: Marker,
    back_on_interrupt: bool,
    servers: Servers<'a>,
}

/// What the loop needs, with names.
pub struct RunnerParts<'a> {
    /// Phase of each step.
    pub phases: Vec<Phase>,
    /// Name of each step.
    pub ids: Vec<String>,
    /// The steps.
    pub steps: &'a [Box<dyn AnyStep>],
    /// Where they act.
    pub site: &'a Site,
    /// Where the run writes.
    pub dir: &'a RunDir,
    /// The journal, open.
    pub journal: Journal,
    /// What the journal says so far.
    pub entries: Vec<Entry>,
    /// Who watches.
    pub bus: Bus,
    /// Progress, interruption and fault points.
    pub tell: Tell,
    /// What tells others that this run has the site.
    pub mark: Marker,
    /// Whether a signal before the commit point turns the run round instead of stopping it.
    pub back_on_interrupt: bool,
    /// The locks on PostgreSQL databases, which end with their session.
    pub locks: &'a mut Vec<Lock>,
}

impl<'a> Runner<'a> {
    /// Takes a run up where its journal ends.
    pub fn new(parts: RunnerParts<'a>) -> Result<Runner<'a>, RunError> {
        let RunnerParts {
            phases,
            ids,
            steps,
            site,
            dir,
            journal,
            entries,
            bus,
            tell,
            mark,
            back_on_interrupt,
            locks,
        } = parts;
        let state = RunState::fold(steps.len(), entries.iter().map(|entry| &entry.record))?;
        let mut runner = Runner {
            phases,
            steps,
            ids,
            site,
            dir,
            journal,
            state,
            started_at: BTreeMap::new(),
            bus,
            tell,
            mark,
            back_on_interrupt,
            servers: Servers::of(site, locks),
        };
        for entry in &entries {
            runner.note_time(entry);
        }
        Ok(runner)
    }

    /// What the journal says now.
    pub fn state(&self) -> &RunState {
        &self.state
    }

    /// How many times this life synced the journal.
    pub fn syncs(&self) -> u64 {
        self.journal.syncs()
    }

    /// Appends a record that an operator's command stands for: a run's start, a rollback, an acceptance.
    pub fn note(&mut self, record: Record) -> Result<(), RunError> {
        let mut next = self.state.clone();
        next.apply(&record)?;
        let entry = match self.journal.append(record, &self.tell) {
            Ok(entry) => entry,
            Err(error) => return Err(halted(error)),
        };
        self.state = next;
        self.note_time(&entry);
        self.bus.entry(&entry, &self.state);
        Ok(())
    }

    fn note_time(&mut self, entry: &Entry) {
        if let Record::StepStarted { step, .. } = entry.record {
            self.started_at.insert(step, entry.at.clone());
        }
    }

    /// Moves until there is no move left.
    pub fn run(&mut self) -> Result<Outcome, RunError> {
        if self.state.is_open() {
            self.mark_site()?;
        }
        loop {
            let next = decide(&self.phases, &self.state);
            if let Move::Stop(outcome) = next {
                return Ok(outcome);
            }
            if self.heed_interruption()? || self.heed_servers(false)? {
                continue;
            }
            let done = self.perform(next);
            // What failed because a server went away has not failed: where it stands is looked at when the server is back.
            if has_failed(&done) && self.heed_servers(true)? {
                continue;
            }
            match done {
                Ok(record) => self.note(record)?,
                Err(StepError::Cut) => return Err(RunError::Cut),
                Err(StepError::Interrupted) => drop(self.heed_interruption()?),
                Err(StepError::Failed(trouble) | StepError::Conflict(trouble)) => {
                    // `perform` turns a step's failure into a record; what arrives here is no step's.
                    return Err(RunError::Unfinished(trouble));
                }
            }
        }
    }

    /// Waits for a database server that is away, and takes the run's locks there again. Says whether one was: then nobody
    /// knows what of a move is in, and it is decided anew. After a failure all servers are asked, else only those that are
    /// written to.
    fn heed_servers(&mut self, after_failure: bool) -> Result<bool, RunError> {
        let Some(why) = self.servers.lost(after_failure) else { return Ok(false) };
        match self.servers.come_back(&self.state.run, &why, &self.tell) {
            Ok(()) => Ok(true),
            Err(StepError::Cut) => Err(RunError::Cut),
            Err(StepError::Interrupted) => self.heed_interruption(),
            Err(StepError::Failed(trouble) | StepError::Conflict(trouble)) => {
                Err(RunError::Unfinished(trouble))
            }
        }
    }

    /// Marks the site, so that nobody else begins there. The run is in the journal by now: a mark always leads to it.
    fn mark_site(&mut self) -> Result<(), RunError> {
        match self.site.put_marks(&self.mark, &self.tell) {
            Ok(()) => Ok(()),
            Err(error) if error.halt().is_none() && self.heed_servers(true)? => self.mark_site(),
            Err(error) if error.halt() == Some(Halt::Cut) => Err(RunError::Cut),
            // A run that has begun is worth more than its mark: its locks keep others out while it lives.
            Err(_) if self.state.steps.iter().any(|step| *step != StepState::Waiting) => Ok(()),
            Err(error) => {
                // Whatever marks were put are taken away again as well as may be.
                let removed = self.site.remove_marks(&self.state.run, &self.tell);
                if removed.is_err_and(|error| error.halt() == Some(Halt::Cut)) {
                    return Err(RunError::Cut);
                }
                self.note(Record::RunEnded { outcome: Outcome::RolledBack })?;
                Err(RunError::Mark(error))
            }
        }
    }

    /// Says whether a signal turned the run round: then what was decided before no longer holds.
    fn heed_interruption(&mut self) -> Result<bool, RunError> {
        if self.tell.go_on().is_ok() {
            return Ok(false);
        }
        if self.back_on_interrupt && self.state.turn.is_none() && self.state.committed.is_none() {
            self.tell.stop_flag().store(false, Ordering::Relaxed);
            self.note(Record::RollbackStarted { turn: Turn::Interrupted })?;
            return Ok(true);
        }
        self.note(Record::Interrupted)?;
        Err(RunError::Interrupted)
    }

    /// Does one move and returns the record that states it. Only a cut or an interruption is an error.
    fn perform(&self, next: Move) -> Result<Record, StepError> {
        match next {
            Move::Begin(step) => self.begin(step),
            Move::Advance(step) => self.advance(step),
            Move::PassCommit => self.pass_commit(),
            Move::Judge(step) => self.judge(step),
            Move::TurnRound(step) => Ok(Record::RollbackStarted { turn: Turn::StepFailed { step } }),
            Move::Undo(step) => self.undo(step),
            Move::Close(outcome) => self.close(outcome),
            Move::Stop(_) => Err(StepError::failed("move past the end")),
        }
    }

    fn work(&self, step: usize) -> Work<'_> {
        Work {
            tell: &self.tell,
            run: &self.state.run,
            step: &self.ids[step],
            phase: self.phases[step],
            now: self.started_at.get(&step).map_or("", String::as_str),
            dir: self.dir,
            committed: self.state.committed.is_some(),
            losing_writes: self.state.may_lose_writes(),
        }
    }

    fn begin(&self, step: usize) -> Result<Record, StepError> {
        let looked =
            self.steps[step].check(self.site, &self.work(step)).and_then(|condition| match condition {
                Condition::Applied(seen) => Ok(Record::StepFound { step, seen }),
                Condition::Pending => {
                    let before = self.steps[step].prepare(self.site, &self.work(step))?;
                    if Broken::EffectBeforeJournal.is_asked_for() {
                        self.steps[step].apply(self.site, &before, &self.work(step))?;
                    }
                    Ok(Record::StepStarted { step, before })
                }
                Condition::Partial => Err(StepError::conflict(
                    "it is half done already, and not by this run",
                )
                .help("find out who began it; `switchback status` names the runs of this state folder")),
                Condition::Conflict(found) => Err(StepError::conflict(found)),
            });
        self.or_failed(step, looked)
    }

    fn advance(&self, step: usize) -> Result<Record, StepError> {
        let clock = Instant::now();
        let done = self.bring_to_its_end(step).map(|seen| Record::StepFinished {
            step,
            seen,
            took_ms: millis(clock),
        });
        self.or_failed(step, done)
    }

    /// Applies, and believes nothing until it has been read back.
    fn bring_to_its_end(&self, step: usize) -> Result<Value, StepError> {
        let (any, work) = (&self.steps[step], self.work(step));
        let Some(before) = self.state.steps[step].before() else {
            return Err(StepError::failed("go on with a step that has no before-image"));
        };
        let mut measured = Value::Null;
        match any.check(self.site, &work)? {
            Condition::Applied(seen) => return Ok(seen),
            Condition::Conflict(found) => return Err(StepError::conflict(found)),
            Condition::Pending | Condition::Partial => {
                let applied = any.apply(self.site, before, &work);
                if Broken::TrustTheExitCode.is_asked_for() {
                    return Ok(applied.unwrap_or(Value::Null));
                }
                let value = applied?;
                if !value.is_null() {
                    measured = value;
                }
            }
        }
        match any.check(self.site, &work)? {
            Condition::Applied(seen) => Ok(if measured.is_null() { seen } else { measured }),
            Condition::Conflict(found) => Err(StepError::conflict(found)),
            Condition::Pending | Condition::Partial => Err(StepError::Failed(trouble(
                "R002",
                "it reported success, but its effect cannot be read back",
            ))),
        }
    }

    fn or_failed(&self, step: usize, result: Result<Record, StepError>) -> Result<Record, StepError> {
        match result {
            Err(StepError::Failed(trouble) | StepError::Conflict(trouble)) => {
                Ok(Record::StepFailed { step, trouble })
            }
            other => other,
        }
    }

    fn pass_commit(&self) -> Result<Record, StepError> {
        match self.proven_stores() {
            Ok(stores) => Ok(Record::CommitPassed { stores }),
            Err(error) => {
                // The first step past the commit point carries the failure; its own work was not begun.
                let step = self.state.steps.iter().position(|step| *step == StepState::Waiting);
                match (step, error) {
                    (Some(step), StepError::Failed(trouble) | StepError::Conflict(trouble)) => {
                        Ok(Record::StepFailed { step, trouble })
                    }
                    (_, error) => Err(error),
                }
            }
        }
    }

    /// The fingerprints of the stores, once every finished step has vouched for them: what was proven is what is let in.
    fn proven_stores(&self) -> Result<BTreeMap<String, Value>, StepError> {
        let stores = self.fingerprints()?;
        for (step, state) in self.steps.iter().zip(&self.state.steps) {
            if let StepState::Finished(before) = state {
                step.vouch(before, &stores)?;
            }
        }
        Ok(stores)
    }

    fn fingerprints(&self) -> Result<BTreeMap<String, Value>, switchback_site::SiteError> {
        let mut stores = BTreeMap::new();
        for (name, def) in self.site.targets() {
            let is_kept = def.path().is_some() || def.is_database();
            // The way back leaves alone what is only read, so what is written there is not lost by it.
            if is_kept && !def.is_read_only() {
                stores.insert(name.clone(), self.site.fingerprint(name, &self.tell)?);
            }
        }
        Ok(stores)
    }

    /// Names the databases and files that differ from what they were at the commit point; none before it.
    pub fn written_since(&self) -> Result<Vec<String>, switchback_site::SiteError> {
        let Some(then) = &self.state.committed else { return Ok(Vec::new()) };
        let now = self.fingerprints()?;
        let differs = now.into_iter().filter(|(name, value)| then.get(name) != Some(value));
        Ok(differs.map(|(name, _)| name).collect())
    }

    /// A failure past the commit point: if nothing was written since, the way back loses nothing.
    fn judge(&self, step: usize) -> Result<Record, StepError> {
        let reason = match (self.fingerprints(), &self.state.committed) {
            (Ok(now), Some(then)) if now == *then => {
                return Ok(Record::RollbackStarted { turn: Turn::NothingWritten { step } });
            }
            (Ok(now), then) => {
                let changed: Vec<_> = now
                    .iter()
                    .filter(|(name, value)| then.as_ref().and_then(|then| then.get(*name)) != Some(*value))
                    .map(|(name, _)| name.as_str())
                    .collect();
                format!("the new release has written to {} since it was let in", changed.join(", "))
            }
            (Err(error), _) => match error.halt() {
                Some(Halt::Cut) => return Err(StepError::Cut),
                Some(Halt::Interrupted) => return Err(StepError::Interrupted),
                _ => format!("what was written since cannot be seen: {error}"),
            },
        };
        Ok(Record::RunHeld { step, reason })
    }

    fn undo(&self, step: usize) -> Result<Record, StepError> {
        let Some(before) = self.state.steps[step].before() else {
            return Err(StepError::failed("undo a step that has no before-image"));
        };
        let clock = Instant::now();
        let unfinished = matches!(self.state.steps[step], StepState::Failed(..) | StepState::Started(_));
        if unfinished && Broken::UndoSkipsFailed.is_asked_for() {
            return Ok(Record::StepUndone { step, took_ms: millis(clock) });
        }
        match self.steps[step].undo(self.site, before, &self.work(step)) {
            Ok(()) => Ok(Record::StepUndone { step, took_ms: millis(clock) }),
            Err(StepError::Failed(trouble) | StepError::Conflict(trouble)) => {
                Ok(Record::UndoFailed { step, trouble })
            }
            Err(halt) => Err(halt),
        }
    }

    /// A run is closed when nothing of it is left in the site: a mark that stays would keep everybody out.
    fn close(&self, outcome: Outcome) -> Result<Record, StepError> {
        self.site.artifacts().remove_scratch()?;
        self.site.remove_marks(&self.state.run, &self.tell)?;
        Ok(Record::RunEnded { outcome })
    }
}

/// Whether a move did not come to what it was for, also where that has a record.
fn has_failed(done: &Result<Record, StepError>) -> bool {
    matches!(
        done,
        Ok(Record::StepFailed { .. } | Record::UndoFailed { .. } | Record::RunHeld { .. })
            | Err(StepError::Failed(_) | StepError::Conflict(_))
    )
}

/// What a failed append means for the loop.
fn halted(error: JournalError) -> RunError {
    match error.halt() {
        Some(Halt::Cut) => RunError::Cut,
        _ => RunError::Journal(error),
    }
}

fn millis(clock: Instant) -> u64 {
    u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Words the trouble of a step for a record.
pub fn step_trouble(error: &StepError) -> Option<Trouble> {
    match error {
        StepError::Failed(trouble) | StepError::Conflict(trouble) => Some(trouble.clone()),
        StepError::Cut | StepError::Interrupted => None,
    }
}
