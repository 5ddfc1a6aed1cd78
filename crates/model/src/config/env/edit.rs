//! The editor.

use super::super::error::{EditError, line_of};
use super::super::format::{Format, Leaf};
use super::super::secret::looks_secret;
use super::super::value::Wanted;
use super::parse::{Entry, Quote, entries, is_name};
use super::quote::written;
use serde_json::Value;
use std::ops::Range;

/// The editor of `.env` files. A key is the name of a variable.
pub struct Env;

/// What a file says: names with their values, `None` for a name alone.
type Meaning = Vec<(String, Option<String>)>;

impl Format for Env {
    fn check_key(&self, key: &str) -> Result<(), EditError> {
        if is_name(key) {
            return Ok(());
        }
        let problem =
            "the name of a variable has letters, digits, `_`, `.` and `-`, and begins with a letter or `_`";
        Err(EditError::Key { key: key.to_owned(), problem })
    }

    fn check(&self, text: &str) -> Result<(), EditError> {
        entries(text).map(drop)
    }

    fn get(&self, text: &str, key: &str) -> Result<Option<Value>, EditError> {
        let all = entries(text)?;
        Ok(find(text, &all, key)?.map(|entry| match entry.quote {
            Quote::Bare => Value::Null,
            _ => Value::String(entry.text.clone()),
        }))
    }

    fn set(&self, text: &str, key: &str, value: &Wanted) -> Result<String, EditError> {
        self.check_key(key)?;
        let Some(value) = value.as_text() else {
            return Err(EditError::Value {
                key: key.to_owned(),
                problem: "it is no text, but a list or a map",
            });
        };
        let all = entries(text)?;
        let mut expected = meaning(&all);
        let new = match find(text, &all, key)? {
            Some(entry) if says(entry, value) => return Ok(text.to_owned()),
            Some(entry) => {
                set_expected(&mut expected, key, value);
                let written = written(key, value, entry.quote)?;
                let sign = if entry.quote == Quote::Bare { "=" } else { "" };
                splice(text, entry.value.clone(), &format!("{sign}{written}"))
            }
            None => {
                expected.push((key.to_owned(), Some(value.to_owned())));
                appended(text, &all, key, &written(key, value, Quote::Plain)?)
            }
        };
        proven(key, new, &expected)
    }

    fn delete(&self, text: &str, key: &str) -> Result<String, EditError> {
        let all = entries(text)?;
        let Some(entry) = find(text, &all, key)? else { return Ok(text.to_owned()) };
        let mut expected = meaning(&all);
        expected.retain(|(name, _)| name != key);
        let mut lines = entry.lines.clone();
        if !text[lines.clone()].ends_with('\n') && lines.start > 0 {
            // The file has no line end at its end, and keeps none.
            let before = text[..lines.start].strip_suffix('\n');
            lines.start = before.map_or(lines.start, |kept| kept.strip_suffix('\r').unwrap_or(kept).len());
        }
        proven(key, splice(text, lines, ""), &expected)
    }

    fn rename(&self, text: &str, from: &str, to: &str) -> Result<String, EditError> {
        self.check_key(to)?;
        let all = entries(text)?;
        let Some(entry) = find(text, &all, from)? else { return Ok(text.to_owned()) };
        if find(text, &all, to)?.is_some() {
            return Err(EditError::Both { from: from.to_owned(), to: to.to_owned() });
        }
        let mut expected = meaning(&all);
        for (name, _) in &mut expected {
            if name == from {
                *name = to.to_owned();
            }
        }
        proven(from, splice(text, entry.name.clone(), to), &expected)
    }

    fn overlap(&self, one: &str, other: &str) -> bool {
        one == other
    }

    fn secrets(&self, text: &str) -> Vec<Range<usize>> {
        let all = entries(text).unwrap_or_default();
        all.into_iter()
            .filter(|entry| looks_secret(&entry.key) && !entry.value.is_empty())
            .map(|entry| entry.value)
            .collect()
    }

    fn leaves(&self, text: &str) -> Result<Vec<Leaf>, EditError> {
        let leaf = |entry: Entry| Leaf { names: vec![entry.key.clone()], key: entry.key, value: entry.text };
        Ok(entries(text)?.into_iter().map(leaf).collect())
    }

    fn references(&self, text: &str, key: &str) -> Vec<usize> {
        let all = entries(text).unwrap_or_default();
        let refers = |entry: &&Entry| entry.quote != Quote::Single && names(&text[entry.value.clone()], key);
        all.iter().filter(refers).map(|entry| line_of(text, entry.value.start)).collect()
    }
}

/// Whether every reader takes the entry for this value; a dollar outside single quotes means more to some.
fn says(entry: &Entry, value: &str) -> bool {
    let literal = entry.quote == Quote::Single || !value.contains('$');
    entry.quote != Quote::Bare && entry.text == value && literal
}

/// Whether `$KEY` or `${KEY` stands in a value.
fn names(value: &str, key: &str) -> bool {
    value.match_indices(key).any(|(at, _)| {
        let ends =
            !value[at + key.len()..].starts_with(|char: char| char.is_ascii_alphanumeric() || char == '_');
        ends && (value[..at].ends_with('$') || value[..at].ends_with("${"))
    })
}

/// Returns the one entry of a key; which of several counts differs from reader to reader.
fn find<'e>(text: &str, all: &'e [Entry], key: &str) -> Result<Option<&'e Entry>, EditError> {
    let mut with_key = all.iter().filter(|entry| entry.key == key);
    let first = with_key.next();
    match (first, with_key.next()) {
        (Some(first), Some(second)) => Err(EditError::Twice {
            key: key.to_owned(),
            first: line_of(text, first.name.start),
            second: line_of(text, second.name.start),
        }),
        _ => Ok(first),
    }
}

fn meaning(all: &[Entry]) -> Meaning {
    let value = |entry: &Entry| (entry.quote != Quote::Bare).then(|| entry.text.clone());
    all.iter().map(|entry| (entry.key.clone(), value(entry))).collect()
}

fn set_expected(expected: &mut Meaning, key: &str, value: &str) {
    for (_, old) in expected.iter_mut().filter(|(name, _)| name == key) {
        *old = Some(value.to_owned());
    }
}

/// Adds a line at the end, in the manner of the others: their line ends, their `export`, a last line end or none.
fn appended(text: &str, all: &[Entry], key: &str, written: &str) -> String {
    let export = if !all.is_empty() && all.iter().all(|entry| entry.export) { "export " } else { "" };
    let eol = if text.find('\n').is_some_and(|at| text[..at].ends_with('\r')) { "\r\n" } else { "\n" };
    let empty = text.is_empty() || text == "\u{feff}";
    if empty || text.ends_with('\n') {
        format!("{text}{export}{key}={written}{eol}")
    } else {
        format!("{text}{eol}{export}{key}={written}")
    }
}

fn splice(text: &str, at: Range<usize>, new: &str) -> String {
    format!("{}{new}{}", &text[..at.start], &text[at.end..])
}

/// Reads the result and lets it out only when it says what was wanted, and nothing else.
fn proven(key: &str, new: String, expected: &Meaning) -> Result<String, EditError> {
    match entries(&new) {
        Ok(all) if meaning(&all) == *expected => Ok(new),
        Ok(_) => Err(EditError::unsure(key, "the file would say something else")),
        Err(error) => Err(EditError::unsure(key, format!("cannot {error}"))),
    }
}
