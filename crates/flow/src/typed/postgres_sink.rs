//! Writing into a table of PostgreSQL: binary COPY, a batch a transaction, its cursor in the same one.

use std::io::Write;

use postgres::{Client, Transaction};
use switchback_site::postgres::copy_stream::{SIGNATURE, TRAILER};
use switchback_site::postgres::ledger::{self, CursorRow};
use switchback_site::postgres::quote;
use switchback_site::tell::Tell;

use super::lane::Lane;
use super::track::Track;
use super::wire::{Cursor, Inlet, Piece, rows, take};
use crate::end::CursorKey;
use crate::error::FlowError;

/// The lock under which a batch and its cursor are written: a dead life's last statement may still be at work.
const LOCK: i32 = 1_398_817_365;

/// Where a cursor of one move is kept.
pub(super) fn part(lane: &Lane) -> String {
    format!("{:06} {}", lane.number, lane.to.describe())
}

/// Reads how far a move has come.
pub(super) fn cursor(
    client: &mut impl postgres::GenericClient,
    lane: &Lane,
    key: &CursorKey,
) -> Result<Cursor, FlowError> {
    let part = part(lane);
    let found = ledger::cursors(client, &key.run, &key.step)?.into_iter().find(|row| row.part == part);
    let Some(row) = found else { return Ok(Cursor::default()) };
    serde_json::from_slice(&row.digest)
        .map_err(|error| FlowError::Bug(format!("the cursor of {part} cannot be read: {error}")))
}

/// Writes what comes in until nothing does. `cursor` is where the reader began.
pub(super) fn write(
    client: &mut Client,
    lane: &Lane,
    key: &CursorKey,
    mut cursor: Cursor,
    inlet: &Inlet,
    track: &mut Track<'_>,
    tell: &Tell,
) -> Result<Cursor, FlowError> {
    let names = lane.columns.iter().map(|column| quote(&column.name)).collect::<Result<Vec<_>, _>>()?;
    let sql = format!("COPY {} ({}) FROM STDIN (FORMAT binary)", lane.writes, names.join(", "));
    while !cursor.done {
        tell.go_on()?;
        let doing = || FlowError::server(format!("write to {}", lane.to.describe()));
        let mut transaction = client.transaction().map_err(doing())?;
        // A commit that a crash of the server loses takes its cursor with it, so it is done again
        // (postgresql.org/docs/current/wal-async-commit.html); the last commit of a run is waited for.
        transaction.batch_execute("SET LOCAL synchronous_commit = off").map_err(doing())?;
        meet(&mut transaction, lane, key, &cursor)?;
        let begun = cursor.moved.rows;
        let mut kept = Kept::default();
        let written = fill(&mut transaction, &sql, lane, &mut cursor, inlet, &mut kept, track, tell);
        let copied = written.map_err(|error| kept.explain(lane, error))?;
        if copied != cursor.moved.rows - begun {
            let text = format!(
                "the server counts {copied} rows of {}, and we sent another number",
                lane.to.describe()
            );
            return Err(FlowError::Bug(text));
        }
        put(&mut transaction, lane, key, &cursor)?;
        tell.point("flow.batch")?;
        transaction.commit().map_err(doing())?;
        tell.point("flow.batch.in")?;
    }
    Ok(cursor)
}

/// Waits for a statement of a dead life that is still at work on this move, and makes sure that it changed nothing.
fn meet(
    transaction: &mut Transaction<'_>,
    lane: &Lane,
    key: &CursorKey,
    wanted: &Cursor,
) -> Result<(), FlowError> {
    let text = format!("{} {} {}", key.run, key.step, lane.number);
    let sql = "SELECT pg_catalog.pg_advisory_xact_lock($1, pg_catalog.hashtext($2))";
    transaction
        .execute(sql, &[&LOCK, &text])
        .map_err(FlowError::server("wait for an earlier life of this run"))?;
    if cursor(transaction, lane, key)? == *wanted {
        return Ok(());
    }
    Err(FlowError::Refused(vec![format!(
        "{}: somebody else goes on with the same step; when it has ended, resume",
        lane.to.describe()
    )]))
}

