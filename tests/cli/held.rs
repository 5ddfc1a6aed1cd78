//! A run that is held past the commit point: the new release was let in and has written, and a look from outside failed.

use crate::support::Place;

/// A notebook whose new release writes as soon as it starts, and never answers as it should.
fn notebook() -> Place {
    let place = Place::notes();
    place.change("playbook.yaml", "- ensure: {in: db, sql: \"SELECT 1\", is: 1}", CONFIRM);
    place.write("site.yaml", SITE);
    for (name, version, pages) in [("notes.db", "1", 1), ("written.db", "2", 2)] {
        let database = rusqlite::Connection::open(place.path().join(name)).unwrap();
        database.execute_batch("CREATE TABLE meta (version TEXT); CREATE TABLE pages (id INTEGER)").unwrap();
        database.execute("INSERT INTO meta VALUES (?1)", [version]).unwrap();
        for page in 0..pages {
            database.execute("INSERT INTO pages VALUES (?1)", [page]).unwrap();
        }
    }
    place
}

const CONFIRM: &str = "- ensure:
          id: look
          says: look whether the new release answers as itself
          in: db
          sql: \"SELECT version FROM meta\"
          is: \"2.0\"
          else: \"the new release does not answer as itself\"
          help: \"look into its log\"";

const SITE: &str = "playbook: playbook.yaml
inputs:
  database: notes.db
  config: notes.conf
  service:
    command:
      stop: [touch, stopped]
      start: [sh, -c, 'cat written.db > notes.db && rm stopped']
      start_old: [rm, -f, stopped]
      status: [sh, -c, 'test ! -e stopped']
";

#[test]
fn a_held_run_leaves_the_choice_to_a_person() {
    let place = notebook();
    assert_eq!(place.run(&["plan"]).exit, Some(0));
    insta::assert_snapshot!(place.run(&["apply", "--yes"]).text(), @r#"
    $ switchback apply --yes
    --- stderr
    run RUN
    prepare
      ok try out a backup of db while it runs (SPAN, SIZE, 2 rows)
    freeze  (the downtime begins)
      ok stop app (SPAN)
    change
      ok back db up and prove the backup (SPAN, SIZE, 2 rows)
      ok run SQL in db (SPAN, 1 row)
    prove
      ok ensure that `SELECT version FROM meta` in db is "2" (seen: 2)
      ok take our rows out of db and give it back (SPAN)
    commit point: everything is proven; writers are let in from here on
    thaw
      ok start app in its new release (SPAN)
    confirm
      FAILED look whether the new release answers as itself [look]
         error[R004]: the new release does not answer as itself
           `SELECT version FROM meta` in db is "2.0" (seen: 2)
         help: look into its log
    held: look failed, and the new release has written to db since it was let in
    held past the commit point: the new release is in and has been written to, and `look` failed.
    `switchback resume` tries it again; `switchback resume --accept look` goes on without it;
    `switchback rollback` goes back, listing what was written since and would be lost
    --- exit 22
    "#);
    insta::assert_snapshot!(place.run(&["status"]).text(), @r#"
    $ switchback status
    notes 1.0 → 2.0: held
    --- stderr
    run RUN, 7 of 8 steps, in DIR/.switchback/runs/RUN
    at `look` (failed): look whether the new release answers as itself
         error[R004]: the new release does not answer as itself
           `SELECT version FROM meta` in db is "2.0" (seen: 2)
         help: look into its log
    `switchback resume` tries it again, `switchback resume --accept look` goes on without it,
    `switchback rollback` goes back
    --- exit 22
    "#);
    insta::assert_snapshot!(place.run(&["finalize", "--yes"]).text(), @r#"
    $ switchback finalize --yes
    --- stderr
    error[R044]: the run is open: its way back is still needed
    help: `switchback resume` or `switchback rollback` first

    nothing was changed by this command
    --- exit 11
    "#);
    insta::assert_snapshot!(place.run(&["resume"]).text(), @r#"
    $ switchback resume
    --- stderr
    taken up by operator@HOST
    confirm
      trying look again
      FAILED look whether the new release answers as itself [look]
         error[R004]: the new release does not answer as itself
           `SELECT version FROM meta` in db is "2.0" (seen: 2)
         help: look into its log
    held: look failed, and the new release has written to db since it was let in
    held past the commit point: the new release is in and has been written to, and `look` failed.
    `switchback resume` tries it again; `switchback resume --accept look` goes on without it;
    `switchback rollback` goes back, listing what was written since and would be lost
    --- exit 22
    "#);
    insta::assert_snapshot!(place.run(&["rollback"]).text(), @r#"
    $ switchback rollback
    --- stderr
    written since the commit point, and lost by going back:
      db: table pages: 1 rows then, 2 now
    error[R043]: going back would lose what was written since
    help: keep what is worth keeping, then `switchback rollback --losing-writes`

    nothing was changed
    --- exit 11
    "#);
}

#[test]
fn the_failure_that_holds_a_run_can_be_accepted() {
    let place = notebook();
    assert_eq!(place.run(&["apply", "--yes"]).exit, Some(22));
    insta::assert_snapshot!(place.run(&["resume", "--accept", "look"]).text(), @r#"
    $ switchback resume --accept look
    --- stderr
    taken up by operator@HOST
    confirm
      operator@HOST accepted the failure of look
    upgraded
    the way back stays open: `switchback rollback`; once all is well, `switchback finalize` drops what is kept for it
    --- exit 0
    "#);
}

#[test]
fn what_was_written_can_be_given_up() {
    let place = notebook();
    assert_eq!(place.run(&["apply", "--yes"]).exit, Some(22));
    insta::assert_snapshot!(place.run(&["rollback", "--losing-writes"]).text(), @"
    $ switchback rollback --losing-writes
    --- stderr
    written since the commit point, and lost by going back:
      db: table pages: 1 rows then, 2 now
    taken up by operator@HOST
    going back, as asked
    what others have written is given up
      undone: look whether the new release answers as itself (SPAN)
      undone: start app in its new release (SPAN)
      undone: take our rows out of db and give it back (SPAN)
      undone: run SQL in db (SPAN)
      undone: back db up and prove the backup (SPAN)
      undone: stop app (SPAN)
      undone: try out a backup of db while it runs (SPAN)
    rolled back: as before
    the site is as it was before the run
    --- exit 0
    ");
    let database = rusqlite::Connection::open(place.path().join("notes.db")).unwrap();
    let pages: i64 = database.query_row("SELECT count(*) FROM pages", [], |row| row.get(0)).unwrap();
    assert_eq!(pages, 1);
}
