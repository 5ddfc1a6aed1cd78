//! Reading a table of SQLite: one pass in the order of its key, every row turned into a row of binary COPY.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row};
use serde::{Deserialize, Serialize};
use switchback_model::digest::{Cell, Digest};
use switchback_site::tell::Tell;

use super::lane::{Fill, Lane, Order};
use super::plan::list;
use super::wire::Piece;
use crate::cell::{CellError, Kind, encode, show_cell};
use crate::error::FlowError;

/// How many rows lie between two looks at the clock and the stop flag.
const ROWS: u64 = 65_536;

/// A cell of a key, kept as text: reals by their bits, so that nothing is rounded.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kept {
    Null,
    Integer(i64),
    Real(u64),
    Text(String),
    Bytes(Vec<u8>),
}

/// Begins the snapshot that everything is read in. It ends with the connection.
pub(super) fn begin(connection: &Connection) -> Result<(), FlowError> {
    let begun = connection.execute_batch("BEGIN").and_then(|()| {
        // BEGIN alone does not look yet (sqlite.org/lang_transaction.html).
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
    });
    begun.map_err(FlowError::sqlite("begin to read"))
}

/// Hands every piece behind `after` to `take`, until that says false.
pub(super) fn each_piece(
    connection: &Connection,
    lane: &Lane,
    after: Option<&str>,
    tell: &Tell,
    take: &mut dyn FnMut(Piece) -> Result<bool, FlowError>,
) -> Result<(), FlowError> {
    let doing = || FlowError::sqlite(format!("read {}", lane.from.describe()));
    let key: &[String] = match &lane.order {
        Order::Key(key) => key,
        _ => &[],
    };
    let mut selected = lane.selected();
    let values = selected.len().max(1);
    selected.extend(key.iter().map(String::as_str));
    let marks: Vec<String> = (1..=key.len()).map(|at| format!("?{at}")).collect();
    let behind = after.filter(|_| !key.is_empty());
    let more = behind.map(|_| format!("({}) > ({})", key.join(", "), marks.join(", ")));
    let order = if key.is_empty() { String::new() } else { format!(" ORDER BY {}", key.join(", ")) };
    let head = if lane.selected().is_empty() { "NULL, " } else { "" };
    let sql = format!("SELECT {head}{} FROM {}{}{order}", list(&selected), lane.reads, lane.condition(more));
    let mut statement = connection.prepare(&sql).map_err(doing())?;
    let kept: Vec<Kept> = match behind {
        None => Vec::new(),
        Some(text) => serde_json::from_str(text).map_err(|error| {
            FlowError::Bug(format!("the cursor of {} cannot be read: {error}", lane.from.describe()))
        })?,
    };
    for (at, kept) in kept.iter().enumerate() {
        let real;
        let value = match kept {
            Kept::Null => ValueRef::Null,
            Kept::Integer(value) => ValueRef::Integer(*value),
            Kept::Real(bits) => {
                real = f64::from_bits(*bits);
                ValueRef::Real(real)
            }
            Kept::Text(text) => ValueRef::Text(text.as_bytes()),
            Kept::Bytes(bytes) => ValueRef::Blob(bytes),
        };
        statement.raw_bind_parameter(at + 1, ToSqlOutput::Borrowed(value)).map_err(doing())?;
    }
    let bounds = bounds(connection, lane, key);
    let mut rows = statement.raw_query();
    let mut piece = Piece { bytes: Vec::with_capacity(lane.portions.piece * 9 / 8), ..Piece::default() };
    while let Some(row) = rows.next().map_err(doing())? {
        let from = piece.bytes.len();
        put_row(lane, row, values, &mut piece.bytes)?;
        piece.digest.add_row(&Digest::of(&piece.bytes[from..]));
        if piece.bytes.len() >= lane.portions.piece || piece.digest.rows == ROWS {
            tell.go_on()?;
            piece.after = place(row, values, key.len()).map_err(doing())?;
            piece.share = bounds.and_then(|(least, most)| {
                let here: i64 = row.get(values).ok()?;
                let part = |to: i64| to.wrapping_sub(least).cast_unsigned() as f64 + 1.0;
                Some(part(here) / part(most))
            });
            let fresh = Piece { bytes: Vec::with_capacity(piece.bytes.len() + 4096), ..Piece::default() };
            if !take(std::mem::replace(&mut piece, fresh))? {
                return Ok(());
            }
        }
    }
    if piece.digest.rows > 0 {
        // Nothing comes behind the last piece, so it needs no place to go on from.
        take(piece)?;
    }
    Ok(())
}

