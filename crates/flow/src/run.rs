//! The four questions of a move, whatever the two databases are.

use switchback_site::tell::Tell;

use crate::end::{CursorKey, Difference, End, Options, Report, TableProof};
use crate::error::FlowError;
use crate::job::{TableMove, TableName};
use crate::{postgres, typed};

/// Says whether `moves` fit the two databases, all that does not fit together, as [`FlowError::Refused`]. Reads only.
pub fn check(moves: &[TableMove], from: &End, to: &End, tell: &Tell) -> Result<(), FlowError> {
    match (from, to) {
        (End::Postgres(from), End::Postgres(to)) => postgres::check(moves, from, to, tell),
        _ => typed::check(moves, from, to, tell),
    }
}

/// Moves rows. A call that finds cursors of `key` goes on with what is left: no row is lost or doubled at any cut, ours or
/// the server's. After `Ok` every row is in the target and survives a power cut, and sequences are beyond all ids.
///
/// After an error the target holds the parts that cursors name, whole, and nothing else.
pub fn run(
    moves: &[TableMove],
    from: &End,
    to: &End,
    key: &CursorKey,
    options: Options,
    tell: &Tell,
) -> Result<Report, FlowError> {
    match (from, to) {
        (End::Postgres(from), End::Postgres(to)) => postgres::run(moves, from, to, key, options, tell),
        _ => typed::run(moves, from, to, key, options, tell),
    }
}

/// Compares what the sources say with what the target holds, one verdict a table of the target. Reads only.
///
/// Every column that a move fills counts, by the bytes that its type sends. A table that held other rows before the move
/// is unequal: the target's rows are all counted.
pub fn prove(
    moves: &[TableMove],
    from: &End,
    to: &End,
    options: Options,
    tell: &Tell,
) -> Result<Vec<TableProof>, FlowError> {
    match (from, to) {
        (End::Postgres(from), End::Postgres(to)) => postgres::prove(moves, from, to, options, tell),
        _ => typed::prove(moves, from, to, options, tell),
    }
}

/// Names up to `limit` rows of `table`, a table of the target, that differ from what the sources say. Reads only.
pub fn differing(
    table: &TableName,
    moves: &[TableMove],
    from: &End,
    to: &End,
    limit: usize,
    tell: &Tell,
) -> Result<Vec<Difference>, FlowError> {
    match (from, to) {
        (End::Postgres(from), End::Postgres(to)) => postgres::differing(table, moves, from, to, limit, tell),
        _ => typed::differing(table, moves, from, to, limit, tell),
    }
}
