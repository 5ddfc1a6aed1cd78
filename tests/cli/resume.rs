//! `resume`

use crate::support::{Place, YES};

#[test]
fn resume_takes_a_killed_run_to_its_end() {
    let place = Place::lab();
    let killed = place.run_with(&YES, &[("SWITCHBACK_FAULT", "kill@60")]);
    assert_eq!(killed.exit, None, "{}", killed.text());
    let shown = place.run(&["resume"]);
    assert_eq!(shown.exit, Some(0), "{}", shown.text());
    assert!(shown.stderr.contains("taken up by operator@"), "{}", shown.text());
    assert_eq!(place.run(&["status", "--json"]).json()["standing"], "upgraded");
}

#[test]
fn resume_if_open_is_silent_when_nothing_is_open() {
    insta::assert_snapshot!(Place::lab().run(&["resume", "--if-open"]).text(), @r#"
    $ switchback resume --if-open
    --- exit 0
    "#);
}
