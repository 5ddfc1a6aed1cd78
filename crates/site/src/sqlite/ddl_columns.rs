//! The definition of a column and the constraints behind its type.

use std::ops::Range;

use super::ddl_token::{DdlError, Token, TokenKind, tokenize, unquote};

/// A walk over the significant tokens of a definition.
pub(super) struct Cursor<'a> {
    pub(super) sql: &'a str,
    tokens: Vec<Token>,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(sql: &'a str) -> Result<Cursor<'a>, DdlError> {
        let tokens = tokenize(sql)?.into_iter().filter(Token::is_significant).collect();
        Ok(Cursor { sql, tokens, at: 0 })
    }

    pub(super) fn peek(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead)
    }

    pub(super) fn is_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    pub(super) fn is_word(&self, ahead: usize, words: &[&str]) -> bool {
        self.peek(ahead).is_some_and(|token| words.iter().any(|word| token.is_word(self.sql, word)))
    }

    pub(super) fn is_sign(&self, sign: char) -> bool {
        self.peek(0).is_some_and(|token| token.is_sign(self.sql, sign))
    }

    pub(super) fn skip(&mut self) {
        self.at += 1;
    }

    /// Takes one of `words` if it stands here.
    pub(super) fn word(&mut self, words: &[&str]) -> bool {
        let found = self.is_word(0, words);
        self.at += usize::from(found);
        found
    }

    pub(super) fn sign(&mut self, sign: char) -> bool {
        let found = self.is_sign(sign);
        self.at += usize::from(found);
        found
    }

    /// Returns the end of the token before this place.
    pub(super) fn end(&self) -> usize {
        self.tokens.iter().take(self.at).next_back().map_or(0, |token| token.span.end)
    }

    pub(super) fn start(&self) -> usize {
        self.peek(0).map_or(self.sql.len(), |token| token.span.start)
    }

    pub(super) fn expect_word(&mut self, word: &'static str) -> Result<(), DdlError> {
        if self.word(&[word]) { Ok(()) } else { Err(self.shape(word)) }
    }

    pub(super) fn expect_sign(&mut self, sign: char, expected: &'static str) -> Result<(), DdlError> {
        if self.sign(sign) { Ok(()) } else { Err(self.shape(expected)) }
    }

    /// Takes a name: a bare word, a quoted name, or a text, which SQLite takes for a name here (`nm` in src/parse.y).
    pub(super) fn name(&mut self) -> Result<(String, Range<usize>), DdlError> {
        match self.peek(0) {
            Some(token) if matches!(token.kind, TokenKind::Word | TokenKind::Quoted | TokenKind::Text) => {
                let span = token.span.clone();
                self.skip();
                Ok((unquote(&self.sql[span.clone()]), span))
            }
            _ => Err(self.shape("a name")),
        }
    }

    /// Takes everything from the bracket that opens here to the one that closes it.
    pub(super) fn brackets(&mut self) -> Result<Range<usize>, DdlError> {
        let start = self.start();
        self.expect_sign('(', "`(`")?;
        let mut depth = 1;
        while depth > 0 {
            if self.sign('(') {
                depth += 1;
            } else if self.sign(')') {
                depth -= 1;
            } else if self.is_end() {
                return Err(self.shape("`)`"));
            } else {
                self.skip();
            }
        }
        Ok(start..self.end())
    }

    /// Takes a list of names in brackets; what stands behind a name (COLLATE, ASC) is passed over.
    pub(super) fn names(&mut self) -> Result<Vec<String>, DdlError> {
        let mut names = Vec::new();
        self.expect_sign('(', "`(`")?;
        loop {
            names.push(self.name()?.0);
            while !self.is_sign(',') && !self.is_sign(')') {
                if self.is_end() {
                    return Err(self.shape("`)`"));
                }
                if self.is_sign('(') {
                    self.brackets()?;
                } else {
                    self.skip();
                }
            }
            if self.sign(')') {
                return Ok(names);
            }
            self.skip();
        }
    }

    /// Takes `ON CONFLICT x` if it stands here.
    pub(super) fn conflict(&mut self) {
        if self.is_word(0, &["ON"]) && self.is_word(1, &["CONFLICT"]) {
            self.at += 3;
        }
    }

    pub(super) fn shape(&self, expected: &'static str) -> DdlError {
        let place = match self.peek(0) {
            Some(token) => format!("at `{}`", token.text(self.sql).chars().take(40).collect::<String>()),
            None => "at the end".to_owned(),
        };
        DdlError::Shape { expected, place }
    }
}

