//! The rows that say "this is in", inside the application's database and in the transaction of the effect itself.
//!
//! They live in a schema of their own that carries our mark. Besides the steps that are in it keeps the cursors of long
//! ones, and the number of every transaction of ours: so that rows which others wrote meanwhile are told from our own.

use postgres::{Client, GenericClient, Transaction};
use switchback_model::digest::Digest;

use super::hands;
use super::names::{NameError, quote};
use super::said::said;
use super::wait::{Patience, WaitError};
pub use crate::ledger_row::{LedgerRow, Swept};
use crate::marker::Marker;
use crate::tell::{Failure, Halt, Tell};

/// The name of our schema.
pub const SCHEMA: &str = "switchback";
/// The comment by which a schema of that name is known to be ours.
const MARK: &str = "switchback ledger, format 1";
/// What the comments of all formats begin with.
const MARKS: &str = "switchback ledger, format ";

/// One statement, so that it is all or nothing also outside a transaction. Workers that start at once queue at the lock.
const CREATE: &str = "DO $switchback$ BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock(1398817364, 1);
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'switchback') THEN
        CREATE SCHEMA switchback;
        REVOKE ALL ON SCHEMA switchback FROM PUBLIC;
        COMMENT ON SCHEMA switchback IS 'switchback ledger, format 1';
        CREATE TABLE switchback.ledger (run text NOT NULL, step text NOT NULL, at text NOT NULL, state_dir text NOT NULL,
            note text NOT NULL, xid xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id(), PRIMARY KEY (run, step));
        CREATE TABLE switchback.cursor (run text NOT NULL, step text NOT NULL, part text NOT NULL, rows bigint NOT NULL,
            digest bytea NOT NULL, done boolean NOT NULL, xid xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id(),
            PRIMARY KEY (run, step, part));
        CREATE TABLE switchback.hand (xid xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id(), run text NOT NULL,
            PRIMARY KEY (xid));
        CREATE TABLE switchback.touched (run text NOT NULL, name text NOT NULL, PRIMARY KEY (run, name));
        CREATE TABLE switchback.mark (mark text NOT NULL, one boolean NOT NULL DEFAULT true CHECK (one), PRIMARY KEY (one));
    END IF;
END $switchback$";

/// Why the ledger could not be read or written. The transaction it was asked in must be given up.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The application has a schema of our name.
    #[error("use the schema switchback: the database has one that is not ours; rename it first")]
    Foreign,
    /// A newer engine wrote it.
    #[error(
        "use the schema switchback: it is a `{comment}`, and this engine reads format 1; use the engine that wrote it"
    )]
    Newer {
        /// What its comment says.
        comment: String,
    },
    /// Somebody else put something into our schema.
    #[error("remove the schema switchback: it also holds {}, which are not ours; move them away", .names.join(", "))]
    Guests {
        /// What they are called.
        names: Vec<String>,
    },
    /// The note that names the run cannot be read.
    #[error("read the mark in the schema switchback: {source}")]
    Mark {
        /// What is wrong with it.
        #[from]
        source: serde_json::Error,
    },
    /// The server refused.
    #[error("use the schema switchback: {}", said(.source))]
    Server {
        /// What it says.
        #[from]
        source: postgres::Error,
    },
    /// A name cannot be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Others hold what we need.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// Stopped on the way.
    #[error(transparent)]
    Halt(#[from] Halt),
}

impl Failure for LedgerError {
    fn halt(&self) -> Option<Halt> {
        match self {
            LedgerError::Halt(halt) => Some(*halt),
            LedgerError::Wait(error) => error.halt(),
            _ => None,
        }
    }
}

/// How far one part of a long step has come, as committed with its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorRow {
    /// The part: a table, a range of one.
    pub part: String,
    /// How many rows are in.
    pub rows: u64,
    /// What the step wants to remember of them, such as their digest; not read here.
    pub digest: Vec<u8>,
    /// Whether the part is finished.
    pub done: bool,
}

/// Makes the schema where it is missing; refuses one that is not ours.
pub fn ensure(client: &mut impl GenericClient) -> Result<(), LedgerError> {
    if present(client)? {
        return Ok(());
    }
    client.batch_execute(CREATE)?;
    match present(client)? {
        true => Ok(()),
        false => Err(LedgerError::Foreign),
    }
}

