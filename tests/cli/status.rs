//! `status`

use crate::support::Place;

#[test]
fn status_without_a_run_says_so() {
    insta::assert_snapshot!(Place::lab().run(&["status"]).text(), @r#"
    $ switchback status
    --- stderr
    no run in DIR/.switchback
    --- exit 0
    "#);
    assert_eq!(Place::lab().run(&["status", "--json"]).json(), serde_json::json!({ "run": null }));
}

#[test]
fn status_of_an_upgraded_site() {
    insta::assert_snapshot!(Place::upgraded().run(&["status"]).text(), @r#"
    $ switchback status
    duplistatus 0.6 → 0.7: upgraded
    --- stderr
    run RUN, 22 of 22 steps, in DIR/.switchback/runs/RUN
    --- exit 0
    "#);
}

#[test]
fn status_of_an_open_run_says_where_it_stands_and_exits_with_30() {
    let place = Place::open_at("alter-db");
    insta::assert_snapshot!(place.run(&["status"]).text(), @r#"
    $ switchback status
    duplistatus 0.6 → 0.7: open
    --- stderr
    run RUN, 10 of 22 steps, in DIR/.switchback/runs/RUN
    at `alter-db` (started): alter machines, backups in db
    `switchback resume` goes on, `switchback rollback` goes back
    --- exit 30
    "#);
    let value = place.run(&["status", "--json"]).json();
    assert_eq!((&value["at"], &value["exit"]), (&"alter-db".into(), &30.into()));
}
