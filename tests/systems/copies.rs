//! Copies and the write-ahead log: what `cp` and the application's own copy lose, and what our backup has.

use crate::support::{BINARY, Options, Site, StopAtEnd, rows};
use rusqlite::Connection;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use switchback_site::Tell;
use switchback_site::sqlite::{Database, backup, open_immutable};

fn count(connection: &Connection, table: &str) -> i64 {
    connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[test]
fn a_backup_has_what_is_only_in_the_log() {
    let mut site = Site::new();
    site.start_old();
    // What the guide says: `cp` of the main file of a running application. It opens, and it is intact.
    let copy = site.path("copy.db");
    Command::new("cp").arg(&site.database).arg(&copy).status().unwrap();
    let copied = Connection::open(&copy).unwrap();
    assert_eq!(rows(&copied, "PRAGMA integrity_check"), ["ok"]);
    assert!(count(&copied, "backups") < 156, "the lab has everything in the main file");
    site.apply().expect(0, &[]);
    let ours = open_immutable(&site.backup()).unwrap();
    assert_eq!((count(&ours, "machines"), count(&ours, "backups")), (5, 156));
    assert_eq!(rows(&ours, "PRAGMA integrity_check"), ["ok"]);
    assert!(!PathBuf::from(format!("{}-wal", site.backup().display())).exists());
}

#[test]
fn a_killed_installation_is_upgraded_whole_and_goes_back_whole() {
    let mut site = Site::new();
    site.start_old();
    site.upload("just-before");
    site.kill_service();
    let before = site.fingerprint();
    site.apply().expect(0, &["6 rows equal", "157 rows equal", "upgraded"]);
    assert_eq!(count(&open_immutable(&site.backup()).unwrap(), "backups"), 157);
    site.run(&["rollback", "--yes"]).expect(0, &[]);
    assert_eq!(site.fingerprint(), before);
}

#[test]
fn looking_at_a_running_installation_costs_no_upload() {
    // The application's own copy drops its locks, and the next reader that closes takes the log away under it.
    let mut site = Site::new();
    site.start_old();
    for verb in ["detect", "plan", "rehearse"] {
        site.run(&[verb]).expect(0, &[]);
    }
    for upload in 0..20 {
        site.upload(&format!("late-{upload}"));
    }
    site.run(&["plan"]).expect(0, &[]);
    site.kill_service();
    assert_eq!(count(&site.open(), "backups"), 176);
    assert_eq!(rows(&site.open(), "PRAGMA integrity_check"), ["ok"]);
}

#[test]
fn a_backup_under_writes_is_whole() {
    let site = Site::new();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Two rows in one transaction: a torn copy has one of them.
            let (mut connection, mut turn) = (site.open(), 0);
            while !stop.load(Ordering::Relaxed) {
                let both = connection.transaction().unwrap();
                for half in ["one", "other"] {
                    both.execute(
                        "INSERT INTO configurations VALUES (?1 || ?2, hex(zeroblob(5000)))",
                        (half, turn),
                    )
                    .unwrap();
                }
                both.commit().unwrap();
                turn += 1;
            }
        });
        let _stops = StopAtEnd(&stop);
        for turn in 0..5 {
            let copy = site.path(&format!("copy-{turn}"));
            backup(&Database::new(&site.database), &copy, &Tell::quiet()).unwrap();
            let copy = open_immutable(&copy).unwrap();
            assert_eq!(rows(&copy, "PRAGMA integrity_check"), ["ok"]);
            let halves = "SELECT count(*) % 2 FROM configurations WHERE key LIKE 'one%' OR key LIKE 'other%'";
            assert_eq!(rows(&copy, halves), ["integer 0"]);
            assert_eq!(count(&copy, "backups"), 156);
        }
    });
}

#[test]
fn a_log_that_lies_beside_a_foreign_file_is_not_replayed_into_the_restored_one() {
    let site = Site::new();
    let before = site.fingerprint();
    site.apply().expect(0, &[]);
    // The new release writes and is killed: its log belongs to the new file, and would ruin the old one.
    site.upload("late");
    site.kill_service();
    site.run(&["rollback", "--losing-writes"]).expect(0, &["rolled back: as before"]);
    assert_eq!(rows(&site.open(), "PRAGMA integrity_check"), ["ok"]);
    assert_eq!(site.fingerprint(), before);
}

#[test]
fn the_applications_copies_and_lock_files_are_left_alone() {
    let site = Site::new();
    let data = site.path("data");
    let names = [".migration.lock", "backups-copy-2026-11-20T11-31-00-047Z.db", "backups.pid"];
    // A stale lock with our own number: a process that lives. The copy is no database at all.
    for name in names {
        std::fs::write(data.join(name), std::process::id().to_string()).unwrap();
    }
    site.apply().expect(0, &["upgraded"]);
    let mut wanted = names.to_vec();
    wanted.push("backups.db");
    wanted.sort_unstable();
    // No copy of the application's was made, and none was used.
    assert_eq!(site.beside(), wanted);
    site.run(&["rollback", "--yes"]).expect(0, &[]);
    for name in names {
        assert_eq!(std::fs::read_to_string(data.join(name)).unwrap(), std::process::id().to_string());
    }
}

#[test]
fn the_backup_is_read_back_before_it_is_believed() {
    let site = Site::new();
    site.apply().expect(0, &[]);
    let path = site.backup();
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xFF;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    // A backup that is no longer what was proven is never put in the place of a good database.
    let upgraded = site.fingerprint();
    let ran = site.run(&["rollback", "--yes"]);
    ran.expect(21, &["backup-db", "switchback rollback"]);
    assert_eq!(site.fingerprint().tables, upgraded.tables);
}

#[test]
fn a_service_that_the_operator_stops_himself_is_asked_for() {
    // `service: none`: nothing runs here, so nobody has to be waited for until the new release is to be started.
    let site = Site::with(&Options::default());
    let text = std::fs::read_to_string(site.path("site.yaml")).unwrap();
    let head = text.split("  service:").next().unwrap();
    std::fs::write(site.path("site.yaml"), format!("{head}  service: none\n")).unwrap();
    site.run(&["plan"]).expect(0, &["you stop app and start its new release when asked"]);
    let mut command = site.command(&[
        "apply",
        "--yes",
        "--accept",
        "unresolved-settings",
        "--accept",
        "unresolved-notices",
    ]);
    let child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let clock = std::time::Instant::now();
    while !is_migrated(&site) {
        assert!(clock.elapsed().as_secs() < 60, "the run does not come so far");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let mut person = Command::new(BINARY);
    person.args([
        "lab-service",
        "duplistatus",
        "--version",
        "0.7",
        "--port",
        &site.port.to_string(),
        "--database",
    ]);
    let mut service = person.arg(&site.database).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    service.kill().unwrap();
    service.wait().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Whether the run has passed its commit point: the ledger is gone and the tables are new.
fn is_migrated(site: &Site) -> bool {
    let runs = std::fs::read_dir(site.state().join("runs")).into_iter().flatten().flatten();
    runs.map(|run| std::fs::read_to_string(run.path().join("journal.jsonl")).unwrap_or_default())
        .any(|journal| journal.contains("commit-passed"))
}
