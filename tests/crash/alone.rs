//! Tests that need a process of their own.
//!
//! A session asks who has a store open. A child that another thread of this process has just forked holds a copy of
//! every descriptor until its exec, so it would be found there now and then. A test that runs sessions in process
//! therefore runs them in a process that has no other threads at work, and several of those share its cases.

use std::process::{Command, Output, Stdio};

/// Names the test that is to run its cases here, with its share of them: `NAME SHARE SHARES`.
const ALONE: &str = "SWITCHBACK_TEST_ALONE";

/// How many processes share the cases of one test: of a case nine tenths are waiting, for a service and for the disk.
const SHARES: usize = 4;

/// Runs `cases` of the test called `name`, its full path in this crate, spread over processes of their own. Each gets
/// the cases whose number leaves its share as the rest of a division by the number of shares.
pub fn run(name: &str, cases: impl Fn(Share)) {
    if let Ok(ours) = std::env::var(ALONE) {
        let words: Vec<&str> = ours.split(' ').collect();
        assert_eq!(words[0], name, "the test's own name is what it is called with");
        return cases(Share { rest: words[1].parse().unwrap(), of: words[2].parse().unwrap() });
    }
    let children: Vec<_> = (0..SHARES)
        .map(|share| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", name, "--nocapture", "--test-threads=1"])
                .env(ALONE, format!("{name} {share} {SHARES}"))
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    // All of them end before anything is said, so that none is left behind; and each that failed is heard.
    let ended: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    let said = |output: &Output| {
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    let failed: Vec<_> = ended.iter().filter(|output| !output.status.success()).map(said).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    for text in ended.iter().map(said) {
        assert!(text.contains("1 passed"), "the test runs alone under its own name: {text}");
        print_lines(&text);
    }
}

/// What the cases say, for whoever asks for output.
#[allow(clippy::print_stdout)]
pub fn print_lines(text: &str) {
    for line in text.lines().filter(|line| line.starts_with("crash:")) {
        println!("{line}");
    }
}

/// A part of the cases of a test.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    rest: usize,
    of: usize,
}

impl Share {
    /// Returns whether the case of this number is one of this part.
    pub fn has(self, number: usize) -> bool {
        number % self.of == self.rest
    }
}
