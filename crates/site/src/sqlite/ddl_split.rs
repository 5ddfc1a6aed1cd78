//! Statements of a script: where each begins and ends, and what kind it is.

use std::ops::Range;

use super::ddl_token::{DdlError, Token, TokenKind, line_of, tokenize};

/// One statement of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The text without the semicolon that ends it and without what is around it.
    pub text: String,
    /// Where the text stands in the script.
    pub span: Range<usize>,
    /// The line of its first word, from 1.
    pub line: usize,
}

/// Splits a script at the semicolons that end statements; those in a trigger's body, in texts and comments do not.
pub fn split_statements(sql: &str) -> Result<Vec<Statement>, DdlError> {
    let tokens = tokenize(sql)?;
    let significant: Vec<&Token> = tokens.iter().filter(|token| token.is_significant()).collect();
    let mut statements = Vec::new();
    let mut current: Vec<&Token> = Vec::new();
    for token in significant {
        if !token.is_sign(sql, ';') || is_open_trigger(sql, &current) {
            current.push(token);
        } else {
            statements.extend(statement(sql, &current));
            current.clear();
        }
    }
    statements.extend(statement(sql, &current));
    Ok(statements)
}

fn statement(sql: &str, tokens: &[&Token]) -> Option<Statement> {
    let span = tokens.first()?.span.start..tokens.last()?.span.end;
    Some(Statement { text: sql[span.clone()].to_owned(), line: line_of(sql, span.start), span })
}

/// Returns whether the tokens begin a trigger whose body has not ended: it ends with `; END` (sqlite3_complete, src/complete.c).
fn is_open_trigger(sql: &str, tokens: &[&Token]) -> bool {
    let mut words = tokens.iter().map(|token| token.text(sql).to_ascii_uppercase());
    let mut word = words.next();
    if word.as_deref() == Some("EXPLAIN") {
        word = words.find(|word| word == "CREATE");
    }
    if word.as_deref() != Some("CREATE") {
        return false;
    }
    word = words.next();
    if matches!(word.as_deref(), Some("TEMP" | "TEMPORARY")) {
        word = words.next();
    }
    let ended = match tokens {
        [.., before, last] => before.is_sign(sql, ';') && last.is_word(sql, "END"),
        _ => false,
    };
    word.as_deref() == Some("TRIGGER") && !ended
}

/// Returns the first word of a statement in capitals, whatever comments stand before it.
pub fn statement_keyword(sql: &str) -> Option<String> {
    // Only the beginning counts, so a text that goes wrong later still has its keyword.
    let tokens = tokenize(sql).or_else(|_| tokenize(first_words(sql))).ok()?;
    let first = tokens.into_iter().find(|token| token.is_significant() && !token.is_sign(sql, ';'))?;
    (first.kind == TokenKind::Word).then(|| first.text(sql).to_ascii_uppercase())
}

fn first_words(sql: &str) -> &str {
    sql.find(['\'', '"', '[', '`', '\0']).map_or(sql, |end| &sql[..end])
}

/// Words that begin, end or split a transaction, or that cannot run inside one.
const CONTROL: [&str; 9] =
    ["BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE", "ATTACH", "DETACH", "VACUUM"];
/// Pragmas that are refused or silently ignored inside a transaction, or that would undo a setting it rests on.
const PRAGMAS: [&str; 8] = [
    "JOURNAL_MODE",
    "FOREIGN_KEYS",
    "DEFER_FOREIGN_KEYS",
    "LEGACY_ALTER_TABLE",
    "WRITABLE_SCHEMA",
    "SYNCHRONOUS",
    "LOCKING_MODE",
    "WAL_CHECKPOINT",
];

/// Finds the first statement that controls the transaction it would run in: its span and its keyword.
///
/// A script that cannot be split is reported as a whole with the keyword `UNREADABLE`: nobody knows what is in it.
pub fn has_transaction_control(sql: &str) -> Option<(Range<usize>, String)> {
    let Ok(statements) = split_statements(sql) else { return Some((0..sql.len(), "UNREADABLE".into())) };
    statements.into_iter().find_map(|statement| {
        let word = statement_keyword(&statement.text)?;
        if CONTROL.contains(&word.as_str()) {
            return Some((statement.span, word));
        }
        if word != "PRAGMA" {
            return None;
        }
        let pragma = pragma_name(&statement.text)?;
        PRAGMAS.contains(&pragma.as_str()).then(|| (statement.span, format!("PRAGMA {pragma}")))
    })
}

/// Returns the name of the pragma in capitals, without the schema before it.
fn pragma_name(sql: &str) -> Option<String> {
    let tokens = tokenize(sql).ok()?;
    let words: Vec<&Token> = tokens.iter().filter(|token| token.is_significant()).collect();
    let at = if words.get(2).is_some_and(|token| token.is_sign(sql, '.')) { 3 } else { 1 };
    Some(super::ddl_token::unquote(words.get(at)?.text(sql)).to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_in_triggers_texts_and_comments_do_not_split() {
        let sql = "-- first; \nINSERT INTO a VALUES(';'); /* ; */\nCREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN\n \
                   SELECT CASE WHEN 1 THEN 2 END; UPDATE a SET b = 1; END;\n;; SELECT 1";
        let found = split_statements(sql).unwrap();
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!((found[0].line, found[0].text.as_str()), (2, "INSERT INTO a VALUES(';')"));
        assert_eq!(found[1].line, 3);
        assert!(found[1].text.ends_with("END"));
        assert_eq!(found[2].text, "SELECT 1");
        assert_eq!(&sql[found[2].span.clone()], "SELECT 1");
    }

    #[test]
    fn comments_alone_are_no_statement() {
        assert_eq!(split_statements(" -- a\n/* b */ ;").unwrap(), []);
        assert_eq!(statement_keyword("/* x */ -- y\n update a"), Some("UPDATE".into()));
        assert_eq!(statement_keyword("'x"), None);
    }

    #[test]
    fn transaction_control_is_found_at_statement_level_only() {
        let inside =
            "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT RAISE(ROLLBACK, 'COMMIT'); END; SELECT 'BEGIN';";
        assert_eq!(has_transaction_control(inside), None);
        for (sql, word) in [
            ("SELECT 1; commit", "COMMIT"),
            ("/* x */ BEGIN IMMEDIATE", "BEGIN"),
            ("pragma main . journal_mode = delete", "PRAGMA JOURNAL_MODE"),
            ("PRAGMA foreign_keys=OFF", "PRAGMA FOREIGN_KEYS"),
            ("vacuum", "VACUUM"),
            ("SELECT 'open", "UNREADABLE"),
        ] {
            assert_eq!(has_transaction_control(sql).map(|(_, word)| word).as_deref(), Some(word), "{sql}");
        }
        assert_eq!(has_transaction_control("PRAGMA table_info(a); UPDATE a SET b = 1"), None);
    }
}
