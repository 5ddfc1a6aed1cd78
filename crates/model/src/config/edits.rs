//! Several edits of one file, as one change.

use super::error::EditError;
use super::format::ConfigFormat;
use super::value::Wanted;
use serde::{Deserialize, Serialize};

/// Edits of one file. Names change first, then values, then keys go; no key is in two of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edits {
    /// The format of the file.
    pub format: ConfigFormat,
    /// Old key and new key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rename: Vec<(String, String)>,
    /// Key and value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<(String, Wanted)>,
    /// Keys that go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delete: Vec<String>,
}

/// What edits make of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The new text; equal to the old one when everything was as wanted already.
    pub text: String,
    /// Keys whose values are in the file no more.
    pub removed: Vec<String>,
    /// What a person should know: keys that were not there, lines that still refer to an old name.
    pub notes: Vec<String>,
}

impl Edits {
    /// Makes the edits. The same edits of their own result change nothing.
    pub fn of(&self, text: &str) -> Result<Outcome, EditError> {
        let editor = self.format.editor();
        editor.check(text)?;
        let mut now = text.to_owned();
        let (mut removed, mut notes) = (Vec::new(), Vec::new());
        for (from, to) in &self.rename {
            let next = editor.rename(&now, from, to)?;
            if next == now && editor.get(&now, to)?.is_none() {
                notes.push(format!("there is no `{from}` to rename"));
            }
            now = next;
        }
        for (key, value) in &self.set {
            now = editor.set(&now, key, value)?;
        }
        for key in &self.delete {
            let next = editor.delete(&now, key)?;
            if next != now {
                removed.push(key.clone());
            }
            now = next;
        }
        let gone = self.rename.iter().map(|(from, _)| from).chain(&self.delete);
        for key in gone {
            let lines = editor.references(&now, key);
            if let Some(line) = lines.first() {
                notes.push(format!("line {line} still refers to `{key}`"));
            }
        }
        Ok(Outcome { text: now, removed, notes })
    }

    /// Returns every key that the edits name, in their order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let renamed = self.rename.iter().flat_map(|(from, to)| [from, to]);
        renamed.chain(self.set.iter().map(|(key, _)| key)).chain(&self.delete).map(String::as_str)
    }

    /// Returns the first two keys that are one, or of which one is inside the other: no order of the edits is the right one.
    pub fn clash(&self) -> Option<(&str, &str)> {
        let keys: Vec<&str> = self.keys().collect();
        let editor = self.format.editor();
        keys.iter().enumerate().find_map(|(at, one)| {
            let other = keys[at + 1..].iter().find(|other| editor.overlap(one, other))?;
            Some((*one, *other))
        })
    }
}
