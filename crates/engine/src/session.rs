//! A session: one process that has a run, with its locks, its marks and its journal.

use crate::bus::Bus;
use crate::journal::{Journal, JournalError};
use crate::registry::Registry;
use crate::run_dir::{RunDir, RunDirError};
use crate::runner::{RunError, Runner, RunnerParts};
use crate::state_dir::{self, StateDir};
use crate::step::AnyStep;
use std::path::{Path, PathBuf};
use switchback_model::plan::Plan;
use switchback_model::record::{Entry, Record};
use switchback_model::run::RunState;
use switchback_site::lock::{FolderLock, LockError, RunLock};
use switchback_site::marker::Marker;
use switchback_site::postgres;
use switchback_site::service::Privates;
use switchback_site::{Site, SiteDirs, SiteError, Tell};

/// Why a run cannot be taken up.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Another process has this run.
    #[error("take up run {run}: another process has it, or a command that it started is still at work")]
    RunHeld {
        /// The run.
        run: String,
    },
    /// Another run has the site.
    #[error("take {folder}: {holder}", folder = .folder.display())]
    SiteHeld {
        /// The folder whose lock is held.
        folder: PathBuf,
        /// Who holds it, as far as a mark says.
        holder: String,
    },
    /// Another run is open on the site, and no process has it.
    #[error("take the site: run {run} is open on it; resume it or roll it back with `--state {}`", .state_dir.display())]
    SiteOpen {
        /// The run.
        run: String,
        /// Its state folder.
        state_dir: PathBuf,
    },
    /// The locks cannot be handed on to commands.
    #[error("hand the run's locks on: {0}")]
    Locks(std::io::Error),
    /// A lock cannot be asked for.
    #[error(transparent)]
    Lock(LockError),
    /// The site does not open or cannot be marked.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// The run directory is not usable.
    #[error(transparent)]
    Dir(#[from] RunDirError),
    /// The journal is not usable.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A step of the plan is not one that this build reads.
    #[error("{0}")]
    Step(String),
}

impl SessionError {
    /// Returns whether a database server did not answer.
    pub fn is_away(&self) -> bool {
        matches!(self, SessionError::Site(error) if error.is_away())
    }
}

/// Who drives: for the journal and for marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Driver {
    /// Name of the user.
    pub user: String,
    /// Name of the machine.
    pub host: String,
    /// Version of the engine.
    pub engine: String,
    /// Our own program.
    pub program: PathBuf,
}

impl Driver {
    /// `user@host`.
    pub fn name(&self) -> String {
        format!("{}@{}", self.user, self.host)
    }
}

/// A run in the hands of this process. Its locks die with it.
pub struct Session {
    /// The run directory.
    pub dir: RunDir,
    /// The plan that is carried out.
    pub plan: Plan,
    /// The site, or its scratch copies.
    pub site: Site,
    steps: Vec<Box<dyn AnyStep>>,
    journal: Option<(Journal, Vec<Entry>)>,
    driver: Driver,
    databases: Vec<postgres::Lock>,
    _locks: (RunLock, Vec<FolderLock>),
}

impl Session {
    /// Makes a run of a plan, or a rehearsal of one with the services that run in it. Nothing of the site is touched but its
    /// locks; [`Session::begin`] writes the first record.
    pub fn create(
        root: &Path,
        state: &StateDir,
        plan: Plan,
        registry: &Registry,
        driver: &Driver,
        rehearsal: Option<Privates>,
    ) -> Result<Session, SessionError> {
        let steps = read_steps(&plan, registry)?;
        let site = open_site(&plan, state, &RunDir::at(root), driver, rehearsal)?;
        let folders = take_folders(&site)?;
        refuse_other_run(&site, &RunDir::at(root))?;
        let dir = RunDir::create(root, &plan)?;
        let lock = RunLock::take(&dir.lock()).map_err(SessionError::Lock)?;
        let databases = take_databases(&site, &dir.name())?;
        let site = hand_on(site, &lock, &folders)?;
        let journal = Journal::create(&dir.journal())?;
        Ok(Session {
            dir,
            plan,
            site,
            steps,
            journal: Some((journal, Vec::new())),
            driver: driver.clone(),
            databases,
            _locks: (lock, folders),
        })
    }

    /// Takes up a run that exists, in whatever state its journal says. A transaction that its last life left half done in
    /// a database is rolled back.
    pub fn open(
        dir: RunDir,
        state: &StateDir,
        registry: &Registry,
        driver: &Driver,
    ) -> Result<Session, SessionError> {
        let plan = dir.plan()?;
        let steps = read_steps(&plan, registry)?;
        let lock = match RunLock::take(&dir.lock()) {
            Err(LockError::Held { .. }) => return Err(SessionError::RunHeld { run: dir.name() }),
            other => other.map_err(SessionError::Lock)?,
        };
        let site = open_site(&plan, state, &dir, driver, None)?;
        let folders = take_folders(&site)?;
        // A killed client does not stop a statement: what a dead life left at work is over before anything is looked at.
        let databases = take_databases(&site, &dir.name())?;
        refuse_other_run(&site, &dir)?;
        let site = hand_on(site, &lock, &folders)?;
        let journal = Journal::open(&dir.journal())?;
        // A process that was killed while SQLite committed leaves a database that nobody can look into.
        site.settle()?;
        Ok(Session {
            dir,
            plan,
            site,
            steps,
            journal: Some(journal),
            driver: driver.clone(),
            databases,
            _locks: (lock, folders),
        })
    }

    /// What the journal says, folded.
    pub fn state(&self) -> Result<RunState, RunError> {
        let entries = self.journal.as_ref().map(|(_, entries)| entries.as_slice()).unwrap_or_default();
        Ok(RunState::fold(self.plan.steps.len(), entries.iter().map(|entry| &entry.record))?)
    }