/// A foreign key as its text says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKeyClause {
    /// The columns that refer.
    pub columns: Vec<String>,
    /// The table referred to.
    pub table: String,
    /// Its columns; empty where the text leaves them to the primary key.
    pub references: Vec<String>,
    /// The action on delete, in capitals.
    pub on_delete: Option<String>,
    /// The action on update, in capitals.
    pub on_update: Option<String>,
    /// `DEFERRABLE INITIALLY DEFERRED`, the only form that SQLite defers (sqlite.org/foreignkeys.html, section 4.2).
    pub deferred: bool,
}

/// What a column constraint demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnRule {
    /// `PRIMARY KEY`.
    PrimaryKey {
        /// Whether it says `AUTOINCREMENT`.
        autoincrement: bool,
    },
    /// `NOT NULL`.
    NotNull,
    /// `NULL`, which demands nothing.
    Null,
    /// `UNIQUE`.
    Unique,
    /// `CHECK (…)`.
    Check,
    /// `DEFAULT …`.
    Default,
    /// `COLLATE name`.
    Collate(String),
    /// `REFERENCES …`.
    References(ForeignKeyClause),
    /// `AS (…)`.
    Generated,
    /// A `CONSTRAINT name` with nothing behind it.
    Empty,
}

/// One constraint of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnConstraint {
    /// The name given to it.
    pub name: Option<String>,
    /// What it demands.
    pub rule: ColumnRule,
    /// Its bytes, its name included.
    pub span: Range<usize>,
}

const BEGINNINGS: [&str; 12] = [
    "CONSTRAINT",
    "PRIMARY",
    "NOT",
    "NULL",
    "UNIQUE",
    "CHECK",
    "DEFAULT",
    "COLLATE",
    "REFERENCES",
    "AS",
    "DEFERRABLE",
    "ON",
];

/// Returns whether a column constraint begins here. GENERATED is one only before ALWAYS: else it is part of the type.
pub(super) fn begins_constraint(cursor: &Cursor<'_>) -> bool {
    cursor.is_word(0, &BEGINNINGS) || (cursor.is_word(0, &["GENERATED"]) && cursor.is_word(1, &["ALWAYS"]))
}

/// Takes the type in front of the constraints; returns its bytes, if there is one.
pub(super) fn column_type(cursor: &mut Cursor<'_>) -> Result<Option<Range<usize>>, DdlError> {
    let start = cursor.start();
    let mut found = false;
    while cursor
        .peek(0)
        .is_some_and(|token| matches!(token.kind, TokenKind::Word | TokenKind::Quoted | TokenKind::Text))
        && !begins_constraint(cursor)
    {
        cursor.skip();
        found = true;
    }
    if found && cursor.is_sign('(') {
        cursor.brackets()?;
    }
    Ok(found.then(|| start..cursor.end()))
}

/// Takes one column constraint of the column `column`.
pub(super) fn column_constraint(cursor: &mut Cursor<'_>, column: &str) -> Result<ColumnConstraint, DdlError> {
    let start = cursor.start();
    let name = if cursor.word(&["CONSTRAINT"]) { Some(cursor.name()?.0) } else { None };
    let rule = if name.is_some() && (!begins_constraint(cursor) || cursor.is_word(0, &["CONSTRAINT"])) {
        ColumnRule::Empty
    } else {
        column_rule(cursor, column)?
    };
    Ok(ColumnConstraint { name, rule, span: start..cursor.end() })
}

