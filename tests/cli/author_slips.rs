//! Mistakes that an author makes in how a playbook is written: YAML that means another thing than it seems to.

use crate::support::mistake;

#[test]
fn an_unknown_key_suggests_the_nearest() {
    insta::assert_snapshot!(mistake("          text: \"UPD", "          txt: \"UPD"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P005]: unknown key `txt`
      --> ./playbook.yaml:34:11
       |
    34 |           txt: "UPDATE meta SET version = '2'"
       |           ^^^
    note: known here: in, file, text, shows
    help: did you mean `text`?
    --- exit 10
    "#);
}

#[test]
fn a_key_that_stands_twice_shows_both_places() {
    insta::assert_snapshot!(mistake("    stores: [db]\n", "    stores: [db]\n    stores: [db]\n"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P002]: key `stores` stands twice in one map
      --> ./playbook.yaml:16:5
       |
    15 |     stores: [db]
       |     ------ first here
    16 |     stores: [db]
       |     ^^^^^^ again here
    help: keep one of the two
    --- exit 10
    "#);
}

#[test]
fn a_key_that_yaml_takes_for_a_boolean_has_to_be_quoted() {
    insta::assert_snapshot!(mistake("\"1\": \"1.0\"", "on: \"1.0\""), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P004]: key `on` is a boolean to YAML 1.1 readers
      --> ./playbook.yaml:24:15
       |
    24 |       means: {on: "1.0", "2": "2.0"}
       |               ^^
    help: quote it: `"on":`
    --- exit 10
    "#);
}

#[test]
fn a_word_that_yaml_takes_for_a_boolean_is_none() {
    insta::assert_snapshot!(mistake("entrance: true", "entrance: yes"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P008]: `yes` is neither `true` nor `false`
      --> ./playbook.yaml:16:15
       |
    16 |     entrance: yes
       |               ^^^
    help: write `true`
    --- exit 10
    "#);
}

#[test]
fn a_version_written_as_a_plain_number_stays_a_version() {
    insta::assert_snapshot!(mistake("from: \"1.0\"", "from: 1.0"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    notes is valid: 5 steps in ./playbook.yaml
    --- exit 0
    "#);
}

#[test]
fn a_version_that_is_none_is_pointed_at() {
    insta::assert_snapshot!(mistake("to: \"2.0\"", "to: two"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P008]: cannot read `two` as a version: it begins with a number, such as 1.10 or v0.7.27
      --> ./playbook.yaml:28:9
       |
    28 |     to: two
       |         ^^^
    help: write a version such as `0.6`, `v0.7.27` or `2.0.0-rc.1`
    --- exit 10
    "#);
}

#[test]
fn an_anchor_is_no_part_of_the_language() {
    insta::assert_snapshot!(mistake("freeze:", "freeze: &out"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P003]: anchor `out` is not part of the language
      --> ./playbook.yaml:29:13
       |
    29 |     freeze: &out
       |             ^^^^
    help: write the value out where it is needed
    --- exit 10
    "#);
}

#[test]
fn a_merge_key_is_no_part_of_the_language() {
    insta::assert_snapshot!(mistake("  app:\n", "  app:\n    <<: *defaults\n"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P003]: merge key `<<` is not part of the language
      --> ./playbook.yaml:14:5
       |
    14 |     <<: *defaults
       |     ^^
    help: write the keys out here

    error[P003]: alias `defaults` is not part of the language
      --> ./playbook.yaml:14:9
       |
    14 |     <<: *defaults
       |         ^^^^^^^^^
    help: write the value out here; text that begins with `*` needs quotes
    --- exit 10
    "#);
}

#[test]
fn a_tab_cannot_indent() {
    insta::assert_snapshot!(mistake("\n  db:", "\n\tdb:"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P001]: a tab cannot indent
      --> ./playbook.yaml:11:2
       |
    11 |     db:
       |     ^
    help: indent with spaces
    --- exit 10
    "#);
}

#[test]
fn a_step_that_is_a_bare_word_is_none() {
    insta::assert_snapshot!(mistake("- start: app", "- start"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P007]: a step is a map with one key, its kind
      --> ./playbook.yaml:38:9
       |
    38 |       - start
       |         ^^^^^ this is not one
    help: write `- stop: app`, with everything about the step below its kind
    --- exit 10
    "#);
}

#[test]
fn a_span_of_time_needs_a_unit() {
    insta::assert_snapshot!(mistake("is: 1}", "is: 1, within: 5}"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P008]: `5` is not a span of time
      --> ./playbook.yaml:40:58
       |
    40 |       - ensure: {in: db, sql: "SELECT 1", is: 1, within: 5}
       |                                                          ^
    help: write a whole number with its unit, such as `500ms`, `120s`, `10m` or `2h`
    --- exit 10
    "#);
}

#[test]
fn a_later_format_is_refused() {
    insta::assert_snapshot!(mistake("format: 1", "format: 2"), @r#"
    $ switchback validate playbook.yaml
    --- stderr
    error[P030]: this playbook has format 2
     --> ./playbook.yaml:2:9
      |
    2 | format: 2
      |         ^ this build reads format 1
    help: write `format: 1`, or take a newer switchback
    --- exit 10
    "#);
}