    /// The steps.
    pub fn steps(&self) -> &[Box<dyn AnyStep>] {
        &self.steps
    }

    /// Begins a life of the run: the first record if it has none, and the record of this process.
    pub fn begin(
        &mut self,
        accepted: Vec<String>,
        bus: Bus,
        tell: Tell,
        back_on_interrupt: bool,
    ) -> Result<Runner<'_>, RunError> {
        let (journal, entries) = match self.journal.take() {
            Some(journal) => journal,
            None => Journal::open(&self.dir.journal())?,
        };
        let (fresh, mark) = (entries.is_empty(), self.mark());
        let mut runner = Runner::new(RunnerParts {
            phases: self.plan.phases(),
            ids: self.plan.steps.iter().map(|step| step.id.clone()).collect(),
            steps: &self.steps,
            site: &self.site,
            dir: &self.dir,
            journal,
            entries,
            bus,
            tell,
            mark,
            back_on_interrupt,
            locks: &mut self.databases,
        })?;
        if fresh {
            runner.note(Record::RunStarted {
                run: self.dir.name(),
                plan: self.plan.digest,
                accepted,
                rehearsal: self.site.is_rehearsal(),
            })?;
        }
        runner.note(Record::LifeStarted {
            engine: self.driver.engine.clone(),
            by: self.driver.name(),
            pid: std::process::id(),
        })?;
        Ok(runner)
    }

    fn mark(&self) -> Marker {
        Marker {
            format: 1,
            run: self.dir.name(),
            state_dir: state_of(&self.dir).to_owned(),
            pid: std::process::id(),
            user: self.driver.user.clone(),
            host: self.driver.host.clone(),
            since: jiff::Timestamp::now().to_string(),
        }
    }
}

/// The state folder that a run directory lies in: `STATE/runs/RUN`.
fn state_of(dir: &RunDir) -> &Path {
    dir.root().ancestors().nth(2).unwrap_or(dir.root())
}

fn read_steps(plan: &Plan, registry: &Registry) -> Result<Vec<Box<dyn AnyStep>>, SessionError> {
    plan.steps
        .iter()
        .map(|step| registry.read(&step.kind, step.body.clone()).map_err(SessionError::Step))
        .collect()
}

fn open_site(
    plan: &Plan,
    state: &StateDir,
    dir: &RunDir,
    driver: &Driver,
    rehearsal: Option<Privates>,
) -> Result<Site, SiteError> {
    let dirs = SiteDirs {
        services: state.services(),
        logs: dir.logs(),
        backups: dir.backups(),
        artifacts: dir.artifacts(),
        program: driver.program.clone(),
    };
    let site = Site::open(&plan.targets, dirs)?;
    Ok(match rehearsal {
        Some(privates) => site.for_rehearsal(privates),
        None => site,
    })
}

/// Looks whether a process has a run on this site now. A mark without a lock is that of a run whose process is gone.
pub fn refuse_taken(site: &Site) -> Result<(), SessionError> {
    // Without a mark nobody is disturbed by a lock that is held for a moment only to look.
    if site.open_runs()?.is_empty() {
        return Ok(());
    }
    take_folders(site)?;
    take_databases(site, LOOKING).map(drop)
}

/// A run that never is: the name under which a lock is asked for only to look whether it is held.
const LOOKING: &str = "none";

/// Takes the lock of every PostgreSQL database that is written to, or says who has it.
fn take_databases(site: &Site, run: &str) -> Result<Vec<postgres::Lock>, SessionError> {
    site.lock_databases(run, &Tell::quiet()).map_err(|error| match error {
        SiteError::PgLock(postgres::LockError::Held { place, holder }) => {
            SessionError::SiteHeld { folder: PathBuf::from(place), holder: format!("{holder} has it") }
        }
        error => SessionError::Site(error),
    })
}

/// Looks again, with the locks taken: a run that is open and dead holds none, and may have begun since the plan was made.
fn refuse_other_run(site: &Site, dir: &RunDir) -> Result<(), SessionError> {
    let marks = site.open_runs()?;
    match marks.into_iter().find(|mark| mark.run != dir.name() && !state_dir::is_over(mark)) {
        Some(mark) => Err(SessionError::SiteOpen { run: mark.run, state_dir: mark.state_dir }),
        None => Ok(()),
    }
}

/// Gives the site copies of the run's locks: a command that outlives a killed run keeps it taken until it has ended.
fn hand_on(site: Site, lock: &RunLock, folders: &[FolderLock]) -> Result<Site, SessionError> {
    let copies = std::iter::once(lock.pass_on()).chain(folders.iter().map(FolderLock::pass_on));
    let locks = copies.collect::<std::io::Result<Vec<_>>>().map_err(SessionError::Locks)?;
    Ok(site.holding(locks))
}

fn take_folders(site: &Site) -> Result<Vec<FolderLock>, SessionError> {
    let mut locks = Vec::new();
    for folder in site.folders() {
        match FolderLock::take(&folder) {
            Ok(lock) => locks.push(lock),
            Err(LockError::Held { .. }) => {
                let holder = match site.open_runs()?.first() {
                    Some(mark) => format!(
                        "run {} has it, by {}@{} (process {}), since {}, from {}",
                        mark.run,
                        mark.user,
                        mark.host,
                        mark.pid,
                        mark.since,
                        mark.state_dir.display()
                    ),
                    None => "another run has it".to_owned(),
                };
                return Err(SessionError::SiteHeld { folder, holder });
            }
            Err(error) => return Err(SessionError::Lock(error)),
        }
    }
    Ok(locks)
}
