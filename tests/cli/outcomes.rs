//! How a run ends when it does not end well: what failed, what is true now, and what to do.

use crate::support::{Place, YES};
use switchback_site::lock::FolderLock;

/// What is said from the phase `freeze` on.
fn from_freeze(text: &str) -> &str {
    text[text.find("\nfreeze").unwrap()..].trim()
}

#[test]
fn a_writer_that_stays_takes_the_run_back_before_anything_is_changed() {
    let place = Place::lab();
    // The test itself is the writer: it has the database open.
    let database = rusqlite::Connection::open(place.path().join("data/backups.db")).unwrap();
    let count = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM machines"), 5);
    assert_eq!(place.run(&["plan"]).exit, Some(0));
    let shown = place.run(&YES);
    let text = shown.text();
    insta::assert_snapshot!(from_freeze(&text), @"
    freeze  (the downtime begins)
        … waiting until its stores are let go
      FAILED stop app [stop-app]
         error[R001]: cannot keep writers out of the stores of app
           process PID has db open: PROGRAM
         help: stop these processes, and whatever starts them again
    going back, because stop-app failed
      undone: stop app (SPAN)
      undone: try out a backup of db while it runs (SPAN)
    rolled back: as before
    the site is as it was before the run
    --- exit 20
    ");
    insta::assert_snapshot!(place.run(&["status"]).text(), @r#"
    $ switchback status
    duplistatus 0.6 → 0.7: rolled back
    --- stderr
    run RUN, 5 of 22 steps, in DIR/.switchback/runs/RUN
    it went back because `stop-app` failed: `switchback report` tells why
    --- exit 0
    "#);
    let report = place.run(&["report"]).text();
    let told = &report[report.find("  freeze ").unwrap()..report.find("  change ").unwrap()];
    insta::assert_snapshot!(told.trim(), @r#"
    freeze   undone    stop app
         error[R001]: cannot keep writers out of the stores of app
           process PID has db open: PROGRAM
         help: stop these processes, and whatever starts them again
    "#);
    assert_eq!(count("SELECT count(*) FROM machines"), 5);
}

#[test]
fn a_site_that_another_run_has_is_left_alone() {
    let place = Place::lab();
    assert_eq!(place.run(&["plan"]).exit, Some(0));
    let _held = FolderLock::take(&place.path().join("data")).unwrap();
    insta::assert_snapshot!(place.run(&YES).text(), @r#"
    $ switchback apply --yes --accept unresolved-settings --accept unresolved-notices
    --- stderr
    error[L001]: cannot take DIR/data: another run has it
    help: wait until it ends; `switchback status` there says how far it is

    nothing was changed
    --- exit 12
    "#);
}

#[test]
fn a_full_disk_is_named_and_undone() {
    let place = Place::lab();
    assert_eq!(place.run(&["plan"]).exit, Some(0));
    let shown = place.run_with(&YES, &[("SWITCHBACK_FAULT", "full@70")]);
    assert_eq!(shown.exit, Some(20), "{}", shown.text());
    assert!(shown.stderr.contains("error[R001]: cannot "), "{}", shown.text());
    assert!(shown.stderr.contains("no space left on device"), "{}", shown.text());
    assert!(shown.stderr.contains("help: free space"), "{}", shown.text());
    assert!(shown.stderr.ends_with("the site is as it was before the run\n"), "{}", shown.text());
}
