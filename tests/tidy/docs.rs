//! A page and a fixture for every kind, and commands in the docs that exist.

use crate::source::{files, root};
use regex::Regex;
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;
use switchback_model::decode::Schemas;

/// What every step may say, whatever its kind.
const COMMON: [&str; 5] = ["says", "why", "id", "when", "rehearse"];

fn page(kind: &str) -> String {
    let path = root().join(format!("docs/steps/{kind}.md"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The keys of a kind's own body, and whether it is a probe.
fn keys(kind: &str, steps: &Value) -> (Vec<String>, bool) {
    let of = |entry: &&Value| entry["properties"].get(kind).is_some();
    let entry = steps["oneOf"].as_array().unwrap().iter().find(of).unwrap();
    let own = entry["properties"][kind]["properties"].as_object().cloned().unwrap_or_default();
    let own: Vec<String> = own.keys().filter(|key| !COMMON.contains(&key.as_str())).cloned().collect();
    let is_probe = own.iter().any(|key| key == "same_as");
    (own, is_probe)
}

#[test]
fn every_kind_has_a_page_that_lists_its_keys() {
    let registry = switchback_steps::registry();
    let steps = registry.schema(&mut Schemas::default());
    let language = std::fs::read_to_string(root().join("docs/playbooks.md")).unwrap();
    for kind in registry.kinds() {
        let text = page(kind.name);
        assert_eq!(text.lines().next(), Some(format!("# {}", kind.name).as_str()));
        assert!(text.lines().count() <= 40, "{}", kind.name);
        assert!(language.contains(&format!("(steps/{}.md)", kind.name)), "{} is not linked", kind.name);
        let (keys, is_probe) = keys(kind.name, &steps);
        // Probes are told once.
        let told = if is_probe {
            assert!(text.contains("(../playbooks.md#probes)"), "{}", kind.name);
            &language
        } else {
            &text
        };
        for key in keys {
            let is_told = told.contains(&format!("`{key}`")) || told.contains(&format!("`{key}:"));
            assert!(is_told, "the page of {} does not tell `{key}`", kind.name);
        }
    }
}

#[test]
fn every_page_has_its_kind() {
    let kinds: BTreeSet<String> =
        switchback_steps::registry().kinds().map(|kind| format!("docs/steps/{}.md", kind.name)).collect();
    let pages: BTreeSet<String> = files("docs/steps", ".md").into_iter().map(|(name, _)| name).collect();
    assert_eq!(pages, kinds);
}

#[test]
fn every_kind_obeys_the_laws() {
    let registry = switchback_steps::registry();
    let laws: Vec<_> = files("tests/laws/kinds", ".rs");
    let text: String = laws.into_iter().map(|(_, text)| text).collect();
    for kind in registry.kinds().map(|kind| kind.name) {
        // A composite has no step of its own: it is made of others, and they obey.
        let unknown = registry.read(kind, Value::Null).err().is_some_and(|e| e.contains("knows no step"));
        assert!(
            unknown || text.is_empty() || text.contains(&format!("steps::{kind}::")),
            "tests/laws/kinds has no fixture of {kind}"
        );
    }
}

#[test]
fn every_command_of_the_docs_exists() {
    let help = Command::new(env!("CARGO_BIN_EXE_switchback")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let verbs: BTreeSet<&str> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let quoted = Regex::new(r"`switchback +([a-z]+)").unwrap();
    let typed = Regex::new(r"(?m)^\s*(?:\$ |\./target/release/)?switchback +([a-z]+)").unwrap();
    let mut pages = files("docs", ".md");
    for name in ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"] {
        pages.extend(std::fs::read_to_string(root().join(name)).map(|text| (name.to_owned(), text)));
    }
    let mut seen = 0;
    for (name, text) in &pages {
        // Every second part between fences is what one types.
        let blocks: String = text.split("```").skip(1).step_by(2).collect();
        for found in quoted.captures_iter(text).chain(typed.captures_iter(&blocks)) {
            assert!(verbs.contains(&found[1]), "{name} calls `switchback {}`", &found[1]);
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen} commands");
}
