//! `rollback`

use crate::support::{Place, YES};

#[test]
fn rollback_takes_an_upgrade_back_step_by_step() {
    let place = Place::upgraded();
    insta::assert_snapshot!(place.run(&["rollback", "--yes"]).text(), @r#"
    $ switchback rollback --yes
    --- stderr
    taken up by operator@HOST
    going back, as asked
      undone: start app in its new release (SPAN)
      undone: take our rows out of db and give it back (SPAN)
      undone: alter machines, backups in db (SPAN)
      undone: rename {machine_name} to {server_name} in notification templates (SPAN)
      undone: move settings and overdue notices from machine names to server ids (SPAN)
      undone: back db up and prove the backup (SPAN)
      undone: try out a backup of db while it runs (SPAN)
    rolled back: as before
    the site is as it was before the run
    --- exit 0
    "#);
    assert_eq!(place.run(&["detect", "--json"]).json()["installed"], "0.6");
}

#[test]
fn rollback_takes_a_killed_run_back_without_asking() {
    let place = Place::lab();
    let killed = place.run_with(&YES, &[("SWITCHBACK_FAULT", "kill@60")]);
    assert_eq!(killed.exit, None, "{}", killed.text());
    let shown = place.run(&["rollback"]);
    assert_eq!(shown.exit, Some(0), "{}", shown.text());
    assert_eq!(place.run(&["status", "--json"]).json()["standing"], "rolled back");
}

#[test]
fn rollback_of_a_rolled_back_run_has_nothing_to_do() {
    let place = Place::upgraded();
    assert_eq!(place.run(&["rollback", "--yes"]).exit, Some(0));
    insta::assert_snapshot!(place.run(&["rollback", "--yes"]).text(), @r#"
    $ switchback rollback --yes
    --- stderr
    nothing to do: the last run is rolled back already
    --- exit 0
    "#);
}

#[test]
fn rollback_as_json_prints_the_journal() {
    let lines = Place::upgraded().run(&["rollback", "--yes", "--json"]).json_lines();
    assert_eq!(lines.last().unwrap()["outcome"], "rolled-back");
}
