//! States of an installation that no careful upgrade may start from or must survive, each for a test, by name.

use super::old_store::{Record, sequence_id};
use super::records::Content;
use super::switches::trap;
use serde_json::json;

/// One odd or illegal state, or one way in which a program misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Runs queued, running, waiting and cancelled while queued: in etcd only (systems/agola.md §5.1).
    LiveRuns,
    /// Configs whose run is nowhere.
    ConfigsWithoutRun,
    /// A run whose config is nowhere: the vendor's tool ends with 1.
    RunWithoutConfig,
    /// A user that is in the export twice.
    RepeatedUser,
    /// Runs that do not ascend.
    DescendingRuns,
    /// A record of a type that nobody knows.
    UnknownType,
    /// No run at all: an export of 0 bytes, with 200.
    NoRuns,
    /// One database for both services (§5.8).
    SharedDatabase,
    /// The database of the runservice is there, with a table of somebody.
    DatabaseInUse,
    /// The old services are in maintenance already.
    InMaintenance,
    /// A config that has entries of the new version already, beside those of the old one.
    HalfEditedConfig,
    /// Anchors and aliases in the config.
    AnchoredConfig,
    /// The config has Windows line ends.
    WindowsConfig,
    /// The new program is the old one under another name.
    OldProgramAsNew,
    /// The new program has no `migrateexport`.
    NoTool,
    /// Logs that the export's runs lead to are gone from the object storage.
    LostLogs,
    /// Times come back rounded, as PostgreSQL rounds them.
    Microseconds,
    /// A trap of the stand-ins (see [`trap`]), sprung once; those that last are on until they are switched off.
    Trap(&'static str),
}

impl Fault {
    /// The faults that are no traps, with their names on a command line.
    pub const STATES: [(&'static str, Fault); 17] = [
        ("live-runs", Fault::LiveRuns),
        ("configs-without-run", Fault::ConfigsWithoutRun),
        ("run-without-config", Fault::RunWithoutConfig),
        ("repeated-user", Fault::RepeatedUser),
        ("descending-runs", Fault::DescendingRuns),
        ("unknown-type", Fault::UnknownType),
        ("no-runs", Fault::NoRuns),
        ("shared-database", Fault::SharedDatabase),
        ("database-in-use", Fault::DatabaseInUse),
        ("in-maintenance", Fault::InMaintenance),
        ("half-edited-config", Fault::HalfEditedConfig),
        ("anchored-config", Fault::AnchoredConfig),
        ("windows-config", Fault::WindowsConfig),
        ("old-program-as-new", Fault::OldProgramAsNew),
        ("no-tool", Fault::NoTool),
        ("lost-logs", Fault::LostLogs),
        ("microseconds", Fault::Microseconds),
    ];

    /// Returns every name.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::STATES.iter().map(|(name, _)| *name).chain(trap::ALL)
    }

    /// Returns the fault of that name.
    pub fn named(name: &str) -> Option<Fault> {
        let state = Self::STATES.iter().find(|(known, _)| *known == name).map(|(_, fault)| *fault);
        state.or_else(|| trap::ALL.iter().find(|known| **known == name).map(|known| Fault::Trap(known)))
    }

    /// Changes the records, where the fault is one of them.
    pub(super) fn plant(self, content: &mut Content) {
        let runs = &mut content.runservice;
        match self {
            Fault::ConfigsWithoutRun => {
                let mut lost = runs.iter().rfind(|record| record.kind == "runconfig").cloned();
                if let Some(record) = &mut lost {
                    record.id = sequence_id(900_000);
                    record.data["id"] = json!(record.id);
                }
                runs.extend(lost);
            }
            Fault::RunWithoutConfig => {
                let first = runs.iter().position(|record| record.kind == "runconfig");
                first.map(|first| runs.remove(first));
            }
            Fault::RepeatedUser => {
                let user = content.configstore.iter().rfind(|record| record.kind == "user").cloned();
                content.configstore.extend(user);
            }
            Fault::DescendingRuns => {
                let two: Vec<usize> =
                    (0..runs.len()).filter(|at| runs[*at].kind == "run" && !runs[*at].live).take(2).collect();
                if let [one, other] = two[..] {
                    runs.swap(one, other);
                }
            }
            // Only the types that a store knows reach its files: it takes the place of the last one.
            Fault::UnknownType => content.stray = Some(Record::new("session", "0000", json!({"id": "0000"}))),
            Fault::NoRuns => runs.clear(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_to_a_fault_of_its_own() {
        let faults: std::collections::HashSet<Fault> = Fault::names().filter_map(Fault::named).collect();
        assert_eq!(faults.len(), Fault::names().count());
        assert_eq!(Fault::named("nothing"), None);
    }
}
