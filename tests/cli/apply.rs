//! `apply`

use crate::support::{Place, YES};

#[test]
fn apply_tells_each_step_and_what_it_saw() {
    let place = Place::lab();
    assert_eq!(place.run(&["plan"]).exit, Some(0));
    insta::assert_snapshot!(place.run(&YES).text(), @r#"
    $ switchback apply --yes --accept unresolved-settings --accept unresolved-notices
    --- stderr
    run RUN
    prepare
      ok require that the release is pinned to 0.7.x (seen: v0.7.27)
      ok require that no table of an earlier try is in the way (seen: 0 rows)
      ok require that the database holds the application's own tables, columns and indexes, and nothing else (seen: 0 rows)
      ok require that every backup has its machine (seen: 0 rows)
      ok require that every setting is the JSON it has to be (seen: 0 rows)
      ok try out a backup of db while it runs (SPAN, SIZE, 169 rows)
    freeze  (the downtime begins)
      ok stop app
    change
      ok back db up and prove the backup (SPAN, SIZE, 169 rows)
      ok move settings and overdue notices from machine names to server ids (SPAN, 3 rows)
      ok rename {machine_name} to {server_name} in notification templates (SPAN, 1 row)
      ok alter machines, backups in db (SPAN)
    prove
      ok prove that every machine is a server now, value by value (seen: 5 rows equal)
      ok prove that every backup is there, value by value (seen: 156 rows equal)
      ok prove that no other configuration changed (seen: 4 rows)
      ok prove that every setting belongs to a server (seen: 0 rows)
      ok prove that the version is stamped (seen: 3.0)
      ok prove that no reference leads nowhere (seen: 0 rows)
      ok take our rows out of db and give it back (SPAN)
    commit point: everything is proven; writers are let in from here on
    thaw
      ok start app in its new release (SPAN)
    confirm
      ok look whether the new release answers as itself (seen: true)
      ok look whether the new release sees every backup (seen: 156)
      ok look whether the new release sees every server (seen: 5)
    upgraded
    the way back stays open: `switchback rollback`; once all is well, `switchback finalize` drops what is kept for it
    --- exit 0
    "#);
}

#[test]
fn apply_as_json_prints_the_journal() {
    let place = Place::lab();
    let lines = place.run(&[&YES[..], &["--json"]].concat()).json_lines();
    assert_eq!(lines.first().unwrap()["record"], "run-started");
    assert_eq!(lines.last().unwrap()["record"], "run-ended");
    assert_eq!(lines.last().unwrap()["outcome"], "upgraded");
}

#[test]
fn apply_of_what_is_done_has_nothing_to_do() {
    let place = Place::upgraded();
    insta::assert_snapshot!(place.run(&YES).text(), @"
    $ switchback apply --yes --accept unresolved-settings --accept unresolved-notices
    --- stderr
    nothing to do: 0.7 is installed
      the schema version in db_version: 3.0, which means 0.7
      the tables of its entities: servers, which means >=0.7
    --- exit 0
    ");
}
