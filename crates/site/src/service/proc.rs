//! What /proc says about processes.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// One process at one moment. Its number alone is no identity, since numbers are reused; with its start time it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) pid: i32,
    pub(super) parent: i32,
    pub(super) group: i32,
    /// Clock ticks since boot.
    pub(super) start: u64,
    /// It has ended and waits to be reaped.
    pub(super) dead: bool,
}

/// Looks at one process.
pub(super) fn see(pid: i32) -> Option<Seen> {
    parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Fields are numbered as in proc_pid_stat(5); the second is the name, which may hold spaces and parentheses.
fn parse(pid: i32, stat: &str) -> Option<Seen> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).copied();
    let dead = matches!(field(3)?, "Z" | "X" | "x");
    let number = |at: usize| field(at)?.parse::<i32>().ok();
    Some(Seen { pid, parent: number(4)?, group: number(5)?, start: field(22)?.parse().ok()?, dead })
}

/// Returns all processes that live.
pub(super) fn all() -> Vec<Seen> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(see).filter(|seen| !seen.dead).collect()
}

/// Adds to `family` what descends from its members that still live. A descendant whose parents all died between two
/// looks is missed: only a lock or a group finds that one.
pub(super) fn extend(family: &mut Vec<Seen>) {
    if family.is_empty() {
        return;
    }
    let all = all();
    let mut at = 0;
    while let Some(parent) = family.get(at).cloned() {
        at += 1;
        if !all.iter().any(|seen| (seen.pid, seen.start) == (parent.pid, parent.start)) {
            continue;
        }
        for child in all.iter().filter(|seen| seen.parent == parent.pid) {
            if !family.iter().any(|seen| (seen.pid, seen.start) == (child.pid, child.start)) {
                family.push(child.clone());
            }
        }
    }
}

/// Returns the processes, other than ours, that hold an exclusive `flock` on `file`; those of other users only if we
/// are root. Merely having it open, as a look does, is not holding it.
pub(super) fn holders(file: &File) -> Vec<i32> {
    let Ok(wanted) = file.metadata() else { return Vec::new() };
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    let holds = |pid: i32| {
        let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        entries.flatten().any(|entry| {
            let found = fs::metadata(entry.path());
            let same = found.is_ok_and(|found| (found.dev(), found.ino()) == (wanted.dev(), wanted.ino()));
            same && has_lock(pid, &entry.file_name().to_string_lossy())
        })
    };
    // A child that another thread of ours has forked and that has not called exec yet has copies of all descriptors.
    // It is about to become something else, and must not be ended for what it is about to close.
    let own = argv(me);
    let unborn = |seen: &Seen| seen.parent == me && argv(seen.pid) == own;
    let others = all().into_iter().filter(|seen| seen.pid != me && !unborn(seen));
    others.map(|seen| seen.pid).filter(|pid| holds(*pid)).collect()
}

/// The locks of a descriptor are lines such as `lock: 1: FLOCK  ADVISORY  WRITE …` (proc_pid_fdinfo(5)).
fn has_lock(pid: i32, descriptor: &str) -> bool {
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{descriptor}")).unwrap_or_default();
    info.lines().any(|line| line.starts_with("lock:") && line.contains("FLOCK") && line.contains("WRITE"))
}

/// Says whether a process sees the same processes as we do: one in a container has its own numbers, and is no
/// business of ours. Where nobody may look, it is taken for one of ours.
pub(super) fn is_of_our_world(pid: i32) -> bool {
    let world = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    world(&pid.to_string()).is_none_or(|theirs| Some(theirs) == world("self"))
}

/// Says whether a process works in `folder`; where nobody may look, it is taken to.
pub(super) fn works_in(pid: i32, folder: &Path) -> bool {
    let Ok(theirs) = fs::metadata(format!("/proc/{pid}/cwd")) else { return true };
    fs::metadata(folder).is_ok_and(|wanted| (wanted.dev(), wanted.ino()) == (theirs.dev(), theirs.ino()))
}

/// Returns the arguments of a process.
pub(super) fn argv(pid: i32) -> Option<Vec<String>> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    Some(bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect())
}

/// Returns a text that is another one after the machine was started again, when start times count anew.
pub(super) fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let tail = "S 1 77 77 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0";
        let seen = parse(9, &format!("9 (a) (b c) {tail}")).unwrap();
        assert_eq!(seen, Seen { pid: 9, parent: 1, group: 77, start: 4242, dead: false });
        assert!(parse(9, &format!("9 (z) Z{}", &tail[1..])).unwrap().dead);
        assert_eq!(parse(9, "9 (cut"), None);
    }

    #[test]
    fn our_own_process_is_seen() {
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(!see(me).unwrap().dead);
        assert!(all().iter().any(|seen| seen.pid == me));
        assert!(!argv(me).unwrap().is_empty());
        assert!(!boot().is_empty());
    }
}