/// Returns the least and the largest rowid, which SQLite finds without a scan when it is asked for one at a time.
fn bounds(connection: &Connection, lane: &Lane, key: &[String]) -> Option<(i64, i64)> {
    let [key] = key else { return None };
    let sql =
        format!("SELECT (SELECT min({key}) FROM {}), (SELECT max({key}) FROM {})", lane.reads, lane.reads);
    connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?))).ok()
}

/// Appends one row.
fn put_row(lane: &Lane, row: &Row<'_>, values: usize, out: &mut Vec<u8>) -> Result<(), FlowError> {
    // PostgreSQL and SQLite both stop at fewer columns than this holds.
    out.extend_from_slice(&(lane.columns.len() as i16).to_be_bytes());
    let mut at = 0;
    for (number, column) in lane.columns.iter().enumerate() {
        if let Fill::Fixed(field) = &column.fill {
            out.extend_from_slice(field);
            continue;
        }
        let from = out.len();
        let cell =
            cell(row.get_ref(at).map_err(FlowError::sqlite(format!("read {}", lane.from.describe())))?);
        at += 1;
        let fitting = match cell {
            Cell::Null if column.not_null => Err(CellError::Null),
            cell => encode(&column.kind, cell, out),
        };
        let fitting = match fitting {
            Err(_) if lane.lenient => {
                // Compared, not moved: a value of no place in the type equals none that has one.
                out.truncate(from);
                encode(&Kind::Raw, cell, out)
            }
            fitting => fitting,
        };
        if let Err(reason) = fitting {
            let value = (!matches!(cell, Cell::Null)).then(|| show_cell(cell));
            return Err(lane.bad_cell(name(lane, row, values), number, value, &reason));
        }
    }
    Ok(())
}

/// Names the row by its key.
fn name(lane: &Lane, row: &Row<'_>, values: usize) -> String {
    let Order::Key(key) = &lane.order else { return String::new() };
    let shown = key.iter().enumerate().map(|(at, expression)| {
        let value = row.get_ref(values + at).map_or("?".to_owned(), |value| show_cell(cell(value)));
        let name = expression.trim_start_matches("s.").trim_end_matches(" COLLATE BINARY").replace('"', "");
        format!("{name} = {value}")
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// Where a reader goes on behind this row.
fn place(row: &Row<'_>, values: usize, keys: usize) -> Result<Option<String>, rusqlite::Error> {
    if keys == 0 {
        return Ok(None);
    }
    let mut kept = Vec::with_capacity(keys);
    for at in 0..keys {
        kept.push(match row.get_ref(values + at)? {
            ValueRef::Null => Kept::Null,
            ValueRef::Integer(value) => Kept::Integer(value),
            ValueRef::Real(value) => Kept::Real(value.to_bits()),
            ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Kept::Text(text.to_owned()),
                // A key that JSON cannot hold: the batch goes on behind it.
                Err(_) => return Ok(None),
            },
            ValueRef::Blob(bytes) => Kept::Bytes(bytes.to_vec()),
        });
    }
    Ok(serde_json::to_string(&kept).ok())
}

/// Returns the value as cells are called.
pub(super) fn cell(value: ValueRef<'_>) -> Cell<'_> {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(value) => Cell::Integer(value),
        ValueRef::Real(value) => Cell::Real(value),
        ValueRef::Text(bytes) => Cell::Text(bytes),
        ValueRef::Blob(bytes) => Cell::Blob(bytes),
    }
}
