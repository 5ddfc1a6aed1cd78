//! SQL of a playbook: values are bound as parameters; only a declared identifier is put in, quoted.

use super::Compile;
use crate::diagnostic::{Diagnostic, Span};
use crate::text::{Part, Template};
use serde_json::Value;
use std::collections::BTreeMap;

impl Compile<'_> {
    /// Returns the text of a query: inline, or a file of the playbook. `${x}` may stand where a name stands, if `x` is
    /// declared as an identifier; it becomes one quoted identifier.
    pub fn sql(&mut self, text: &str, span: Span) -> Option<String> {
        let is_file = text.ends_with(".sql") && !text.contains(char::is_whitespace);
        let sql = if is_file { self.file(text, span)? } else { text.to_owned() };
        let mut whole = String::new();
        let mut rest = sql.as_str();
        while let Some(at) = rest.find("${") {
            let Some(end) = rest[at..].find('}') else { return self.program_text(&rest[at + 2..], span) };
            let (reference, name) = (&rest[at..=at + end], &rest[at + 2..at + end]);
            let inside_quotes = !stands_free(&sql, sql.len() - rest.len() + at);
            let template = Template::parse(reference).ok();
            let reference = template.as_ref().and_then(|template| match template.parts() {
                [Part::Ref(reference)] => Some(reference.clone()),
                _ => None,
            });
            let Some(mut reference) = reference.filter(|_| !inside_quotes) else {
                return self.program_text(name, span);
            };
            reference.span = span;
            let value = self.value(&reference)?;
            match value.value {
                Some(Value::String(value_text)) if value.identifier => {
                    whole.push_str(&rest[..at]);
                    whole.push_str(&format!("\"{}\"", value_text.replace('"', "\"\"")));
                }
                None => return None,
                _ => return self.program_text(name, span),
            }
            rest = &rest[at + end + 1..];
        }
        whole.push_str(rest);
        Some(whole)
    }

    fn program_text<T>(&mut self, name: &str, span: Span) -> Option<T> {
        let parameter = name.replace('.', "_");
        self.out.push(
            Diagnostic::error("P012", "a reference inside SQL would be program text")
                .at(span, format!("`${{{name}}}` is in this query"))
                .help(format!("bind it as a parameter: write `:{parameter}`")),
        );
        None
    }

    /// Returns the inputs as SQL parameters: every text and number, under its own name; a field of a loop's thing is
    /// `:NAME_FIELD`.
    pub fn parameters(&self, sql: &str) -> BTreeMap<String, Value> {
        let inputs =
            self.inputs.iter().filter_map(|(name, input)| Some((name.clone(), input.value.clone()?)));
        let fields = self.items.iter().flat_map(|(name, item)| {
            item.fields.iter().map(move |(field, value)| (format!("{name}_{field}"), value.clone()))
        });
        inputs
            .filter(|(_, value)| value.is_string() || value.is_number())
            .chain(fields)
            .filter(|(name, _)| sql.contains(&format!(":{name}")))
            .collect()
    }
}

/// Returns whether a byte of a script stands outside of strings, quoted names and comments.
fn stands_free(sql: &str, at: usize) -> bool {
    let bytes = sql.as_bytes();
    let mut here = 0;
    while here < at {
        let rest = &sql[here..];
        let end = match bytes[here] {
            b'-' if rest.starts_with("--") => rest.find('\n').map(|end| end + 1),
            b'/' if rest.starts_with("/*") => comment_end(rest),
            b'\'' => {
                let word = |at: usize| bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_';
                let escapes =
                    here > 0 && matches!(bytes[here - 1], b'e' | b'E') && (here == 1 || !word(here - 2));
                quote_end(rest, b'\'', escapes)
            }
            quote @ (b'"' | b'`') => quote_end(rest, quote, false),
            b'$' => match dollar_tag(rest) {
                Some(tag) => rest[tag.len()..].find(tag).map(|end| end + 2 * tag.len()),
                None => Some(1),
            },
            _ => Some(1),
        };
        // What is never closed holds everything behind it.
        let Some(end) = end else { return false };
        here += end;
    }
    here == at
}

/// Comments nest in PostgreSQL and not in SQLite; a reference between two ends is taken to be inside by either.
fn comment_end(rest: &str) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    let bytes = rest.as_bytes();
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

fn quote_end(rest: &str, quote: u8, escapes: bool) -> Option<usize> {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if escapes => at += 2,
            // A doubled quote is one character of the text; taken as an end and a beginning, it leads to the same place.
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

/// `$$` or `$name$`, but not `${`.
fn dollar_tag(rest: &str) -> Option<&str> {
    let end = rest[1..].find('$')?;
    let name = &rest[1..=end];
    let starts = !name.starts_with(|c: char| c.is_ascii_digit());
    (starts && name.chars().all(|c| c.is_alphanumeric() || c == '_')).then(|| &rest[..end + 2])
}

#[cfg(test)]
mod tests {
    use super::stands_free;

    #[test]
    fn a_reference_stands_free_only_outside_of_quotes_and_comments() {
        for free in [
            "SELECT * FROM ${x}.t",
            "SELECT 'a''b', ${x}",
            "SELECT $1, ${x}",
            "SELECT $$ ' $$, ${x}",
            "/* a /* b */ ' */ ${x}",
            "-- '\n${x}",
            "SELECT E'\\'', ${x}",
        ] {
            assert!(stands_free(free, free.find("${").unwrap()), "{free}");
        }
        for held in [
            "SELECT '${x}'",
            "SELECT 'a''${x}'",
            "SELECT \"${x}\"",
            "SELECT $q$ ${x} $q$",
            "DO $$ ${x} $$",
            "/* ${x} */",
            "-- ${x}",
            "SELECT E'\\' ${x}'",
            "SELECT ' ${x}",
        ] {
            assert!(!stands_free(held, held.find("${").unwrap()), "{held}");
        }
    }
}
