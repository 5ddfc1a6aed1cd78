//! The service around the upgrade: it is stopped and that is proven, and the new one is believed by its answers alone.

use crate::support::{BINARY, Options, Ran, Site, TABLES_CHANGED};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use switchback_labs::duplistatus::{Fault, LabOptions, LabSize, build};

/// Answers are judged after four seconds here, and not after two minutes.
const HASTY: [(&str, &str); 2] = [
    (
        r#"new:
      is: {get: "${url}/api/health", "#,
        r#"new:
      is: {within: 4s, get: "${url}/api/health", "#,
    ),
    ("within: 120s", "within: 4s"),
];

/// Applies over a running old release whose new one misbehaves; all must be as before, and the old release answer again.
#[track_caller]
fn rolls_back_by_itself(new: &[&str], words: &[&str]) -> Ran {
    let mut site = Site::with(&Options { new, playbook: &HASTY, ..Options::default() });
    let before = site.fingerprint();
    site.start_old();
    let ran = site.apply().expect(20, words).expect(20, &["rolled back: as before"]);
    assert_eq!(site.fingerprint(), before);
    assert_eq!(site.running(), "running (old)");
    assert_eq!(site.get("/api/summary").1["totalBackups"], 156);
    ran
}

#[test]
fn a_running_installation_is_upgraded_and_answers_as_the_new_release() {
    let mut site = Site::new();
    site.start_old();
    site.apply().expect(0, &["seen: 156", "upgraded"]);
    let (status, health) = site.get("/api/health");
    assert_eq!((status, &health["preparedStatements"]), (200, &true.into()));
    // Our ledger would be listed here.
    assert_eq!(health["tables"].as_array().unwrap().len(), 4, "{health}");
    let (_, summary) = site.get("/api/summary");
    assert_eq!((&summary["totalServers"], &summary["totalBackupsRuns"]), (&5.into(), &156.into()));
}

#[test]
fn summary_is_proven_by_runs_and_not_by_jobs() {
    let site =
        Site::with(&Options { playbook: &[(".totalBackupsRuns", ".totalBackups")], ..Options::default() });
    site.apply().expect(20, &["the new release does not see every backup"]);
}

#[test]
fn a_new_release_that_ends_at_once_rolls_back() {
    rolls_back_by_itself(&["--fail-start"], &["start-app", "the new release ended by itself"]);
}

#[test]
fn an_image_that_was_not_changed_rolls_back() {
    // The stand-in for 0.7 is in truth 0.6, which does not answer about its health over the new tables.
    rolls_back_by_itself(&["--wrong-version"], &["start-app", "its new release does not answer as itself"]);
}

#[test]
fn a_slow_new_release_is_waited_for() {
    let site = Site::with(&Options { new: &["--slow-start", "2"], ..Options::default() });
    site.apply().expect(0, &["upgraded"]);
}

#[test]
fn a_stop_that_is_ignored_is_escalated() {
    let mut site = Site::with(&Options { old: &["--ignore-term"], ..Options::default() });
    site.start_old();
    site.apply().expect(0, &["ok stop app", "upgraded"]);
    assert_eq!(site.running(), "running (new)");
}

/// A second installation, for a new release that was given the wrong volume.
fn elsewhere(dir: &Path, backups: u32, faults: &[Fault]) -> String {
    let size = LabSize { machines: 1, backups, ..LabSize::default() };
    let lab = build(dir, size, &LabOptions { faults: faults.to_vec() }).unwrap();
    lab.database.display().to_string()
}

#[test]
fn a_body_that_says_healthy_with_status_503_rolls_back() {
    let other = tempfile::tempdir().unwrap();
    // Over old tables 0.7 answers 503 with a body that says healthy, and 200 with empty lists.
    let database = elsewhere(other.path(), 3, &[]);
    rolls_back_by_itself(&["--database", &database], &["start-app", "it answered 503"]);
}

#[test]
fn a_healthy_release_that_answers_with_empty_lists_rolls_back() {
    let other = tempfile::tempdir().unwrap();
    let database = elsewhere(other.path(), 0, &[Fault::AlreadyMigrated]);
    rolls_back_by_itself(
        &["--database", &database],
        &[
            "the new release does not see every backup",
            "one says 0, the other 156",
            "nothing was written since",
        ],
    );
}

#[test]
fn success_is_read_back_and_never_an_exit_code() {
    // The script says nothing went wrong and did nothing.
    let site = Site::new();
    std::fs::write(site.path("playbook/settings.sql"), "SELECT 1;\n").unwrap();
    site.write_site_file("playbook", "v0.7.27");
    let before = site.fingerprint();
    site.apply().expect(20, &["configuration that has to stay has changed", "rolled back: as before"]);
    assert_eq!(site.fingerprint(), before);
}

#[test]
fn a_service_of_others_in_the_database_is_named_and_nothing_is_changed() {
    let mut site = Site::new();
    site.start_old();
    let before = site.fingerprint();
    // A twin that nobody stops: a second container on the same volume.
    let mut twin = Command::new(BINARY);
    twin.args(["lab-service", "duplistatus", "--version", "0.6", "--port", "0", "--database"])
        .arg(&site.database);
    let mut twin = twin.spawn().unwrap();
    let clock = std::time::Instant::now();
    while !holds(&site.database, twin.id()) {
        assert!(clock.elapsed().as_secs() < 30, "the twin does not come up");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let ran = site.apply();
    twin.kill().unwrap();
    twin.wait().unwrap();
    ran.expect(
        20,
        &["stop-app", "keep writers out of the stores of app", "has db open", "help: stop these processes"],
    );
    assert_eq!(site.fingerprint(), before);
    assert_eq!(site.running(), "running (old)");
}

#[test]
fn an_interrupted_run_says_since_when_the_application_is_stopped() {
    let (site, child) = Site::waiting_at(TABLES_CHANGED, true);
    let pid = i32::try_from(child.id()).unwrap();
    let asked = Command::new("kill").args(["-TERM", &pid.to_string()]).status().unwrap();
    assert!(asked.success());
    let ran = Ran::of(&child.wait_with_output().unwrap());
    let ran = ran.expect(30, &["the run is open; the application is stopped since 20"]);
    let since = ran.said().split("stopped since ").nth(1).unwrap()[..20].to_owned();
    site.run(&["status"]).expect(30, &[&format!("the application is stopped since {since}")]);
    site.run(&["status", "--json"]).expect(30, &[&format!("\"stopped_since\":\"{since}\"")]);
    site.go_on("0");
    site.run(&["resume"]).expect(0, &["upgraded"]);
    site.run(&["status", "--json"]).expect(0, &["\"stopped_since\":null"]);
    let report = site.run(&["report"]).expect(0, &["downtime "]);
    assert!(report.said().contains("2 lives"), "{}", report.said());
}

#[test]
fn downtime_is_measured_also_where_the_service_was_found_stopped() {
    let site = Site::new();
    site.apply().expect(0, &["upgraded"]);
    let report: Value = serde_json::from_str(&site.run(&["report", "--json"]).out).unwrap();
    assert!(
        report["steps"]
            .as_array()
            .unwrap()
            .iter()
            .any(|step| step["phase"] == "freeze" && step["state"] == "found")
    );
    assert!(report["downtime_ms"].is_u64(), "{}", report["downtime_ms"]);
    site.run(&["rollback", "--yes"]).expect(0, &["rolled back"]);
    let report: Value = serde_json::from_str(&site.run(&["report", "--json"]).out).unwrap();
    assert!(report["downtime_ms"].is_u64(), "{}", report["downtime_ms"]);
}

fn holds(database: &Path, pid: u32) -> bool {
    let real = std::fs::canonicalize(database).unwrap();
    let folder = std::fs::read_dir(format!("/proc/{pid}/fd"));
    folder.is_ok_and(|folder| {
        folder.flatten().any(|entry| std::fs::read_link(entry.path()).is_ok_and(|target| target == real))
    })
}
