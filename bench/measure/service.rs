//! Ends the stand-in that an `apply` of a lab has started: it outlives the run, as a real service would.

use std::path::Path;
use std::process::Command;

/// Ends the lab's services over databases in `folder`, and no other process.
pub fn stop(folder: &Path) {
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let name = process.file_name().to_string_lossy().into_owned();
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let words: Vec<String> =
            line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        let is_lab = words.get(1).is_some_and(|word| word == "lab-service");
        if is_lab && words.iter().any(|word| Path::new(word).starts_with(folder)) {
            let _ = Command::new("kill").arg(name).status();
        }
    }
}
