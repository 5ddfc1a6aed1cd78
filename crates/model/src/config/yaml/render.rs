//! Writing values.

use super::super::value::{Wanted, reads_as_text};
use granit_parser::ScalarStyle;

/// Returns a value in one line, quoted as the value before it was, or as it has to be.
pub(super) fn inline(value: &Wanted, before: Option<ScalarStyle>) -> String {
    match value {
        Wanted::Plain(text) if text.is_empty() => "null".to_owned(),
        Wanted::Plain(text) => text.clone(),
        Wanted::Text(text) => scalar(text, before),
        Wanted::List(items) => {
            let items: Vec<_> = items.iter().map(|item| inline(item, None)).collect();
            format!("[{}]", items.join(", "))
        }
        Wanted::Map(entries) => {
            let pair =
                |(key, value): &(String, Wanted)| format!("{}: {}", scalar(key, None), inline(value, None));
            format!("{{{}}}", entries.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
    }
}

/// Returns a text, quoted as the text before it was, or as it has to be.
pub(super) fn scalar(text: &str, before: Option<ScalarStyle>) -> String {
    let single = !text.contains(|char: char| char.is_control() || !is_printable(char));
    match before {
        Some(ScalarStyle::SingleQuoted) if single => format!("'{}'", text.replace('\'', "''")),
        Some(ScalarStyle::DoubleQuoted) => double(text),
        _ if is_plain(text) => text.to_owned(),
        _ if single && text.contains(['"', '\\']) => format!("'{}'", text.replace('\'', "''")),
        _ => double(text),
    }
}

/// Returns the lines of a list or map that has something in it, each with its indent; `None` for anything else.
pub(super) fn block(value: &Wanted, indent: usize, step: usize) -> Option<Vec<String>> {
    let spaces = " ".repeat(indent);
    let mut lines = Vec::new();
    match value {
        Wanted::Map(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                lines.extend(entry(&scalar(key, None), value, indent, step));
            }
        }
        Wanted::List(items) if !items.is_empty() => {
            lines.extend(items.iter().map(|item| format!("{spaces}- {}", inline(item, None))));
        }
        _ => return None,
    }
    Some(lines)
}

/// Returns the lines of a key with its value.
pub(super) fn entry(key: &str, value: &Wanted, indent: usize, step: usize) -> Vec<String> {
    let spaces = " ".repeat(indent);
    match block(value, indent + step, step) {
        Some(below) => [vec![format!("{spaces}{key}:")], below].concat(),
        None => vec![format!("{spaces}{key}: {}", inline(value, None))],
    }
}

/// Whether a text can stand without quotes anywhere, brackets included, and is a text to every reader.
fn is_plain(text: &str) -> bool {
    let begins =
        text.starts_with(|char: char| char.is_alphanumeric() || matches!(char, '/' | '_' | '.' | '(' | '$'));
    let ends = !text.ends_with([':', ' ', '\t']);
    let inside = |char: char| {
        is_printable(char) && !matches!(char, ',' | '[' | ']' | '{' | '}' | '"' | '\t' | '\n' | '\r')
    };
    begins
        && ends
        && text.chars().all(inside)
        && !text.contains(": ")
        && !text.contains(" #")
        && reads_as_text(text)
}

/// What YAML lets stand as itself (yaml.org/spec/1.2.2, 5.1), less what some readers take for a line end or a mark.
fn is_printable(char: char) -> bool {
    !char.is_control() && !matches!(char, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

fn double(text: &str) -> String {
    let mut written = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => written.extend(['\\', char]),
            '\n' => written.push_str("\\n"),
            '\r' => written.push_str("\\r"),
            '\t' => written.push_str("\\t"),
            other if is_printable(other) => written.push(other),
            other => written.push_str(&format!("\\u{:04x}", u32::from(other))),
        }
    }
    written.push('"');
    written
}
