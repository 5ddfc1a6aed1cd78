//! The space that a plan needs, computed from real sizes.

use crate::artifact_room;
use crate::draft::Draft;
use crate::planner::Refusal;
use crate::step::Preview;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use switchback_model::plan::{Access, DiskNeed};
use switchback_site::{Site, disk};

/// Space that the run directory needs beside backups: plan, journal, logs.
const RUN_DIRECTORY: u64 = 4 << 20;

/// What takes space in one folder.
#[derive(Default)]
struct Load {
    bytes: u64,
    why: Vec<String>,
}

/// The space that a plan needs, by how much is known of it.
pub(crate) struct Needs {
    /// Measured.
    pub disk: Vec<DiskNeed>,
    /// On servers whose disks nobody can see from here, a sentence each.
    pub unseen: Vec<String>,
    /// What should be measurable and is not.
    pub unknown: Vec<Refusal>,
}

/// Computes what each filesystem must have free at the worst moment, beyond what is used now. What cannot be measured is a
/// refusal: a size that nobody knows is not nothing.
pub(crate) fn needs(drafts: &[Draft], previews: &[Preview], site: &Site, state_dir: &Path) -> Needs {
    let mut unseen = Vec::new();
    let mut unknown = Vec::new();
    let mut folders: BTreeMap<PathBuf, Load> = BTreeMap::new();
    let mut add = |folder: &Path, bytes: u64, why: String| {
        let load = folders.entry(folder.to_owned()).or_default();
        load.bytes += bytes;
        load.why.push(why);
    };
    let kept = previews.iter().map(|preview| preview.keeps).sum::<u64>();
    add(state_dir, kept + RUN_DIRECTORY, format!("backups {}", show(kept)));
    let room = artifact_room::of(drafts, previews, site.targets());
    if room.bytes > 0 {
        let why = format!("artifacts {}, by what the endpoints gave when this was planned", show(room.bytes));
        add(state_dir, room.bytes, why);
    }
    if !room.unknown.is_empty() {
        let (labels, folder) = (room.unknown.join(", "), state_dir.display());
        unseen.push(format!("{labels} in {folder}: how much they take is not known before they are there"));
    }
    for target in backed_up(drafts) {
        let size = site.size(&target).ok().flatten();
        let grows = previews.iter().flat_map(|preview| &preview.grows).filter(|(name, _)| *name == target);
        let most = grows.map(|(_, bytes)| *bytes).max().unwrap_or(0) + room.fed.get(&target).unwrap_or(&0);
        if let (true, Some(size)) = (site.is_postgres(&target), size) {
            // A server says how large its data are, and not how large its disk is.
            unseen.push(format!(
                "{} on the server of {target} (change {}, way back {}); how much is free there cannot be measured from here",
                show(most + size),
                show(most),
                show(size)
            ));
            continue;
        }
        let (Some(folder), Some(size)) = (site.folder(&target), size) else {
            unknown.push(unmeasured(format!("how large {target} is")));
            continue;
        };
        // Going back puts the copy beside the database before it replaces it, when the database has grown to its most.
        add(&folder, most + size, format!("{target}: change {}, way back {}", show(most), show(size)));
    }
    let disk = merge(folders, &mut unknown);
    Needs { disk, unseen, unknown }
}

fn backed_up(drafts: &[Draft]) -> BTreeSet<String> {
    let touches = drafts.iter().flat_map(|draft| draft.step.touches());
    touches.filter(|touch| touch.access == Access::BacksUp).map(|touch| touch.target).collect()
}

fn unmeasured(what: String) -> Refusal {
    Refusal::new("D012", format!("cannot tell {what}, and so not whether the disk is large enough"))
        .help("look whether whoever runs switchback may see it")
}

/// Folders on one filesystem share its space.
fn merge(folders: BTreeMap<PathBuf, Load>, unknown: &mut Vec<Refusal>) -> Vec<DiskNeed> {
    let mut needs: BTreeMap<u64, DiskNeed> = BTreeMap::new();
    for (folder, load) in folders {
        let Ok(space) = disk::space(&folder) else {
            unknown.push(unmeasured(format!("how much is free in {}", folder.display())));
            continue;
        };
        let need = needs.entry(space.device).or_insert_with(|| DiskNeed {
            folder: folder.display().to_string(),
            needed: 0,
            free: space.free,
            why: String::new(),
        });
        need.needed += load.bytes;
        let gap = if need.why.is_empty() { "" } else { "; " };
        need.why = format!("{}{gap}{}", need.why, load.why.join(", "));
    }
    needs.into_values().collect()
}

