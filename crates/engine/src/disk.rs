//! The space that a plan needs, computed from real sizes.

use crate::planner::{Draft, Refusal};
use crate::step::Preview;
use std::collections::BTreeMap;
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

/// Computes what each filesystem must have free at the worst moment, beyond what is used now.
pub(crate) fn needs(drafts: &[Draft], previews: &[Preview], site: &Site, state_dir: &Path) -> Vec<DiskNeed> {
    let mut folders: BTreeMap<PathBuf, Load> = BTreeMap::new();
    let mut add = |folder: &Path, bytes: u64, why: String| {
        let load = folders.entry(folder.to_owned()).or_default();
        load.bytes += bytes;
        load.why.push(why);
    };
    let kept = previews.iter().map(|preview| preview.keeps).sum::<u64>();
    add(state_dir, kept + RUN_DIRECTORY, format!("backups {}", show(kept)));
    for (target, size) in backed_up(drafts, site) {
        let Some(folder) = site.folder(&target) else { continue };
        // Going back puts the copy beside the database before it replaces it, when the database has grown to its most.
        let grows = previews.iter().flat_map(|preview| &preview.grows).filter(|(name, _)| *name == target);
        let most = grows.map(|(_, bytes)| *bytes).max().unwrap_or(0);
        add(&folder, most + size, format!("{target}: change {}, way back {}", show(most), show(size)));
    }
    merge(folders)
}

fn backed_up(drafts: &[Draft], site: &Site) -> Vec<(String, u64)> {
    let mut targets = Vec::new();
    for touch in drafts.iter().flat_map(|draft| draft.step.touches()) {
        if touch.access == Access::BacksUp && !targets.iter().any(|(name, _)| *name == touch.target) {
            let size = site.size(&touch.target).ok().flatten().unwrap_or(0);
            targets.push((touch.target, size));
        }
    }
    targets
}

/// Folders on one filesystem share its space.
fn merge(folders: BTreeMap<PathBuf, Load>) -> Vec<DiskNeed> {
    let mut needs: BTreeMap<u64, DiskNeed> = BTreeMap::new();
    for (folder, load) in folders {
        let Ok(space) = disk::space(&folder) else { continue };
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
