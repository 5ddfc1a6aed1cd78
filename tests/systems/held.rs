//! Past the commit point: writers are in again, so a failure waits for a person, and the way back says what it loses.

use crate::support::{ACCEPTED, Options, Ran, Site};
use std::process::Stdio;

/// A look from outside that waits until the test says how it ends: by 1 it is not the wanted answer.
const LOOKS_WHEN_TOLD: (&str, &str) = (
    "    confirm:\n",
    r#"    confirm:
      - ensure: {id: look, run: [sh, -c, "while [ ! -e FLAG ]; do sleep 0.05; done; cat FLAG; exit $(cat FLAG)"], else: "somebody does not like it"}
"#,
);

/// Applies, and uploads a report between the thaw and the end of the look.
fn written_to_before_the_look(exit: &str) -> (Site, Ran) {
    let mut site = Site::with(&Options { playbook: &[LOOKS_WHEN_TOLD], ..Options::default() });
    let playbook = site.path("playbook/playbook.yaml");
    let flag = site.path("looked");
    let text = std::fs::read_to_string(&playbook).unwrap().replace("FLAG", &flag.display().to_string());
    std::fs::write(&playbook, text).unwrap();
    site.start_old();
    let mut command = site.command(&[&["apply"], &ACCEPTED[..]].concat());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !site.is_new() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    site.upload("late-machine");
    std::fs::write(site.path("written"), exit).unwrap();
    std::fs::rename(site.path("written"), flag).unwrap();
    let output = child.wait_with_output().unwrap();
    (site, Ran::of(&output))
}

/// An upgrade that is held: the new release took an upload before a look from outside failed.
fn held() -> Site {
    let (site, ran) = written_to_before_the_look("1");
    ran.expect(22, &["somebody does not like it", "held past the commit point", "resume --accept look"]);
    site
}

#[test]
fn an_upload_before_the_last_look_does_not_hold_the_upgrade() {
    let (site, ran) = written_to_before_the_look("0");
    ran.expect(0, &["seen: 157", "upgraded"]);
    assert_eq!(site.get("/api/summary").1["totalServers"], 6);
}

#[test]
fn a_failure_after_writes_is_held_and_the_way_back_lists_what_it_loses() {
    let site = held();
    site.run(&["status"]).expect(22, &["held", "switchback rollback"]);
    let written = site.fingerprint();
    let refused =
        &["table backups: 156 rows there, 157 here", "R043", "--losing-writes", "nothing was changed"];
    site.run(&["rollback", "--yes"]).expect(11, refused);
    assert_eq!(site.fingerprint(), written);
    assert_eq!(site.running(), "running (new)");
    site.run(&["rollback", "--losing-writes"]).expect(0, &["rolled back: as before"]);
    assert_eq!(site.running(), "running (old)");
    assert_eq!(site.get("/api/summary").1["totalBackups"], 156);
    // The log of the new release is gone, or the old file would be ruined by it.
    let whole: String = site.open().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");
}

#[test]
fn a_held_run_goes_on_once_its_failure_is_accepted() {
    let site = held();
    site.run(&["resume", "--accept", "look"])
        .expect(0, &["tester@", "accepted the failure of look", "upgraded"]);
    site.run(&["status"]).expect(0, &["upgraded"]);
    assert_eq!(site.get("/api/summary").1["totalBackupsRuns"], 157);
}

#[test]
fn a_rollback_after_uploads_and_a_kill_leaves_no_log_behind() {
    let mut site = Site::new();
    let before = site.fingerprint();
    site.start_old();
    site.apply().expect(0, &[]);
    for upload in 0..20 {
        site.upload(&format!("late-{upload}"));
    }
    site.kill_service();
    assert!(site.database.with_extension("db-wal").metadata().unwrap().len() > 0, "no log was left");
    site.run(&["rollback", "--yes"])
        .expect(11, &["table backups: 156 rows there, 176 here", "table servers"]);
    site.run(&["rollback", "--losing-writes"]).expect(0, &["rolled back: as before"]);
    assert_eq!(site.get("/api/summary").1["totalBackups"], 156);
    site.kill_service();
    assert_eq!(site.fingerprint(), before);
}

#[test]
fn a_second_rollback_and_a_second_apply_say_what_is_true() {
    let site = Site::new();
    site.apply().expect(0, &[]);
    let database = std::fs::read(&site.database).unwrap();
    site.apply().expect(0, &["nothing to do: 0.7 is installed"]);
    site.run(&["plan"]).expect(0, &["nothing to do"]);
    assert_eq!(std::fs::read(&site.database).unwrap(), database);
    site.run(&["rollback", "--yes"]).expect(0, &["rolled back: as before"]);
    let restored = std::fs::read(&site.database).unwrap();
    site.run(&["rollback", "--yes"]).expect(0, &["rolled back already"]);
    assert_eq!(std::fs::read(&site.database).unwrap(), restored);
    site.run(&["resume", "--if-open"]).expect(0, &[]);
    site.run(&["resume"]).expect(2, &["no run is open"]);
}
