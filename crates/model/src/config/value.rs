//! Values as an edit wants them.

use serde::{Deserialize, Serialize};

/// A value to be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// A number, `true`, `false` or `null`, with its digits as written: `1.10` stays `1.10`.
    Plain(String),
    /// A text; it is written so that no reader takes it for anything else.
    Text(String),
    /// A list.
    List(Vec<Wanted>),
    /// A map, in its order.
    Map(Vec<(String, Wanted)>),
}

impl Wanted {
    /// Returns the value of a scalar of a playbook: without quotes, what reads as something else than text is that.
    pub fn scalar(text: &str, plain: bool) -> Wanted {
        if plain && is_typed(text) { Wanted::Plain(text.to_owned()) } else { Wanted::Text(text.to_owned()) }
    }

    /// Returns the text of a scalar, whatever its type.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Wanted::Plain(text) | Wanted::Text(text) => Some(text),
            Wanted::List(_) | Wanted::Map(_) => None,
        }
    }
}

/// Whether a scalar without quotes is null, a boolean or a number by the core schema (yaml.org/spec/1.2.2, 10.3).
fn is_typed(text: &str) -> bool {
    is_null(text)
        || matches!(text, "true" | "false" | "True" | "False" | "TRUE" | "FALSE")
        || is_decimal(text)
}

pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// An integer or a float in decimal digits.
fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (number, exponent) = match digits.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (digits, None),
    };
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    all_digits(whole)
        && all_digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && all_digits(exponent))
}

/// Whether a scalar without quotes is text to every reader, of YAML 1.1 and of 1.2.
///
/// YAML 1.1 (yaml.org/type) takes more for booleans, numbers and dates: `yes`, `0o7`, `1_000`, `12:30`, `2026-11-20`.
/// What begins like a number is not trusted at all, unless a letter that no number has shows that it is none.
pub fn reads_as_text(text: &str) -> bool {
    const WORDS: [&str; 14] =
        ["y", "n", "yes", "no", "on", "off", "true", "false", "null", ".inf", ".nan", "~", "=", "<<"];
    if text.is_empty() || WORDS.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return false;
    }
    let begins = |text: &str| text.starts_with(|char: char| char.is_ascii_digit());
    let bare = text.strip_prefix(['-', '+']).unwrap_or(text);
    let numeric = begins(bare) || bare.strip_prefix('.').is_some_and(|rest| begins(rest) || rest.is_empty());
    let signed_word = bare.len() < text.len() && bare.eq_ignore_ascii_case(".inf");
    if signed_word {
        return false;
    }
    !numeric || bare.chars().any(|char| !may_be_in_a_number(char)) && !looks_like_a_date(text)
}

fn may_be_in_a_number(char: char) -> bool {
    char.is_ascii_hexdigit()
        || matches!(char, '.' | '_' | ':' | '+' | '-' | 'x' | 'X' | 'o' | 'O' | 't' | 'T' | 'Z' | 'z' | ' ')
}

fn looks_like_a_date(text: &str) -> bool {
    let shape = text.bytes().take(5).map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
    shape.eq(*b"0000-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_any_reader_takes_for_something_else_is_no_text() {
        for word in
            ["yes", "No", "ON", "y", "null", "~", "1", "-1", "1.5", ".5", "1e3", "0x1f", "0o17", "1_000"]
        {
            assert!(!reads_as_text(word), "{word}");
        }
        for word in [
            "12:30",
            "190:20:30",
            "2026-11-20",
            "2026-11-20T10:00:00Z",
            ".inf",
            "-.INF",
            ".nan",
            "",
            "<<",
            "=",
        ] {
            assert!(!reads_as_text(word), "{word}");
        }
        for word in ["yess", "1.2.3-rc1", "12 items", "8080/tcp", "v1", "a:b", "10.0.0.1/8", "-x", ".env"] {
            assert!(reads_as_text(word), "{word}");
        }
    }

    #[test]
    fn a_number_keeps_its_digits() {
        assert_eq!(Wanted::scalar("1.10", true), Wanted::Plain("1.10".into()));
        assert_eq!(Wanted::scalar("1.10", false), Wanted::Text("1.10".into()));
        assert_eq!(Wanted::scalar("yes", true), Wanted::Text("yes".into()));
        assert_eq!(Wanted::scalar("1.2.3", true), Wanted::Text("1.2.3".into()));
    }
}
