//! How often the journal is synced, counted by strace from outside.

use std::path::Path;
use std::process::{Command, Stdio};

pub fn measure(program: &Path, folder: &Path) {
    let trace = folder.join("strace.txt");
    let status = Command::new("strace")
        // Children are let go when they become programs of their own: the service outlives the run.
        .args(["-f", "-b", "execve", "-y", "-e", "trace=fsync,fdatasync", "-o"])
        .arg(&trace)
        .arg(program)
        .args([
            "apply",
            "--yes",
            "--accept",
            "unresolved-settings",
            "--accept",
            "unresolved-notices",
            "--site",
        ])
        .arg(folder.join("site.yaml"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    crate::service::stop(folder);
    assert!(status.success());
    let trace = std::fs::read_to_string(&trace).unwrap();
    // The first sync makes the empty journal's name durable; it is the run's and no step's.
    let journal = trace.lines().filter(|line| line.contains("/journal.jsonl>")).count();
    let all = trace.lines().filter(|line| line.contains("sync(")).count();
    let report = Command::new(program)
        .args(["report", "--format", "json", "--site"])
        .arg(folder.join("site.yaml"))
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
    let (steps, records) = (length(&report["steps"]), length(&report["records"]));
    println!("{steps} steps, {records} records");
    println!("syncs of the journal   {journal:>6}, {:.2} a step (wanted ≤ 2)", journal as f64 / steps as f64);
    println!("syncs of any file      {all:>6}, {:.2} a step", all as f64 / steps as f64);
}

fn length(list: &serde_json::Value) -> usize {
    list.as_array().map_or(0, Vec::len)
}
