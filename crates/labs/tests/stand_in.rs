//! The stand-in answers in the measured shapes. Each test talks to one of its own, on a port of its own.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use support::{lab, real_copy, real_data};
use switchback_labs::duplistatus::{Behaviour, Fault, StandIn, StandInError, Version, stand_in_main};

/// A stand-in in a thread of this process, stopped and waited for when dropped.
struct Running {
    port: u16,
    stopper: switchback_labs::http::Stopper,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    fn start(version: Version, database: &Path, behaviour: Behaviour) -> Running {
        let service = StandIn::start(version, database, 0, behaviour).unwrap();
        let (port, stopper) = (service.port(), service.stopper());
        Running { port, stopper, thread: Some(std::thread::spawn(move || service.run())) }
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn json(&self, path: &str) -> (u16, Value) {
        let (status, body) = self.ask("GET", path, "");
        (status, serde_json::from_str(&body).unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopper.stop();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn fine() -> Behaviour {
    Behaviour::default()
}

#[test]
fn the_old_version_answers_on_its_database() {
    let dir = tempfile::tempdir().unwrap();
    let (lab, _) = lab(dir.path(), &[]);
    let app = Running::start(Version::V06, &lab.database, fine());
    let (status, health) = app.json("/api/health");
    assert_eq!(
        (status, &health["preparedStatements"], &health["tablesFound"]),
        (200, &json!(true), &json!(4))
    );
    assert!(health["tables"].as_array().unwrap().contains(&json!("machines")));
    let (_, machines) = app.json("/api/machines");
    assert_eq!(machines.as_array().unwrap().len(), 5);
    let (_, summary) = app.json("/api/summary");
    assert_eq!((&summary["totalMachines"], &summary["totalBackups"]), (&json!(5), &json!(156)));
    assert_eq!(app.json("/api/lastbackup/attic").1["machine"]["name"], "attic");
    let odd = "/api/lastbackup/O%27Brien%20%22lab%22%3B%20DROP%20TABLE%20machines%3B--";
    assert_eq!(app.json(odd).1["machine"]["name"], "O'Brien \"lab\"; DROP TABLE machines;--");
    let (status, page) = app.ask("GET", "/api/servers", "");
    assert_eq!((status, page.starts_with("<!DOCTYPE html>")), (404, true));
}

#[test]
fn the_new_version_answers_on_a_migrated_database() {
    let dir = tempfile::tempdir().unwrap();
    let (lab, _) = lab(dir.path(), &[Fault::AlreadyMigrated]);
    let app = Running::start(Version::V07, &lab.database, fine());
    let (status, health) = app.json("/api/health");
    assert_eq!((status, &health["preparedStatements"]), (200, &json!(true)));
    let (_, servers) = app.json("/api/servers");
    assert_eq!(servers[0].as_object().unwrap().keys().collect::<Vec<_>>(), ["id", "name", "alias", "note"]);
    let id = servers[0]["id"].as_str().unwrap();
    assert_eq!(app.json(&format!("/api/servers/{id}")).1["server_url"], "");
    assert_eq!(app.ask("PUT", &format!("/api/servers/{id}"), "{}").0, 405);
    let (_, summary) = app.json("/api/summary");
    assert_eq!(
        (&summary["totalServers"], &summary["totalBackupsRuns"], &summary["totalBackups"]),
        (&json!(5), &json!(156), &json!(lab.pairs.len()))
    );
    // Two servers share the name.
    assert_eq!(app.json("/api/lastbackup/attic").0, 400);
    assert_eq!(app.ask("GET", "/api/machines", "").0, 404);
}

#[test]
fn the_new_version_on_an_old_database_looks_healthy_and_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (lab, _) = lab(dir.path(), &[]);
    let app = Running::start(Version::V07, &lab.database, fine());
    let (status, health) = app.json("/api/health");
    assert_eq!(
        (status, &health["status"], &health["preparedStatements"]),
        (503, &json!("healthy"), &json!(false))
    );
    assert_eq!(app.json("/api/servers"), (200, json!([])));
    let (status, summary) = app.json("/api/summary");
    assert_eq!((status, &summary["totalServers"]), (200, &json!(0)));
    assert_eq!(app.ask("POST", "/api/upload", "{}").0, 500);
}

#[test]
fn the_old_version_fails_on_a_migrated_database() {
    let dir = tempfile::tempdir().unwrap();
    let (lab, _) = lab(dir.path(), &[Fault::AlreadyMigrated]);
    // Asked for 0.7, and it is 0.6 in truth.
    let app = Running::start(Version::V07, &lab.database, Behaviour { wrong_version: true, ..fine() });
    for path in ["/api/machines", "/api/summary", "/api/lastbackup/attic"] {
        assert_eq!(app.json(path).0, 500, "{path}");
    }
}

#[test]
fn an_upload_is_a_row_and_a_changed_name_is_taken_over_by_the_old_version_alone() {
    let report = |name: &str| {
        json!({"Data": {"ParsedResult": "Success", "BeginTime": "2025-11-01T00:00:00.000Z"},
               "Extra": {"machine-id": "m1", "machine-name": name, "backup-name": "C: drive"}})
        .to_string()
    };
    for (version, faults, owners, name) in [
        (Version::V06, vec![], "machines", "second"),
        (Version::V07, vec![Fault::AlreadyMigrated], "servers", "first \"one\""),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (lab, db) = lab(dir.path(), &faults);
        let app = Running::start(version, &lab.database, fine());
        assert_eq!(app.ask("POST", "/api/upload", &report("first \"one\"")).0, 200);
        assert_eq!(app.ask("POST", "/api/upload", &report("second")).0, 200);
        assert_eq!(support::rows(&db, "SELECT count(*) FROM backups"), ["158"]);
        assert_eq!(support::rows(&db, &format!("SELECT name FROM {owners} WHERE id = 'm1'")), [name]);
        for bad in ["", "nonsense", "null", "[]", r#"{"Extra": {"machine-id": "x"}}"#] {
            assert_eq!(app.ask("POST", "/api/upload", bad).0, 400, "{bad}");
        }
        assert_eq!(support::rows(&db, "SELECT count(*) FROM backups"), ["158"]);
    }
}

#[test]
fn what_cannot_start_says_so_by_its_status() {
    let dir = tempfile::tempdir().unwrap();
    let (lab, _) = lab(&dir.path().join("data"), &[]);
    let failing = StandIn::start(Version::V06, &lab.database, 0, Behaviour { fail_start: true, ..fine() });
    assert!(matches!(failing, Err(StandInError::ToldToFail)));
    let absent = StandIn::start(Version::V06, &dir.path().join("absent.db"), 0, fine());
    assert!(matches!(absent, Err(StandInError::Database { .. })));
    assert!(!dir.path().join("absent.db").exists());
    let running =
        Running::start(Version::V06, &lab.database, Behaviour { slow_start: Duration::ZERO, ..fine() });
    let taken = StandIn::start(Version::V06, &lab.database, running.port, fine());
    assert!(matches!(taken, Err(StandInError::Port { .. })));
    assert_eq!(stand_in_main(vec!["--nonsense".to_owned()]), 2);
    let line = ["--version", "0.6", "--port", "0", "--database", "/dev/null/no"].map(str::to_owned);
    assert_eq!(stand_in_main(line.to_vec()), 1);
}

#[test]
fn real_answers_have_the_same_members() {
    let dir = tempfile::tempdir().unwrap();
    let Some(data) = real_data() else { return };
    for (version, database, folder) in
        [(Version::V06, "before.db", "before_0.6.1"), (Version::V07, "after.db", "after_0.7.27")]
    {
        drop(real_copy(dir.path(), database));
        let app = Running::start(version, &dir.path().join(database), fine());
        for (path, file) in
            [("health", "health"), ("summary", "summary"), ("lastbackup/server-01", "lastbackup_name")]
        {
            let text =
                std::fs::read_to_string(data.join("http").join(folder).join(format!("{file}.json"))).unwrap();
            let real: Value = serde_json::from_str(&text).unwrap();
            let (status, ours) = app.json(&format!("/api/{path}"));
            assert_eq!(status, 200);
            for (key, value) in real.as_object().unwrap() {
                assert_eq!(kind(&ours[key]), kind(value), "{path}: {key}");
            }
            if path == "summary" {
                assert_eq!(ours["totalBackups"], real["totalBackups"]);
                assert_eq!(ours["totalUploadedSize"], real["totalUploadedSize"]);
            }
            if path.starts_with("lastbackup") {
                assert_eq!(ours["latest_backup"]["id"], real["latest_backup"]["id"]);
            }
        }
    }
    let app = Running::start(Version::V06, &dir.path().join("before.db"), fine());
    let text = std::fs::read_to_string(data.join("http/before_0.6.1/machines.json")).unwrap();
    assert_eq!(app.json("/api/machines").1, serde_json::from_str::<Value>(&text).unwrap());
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
