//! Rehearsal: the same plan over scratch copies of the targets.

use crate::registry::Registry;
use crate::run_dir::{RunDirError, make_private};
use crate::session::{Driver, Session, SessionError};
use crate::state_dir::StateDir;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use switchback_model::plan::Plan;
use switchback_model::target::TargetDef;
use switchback_site::sqlite::{BackupError, Database, scratch_copy};
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
    let targets = copy_targets(&plan.targets, &copies, tell)?;
    let dirs = SiteDirs {
        services: state.services(),
        logs: folder.join("logs"),
        backups: folder.join("none"),
        program: driver.program.clone(),
    };
    let site = Site::open(&targets, dirs)?.for_rehearsal();
    let mut left_out = Vec::new();
    let mut scratch = plan.clone();
    scratch.targets = targets;
    scratch.steps.retain(|planned| match registry.read(&planned.kind, planned.body.clone()) {
        Ok(step) => match step.not_rehearsed(&site) {
            Some(why) => {
                left_out.push((planned.id.clone(), why));
                false
            }
            None => true,
        },
        Err(_) => true,
    });
    let scratch = scratch.seal();
    let session =
        Session::create(&folder.join("runs").join("rehearsal"), state, scratch, registry, driver, true)?;
    Ok(Rehearsal { session, left_out, folder: folder.to_owned() })
}

fn copy_targets(
    targets: &BTreeMap<String, TargetDef>,
    copies: &Path,
    tell: &Tell,
) -> Result<BTreeMap<String, TargetDef>, RehearsalError> {
    let mut copied = targets.clone();
    for (name, def) in &mut copied {
        let copy = copies.join(name);
        match def {
            TargetDef::Sqlite { path } => {
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
            TargetDef::Postgres { .. } | TargetDef::Service { .. } | TargetDef::Http { .. } => {}
        }
    }
    Ok(copied)
}
