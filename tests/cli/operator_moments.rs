//! The right verb at the wrong moment: what is refused, what is true now, and what to do instead.

use crate::support::{Place, YES};

/// The last lines of standard error, from the first error on.
fn complaint(place: &Place, args: &[&str]) -> String {
    let text = place.run(args).text();
    text.find("error[").map_or(text.clone(), |at| text[at..].to_owned())
}

#[test]
fn apply_without_yes_and_nobody_there() {
    let asked: Vec<&str> = YES.iter().copied().filter(|word| *word != "--yes").collect();
    insta::assert_snapshot!(complaint(&Place::lab(), &asked), @r#"
    error[A003]: nobody is there to say yes
    help: add --yes; it accepts no loss, no risk and no step without a way back

    nothing was changed
    --- exit 11
    "#);
}

#[test]
fn apply_without_accepting_what_is_lost() {
    insta::assert_snapshot!(complaint(&Place::lab(), &["apply", "--yes"]), @r#"
    error[A001]: this upgrade gives something up, and nobody has accepted it
    help: read what it is in the plan, then add --accept unresolved-notices --accept unresolved-settings

    nothing was changed
    --- exit 11
    "#);
}

#[test]
fn apply_accepting_a_misspelt_name() {
    let args = ["apply", "--yes", "--accept", "unresolved-setings", "--accept", "unresolved-notices"];
    insta::assert_snapshot!(Place::lab().run(&args).text(), @r#"
    $ switchback apply --yes --accept unresolved-setings --accept unresolved-notices
    --- stderr
    error[U001]: the plan has nothing called `unresolved-setings` to accept
    help: did you mean `unresolved-settings`?

    nothing was changed
    --- exit 2
    "#);
    insta::assert_snapshot!(Place::lab().run(&["apply", "--yes", "--accept", "everything"]).text(), @r#"
    $ switchback apply --yes --accept everything
    --- stderr
    error[U001]: the plan has nothing called `everything` to accept
    help: it asks for: unresolved-notices, unresolved-settings

    nothing was changed
    --- exit 2
    "#);
}

#[test]
fn apply_while_a_run_is_open() {
    let place = Place::open_at("alter-db");
    let before = place.run(&["status", "--json"]).json();
    insta::assert_snapshot!(place.run(&YES).text(), @r#"
    $ switchback apply --yes --accept unresolved-settings --accept unresolved-notices
    --- stderr
    error[D002]: run RUN is open
    help: `switchback resume` goes on with it, `switchback rollback` takes it back

    nothing was changed by this command
    --- exit 11
    "#);
    assert_eq!(place.run(&["status", "--json"]).json(), before);
}

#[test]
fn apply_of_a_plan_that_was_edited() {
    let place = Place::lab();
    assert_eq!(place.run(&["plan", "--out", "plan.json"]).exit, Some(0));
    place.change("plan.json", "\"wanted\": \"0.7\"", "\"wanted\": \"0.8\"");
    insta::assert_snapshot!(place.run(&[&YES[..], &["--plan", "plan.json"]].concat()).text(), @r#"
    $ switchback apply --yes --accept unresolved-settings --accept unresolved-notices --plan plan.json
    --- stderr
    error[A010]: cannot use the plan: it was changed after it was made (it calls itself DIGEST, its content is DIGEST)
    help: make a new one with `switchback plan`; plan.json is left as it is

    nothing was changed
    --- exit 11
    "#);
}

#[test]
fn apply_of_a_plan_that_is_not_there() {
    insta::assert_snapshot!(Place::lab().run(&[&YES[..], &["--plan", "plan.json"]].concat()).text(), @r#"
    $ switchback apply --yes --accept unresolved-settings --accept unresolved-notices --plan plan.json
    --- stderr
    error[U004]: cannot read the plan plan.json: there is no such file or folder
    help: make one with `switchback plan`, or name another file with `--plan FILE`

    nothing was changed
    --- exit 2
    "#);
}

#[test]
fn apply_of_a_plan_for_another_site() {
    let place = Place::lab();
    assert_eq!(place.run(&["plan"]).exit, Some(0));
    let database = rusqlite::Connection::open(place.path().join("data/backups.db")).unwrap();
    database.execute_batch("DELETE FROM configurations WHERE key = 'overdue_backup_notifications'").unwrap();
    drop(database);
    insta::assert_snapshot!(place.run(&YES).text(), @r#"
    $ switchback apply --yes --accept unresolved-settings --accept unresolved-notices
    --- stderr
    error[A012]: the site is not the one that this plan was made for
      loss unresolved-notices:   - no colon at all · no machine of that name
      loss unresolved-notices:   - retired-pc:Files · no machine of that name
    help: make a new plan with `switchback plan`, and read it again

    nothing was changed
    --- exit 11
    "#);
}

#[test]
fn resume_with_nothing_open() {
    insta::assert_snapshot!(Place::lab().run(&["resume"]).text(), @r#"
    $ switchback resume
    --- stderr
    error[R040]: no run is open in DIR/.switchback
    help: `switchback status` says how the last one ended; `--state DIR` names another state folder
    --- exit 2
    "#);
    insta::assert_snapshot!(Place::upgraded().run(&["resume"]).text(), @r#"
    $ switchback resume
    --- stderr
    error[R040]: no run is open in DIR/.switchback
    help: `switchback status` says how the last one ended; `--state DIR` names another state folder
    --- exit 2
    "#);
}

#[test]
fn resume_accepting_a_step_that_does_not_hold_the_run() {
    let place = Place::open_at("alter-db");
    insta::assert_snapshot!(place.run(&["resume", "--accept", "alter-bd"]).text(), @r#"
    $ switchback resume --accept alter-bd
    --- stderr
    error[U001]: the run has no step `alter-bd`
    help: did you mean `alter-db`?
    --- exit 2
    "#);
    insta::assert_snapshot!(place.run(&["resume", "--accept", "alter-db"]).text(), @r#"
    $ switchback resume --accept alter-db
    --- stderr
    error[U001]: step `alter-db` does not hold this run
    help: only a step that failed past the commit point can be accepted; `switchback status` names it
    --- exit 2
    "#);
}

#[test]
fn rollback_finalize_and_report_without_a_run() {
    let place = Place::lab();
    insta::assert_snapshot!(place.run(&["rollback"]).text(), @r#"
    $ switchback rollback
    --- stderr
    error[R041]: there is no run in DIR/.switchback
    help: `switchback apply` begins one; `--state DIR` names another state folder
    --- exit 2
    "#);
    insta::assert_snapshot!(place.run(&["finalize"]).text(), @r#"
    $ switchback finalize
    --- stderr
    error[R041]: there is no run in DIR/.switchback
    help: `switchback apply` begins one; `--state DIR` names another state folder
    --- exit 2
    "#);
    insta::assert_snapshot!(place.run(&["report"]).text(), @r#"
    $ switchback report
    --- stderr
    error[R041]: there is no run in DIR/.switchback
    help: `switchback apply` begins one; `--state DIR` names another state folder
    --- exit 2
    "#);
}

#[test]
fn rollback_and_finalize_without_yes_and_nobody_there() {
    let place = Place::upgraded();
    insta::assert_snapshot!(place.run(&["rollback"]).text(), @r#"
    $ switchback rollback
    --- stderr
    error[A003]: nobody is there to say yes
    help: add --yes; what was written since is given up by --losing-writes only

    nothing was changed
    --- exit 11
    "#);
    insta::assert_snapshot!(place.run(&["finalize"]).text(), @r#"
    $ switchback finalize
    --- stderr
    error[A003]: nobody is there to say yes
    help: add --yes; the backups of the run are dropped, and there is no way back after that

    nothing was changed
    --- exit 11
    "#);
}

#[test]
fn rollback_that_would_lose_what_was_written_since() {
    let place = Place::upgraded();
    let database = rusqlite::Connection::open(place.path().join("data/backups.db")).unwrap();
    database.execute_batch("INSERT INTO servers (id, name) VALUES ('new', 'new')").unwrap();
    drop(database);
    insta::assert_snapshot!(place.run(&["rollback", "--yes"]).text(), @r#"
    $ switchback rollback --yes
    --- stderr
    written since the commit point, and lost by going back:
      db: table servers: 5 rows then, 6 now
    error[R043]: going back would lose what was written since
    help: keep what is worth keeping, then `switchback rollback --losing-writes`

    nothing was changed
    --- exit 11
    "#);
}

#[test]
fn report_of_a_run_that_is_not_there() {
    insta::assert_snapshot!(Place::lab().run(&["report", "--run", "last"]).text(), @r#"
    $ switchback report --run last
    --- stderr
    error[R045]: there is no run `last` in DIR/.switchback
    help: `switchback apply` begins one; `--state DIR` names another state folder
    --- exit 2
    "#);
    insta::assert_snapshot!(Place::upgraded().run(&["report", "--run", "last"]).text(), @r#"
    $ switchback report --run last
    --- stderr
    error[R045]: there is no run `last` in DIR/.switchback
    help: the last one is `RUN`
    --- exit 2
    "#);
}
