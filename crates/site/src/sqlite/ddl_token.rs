//! The tokenizer: every byte of the text belongs to exactly one token.

use std::ops::Range;

/// Why a piece of SQL cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DdlError {
    /// A literal, a quoted name or an expression in brackets has no end.
    #[error("read SQL: {what} that begins on line {line} has no end")]
    Unterminated {
        /// What was begun.
        what: &'static str,
        /// The line where it begins, from 1.
        line: usize,
    },
    /// A byte that SQL has no use for.
    #[error("read SQL: {what} on line {line}")]
    Illegal {
        /// What was found.
        what: String,
        /// The line where it stands, from 1.
        line: usize,
    },
    /// A `CREATE` statement is not of the shape that was expected.
    #[error("read the definition: {expected} expected {place}")]
    Shape {
        /// What should stand there.
        expected: &'static str,
        /// Where, as "at `text`" or "at the end".
        place: String,
    },
    /// An edit names something that the definition has not.
    #[error("edit the definition: it has no {what}")]
    Missing {
        /// What was looked for.
        what: String,
    },
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// White space.
    Space,
    /// A comment of either style, with its line end not included.
    Comment,
    /// A bare name or keyword.
    Word,
    /// A name in double quotes, backticks or square brackets.
    Quoted,
    /// A literal in single quotes.
    Text,
    /// A literal `x'…'`.
    Blob,
    /// A numeric literal.
    Number,
    /// `?`, `?1`, `:name`, `@name` or `$name`.
    Parameter,
    /// Any other character, one a token.
    Sign,
}

/// One token and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Its bytes in the text.
    pub span: Range<usize>,
}

impl Token {
    /// Returns whether the token means something, so is neither space nor comment.
    pub fn is_significant(&self) -> bool {
        !matches!(self.kind, TokenKind::Space | TokenKind::Comment)
    }

    /// Returns the token's text.
    pub fn text<'a>(&self, sql: &'a str) -> &'a str {
        &sql[self.span.clone()]
    }

    /// Returns whether it is the bare word `word`, in any case.
    pub fn is_word(&self, sql: &str, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text(sql).eq_ignore_ascii_case(word)
    }

    /// Returns whether it is the sign `sign`.
    pub fn is_sign(&self, sql: &str, sign: char) -> bool {
        self.kind == TokenKind::Sign && self.text(sql).starts_with(sign)
    }
}

/// Returns `name` as an identifier that SQLite reads as exactly this name.
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Returns `text` as a string literal. The text must hold no NUL: SQLite ends a statement there.
pub fn quote_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Returns the name or the text that a token stands for: quotes taken off, doubled quotes made single.
pub fn unquote(token: &str) -> String {
    let Some(first) = token.chars().next() else { return String::new() };
    let inner = || token.get(1..token.len().saturating_sub(1)).unwrap_or_default();
    match first {
        '[' => inner().to_owned(),
        '"' | '`' | '\'' => inner().replace(&format!("{first}{first}"), &first.to_string()),
        _ => token.to_owned(),
    }
}

/// Returns the line, from 1, of byte `at`.
pub(super) fn line_of(sql: &str, at: usize) -> usize {
    sql.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

/// Returns whether a byte may stand inside a bare word (sqlite3CtypeMap: letters, digits, `_`, `$`, everything not ASCII).
fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// Splits `sql` into tokens that cover all of it.
pub fn tokenize(sql: &str) -> Result<Vec<Token>, DdlError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < sql.len() {
        let (kind, length) = next(sql, at)?;
        tokens.push(Token { kind, span: at..at + length });
        at += length;
    }
    Ok(tokens)
}

