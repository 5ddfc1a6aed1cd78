//! Mistakes in how a service is stopped and started: found before the freeze, not after it.

use crate::support::Place;

/// Plans the upgrade of a notebook whose service is given so.
fn plan(service: &str) -> String {
    plan_in(&Place::notes(), service)
}

fn plan_in(place: &Place, service: &str) -> String {
    let database = rusqlite::Connection::open(place.path().join("notes.db")).unwrap();
    database.execute_batch("CREATE TABLE meta (version TEXT); INSERT INTO meta VALUES ('1')").unwrap();
    let site = "playbook: playbook.yaml\ninputs:\n  database: notes.db\n  config: notes.conf\n  service: ";
    place.write("site.yaml", &format!("{site}{service}\n"));
    place.run(&["plan"]).text()
}

#[test]
fn a_word_is_no_service() {
    insta::assert_snapshot!(plan("running"), @r#"
    $ switchback plan
    --- stderr
    error[S002]: input `service` must be `none`, or say how the service is stopped and started
     --> site.yaml:5:12
      |
    5 |   service: running
      |            ^^^^^^^ this value
    help: `none`, or how it is stopped and started, as `switchback init` shows
    --- exit 2
    "#);
}

#[test]
fn a_misspelt_kind_of_service() {
    insta::assert_snapshot!(plan("{comand: {stop: [a], start: [b], status: [c]}}"), @r#"
    $ switchback plan
    --- stderr
    error[S004]: cannot understand how `service` is started: unknown variant `comand`, expected one of `none`, `process`, `command`
     --> site.yaml:5:12
      |
    5 |   service: {comand: {stop: [a], start: [b], status: [c]}}
      |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    help: write `none`, or `command:` with lists for `stop`, `start`, `start_old` and `status`, or `process:` with `old` and `new`; `switchback init` shows each
    --- exit 2
    "#);
}

#[test]
fn a_command_that_is_missing() {
    insta::assert_snapshot!(plan("{command: {stop: [\"true\"], start: [\"true\"]}}"), @r#"
    $ switchback plan
    --- stderr
    error[S004]: cannot understand how `service` is started: missing field `status`
     --> site.yaml:5:12
      |
    5 |   service: {command: {stop: ["true"], start: ["true"]}}
      |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    help: write `none`, or `command:` with lists for `stop`, `start`, `start_old` and `status`, or `process:` with `old` and `new`; `switchback init` shows each
    --- exit 2
    "#);
}

#[test]
fn a_program_that_is_not_there() {
    insta::assert_snapshot!(plan("{process: {old: {argv: [/bin/true]}, new: {argv: [/opt/notes-2/notes]}}}"), @r#"
    $ switchback plan
    --- stderr
    error[R001]: cannot find the program `/opt/notes-2/notes` for `new:` of service app
      --> DIR/playbook.yaml:38
    help: name it in the site file, where it says how app is stopped and started

    nothing was changed
    --- exit 11
    "#);
}

#[test]
fn a_program_without_a_name() {
    insta::assert_snapshot!(plan("{process: {old: {argv: []}}}"), @r#"
    $ switchback plan
    --- stderr
    error[R001]: cannot find a program for `old:` of service app
      --> DIR/playbook.yaml:30
    help: name it in the site file, where it says how app is stopped and started

    nothing was changed
    --- exit 11
    "#);
}

#[test]
fn a_program_that_a_step_before_may_install_is_not_asked_for() {
    let place = Place::notes();
    let install =
        "prepare:\n      - run: {argv: [\"true\"], done_when: {in: db, sql: \"SELECT 1\"}}\n    freeze:";
    place.change("playbook.yaml", "freeze:", install);
    let text = plan_in(&place, "{process: {old: {argv: [/bin/true]}, new: {argv: [/opt/notes-2/notes]}}}");
    assert!(text.ends_with("--- exit 0\n"), "{text}");
}
