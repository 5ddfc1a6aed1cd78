//! Past the commit point: writers are in again, so a failure waits for a person, and the way back says what it loses.

use crate::support::{LET_IN, Ran, Site};

/// Applies, and uploads a report between the thaw and the end of a look from outside.
fn written_to_before_the_look(exit: &str) -> (Site, Ran) {
    let (site, child) = Site::waiting_at(LET_IN, true);
    site.upload("late-machine");
    site.go_on(exit);
    let output = child.wait_with_output().unwrap();
    (site, Ran::of(&output))
}

/// An upgrade that is held: the new release took an upload before a look from outside failed.
fn held() -> Site {
    let (site, ran) = written_to_before_the_look("1");
    ran.expect(22, &["somebody does not like it", "held past the commit point", "resume --accept wait"]);
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
        &["table backups: 156 rows then, 157 now", "R043", "--losing-writes", "nothing was changed"];
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
    site.run(&["resume", "--accept", "wait"])
        .expect(0, &["tester@", "accepted the failure of wait", "upgraded"]);
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
    site.run(&["rollback", "--yes"]).expect(11, &["table backups: 156 rows then, 176 now", "table servers"]);
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
