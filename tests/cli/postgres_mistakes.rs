//! Mistakes about a PostgreSQL database, in a playbook and at the prompt.

use crate::support::{Place, mistake};

const SQLITE: &str = "sqlite: \"${database}\"";

#[test]
fn a_database_without_schemas_is_not_described() {
    insta::assert_snapshot!(mistake(SQLITE, "postgres: service=app"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P006]: target `db` does not say which schemas it is about
      --> ./playbook.yaml:11:3
       |
    11 |   db:
       |   ^^ this target
    help: add `schemas:` with the names of the application's schemas, such as `[public]`
    --- exit 10
    "#);
}

#[test]
fn an_address_in_a_playbook_holds_no_password() {
    insta::assert_snapshot!(mistake(SQLITE, "postgres: \"postgres://app:secret@db/app\"\n    schemas: [public]"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P018]: the address of target `db` holds a password
      --> ./playbook.yaml:11:3
       |
    11 |   db:
       |   ^^ this target
    help: put it into ~/.pgpass or the environment (PGPASSWORD): what is in an address gets into plans and journals
    --- exit 10
    "#);
}

#[test]
fn a_schema_that_is_an_input_is_declared_as_an_identifier() {
    insta::assert_snapshot!(mistake(SQLITE, "postgres: service=app\n    schemas: [\"${config}\"]"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P019]: `config` is not declared as an identifier
      --> ./playbook.yaml:13:16
       |
    13 |     schemas: ["${config}"]
       |                ^^^^^^^^^ names a thing inside a database here
    help: add `identifier: true` to the input
    --- exit 10
    "#);
}

#[test]
fn the_schema_of_the_ledger_is_ours() {
    insta::assert_snapshot!(mistake(SQLITE, "postgres: service=app\n    schemas: [switchback]"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P019]: `switchback` cannot be a schema of the application
      --> ./playbook.yaml:13:15
       |
    13 |     schemas: [switchback]
       |               ^^^^^^^^^^ belongs to the server, or to switchback
    help: name the schemas that the application keeps its tables in
    --- exit 10
    "#);
}

#[test]
fn a_file_is_not_made_by_the_upgrade_as_a_database_is() {
    insta::assert_snapshot!(mistake(SQLITE, "file: \"${database}\"\n    made_by_us: true"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P013]: `made_by_us:` belongs to a database
      --> ./playbook.yaml:11:3
       |
    11 |   db:
       |   ^^ this target
    help: take `made_by_us:` out, or say `sqlite:` or `postgres:`
    --- exit 10
    "#);
}

#[test]
fn a_key_of_postgresql_says_nothing_about_sqlite() {
    insta::assert_snapshot!(mistake(SQLITE, "sqlite: \"${database}\"\n    read_only: true"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P013]: `read_only:` belongs to a PostgreSQL database
      --> ./playbook.yaml:11:3
       |
    11 |   db:
       |   ^^ this target
    help: take `read_only:` out, or say `postgres:`
    --- exit 10
    "#);
}

#[test]
fn a_table_of_postgresql_is_named_with_its_schema() {
    let place = Place::notes();
    place.change("playbook.yaml", SQLITE, "postgres: service=app\n    schemas: [public]");
    place.change("playbook.yaml", "sql: \"SELECT 1\", is: 1", "table: meta, same_as: {in: db, table: meta}");
    insta::assert_snapshot!(place.run(&["validate", "playbook.yaml"]).text(), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P013]: this does not name one table of this database
      --> ./playbook.yaml:41:33
       |
    41 |       - ensure: {in: db, table: meta, same_as: {in: db, table: meta}}
       |                                 ^^^^ names it
    help: write `[SCHEMA, TABLE]`
    --- exit 10
    "#);
}

#[test]
fn a_password_in_the_site_file_is_refused_and_not_shown() {
    let place = Place::notes();
    place.change("playbook.yaml", "{type: file, help: \"the file notes.db\"}", "{type: url}");
    place.change("playbook.yaml", SQLITE, "postgres: \"${database}\"\n    schemas: [public]");
    let script = "sql:\n          in: db\n          text: \"UPDATE meta SET version = '2'\"";
    place.change("playbook.yaml", script, "restart: app");
    place.write(
        "site.yaml",
        "playbook: playbook.yaml\ninputs: {database: \"postgres://app:secret@db/app\", service: none, config: c}\n",
    );
    let shown = place.run(&["plan"]);
    assert!(!shown.text().contains("secret"));
    insta::assert_snapshot!(shown.text(), @r#"
    $ switchback plan
    --- stderr
    error[S005]: input `database` holds a password
    help: take it out, and put it into ~/.pgpass or the environment (PGPASSWORD)
    --- exit 2
    "#);
}
