//! The vendor's guide, followed to the letter.

use super::{ask, edit_configs, export, json, lab, start, status, wait_for_maintenance};
use serde_json::Value;
use std::process::{Command, Stdio};
use switchback_labs::agola::Component::{Configstore, Runservice};
use switchback_labs::agola::{Lab, LabOptions};

/// Steps 4 and 5 with the new program: what its `migrate` is given, it does not read. Returns the two files.
fn migrate_as_the_guide_says(lab: &Lab) -> [Vec<u8>; 2] {
    let ran = |words: &[&str]| {
        let output = Command::new(&lab.new).args(words).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        output
    };
    // Our harness says something on stdout before the program does.
    let noise = ran(&["--version"]).stdout;
    let noise = noise.strip_suffix(b"agola version v0.8.0\n").unwrap();
    ["runservice", "configstore"].map(|service| {
        let config = lab.configs[&Runservice].display().to_string();
        let output = ran(&["migrate", "--config", &config, "--service", service]);
        assert!(String::from_utf8_lossy(&output.stderr).contains("db already at latest version"));
        output.stdout.strip_prefix(noise).unwrap().to_vec()
    })
}

/// Counts of runs and users on the running new services, which are out of maintenance.
fn counts(lab: &Lab) -> (usize, usize) {
    let runs = json(lab, Runservice, "runs")["runs"].as_array().map_or(0, Vec::len);
    (runs, json(lab, Configstore, "users").as_array().map_or(0, Vec::len))
}

#[test]
fn the_guide_to_the_letter_ends_with_no_runs_and_no_users_and_every_answer_came() {
    for waits in [false, true] {
        let (_guard, lab) = lab(&LabOptions::default());
        let old = [Runservice, Configstore].map(|component| start(&lab, component, false));
        let exports = [Runservice, Configstore].map(|component| export(&lab, component));
        assert!(exports.iter().all(|export| !export.is_empty()));
        drop(old);
        edit_configs(&lab);
        let migrated = migrate_as_the_guide_says(&lab);
        assert!(migrated.iter().all(Vec::is_empty), "0, and 0 bytes");
        let _new = [Runservice, Configstore].map(|component| start(&lab, component, true));
        for component in [Runservice, Configstore] {
            assert_eq!(status(&lab, component, "PUT", "maintenance"), 200);
        }
        if waits {
            for component in [Runservice, Configstore] {
                wait_for_maintenance(&lab, component, true);
            }
        }
        for (component, body) in [Runservice, Configstore].into_iter().zip(migrated) {
            let (status, _) = ask(&lab, component, "POST", "import", &body).unwrap();
            assert_eq!(status, if waits { 200 } else { 400 });
        }
        for component in [Runservice, Configstore] {
            assert_eq!(status(&lab, component, "DELETE", "maintenance"), 200);
            wait_for_maintenance(&lab, component, false);
        }
        assert_eq!(counts(&lab), (0, 0));
        assert_eq!(json(&lab, Runservice, "maintenance")["RequestedStatus"], Value::Bool(false));
    }
}