/// Says whether our schema is there; one of its name that is not ours is an error.
pub fn present(client: &mut impl GenericClient) -> Result<bool, LedgerError> {
    let sql = "SELECT pg_catalog.obj_description(oid, 'pg_namespace') FROM pg_catalog.pg_namespace WHERE nspname = $1";
    let Some(row) = client.query_opt(sql, &[&SCHEMA])? else { return Ok(false) };
    match row.get::<_, Option<String>>(0) {
        Some(comment) if comment == MARK => Ok(true),
        Some(comment) if comment.starts_with(MARKS) => Err(LedgerError::Newer { comment }),
        _ => Err(LedgerError::Foreign),
    }
}

/// Writes `row` in this transaction, and makes the schema where it is missing. A row of the same run and step is replaced.
/// The numbers of the transaction and of its parts are kept, so that what it wrote is known as ours.
pub fn add(transaction: &mut Transaction<'_>, row: &LedgerRow) -> Result<(), LedgerError> {
    ensure(transaction)?;
    hands::sign(transaction, &row.run)?;
    transaction.execute(
        "INSERT INTO switchback.ledger (run, step, at, state_dir, note) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (run, step) \
         DO UPDATE SET at = excluded.at, state_dir = excluded.state_dir, note = excluded.note, xid = excluded.xid",
        &[&row.run, &row.step, &row.at, &row.state_dir, &row.note],
    )?;
    Ok(())
}

/// Deletes the row and the cursors of one step in this transaction: the effect is being taken back.
pub fn forget(transaction: &mut Transaction<'_>, run: &str, step: &str) -> Result<(), LedgerError> {
    if present(transaction)? {
        hands::sign(transaction, run)?;
        for table in ["ledger", "cursor"] {
            let sql = format!("DELETE FROM switchback.{table} WHERE run = $1 AND step = $2");
            transaction.execute(&sql, &[&run, &step])?;
        }
    }
    Ok(())
}

/// Returns all rows, of all runs. No schema is no rows.
pub fn rows(client: &mut impl GenericClient) -> Result<Vec<LedgerRow>, LedgerError> {
    if !present(client)? {
        return Ok(Vec::new());
    }
    let sql = "SELECT run, step, at, state_dir, note FROM switchback.ledger ORDER BY run, step";
    let read = |row: postgres::Row| LedgerRow {
        run: row.get(0),
        step: row.get(1),
        at: row.get(2),
        state_dir: row.get(3),
        note: row.get(4),
    };
    Ok(client.query(sql, &[])?.into_iter().map(read).collect())
}

/// Says whether the effect of this step is in.
pub fn has(client: &mut impl GenericClient, run: &str, step: &str) -> Result<bool, LedgerError> {
    Ok(note(client, run, step)?.is_some())
}

/// Returns the note of this step, if its effect is in.
pub fn note(client: &mut impl GenericClient, run: &str, step: &str) -> Result<Option<String>, LedgerError> {
    if !present(client)? {
        return Ok(None);
    }
    let sql = "SELECT note FROM switchback.ledger WHERE run = $1 AND step = $2";
    Ok(client.query_opt(sql, &[&run, &step])?.map(|row| row.get(0)))
}

/// Returns the cursors of a step, by part.
pub fn cursors(
    client: &mut impl GenericClient,
    run: &str,
    step: &str,
) -> Result<Vec<CursorRow>, LedgerError> {
    if !present(client)? {
        return Ok(Vec::new());
    }
    let sql =
        "SELECT part, rows, digest, done FROM switchback.cursor WHERE run = $1 AND step = $2 ORDER BY part";
    let read = |row: postgres::Row| CursorRow {
        part: row.get(0),
        rows: row.get::<_, i64>(1).unsigned_abs(),
        digest: row.get(2),
        done: row.get(3),
    };
    Ok(client.query(sql, &[&run, &step])?.into_iter().map(read).collect())
}

/// Moves a cursor in the transaction of the rows that it counts. The schema must be there ([`ensure`]).
pub fn put_cursor(
    transaction: &mut Transaction<'_>,
    run: &str,
    step: &str,
    cursor: &CursorRow,
) -> Result<(), LedgerError> {
    transaction.execute(
        "WITH hand AS (INSERT INTO switchback.hand (run) VALUES ($1) ON CONFLICT DO NOTHING) \
         INSERT INTO switchback.cursor (run, step, part, rows, digest, done) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (run, step, part) DO UPDATE SET rows = excluded.rows, digest = excluded.digest, \
         done = excluded.done, xid = excluded.xid",
        &[
            &run,
            &step,
            &cursor.part,
            &i64::try_from(cursor.rows).unwrap_or(i64::MAX),
            &cursor.digest,
            &cursor.done,
        ],
    )?;
    Ok(())
}

