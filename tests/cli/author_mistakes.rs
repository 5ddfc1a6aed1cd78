//! Mistakes that an author makes in what a playbook says: each is pointed at, and ends with what to do.

use crate::support::{Place, mistake};

#[test]
fn an_unknown_step_kind_suggests_the_nearest() {
    insta::assert_snapshot!(mistake("- sql:", "- sqll:"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P020]: unknown step kind `sqll`
      --> ./playbook.yaml:32:9
       |
    32 |       - sqll:
       |         ^^^^ not known
    help: did you mean `sql`?
    --- exit 10
    "#);
}

#[test]
fn an_unknown_input_in_a_reference_suggests_the_nearest() {
    insta::assert_snapshot!(mistake("${config}", "${confg}"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P010]: unknown input `confg`
      --> ./playbook.yaml:18:12
       |
    18 |     file: "${confg}"
       |            ^^^^^^^^ not known
    help: did you mean `config`?
    --- exit 10
    "#);
}

#[test]
fn a_service_is_no_text() {
    insta::assert_snapshot!(mistake("${config}", "${service}"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P007]: input `service` is a service, not a text
      --> ./playbook.yaml:18:12
       |
    18 |     file: "${service}"
       |            ^^^^^^^^^^ used as a text here
    help: use an input of type `text`, `file`, `url` or the like here
    --- exit 10
    "#);
}

#[test]
fn a_reference_inside_sql_is_refused_in_favour_of_a_parameter() {
    insta::assert_snapshot!(mistake("SET version = '2'", "SET version = ${config}"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P012]: a reference inside SQL would be program text
      --> ./playbook.yaml:34:17
       |
    34 |           text: "UPDATE meta SET version = ${config}"
       |                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ `${config}` is in this query
    help: bind it as a parameter: write `:config`
    --- exit 10
    "#);
}

#[test]
fn a_command_without_a_probe_cannot_be_believed() {
    insta::assert_snapshot!(mistake("- stop: app", "- stop: app\n      - run: {argv: [notes, migrate]}"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P022]: a command without a probe cannot be believed
      --> ./playbook.yaml:31:22
       |
    31 |       - run: {argv: [notes, migrate]}
       |                      ^^^^^ an exit code of 0 proves nothing
    help: add `done_when:` with a probe that holds once the command has had its effect
    --- exit 10
    "#);
}

#[test]
fn a_commit_in_a_script_is_refused() {
    insta::assert_snapshot!(mistake("version = '2'\"", "version = '2'; COMMIT\""), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P021]: this script has a COMMIT of its own
      --> ./playbook.yaml:34:17
       |
    34 |           text: "UPDATE meta SET version = '2'; COMMIT"
       |                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ runs inside one transaction, with the row that says it is in
    help: take the COMMIT out; split the script into several steps if parts must stand alone
    --- exit 10
    "#);
}

#[test]
fn a_script_with_an_open_quote_is_refused() {
    insta::assert_snapshot!(mistake("version = '2'\"", "version = '2\""), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P024]: this script cannot be told apart into statements
      --> ./playbook.yaml:34:17
       |
    34 |           text: "UPDATE meta SET version = '2"
       |                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ ends inside a quote, a comment or a trigger
    help: close every quote, every `/*`, and every `BEGIN` of a trigger with `END;`
    --- exit 10
    "#);
}

#[test]
fn a_broken_jq_program_is_pointed_at() {
    let check = "- ensure: {get: \"http://localhost/health\", jq: \".tables |\"}";
    insta::assert_snapshot!(mistake("- ensure: {in: db, sql: \"SELECT 1\", is: 1}", check), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P015]: this is not a jq program
      --> ./playbook.yaml:40:54
       |
    40 |       - ensure: {get: "http://localhost/health", jq: ".tables |"}
       |                                                      ^^^^^^^^^^^ expected term, found the end of the program
    help: every part of a program has to be complete, such as `.tables | length`
    --- exit 10
    "#);
}

#[test]
fn a_broken_regular_expression_is_pointed_at() {
    insta::assert_snapshot!(mistake("\"SELECT 1\", is: 1", "\"SELECT 1\", matches: '('"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P016]: this is not a regular expression
      --> ./playbook.yaml:40:52
       |
    40 |       - ensure: {in: db, sql: "SELECT 1", matches: '('}
       |                                                    ^^^ unclosed group
    help: put a backslash before a character that stands for itself, and the whole in single quotes
    --- exit 10
    "#);
}

#[test]
fn a_target_of_the_wrong_kind_names_those_that_fit() {
    insta::assert_snapshot!(mistake("in: db\n          text", "in: settings\n          text"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P011]: target `settings` is a file
      --> ./playbook.yaml:33:15
       |
    33 |           in: settings
       |               ^^^^^^^^ a SQLite database or a PostgreSQL database is needed here
    help: targets that fit: db
    --- exit 10
    "#);
}

#[test]
fn a_target_that_says_nothing_is_complained_about_once() {
    insta::assert_snapshot!(mistake("    sqlite: \"${database}\"\n", "    entrance: true\n"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P006]: target `db` does not say what it is
      --> ./playbook.yaml:11:3
       |
    11 |   db:
       |   ^^ this target
    help: give it one of `sqlite:`, `postgres:`, `file:`, `service:`, `http:`
    --- exit 10
    "#);
}

#[test]
fn a_target_that_is_two_things_is_refused() {
    insta::assert_snapshot!(mistake("sqlite: \"${database}\"", "sqlite: \"${database}\"\n    file: \"${config}\""), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P013]: target `db` is several things
      --> ./playbook.yaml:11:3
       |
    11 |   db:
       |   ^^ this target
    help: leave one of `sqlite:`, `postgres:`, `file:`, `service:`, `http:`, and name the others as targets of their own
    --- exit 10
    "#);
}

#[test]
fn a_probe_that_asks_nothing_is_placed_at_its_step() {
    insta::assert_snapshot!(mistake("{in: db, sql: \"SELECT 1\", is: 1}", "{}"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P013]: a probe asks exactly one question
      --> ./playbook.yaml:40:9
       |
    40 |       - ensure: {}
       |         ^^^^^^ of this step
    help: give it one of `sql:`, `table:`, `get:`, `text:`, `schema:`, `file:`, `of:`, `unchanged:`, `run:`
    --- exit 10
    "#);
}

#[test]
fn a_probe_that_wants_two_answers_is_refused() {
    insta::assert_snapshot!(mistake("is: 1}", "is: 1, none: true}"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P013]: a probe wants one answer
      --> ./playbook.yaml:40:9
       |
    40 |       - ensure: {in: db, sql: "SELECT 1", is: 1, none: true}
       |         ^^^^^^ of this step
    help: leave one of `is:`, `none:`, `same_as:`, `matches:`, `lacks:`; ask again for another
    --- exit 10
    "#);
}

#[test]
fn a_key_of_another_question_is_refused() {
    insta::assert_snapshot!(mistake("is: 1}", "status: 200, is: 1}"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P013]: `status:` belongs to a probe that asks by `get:`
      --> ./playbook.yaml:40:9
       |
    40 |       - ensure: {in: db, sql: "SELECT 1", status: 200, is: 1}
       |         ^^^^^^ of this step
    help: take `status:` out, or ask by `get:`
    --- exit 10
    "#);
}

#[test]
fn a_loss_neither_measured_nor_explained_is_refused() {
    insta::assert_snapshot!(mistake("upgrades:", "losses:\n  - {id: old-drafts, says: drafts}\nupgrades:"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P031]: loss `old-drafts` must be measured, or say why not
      --> ./playbook.yaml:27:10
       |
    27 |   - {id: old-drafts, says: drafts}
       |          ^^^^^^^^^^ this one
    help: give it one of `rows:` (a query that names each row) or `unmeasured:` (why it cannot be measured)
    --- exit 10
    "#);
}

#[test]
fn a_change_while_the_service_still_runs_is_refused_without_a_site() {
    insta::assert_snapshot!(mistake("- stop: app", "- expect: {in: db, sql: \"SELECT 1\"}"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P040]: `sql` changes db while service app still runs over it
      --> ./playbook.yaml:32:9
       |
    32 |       - sql:
       |         ^^^ changes what a writer still has
    help: add `- stop: app` to the playbook's `freeze:`
    --- exit 10
    "#);
}

#[test]
fn a_file_that_is_not_beside_the_playbook_is_named() {
    insta::assert_snapshot!(mistake("text: \"UPDATE meta SET version = '2'\"", "file: versions.sql"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P010]: unknown file `versions.sql`
      --> ./playbook.yaml:34:17
       |
    34 |           file: versions.sql
       |                 ^^^^^^^^^^^^ not known
    help: this playbook has no files
    --- exit 10
    "#);
}

#[test]
fn several_mistakes_are_said_at_once() {
    let place = Place::notes();
    place.change("playbook.yaml", "title: a notebook", "titel: a notebook");
    place.change("playbook.yaml", "means: {\"1\": \"1.0\"", "means: {\"1\": one");
    insta::assert_snapshot!(place.run(&["validate", "playbook.yaml"]).text(), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P005]: unknown key `titel`
     --> ./playbook.yaml:3:1
      |
    3 | titel: a notebook
      | ^^^^^
    note: known here: playbook, format, title, inputs, targets, artifacts, version, releases, losses, risks, upgrades
    help: did you mean `title`?

    error[P008]: cannot read `one` as a range
      --> ./playbook.yaml:24:15
       |
    24 |       means: {"1": one, "2": "2.0"}
       |               ^^^ means this
    help: write a release such as "0.6", or a range of releases such as ">=0.7"
    --- exit 10
    "#);
    place.change("playbook.yaml", "titel: a notebook", "title: a notebook");
    place.change("playbook.yaml", "stop: app", "stop: ap");
    place.change("playbook.yaml", "is: 1}", "jq: .a, is: 1}");
    place.change("playbook.yaml", "- start: app", "- begin: app");
    insta::assert_snapshot!(place.run(&["validate", "playbook.yaml"]).text(), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P008]: cannot read `one` as a range
      --> ./playbook.yaml:24:15
       |
    24 |       means: {"1": one, "2": "2.0"}
       |               ^^^ means this
    help: write a release such as "0.6", or a range of releases such as ">=0.7"

    error[P010]: unknown target `ap`
      --> ./playbook.yaml:30:15
       |
    30 |       - stop: ap
       |               ^^ not known
    help: did you mean `app`?

    error[P020]: unknown step kind `begin`
      --> ./playbook.yaml:38:9
       |
    38 |       - begin: app
       |         ^^^^^ not known
    help: known kinds: alter, backup, copy, edit, ensure, expect, fetch, file, maintenance, manual, require, restart, run, send, sql, start, stop, transform, each

    error[P013]: `jq:` belongs to a probe that asks by `get:`
      --> ./playbook.yaml:40:9
       |
    40 |       - ensure: {in: db, sql: "SELECT 1", jq: .a, is: 1}
       |         ^^^^^^ of this step
    help: take `jq:` out, or ask by `get:`
    --- exit 10
    "#);
}

#[test]
fn mistakes_as_json_have_lines_and_columns() {
    let place = Place::notes();
    place.change("playbook.yaml", "stop: app", "stop: ap");
    insta::assert_snapshot!(place.run(&["validate", "playbook.yaml", "--json"]).text(), @r#"
    $ switchback validate playbook.yaml --json
    {"errors":[{"code":"P010","severity":"error","message":"unknown target `ap`","file":"./playbook.yaml","line":30,"column":15,"label":"not known","help":"did you mean `app`?"}],"exit":10,"state":null}
    --- exit 10
    "#);
}
