//! What was reviewed is what runs: a plan that was edited, or whose site is another one now, is refused with a diff.

use crate::support::{ACCEPTED, STILL_RUNNING, Site};
use switchback_model::plan::Plan;

fn planned() -> Site {
    let site = Site::new();
    site.run(&["plan"]).expect(0, &[]);
    site
}

#[test]
fn a_plan_edited_by_any_byte_is_refused() {
    let site = planned();
    let before = site.fingerprint();
    let path = site.state().join("plan.json");
    let whole = std::fs::read(&path).unwrap();
    let edited = |at: usize| {
        // A letter for a letter, so that some edits leave sound JSON.
        let mut edited = whole.clone();
        edited[at] = if edited[at] == b'x' { b'y' } else { b'x' };
        edited
    };
    for at in (0..whole.len()).step_by(97) {
        let text = String::from_utf8_lossy(&edited(at)).into_owned();
        assert!(Plan::read(&text).is_err(), "byte {at} was changed and nobody minds");
    }
    for at in (0..whole.len()).step_by(whole.len() / 8) {
        std::fs::write(&path, edited(at)).unwrap();
        site.apply().expect(11, &["A010", "switchback plan", "nothing was changed"]);
    }
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    site.apply().expect(11, &["A010", "switchback plan", "nothing was changed"]);
    site.expect_no_run();
    assert_eq!(site.fingerprint(), before);
    std::fs::write(&path, whole).unwrap();
    site.apply().expect(0, &["upgraded"]);
}

#[test]
fn a_figure_edited_in_sound_json_is_refused() {
    let site = planned();
    let path = site.state().join("plan.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let edited = text.replace("v0.7.27", "v0.7.28");
    assert_ne!(edited, text);
    std::fs::write(path, edited).unwrap();
    site.apply().expect(11, &["A010", "switchback plan"]);
    site.expect_no_run();
}

#[test]
fn a_schema_changed_since_the_plan_is_refused_with_a_diff() {
    let site = planned();
    // The same columns in the same places, declared in other words: no other guard sees it.
    site.sql("DROP INDEX idx_backups_date; CREATE INDEX idx_backups_date ON backups (date)");
    let before = site.fingerprint();
    site.apply().expect(
        11,
        &[
            "A012",
            "shape of db",
            "- index idx_backups_date",
            "+ index idx_backups_date",
            "nothing was changed",
        ],
    );
    site.expect_no_run();
    assert_eq!(site.fingerprint(), before);
}

#[test]
fn rows_added_since_the_plan_are_shown_and_it_goes_on() {
    let site = planned();
    site.sql(
        "INSERT INTO machines (id, name) VALUES ('new-1', 'new');
         INSERT INTO configurations VALUES ('long', hex(zeroblob(200000)))",
    );
    site.apply().expect(0, &["note: size of db in bytes", "upgraded"]);
    assert_eq!(
        site.open().query_row("SELECT count(*) FROM servers", [], |row| row.get::<_, i64>(0)).unwrap(),
        6
    );
}

#[test]
fn a_run_that_stopped_before_its_freeze_is_not_taken_up_on_another_site() {
    let (site, before) = Site::killed_at(STILL_RUNNING);
    site.sql("DROP INDEX idx_backups_date; CREATE INDEX idx_backups_date ON backups (date)");
    let changed = site.fingerprint();
    assert_ne!(changed, before);
    site.run(&["resume"]).expect(
        11,
        &[
            "A012",
            "shape of db",
            "- index idx_backups_date",
            "+ index idx_backups_date",
            "help: `switchback rollback` closes this run",
            "nothing was changed by this command; the run is open, and nothing is stopped",
        ],
    );
    site.run(&["status"]).expect(30, &["open"]);
    assert_eq!(site.fingerprint(), changed);
    site.run(&["rollback"]).expect(0, &["rolled back: as before"]);
    assert_eq!(site.fingerprint(), changed);
    site.run(&["plan"]).expect(0, &[]);
}

#[test]
fn a_run_that_stopped_before_its_freeze_goes_on_over_more_rows() {
    let (site, _) = Site::killed_at(STILL_RUNNING);
    site.sql("INSERT INTO machines (id, name) VALUES ('new-1', 'new')");
    site.run(&["resume"]).expect(0, &["upgraded"]);
}

#[test]
fn a_loss_that_grew_since_the_plan_is_refused_by_its_row() {
    let site = planned();
    site.sql(
        "UPDATE configurations SET value = json_set(value, '$.\"gone since:Files\"', json('{}')) \
         WHERE key = 'backup_settings'",
    );
    site.apply()
        .expect(11, &["A012", "loss unresolved-settings:   + gone since:Files", "nothing was changed"]);
    site.expect_no_run();
}

#[test]
fn a_loss_is_never_accepted_by_yes() {
    let site = planned();
    site.run(&["apply", "--yes"]).expect(11, &["A001", "--accept unresolved-notices", "nothing was changed"]);
    site.run(&["apply", "--yes", "--accept", "unresolved-settings"])
        .expect(11, &["--accept unresolved-notices"]);
    site.expect_no_run();
}

#[test]
fn another_playbook_since_the_plan_is_refused() {
    let site = planned();
    let script = site.path("playbook/templates.sql");
    let text = std::fs::read_to_string(&script).unwrap();
    std::fs::write(script, format!("{text}-- one comment more\n")).unwrap();
    site.write_site_file("playbook", "v0.7.27");
    site.apply().expect(11, &["A012", "playbook", "nothing was changed"]);
    site.expect_no_run();
}

#[test]
fn another_release_in_the_site_file_since_the_plan_is_refused() {
    let site = planned();
    site.write_site_file("duplistatus", "latest");
    site.run(&[&["apply"], &ACCEPTED[..]].concat())
        .expect(11, &["the release is not pinned to 0.7.x", "nothing was changed"]);
    site.expect_no_run();
}
