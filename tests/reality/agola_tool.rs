//! The lab's stand-in for the vendor's tool, against what the real tool made of the real exports, and against our own
//! programs: neither knows the other.

use crate::agola_programs::{canonical, migrate, shared, shipped, values};
use serde_json::Value;
use switchback_labs::agola::{self, Component};

const COMPONENTS: [(&str, Component); 2] =
    [("runservice", Component::Runservice), ("configstore", Component::Configstore)];

fn stand_in(component: Component, export: &[u8]) -> Vec<Value> {
    let migrated = agola::migrate(component, export).unwrap();
    migrated.lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_stand_in_makes_of_the_real_exports_what_the_real_tool_made() {
    let Some(data) = shared() else { return };
    for (name, component) in COMPONENTS {
        let export = std::fs::read(data.join("export-v0.7.1").join(format!("{name}-export"))).unwrap();
        let ours = stand_in(component, &export);
        let theirs = values(&data.join("migrated-v0.8.0").join(format!("{name}-migrated")));
        let program = format!("new_{name}_to_canonical.jq");
        let [a, b] = [&ours, &theirs].map(|records| canonical(&data, &program, "v08", records));
        assert_eq!(a.len(), b.len(), "{name}");
        assert!(a.iter().zip(&b).all(|(ours, theirs)| ours == theirs), "{name}");
        // Fields too come in the order of the real ones: what the stand-ins send has the bytes of the real services.
        let fields = |records: &[Value]| -> std::collections::BTreeSet<String> {
            let of = |record: &Value| record.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            records.iter().map(|it| format!("{} {:?}", it["exportMeta"]["kind"], of(it))).collect()
        };
        assert_eq!(fields(&ours), fields(&theirs), "{name}");
    }
}

#[test]
fn the_stand_in_says_what_the_real_tool_said_of_what_it_left_out() {
    let Some(data) = shared() else { return };
    let export = std::fs::read(data.join("export-v0.7.1/runservice-export")).unwrap();
    let said = std::fs::read_to_string(data.join("migrated-v0.8.0/runservice.stderr.log")).unwrap();
    let real: Vec<&str> = said
        .lines()
        .filter(|line| line.contains(" WRN "))
        .map(|line| line.split(" > ").nth(1).unwrap())
        .collect();
    assert_eq!(agola::migrate(Component::Runservice, export.as_slice()).unwrap().warnings, real);
}

#[test]
fn broken_inputs_end_as_the_real_tool_ended() {
    let Some(data) = shared() else { return };
    for (name, component, code) in [
        ("dup-configstore", Component::Configstore, 1),
        ("dup-runservice", Component::Runservice, 1),
        ("empty", Component::Runservice, 0),
        ("empty", Component::Configstore, 0),
        ("null-record", Component::Runservice, 2),
        ("null-record", Component::Configstore, 2),
        ("rcfirst-runservice", Component::Runservice, 1),
        ("reversed-runservice", Component::Runservice, 1),
        ("trunc-bound-configstore", Component::Configstore, 0),
        ("trunc-bound-runservice", Component::Runservice, 1),
        ("trunc-mid-configstore", Component::Configstore, 1),
        ("trunc-mid-runservice", Component::Runservice, 1),
    ] {
        let input = std::fs::read(data.join("broken-inputs").join(name)).unwrap();
        let ended = agola::migrate(component, input.as_slice());
        assert_eq!(ended.err().map_or(0, |error| error.code()), code, "{name}");
    }
}

#[test]
fn our_programs_and_the_stand_in_make_the_same_of_the_labs_exports() {
    let Some(data) = shared() else { return };
    let size = agola::Size { runs: 60, live_runs: 4, users: 20, orgs: 6, projects: 20, orphans: 3, seed: 11 };
    let content = agola::Content::of(&size);
    let dir = tempfile::tempdir().unwrap();
    for ((name, component), records) in
        COMPONENTS.into_iter().zip([&content.runservice, &content.configstore])
    {
        let store = agola::OldStore::open(component, &dir.path().join(name));
        store.append(records).unwrap();
        let export: Vec<u8> = store
            .export()
            .unwrap()
            .into_iter()
            .flat_map(|(file, _)| std::io::read_to_string(file).unwrap().into_bytes())
            .collect();
        let theirs = stand_in(component, &export);
        let ours = migrate(name, &shipped(name), &export).unwrap();
        let program = format!("new_{name}_to_canonical.jq");
        let [a, b] = [&ours, &theirs].map(|records| canonical(&data, &program, "v08", records));
        assert_eq!(a.len(), b.len(), "{name}");
        for (ours, theirs) in a.iter().zip(&b) {
            assert_eq!(ours, theirs, "{name}");
        }
    }
}

#[test]
fn the_new_services_export_the_real_files_as_the_real_services_did() {
    let Some(data) = shared() else { return };
    let dir = tempfile::tempdir().unwrap();
    for (name, component) in COMPONENTS {
        let path = dir.path().join(name);
        let store = agola::NewStore::open(&path, component, &agola::Release::of("v0.8.0")).unwrap();
        let migrated = std::fs::read(data.join("migrated-v0.8.0").join(format!("{name}-migrated"))).unwrap();
        let real = std::fs::read(data.join("reexport-after-import").join(format!("{name}.v08pg"))).unwrap();
        for (microseconds, wanted) in [(false, &migrated), (true, &real)] {
            let manner = agola::ImportManner { microseconds, ..agola::ImportManner::default() };
            store.import(migrated.as_slice(), manner).unwrap();
            let mut back = Vec::new();
            let mut take = |line: &str| {
                back.extend_from_slice(line.as_bytes());
                back.push(b'\n');
                Ok(())
            };
            store.export(&mut take).unwrap();
            assert!(back == *wanted, "{name}, rounded as by PostgreSQL: {microseconds}");
        }
    }
}
