//! What the YAML reader stumbled over, in words that help.

use granit_parser::ErrorKind;

use super::MAX_DEPTH;
use crate::diagnostic::{Diagnostic, Span};

/// Returns the complaint about the first character that YAML does not allow (yaml.org/spec/1.2.2, section 5.1), if any.
///
/// The reader takes NUL for the end of its input; a file must not be cut off without a word.
pub(super) fn unprintable(text: &str) -> Option<Diagnostic> {
    let (start, found) = text.char_indices().find(|(index, char)| match char {
        '\t' | '\n' | '\r' | '\u{85}' => false,
        '\u{feff}' => *index != 0,
        '\u{fffe}' | '\u{ffff}' => true,
        _ => char.is_control(),
    })?;
    Some(
        Diagnostic::error("P001", format!("character U+{:04X} is not allowed in YAML", u32::from(found)))
            .at(Span::new(start, start + found.len_utf8()), "")
            .help("write it as an escape in double quotes, such as \"\\x1b\", or check that this is the right file"),
    )
}

pub(super) fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::error("P001", format!("lists and maps nest deeper than {MAX_DEPTH} levels"))
        .at(Span::new(span.start, span.start + 1), "")
        .help("move the inner part into a file of its own")
}

/// Returns the complaint about a syntax error at a byte offset.
pub(super) fn explain(kind: &ErrorKind, text: &str, offset: usize) -> Diagnostic {
    let span = place(text, offset);
    if *kind == ErrorKind::RecursionLimitExceeded {
        return too_deep(span);
    }
    if *kind == ErrorKind::DirectiveDisallowed {
        return Diagnostic::error("P003", "directives such as `%YAML` are not part of the language")
            .at(span, "")
            .help("remove the line");
    }
    let (message, help) = wording(kind);
    let diagnostic = Diagnostic::error("P001", message).at(span, "");
    if help.is_empty() { diagnostic } else { diagnostic.help(help) }
}

/// Returns one character at the offset; at the end of the text, the last that can be seen.
fn place(text: &str, offset: usize) -> Span {
    let start = text.floor_char_boundary(offset);
    match text[start..].chars().next() {
        Some(char) => Span::new(start, start + char.len_utf8()),
        None => {
            let seen = text.trim_end();
            let last = seen.chars().next_back().map_or(0, char::len_utf8);
            Span::new(seen.len() - last, seen.len())
        }
    }
}

/// Returns message and help; where we have no better words, the reader's own.
fn wording(kind: &ErrorKind) -> (String, &'static str) {
    const COLON: &str =
        "quote text that contains `: `, line up the keys of one map, and close the brackets above";
    const INDENT: &str = "keys of one map stand in the same column";
    let (message, help) = match kind {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart => ("a tab cannot indent", "indent with spaces"),
        ErrorKind::TabInPlainScalar => {
            ("a tab in text without quotes", "use spaces, or put the text in quotes")
        }
        ErrorKind::UnclosedQuotedScalar => (
            "the quote that opens here is never closed",
            "add the closing quote; inside single quotes, a quote is written twice",
        ),
        ErrorKind::UnclosedFlowCollection { open } => {
            return (
                format!("the `{open}` that opens here is never closed"),
                "add the closing bracket; text that begins with a bracket needs quotes",
            );
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            return (format!("`{open}` is closed by `{close}`"), "close each bracket with its own kind");
        }
        ErrorKind::MisplacedFlowCollectionEnd => {
            ("a closing bracket that nothing opened", "remove it, or put the text in quotes")
        }
        ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofImplicitFlowMapping => {
            ("the file ends inside brackets", "add the closing bracket")
        }
        ErrorKind::ExpectedFlowMappingSeparator => (
            "expected `,` or `}`",
            "entries in `{…}` are separated by commas; text that contains `,` or `: ` needs quotes",
        ),
        ErrorKind::ExpectedFlowSequenceSeparator => (
            "expected `,` or `]`",
            "items in `[…]` are separated by commas; text that contains a comma needs quotes",
        ),
        ErrorKind::MappingValueNotAllowed
        | ErrorKind::MappingKeyNotAllowed
        | ErrorKind::InvalidColonPlacement => ("a `:` where no key can be", COLON),
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            ("a line without `:` where a key must be", COLON)
        }
        ErrorKind::InvalidMappingValueWhitespace => ("a `:` with a tab after it", "write a space after `:`"),
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::InvalidIndentation => {
            ("this does not line up with the keys above it", INDENT)
        }
        ErrorKind::ExpectedBlockSequenceEntry | ErrorKind::BlockSequenceEntryNotAllowed => (
            "a list item is not possible here",
            "items of one list stand in the same column, each after `- `",
        ),
        ErrorKind::BlockEntryInFlowCollection => {
            ("`- ` inside brackets", "inside `[…]` items are separated by commas")
        }
        ErrorKind::InvalidFlowScalarIndent => {
            ("this must be indented deeper than the line that opens the bracket", INDENT)
        }
        ErrorKind::InvalidQuotedScalarIndent => (
            "the text in quotes goes on in a line that is not indented",
            "close the quote, or indent the line deeper than its key",
        ),
        ErrorKind::InvalidTrailingSingleQuotedScalar | ErrorKind::InvalidTrailingDoubleQuotedScalar => {
            ("text after the closing quote", "quote the whole value, or separate items with a comma")
        }
        ErrorKind::UnknownQuotedScalarEscape => (
            "an escape that YAML does not know",
            "in double quotes a backslash is written `\\\\`; single quotes leave it alone",
        ),
        ErrorKind::CommentNotSeparated => {
            ("a `#` directly after a value", "put a space before a comment, or quotes around the text")
        }
        ErrorKind::CommentInterceptedScalar => (
            "a comment inside text that goes over several lines",
            "move the comment above, or put the text in quotes",
        ),
        ErrorKind::UnexpectedCharacter { character } => {
            return (
                format!("text cannot begin with `{}`", character.escape_debug()),
                "put the text in quotes",
            );
        }
        ErrorKind::BomInsideDocument => {
            ("a byte order mark inside the text", "remove the invisible character U+FEFF")
        }
        _ => return (kind.to_string().replace('\n', " "), ""),
    };
    (message.to_owned(), help)
}
