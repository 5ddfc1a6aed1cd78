//! How a stand-in misbehaves: a JSON file beside the lab that is read anew each time, so that a test turns switches while
//! the services run.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

/// Names of traps that are sprung a number of times; the value in the file is the number. A name may say the component:
/// `lost-enter@runservice`.
pub mod trap {
    /// The reply to PUT /maintenance is lost, though it took effect.
    pub const LOST_ENTER: &str = "lost-enter";
    /// The reply to DELETE /maintenance is lost, though it took effect.
    pub const LOST_LEAVE: &str = "lost-leave";
    /// Maintenance is asked for and never comes.
    pub const NEVER_ENTERS: &str = "never-enters";
    /// Maintenance is given up and does not end.
    pub const NEVER_LEAVES: &str = "never-leaves";
    /// An export ends in the middle of its stream.
    pub const EXPORT_CUT: &str = "export-cut";
    /// A run is archived behind each export that is not taken in maintenance.
    pub const LATE_RUN: &str = "late-run";
    /// The reply to an import that worked is lost.
    pub const IMPORT_LOST: &str = "import-lost";
    /// An import takes the first half and says that it took all.
    pub const IMPORT_HALF: &str = "import-half";
    /// An import takes nothing and says that it took all.
    pub const IMPORT_NOTHING: &str = "import-nothing";
    /// The process dies in the middle of an import.
    pub const IMPORT_CRASH: &str = "import-crash";
    /// A start fails at once.
    pub const START_FAILS: &str = "start-fails";
    /// The migration tool leaves one record out and says nothing.
    pub const TOOL_LOSES: &str = "tool-loses";
    /// The migration tool writes nothing and ends with 0, as the `migrate` of the same name does.
    pub const TOOL_NOTHING: &str = "tool-nothing";
    /// `agola version` asks the gateway first, as the real one does, and fails without it.
    pub const VERSION_ASKS: &str = "version-asks";

    /// Every name.
    pub const ALL: [&str; 14] = [
        LOST_ENTER,
        LOST_LEAVE,
        NEVER_ENTERS,
        NEVER_LEAVES,
        EXPORT_CUT,
        LATE_RUN,
        IMPORT_LOST,
        IMPORT_HALF,
        IMPORT_NOTHING,
        IMPORT_CRASH,
        START_FAILS,
        TOOL_LOSES,
        TOOL_NOTHING,
        VERSION_ASKS,
    ];
}

/// The switches of one component.
#[derive(Debug, Clone)]
pub(super) struct Switches {
    file: Option<PathBuf>,
    component: String,
}

impl Switches {
    /// Returns the switches in a file; without one, or where it is not there, nothing is switched.
    pub(super) fn of(file: Option<&Path>, component: &str) -> Switches {
        Switches { file: file.map(Path::to_owned), component: component.to_owned() }
    }

    fn read(&self) -> Value {
        let text = self.file.as_ref().and_then(|file| std::fs::read(file).ok()).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or(Value::Null)
    }

    /// Returns a time of the file in milliseconds, `otherwise` if it says none.
    pub(super) fn time(&self, name: &str, otherwise: u64) -> Duration {
        Duration::from_millis(self.read()[name].as_u64().unwrap_or(otherwise))
    }

    /// Returns a text of the file.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.read()[name].as_str().map(str::to_owned)
    }

    /// Says whether a lasting switch is on.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.read()[name] == Value::Bool(true)
    }

    fn limit(&self, name: &str) -> u64 {
        let traps = &self.read()["traps"];
        traps[format!("{name}@{}", self.component)].as_u64().or(traps[name].as_u64()).unwrap_or(0)
    }

    /// Says whether a trap is set that lasts for as long as the file says so.
    pub(super) fn is_armed(&self, name: &str) -> bool {
        self.limit(name) > 0
    }

    /// Says whether a trap is to be sprung now, and counts it. A count survives the process.
    pub(super) fn spring(&self, name: &str) -> bool {
        let (Some(file), limit @ 1..) = (&self.file, self.limit(name)) else { return false };
        let mut used = file.with_file_name(format!("sprung.{name}.{}", self.component));
        let mut count = appended(&used);
        if count.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
            // A private service of a rehearsal may not write beside the lab, and counts for itself.
            used = std::env::temp_dir().join(used.file_name().unwrap_or_default());
            count = appended(&used);
        }
        // A trap that cannot be counted is not sprung, or it would be sprung for ever.
        let Ok(mut count) = count else { return false };
        std::fs::metadata(&used).map_or(0, |it| it.len()) < limit && count.write_all(b"!").is_ok()
    }
}

fn appended(path: &Path) -> io::Result<File> {
    std::fs::OpenOptions::new().append(true).create(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trap_is_sprung_as_often_as_the_file_says_for_whom_it_says() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("lab.json");
        std::fs::write(&file, r#"{"traps": {"lost-enter@runservice": 2, "export-cut": 1}, "delay_ms": 7}"#)
            .unwrap();
        let [one, other] = ["runservice", "configstore"].map(|name| Switches::of(Some(&file), name));
        let sprung = |name: &str| [&one, &one, &one, &other, &other].map(|it| it.spring(name));
        assert_eq!(sprung(trap::LOST_ENTER), [true, true, false, false, false]);
        assert_eq!(sprung(trap::EXPORT_CUT), [true, false, false, true, false]);
        assert_eq!(one.time("delay_ms", 1), Duration::from_millis(7));
        assert_eq!(Switches::of(None, "x").time("delay_ms", 1), Duration::from_millis(1));
    }
}
