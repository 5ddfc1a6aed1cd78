//! Commands that say they changed a PostgreSQL database and did not.

use crate::lab::{Ended, Verb, live, load, make_plan};
use crate::server::Server;
use switchback_engine::state_dir::StateDir;
use switchback_model::compile::Files;
use switchback_model::record::Outcome;
use switchback_site::Tell;
use switchback_site::postgres::{Database, Fingerprint};

#[test]
fn a_command_that_only_says_it_changed_the_server_is_not_believed() {
    let server = Server::shared();
    let database = server.database(
        "CREATE SCHEMA app; CREATE TABLE app.stamp (version text); INSERT INTO app.stamp VALUES ('1'); CREATE TABLE app.things (id int)",
    );
    let url = server.cluster.url(&database);
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::at(folder.path().join("state"));
    state.make().unwrap();
    let site = format!("playbook: lies\ninputs:\n  database: {url}\n");
    let plan = make_plan(&load("lies", PLAYBOOK.to_owned(), Files::new()), &site, folder.path(), &state);

    let place = Database::parse(&url).unwrap();
    let read = || Fingerprint::read(&place, &["app".to_owned()], &Tell::quiet()).unwrap();
    let before = read();
    assert_eq!(live(&plan, &state, Verb::Up, Tell::quiet()), Ended::With(Outcome::RolledBack));
    assert_eq!(read().differences(&before), Vec::<String>::new());
}

const PLAYBOOK: &str = r#"playbook: lies
format: 1
title: a command that is not to be believed
inputs:
  database: {type: url, help: "the database", example: "postgres://app@localhost/app"}
targets:
  db: {postgres: "${database}", schemas: [app]}
version:
  detect:
    - in: db
      sql: "SELECT version FROM app.stamp"
      means: {"1": "1.0", "2": "2.0"}
upgrades:
  - from: "1.0"
    to: "2.0"
    change:
      - sql: {in: db, text: "UPDATE app.stamp SET version = '2'"}
      - run: {argv: ["true"], writes: [db], done_when: {in: db, sql: "SELECT id FROM app.things"}}
"#;
