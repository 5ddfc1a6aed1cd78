//! A service that the test program itself becomes: one of its ignored tests, called by name. Include it by
//! `#[path = "../support/own_service.rs"] mod own_service;`.

use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// How it is started. The folder is a filter that matches no test; by it the process is known from that of another test.
pub fn argv(test: &str, folder: &Path) -> Value {
    json!([std::env::current_exe().unwrap(), test, folder, "--exact", "--ignored", "--nocapture"])
}

/// The process that the record of a service names, if it runs and is one of this folder.
pub fn running(record: &Path, folder: &Path) -> Option<i32> {
    let text = std::fs::read_to_string(record).ok()?;
    let pid = text.lines().find_map(|line| line.strip_prefix("pid "))?.parse().ok()?;
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).contains(&folder.display().to_string()).then_some(pid)
}

/// Ends what still runs of this folder: it was started by a run of the test that is over.
pub fn end(record: &Path, folder: &Path) {
    if let Some(pid) = running(record, folder) {
        let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
    }
}