fn column_rule(cursor: &mut Cursor<'_>, column: &str) -> Result<ColumnRule, DdlError> {
    if cursor.word(&["PRIMARY"]) {
        cursor.expect_word("KEY")?;
        cursor.word(&["ASC", "DESC"]);
        cursor.conflict();
        return Ok(ColumnRule::PrimaryKey { autoincrement: cursor.word(&["AUTOINCREMENT"]) });
    }
    if cursor.word(&["NOT"]) {
        cursor.expect_word("NULL")?;
        cursor.conflict();
        return Ok(ColumnRule::NotNull);
    }
    if cursor.word(&["NULL"]) {
        cursor.conflict();
        return Ok(ColumnRule::Null);
    }
    if cursor.word(&["UNIQUE"]) {
        cursor.conflict();
        return Ok(ColumnRule::Unique);
    }
    if cursor.word(&["CHECK"]) {
        cursor.brackets()?;
        cursor.conflict();
        return Ok(ColumnRule::Check);
    }
    if cursor.word(&["DEFAULT"]) {
        if cursor.is_sign('(') {
            cursor.brackets()?;
        } else {
            let _ = cursor.sign('-') || cursor.sign('+');
            cursor.skip();
        }
        return Ok(ColumnRule::Default);
    }
    if cursor.word(&["COLLATE"]) {
        return Ok(ColumnRule::Collate(cursor.name()?.0));
    }
    if cursor.is_word(0, &["REFERENCES"]) {
        return Ok(ColumnRule::References(references(cursor, vec![column.to_owned()])?));
    }
    if cursor.word(&["GENERATED"]) {
        cursor.expect_word("ALWAYS")?;
    }
    if cursor.word(&["AS"]) {
        cursor.brackets()?;
        cursor.word(&["STORED", "VIRTUAL"]);
        return Ok(ColumnRule::Generated);
    }
    Err(cursor.shape("a column constraint"))
}

/// Takes a `REFERENCES` clause with everything that belongs to it.
pub(super) fn references(
    cursor: &mut Cursor<'_>,
    columns: Vec<String>,
) -> Result<ForeignKeyClause, DdlError> {
    cursor.expect_word("REFERENCES")?;
    let table = cursor.name()?.0;
    let names = if cursor.is_sign('(') { cursor.names()? } else { Vec::new() };
    let mut clause = ForeignKeyClause {
        columns,
        table,
        references: names,
        on_delete: None,
        on_update: None,
        deferred: false,
    };
    loop {
        if cursor.word(&["MATCH"]) {
            cursor.name()?;
        } else if cursor.word(&["ON"]) {
            let on_delete = cursor.is_word(0, &["DELETE"]);
            cursor.skip();
            let action = Some(action(cursor)?);
            if on_delete { clause.on_delete = action } else { clause.on_update = action }
        } else if cursor.is_word(0, &["NOT"]) && cursor.is_word(1, &["DEFERRABLE"]) {
            cursor.skip();
            cursor.skip();
            initially(cursor);
            clause.deferred = false;
        } else if cursor.word(&["DEFERRABLE"]) {
            clause.deferred = initially(cursor);
        } else {
            return Ok(clause);
        }
    }
}

/// Takes `INITIALLY …`; returns whether it says DEFERRED.
fn initially(cursor: &mut Cursor<'_>) -> bool {
    if !cursor.word(&["INITIALLY"]) {
        return false;
    }
    let deferred = cursor.is_word(0, &["DEFERRED"]);
    cursor.skip();
    deferred
}

fn action(cursor: &mut Cursor<'_>) -> Result<String, DdlError> {
    let first = cursor.name()?.0.to_ascii_uppercase();
    if matches!(first.as_str(), "SET" | "NO") {
        return Ok(format!("{first} {}", cursor.name()?.0.to_ascii_uppercase()));
    }
    Ok(first)
}
