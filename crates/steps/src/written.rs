//! Files that a foreign program writes for a step: kept before it runs, known by what it left, and put back.

use crate::trial::remove;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use switchback_engine::run_dir::write_durably;
use switchback_engine::{StepError, Work};
use switchback_site::Site;
use switchback_site::file::{Before, Image, capture, put_back};

/// The before-images of files by the name of their target; `None` where the step keeps none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kept(Option<BTreeMap<String, Before>>);

impl Kept {
    /// Copies the files into the run directory. After `Ok` the copies survive a power cut.
    pub(crate) fn of(files: &[String], site: &Site, work: &Work<'_>) -> Result<Kept, StepError> {
        if files.is_empty() {
            return Ok(Kept(None));
        }
        let mut kept = BTreeMap::new();
        for target in files {
            let copy = work.dir.keep().join(format!("{}.before.{target}", work.step));
            kept.insert(target.clone(), capture(&site.file(target)?, &copy)?);
        }
        Ok(Kept(Some(kept)))
    }

    fn iter(&self) -> impl Iterator<Item = (&String, &Before)> {
        self.0.iter().flatten()
    }

    /// Refuses a file that is neither as it was nor as the program left it. While the program has begun and nobody has
    /// noted its end, whatever lies there may be a half of its work.
    pub(crate) fn refuse_foreign(&self, begun: bool, site: &Site, work: &Work<'_>) -> Result<(), StepError> {
        if work.losing_writes {
            return Ok(());
        }
        let left = left(work)?;
        for (target, before) in self.iter() {
            let path = site.file(target)?;
            let now = Image::read(&path)?;
            let is_ours = match &left {
                Some(left) => left.get(target) == Some(&now),
                None => begun,
            };
            if now != before.image && !is_ours {
                let file = path.display();
                return Err(StepError::conflict(format!("{file} was changed by somebody else")).help(
                    format!("keep what it holds now; the file as it was is in {}", work.dir.keep().display()),
                ));
            }
        }
        Ok(())
    }

    /// Notes what the program left, now that it has ended. After `Ok` the note survives a power cut.
    pub(crate) fn note_left(&self, site: &Site, work: &Work<'_>) -> Result<(), StepError> {
        let mut left = BTreeMap::new();
        for (target, _) in self.iter() {
            left.insert(target, Image::read(&site.file(target)?)?);
        }
        if left.is_empty() {
            return Ok(());
        }
        let note = note(work);
        let text = serde_json::to_vec(&left)
            .map_err(|e| StepError::failed(format!("note what a command left: {e}")))?;
        work.tell.point("run.left")?;
        write_durably(&note, &text)
            .map_err(|e| StepError::failed(format!("write {}: {e}", note.display())))?;
        work.tell.point("run.left-noted")?;
        Ok(())
    }

    /// Puts every file back as it was, and reads it back. A repeat changes nothing.
    pub(crate) fn put_back(&self, site: &Site, work: &Work<'_>) -> Result<(), StepError> {
        for (target, before) in self.iter() {
            let path = site.file(target)?;
            put_back(&path, before, work.tell)?;
            if Image::read(&path)? != before.image {
                return Err(StepError::failed(format!("put {} back as it was", path.display())));
            }
        }
        Ok(())
    }
}

/// Whether the end of the program was noted.
pub(crate) fn is_noted(work: &Work<'_>) -> bool {
    note(work).exists()
}

/// Forgets what the program left, before it is let at the files once more.
pub(crate) fn forget(work: &Work<'_>) -> Result<(), StepError> {
    remove(&note(work))
}

fn note(work: &Work<'_>) -> PathBuf {
    work.dir.keep().join(format!("{}.left", work.step))
}

fn left(work: &Work<'_>) -> Result<Option<BTreeMap<String, Image>>, StepError> {
    let note = note(work);
    let wrong = |e: &dyn std::fmt::Display| StepError::failed(format!("read {}: {e}", note.display()));
    match std::fs::read(&note) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| wrong(&e)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(wrong(&e)),
    }
}