/// Writes the mark that names the run at work, and makes the schema where it is missing.
pub fn put_mark(client: &mut Client, marker: &Marker, tell: &Tell) -> Result<(), LedgerError> {
    let text = serde_json::to_string(marker)?;
    tell.point("postgres.mark.put")?;
    let mut transaction = client.transaction()?;
    ensure(&mut transaction)?;
    hands::sign(&mut transaction, &marker.run)?;
    transaction.execute(
        "INSERT INTO switchback.mark (mark) VALUES ($1) ON CONFLICT (one) DO UPDATE SET mark = excluded.mark",
        &[&text],
    )?;
    transaction.commit()?;
    Ok(tell.point("postgres.mark.in")?)
}

/// Returns the mark, if there is one.
pub fn read_mark(client: &mut impl GenericClient) -> Result<Option<Marker>, LedgerError> {
    if !present(client)? {
        return Ok(None);
    }
    let row = client.query_opt("SELECT mark FROM switchback.mark", &[])?;
    row.map(|row| Ok(serde_json::from_str(row.get(0))?)).transpose()
}

/// Removes the mark. The schema stays: [`sweep`] drops it. Twice is once.
pub fn remove_mark(client: &mut Client, tell: &Tell) -> Result<(), LedgerError> {
    if present(client)? {
        tell.point("postgres.mark.remove")?;
        client.execute("DELETE FROM switchback.mark", &[])?;
        tell.point("postgres.mark.gone")?;
    }
    Ok(())
}

/// Removes what is of `run`, and the schema when nothing of other runs is in it. Twice is once.
///
/// Waits its turn for whoever reads our tables at the moment, such as a dump of the whole database.
pub fn sweep(client: &mut Client, run: &str, tell: &Tell) -> Result<Swept, LedgerError> {
    Patience::usual().transact(client, tell, "removing the ledger", |transaction| {
        let swept = sweep_in(transaction, run)?;
        if swept != Swept::Absent {
            tell.point("postgres.ledger.sweep")?;
        }
        Ok(swept)
    })
}

fn sweep_in(transaction: &mut Transaction<'_>, run: &str) -> Result<Swept, LedgerError> {
    if !present(transaction)? {
        return Ok(Swept::Absent);
    }
    for table in ["ledger", "cursor", "hand", "touched"] {
        transaction.execute(&format!("DELETE FROM switchback.{table} WHERE run = $1"), &[&run])?;
    }
    if read_mark(transaction)?.is_some_and(|mark| mark.run == run) {
        transaction.execute("DELETE FROM switchback.mark", &[])?;
    }
    let count = "SELECT (SELECT count(*) FROM switchback.ledger) + (SELECT count(*) FROM switchback.cursor) \
                 + (SELECT count(*) FROM switchback.hand) + (SELECT count(*) FROM switchback.touched) + (SELECT count(*) FROM switchback.mark)";
    let left: i64 = transaction.query_one(count, &[])?.get(0);
    if left > 0 {
        return Ok(Swept::Kept(left.unsigned_abs()));
    }
    let guests = "SELECT pg_catalog.format('%s %I', kind, name) FROM ( \
                  SELECT 'the relation' AS kind, relname AS name FROM pg_catalog.pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f') \
                  AND relnamespace = 'switchback'::regnamespace AND relname NOT IN ('ledger', 'cursor', 'hand', 'touched', 'mark') \
                  UNION ALL SELECT 'the function', proname FROM pg_catalog.pg_proc WHERE pronamespace = 'switchback'::regnamespace) g";
    let names: Vec<String> = transaction.query(guests, &[])?.iter().map(|row| row.get(0)).collect();
    if !names.is_empty() {
        return Err(LedgerError::Guests { names });
    }
    // Never CASCADE: what depends on our tables is not ours to drop.
    transaction.batch_execute(&format!(
        "DROP TABLE switchback.ledger, switchback.cursor, switchback.hand, switchback.touched, switchback.mark; DROP SCHEMA {}",
        quote(SCHEMA)?
    ))?;
    Ok(Swept::Dropped)
}

/// Reads a digest that was kept in a cursor.
pub fn digest_of(bytes: &[u8]) -> Option<Digest> {
    bytes.try_into().ok().map(Digest)
}
