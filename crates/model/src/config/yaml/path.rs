//! Keys of nested maps: `services.web.image`, `ports[0]`.

use super::super::error::EditError;

/// One step into a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Key(String),
    Index(usize),
}

/// Reads a key: names with dots between, `[n]` for an item of a list; `\` takes the meaning from `.`, `[` and `\`.
pub(super) fn parts(key: &str) -> Result<Vec<Part>, EditError> {
    let wrong = |problem| EditError::Key { key: key.to_owned(), problem };
    let mut parts = Vec::new();
    let mut name = String::new();
    let mut chars = key.chars().peekable();
    // Whether a name must come: at the beginning and behind a dot.
    let mut due = true;
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next() {
                Some(next @ ('.' | '[' | '\\')) => name.push(next),
                _ => return Err(wrong("a backslash stands before `.`, `[` or another backslash")),
            },
            '.' => {
                if !name.is_empty() {
                    parts.push(Part::Key(std::mem::take(&mut name)));
                } else if due {
                    return Err(wrong("between two dots there is no name"));
                }
                due = true;
                continue;
            }
            '[' => {
                if !name.is_empty() {
                    parts.push(Part::Key(std::mem::take(&mut name)));
                } else if due && !parts.is_empty() {
                    return Err(wrong("before `[` there is no name"));
                }
                let mut digits = String::new();
                loop {
                    match chars.next() {
                        Some(']') => break,
                        Some(digit) => digits.push(digit),
                        None => return Err(wrong("a `[` is never closed")),
                    }
                }
                let index = digits.parse().map_err(|_| wrong("between `[` and `]` there is no number"))?;
                parts.push(Part::Index(index));
                if !matches!(chars.peek(), None | Some('.' | '[')) {
                    return Err(wrong("behind `]` there is neither a dot nor another `[`"));
                }
                due = false;
                continue;
            }
            other => name.push(other),
        }
        due = false;
    }
    if !name.is_empty() {
        parts.push(Part::Key(name));
    } else if due {
        return Err(wrong("it ends without a name"));
    }
    Ok(parts)
}

/// Writes a name as a part of a key.
pub(super) fn written(name: &str) -> String {
    let mut text = String::new();
    for char in name.chars() {
        if matches!(char, '.' | '[' | '\\') {
            text.push('\\');
        }
        text.push(char);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(key: &str) -> String {
        match parts(key) {
            Ok(parts) => format!("{parts:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_key_is_names_with_dots_between() {
        assert_eq!(shown("a.b-c"), r#"[Key("a"), Key("b-c")]"#);
        assert_eq!(shown(r"a.b\.c.d"), r#"[Key("a"), Key("b.c"), Key("d")]"#);
        assert_eq!(shown("a[0].b[12]"), r#"[Key("a"), Index(0), Key("b"), Index(12)]"#);
        assert_eq!(shown(r"a\[0]"), r#"[Key("a[0]")]"#);
        assert_eq!(shown("st2::version"), r#"[Key("st2::version")]"#);
        for bad in ["", ".a", "a.", "a..b", "a[x]", "a[0]b", r"a\b", "a[0"] {
            assert!(parts(bad).is_err(), "{bad}: {}", shown(bad));
        }
    }
}
