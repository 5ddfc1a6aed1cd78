//! Other processes: they are found, named, waited for, and may be killed.
#![allow(clippy::unwrap_used)]

mod sqlite_common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sqlite_common::{app, fingerprint, hostile, with};
use switchback_site::sqlite::{
    BackupReport, Database, ExclusiveError, Fingerprint, JournalMode, backup, holders, open_immutable,
    restore, set_journal_mode, take,
};
use switchback_site::{Faults, Tell};

const PATH: &str = "SWITCHBACK_TEST_DATABASE";

/// Not a test: the program of the child processes. It commits pairs of rows for ever, or until its input ends.
#[test]
#[ignore = "run by the other tests as a process of its own"]
fn child_that_writes() {
    let Some(path) = std::env::var_os(PATH) else { return };
    let connection = app(Path::new(&path));
    for n in 0.. {
        connection
            .execute_batch("BEGIN; INSERT INTO a VALUES (1); INSERT INTO b VALUES (1); COMMIT")
            .unwrap();
        if n == 50 {
            let mut out = std::io::stdout();
            out.write_all(b"\nwriting\n").unwrap();
            out.flush().unwrap();
        }
    }
}

struct Writer(Child);

impl Writer {
    fn start(path: &Path) -> Writer {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child_that_writes", "--exact", "--ignored", "--nocapture"])
            .env(PATH, path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("writing")));
        Writer(child)
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn pairs(path: &Path) {
    app(path).execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE a(x); CREATE TABLE b(x)").unwrap();
}

#[test]
fn a_writer_in_another_process_is_backed_up_at_one_moment_and_its_log_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live.db");
    pairs(&live);
    let mut writer = Writer::start(&live);
    for round in 0..3 {
        let dest = dir.path().join(format!("b{round}"));
        let report = backup(&Database::new(&live), &dest, &Tell::quiet()).unwrap();
        assert!(report.rows["a"] > 50);
        assert_eq!(report.rows["a"], report.rows["b"]);
    }
    writer.kill();
    assert!(std::fs::metadata(with(&live, "-wal")).unwrap().len() > 0);
    let left = fingerprint(&live);
    assert_eq!(left.counts()["a"], left.counts()["b"]);
    let report = backup(&Database::new(&live), &dir.path().join("after"), &Tell::quiet()).unwrap();
    assert_eq!(report.fingerprint, left);

    // Nobody holds it any more, so it can be taken, and the log goes into the file.
    let exclusive = take(&Database::new(&live), &Tell::quiet()).unwrap();
    assert_eq!(exclusive.journal_mode(), JournalMode::Wal);
    exclusive.release().unwrap();
    assert!(!with(&live, "-wal").exists() && !with(&live, "-shm").exists());
    let alone = Fingerprint::read(&open_immutable(&live).unwrap(), &Tell::quiet()).unwrap();
    assert_eq!(alone.differences(&left), ["journal_mode: wal there, delete here"]);
    set_journal_mode(&Database::new(&live), JournalMode::Wal, &Tell::quiet()).unwrap();
    assert_eq!(fingerprint(&live), left);
}

#[test]
fn a_holder_in_another_process_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live.db");
    pairs(&live);
    let writer = Writer::start(&live);
    let database = Database::new(&live).busy_timeout(Duration::from_millis(10));
    let error = take(&database, &Tell::quiet()).unwrap_err();
    assert!(error.to_string().contains(&format!("(pid {})", writer.0.id())), "{error}");
    assert_eq!(fingerprint(&live).pragmas["journal_mode"], "wal");
    drop(writer);
}

#[test]
fn an_idle_holder_without_any_lock_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live.db");
    app(&live).execute_batch("CREATE TABLE t(a)").unwrap();
    let mut child =
        Command::new("sleep").arg("600").stdin(std::fs::File::open(&live).unwrap()).spawn().unwrap();
    let database = Database::new(&live).busy_timeout(Duration::from_millis(10));
    let error = take(&database, &Tell::quiet());
    let found = holders(&live.canonicalize().unwrap());
    child.kill().unwrap();
    child.wait().unwrap();
    let ExclusiveError::Busy { holders, .. } = error.unwrap_err() else { panic!() };
    assert_eq!(holders.seen.len(), 1);
    assert_eq!((holders.seen[0].pid, holders.seen[0].command.as_str()), (child.id(), "sleep"));
    assert_eq!(found.seen, holders.seen);
    // Gone: the database can be taken, and locked against everybody.
    let exclusive = take(&database, &Tell::quiet()).unwrap();
    assert_eq!(exclusive.journal_mode(), JournalMode::Delete);
    exclusive.lock().unwrap();
    assert!(database.open_write().unwrap_err().to_string().contains("lock"));
}

