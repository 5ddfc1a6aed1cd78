//! Writing into a table of SQLite: one prepared insert, a batch a transaction, its cursor in the same one.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Statement, TransactionBehavior};
use switchback_model::digest::Cell;
use switchback_site::sqlite::ledger::{self, LedgerRow};
use switchback_site::tell::Tell;

use super::lane::Lane;
use super::sqlite_shape::quote;
use super::track::Track;
use super::wire::{Cursor, Inlet, Piece, fields, rows, take};
use crate::cell::{CellError, decode, show};
use crate::end::CursorKey;
use crate::error::FlowError;

/// The ledger's step of the `batch`-th transaction of a move. Every transaction leaves a row of its own, because the number
/// of our rows is what tells our transactions from those of others.
fn step(key: &CursorKey, lane: &Lane, batch: u64) -> String {
    format!("{}#{:06}.{batch:08}", key.step, lane.number)
}

/// Reads how far a move has come, and how many batches that took.
pub(super) fn cursor(
    connection: &Connection,
    lane: &Lane,
    key: &CursorKey,
) -> Result<(Cursor, u64), FlowError> {
    let head = format!("{}#{:06}.", key.step, lane.number);
    let ours =
        ledger::rows(connection)?.into_iter().filter(|row| row.run == key.run && row.step.starts_with(&head));
    let Some(last) = ours.max_by(|one, other| one.step.cmp(&other.step)) else {
        return Ok((Cursor::default(), 0));
    };
    let odd = || FlowError::Bug(format!("the cursor of {} cannot be read", lane.to.describe()));
    let batch: u64 = last.step[head.len()..].parse().map_err(|_| odd())?;
    let cursor = serde_json::from_str(&last.note).map_err(|_| odd())?;
    Ok((cursor, batch + 1))
}

/// Writes what comes in until nothing does. `cursor` is where the reader began.
pub(super) fn write(
    connection: &mut Connection,
    lane: &Lane,
    key: &CursorKey,
    mut cursor: Cursor,
    inlet: &Inlet,
    track: &mut Track<'_>,
    tell: &Tell,
) -> Result<Cursor, FlowError> {
    let doing = || FlowError::sqlite(format!("write to {}", lane.to.describe()));
    let names: Vec<String> = lane.columns.iter().map(|column| quote(&column.name)).collect();
    let marks: Vec<String> = (1..=names.len()).map(|at| format!("?{at}")).collect();
    // Said in so many words, because a column may be declared to skip or to replace rows.
    let sql =
        format!("INSERT OR ABORT INTO {} ({}) VALUES ({})", lane.writes, names.join(", "), marks.join(", "));
    let found = self::cursor(connection, lane, key)?;
    if found.0 != cursor {
        return Err(FlowError::Bug(format!("the cursor of {} moved by itself", lane.to.describe())));
    }
    let mut batch = found.1;
    // The run directory is known to the rows that the engine wrote before.
    let known = ledger::rows(connection)?.into_iter().find(|row| row.run == key.run);
    let (at, state_dir) = known.map_or((String::new(), String::new()), |row| (row.at, row.state_dir));
    while !cursor.done {
        tell.go_on()?;
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(doing())?;
        let mut statement = transaction.prepare_cached(&sql).map_err(doing())?;
        let mut bytes = 0;
        loop {
            let Some(piece) = take(inlet)? else {
                cursor.done = true;
                break;
            };
            insert(lane, &mut statement, &piece)?;
            bytes += piece.bytes.len();
            cursor.pass(&piece);
            track.passed(&cursor, piece.share);
            if piece.after.is_some() && !lane.whole && (bytes >= lane.portions.batch || tell.go_on().is_err())
            {
                break;
            }
        }
        drop(statement);
        let note = serde_json::to_string(&cursor).map_err(|error| FlowError::Bug(error.to_string()))?;
        let (run, step) = (key.run.clone(), step(key, lane, batch));
        ledger::record(
            &transaction,
            &LedgerRow { run, step, at: at.clone(), state_dir: state_dir.clone(), note },
        )?;
        tell.point("flow.batch")?;
        transaction.commit().map_err(doing())?;
        tell.point("flow.batch.in")?;
        batch += 1;
    }
    Ok(cursor)
}

fn insert(lane: &Lane, statement: &mut Statement<'_>, piece: &Piece) -> Result<(), FlowError> {
    let doing = || FlowError::sqlite(format!("write to {}", lane.to.describe()));
    let mut scratch = String::new();
    for row in rows(&piece.bytes) {
        for (number, (field, column)) in fields(row).zip(&lane.columns).enumerate() {
            let bad = |reason| lane.bad_cell(lane.name_row(row), number, show(&column.kind, field), &reason);
            if field.is_none() && column.not_null {
                return Err(bad(CellError::Null));
            }
            let cell = decode(&column.kind, field, column.affinity, &mut scratch).map_err(bad)?;
            let value = match cell {
                Cell::Null => ValueRef::Null,
                // SQLite stores NaN as NULL (sqlite.org/floatingpoint.html).
                Cell::Real(value) if value.is_nan() => return Err(bad(CellError::NotANumber)),
                Cell::Integer(value) => ValueRef::Integer(value),
                Cell::Real(value) => ValueRef::Real(value),
                Cell::Text(bytes) => ValueRef::Text(bytes),
                Cell::Blob(bytes) => ValueRef::Blob(bytes),
            };
            statement.raw_bind_parameter(number + 1, ToSqlOutput::Borrowed(value)).map_err(doing())?;
        }
        if let Err(error) = statement.raw_execute() {
            return Err(match error.sqlite_error_code() {
                // A value or a row that the table refuses: it has a name.
                Some(rusqlite::ErrorCode::ConstraintViolation) => FlowError::Cell {
                    from: lane.from.describe(),
                    to: lane.to.describe(),
                    row: lane.name_row(row),
                    column: "(the whole row)".to_owned(),
                    value: None,
                    reason: error.to_string(),
                },
                _ => doing()(error),
            });
        }
    }
    Ok(())
}
