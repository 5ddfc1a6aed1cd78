//! `schema`

use crate::json_schema::wrong;
use crate::support::Place;
use serde_json::Value;
use switchback_model::compile::plain_value;
use switchback_model::diagnostic::{Diagnostics, Source};
use switchback_model::tree;

/// Reads YAML as an editor does.
fn yaml(text: &str) -> Value {
    let mut out = Diagnostics::default();
    let node = tree::parse(&Source::new("playbook.yaml", text), &mut out);
    assert!(out.is_empty(), "{}", out.render_all(None));
    plain_value(&node.unwrap())
}

fn playbook_schema() -> Value {
    Place::empty().run(&["schema"]).json()
}

/// A playbook with these steps in its `change:`, over targets of every kind.
fn with_step(step: &str) -> Value {
    yaml(
        &include_str!("notes/playbook.yaml")
            .replace("    change:\n", &format!("    change:\n      - {step}\n")),
    )
}

#[test]
fn schema_prints_json_schemas_of_both_files() {
    for (args, title) in [
        (&["schema"][..], "switchback playbook"),
        (&["schema", "playbook"], "switchback playbook"),
        (&["schema", "site"], "switchback site file"),
    ] {
        let value = Place::empty().run(args).json();
        assert_eq!(value["title"], title);
        assert_eq!(value["$schema"], "https://json-schema.org/draft/2020-12/schema");
    }
}

#[test]
fn playbooks_that_are_valid_satisfy_the_schema() {
    let schema = playbook_schema();
    for text in
        [include_str!("../../playbooks/duplistatus/playbook.yaml"), include_str!("notes/playbook.yaml")]
    {
        assert_eq!(wrong(&schema, &yaml(text)), Vec::<String>::new());
    }
}

#[test]
fn a_site_file_that_is_valid_satisfies_the_schema() {
    let schema = Place::empty().run(&["schema", "site"]).json();
    assert_eq!(wrong(&schema, &yaml(&Place::lab().read("site.yaml"))), Vec::<String>::new());
    let written = Place::empty().run(&["init", "duplistatus"]).stdout;
    assert_eq!(wrong(&schema, &yaml(&written)), Vec::<String>::new());
    assert_ne!(wrong(&schema, &yaml("playbook: duplistatus\ninput: {}\n")), Vec::<String>::new());
}

#[test]
fn every_step_may_say_what_it_does_and_why() {
    let schema = playbook_schema();
    let common = "says: it, why: so, id: here, when: {in: db, sql: \"SELECT 1\"}";
    for body in [
        "sql: {in: db, text: \"SELECT 1\"",
        "ensure: {in: db, sql: \"SELECT 1\"",
        "backup: {in: db",
        "file: {at: settings, text: new",
        "run: {argv: [notes, migrate], done_when: {in: db, sql: \"SELECT 1\"}",
        "manual: {do: look, done_when: {in: db, sql: \"SELECT 1\"}",
        "alter: {in: db, tables: {notes: {rename: pages}}",
        "maintenance: {enter: web",
    ] {
        assert_eq!(
            wrong(&schema, &with_step(&format!("{body}, {common}}}"))),
            Vec::<String>::new(),
            "{body}"
        );
    }
}

#[test]
fn a_misspelt_key_or_kind_violates_the_schema() {
    let schema = playbook_schema();
    for step in [
        "sql: {in: db, txt: \"SELECT 1\"}",
        "sqll: {in: db, text: \"SELECT 1\"}",
        "ensure: {in: db, sql: \"SELECT 1\", iss: 1}",
        "run: {argv: notes}",
        "stop: {service: app}",
    ] {
        let found = wrong(&schema, &with_step(step));
        assert_eq!(found.len(), 1, "{step}: {found:?}");
        assert!(found[0].starts_with("/upgrades/0/change/0"), "{found:?}");
    }
}

#[test]
fn the_maintenance_of_a_target_is_not_taken_for_the_step() {
    let target = "targets:\n  web:\n    http: \"http://localhost\"\n    maintenance:\n      enter: {method: put, url: \"http://localhost/m\"}\n      leave: {method: delete, url: \"http://localhost/m\"}\n      is_on: {get: \"http://localhost/m\", jq: .on}\n";
    let text = include_str!("notes/playbook.yaml").replace("targets:\n", target);
    assert_eq!(wrong(&playbook_schema(), &yaml(&text)), Vec::<String>::new());
}