#[test]
fn a_connection_of_this_process_counts_as_another() {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live.db");
    let connection = hostile(&live);
    let before = fingerprint(&live);
    let database = Database::new(&live).busy_timeout(Duration::from_millis(10));
    assert!(matches!(take(&database, &Tell::quiet()), Err(ExclusiveError::Busy { .. })));
    assert!(set_journal_mode(&database, JournalMode::Delete, &Tell::quiet()).is_err());
    assert_eq!(fingerprint(&live), before);
    drop(connection);
    take(&database, &Tell::quiet()).unwrap().release().unwrap();
}

/// Not a test: a look by a user who may read the database and may not write beside it. Prints what came of it.
#[test]
#[ignore = "run by the next test as another user"]
fn child_that_looks() {
    let Some(path) = std::env::var_os(PATH) else { return };
    let outcome = match Database::new(Path::new(&path)).open_read() {
        Ok(_) => "read".to_owned(),
        Err(error) => error.to_string(),
    };
    std::io::stdout().write_all(format!("\noutcome {outcome}\n").as_bytes()).unwrap();
}

#[test]
fn a_log_in_a_folder_that_cannot_be_written_is_an_error_that_says_what_to_do() {
    use std::os::unix::process::CommandExt;
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (live, left) = (dir.path().join("live.db"), dir.path().join("left.db"));
    let connection = hostile(&live);
    sqlite_common::killed(&live, &left);
    let look = |path: &Path| {
        // The test binary may lie where that user cannot reach, so a copy of it runs.
        let program = dir.path().join("looker");
        std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        let output = Command::new(program)
            .args(["child_that_looks", "--exact", "--ignored", "--nocapture"])
            .env(PATH, path)
            .current_dir("/")
            .uid(65534)
            .gid(65534)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let before = sqlite_common::names(dir.path());
    let said = look(&left);
    assert!(said.contains("SQLite must be able to write beside it"), "{said}");
    assert_eq!(before.len() + 1, sqlite_common::names(dir.path()).len());
    // Where the application runs, its index can be read.
    let said = look(&live);
    assert!(said.contains("outcome read"), "{said}");
    let hidden = dir.path().join("hidden.db");
    app(&hidden).execute_batch("CREATE TABLE t(a)").unwrap();
    std::fs::set_permissions(&hidden, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let said = look(&hidden);
    assert!(said.contains("permission denied"), "{said}");
    drop(connection);
}

const FAULT: &str = "SWITCHBACK_TEST_FAULT";

/// Not a test: a restore that is killed at a fault point. The fingerprint lies beside the database.
#[test]
#[ignore = "run by the next test as a process of its own"]
fn child_that_restores() {
    let Some(path) = std::env::var_os(PATH) else { return };
    let path = Path::new(&path);
    let report: BackupReport =
        serde_json::from_slice(&std::fs::read(path.with_file_name("report.json")).unwrap()).unwrap();
    let tell = Tell::with_faults(Arc::new(Faults::parse(&std::env::var(FAULT).unwrap())));
    let backup = path.with_file_name("backup");
    restore(&backup, &Database::new(path), &report.fingerprint, Some(&report.traits), &tell).unwrap();
}

#[test]
fn a_restore_that_is_killed_anywhere_leaves_a_whole_database_and_a_repeat_finishes() {
    let dir = tempfile::tempdir().unwrap();
    let (origin, dest) = (dir.path().join("origin.db"), dir.path().join("backup"));
    pairs(&origin);
    app(&origin).execute_batch("INSERT INTO a VALUES (1), (2); INSERT INTO b VALUES (1), (2)").unwrap();
    let report = backup(&Database::new(&origin), &dest, &Tell::quiet()).unwrap();
    std::fs::write(dir.path().join("report.json"), serde_json::to_vec(&report).unwrap()).unwrap();
    // What an upgraded application left when it was killed: other rows, in the log only.
    let upgraded = app(&origin);
    upgraded.execute_batch("DROP TABLE a; ALTER TABLE b RENAME TO c; INSERT INTO c VALUES ('new')").unwrap();
    let live = dir.path().join("live.db");
    for at in 1.. {
        sqlite_common::killed(&origin, &live);
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["child_that_restores", "--exact", "--ignored"])
            .env(PATH, &live)
            .env(FAULT, format!("kill@{at}"))
            .stdout(Stdio::null())
            .status()
            .unwrap();
        let found = fingerprint(&live);
        let old = found.tables.contains_key("c") && found.counts()["c"] == 3;
        assert!(old || found == report.fingerprint, "kill {at}");
        restore(&dest, &Database::new(&live), &report.fingerprint, None, &Tell::quiet()).unwrap();
        assert_eq!(fingerprint(&live), report.fingerprint);
        if status.success() {
            assert!(at > 12, "only {at} places to be killed at");
            break;
        }
        assert!(status.code().is_none(), "kill {at}: {status}");
    }
}
