//! The walls of the house: who may know whom, and what a crate may touch.

use crate::source::{files, root, sightings};

/// The floors, each with those below it that it may know. `engine` does not know `flow`.
const FLOORS: [(&str, &[&str]); 7] = [
    ("model", &[]),
    ("site", &["model"]),
    ("flow", &["model", "site"]),
    ("engine", &["model", "site"]),
    ("steps", &["model", "site", "flow", "engine"]),
    ("labs", &["model", "site"]),
    ("app", &["model", "site", "flow", "engine", "steps", "labs"]),
];

/// Those of our own crates that a crate depends on, outside its tests.
fn known_to(krate: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join("crates").join(krate).join("Cargo.toml")).unwrap();
    let mut inside = false;
    let mut known = Vec::new();
    for line in text.lines() {
        if line.starts_with('[') {
            inside = line.contains("dependencies") && !line.contains("dev-dependencies");
        } else if let Some(rest) = line.strip_prefix("switchback-").filter(|_| inside) {
            known.push(rest.split(['.', ' ', '=']).next().unwrap().to_owned());
        }
    }
    known
}

#[test]
fn every_crate_has_its_floor() {
    let mut there: Vec<String> = std::fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    there.sort();
    let mut floors: Vec<&str> = FLOORS.iter().map(|(name, _)| *name).collect();
    floors.sort_unstable();
    assert_eq!(there, floors);
}

#[test]
fn no_arrow_points_up() {
    for (krate, below) in FLOORS {
        for known in known_to(krate) {
            assert!(below.contains(&known.as_str()), "{krate} must not know {known}");
        }
    }
}

#[test]
fn the_model_touches_no_world() {
    let world = [
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "SystemTime",
        "Instant",
        "std::io::stdin",
        "Timestamp::now",
        "rand::",
    ];
    assert_eq!(sightings(&files("crates/model/src", ".rs"), &world), Vec::<String>::new());
}

#[test]
fn only_the_output_of_the_app_prints() {
    let printing = ["println!", "eprintln!", "print!(", "dbg!(", "stdout()", "stderr()"];
    // The child answers its parent over a pipe, and a lab's stand-in is the program of somebody else.
    let may = ["crates/app/src/output.rs", "crates/app/src/commands/jq_child.rs", "crates/labs/"];
    let sources: Vec<_> = files("crates", ".rs")
        .into_iter()
        .filter(|(name, _)| name.contains("/src/") && !may.iter().any(|one| name.starts_with(one)))
        .collect();
    assert_eq!(sightings(&sources, &printing), Vec::<String>::new());
}

#[test]
fn only_labs_and_the_demo_name_an_application() {
    let may = ["crates/labs/", "crates/app/src/commands/demo/", "crates/app/src/commands/lab.rs"];
    let apps: Vec<String> = std::fs::read_dir(root().join("playbooks"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert!(!apps.is_empty());
    for (name, text) in files("crates", ".rs") {
        if may.iter().any(|one| name.starts_with(one)) || !name.contains("/src/") {
            continue;
        }
        let text = text.to_lowercase();
        for app in &apps {
            assert!(!text.contains(app.as_str()), "{name} names {app}");
        }
    }
}
