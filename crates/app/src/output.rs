//! The only place that prints: standard output is data, standard error is talk.

use crate::complaint::Complaint;
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};

/// Where words go. A reader that went away (a closed pipe) is no trouble of ours.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// Whether machines read standard output.
    pub json: bool,
    /// Whether standard error is a terminal that a person watches.
    pub terminal: bool,
    /// Whether colour may be used.
    pub color: bool,
}

impl Output {
    /// Looks where the streams go.
    pub fn new(json: bool, no_color: bool) -> Output {
        let terminal = std::io::stderr().is_terminal();
        Output { json, terminal, color: terminal && !no_color }
    }

    /// Writes data.
    pub fn data(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes());
        if !text.ends_with('\n') {
            let _ = out.write_all(b"\n");
        }
        let _ = out.flush();
    }

    /// Writes data for machines, on one line.
    pub fn value(&self, value: &Value) {
        self.data(&value.to_string());
    }

    /// Talks.
    pub fn say(&self, text: &str) {
        let mut err = std::io::stderr().lock();
        let _ = err.write_all(text.as_bytes());
        if !text.ends_with('\n') {
            let _ = err.write_all(b"\n");
        }
    }

    /// Says what is wrong.
    pub fn complain(&self, complaint: &Complaint) {
        if self.json {
            let items: Vec<Value> =
                complaint.items.iter().map(|item| json!(item)).chain(complaint.located.clone()).collect();
            self.value(&json!({ "errors": items, "exit": complaint.exit, "state": complaint.state }));
            return;
        }
        let mut text = complaint.rendered.clone();
        for item in &complaint.items {
            if !text.is_empty() && !text.ends_with("\n\n") {
                text.push('\n');
            }
            text.push_str(&format!("error[{}]: {}\n", item.code, item.message));
            if let Some(place) = &item.place {
                text.push_str(&format!("  --> {}:{}\n", place.file, place.line));
            }
            for line in &item.details {
                text.push_str(&format!("  {line}\n"));
            }
            if let Some(help) = &item.help {
                text.push_str(&format!("help: {help}\n"));
            }
        }
        if let Some(state) = &complaint.state {
            text.push_str(&format!("\n{state}\n"));
        }
        self.say(&text);
    }

    /// Asks a person; `None` when nobody is there to answer.
    pub fn ask(&self, question: &str) -> Option<bool> {
        if !std::io::stdin().is_terminal() || !self.terminal {
            return None;
        }
        let mut err = std::io::stderr().lock();
        let _ = write!(err, "{question} [y/N] ");
        let _ = err.flush();
        drop(err);
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).ok()?;
        Some(matches!(answer.trim(), "y" | "Y" | "yes"))
    }
}
