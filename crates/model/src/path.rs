//! The upgrade path: the chain of edges from the installed release to the wanted one, through required stops.

use crate::plan::{Hop, Stretch};
use crate::playbook::{Playbook, Release};
use crate::version::{Range, Version};
use std::collections::{BTreeMap, VecDeque};

/// Why there is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The playbook has no edge at all.
    #[error("find a release to go to: the playbook has no upgrades")]
    NoUpgrades,
    /// No chain of edges leads there.
    #[error("get from {from} to {to}: no chain of upgrades leads there")]
    NoWay {
        /// The installed release.
        from: Version,
        /// The wanted one.
        to: Version,
        /// Every edge, as `from → to`.
        known: String,
    },
    /// The wanted release is behind the installed one.
    #[error("go back from {from} to {to}: an upgrade leads forward")]
    Backwards {
        /// The installed release.
        from: Version,
        /// The wanted one.
        to: Version,
    },
}

impl PathError {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            PathError::NoUpgrades => "the playbook needs `upgrades:`".to_owned(),
            PathError::NoWay { known, .. } => {
                format!("known upgrades: {known}; without `--to` the newest release is taken")
            }
            PathError::Backwards { .. } => {
                "`switchback rollback` takes a run back; for what came before it, restore a backup".to_owned()
            }
        }
    }
}

/// A path: positions in the playbook's `upgrades`, in order. Empty when the wanted release is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpgradePath {
    /// Positions of the edges.
    pub edges: Vec<usize>,
    /// The hops that they make.
    pub hops: Vec<Hop>,
    /// The release that it leads to.
    pub wanted: Version,
}

/// Returns the newest release that any upgrade leads to.
pub fn newest(playbook: &Playbook) -> Option<Version> {
    playbook.upgrades.iter().map(|upgrade| upgrade.to.value.clone()).max()
}

/// Finds the shortest chain of edges from `installed` to `wanted` (the newest release, if `None`) that passes every
/// release marked `stop` between the two.
pub fn find(
    playbook: &Playbook,
    installed: &Version,
    wanted: Option<&Version>,
) -> Result<UpgradePath, PathError> {
    let newest = newest(playbook).ok_or(PathError::NoUpgrades)?;
    let wanted = wanted.unwrap_or(&newest).clone();
    // A wanted `0.7` is reached by any release of the series 0.7.
    let series: Option<Range> = wanted.as_str().trim_start_matches('v').parse().ok();
    let arrived = |at: &Version| *at == wanted || series.as_ref().is_some_and(|series| series.contains(at));
    if arrived(installed) {
        return Ok(UpgradePath { edges: Vec::new(), hops: Vec::new(), wanted });
    }
    if *installed > wanted {
        return Err(PathError::Backwards { from: installed.clone(), to: wanted });
    }
    let stops: Vec<&Release> = playbook
        .releases
        .iter()
        .filter(|release| {
            release.stop == Some(true) && release.version > *installed && release.version < wanted
        })
        .collect();
    // An edge may not jump over a stop.
    let allowed =
        |from: &Version, to: &Version| !stops.iter().any(|stop| stop.version > *from && stop.version < *to);
    let mut reached: BTreeMap<Version, Vec<usize>> = BTreeMap::from([(installed.clone(), Vec::new())]);
    let mut queue = VecDeque::from([installed.clone()]);
    while let Some(at) = queue.pop_front() {
        let edges = reached.get(&at).cloned().unwrap_or_default();
        if arrived(&at) {
            let hops = hops(playbook, installed, &edges);
            return Ok(UpgradePath { edges, hops, wanted });
        }
        for (i, upgrade) in playbook.upgrades.iter().enumerate() {
            let to = &upgrade.to.value;
            if upgrade.from.value.contains(&at)
                && *to > at
                && *to <= wanted
                && allowed(&at, to)
                && !reached.contains_key(to)
            {
                reached.insert(to.clone(), edges.iter().copied().chain([i]).collect());
                queue.push_back(to.clone());
            }
        }
    }
    let known: Vec<_> = playbook
        .upgrades
        .iter()
        .map(|upgrade| format!("{} → {}", upgrade.from.value, upgrade.to.value))
        .collect();
    Err(PathError::NoWay { from: installed.clone(), to: wanted, known: known.join(", ") })
}

fn hops(playbook: &Playbook, installed: &Version, edges: &[usize]) -> Vec<Hop> {
    let mut from = installed.to_string();
    let mut hops = Vec::new();
    for edge in edges {
        let to = playbook.upgrades[*edge].to.value.to_string();
        hops.push(Hop { from: std::mem::replace(&mut from, to.clone()), to });
    }
    hops
}

/// Cuts a path into stretches: a release that `rests` ends the one that leads to it.
pub fn stretches(playbook: &Playbook, path: &UpgradePath) -> Vec<Stretch> {
    let mut stretches = Vec::new();
    let mut hops = Vec::new();
    for (hop, edge) in path.hops.iter().zip(&path.edges) {
        hops.push(hop.clone());
        let to = &playbook.upgrades[*edge].to.value;
        let rest =
            playbook.releases.iter().find(|release| release.version == *to && release.rests == Some(true));
        if let Some(release) = rest
            && *to != path.wanted
        {
            let why = release.why.clone().unwrap_or_else(|| "it has to run for a while".to_owned());
            let ends_because = Some(format!("{to} must be let in before the path goes on: {why}"));
            stretches.push(Stretch { hops: std::mem::take(&mut hops), ends_because });
        }
    }
    if !hops.is_empty() {
        stretches.push(Stretch { hops, ends_because: None });
    }
    stretches
}
