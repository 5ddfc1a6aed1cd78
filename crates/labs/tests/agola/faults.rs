//! Every fault by its name: it can be built, and is what it says.

use super::lab;
use switchback_labs::agola::Component::{Configstore, Runservice};
use switchback_labs::agola::{Component, Fault, Lab, LabOptions, NewStore, Release, migrate};

fn with(name: &str) -> (tempfile::TempDir, Lab) {
    lab(&LabOptions { faults: vec![Fault::named(name).unwrap()], ..LabOptions::default() })
}

fn old_export(lab: &Lab, component: Component) -> Vec<u8> {
    let files = lab.old_store(component).export().unwrap();
    files.into_iter().flat_map(|(file, _)| std::io::read_to_string(file).unwrap().into_bytes()).collect()
}

#[test]
fn every_fault_can_be_planted() {
    for name in Fault::names() {
        let (_guard, lab) = with(name);
        let switches = std::fs::read_to_string(&lab.switches).unwrap();
        let is_trap = matches!(Fault::named(name), Some(Fault::Trap(_)));
        assert_eq!(switches.contains(&format!("\"{name}\":1")), is_trap, "{name}: {switches}");
    }
}

#[test]
fn what_is_wrong_in_an_export_is_refused_by_the_tool_or_said_or_not() {
    let mut said = String::new();
    for name in [
        "live-runs",
        "configs-without-run",
        "run-without-config",
        "repeated-user",
        "descending-runs",
        "unknown-type",
        "no-runs",
    ] {
        let (_guard, lab) = with(name);
        let ends = [Runservice, Configstore].map(|component| {
            match migrate(component, old_export(&lab, component).as_slice()) {
                Ok(migrated) => {
                    format!("{} of it, {} warnings", migrated.lines.len(), migrated.warnings.len())
                }
                Err(error) => error.to_string(),
            }
        });
        said += &format!("{name}: {} | {}\n", ends[0], ends[1]);
    }
    let wanted = "\
live-runs: 31 of it, 4 warnings | 43 of it, 0 warnings
configs-without-run: 31 of it, 1 warnings | 43 of it, 0 warnings
run-without-config: FOREIGN KEY constraint failed | 43 of it, 0 warnings
repeated-user: 31 of it, 0 warnings | UNIQUE constraint failed: User.id
descending-runs: run id 0000001lg0bko-0000000000001 isn't greater than previous run id 0000001lg0bko-0000000000002 | 43 of it, 0 warnings
unknown-type: 31 of it, 0 warnings | unknown data type \"session\"
no-runs: 0 of it, 0 warnings | 43 of it, 0 warnings
";
    assert_eq!(said, wanted);
}

#[test]
fn what_is_wrong_around_an_export_is_there() {
    let (_guard, lab) = with("in-maintenance");
    assert!(lab.old_store(Runservice).wants_maintenance() && lab.old_store(Configstore).wants_maintenance());
    let (_guard, lab) = with("lost-logs");
    assert!(!lab.objects().join("data/logs").exists() && !lab.content.logs.is_empty());
    let (_guard, lab) = with("shared-database");
    assert_eq!(lab.databases[&Runservice], lab.databases[&Configstore]);
    let (_guard, lab) = with("database-in-use");
    let path = std::path::PathBuf::from(&lab.databases[&Runservice]);
    assert!(path.exists());
    // The application itself does not mind what else is there.
    NewStore::open(&path, Runservice, &Release::of("v0.8.0")).unwrap();
    for (name, mark) in
        [("half-edited-config", "connString"), ("anchored-config", "*etcd"), ("windows-config", "\r\n")]
    {
        let (_guard, lab) = with(name);
        assert!(std::fs::read_to_string(&lab.configs[&Runservice]).unwrap().contains(mark), "{name}");
    }
}
