//! `each`: a list that is asked for when planning, frozen in the plan, and looked at again when it is applied.

use crate::support::{Place, Shown};

const PLAYBOOK: &str = r#"
playbook: shelves
format: 1
inputs:
  database: {type: file}
  shelves: {type: list, fields: {name: text}, optional: true}
targets:
  db: {sqlite: "${database}"}
version:
  detect:
    - {in: db, sql: "SELECT version FROM meta", means: {"1": "1.0", "2": "2.0"}}
upgrades:
  - from: "1.0"
    to: "2.0"
    change:
      - each:
          as: shelf
          in: db
          sql: "SELECT name, place FROM shelves"
          key: name
          identifier: [place]
          only: "${shelves}"
          do:
            - require: {in: db, sql: "SELECT 1 FROM ${shelf.place}", none: true, else: "a shelf is not empty"}
            - sql:
                in: db
                text: "UPDATE shelves SET version = 2 WHERE name = :shelf_name"
                shows: "SELECT place FROM shelves WHERE name = :shelf_name"
      - sql: {in: db, text: "UPDATE meta SET version = '2'"}
    prove:
      - ensure: {in: db, sql: "SELECT name FROM shelves WHERE version <> 2", none: true}
"#;

const SITE: &str = "playbook: playbook.yaml\ninputs:\n  database: shelves.db\n";

/// A library with shelves of hostile names.
fn library() -> Place {
    let place = Place::empty();
    place.write("playbook.yaml", PLAYBOOK).write("site.yaml", SITE);
    let database = rusqlite::Connection::open(place.path().join("shelves.db")).unwrap();
    database
        .execute_batch(
            "CREATE TABLE meta(version TEXT); INSERT INTO meta VALUES ('1');
             CREATE TABLE shelves(name TEXT, place TEXT, version INTEGER DEFAULT 1);
             CREATE TABLE \"the \"\"top\"\" one\"(x); CREATE TABLE low(x);
             INSERT INTO shelves(name, place) VALUES ('O''Brien; DROP', 'the \"top\" one'), ('attic', 'low')",
        )
        .unwrap();
    place
}

fn sql(place: &Place, sql: &str) {
    rusqlite::Connection::open(place.path().join("shelves.db")).unwrap().execute_batch(sql).unwrap();
}

fn refused(place: &Place, code: &str) -> Shown {
    let shown = place.run(&["plan"]);
    assert_eq!(shown.exit, Some(11), "{}", shown.text());
    assert!(shown.stderr.contains(&format!("error[{code}]")), "{}", shown.text());
    shown
}

#[test]
fn a_loop_becomes_steps_by_name_and_each_has_its_own_values() {
    let place = library();
    let plan = place.run(&["plan", "--json"]);
    assert_eq!(plan.exit, Some(0), "{}", plan.text());
    let plan = plan.json();
    let ids: Vec<_> =
        plan["steps"].as_array().unwrap().iter().map(|step| step["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"sql-db-O_Brien__DROP") && ids.contains(&"require-db-attic"), "{ids:?}");
    let facts = plan["facts"].as_array().unwrap();
    let list = facts.iter().find(|fact| fact["name"] == "list shelf of db").unwrap();
    assert_eq!(list["value"][1], "name attic, place low");

    let done = place.run(&["apply", "--yes"]);
    assert_eq!(done.exit, Some(0), "{}", done.text());
}

#[test]
fn a_list_that_changed_since_the_plan_is_refused_with_the_difference() {
    let place = library();
    assert_eq!(place.run(&["plan"]).exit, Some(0));
    sql(&place, "INSERT INTO shelves(name, place) VALUES ('cellar', 'low')");
    let refused = place.run(&["apply", "--yes"]);
    assert_eq!(refused.exit, Some(11), "{}", refused.text());
    assert!(refused.stderr.contains("+ name cellar, place low"), "{}", refused.text());
}

#[test]
fn an_empty_list_is_a_refusal_and_no_empty_success() {
    let place = library();
    sql(&place, "DELETE FROM shelves");
    refused(&place, "D013");
}

#[test]
fn two_things_of_one_name_cannot_be_told_apart() {
    let place = library();
    sql(&place, "INSERT INTO shelves(name, place) VALUES ('attic', 'low')");
    refused(&place, "D014");
}

#[test]
fn a_name_that_the_list_does_not_have_is_refused() {
    let place = library();
    place.write("site.yaml", &format!("{SITE}  shelves: [attic, cellar]\n"));
    let shown = refused(&place, "D015");
    assert!(
        shown.stderr.contains("cellar") && shown.stderr.contains("known: O'Brien; DROP, attic"),
        "{}",
        shown.text()
    );
}

#[test]
fn a_part_of_the_list_is_named_in_the_site_file() {
    let place = library();
    place.write("site.yaml", &format!("{SITE}  shelves: [{{name: attic}}]\n"));
    let plan = place.run(&["plan", "--json"]).json();
    let steps = plan["steps"].to_string();
    assert!(steps.contains("sql-db-attic") && !steps.contains("Brien"), "{steps}");
}

#[test]
fn a_field_that_is_no_identifier_cannot_be_program_text() {
    let place = library();
    place.change("playbook.yaml", "identifier: [place]", "identifier: [name]");
    insta::assert_snapshot!(place.run(&["validate", "playbook.yaml"]).text(), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P012]: a reference inside SQL would be program text
      --> ./playbook.yaml:24:38
       |
    24 |             - require: {in: db, sql: "SELECT 1 FROM ${shelf.place}", none: true, else: "a shelf is not empty"}
       |                                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ `${shelf.place}` is in this query
    help: bind it as a parameter: write `:shelf_place`
    --- exit 10
    "#);
}

#[test]
fn explain_shows_a_loop_as_one() {
    let place = library();
    let guide = place.run(&["explain", "playbook.yaml"]).stdout;
    let change = guide.split("### ").find(|part| part.starts_with("The change")).unwrap();
    insta::assert_snapshot!(change, @r#"
    The change (a backup of every database it touches is made and proven first)

    1. For each shelf of db:
       1. Require that `SELECT 1 FROM "sample"` in db finds nothing
       1. Run SQL in db
    1. Run SQL in db
    "#);
}