/// Returns the kind and the length of the token at `at`.
fn next(sql: &str, at: usize) -> Result<(TokenKind, usize), DdlError> {
    let rest = &sql.as_bytes()[at..];
    let second = rest.get(1).copied().unwrap_or(0);
    let run = |from: usize, keep: &dyn Fn(u8) -> bool| {
        from + rest[from..].iter().take_while(|byte| keep(**byte)).count()
    };
    Ok(match rest[0] {
        0 => return Err(DdlError::Illegal { what: "a NUL byte".into(), line: line_of(sql, at) }),
        b if is_space(b) => (TokenKind::Space, run(0, &is_space)),
        b'-' if second == b'-' => (TokenKind::Comment, run(2, &|byte| byte != b'\n')),
        // A block comment without an end reaches to the end of the text (sqlite.org/lang_comment.html).
        b'/' if second == b'*' => {
            (TokenKind::Comment, sql[at + 2..].find("*/").map_or(rest.len(), |found| found + 4))
        }
        b'\'' => (TokenKind::Text, quoted(sql, at, b'\'', "a text")?),
        b'"' => (TokenKind::Quoted, quoted(sql, at, b'"', "a quoted name")?),
        b'`' => (TokenKind::Quoted, quoted(sql, at, b'`', "a quoted name")?),
        b'[' => match sql[at..].find(']') {
            Some(found) => (TokenKind::Quoted, found + 1),
            None => {
                return Err(DdlError::Unterminated { what: "a quoted name", line: line_of(sql, at) });
            }
        },
        b'x' | b'X' if second == b'\'' => (TokenKind::Blob, 1 + quoted(sql, at + 1, b'\'', "a blob")?),
        b'0'..=b'9' => (TokenKind::Number, number(rest)),
        b'.' if second.is_ascii_digit() => (TokenKind::Number, number(rest)),
        b'?' => (TokenKind::Parameter, run(1, &|byte| byte.is_ascii_digit())),
        b':' | b'@' | b'$' if is_word_byte(second) => (TokenKind::Parameter, run(1, &is_word_byte)),
        b if is_word_byte(b) => (TokenKind::Word, run(0, &is_word_byte)),
        b => (
            TokenKind::Sign,
            if b.is_ascii() { 1 } else { sql[at..].chars().next().map_or(1, char::len_utf8) },
        ),
    })
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c)
}

/// Returns the length of a literal in which the quote stands for itself when doubled.
fn quoted(sql: &str, at: usize, quote: u8, what: &'static str) -> Result<usize, DdlError> {
    let bytes = &sql.as_bytes()[at..];
    let mut here = 1;
    while here < bytes.len() {
        if bytes[here] == quote {
            if bytes.get(here + 1) != Some(&quote) {
                return Ok(here + 1);
            }
            here += 1;
        }
        here += 1;
    }
    Err(DdlError::Unterminated { what, line: line_of(sql, at) })
}

/// Returns the length of a number; the sign of an exponent belongs to it.
fn number(bytes: &[u8]) -> usize {
    let hexadecimal = bytes[0] == b'0' && matches!(bytes.get(1), Some(b'x' | b'X'));
    let mut here = 0;
    while let Some(&byte) = bytes.get(here) {
        let exponent = !hexadecimal && here > 0 && matches!(bytes[here - 1], b'e' | b'E');
        if !(is_word_byte(byte) || byte == b'.' || (exponent && matches!(byte, b'+' | b'-'))) {
            break;
        }
        here += 1;
    }
    here
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(sql: &str) -> Vec<(TokenKind, &str)> {
        tokenize(sql).unwrap().iter().filter(|t| t.is_significant()).map(|t| (t.kind, t.text(sql))).collect()
    }

    #[test]
    fn all_quote_styles_and_literals_are_single_tokens() {
        let sql = r#"a "b""c" `d``e` [f"] 'g''h' x'00' 1.5e-3 0xff ?1 :n @n $n -- c;
            /* ; */ ;"#;
        let texts: Vec<&str> = kinds(sql).into_iter().map(|(_, text)| text).collect();
        assert_eq!(
            texts,
            [
                "a",
                "\"b\"\"c\"",
                "`d``e`",
                "[f\"]",
                "'g''h'",
                "x'00'",
                "1.5e-3",
                "0xff",
                "?1",
                ":n",
                "@n",
                "$n",
                ";"
            ]
        );
    }

    #[test]
    fn what_has_no_end_is_an_error_with_its_line() {
        assert_eq!(tokenize("a\n'b"), Err(DdlError::Unterminated { what: "a text", line: 2 }));
        assert!(tokenize("[a").is_err());
        assert!(tokenize("a\0b").is_err());
        assert!(tokenize("/* no end").is_ok());
    }

    #[test]
    fn quoting_survives_the_way_back() {
        for name in ["", "a", "O'Brien \"lab\"; DROP TABLE x;--", "]", "ünï", "`", "select"] {
            assert_eq!(unquote(&quote_identifier(name)), name);
            assert_eq!(unquote(&quote_text(name)), name);
        }
    }

    proptest::proptest! {
        #[test]
        fn tokens_cover_any_text(sql in "\\PC*") {
            if let Ok(tokens) = tokenize(&sql) {
                let again: String = tokens.iter().map(|token| token.text(&sql)).collect();
                assert_eq!(again, sql);
            }
        }
    }
}
