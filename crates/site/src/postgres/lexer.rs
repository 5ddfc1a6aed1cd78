//! SQL text as the server's own lexer sees it: what is a word, a text, a comment, and what separates statements.
//!
//! The rules are those of `src/backend/parser/scan.l` and, for where a statement ends, of psql (`psqlscan.l`).

use std::ops::Range;

/// Why a text cannot be taken apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LexError {
    /// Something that was opened is never closed.
    #[error("read line {line} of the SQL: the {what} that begins there does not end")]
    Open {
        /// The line where it begins, from 1.
        line: usize,
        /// What it is.
        what: &'static str,
    },
    /// A character that SQL does not have.
    #[error("read line {line} of the SQL: {what}")]
    Stray {
        /// The line, from 1.
        line: usize,
        /// What stands there.
        what: &'static str,
    },
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A keyword or an unquoted name.
    Word,
    /// A name in double quotes.
    Quoted,
    /// A text in single quotes, with its prefix.
    Text,
    /// A text between dollar quotes.
    Dollar,
    /// `:name`, a value of ours.
    Parameter,
    /// `$1`, a value that nobody binds.
    Positional,
    /// A number, an operator, a bracket, a semicolon.
    Sign,
}

/// One token; comments and blanks are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where it stands.
    pub span: Range<usize>,
}

impl Token {
    /// The text of the token.
    pub fn text<'a>(&self, sql: &'a str) -> &'a str {
        &sql[self.span.clone()]
    }

    /// Says whether it is this keyword, in any case.
    pub fn is_word(&self, sql: &str, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text(sql).eq_ignore_ascii_case(word)
    }

    /// Says whether it is this sign.
    pub fn is_sign(&self, sql: &str, sign: &str) -> bool {
        self.kind == TokenKind::Sign && self.text(sql) == sign
    }
}

/// Takes a text apart.
pub fn tokenize(sql: &str) -> Result<Vec<Token>, LexError> {
    let (bytes, mut at, mut tokens) = (sql.as_bytes(), 0, Vec::new());
    while at < bytes.len() {
        let start = at;
        let next = |offset: usize| bytes.get(start + offset).copied().unwrap_or(0);
        let kind = match bytes[at] {
            byte if byte.is_ascii_whitespace() || byte == 0x0b => {
                at += 1;
                continue;
            }
            b'-' if next(1) == b'-' => {
                at = sql[at..].find(['\n', '\r']).map_or(sql.len(), |end| at + end);
                continue;
            }
            b'/' if next(1) == b'*' => {
                at = comment(sql, at)?;
                continue;
            }
            b'\'' => (TokenKind::Text, text(sql, at, at, false)?),
            b'"' => (TokenKind::Quoted, quoted(sql, at)?),
            b'E' | b'e' if next(1) == b'\'' => (TokenKind::Text, text(sql, at, at + 1, true)?),
            b'B' | b'b' | b'X' | b'x' | b'N' | b'n' if next(1) == b'\'' => {
                (TokenKind::Text, text(sql, at, at + 1, false)?)
            }
            b'U' | b'u' if next(1) == b'&' && next(2) == b'\'' => {
                (TokenKind::Text, text(sql, at, at + 2, false)?)
            }
            b'U' | b'u' if next(1) == b'&' && next(2) == b'"' => (TokenKind::Quoted, quoted(sql, at + 2)?),
            byte if starts_name(byte) => (TokenKind::Word, name_end(bytes, at + 1)),
            b'$' if next(1).is_ascii_digit() => (TokenKind::Positional, digits_end(bytes, at + 1)),
            b'$' => (TokenKind::Dollar, dollar(sql, at)?),
            b':' if next(1) == b':' || next(1) == b'=' => (TokenKind::Sign, at + 2),
            b':' if starts_name(next(1)) => (TokenKind::Parameter, name_end(bytes, at + 2)),
            byte if byte.is_ascii_digit() => (TokenKind::Sign, number_end(bytes, at)),
            b'\\' => {
                return Err(stray(sql, at, "a backslash outside of quotes; commands of psql are not SQL"));
            }
            0 => return Err(stray(sql, at, "a NUL byte")),
            _ => (TokenKind::Sign, at + 1),
        };
        at = kind.1;
        tokens.push(Token { kind: kind.0, span: start..at });
    }
    Ok(tokens)
}

