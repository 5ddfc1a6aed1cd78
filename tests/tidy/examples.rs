//! The examples of the docs are playbooks that load.

use crate::source::{files, root};
use switchback_engine::LoadedPlaybook;
use switchback_model::compile::Files;
use switchback_model::diagnostic::Source;

/// What an example stands in: targets of every kind.
const AROUND: &str = r#"playbook: notes
format: 1
inputs:
  database: {type: file}
  settings: {type: file}
  service: {type: service}
  url: {type: url}
targets:
  db: {sqlite: "${database}"}
  config: {file: "${settings}"}
  old: {postgres: "postgres://localhost/old", schemas: [public], read_only: true}
  new: {postgres: "postgres://localhost/new", schemas: [app], made_by_us: true}
  app: {service: "${service}", stores: [db], entrance: true}
  web:
    http: "${url}"
    served_by: app
    maintenance:
      enter: {method: put, url: "${url}/maintenance"}
      leave: {method: delete, url: "${url}/maintenance"}
      is_on: {get: "${url}/maintenance", jq: .on}
artifacts:
  export: {type: notes.v1, format: json-values}
  moved: {type: notes.v2, format: json-lines}
  back: {type: notes.v2, format: json-lines}
version:
  detect:
    - {in: db, sql: "SELECT version FROM meta", means: {"1": "1.0", "2": "2.0"}}
upgrades:
  - from: "1.0"
    to: "2.0"
"#;

/// The YAML of a page, block by block.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    for part in text.split("```yaml\n").skip(1) {
        blocks.push(part.split("```").next().unwrap().to_owned());
    }
    blocks
}

fn load(name: &str, text: String) {
    let source = Source::new(name, text);
    let beside = Files::from([
        ("move.sql".to_owned(), "DELETE FROM settings".to_owned()),
        ("users.jq".to_owned(), "select(.type == \"user\")".to_owned()),
        ("tables.yaml".to_owned(), "tables: [{from: a, columns: [id]}]".to_owned()),
    ]);
    if let Err(wrong) = LoadedPlaybook::load(source.clone(), beside, &switchback_steps::registry()) {
        panic!("{}", wrong.render_all(Some(&source)));
    }
}

#[test]
fn the_example_of_every_kind_is_valid() {
    for (name, text) in files("docs/steps", ".md") {
        let found = blocks(&text);
        assert!(!found.is_empty(), "{name} has no example");
        for block in found {
            let kind = name.rsplit('/').next().unwrap().trim_end_matches(".md");
            assert!(block.contains(&format!("- {kind}:")), "the example of {name} shows something else");
            let mut whole = AROUND.to_owned();
            if !block.contains("freeze:") {
                whole.push_str("    freeze: [{stop: app}]\n");
            }
            whole.extend(block.lines().map(|line| format!("    {line}\n")));
            load(&name, whole);
        }
    }
}

#[test]
fn the_playbook_of_the_language_page_is_valid() {
    let text = std::fs::read_to_string(root().join("docs/playbooks.md")).unwrap();
    let whole: Vec<_> = blocks(&text).into_iter().filter(|block| block.starts_with("playbook:")).collect();
    assert_eq!(whole.len(), 1);
    load("docs/playbooks.md", whole[0].clone());
}
