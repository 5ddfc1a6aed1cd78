//! Scripts in one transaction, together with the row that says they are in.

use std::collections::BTreeMap;
use std::ops::Range;

use postgres::error::SqlState;
use postgres::{Client, Transaction};
use serde_json::Value;

use super::ledger::{self, LedgerError, LedgerRow};
use super::lexer::{LexError, Statement, Token, TokenKind, line_of, split, tokenize};
use super::params::{BindError, Bound, bind_tokens, refs};
use super::said::said;
use super::wait::{Patience, WaitError};
use crate::tell::{Failure, Halt, Tell, Unit};

/// Why a script did not run. The transaction was rolled back: the database is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// A statement failed.
    #[error("run line {line} of the script: {}", said(.source))]
    Statement {
        /// Line of the script, from 1.
        line: usize,
        /// The statement.
        text: String,
        /// Why.
        source: postgres::Error,
    },
    /// A statement that no transaction can hold, so that it could not be taken back.
    #[error("run line {line} of the script in a transaction: {}; take it out of the script", said(.source))]
    Outside {
        /// Line of the script, from 1.
        line: usize,
        /// Why.
        source: postgres::Error,
    },
    /// A statement that a script may not contain.
    #[error("run line {line} of the script: {word} {why}")]
    Forbidden {
        /// Line of the script, from 1.
        line: usize,
        /// What it is.
        word: String,
        /// Why not.
        why: &'static str,
    },
    /// A parameter where nothing can be bound.
    #[error(
        "run line {line} of the script: :{name} cannot be bound in {place}; only SELECT, INSERT, UPDATE, DELETE, MERGE and VALUES take values (a temporary table or set_config carries one elsewhere)"
    )]
    Unbindable {
        /// Line of the script, from 1.
        line: usize,
        /// The parameter.
        name: String,
        /// What it stands in.
        place: String,
    },
    /// The parameters cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The script cannot be taken apart.
    #[error(transparent)]
    Lex(#[from] LexError),
    /// The row that says it is in cannot be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Others hold what it needs, or the transaction cannot be begun or ended.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// Cut off or stopped.
    #[error(transparent)]
    Halt(#[from] Halt),
}

impl Failure for ScriptError {
    fn halt(&self) -> Option<Halt> {
        match self {
            ScriptError::Halt(halt) => Some(*halt),
            ScriptError::Ledger(error) => error.halt(),
            ScriptError::Wait(error) => error.halt(),
            _ => None,
        }
    }
}

/// Runs a script in one transaction and writes `row` in it. `:now` is `now`; every other parameter must be in `params`.
/// Returns how many rows were inserted, updated and deleted, `row` not counted, as the server's statistics have it.
///
/// A lock that is not had within the session's `lock_timeout` gives the transaction up, lets those who waited behind it pass,
/// and begins again, for a minute. `session_replication_role` and the like are the caller's affair; names must be qualified.
pub fn run_script(
    client: &mut Client,
    script: &str,
    params: &BTreeMap<String, Value>,
    now: &str,
    row: &LedgerRow,
    tell: &Tell,
) -> Result<u64, ScriptError> {
    let statements = bound(script, params, now)?;
    let changed = Patience::usual().transact(client, tell, "running a script", |transaction| {
        for (done, (line, bound)) in statements.iter().enumerate() {
            tell.go_on()?;
            tell.progress("running a script", done as u64, Some(statements.len() as u64), Unit::Rows);
            run(transaction, *line, bound)?;
        }
        let changed = changed_rows(transaction)?;
        ledger::add(transaction, row)?;
        tell.point("postgres.script.commit")?;
        Ok::<u64, ScriptError>(changed)
    })?;
    tell.point("postgres.script.committed")?;
    Ok(changed)
}

fn run(transaction: &mut Transaction<'_>, line: usize, bound: &Bound) -> Result<(), ScriptError> {
    transaction.execute(&bound.text, &refs(&bound.values)).map(|_| ()).map_err(|source| {
        let outside = [SqlState::ACTIVE_SQL_TRANSACTION, SqlState::INVALID_TRANSACTION_TERMINATION];
        if source.code().is_some_and(|code| outside.contains(code)) {
            return ScriptError::Outside { line, source };
        }
        ScriptError::Statement { line, text: bound.text.clone(), source }
    })
}

fn changed_rows(transaction: &mut Transaction<'_>) -> Result<u64, ScriptError> {
    let sql = "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint FROM pg_catalog.pg_stat_xact_user_tables \
               WHERE schemaname <> 'switchback'";
    let row = transaction.query_one(sql, &[]).map_err(LedgerError::from)?;
    Ok(row.get::<_, i64>(0).unsigned_abs())
}

/// Takes the whole script apart before anything of it runs.
fn bound(
    script: &str,
    params: &BTreeMap<String, Value>,
    now: &str,
) -> Result<Vec<(usize, Bound)>, ScriptError> {
    let mut params = params.clone();
    params.insert("now".to_owned(), Value::String(now.to_owned()));
    let bind = |statement: Statement| {
        if let Some((word, why)) = forbidden(script, &statement.tokens) {
            return Err(ScriptError::Forbidden { line: statement.line, word, why });
        }
        bindable(script, &statement.tokens, &params)?;
        Ok((statement.line, bind_tokens(script, &statement.tokens, &params)?))
    };
    split(script)?.into_iter().map(bind).collect()
}

/// Refuses a parameter where the server would not look for one: in utility statements and inside of bodies.
fn bindable(script: &str, tokens: &[Token], params: &BTreeMap<String, Value>) -> Result<(), ScriptError> {
    const TAKE_VALUES: [&str; 8] =
        ["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "VALUES", "TABLE"];
    let first = tokens.first().map(|token| token.text(script).to_ascii_uppercase()).unwrap_or_default();
    let makes_table = first == "CREATE" && tokens.iter().any(|token| token.is_word(script, "AS"));
    // A bracket may stand before SELECT.
    let takes = TAKE_VALUES.contains(&first.as_str()) || first == "(" || makes_table;
    for token in tokens {
        let line = line_of(script, token.span.start);
        match token.kind {
            TokenKind::Parameter if !takes => {
                let name = token.text(script)[1..].to_owned();
                return Err(ScriptError::Unbindable { line, name, place: first });
            }
            TokenKind::Dollar => {
                if let Some(name) = named_in_body(token.text(script), params) {
                    return Err(ScriptError::Unbindable {
                        line,
                        name,
                        place: "a dollar-quoted body".to_owned(),
                    });
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Finds one of our parameters in a body, where it would be sent as it stands.
fn named_in_body(quoted: &str, params: &BTreeMap<String, Value>) -> Option<String> {
    let tag = quoted[1..].find('$')? + 2;
    let body = quoted.get(tag..quoted.len().checked_sub(tag)?)?;
    // A body in another language may not be SQL; then nothing is said of it.
    let tokens = tokenize(body).ok()?;
    let mut names = tokens
        .iter()
        .filter(|token| token.kind == TokenKind::Parameter)
        .map(|token| body[token.span.clone()][1..].to_owned());
    names.find(|name| params.contains_key(name))
}

const ENDS: &str =
    "controls the transaction that the script runs in; remove it: the script is all or nothing by itself";
const OUTSIDE: &str = "cannot run in a transaction, so it could not be taken back; make it a step of its own";
const LASTS: &str = "changes the session beyond the script; write SET LOCAL";
const STREAM: &str = "moves data around the database's transaction; move rows with a `copy` step";

/// Finds the first statement of a script that a script may not contain: its place, what it is, and why not.
pub fn has_transaction_control(script: &str) -> Option<(Range<usize>, String, &'static str)> {
    let Ok(statements) = split(script) else {
        return Some((0..script.len(), "UNREADABLE".to_owned(), "cannot be taken apart"));
    };
    statements.into_iter().find_map(|statement| {
        let (word, why) = forbidden(script, &statement.tokens)?;
        Some((statement.span, word, why))
    })
}

fn forbidden(script: &str, tokens: &[Token]) -> Option<(String, &'static str)> {
    let word = |at: usize| match tokens.get(at) {
        Some(token) if token.kind == TokenKind::Word => token.text(script).to_ascii_uppercase(),
        _ => String::new(),
    };
    let (first, second) = (word(0), word(1));
    let concurrently = || (1..5).any(|at| word(at) == "CONCURRENTLY");
    let found = |why| Some((first.clone(), why));
    let both = |why| Some((format!("{first} {second}"), why));
    match (first.as_str(), second.as_str()) {
        ("BEGIN" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE", _) => found(ENDS),
        ("START" | "PREPARE", "TRANSACTION") => both(ENDS),
        ("SET", "TRANSACTION") => both(ENDS),
        ("SET", "LOCAL" | "CONSTRAINTS") => None,
        ("SET", _) => both(LASTS),
        ("RESET" | "DISCARD", _) => found(LASTS),
        ("VACUUM", _) => found(OUTSIDE),
        ("CREATE" | "DROP" | "ALTER", "DATABASE" | "TABLESPACE" | "SYSTEM" | "SUBSCRIPTION") => both(OUTSIDE),
        ("REINDEX", "DATABASE" | "SYSTEM") => both(OUTSIDE),
        ("CREATE" | "DROP" | "REINDEX", _) if concurrently() => {
            Some((format!("{first} … CONCURRENTLY"), OUTSIDE))
        }
        ("COPY", _) => found(STREAM),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_breaks_a_transaction_is_found_at_statement_level_only() {
        for (sql, word) in [
            ("SELECT 1; commit", "COMMIT"),
            ("/* x */ BEGIN ISOLATION LEVEL SERIALIZABLE", "BEGIN"),
            ("start transaction", "START TRANSACTION"),
            ("SAVEPOINT a", "SAVEPOINT"),
            ("SET search_path = public", "SET SEARCH_PATH"),
            ("SET TRANSACTION READ ONLY", "SET TRANSACTION"),
            ("DISCARD ALL", "DISCARD"),
            ("create unique index concurrently i on t (a)", "CREATE … CONCURRENTLY"),
            ("ALTER SYSTEM SET x = 1", "ALTER SYSTEM"),
            ("VACUUM t", "VACUUM"),
            ("COPY t FROM STDIN", "COPY"),
            ("PREPARE TRANSACTION 'x'", "PREPARE TRANSACTION"),
            ("SELECT 'open", "UNREADABLE"),
        ] {
            assert_eq!(has_transaction_control(sql).map(|found| found.1).as_deref(), Some(word), "{sql}");
        }
        for sql in [
            "DO $$ BEGIN PERFORM 1; END $$; SELECT 'COMMIT'; SET LOCAL lock_timeout = 0; SET CONSTRAINTS ALL DEFERRED",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END",
            "CREATE TABLE concurrently_used (a int); PREPARE a AS SELECT 1",
        ] {
            assert_eq!(has_transaction_control(sql), None, "{sql}");
        }
    }

    #[test]
    fn a_parameter_where_nothing_can_be_bound_is_refused() {
        let params = BTreeMap::from([("a".to_owned(), json!(1))]);
        let said = |sql: &str| bound(sql, &params, "now").map(|_| ()).unwrap_err().to_string();
        assert!(said("SELECT 1;\nCREATE VIEW v.v (x, y) WITH (a = :a)").contains("line 2"), "WITH is no AS");
        assert!(
            said("DO $x$ BEGIN DELETE FROM t WHERE a = :a; END $x$")
                .contains(":a cannot be bound in a dollar-quoted")
        );
        assert!(said("DO $$ :now $$").contains(":now"));
        // What is no parameter of ours is the body's own affair.
        assert!(bound("DO $$ BEGIN x := 1; y := z[1:b]; END $$", &params, "now").is_ok());
        assert!(
            bound(
                "WITH x AS (SELECT :a) SELECT * FROM x; (SELECT :now); CREATE TABLE t.t AS SELECT :a",
                &params,
                "n"
            )
            .is_ok()
        );
    }
}
