//! Every fault of the lab by name, every broken input, and the mistakes of the vendor's guide: refused with nothing
//! changed, taken back, or survived; never silent.

use super::{Installation, Options, each};
use crate::support::{BINARY, Ran, copy_playbook};
use serde_json::json;
use std::collections::BTreeSet;
use std::process::Command;
use switchback_labs::agola::{Component, Fault, broken_inputs};

/// Refused when planning, with these words, and nothing is changed.
const REFUSED: [(&str, &[&str]); 12] = [
    ("descending-runs", &["runs in the order of their ids", "it is not above the key before it"]),
    ("unknown-type", &["of a kind that nobody knows", "session"]),
    ("run-without-config", &["runs without a config", "0000001lg0bko-0000000000001"]),
    ("repeated-user", &["it was there before"]),
    ("no-runs", &["exports no run"]),
    ("shared-database", &["D011", "one and the same file"]),
    ("database-in-use", &["something is there already", "table somebody"]),
    ("in-maintenance", &["may be in maintenance", "DELETE"]),
    ("half-edited-config", &["D001", "the etcd in the shared config"]),
    ("anchored-config", &["etc/agola.yml", "&etcd"]),
    ("old-program-as-new", &["of another release", "migrateexport"]),
    ("no-tool", &["no `migrateexport`", "road: programs"]),
];

/// Found on the way: the run goes back by itself, and everything is as before. Those that are refused when planning are found
/// there too, by a playbook that does not look at what is exported beforehand.
const TAKEN_BACK: [(&str, &[&str]); 5] = [
    ("live-runs", &["runs have not ended"]),
    ("descending-runs", &["it is not above the key before it"]),
    ("unknown-type", &["no records of the kind \"session\""]),
    ("tool-loses", &["`out.RunCounter = in.runcounter` does not hold"]),
    ("tool-nothing", &["`out.Run = in.run` does not hold"]),
];

/// The playbook without its look at what is exported, when planning.
const UNSEEN: [(&str, &str); 2] = [
    (
        "require that the runservice exports runs in their order, configs and counters, each once\"\n",
        "look\"\n          when: {text: now, is: never}\n",
    ),
    (
        "require that the configstore exports records of known kinds, each once\"\n",
        "look\"\n          when: {text: now, is: never}\n",
    ),
];

/// Upgraded all the same, and everything is there.
const SURVIVED: [&str; 12] = [
    "configs-without-run",
    "windows-config",
    "lost-logs",
    "microseconds",
    "lost-enter",
    "lost-leave",
    "export-cut",
    "import-lost",
    "import-half",
    "import-nothing",
    "import-crash",
    "version-asks",
];

/// In [`super::traps`]: what is to go wrong once the upgrade has begun, or for as long as somebody lets it.
const ELSEWHERE: [&str; 4] = ["never-enters", "never-leaves", "late-run", "start-fails"];

