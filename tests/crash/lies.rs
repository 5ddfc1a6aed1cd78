//! Commands that say they did it and did not: the run believes what it reads back, and nothing else.

use crate::ends::exact;
use crate::lab::{Ended, Verb, live, load, make_plan};
use switchback_engine::state_dir::StateDir;
use switchback_model::compile::Files;
use switchback_model::record::Outcome;
use switchback_site::Tell;

#[test]
fn a_command_that_only_says_it_did_it_is_not_believed() {
    assert_rolls_back(r#"["true"]"#);
}

#[test]
fn a_command_that_is_killed_in_the_middle_is_not_believed() {
    assert_rolls_back(r#"[sh, "-c", "kill -9 $$"]"#);
}

/// Upgrades a database by a transaction that works and a command that does not.
fn assert_rolls_back(argv: &str) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("data.db");
    let connection = rusqlite::Connection::open(&database).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE stamp(version TEXT); INSERT INTO stamp VALUES ('1'); CREATE TABLE things(id)",
        )
        .unwrap();
    drop(connection);
    let state = StateDir::at(folder.path().join("state"));
    state.make().unwrap();
    let text = PLAYBOOK.replace("ARGV", argv);
    let site = format!("playbook: lies\ninputs:\n  database: {}\n", database.display());
    let plan = make_plan(&load("lies", text, Files::new()), &site, folder.path(), &state);

    let before = exact(&database);
    assert_eq!(live(&plan, &state, Verb::Up, Tell::quiet()), Ended::With(Outcome::RolledBack));
    assert_eq!(exact(&database).differences(&before), Vec::<String>::new());
}

const PLAYBOOK: &str = r#"playbook: lies
format: 1
title: commands that are not to be believed
inputs:
  database: {type: file, help: "the database", example: /srv/data.db}
targets:
  db:
    sqlite: "${database}"
version:
  detect:
    - in: db
      sql: "SELECT version FROM stamp"
      means: {"1": "1.0", "2": "2.0"}
upgrades:
  - from: "1.0"
    to: "2.0"
    change:
      - sql: {in: db, text: "UPDATE stamp SET version = '2'"}
      - run: {argv: ARGV, writes: [db], done_when: {in: db, sql: "SELECT id FROM things"}}
"#;
