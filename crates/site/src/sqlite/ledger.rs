//! The rows that say "this is in", inside the application's database and in the transaction of the effect itself.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

pub use crate::ledger_row::{LedgerRow, Swept};
use crate::tell::{Failure, Halt, Tell};

/// The name of our table.
pub const LEDGER: &str = "switchback_ledger";

const CREATE: &str = "CREATE TABLE switchback_ledger(\
    run TEXT NOT NULL, step TEXT NOT NULL, at TEXT NOT NULL, state_dir TEXT NOT NULL, note TEXT NOT NULL, \
    PRIMARY KEY(run, step))";

/// Why the ledger could not be read or written. The transaction it was asked in is untouched.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// An object of the application has our table's name.
    #[error(
        "use the table switchback_ledger: the database has one of its own, of another shape; rename that first"
    )]
    Foreign,
    /// Outside a transaction a row could survive its effect, or the effect its row.
    #[error("write to the ledger outside a transaction")]
    NoTransaction,
    /// SQLite failed.
    #[error("use the table switchback_ledger: {source}")]
    Sqlite {
        /// What SQLite says.
        #[from]
        source: rusqlite::Error,
    },
    /// Stopped on the way.
    #[error(transparent)]
    Halt(#[from] Halt),
}

impl Failure for LedgerError {
    fn halt(&self) -> Option<Halt> {
        match self {
            LedgerError::Halt(halt) => Some(*halt),
            _ => None,
        }
    }
}

/// Writes `row` in the transaction that is open on `connection`, and creates the table where it is missing.
/// A row of the same run and step is replaced, which is how a cursor moves.
pub fn record(connection: &Connection, row: &LedgerRow) -> Result<(), LedgerError> {
    if connection.is_autocommit() {
        return Err(LedgerError::NoTransaction);
    }
    if !present(connection)? {
        connection.execute_batch(CREATE)?;
    }
    connection.execute(
        "INSERT INTO main.switchback_ledger(run, step, at, state_dir, note) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT(run, step) DO UPDATE SET at = excluded.at, state_dir = excluded.state_dir, note = excluded.note",
        (&row.run, &row.step, &row.at, &row.state_dir, &row.note),
    )?;
    Ok(())
}

/// Deletes the row of one step in the transaction that is open on `connection`: the effect is being taken back.
pub fn forget(connection: &Connection, run: &str, step: &str) -> Result<(), LedgerError> {
    if connection.is_autocommit() {
        return Err(LedgerError::NoTransaction);
    }
    if present(connection)? {
        connection.execute("DELETE FROM main.switchback_ledger WHERE run = ?1 AND step = ?2", (run, step))?;
    }
    Ok(())
}

/// Returns all rows, of all runs.
pub fn rows(connection: &Connection) -> Result<Vec<LedgerRow>, LedgerError> {
    if !present(connection)? {
        return Ok(Vec::new());
    }
    let mut statement = connection
        .prepare("SELECT run, step, at, state_dir, note FROM main.switchback_ledger ORDER BY run, step")?;
    let rows = statement.query_map([], |row| {
        Ok(LedgerRow {
            run: row.get(0)?,
            step: row.get(1)?,
            at: row.get(2)?,
            state_dir: row.get(3)?,
            note: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Says whether the effect of this step is in.
pub fn has(connection: &Connection, run: &str, step: &str) -> Result<bool, LedgerError> {
    Ok(note(connection, run, step)?.is_some())
}

/// Returns the note of this step, if its effect is in.
pub fn note(connection: &Connection, run: &str, step: &str) -> Result<Option<String>, LedgerError> {
    if !present(connection)? {
        return Ok(None);
    }
    let sql = "SELECT note FROM main.switchback_ledger WHERE run = ?1 AND step = ?2";
    Ok(connection.query_row(sql, (run, step), |row| row.get(0)).optional()?)
}

/// Removes the rows of `run`, and the table when nothing else is in it. Twice is once.
pub fn sweep(connection: &mut Connection, run: &str, tell: &Tell) -> Result<Swept, LedgerError> {
    if !present(connection)? {
        return Ok(Swept::Absent);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Somebody may have been faster between the look and the lock.
    if !present(&transaction)? {
        return Ok(Swept::Absent);
    }
    transaction.execute("DELETE FROM main.switchback_ledger WHERE run = ?1", [run])?;
    let left: i64 =
        transaction.query_row("SELECT count(*) FROM main.switchback_ledger", [], |row| row.get(0))?;
    if left == 0 {
        transaction.execute_batch("DROP TABLE main.switchback_ledger")?;
    }
    tell.point("sqlite.ledger.sweep")?;
    transaction.commit()?;
    tell.point("sqlite.ledger.swept")?;
    Ok(if left == 0 { Swept::Dropped } else { Swept::Kept(left.unsigned_abs()) })
}

/// Says whether our table is there; an object of another shape under its name is an error.
fn present(connection: &Connection) -> Result<bool, LedgerError> {
    let sql = "SELECT type, sql FROM main.sqlite_schema WHERE name = ?1 COLLATE NOCASE";
    let found = connection
        .query_row(sql, [LEDGER], |row| {
            // The text that SQLite keeps is the text we gave, so equality is the whole test of the shape.
            let text = |value: ValueRef<'_>, wanted: &str| value == ValueRef::Text(wanted.as_bytes());
            Ok(text(row.get_ref(0)?, "table") && text(row.get_ref(1)?, CREATE))
        })
        .optional()?;
    match found {
        None => Ok(false),
        Some(true) => Ok(true),
        Some(false) => Err(LedgerError::Foreign),
    }
}
