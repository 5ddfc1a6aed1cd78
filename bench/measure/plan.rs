//! A cold `plan`: a new process, and a state folder that is not there yet.

use crate::backup::settle;
use crate::rounds::Times;
use std::path::Path;
use std::process::{Command, Stdio};

pub fn measure(program: &Path, folder: &Path, rounds: usize) {
    let state = folder.join(".switchback");
    let mut times = Times::none();
    for _ in 0..rounds {
        if state.exists() {
            std::fs::remove_dir_all(&state).unwrap();
        }
        settle();
        let mut command = Command::new(program);
        command
            .arg("plan")
            .arg("--site")
            .arg(folder.join("site.yaml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let status = times.take(|| command.status().unwrap());
        assert!(status.success());
    }
    times.say("cold plan of the small lab (wanted ≤ 30 ms)");
}
