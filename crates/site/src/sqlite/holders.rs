//! Who has a database open: a scan of `/proc`, which never opens the file itself.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::sqlite::connect::side_file;

/// A process that has the database open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Holder {
    /// Its process id, as seen from here.
    pub pid: u32,
    /// The name of its program; never its arguments, as these may hold secrets.
    pub command: String,
}

/// The processes that have a database open.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Holders {
    /// Those that were seen, by pid. This process is among them when it has a connection of its own.
    pub seen: Vec<Holder>,
    /// How many processes of other users could not be looked into; 0 for root.
    pub hidden: usize,
}

impl Holders {
    /// Says whether nobody was seen. With `hidden` processes that is no proof.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// Returns the holders that are not this process.
    pub fn others(&self) -> Holders {
        let own = std::process::id();
        let seen = self.seen.iter().filter(|holder| holder.pid != own).cloned().collect();
        Holders { seen, hidden: self.hidden }
    }
}

impl fmt::Display for Holders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.seen.is_empty() {
            return match self.hidden {
                0 => write!(f, "a program that could not be found"),
                hidden => write!(f, "a program of another user ({hidden} processes cannot be looked into)"),
            };
        }
        for (place, holder) in self.seen.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{} (pid {})", holder.command, holder.pid)?;
        }
        Ok(())
    }
}

/// Finds the processes that have `database` or one of its side files open.
///
/// `database` must be the real path. Processes that come and go during the scan may be missed; files are told by device
/// and inode, so a database that a container sees under another name is found.
pub fn holders(database: &Path) -> Holders {
    let mut files = Vec::new();
    for suffix in ["", "-wal", "-shm", "-journal"] {
        if let Ok(meta) = std::fs::metadata(side_file(database, suffix)) {
            files.push((meta.dev(), meta.ino()));
        }
    }
    let mut found = BTreeMap::new();
    let mut hidden = 0;
    if files.is_empty() {
        return Holders::default();
    }
    let Ok(processes) = std::fs::read_dir("/proc") else { return Holders::default() };
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        match holds(&process.path(), &files) {
            Ok(false) => {}
            Ok(true) => {
                found.insert(pid, command(&process.path()));
            }
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => hidden += 1,
            // It ended while we looked.
            Err(_) => {}
        }
    }
    let seen = found.into_iter().map(|(pid, command)| Holder { pid, command }).collect();
    Holders { seen, hidden }
}

fn holds(process: &Path, files: &[(u64, u64)]) -> std::io::Result<bool> {
    for descriptor in std::fs::read_dir(process.join("fd"))? {
        // `stat` follows the magic link without opening anything. One that is gone was just closed.
        let Ok(meta) = std::fs::metadata(descriptor?.path()) else { continue };
        if files.contains(&(meta.dev(), meta.ino())) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn command(process: &Path) -> String {
    let bytes = std::fs::read(process.join("comm")).unwrap_or_default();
    let name: String =
        String::from_utf8_lossy(&bytes).trim_end_matches('\n').chars().filter(|c| !c.is_control()).collect();
    if name.is_empty() { "a program".to_owned() } else { name }
}
