//! Room: too little is refused beforehand, and a disk that fills up in the downtime leads back.

use crate::support::{Options, Ran, STILL_RUNNING, Site};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use switchback_labs::duplistatus::LabSize;
use tempfile::TempDir;

/// A small filesystem of its own.
struct Small(TempDir);

impl Small {
    /// Mounts one; nothing where the tests may not mount.
    fn of(kib: u64) -> Option<Small> {
        let folder = TempDir::new().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"]).arg(folder.path());
        mount.output().is_ok_and(|output| output.status.success()).then_some(Small(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Leaves only so much room.
    fn leave(&self, kib: u64) {
        let free = switchback_site::disk::space(self.path()).unwrap().free;
        let mut ballast = File::create(self.path().join("ballast")).unwrap();
        for _ in 0..free.saturating_sub(kib << 10) / 4096 {
            ballast.write_all(&[1; 4096]).unwrap();
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.path().join("ballast")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn on(small: &Small) -> Options<'_> {
    Options { data: Some(small.path()), ..Options::default() }
}

#[test]
fn too_little_room_is_refused_and_says_how_much_is_missing() {
    let Some(small) = Small::of(8 << 10) else { return };
    let site = Site::with(&on(&small));
    let before = site.fingerprint();
    small.leave(512);
    let words = [
        "D010",
        "has 512.0 KiB free, and the upgrade needs",
        "help: free ",
        "way back",
        "nothing was changed",
    ];
    site.run(&["plan"]).expect(11, &words);
    site.apply().expect(11, &words);
    assert_eq!(site.fingerprint(), before);
    site.expect_no_run();
    small.free();
    site.run(&["plan"]).expect(0, &[]);
    // What was planned on a roomy disk is judged again.
    small.leave(512);
    site.apply().expect(11, &words);
    small.free();
    site.apply().expect(0, &["upgraded"]);
}

#[test]
fn a_database_whose_size_cannot_be_told_is_refused() {
    let site = Site::new();
    site.sql("PRAGMA journal_mode = DELETE");
    let before = site.fingerprint();
    // SQLite has no use for a log index in this mode, and a link to itself cannot be measured.
    std::os::unix::fs::symlink("backups.db-shm", site.path("data/backups.db-shm")).unwrap();
    let words = ["D012", "cannot tell how large db is", "help: ", "nothing was changed"];
    site.run(&["plan"]).expect(11, &words);
    site.apply().expect(11, &words);
    site.expect_no_run();
    assert_eq!(site.fingerprint(), before);
}

#[test]
fn a_disk_that_somebody_fills_in_the_downtime_leads_back() {
    for kib in [0, 8, 64, 256, 768, 1300] {
        let Some(small) = Small::of(16 << 10) else { return };
        let (site, child) = Site::waiting_in(STILL_RUNNING, true, on(&small));
        let before = site.before.clone().unwrap();
        small.leave(kib);
        site.go_on("0");
        let ran = Ran::of(&child.wait_with_output().unwrap());
        match ran.code {
            0 => {}
            20 => assert_eq!(site.fingerprint(), before, "{kib} KiB"),
            // The way back needs room as well: it says so, and goes on when there is some.
            21 => {
                ran.expect(
                    21,
                    &[
                        "stuck",
                        "; the application is stopped since 20",
                        "No space left",
                        "switchback rollback",
                    ],
                );
                small.free();
                site.run(&["rollback", "--yes"]).expect(0, &["rolled back: as before"]);
                assert_eq!(site.fingerprint(), before, "{kib} KiB");
            }
            other => panic!("{kib} KiB: exit code {other}\n{}", ran.said()),
        }
        assert_eq!(site.get("/api/health").0, 200, "{kib} KiB");
    }
}

/// Applies a plan that copies the whole table `backups`, with so many hundredths of the database free beside it.
fn rebuild_with_free(hundredths: u64) -> Option<Ran> {
    let small = Small::of(200 << 10)?;
    let rebuild = [(
        "              rename_columns: {machine_id",
        "              rebuild: true\n              rename_columns: {machine_id",
    )];
    let size = LabSize { backups: 20_000, ..LabSize::default() };
    let options = Options { size: Some(size), playbook: &rebuild, ..on(&small) };
    let (site, child) = Site::waiting_in(STILL_RUNNING, false, options);
    // The log is in the file: what is measured is the change alone.
    site.sql("PRAGMA wal_checkpoint(TRUNCATE)");
    let bytes = std::fs::metadata(&site.database).unwrap().len();
    small.leave((bytes * hundredths / 100) >> 10);
    site.go_on("0");
    let ran = Ran::of(&child.wait_with_output().unwrap());
    if ran.code != 0 {
        small.free();
        site.run(&["rollback", "--yes"]);
        assert_eq!(site.fingerprint().tables, site.before.clone().unwrap().tables);
    }
    Some(ran)
}

#[test]
fn a_rebuild_needs_no_more_than_its_share() {
    // 2.2 times the database in all is the promise: itself, and 1.2 times as much beside it. Measured: once as much.
    let Some(ran) = rebuild_with_free(110) else { return };
    ran.expect(0, &["20000 rows equal", "upgraded"]);
    // And so it is a rebuild that was measured: with less it does not go through.
    let Some(ran) = rebuild_with_free(60) else { return };
    assert_ne!(ran.code, 0);
    assert!(ran.said().contains("cannot copy table backups: database or disk is full"), "{}", ran.said());
}

#[test]
fn a_disk_that_is_full_at_any_point_leads_back_or_through() {
    // A fault point stands before and after each write. The crash suite strikes at every one of them in process; here the
    // real binary is struck at every third, and `SWITCHBACK_SOAK` takes them all.
    let stride = if std::env::var_os("SWITCHBACK_SOAK").is_some() { 1 } else { 3 };
    let site = Site::new();
    let before = site.fingerprint();
    let (mut back, mut through) = (0, 0);
    for point in (1..2_000).step_by(stride) {
        let ran = site.apply_with_fault(&format!("full@{point}"));
        let struck = ran.said().contains("no space left");
        match ran.code {
            0 => {
                through += 1;
                site.run(&["rollback", "--yes"]).expect(0, &["rolled back: as before"]);
            }
            11 | 20 => back += 1,
            // The journal could not be written: a person frees some room and says which way.
            30 => {
                back += 1;
                site.run(&["resume", "--if-open"]);
                site.run(&["rollback", "--yes"]);
            }
            other => panic!("point {point}: exit code {other}\n{}", ran.said()),
        }
        assert_eq!(site.fingerprint(), before, "point {point}: {}", ran.said());
        let beside = site.beside();
        if beside != ["backups.db"] {
            // A mark that could not be taken away names a run that is over, and does not stand in the way of the next.
            assert_eq!(beside, [".backups.db.switchback", "backups.db"], "point {point}");
            site.run(&["plan"]).expect(0, &[]);
        }
        let _ = std::fs::remove_dir_all(site.state().join("runs"));
        if ran.code == 0 && !struck && beside.len() == 1 && back > 20 {
            // Struck nowhere: every point was had.
            assert!(through >= 1);
            return;
        }
    }
    panic!("it never goes through");
}