/// Returns the line of a place, from 1.
pub fn line_of(sql: &str, at: usize) -> usize {
    sql[..at].bytes().filter(|byte| *byte == b'\n').count() + 1
}

fn stray(sql: &str, at: usize, what: &'static str) -> LexError {
    LexError::Stray { line: line_of(sql, at), what }
}

fn open(sql: &str, at: usize, what: &'static str) -> LexError {
    LexError::Open { line: line_of(sql, at), what }
}

fn starts_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn name_end(bytes: &[u8], from: usize) -> usize {
    let inside = |byte: &u8| starts_name(*byte) || byte.is_ascii_digit() || *byte == b'$';
    from + bytes[from..].iter().take_while(|byte| inside(byte)).count()
}

fn digits_end(bytes: &[u8], from: usize) -> usize {
    from + bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// A number with what is stuck to it; which of these the server takes is its own affair.
fn number_end(bytes: &[u8], from: usize) -> usize {
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_');
    from + bytes[from..].iter().take_while(|byte| inside(byte)).count()
}

/// Comments nest.
fn comment(sql: &str, start: usize) -> Result<usize, LexError> {
    let (bytes, mut at, mut depth) = (sql.as_bytes(), start, 0);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return Ok(at);
        }
    }
    Err(open(sql, start, "comment"))
}

fn text(sql: &str, start: usize, quote: usize, escapes: bool) -> Result<usize, LexError> {
    let (bytes, mut at) = (sql.as_bytes(), quote + 1);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if escapes => at += 2,
            b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 2,
            b'\'' => return Ok(at + 1),
            _ => at += 1,
        }
    }
    Err(open(sql, start, "text"))
}

fn quoted(sql: &str, quote: usize) -> Result<usize, LexError> {
    let (bytes, mut at) = (sql.as_bytes(), quote + 1);
    while at < bytes.len() {
        match bytes[at] {
            b'"' if bytes.get(at + 1) == Some(&b'"') => at += 2,
            b'"' => return Ok(at + 1),
            _ => at += 1,
        }
    }
    Err(open(sql, quote, "quoted name"))
}

fn dollar(sql: &str, start: usize) -> Result<usize, LexError> {
    let bytes = sql.as_bytes();
    let inside = |byte: &u8| starts_name(*byte) || byte.is_ascii_digit();
    let end = start + 1 + bytes[start + 1..].iter().take_while(|byte| inside(byte)).count();
    if bytes.get(end) != Some(&b'$') {
        return Err(stray(sql, start, "a dollar sign that begins no text"));
    }
    let tag = &sql[start..=end];
    let body = &sql[end + 1..];
    body.find(tag).map(|at| end + 1 + at + tag.len()).ok_or_else(|| open(sql, start, "dollar-quoted text"))
}

/// One statement of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its tokens, at least one, without the semicolon.
    pub tokens: Vec<Token>,
    /// Where it stands in the script.
    pub span: Range<usize>,
    /// The line of its first word, from 1.
    pub line: usize,
}

