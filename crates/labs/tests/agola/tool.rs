//! The vendor's tool: what it makes of an export, and of what is none.

use super::lab;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use switchback_labs::agola::Component::{Configstore, Runservice};
use switchback_labs::agola::{Component, Fault, Lab, LabOptions, Record, broken_inputs, migrate};

/// The export that the old service would send.
fn old_export(lab: &Lab, component: Component) -> Vec<u8> {
    let files = lab.old_store(component).export().unwrap();
    files.into_iter().flat_map(|(file, _)| std::io::read_to_string(file).unwrap().into_bytes()).collect()
}

fn run(program: &Path, scratch: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(words).env("TMPDIR", scratch).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn every_record_comes_out_and_orphans_do_not() {
    let (_guard, lab) = lab(&LabOptions::default());
    let kinds = |component| {
        let migrated = migrate(component, old_export(&lab, component).as_slice()).unwrap();
        let mut counts = BTreeMap::new();
        for line in &migrated.lines {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            *counts.entry(value["exportMeta"]["kind"].as_str().unwrap().to_owned()).or_insert(0) += 1;
        }
        (
            counts.into_iter().map(|(kind, count)| format!("{kind} {count}")).collect::<Vec<_>>().join(", "),
            migrated,
        )
    };
    let (runs, migrated) = kinds(Runservice);
    assert_eq!(runs, "Run 13, RunConfig 13, RunCounter 5");
    assert_eq!(migrated.warnings, Vec::<String>::new());
    let (configs, _) = kinds(Configstore);
    assert_eq!(
        configs,
        "LinkedAccount 2, Organization 3, OrganizationMember 3, Project 5, ProjectGroup 10, RemoteSource 2, Secret 3, \
         User 6, UserToken 6, Variable 3"
    );
    assert_eq!(lab.content.orphans.len(), 2, "of three linked accounts and four members");
}

#[test]
fn the_program_writes_at_the_very_end_and_leaves_its_database_behind() {
    let (guard, lab) = lab(&LabOptions { faults: vec![Fault::LiveRuns], ..LabOptions::default() });
    let [input, output] = ["in", "out"].map(|name| guard.path().join(name));
    std::fs::write(&input, old_export(&lab, Runservice)).unwrap();
    let paths = [&input, &output].map(|path| path.display().to_string());
    let words = ["migrateexport", "--service", "runservice", "--in", &paths[0], "--out", &paths[1]];
    let ran = run(&lab.new, guard.path(), &words);
    assert_eq!(ran.status.code(), Some(0));
    let said = String::from_utf8(ran.stderr).unwrap();
    for id in &lab.content.live {
        assert!(
            said.contains(&format!("WRN v0.7.x/runservice.go:141 > no new run for old runconfig id {id}"))
        );
    }
    let first = std::fs::read_to_string(&output).unwrap();
    assert_eq!(first.lines().count(), 13 + 13 + 5);
    run(&lab.new, guard.path(), &words);
    assert_ne!(std::fs::read_to_string(&output).unwrap(), first, "random ids each time");
    let left = std::fs::read_dir(guard.path()).unwrap().flatten();
    let left = left.filter(|it| it.file_name().to_string_lossy().starts_with("agolamigration"));
    assert_eq!(left.count(), 2);
    let text = std::fs::read(&input).unwrap();
    std::fs::write(&input, &text[..text.len() - 9]).unwrap();
    let ran = run(&lab.new, guard.path(), &words);
    assert_eq!((ran.status.code(), std::fs::read(&output).unwrap().len()), (Some(1), 0));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("unexpected EOF"));
}

#[test]
fn commands_are_known_by_the_programs_that_have_them() {
    let (guard, lab) = lab(&LabOptions::default());
    let code = |program: &Path, words: &[&str]| run(program, guard.path(), words).status.code();
    assert_eq!(code(&lab.new, &["migrateexport", "--help"]), Some(0));
    assert_eq!(code(&lab.old, &["migrateexport", "--help"]), Some(1));
    assert_eq!(code(&lab.new, &["migratexporte", "--help"]), Some(1));
    assert_eq!(code(&lab.new, &["migrate", "--service", "runservice"]), Some(1), "no config.yml here");
    assert_eq!(code(&lab.new, &["migrateexport", "--service", "gateway"]), Some(1));
    let says = |program: &Path, word: &str| {
        String::from_utf8_lossy(&run(program, guard.path(), &[word]).stdout).into_owned()
    };
    assert!(says(&lab.old, "--version").contains("agola version v0.7.1\n"));
    assert!(says(&lab.new, "version").contains("Client version: \tv0.8.0\n"));
    lab.switch("traps.version-asks", serde_json::json!(1)).unwrap();
    assert_eq!(code(&lab.new, &["version"]), Some(1), "as the real one: there is no gateway");
    lab.switch("no_tool", serde_json::json!(true)).unwrap();
    assert_eq!(code(&lab.new, &["migrateexport", "--help"]), Some(1));
}

#[test]
fn broken_inputs_end_as_was_measured() {
    let (_guard, lab) = lab(&LabOptions::default());
    let mut said = String::new();
    for component in [Runservice, Configstore] {
        let other = if component == Runservice { Configstore } else { Runservice };
        let mut inputs = broken_inputs(&old_export(&lab, component));
        inputs.push(("wrong-service", old_export(&lab, other)));
        let migrated = migrate(component, old_export(&lab, component).as_slice()).unwrap();
        inputs.push(("already-migrated", migrated.lines.join("\n").into_bytes()));
        for (name, input) in inputs {
            let end = match migrate(component, input.as_slice()) {
                Ok(migrated) => format!("0, {} records", migrated.lines.len()),
                Err(error) => format!("{}, {error}", error.code()),
            };
            said += &format!("{name} {}: {end}\n", component.name());
        }
    }
    let ends: Vec<&str> = said.lines().map(|line| line.split(": ").nth(1).unwrap()).collect();
    let codes: Vec<&str> = ends.iter().map(|end| end.split(',').next().unwrap()).collect();
    // dup, empty, null, configs first, reversed, cut between two records, cut in one, wrong service, migrated already.
    assert_eq!(codes[..9].join(" "), "1 0 2 1 1 1 1 1 1", "{said}");
    assert_eq!(codes[9..].join(" "), "1 0 2 0 0 0 1 1 1", "{said}");
    assert!(
        ends[1] == "0, 0 records" && ends[5].contains("FOREIGN KEY") && ends[6].contains("unexpected EOF"),
        "{said}"
    );
    assert_eq!(
        Record::new("a", "b", serde_json::json!(1)).line(),
        r#"{"id":"b","data_type":"a","data":"MQ=="}"#
    );
}
