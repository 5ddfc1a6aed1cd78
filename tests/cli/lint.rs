//! `lint`

use crate::support::Place;

#[test]
fn lint_finds_no_trap_in_the_shipped_playbook() {
    insta::assert_snapshot!(Place::empty().run(&["lint", "duplistatus"]).text(), @r#"
    $ switchback lint duplistatus
    --- stderr
    duplistatus: no traps found
    --- exit 0
    "#);
    let value = Place::empty().run(&["lint", "duplistatus", "--json"]).json();
    assert_eq!(value, serde_json::json!({ "traps": [] }));
}

#[test]
fn lint_points_at_traps_and_exits_with_10() {
    let place = Place::notes();
    place.change("playbook.yaml", "- start: app", "- expect: {in: db, sql: \"SELECT 1\"}");
    place.change("playbook.yaml", "    confirm:\n      - ensure: {in: db, sql: \"SELECT 1\", is: 1}\n", "");
    let copy = "- stop: app\n      - run: {argv: [cp, \"${database}\", /tmp], done_when: {in: db, sql: \"SELECT 1\"}}";
    place.change("playbook.yaml", "- stop: app", copy);
    insta::assert_snapshot!(place.run(&["lint", "playbook.yaml"]).text(), @r#"
    $ switchback lint playbook.yaml
    warning[T011]: service `app` is stopped and never started
      --> ./playbook.yaml:30:9
       |
    30 |       - stop: app
       |         ^^^^ stopped here
    help: add `- start: app` to `thaw:`

    warning[T002]: a copy of a live database file misses what lies in its log
      --> ./playbook.yaml:31:22
       |
    31 |       - run: {argv: [cp, "${database}", /tmp], done_when: {in: db, sql: "SELECT 1"}}
       |                      ^^ copies bytes
    help: use a `backup` step: it copies through the database and proves the copy

    warning[T009]: nobody looks whether the new release answers
      --> ./playbook.yaml:39:9
       |
    39 |       - expect: {in: db, sql: "SELECT 1"}
       |         ^^^^^^ lets writers in
    help: add a `confirm:` that asks it for something that only the new release knows
    --- exit 10
    "#);
}