/// Splits a script at the semicolons that end statements; those in brackets (CREATE RULE) and between BEGIN ATOMIC and
/// its END do not.
pub fn split(sql: &str) -> Result<Vec<Statement>, LexError> {
    let (mut statements, mut current) = (Vec::new(), Vec::new());
    let (mut brackets, mut blocks) = (0_usize, 0_usize);
    for token in tokenize(sql)? {
        match token.text(sql) {
            "(" if token.kind == TokenKind::Sign => brackets += 1,
            ")" if token.kind == TokenKind::Sign => brackets = brackets.saturating_sub(1),
            _ => {}
        }
        if token.kind == TokenKind::Word && makes_routine(sql, &current) {
            // Inside an ATOMIC body only CASE has an END of its own.
            if token.is_word(sql, "BEGIN") || blocks > 0 && token.is_word(sql, "CASE") {
                blocks += 1;
            } else if token.is_word(sql, "END") {
                blocks = blocks.saturating_sub(1);
            }
        }
        if token.is_sign(sql, ";") && brackets == 0 && blocks == 0 {
            statements.extend(statement(sql, std::mem::take(&mut current)));
        } else {
            current.push(token);
        }
    }
    statements.extend(statement(sql, current));
    Ok(statements)
}

fn statement(sql: &str, tokens: Vec<Token>) -> Option<Statement> {
    let span = tokens.first()?.span.start..tokens.last()?.span.end;
    Some(Statement { line: line_of(sql, span.start), span, tokens })
}

fn makes_routine(sql: &str, tokens: &[Token]) -> bool {
    let mut words = tokens.iter().take(4).map(|token| token.text(sql).to_ascii_uppercase());
    words.next().as_deref() == Some("CREATE") && words.any(|word| word == "FUNCTION" || word == "PROCEDURE")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sql: &str) -> Vec<&str> {
        split(sql).unwrap().into_iter().map(|statement| &sql[statement.span]).collect()
    }

    #[test]
    fn semicolons_in_texts_comments_brackets_and_bodies_do_not_split() {
        assert_eq!(
            texts("SELECT ';' ; -- ;\n SELECT E'\\';' /* ; /* ; */ ; */ ; ; SELECT \"a;\"\"\""),
            ["SELECT ';'", "SELECT E'\\';'", "SELECT \"a;\"\"\""]
        );
        assert_eq!(texts("DO $a$ BEGIN; $$ ; $$ END $a$; SELECT $$;$$, a$b, U&'\\;' ,$ü$;$ü$").len(), 2);
        assert_eq!(
            texts("CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM a; DELETE FROM b); SELECT 1").len(),
            2
        );
        let body = "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; \
                    SELECT 3";
        assert_eq!(texts(body).len(), 2);
        assert_eq!(texts("-- nothing\n/* at all */;"), Vec::<&str>::new());
    }

    #[test]
    fn a_backslash_escapes_in_e_texts_only() {
        assert_eq!(texts("SELECT '\\'; SELECT 2").len(), 2);
        assert_eq!(texts("SELECT e'\\'; SELECT 2'").len(), 1);
        // A name that ends in e is no prefix.
        assert_eq!(texts("SELECT name'\\'; SELECT 2").len(), 2);
    }

    #[test]
    fn parameters_are_told_from_casts_assignments_and_slices() {
        let sql = "SELECT :a, x::int, ':b', f(n := 1), y[1:2], $$:c$$, :d_1 -- :e";
        let found: Vec<_> = tokenize(sql).unwrap();
        let found: Vec<_> = found
            .iter()
            .filter(|token| token.kind == TokenKind::Parameter)
            .map(|token| token.text(sql))
            .collect();
        assert_eq!(found, [":a", ":d_1"]);
        assert_eq!(tokenize("$1").unwrap()[0].kind, TokenKind::Positional);
    }

    #[test]
    fn what_does_not_end_is_named_with_its_line() {
        for (sql, what) in [
            ("\n'open", "line 2 of the SQL: the text"),
            ("E'open\\'", "the text"),
            ("\"open", "quoted name"),
            ("/* /* */", "comment"),
            ("$a$ $b$", "dollar-quoted"),
            ("$a", "dollar sign"),
            ("\n\n\\copy t", "line 3 of the SQL: a backslash"),
            ("SELECT 1\0", "NUL"),
        ] {
            let error = split(sql).unwrap_err().to_string();
            assert!(error.contains(what), "{sql:?}: {error}");
        }
    }
}
