//! `finalize`

use crate::support::Place;

#[test]
fn finalize_drops_the_backups_and_closes_the_way_back() {
    let place = Place::upgraded();
    insta::assert_snapshot!(place.run(&["finalize", "--yes"]).text(), @r#"
    $ switchback finalize --yes
    --- stderr
    taken up by operator@HOST
    finalized
    --- exit 0
    "#);
    insta::assert_snapshot!(place.run(&["rollback", "--yes"]).text(), @r#"
    $ switchback rollback --yes
    --- stderr
    error[R042]: the run is finalized: what was kept for the way back is gone
    help: restore a backup of your own; `switchback report` says what the run did

    nothing was changed
    --- exit 2
    "#);
    insta::assert_snapshot!(place.run(&["finalize", "--yes"]).text(), @r#"
    $ switchback finalize --yes
    --- stderr
    nothing to do: the run is finalized already
    --- exit 0
    "#);
    let run = place.run(&["status", "--json"]).json();
    let folder = std::path::PathBuf::from(run["directory"].as_str().unwrap());
    assert!(!folder.join("backup").exists());
    assert!(folder.join("journal.jsonl").exists());
}

#[test]
fn finalize_of_an_open_run_is_refused() {
    insta::assert_snapshot!(Place::open_at("alter-db").run(&["finalize", "--yes"]).text(), @r#"
    $ switchback finalize --yes
    --- stderr
    error[R044]: the run is open: its way back is still needed
    help: `switchback resume` or `switchback rollback` first

    nothing was changed by this command
    --- exit 11
    "#);
}