#[test]
fn every_fault_of_the_lab_has_its_end_here() {
    let of = |names: &[(&'static str, &[&str])]| names.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    let mut found_later = of(&TAKEN_BACK);
    found_later.retain(|name| !of(&REFUSED).contains(name));
    let covered = [of(&REFUSED), found_later, SURVIVED.to_vec(), ELSEWHERE.to_vec()].concat();
    assert_eq!(covered.iter().copied().collect::<BTreeSet<_>>(), Fault::names().collect());
    assert_eq!(covered.len(), Fault::names().count());
}

#[test]
fn what_cannot_end_well_is_refused_before_anything_changes() {
    each(&REFUSED, |(fault, words)| {
        let site = Installation::faulty(fault, "auto");
        let before = site.everything();
        site.plan().expect(11, words);
        site.run(&["apply", "--yes", "--accept", "creation-dates", "--accept", "orphans"]).expect(11, words);
        assert!(before == site.everything(), "{fault}: something changed");
        assert!(site.journal().is_none(), "{fault}: a run was begun");
    });
}

#[test]
fn what_is_found_on_the_way_is_taken_back() {
    each(&TAKEN_BACK, |(fault, words)| {
        let seen = REFUSED.iter().any(|(refused, _)| refused == fault);
        let playbook: &[_] = if seen { &UNSEEN } else { &[] };
        let mut options = Options { road: "auto", playbook, ..Options::default() };
        options.lab.faults = vec![Fault::named(fault).unwrap()];
        let site = Installation::of(&options);
        let before = site.everything();
        site.apply().expect(20, words).expect(20, &["the site is as it was before the run"]);
        site.expect_as_before(&before);
    });
}

#[test]
fn what_an_upgrade_can_stand_it_stands() {
    each(&SURVIVED, |fault| {
        let mut site = Installation::faulty(fault, "auto");
        let lost = site.lab.content.logs.clone();
        if *fault == "lost-logs" {
            site.lab.content.logs.clear();
        }
        site.apply().expect(0, &["upgraded"]);
        site.expect_upgraded();
        // What was gone before is gone after, and nothing else is.
        assert!(*fault != "lost-logs" || lost.iter().all(|log| !site.lab.objects().join(&log.task).exists()));
        let sprung = site.path(&format!("lab/sprung.{fault}.runservice"));
        let lasting = !fault.starts_with("lost-e") && !fault.starts_with("import-") && *fault != "export-cut";
        assert!(lasting || sprung.exists(), "{fault}: it was not sprung");
    });
}

/// The inputs that the vendor's tool was tried with, served as the old export once maintenance is on, and what comes of
/// each: the words of the refusal, or none where all records are there and only their order is odd. One is for the test
/// behind: an export of the configstore that lost its end at a record's.
const BROKEN: [(Component, &str, &[&str]); 13] = [
    (Component::Runservice, "dup", &["it is not above the key before it"]),
    (Component::Runservice, "empty", &["answered without a record"]),
    (Component::Runservice, "null-record", &["record 1"]),
    (Component::Runservice, "rcfirst", &[]),
    (Component::Runservice, "reversed", &["it is not above the key before it"]),
    (Component::Runservice, "trunc-bound", &["this run has no config"]),
    (Component::Runservice, "trunc-mid", &["record 16"]),
    (Component::Configstore, "dup", &["it was there before"]),
    (Component::Configstore, "empty", &["answered without a record"]),
    (Component::Configstore, "null-record", &["record 1"]),
    (Component::Configstore, "rcfirst", &[]),
    (Component::Configstore, "reversed", &[]),
    (Component::Configstore, "trunc-mid", &["record"]),
];

/// The playbook without its look at the number of records before maintenance, which would see most of them first.
const UNGUARDED: [(&str, &str); 2] = [
    ("same_as: {of: \"live[runservice]\", jq: '1', count: true}", "matches: ''"),
    ("same_as: {of: \"live[configstore]\", jq: '1', count: true}", "matches: ''"),
];

#[test]
fn a_broken_export_is_never_half_taken() {
    each(&BROKEN, |(component, name, words)| feed(*component, name, words, &UNGUARDED));
}

#[test]
fn an_export_that_lost_its_end_is_seen_where_the_records_left_are_sound() {
    let words: &[&str] = &["exports another number of records than before maintenance"];
    each(&[Component::Runservice, Component::Configstore], |it| feed(*it, "trunc-bound", words, &[]));
}

/// Serves a broken input from maintenance on, and looks what comes of it.
fn feed(component: Component, name: &str, words: &[&str], playbook: &[(&str, &str)]) {
    let site = Installation::of(&Options { playbook, ..Options::default() });
    // There is no maintenance, and so no export, before it is broken.
    site.lab.switch("traps.never-enters@configstore", json!(1)).unwrap();
    let before = site.everything();
    let folder = site.path("var").join(component.name()).join("export");
    let whole = site.ask(component, "/api/v1alpha/export").unwrap().body;
    let (_, broken) = broken_inputs(&whole).into_iter().find(|(known, _)| *known == name).unwrap();
    let ran = site.apply_and_when("maintenance-old_configstore", |site| {
        let first = if component == Component::Runservice { "run" } else { "user" };
        std::fs::rename(&folder, site.path("lab/whole")).unwrap();
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join(first), &broken).unwrap();
        site.lab.switch("traps", json!({})).unwrap();
        // An old service that cannot read its records would not answer behind maintenance either.
        site.wait_until("the export is read", || site.goes_back() || site.begun("stop-runservice"));
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::rename(site.path("lab/whole"), &folder).unwrap();
    });
    let how = format!("{} of the {}: {}", name, component.name(), ran.said());
    if words.is_empty() {
        assert_eq!(ran.code, 0, "{how}");
        site.expect_upgraded();
    } else {
        assert_eq!(ran.code, 20, "{how}");
        words.iter().for_each(|word| assert!(ran.said().contains(word), "{word:?}: {how}"));
        site.expect_as_before(&before);
    }
}

/// What `validate` says to a copy of the playbook with a mistake in it.
fn validate(change: (&str, &str)) -> Ran {
    judged("validate", &[change])
}

/// What a verb for maintainers says to a copy of the playbook with changes.
fn judged(verb: &str, changes: &[(&str, &str)]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    copy_playbook("agola", &folder.path().join("agola"), changes);
    let mut command = Command::new(BINARY);
    command.args([verb, "agola/playbook.yaml"]).current_dir(folder.path()).env("NO_COLOR", "1");
    Ran::of(&command.output().unwrap())
}

/// The first thing that is said, which the mistake is in; each of the three releases has it.
fn first(ran: &Ran) -> String {
    assert_eq!(ran.code, 10, "{}", ran.said());
    let line = regex::Regex::new(r"\b\d{3}\b").unwrap();
    line.replace_all(ran.said().split("\n\n").next().unwrap(), "NNN").into_owned()
}

#[test]
fn the_pipe_mistake_of_the_guide_is_an_error_where_it_stands() {
    let piped = validate((
        "          from: \"export[configstore]\"\n          into",
        "          from: \"export[runservice]\"\n          into",
    ));
    insta::assert_snapshot!(first(&piped), @r#"
    error[P045]: one component's records would become another's
       --> ./agola/playbook.yaml:NNN:17
        |
    NNN |           into: "migrated[configstore]"
        |                 ^^^^^^^^^^^^^^^^^^^^^^^ made here
    help: take the same component on both sides
    "#);
    let sent = validate((
        "          to: new_runservice\n          post",
        "          to: new_configstore\n          post",
    ));
    insta::assert_snapshot!(first(&sent), @r#"
    error[P045]: migrated[runservice] is not of configstore, which answers at new_configstore
       --> ./agola/playbook.yaml:NNN:17
        |
    NNN |           from: "migrated[runservice]"
        |                 ^^^^^^^^^^^^^^^^^^^^^^ belongs to another component
    help: take `migrated[configstore]`, or the endpoint of runservice
    "#);
}

#[test]
fn a_maintenance_that_ends_with_its_release_is_no_trap_and_one_that_the_new_release_stays_in_is() {
    judged("lint", &[]).expect(0, &["no traps found"]);
    let stays = judged("lint", &[("leave: [new_runservice, new_configstore]", "leave: new_configstore")]);
    stays
        .expect(10, &["T010", "maintenance of `new_runservice` is entered and never left", "old_runservice"]);
    // Somebody has to leave it where nobody stops the service that is in it.
    let runs_on =
        judged("lint", &[("      - stop: [runservice, configstore]\n      - edit", "      - edit")]);
    runs_on.expect(10, &["maintenance of `old_configstore` is entered and never left"]);
}
