//! `detect`

use crate::support::Place;

#[test]
fn detect_names_the_release_and_the_evidence() {
    insta::assert_snapshot!(Place::lab().run(&["detect"]).text(), @"
    $ switchback detect
    duplistatus 0.6
    --- stderr
      the schema version in db_version: 2.0, which means 0.6
      the tables of its entities: machines, which means <0.7
    --- exit 0
    ");
}

#[test]
fn detect_as_json_has_the_evidence() {
    let value = Place::lab().run(&["detect", "--json"]).json();
    assert_eq!((&value["installed"], &value["open_runs"]), (&"0.6".into(), &serde_json::json!([])));
    assert_eq!(value["evidence"].as_array().unwrap().len(), 2);
}
