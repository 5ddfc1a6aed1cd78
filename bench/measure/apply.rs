//! A whole `apply`: downtime, disk and memory at their most.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub fn measure(program: &Path, folder: &Path) {
    let data = folder.join("data");
    let before = used(&data);
    let mut command = Command::new(program);
    command
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
        .stderr(Stdio::null());
    let clock = Instant::now();
    let mut child = command.spawn().unwrap();
    let (mut disk, mut memory) = (before, 0);
    let status = loop {
        disk = disk.max(used(&data));
        memory = memory.max(peak_memory(child.id()));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let whole = clock.elapsed();
    crate::service::stop(folder);
    assert!(status.success(), "apply ended with {status}");
    let report = Command::new(program)
        .args(["report", "--format", "json", "--site"])
        .arg(folder.join("site.yaml"))
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
    let mb = |bytes: u64| bytes as f64 / 1e6;
    println!("whole apply            {:>8.2} s", whole.as_secs_f64());
    println!("downtime               {:>8.2} s", report["downtime_ms"].as_f64().unwrap_or(f64::NAN) / 1000.0);
    println!("database at the start  {:>8.1} MB with its log", mb(before));
    println!(
        "disk beside the backup {:>8.1} MB at its most, {:.2} × the database (wanted ≤ 2.2)",
        mb(disk),
        disk as f64 / before as f64
    );
    println!("memory                 {:>8.1} MB at its most (resident)", mb(memory));
    for step in report["steps"].as_array().into_iter().flatten() {
        if step["took_ms"].as_u64().unwrap_or(0) >= 5 {
            println!("  {:<9} {:>7} ms  {}", plain(&step["phase"]), step["took_ms"], plain(&step["says"]));
        }
    }
}

fn plain(value: &serde_json::Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Bytes that the files of a folder take on the disk.
fn used(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|meta| meta.blocks() * 512).sum()
}

/// The most memory that a process ever had resident; 0 when it is gone.
fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}
