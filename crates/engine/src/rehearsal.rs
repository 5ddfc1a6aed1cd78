//! Rehearsal: the same plan over scratch copies of the targets.

use crate::registry::Registry;
use crate::run_dir::{RunDirError, make_private};
use crate::session::{Driver, Session, SessionError};
use crate::state_dir::StateDir;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use switchback_model::address;
use switchback_model::artifact::Artifact;
use switchback_model::plan::{Access, Plan, PlannedStep};
use switchback_model::target::TargetDef;
use switchback_site::postgres::scratch::{copy, create};
use switchback_site::postgres::{self, ScratchError, drop_scratch, leftovers};
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
    /// The run over the copies.
    pub session: Session,
    /// Steps that are not rehearsed: name and why.
    pub left_out: Vec<(String, String)>,
    /// The folder with everything.
    pub folder: PathBuf,
    /// The scratch databases. Last, so that the session has let go of them when they are dropped.
    pub scratch: Scratch,
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
    let dirs = SiteDirs {
        services: state.services(),
        logs: folder.join("logs"),
        backups: folder.join("none"),
        artifacts: folder.join("none"),
        program: driver.program.clone(),
    };
    let site = Site::open(&targets, dirs)?.for_rehearsal();
    let mut left_out = Vec::new();
    let mut scratch = plan.clone();
    scratch.targets = targets;
    scratch.steps.retain(|planned| {
        if planned.only_live {
            left_out
                .push((planned.id.clone(), "it is about the site itself, and not about a copy".to_owned()));
        }
        !planned.only_live
    });
    let mut unmade = BTreeMap::new();
    scratch.steps.retain(|planned| {
        let Ok(step) = registry.read(&planned.kind, planned.body.clone()) else { return true };
        let needs = planned.touches.iter().find_map(|touch| unmade.get(&touch.target).cloned());
        let Some(why) = step.not_rehearsed(&site).or(needs) else { return true };
        unmade.extend(not_made_without(planned, &site));
        left_out.push((planned.id.clone(), why));
        false
    });
    // What is made from something that is not made in a rehearsal is not made either.
    let mut made = BTreeSet::new();
    scratch.steps.retain(|planned| match registry.read(&planned.kind, planned.body.clone()) {
        Ok(step) => match step.takes().into_iter().find(|artifact| !made.contains(&artifact.label())) {
            Some(missing) => {
                let why = format!("it reads {}, which is not made in a rehearsal", missing.label());
                left_out.push((planned.id.clone(), why));
                false
            }
            None => {
                made.extend(step.makes().iter().map(Artifact::label));
                true
            }
        },
        Err(_) => true,
    });
    let scratch = scratch.seal();
    let session =
        Session::create(&folder.join("runs").join("rehearsal"), state, scratch, registry, driver, true)?;
    Ok(Rehearsal { session, left_out, folder: folder.to_owned(), scratch: scratch_databases })
}

/// What nobody makes where this step is left out, and why: nothing that is about it can be rehearsed after that.
fn not_made_without(planned: &PlannedStep, site: &Site) -> BTreeMap<String, String> {
    let mut targets: Vec<&String> = Vec::new();
    for touch in &planned.touches {
        match (touch.access, site.targets().get(&touch.target)) {
            (Access::Starts, Some(TargetDef::Service { stores, .. })) => targets.extend(stores),
            (Access::Writes, Some(_)) => targets.push(&touch.target),
            _ => {}
        }
    }
    targets
        .into_iter()
        .filter(|target| matches!(site.vacancy(target), Ok(Some(_))))
        .map(|target| (target.clone(), format!("{target} is made by {}, which is left out", planned.id)))
        .collect()
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
