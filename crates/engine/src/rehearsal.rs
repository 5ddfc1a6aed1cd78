//! Rehearsal: the same plan over scratch copies of the targets.

mod privates;
mod walk;

use self::walk::Walked;
use crate::registry::Registry;
use crate::run_dir::{RunDirError, make_private};
use crate::session::{Driver, Session, SessionError};
use crate::state_dir::StateDir;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use switchback_model::address;
use switchback_model::plan::Plan;
use switchback_model::target::TargetDef;
use switchback_site::postgres::scratch::{copy, create};
use switchback_site::postgres::{self, ScratchError, drop_scratch, leftovers};
use switchback_site::service::{PrivateSpec, ServiceError, end_all};
use switchback_site::sqlite::{BackupError, Database, Vacancy, scratch_copy};
use switchback_site::{Site, SiteDirs, SiteError, Tell};

/// Why a rehearsal cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// A database cannot be copied.
    #[error("copy {target}: {source}")]
    Copy {
        /// The target.
        target: String,
        /// Why.
        source: BackupError,
    },
    /// A PostgreSQL database cannot be copied.
    #[error("copy {target}: {source}")]
    Scratch {
        /// The target.
        target: String,
        /// Why.
        source: ScratchError,
    },
    /// A file cannot be copied, or a folder made.
    #[error("make {path}: {source}", path = .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no port for a private service.
    #[error("find a free port for a private service: {0}")]
    Port(std::io::Error),
    /// The site does not open.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// The run directory cannot be made.
    #[error(transparent)]
    Dir(#[from] RunDirError),
    /// The run cannot be taken up.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// A rehearsal, set up.
pub struct Rehearsal {
    /// The services that run in it, and where they answer.
    pub privates: BTreeMap<String, String>,
    /// Ends what runs of them, before anything that they run over goes.
    pub services: Services,
    /// The run over the copies.
    pub session: Session,
    /// Steps that are not rehearsed: name and why.
    pub left_out: Vec<(String, String)>,
    /// The folder with everything.
    pub folder: PathBuf,
    /// The scratch databases. Last, so that the session has let go of them when they are dropped.
    pub scratch: Scratch,
}

/// The services of a rehearsal. Whatever runs of them ends with the value.
pub struct Services {
    folder: PathBuf,
}

impl Services {
    /// Ends them. After `Ok` none of their processes is left.
    pub fn end(&self) -> Result<usize, ServiceError> {
        end_all(&self.folder, &Tell::quiet())
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        // One that stays is found by its record, which stays as well, when the next rehearsal begins.
        let _ = self.end();
    }
}

/// Ends what a dead rehearsal in `folder` has left running, by its records. Returns how many services that were.
pub fn end_leftovers(folder: &Path) -> Result<usize, ServiceError> {
    end_all(&StateDir::at(folder).services(), &Tell::quiet())
}

/// The scratch databases of a rehearsal. They are dropped with the value, unless they are kept.
#[derive(Default)]
pub struct Scratch {
    run: String,
    made: Vec<(postgres::Database, String)>,
}

impl Scratch {
    /// The scratch databases of this state folder; those that a dead rehearsal has left on a server go when it is met again.
    fn of(state: &StateDir) -> Scratch {
        Scratch { run: format!("rehearsal in {}", state.root().display()), made: Vec::new() }
    }

    /// Keeps the databases for somebody to look at, and names them.
    pub fn keep(&mut self) -> Vec<String> {
        std::mem::take(&mut self.made)
            .into_iter()
            .map(|(server, name)| server.beside(&name).place())
            .collect()
    }

    /// Copies schemas of a database into a scratch database of the same server, and returns its name. Where there is
    /// nothing to copy it is empty.
    fn copy(
        &mut self,
        of: &postgres::Database,
        schemas: &[String],
        bare: bool,
        work: &Path,
        tell: &Tell,
    ) -> Result<String, ScratchError> {
        if self.made.is_empty() {
            for left in leftovers(of, &self.run)? {
                drop_scratch(of, &left, &self.run, tell)?;
            }
        }
        let name = match bare {
            true => create(of, &self.run, tell)?,
            false => copy(of, schemas, &self.run, work, tell)?,
        };
        self.made.push((of.clone(), name.clone()));
        Ok(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for (server, name) in &self.made {
            // One that stays carries our mark, and goes with the next rehearsal.
            let _ = drop_scratch(server, name, &self.run, &Tell::quiet());
        }
    }
}

/// Copies the targets of a plan into `folder` and makes a run of what can be carried out on copies.
pub fn set_up(
    folder: &Path,
    plan: &Plan,
    state: &StateDir,
    registry: &Registry,
    driver: &Driver,
    tell: &Tell,
) -> Result<Rehearsal, RehearsalError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| RehearsalError::Io { path, source }
    };
    let copies = folder.join("copies");
    make_private(&copies).map_err(io(&copies))?;
    let mut scratch_databases = Scratch::of(state);
    let targets = copy_targets(&plan.targets, &copies, &mut scratch_databases, driver, tell)?;
    // Its services are none of those that runs know, whatever they are called.
    let own = StateDir::at(folder);
    make_private(&own.services()).map_err(io(&own.services()))?;
    let services = Services { folder: own.services() };
    let dirs = SiteDirs {
        services: own.services(),
        logs: folder.join("logs"),
        backups: folder.join("none"),
        artifacts: folder.join("none"),
        program: driver.program.clone(),
    };
    let privates = privates::privates(&plan.targets, &targets, folder)?;
    let moved = walk::moved_targets(targets, &privates);
    let site = Site::open(&moved, dirs)?.for_rehearsal(privates);
    let mut scratch = plan.clone();
    scratch.targets = moved;
    let Walked { steps, left_out, privates } = walk::walk(&plan.steps, site, registry);
    scratch.steps = steps;
    let scratch = scratch.seal();
    let run = folder.join("runs").join("rehearsal");
    let session = Session::create(&run, &own, scratch, registry, driver, Some(privates.clone()))?;
    let runs =
        |(name, spec): (String, PrivateSpec)| privates.running.contains(&name).then(|| (name, spec.base()));
    let privates = privates.specs.clone().into_iter().filter_map(runs).collect();
    Ok(Rehearsal {
        privates,
        services,
        session,
        left_out,
        folder: folder.to_owned(),
        scratch: scratch_databases,
    })
}

