//! The suite proves itself: an engine that is wrong on purpose (`crates/engine/src/broken.rs`) must fail it, by the tests that
//! are there for what it does wrong.

use std::process::Command;

/// Tests that must fail, and in what words.
type Failures<'a> = &'a [(&'a str, &'a str)];

const NOT_AS_BEFORE: &str = "the site is not as Before wants it";

/// What notices that an effect was not taken back: on SQLite, on PostgreSQL, over HTTP.
const NOT_TAKEN_BACK: Failures<'_> = &[
    ("cuts::a_cut_at_any_point_of_the_run_can_be_rolled_back", NOT_AS_BEFORE),
    ("postgres::cuts::a_cut_while_the_config_is_edited_can_be_rolled_back", NOT_AS_BEFORE),
    ("http::window::a_cut_while_maintenance_is_entered_leaves_none_on", NOT_AS_BEFORE),
];

#[test]
fn an_effect_before_its_journal_line_is_noticed() {
    assert_fails("effect-before-journal", NOT_TAKEN_BACK);
}

#[test]
fn an_undo_that_skips_the_failed_step_is_noticed() {
    assert_fails("undo-skips-failed", NOT_TAKEN_BACK);
}

#[test]
fn trust_in_an_exit_code_is_noticed() {
    let upgraded = "left: With(Upgraded)";
    let failures: Failures<'_> = &[
        ("lies::a_command_that_only_says_it_did_it_is_not_believed", upgraded),
        ("lies::a_command_that_is_killed_in_the_middle_is_not_believed", upgraded),
        ("postgres::lies::a_command_that_only_says_it_changed_the_server_is_not_believed", upgraded),
    ];
    assert_fails("trust-the-exit-code", failures);
}

/// Runs these tests over an engine that makes this mistake, and fails unless each of them fails for its reason.
fn assert_fails(mistake: &str, failures: Failures<'_>) {
    let mut suite = Command::new(std::env::current_exe().unwrap());
    suite.arg("--exact").args(failures.iter().map(|(name, _)| *name));
    let output = suite.env("SWITCHBACK_BROKEN", mistake).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{mistake} passes: {text}");
    for (name, reason) in failures {
        assert!(
            text.contains(&format!("test {name} ... FAILED")),
            "{mistake} does not fail by {name}: {text}"
        );
        let said = text.split_once(&format!("---- {name} stdout ----")).map_or("", |(_, said)| said);
        let said = said.split("\n---- ").next().unwrap_or_default();
        assert!(said.contains(reason), "{mistake} fails {name} for another reason than `{reason}`: {text}");
    }
}
