//! `trial`: makes a backup of the running database and throws it away, so that a backup that cannot be made is found
//! before anything was stopped. Only the planner puts it in.

use crate::backup::BYTES_A_MS;
use crate::database::postgres_backup;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::PathBuf;
use switchback_engine::run_dir::write_durably;
use switchback_engine::{Condition, Overlay, Preview, Step, StepError, Work};
use switchback_model::plan::{Access, Reversal, Touch};
use switchback_model::words;
use switchback_site::Site;
use switchback_site::sqlite::{backup, partial_of};

/// The step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// Name of the target.
    pub target: String,
}

impl Trial {
    fn copy(&self, work: &Work<'_>) -> PathBuf {
        work.dir.keep().join(format!("{}.trial", self.target))
    }

    fn proof(&self, work: &Work<'_>) -> PathBuf {
        work.dir.keep().join(format!("{}.trial.json", self.target))
    }

    /// Drops the scratch databases in which a life that was cut tried its dump.
    fn drop_scratch(&self, site: &Site, work: &Work<'_>) -> Result<(), StepError> {
        match site.is_postgres(&self.target) {
            true => postgres_backup::drop_scratch(site, &self.target, work),
            false => Ok(()),
        }
    }
}

impl Step for Trial {
    const KIND: &'static str = "trial";
    type Before = ();

    fn describe(&self) -> String {
        format!("try out a backup of {} while it runs", self.target)
    }

    fn subject(&self) -> String {
        self.target.clone()
    }

    fn touches(&self) -> Vec<Touch> {
        vec![Touch::new(&self.target, Access::Reads)]
    }

    fn reversal(&self) -> Reversal {
        Reversal::ByUndo
    }

    fn preview(&self, world: &mut Overlay<'_>) -> Result<Preview, StepError> {
        let bytes = world.site.size(&self.target)?.unwrap_or(0);
        Ok(Preview::of([words::bytes(bytes)], 20 + bytes / BYTES_A_MS))
    }

    fn check(&self, _site: &Site, work: &Work<'_>) -> Result<Condition, StepError> {
        match std::fs::read(self.proof(work)) {
            Ok(bytes) if !self.copy(work).exists() => {
                Ok(Condition::Applied(serde_json::from_slice(&bytes).unwrap_or_default()))
            }
            Ok(_) => Ok(Condition::Partial),
            Err(_) => Ok(Condition::Pending),
        }
    }

    fn prepare(&self, _site: &Site, _work: &Work<'_>) -> Result<(), StepError> {
        Ok(())
    }

    fn apply(&self, site: &Site, (): &(), work: &Work<'_>) -> Result<Value, StepError> {
        let copy = self.copy(work);
        remove(&copy)?;
        self.drop_scratch(site, work)?;
        let seen = if site.is_postgres(&self.target) {
            postgres_backup::trial(site, &self.target, &copy, work)?
        } else {
            let report = backup(&site.database(&self.target)?, &copy, work.tell)?;
            json!({ "bytes": report.bytes, "rows": report.rows.values().sum::<u64>() })
        };
        // One that could not be dropped after its proof, because the server went away.
        self.drop_scratch(site, work)?;
        let (proof, text) = (self.proof(work), seen.to_string());
        write_durably(&proof, text.as_bytes())
            .map_err(|e| StepError::failed(format!("write {}: {e}", proof.display())))?;
        work.tell.point("trial.proven")?;
        remove(&copy)?;
        work.tell.point("trial.removed")?;
        Ok(seen)
    }

    fn undo(&self, site: &Site, (): &(), work: &Work<'_>) -> Result<(), StepError> {
        self.drop_scratch(site, work)?;
        remove(&partial_of(&self.copy(work)))?;
        remove(&switchback_site::postgres::backup::partial_of(&self.copy(work)))?;
        remove(&self.copy(work))?;
        remove(&self.proof(work))
    }
}

/// Removes a file, or a folder with everything in it; twice is once.
pub(crate) fn remove(path: &std::path::Path) -> Result<(), StepError> {
    let is_folder = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir());
    let removed = if is_folder { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match removed {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(StepError::failed(format!("remove {}: {e}", path.display())))
        }
        _ => Ok(()),
    }
}
