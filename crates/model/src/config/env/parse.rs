//! From text to entries, each with its place.

use super::super::error::{EditError, line_of};
use std::ops::Range;

pub(super) const FORMAT: &str = "an environment file";

/// How a value stands in its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quote {
    /// `KEY` alone: the value comes from elsewhere.
    Bare,
    Plain,
    Single,
    Double,
}

/// One assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Where the key stands.
    pub(super) name: Range<usize>,
    /// Where the value stands, quotes included; behind the key for [`Quote::Bare`].
    pub(super) value: Range<usize>,
    pub(super) quote: Quote,
    /// The value as a program sees it, references to other variables not followed.
    pub(super) text: String,
    /// Whether `export` stands before it.
    pub(super) export: bool,
    /// All lines of it, the last line end included.
    pub(super) lines: Range<usize>,
}

/// Reads a file. A line that is neither empty, nor a comment, nor an assignment is an error: some readers stop there,
/// others leave it out.
pub(super) fn entries(text: &str) -> Result<Vec<Entry>, EditError> {
    let mut found = Vec::new();
    let mut at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    while at < text.len() {
        let end = line_end(text, at);
        let line = &text[at..end];
        let blank = line.trim();
        if blank.is_empty() || blank.starts_with('#') {
            at = next_line(text, end);
            continue;
        }
        let entry = entry(text, at)?;
        at = entry.lines.end;
        found.push(entry);
    }
    Ok(found)
}

/// Whether a text can be the name of a variable that is written here. Dots and dashes are read by most programs.
pub(super) fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_') && chars.all(is_name_char)
}

fn is_name_char(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '_' | '.' | '-')
}

fn entry(text: &str, start: usize) -> Result<Entry, EditError> {
    let wrong = |at: usize, problem: &str| EditError::Syntax {
        format: FORMAT,
        line: line_of(text, at),
        problem: problem.to_owned(),
    };
    let mut at = skip_blanks(text, start);
    let mut export = false;
    if let Some(rest) = text[at..].strip_prefix("export")
        && rest.starts_with([' ', '\t'])
    {
        export = true;
        at = skip_blanks(text, at + "export".len());
    }
    let len = text[at..].find(|char| !is_name_char(char)).unwrap_or(text.len() - at);
    let name = at..at + len;
    if !is_name(&text[name.clone()]) {
        return Err(wrong(at, "it is neither `NAME=value` nor a comment"));
    }
    let key = text[name.clone()].to_owned();
    let after = skip_blanks(text, name.end);
    let Some(rest) = text[after..].strip_prefix('=') else {
        let end = line_end(text, after);
        let rest = text[after..end].trim_end();
        if !(rest.is_empty() || rest.starts_with('#') && after > name.end) {
            return Err(wrong(at, "it is neither `NAME=value` nor a comment"));
        }
        let value = name.end..name.end;
        let lines = start..next_line(text, end);
        return Ok(Entry { key, name, value, quote: Quote::Bare, text: String::new(), export, lines });
    };
    let equals = text.len() - rest.len();
    let begin = skip_blanks(text, equals);
    let (value, quote, read) = match text[begin..].chars().next() {
        Some('\'') => {
            let close = text[begin + 1..].find('\'');
            let close = close.ok_or_else(|| wrong(begin, "the quote `'` is never closed"))?;
            let inner = begin + 1..begin + 1 + close;
            (begin..inner.end + 1, Quote::Single, text[inner].to_owned())
        }
        Some('"') => {
            let close = closing(&text[begin + 1..]);
            let close = close.ok_or_else(|| wrong(begin, "the quote `\"` is never closed"))?;
            let inner = begin + 1..begin + 1 + close;
            (begin..inner.end + 1, Quote::Double, unescape(&text[inner]))
        }
        _ => {
            let value = plain(text, equals, begin);
            let read = text[value.clone()].to_owned();
            (value, Quote::Plain, read)
        }
    };
    let end = line_end(text, value.end);
    let behind = &text[value.end..end];
    let rest = behind.trim();
    if !(rest.is_empty() || rest.starts_with('#') && behind.starts_with([' ', '\t'])) {
        return Err(wrong(value.start, "there is more behind the closing quote, and readers differ on it"));
    }
    Ok(Entry { key, name, value, quote, text: read, export, lines: start..next_line(text, end) })
}

/// A value without quotes ends before a comment that has a blank before it, or with the line.
fn plain(text: &str, equals: usize, begin: usize) -> Range<usize> {
    let end = line_end(text, begin);
    if text[begin..end].starts_with('#') && begin > equals {
        return equals..equals;
    }
    let line = &text[begin..end];
    let comment = line
        .char_indices()
        .zip(line.chars().skip(1))
        .find(|((_, blank), next)| matches!(blank, ' ' | '\t') && *next == '#')
        .map_or(line.len(), |((at, _), _)| at);
    let value = line[..comment].trim_end();
    if value.is_empty() { equals..equals } else { begin..begin + value.len() }
}

fn closing(inner: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, char) in inner.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at),
            _ => {}
        }
    }
    None
}

/// The escapes that all readers know; any other backslash stays.
fn unescape(inner: &str) -> String {
    let mut text = String::new();
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            text.push(char);
            continue;
        }
        match chars.next() {
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('t') => text.push('\t'),
            Some(known @ ('"' | '\\' | '$')) => text.push(known),
            Some(other) => text.extend(['\\', other]),
            None => text.push('\\'),
        }
    }
    text
}

/// The end of the line, before `\n` or `\r\n`.
pub(super) fn line_end(text: &str, at: usize) -> usize {
    let end = text[at..].find('\n').map_or(text.len(), |found| at + found);
    if end > at && text.as_bytes()[end - 1] == b'\r' { end - 1 } else { end }
}

fn next_line(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |found| at + found + 1)
}

fn skip_blanks(text: &str, at: usize) -> usize {
    at + text[at..].find(|char| !matches!(char, ' ' | '\t')).unwrap_or(text.len() - at)
}
