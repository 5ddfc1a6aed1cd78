//! The stand-in as a process: how it dies, and what it leaves. The process is this test program, started again.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::lab;
use switchback_labs::duplistatus::{Behaviour, StandIn, Version};

const DATABASE: &str = "LABS_TEST_DATABASE";
const IGNORE_TERM: &str = "LABS_TEST_IGNORE_TERM";

/// Not a test: the body of the child process. Alone, it does nothing.
#[test]
#[ignore = "the child of the other tests"]
fn as_a_child() {
    let Some(database) = std::env::var_os(DATABASE) else { return };
    let database = Path::new(&database);
    let behaviour =
        Behaviour { ignore_term: std::env::var_os(IGNORE_TERM).is_some(), ..Behaviour::default() };
    let service = StandIn::start(Version::V06, database, 0, behaviour).unwrap();
    // Written whole or not at all, so that the parent never reads half a number.
    std::fs::write(database.with_extension("port.new"), service.port().to_string()).unwrap();
    std::fs::rename(database.with_extension("port.new"), database.with_extension("port")).unwrap();
    service.run();
}

/// Ends the child whatever becomes of the test.
struct Started(Child, u16);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(database: &Path, ignore_term: bool) -> Started {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "as_a_child", "--ignored"]).env(DATABASE, database);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    if ignore_term {
        command.env(IGNORE_TERM, "1");
    }
    let mut started = Started(command.spawn().unwrap(), 0);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Ok(port) = std::fs::read_to_string(database.with_extension("port")) {
            started.1 = port.parse().unwrap();
            return started;
        }
        assert!(
            started.0.try_wait().unwrap().is_none() && Instant::now() < deadline,
            "the child did not start"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn upload(port: u16) -> String {
    use std::io::{Read, Write};
    let body =
        r#"{"Data": {}, "Extra": {"machine-id": "m1", "machine-name": "new", "backup-name": "Files"}}"#;
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "POST /api/upload HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn terminate(child: &Child) {
    let status = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_terminated_service_leaves_its_last_rows_in_the_wal() {
    let dir = tempfile::tempdir().unwrap();
    let (lab, db) = lab(dir.path(), &[]);
    // The lab's own connection would make the checkpoint when it closes after the service.
    db.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    let main_file = std::fs::read(&lab.database).unwrap();
    let mut service = start(&lab.database, false);
    drop(db);
    // Autocheckpoint would move the lab's pages on the first commit, so nothing is written but the start.
    terminate(&service.0);
    let status = service.0.wait().unwrap();
    assert!(!status.success());
    assert_eq!(std::fs::read(&lab.database).unwrap(), main_file);
    assert!(dir.path().join("backups.db-wal").metadata().unwrap().len() > 1 << 20);

    let mut service = start_again(&lab.database);
    assert!(upload(service.1).starts_with("HTTP/1.1 200"));
    terminate(&service.0);
    service.0.wait().unwrap();
    let db = rusqlite::Connection::open(&lab.database).unwrap();
    assert_eq!(support::rows(&db, "SELECT count(*) FROM backups"), ["157"]);
}

fn start_again(database: &Path) -> Started {
    std::fs::remove_file(database.with_extension("port")).unwrap();
    start(database, false)
}

#[test]
fn a_service_that_ignores_the_signal_answers_on() {
    let dir = tempfile::tempdir().unwrap();
    let (lab, db) = lab(dir.path(), &[]);
    drop(db);
    let mut service = start(&lab.database, true);
    terminate(&service.0);
    assert!(upload(service.1).starts_with("HTTP/1.1 200"));
    assert!(service.0.try_wait().unwrap().is_none());
}