fn copy_targets(
    targets: &BTreeMap<String, TargetDef>,
    copies: &Path,
    scratch: &mut Scratch,
    driver: &Driver,
    tell: &Tell,
) -> Result<BTreeMap<String, TargetDef>, RehearsalError> {
    let mut copied = targets.clone();
    let dirs = SiteDirs {
        services: copies.to_owned(),
        logs: copies.to_owned(),
        backups: copies.to_owned(),
        artifacts: copies.to_owned(),
        program: driver.program.clone(),
    };
    let original = Site::open(targets, dirs)?;
    for (name, def) in &mut copied {
        let copy = copies.join(name);
        match def {
            TargetDef::Sqlite { path, .. } if original.vacancy(name)?.is_some() => {
                // A scratch copy of nothing is nothing.
                if original.vacancy(name)? != Some(Vacancy::Absent) {
                    std::fs::write(&copy, b"")
                        .map_err(|source| RehearsalError::Io { path: copy.clone(), source })?;
                }
                *path = copy.display().to_string();
            }
            TargetDef::Sqlite { path, .. } => {
                scratch_copy(&Database::new(path.as_str()), &copy, tell)
                    .map_err(|source| RehearsalError::Copy { target: name.clone(), source })?;
                *path = copy.display().to_string();
            }
            TargetDef::File { path } => {
                match std::fs::copy(&*path, &copy) {
                    Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                        return Err(RehearsalError::Io { path: copy, source });
                    }
                    _ => {}
                }
                *path = copy.display().to_string();
            }
            // What is only read is read where it is: the server sees to it that nothing is written.
            TargetDef::Postgres { read_only: true, .. } => {}
            TargetDef::Postgres { url, schemas, .. } => {
                let bare = original.is_bare(name, tell)?;
                let made = scratch.copy(&original.postgres(name)?, schemas, bare, &copy, tell);
                let made = made.map_err(|source| RehearsalError::Scratch { target: name.clone(), source })?;
                *url = address::beside(url, &made);
            }
            TargetDef::Service { .. } | TargetDef::Http { .. } => {}
        }
    }
    Ok(copied)
}
