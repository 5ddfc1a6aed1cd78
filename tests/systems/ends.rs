//! What is said at an end is true, and what an end leaves half done is done by the next call.

use crate::support::{ACCEPTED, Options, SETTINGS_MOVED, Site};

#[test]
fn a_rollback_names_what_nothing_takes_back() {
    let announce = r#"      - run: {id: announce, argv: ["true"], done_when: {run: [echo, "yes"]}}
      - run: {id: send, argv: [touch, MARK], done_when: {run: [sh, -c, "test -e MARK && echo sent"]}}
      - ensure: {run: [echo, "no"], is: "yes", else: "this does not go well"}"#;
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("sent").display().to_string();
    let steps = format!("{}\n{SETTINGS_MOVED}", announce.replace("MARK", &mark));
    let site = Site::with(&Options { playbook: &[(SETTINGS_MOVED, steps.as_str())], ..Options::default() });
    site.run(&["plan"]).expect(0, &["NOT past: announce, send"]);
    let accepted = [&["apply"], &ACCEPTED[..], &["--accept", "announce", "--accept", "send"]].concat();
    // `announce` was found done and so never begun; `send` was.
    site.run(&accepted)
        .expect(20, &["this does not go well", "but for what nothing takes back: `send` was begun"]);
}

#[test]
fn a_finalize_that_was_killed_is_ended_by_the_next() {
    let site = Site::new();
    site.run(&["plan"]).expect(0, &[]);
    site.apply().expect(0, &["upgraded"]);
    let run = std::fs::read_dir(site.state().join("runs")).unwrap().next().unwrap().unwrap().path();
    // The fourth fault point stands behind the second record of this life, which is that there is no way back.
    assert_eq!(site.run_with_fault("kill@4", &["finalize", "--yes"]).code, -1);
    assert!(run.join("backup").exists());
    site.run(&["finalize", "--yes"]).expect(0, &["finalized already"]);
    assert!(!run.join("backup").exists() && !run.join("keep").exists());
}

#[test]
fn a_plan_whose_steps_would_be_others_today_is_refused() {
    let step = "      - sql: {id: extra, in: db, text: \"DELETE FROM configurations WHERE key = 'extra'\",\n          \
                when: {in: db, sql: \"SELECT 1 FROM configurations WHERE key = 'extra'\"}}";
    let steps = format!("{step}\n{SETTINGS_MOVED}");
    let site = Site::with(&Options { playbook: &[(SETTINGS_MOVED, steps.as_str())], ..Options::default() });
    site.run(&["plan"]).expect(0, &[]);
    let connection = rusqlite::Connection::open(&site.database).unwrap();
    connection.execute("INSERT INTO configurations VALUES ('extra', '{}')", []).unwrap();
    drop(connection);
    site.apply().expect(11, &["A012", "steps:", "+ extra:", "nothing was changed"]);
}
