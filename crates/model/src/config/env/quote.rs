//! Writing a value.

use super::super::error::EditError;
use super::parse::Quote;

/// Returns a value as it is written: quoted as the line was, or as it has to be.
///
/// What no way of writing makes equal for all readers is refused: python-dotenv follows `${NAME}` even inside single
/// quotes, and a shell follows `$NAME` inside double ones.
pub(super) fn written(key: &str, value: &str, before: Quote) -> Result<String, EditError> {
    let refuse = |problem| Err(EditError::Value { key: key.to_owned(), problem });
    if value.contains("${") {
        return refuse("it contains `${`, which some readers take for another variable");
    }
    if value.contains(|char: char| char.is_control() && !matches!(char, '\n' | '\t')) {
        return refuse("it contains a control character");
    }
    // A line end stands as itself: in quotes all readers take it so, while a shell leaves `\n` as it is.
    let single = !value.contains(['\'']) && !value.contains("\\\\") && !value.ends_with('\\');
    let double = !value.contains(['$', '`']);
    let escapes = value.contains(['"', '\\']);
    let quote = match before {
        Quote::Single if single => Quote::Single,
        Quote::Double if double && !(escapes && single) => Quote::Double,
        Quote::Bare | Quote::Plain if is_plain(value) => Quote::Plain,
        _ if single => Quote::Single,
        _ if double => Quote::Double,
        _ => return refuse("no way of quoting it is read alike by all programs"),
    };
    Ok(match quote {
        Quote::Single => format!("'{value}'"),
        Quote::Double => format!("\"{}\"", escape(value)),
        Quote::Bare | Quote::Plain => value.to_owned(),
    })
}

/// Whether no reader, a shell included, sees anything but text in it.
fn is_plain(value: &str) -> bool {
    value.chars().all(|char| {
        char.is_ascii_alphanumeric()
            || matches!(char, '_' | '.' | '/' | ':' | '@' | '%' | '+' | ',' | '=' | '-')
    })
}

fn escape(value: &str) -> String {
    let mut text = String::new();
    for char in value.chars() {
        match char {
            '"' | '\\' => text.extend(['\\', char]),
            other => text.push(other),
        }
    }
    text
}
