//! An old installation in a folder of the test's own, and the binary run in it.

use regex::Regex;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use tempfile::TempDir;

/// The consents that the lab's upgrade asks for.
pub const YES: [&str; 6] =
    ["apply", "--yes", "--accept", "unresolved-settings", "--accept", "unresolved-notices"];

/// A folder that verbs run in. Services that they started there end with it.
pub struct Place {
    folder: TempDir,
}

impl Place {
    /// Returns an empty folder.
    pub fn empty() -> Place {
        Place { folder: TempDir::new().unwrap() }
    }

    /// Returns a folder with an old installation and its `site.yaml`; nothing runs.
    pub fn lab() -> Place {
        let place = Place::empty();
        let built = place.run(&["demo", "--build-only", "--dir", "."]);
        assert_eq!(built.exit, Some(0), "{}", built.stderr);
        place
    }

    /// Returns a folder with a small valid playbook, to make a mistake in.
    pub fn notes() -> Place {
        let place = Place::empty();
        place.write("playbook.yaml", include_str!("notes/playbook.yaml"));
        place
    }

    /// Returns an old installation that was upgraded. Its new release runs.
    pub fn upgraded() -> Place {
        let place = Place::lab();
        let done = place.run(&YES);
        assert_eq!(done.exit, Some(0), "{}", done.stderr);
        place
    }

    /// Returns an installation whose run is open: its journal ends where the step began.
    pub fn open_at(step: &str) -> Place {
        let place = Place::upgraded();
        let status = place.run(&["status", "--json"]).json();
        let run = PathBuf::from(status["directory"].as_str().unwrap());
        let plan: Value =
            serde_json::from_str(&std::fs::read_to_string(run.join("plan.json")).unwrap()).unwrap();
        let at = plan["steps"].as_array().unwrap().iter().position(|one| one["id"] == step).unwrap();
        let journal = std::fs::read_to_string(run.join("journal.jsonl")).unwrap();
        let mut kept = String::new();
        for line in journal.lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            kept.push_str(line);
            kept.push('\n');
            if record["record"] == "step-started" && record["step"] == at {
                break;
            }
        }
        std::fs::write(run.join("journal.jsonl"), kept).unwrap();
        place
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) -> &Place {
        std::fs::write(self.path().join(name), text).unwrap();
        self
    }

    /// Reads a file.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap()
    }

    /// Reads a file that is no text.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path().join(name)).unwrap()
    }

    /// Changes a part of a file that stands in it.
    pub fn change(&self, name: &str, from: &str, to: &str) -> &Place {
        let text = self.read(name);
        assert!(text.contains(from), "{name} has no {from:?}");
        self.write(name, &text.replacen(from, to, 1))
    }

    /// Runs the binary there, with nobody at a terminal.
    pub fn run(&self, args: &[&str]) -> Shown {
        self.run_with(args, &[])
    }

    /// Runs the binary there, with variables added to its environment.
    pub fn run_with(&self, args: &[&str], env: &[(&str, &str)]) -> Shown {
        let output = Command::new(env!("CARGO_BIN_EXE_switchback"))
            .args(args)
            .current_dir(self.path())
            .env("USER", "operator")
            .env_remove("NO_COLOR")
            .env_remove("SWITCHBACK_FAULT")
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Shown {
            line: args.join(" "),
            folder: self.path().to_string_lossy().into_owned(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            exit: output.status.code(),
        }
    }
}

impl Drop for Place {
    /// Ends what a verb started here: only a process whose command line names this folder.
    fn drop(&mut self) {
        let records = std::fs::read_dir(self.path().join(".switchback/services"));
        for record in records.into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(record.path()).unwrap_or_default();
            let Some(pid) = text.lines().find_map(|line| line.strip_prefix("pid ")) else { continue };
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if !String::from_utf8_lossy(&command).contains(&*self.path().to_string_lossy()) {
                continue;
            }
            let pid = pid.parse().ok().and_then(rustix::process::Pid::from_raw);
            let _ = pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
        }
    }
}

/// Validates the small playbook with one change.
pub fn mistake(from: &str, to: &str) -> String {
    let place = Place::notes();
    place.change("playbook.yaml", from, to);
    place.run(&["validate", "playbook.yaml"]).text()
}

/// What one command left.
pub struct Shown {
    line: String,
    folder: String,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The exit code; `None` if a signal ended it.
    pub exit: Option<i32>,
}

impl Shown {
    /// Standard output, which has to be one JSON value.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Standard output, which has to be one JSON value a line.
    pub fn json_lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Everything, for a snapshot; what differs from run to run is replaced by a word.
    pub fn text(&self) -> String {
        let exit = self.exit.map_or_else(|| "killed".to_owned(), |code| format!("exit {code}"));
        let mut text = format!("$ switchback {}\n", self.line);
        text.push_str(&self.stdout);
        if !self.stderr.is_empty() {
            text.push_str(&format!("--- stderr\n{}", self.stderr));
        }
        text.push_str(&format!("--- {exit}\n"));
        redacted(&text, &self.folder)
    }
}

/// Replaces what differs from run to run: paths, names of runs, times, sizes, digests, ports.
fn redacted(text: &str, folder: &str) -> String {
    static RULES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        let rules = [
            (r"\d{8}T\d{9}Z-[0-9a-f]{12}", "RUN"),
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
            (r"\b[0-9a-f]{64}\b", "DIGEST"),
            (r"\b[0-9a-f]{12}\b", "DIGEST"),
            (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
            (r"operator@[-.\w]+", "operator@HOST"),
            (r"\b\d+(\.\d+)? ([KMGT]i)?B\b", "SIZE"),
            (r"\b\d+ h \d+ min\b|\b\d+ min \d+ s\b|\b\d+(\.\d+)? m?s\b", "SPAN"),
            (r"(process|pid) \d+", "$1 PID"),
            (r"PID has (\w+) open: .*", "PID has $1 open: PROGRAM"),
        ];
        rules.map(|(rule, word)| (Regex::new(rule).unwrap(), word)).into()
    });
    let text = text.replace(env!("CARGO_BIN_EXE_switchback"), "SWITCHBACK").replace(folder, "DIR");
    RULES.iter().fold(text, |text, (rule, word)| rule.replace_all(&text, *word).into_owned())
}