/// Says that a filesystem is too small.
pub(crate) fn refusal(need: &DiskNeed) -> Refusal {
    let missing = need.needed.saturating_sub(need.free);
    Refusal::new(
        "D010",
        format!("{} has {} free, and the upgrade needs {}", need.folder, show(need.free), show(need.needed)),
    )
    .help(format!(
        "free {} there, or keep the state elsewhere with `--state DIR` ({})",
        show(missing),
        need.why
    ))
}

fn show(bytes: u64) -> String {
    switchback_model::words::bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StepError;
    use crate::overlay::Overlay;
    use crate::step::{Condition, Step, Work};
    use serde_json::Value;
    use std::os::unix::fs::symlink;
    use switchback_model::phase::Phase;
    use switchback_model::plan::{Reversal, Touch};
    use switchback_model::target::TargetDef;
    use switchback_site::SiteDirs;

    /// A step that backs a target up, and does nothing else.
    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    struct BacksUp(String);

    impl Step for BacksUp {
        const KIND: &'static str = "backs-up";
        type Before = ();

        fn describe(&self) -> String {
            "back it up".to_owned()
        }
        fn subject(&self) -> String {
            self.0.clone()
        }
        fn touches(&self) -> Vec<Touch> {
            vec![Touch::new(&self.0, Access::BacksUp)]
        }
        fn reversal(&self) -> Reversal {
            Reversal::ByUndo
        }
        fn preview(&self, _: &mut Overlay<'_>) -> Result<Preview, StepError> {
            Ok(Preview::default())
        }
        fn check(&self, _: &Site, _: &Work<'_>) -> Result<Condition, StepError> {
            Ok(Condition::Pending)
        }
        fn prepare(&self, _: &Site, _: &Work<'_>) -> Result<(), StepError> {
            Ok(())
        }
        fn apply(&self, _: &Site, (): &(), _: &Work<'_>) -> Result<Value, StepError> {
            Ok(Value::Null)
        }
        fn undo(&self, _: &Site, (): &(), _: &Work<'_>) -> Result<(), StepError> {
            Ok(())
        }
    }

    /// What is needed to back `app.db` in `folder` up, with the state kept in `state`.
    fn of(folder: &Path, state: &Path) -> (Vec<DiskNeed>, Vec<Refusal>) {
        let path = folder.join("app.db").display().to_string();
        let targets = BTreeMap::from([("db".to_owned(), TargetDef::Sqlite { path, made_by_us: false })]);
        let none = || folder.join("none");
        let dirs =
            SiteDirs { services: none(), logs: none(), backups: none(), artifacts: none(), program: none() };
        let site = Site::open(&targets, dirs).unwrap();
        let step = Box::new(BacksUp("db".to_owned()));
        let draft = Draft::plain(Phase::Change, step);
        let needs = needs(&[draft], &[Preview::default()], &site, state);
        (needs.disk, needs.unknown)
    }

    fn refused(unknown: &[Refusal]) -> Vec<(&str, &str)> {
        unknown.iter().map(|refusal| (refusal.code.as_str(), refusal.message.as_str())).collect()
    }

    #[test]
    fn what_can_be_measured_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("app.db"), [0; 4096]).unwrap();
        let (needs, unknown) = of(folder.path(), folder.path());
        assert_eq!(refused(&unknown), []);
        assert_eq!(needs.iter().map(|need| need.needed).sum::<u64>(), RUN_DIRECTORY + 4096);
    }

    #[test]
    fn a_target_whose_size_cannot_be_measured_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("app.db"), [0; 4096]).unwrap();
        // A link to itself is neither there nor missing.
        symlink("app.db-wal", folder.path().join("app.db-wal")).unwrap();
        let (_, unknown) = of(folder.path(), folder.path());
        let message = "cannot tell how large db is, and so not whether the disk is large enough";
        assert_eq!(refused(&unknown), [("D012", message)]);
    }

    #[test]
    fn a_volume_whose_free_space_cannot_be_measured_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("app.db"), [0; 4096]).unwrap();
        let state = folder.path().join("state");
        symlink("state", &state).unwrap();
        let (_, unknown) = of(folder.path(), &state);
        let message = format!(
            "cannot tell how much is free in {}, and so not whether the disk is large enough",
            state.display()
        );
        assert_eq!(refused(&unknown), [("D012", message.as_str())]);
    }
}
