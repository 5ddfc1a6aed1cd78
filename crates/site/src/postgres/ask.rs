//! Questions: one statement that reads, answered in full and in one way, whatever the types.

use std::collections::BTreeMap;

use postgres::fallible_iterator::FallibleIterator;
use postgres::types::Type;
use postgres::{Client, Transaction};
use serde_json::{Value, json};
use switchback_model::digest::{Cell, Digest, RowHasher};

use super::connect::watched;
use super::lexer::{LexError, split};
use super::params::{BindError, bind, refs};
use super::said::{code, said};
use crate::probe::{AllRows, Answer, SHOWN};
use crate::tell::{Failure, Halt, Tell};

/// What the columns are called while they are read; their own names may repeat.
const COLUMN: &str = "switchback_c";
/// What it says to somebody who lacks a right.
const DENIED: &str = "42501";
/// What the server says where its table of locks is full (postgresql.org/docs, "PostgreSQL Error Codes").
const OUT_OF_MEMORY: &str = "53200";

/// Why a question was not answered. Nothing was changed: it runs in a transaction that is read only.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Its parameters cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The text cannot be taken apart.
    #[error(transparent)]
    Lex(#[from] LexError),
    /// More than one statement, or none.
    #[error("ask a question of {count} statements; write exactly one")]
    Statements {
        /// How many there are.
        count: usize,
    },
    /// It gives no rows, so it is no question.
    #[error("ask `{sql}`: it returns no columns; a question is a SELECT")]
    NoColumns {
        /// The question.
        sql: String,
    },
    /// The server refused.
    #[error("ask the database: {}", said(.source))]
    Server {
        /// What it says.
        #[from]
        source: postgres::Error,
    },
    /// The user may not read what is asked about.
    #[error(
        "ask the database: {said}; let {user} read it: GRANT pg_read_all_data TO {user} (PostgreSQL 14 and later), or USAGE on the schemas and SELECT on their tables"
    )]
    Denied {
        /// What the server says.
        said: String,
        /// Who asked, as SQL names the user.
        user: String,
    },
    /// It locks more than the server has room for: every table that it reads, with its indexes, to its end.
    #[error(
        "ask a question of so many tables: a question locks each of them with its indexes, {tables} in this database, and the server has room for about {room} locks; set max_locks_per_transaction to {wanted} in its postgresql.conf (it is {now}) and restart it"
    )]
    Locks {
        /// Tables and indexes in the database.
        tables: i64,
        /// How many locks the server has room for, for all who are connected.
        room: i64,
        /// The setting as it is.
        now: i64,
        /// The setting with which all of them have room.
        wanted: i64,
    },
    /// Stopped.
    #[error(transparent)]
    Halt(#[from] Halt),
}

impl Failure for AskError {
    fn halt(&self) -> Option<Halt> {
        match self {
            AskError::Halt(halt) => Some(*halt),
            _ => None,
        }
    }
}

/// Asks one question. Whole numbers come back as JSON numbers, NULL as null, everything else as the text that the type
/// prints, in full. Beyond a page rows are counted and digested, not kept.
///
/// The transaction is read only, whatever the session is; the statement is cancelled on the server when a stop is asked for.
pub fn query(
    client: &mut Client,
    sql: &str,
    params: &BTreeMap<String, Value>,
    tell: &Tell,
) -> Result<Answer, AskError> {
    let statements = split(sql)?;
    let [statement] = statements.as_slice() else {
        return Err(AskError::Statements { count: statements.len() });
    };
    let bound = bind(&sql[statement.span.clone()], params)?;
    tell.go_on()?;
    let answer = watched(client, tell, |client| {
        let mut transaction = client.build_transaction().read_only(true).start()?;
        let answer = read(&mut transaction, &bound.text, &refs(&bound.values))?;
        transaction.rollback()?;
        Ok(answer)
    });
    match (answer, tell.go_on()) {
        (Err(AskError::Server { .. }), Err(halt)) => Err(halt.into()),
        // What else it can be is said by the server as well as by us.
        (Err(AskError::Server { source }), Ok(())) if code(&source) == OUT_OF_MEMORY => {
            Err(crowded(client).ok().flatten().unwrap_or(AskError::Server { source }))
        }
        (Err(AskError::Server { source }), Ok(())) if code(&source) == DENIED => {
            let user = client.query_one("SELECT pg_catalog.quote_ident(current_user)", &[])?.get(0);
            Err(AskError::Denied { said: said(&source), user })
        }
        (answer, _) => answer,
    }
}

/// Says how many locks there should be room for, where the database has more to lock than there is.
fn crowded(client: &mut Client) -> Result<Option<AskError>, postgres::Error> {
    let row = client.query_one(
        "SELECT (SELECT count(*) FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p', 'i', 'I', 't', 'm') \
                  AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)), \
                current_setting('max_locks_per_transaction')::bigint, \
                current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint",
        &[],
    )?;
    let (tables, now, sessions): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    let (room, wanted) = (now * sessions, (tables / sessions + 1).max(now + 1));
    // A quarter is left to the others who are connected.
    let wanted = (wanted + wanted / 4).max(64);
    Ok((tables > room / 2).then_some(AskError::Locks { tables, room, now, wanted }))
}

fn read(
    transaction: &mut Transaction<'_>,
    sql: &str,
    values: &[&(dyn postgres::types::ToSql + Sync)],
) -> Result<Answer, AskError> {
    let question = transaction.prepare(sql)?;
    let whole: Vec<bool> = question
        .columns()
        .iter()
        .map(|column| [Type::INT2, Type::INT4, Type::INT8].contains(column.type_()))
        .collect();
    if whole.is_empty() {
        return Err(AskError::NoColumns { sql: sql.to_owned() });
    }
    // Every type prints itself; asked for in its binary form, most would be bytes to us.
    let list = |form: &dyn Fn(usize) -> String| (0..whole.len()).map(form).collect::<Vec<_>>().join(", ");
    let texts = list(&|at| format!("({COLUMN}{at})::text"));
    let names = list(&|at| format!("{COLUMN}{at}"));
    let mut rows = transaction.query_raw(
        &format!("SELECT {texts} FROM (\n{sql}\n) AS switchback_q ({names})"),
        values.iter().copied(),
    )?;
    let (mut kept, mut count) = (Vec::new(), 0);
    let (mut all, mut hasher) = (blake3::Hasher::new(), RowHasher::new());
    while let Some(row) = rows.next()? {
        count += 1;
        let mut shown = Vec::new();
        for (at, whole) in whole.iter().enumerate() {
            let text: Option<&str> = row.try_get(at)?;
            let number = text.filter(|_| *whole).and_then(|text| text.parse::<i64>().ok());
            hasher.cell(match (text, number) {
                (None, _) => Cell::Null,
                (_, Some(number)) => Cell::Integer(number),
                (Some(text), None) => Cell::Text(text.as_bytes()),
            });
            if kept.len() < SHOWN {
                shown.push(number.map_or_else(|| json!(text), |number| json!(number)));
            }
        }
        all.update(&hasher.finish().0);
        if kept.len() < SHOWN {
            kept.push(shown);
        }
    }
    Ok(Answer::Rows(kept, AllRows { count, digest: Digest(*all.finalize().as_bytes()) }))
}
