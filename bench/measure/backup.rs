//! A verified backup against `cp` of the same database, without and with a sync of the copy.

use crate::rounds::{Times, ratio};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use switchback_site::Tell;
use switchback_site::sqlite::{Database, backup};

pub fn measure(database: &Path, scratch: &Path, rounds: usize) {
    let (copy, ours) = (scratch.join("copy.db"), scratch.join("backup.db"));
    let (mut cp, mut synced, mut verified) = (Times::none(), Times::none(), Times::none());
    let source = Database::new(database);
    let mut report = None;
    for round in 0..=rounds {
        remove(&[&copy, &ours]);
        settle();
        cp.take(|| run(Command::new("cp").arg(database).arg(&copy)));
        remove(&[&copy]);
        settle();
        synced.take(|| {
            run(Command::new("cp").arg(database).arg(&copy));
            run(Command::new("sync").arg(&copy));
        });
        remove(&[&copy]);
        settle();
        report = Some(verified.take(|| backup(&source, &ours, &Tell::quiet()).unwrap()));
        // The first round fills the page cache for all and is not counted.
        if round == 0 {
            (cp, synced, verified) = (Times::none(), Times::none(), Times::none());
        }
    }
    remove(&[&copy, &ours]);
    let report = report.unwrap();
    println!("{} rows, {:.1} MB", report.rows.values().sum::<u64>(), report.bytes as f64 / 1e6);
    cp.say("cp");
    synced.say("cp, then sync of the file");
    verified.say("verified backup (synced, checked, digests compared)");
    ratio("verified backup ÷ synced cp", &verified, &synced, 4.0);
    ratio("verified backup ÷ cp", &verified, &cp, 4.0);
}

/// Lets the disk finish what the round before left to it, so that it is not billed to the next: a removed file of some
/// hundred megabytes is trimmed after the sync that makes its removal durable.
pub fn settle() {
    run(&mut Command::new("sync"));
    std::thread::sleep(Duration::from_secs(1));
}

pub fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?} ended with {status}");
}

pub fn remove(files: &[&Path]) {
    for file in files {
        let _ = std::fs::remove_file(file);
    }
}