fn put(
    transaction: &mut Transaction<'_>,
    lane: &Lane,
    key: &CursorKey,
    cursor: &Cursor,
) -> Result<(), FlowError> {
    let digest = serde_json::to_vec(cursor).map_err(|error| FlowError::Bug(error.to_string()))?;
    let row = CursorRow { part: part(lane), rows: cursor.moved.rows, digest, done: cursor.done };
    Ok(ledger::put_cursor(transaction, &key.run, &key.step, &row)?)
}

/// Streams one batch. It ends where a reader can go on: behind a piece that says where.
#[allow(clippy::too_many_arguments)]
fn fill(
    transaction: &mut Transaction<'_>,
    sql: &str,
    lane: &Lane,
    cursor: &mut Cursor,
    inlet: &Inlet,
    kept: &mut Kept,
    track: &mut Track<'_>,
    tell: &Tell,
) -> Result<u64, FlowError> {
    let writing = || format!("write to {}", lane.to.describe());
    let broken = |error: std::io::Error| FlowError::written(writing(), error);
    let mut writer = transaction.copy_in(sql).map_err(FlowError::server(writing()))?;
    writer.write_all(&[SIGNATURE.as_slice(), &[0; 8]].concat()).map_err(broken)?;
    let mut bytes = 0;
    loop {
        let Some(piece) = take(inlet)? else {
            cursor.done = true;
            break;
        };
        writer.write_all(&piece.bytes).map_err(broken)?;
        bytes += piece.bytes.len();
        cursor.pass(&piece);
        track.passed(cursor, piece.share);
        let can_end = piece.after.is_some() && !lane.whole;
        kept.keep(piece);
        if can_end && (bytes >= lane.portions.batch || tell.go_on().is_err()) {
            break;
        }
    }
    writer.write_all(&TRAILER).map_err(broken)?;
    writer.finish().map_err(FlowError::server(writing()))
}

/// The last pieces of a batch, so that a row that the server refuses by its line can be named.
#[derive(Default)]
struct Kept {
    pieces: std::collections::VecDeque<Piece>,
    /// Rows before those that are kept.
    before: u64,
}

impl Kept {
    fn keep(&mut self, piece: Piece) {
        self.pieces.push_back(piece);
        // The server is behind by what lies in buffers: two megabytes of ours and the socket's.
        if self.pieces.len() > 16 {
            self.before += self.pieces.pop_front().map_or(0, |piece| piece.digest.rows);
        }
    }

    /// Names the row that the server means by a line of COPY.
    fn explain(&self, lane: &Lane, error: FlowError) -> FlowError {
        let Some(answer) = error.database() else { return error };
        // The context reads `COPY t, line 7, column a`, or `COPY t, line 7`.
        let line = answer.where_().and_then(|place| {
            let digits = place.split_once(", line ")?.1;
            let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
            digits[..end].parse::<u64>().ok()
        });
        let Some(mut skip) = line.and_then(|line| line.checked_sub(self.before + 1)) else { return error };
        for piece in &self.pieces {
            if skip >= piece.digest.rows {
                skip -= piece.digest.rows;
                continue;
            }
            let at = usize::try_from(skip).unwrap_or(usize::MAX);
            let row = rows(&piece.bytes).nth(at).map_or(String::new(), |row| lane.name_row(row));
            let column = answer.column().map(str::to_owned).or_else(|| {
                let named = answer.where_()?.split_once(", column ")?.1;
                Some(named.split([':', '\n']).next().unwrap_or(named).to_owned())
            });
            return FlowError::Cell {
                from: lane.from.describe(),
                to: lane.to.describe(),
                row,
                column: column.unwrap_or_else(|| "(the whole row)".to_owned()),
                value: None,
                reason: answer.detail().map_or(answer.message().to_owned(), |detail| {
                    format!("{}; {}", answer.message(), detail.trim_end_matches('.'))
                }),
            };
        }
        error
    }
}
