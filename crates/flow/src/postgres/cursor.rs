//! Which parts are in: rows of ours in the target database, committed with the rows that they stand for.

use std::collections::BTreeMap;

use postgres::{Client, Transaction};
use switchback_site::postgres::CursorRow;
use switchback_site::postgres::ledger;

use super::aside::ASIDE;
use crate::end::CursorKey;
use crate::error::FlowError;

/// The name of the part that says that everything is in.
pub(super) const ALL: &str = "all";

/// What follows the name of a part in the row that says how many of its rows were dropped.
const DROPPED: &str = " dropped";

/// A part that is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Done {
    pub rows: u64,
    pub dropped: u64,
}

/// What a cursor has in place of a digest.
const NO_DIGEST: &[u8] = &[];

/// Makes our schema where it is missing.
pub(super) fn ensure(client: &mut Client) -> Result<(), FlowError> {
    Ok(ledger::ensure(client)?)
}

/// Returns the parts that are in.
pub(super) fn read(client: &mut Client, key: &CursorKey) -> Result<BTreeMap<String, Done>, FlowError> {
    let mut parts: BTreeMap<String, Done> = BTreeMap::new();
    for row in ledger::cursors(client, &key.run, &key.step)? {
        // Indexes that were taken down are no parts.
        if row.part.starts_with(ASIDE) {
            continue;
        }
        match row.part.strip_suffix(DROPPED) {
            Some(part) => parts.entry(part.to_owned()).or_default().dropped = row.rows,
            None => parts.entry(row.part).or_default().rows = row.rows,
        }
    }
    Ok(parts)
}

/// Claims a part in the transaction that will move it, before its first row: whoever comes second waits for the end of the
/// first and then finds the part taken. So not even a commit that was still on its way when its client died can double
/// rows. Returns whether the part is ours.
pub(super) fn claim(
    transaction: &mut Transaction<'_>,
    key: &CursorKey,
    parts: &[String],
) -> Result<Vec<bool>, FlowError> {
    let rows = transaction
        .query(
            "WITH hand AS (INSERT INTO switchback.hand(run) VALUES ($1) ON CONFLICT DO NOTHING) \
             INSERT INTO switchback.cursor(run, step, part, rows, digest, done) \
             SELECT $1, $2, part, 0, $4, true FROM unnest($3::text[]) part \
             ON CONFLICT (run, step, part) DO NOTHING RETURNING part",
            &[&key.run, &key.step, &parts, &NO_DIGEST],
        )
        .map_err(FlowError::server("write to our table switchback.cursor"))?;
    let ours: std::collections::BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    Ok(parts.iter().map(|part| ours.contains(part)).collect())
}

/// Says in the same transaction what the claimed parts came to.
pub(super) fn settle(
    transaction: &mut Transaction<'_>,
    key: &CursorKey,
    parts: &[(String, Done)],
) -> Result<(), FlowError> {
    let names: Vec<&str> = parts.iter().map(|(part, _)| part.as_str()).collect();
    let rows: Vec<i64> = parts.iter().map(|(_, done)| i64::try_from(done.rows).unwrap_or(i64::MAX)).collect();
    transaction
        .execute(
            "UPDATE switchback.cursor c SET rows = p.rows \
             FROM unnest($3::text[], $4::int8[]) p(part, rows) \
             WHERE c.run = $1 AND c.step = $2 AND c.part = p.part",
            &[&key.run, &key.step, &names, &rows],
        )
        .map_err(FlowError::server("write to our table switchback.cursor"))?;
    for (part, done) in parts.iter().filter(|(_, done)| done.dropped > 0) {
        put(transaction, key, &format!("{part}{DROPPED}"), done.dropped)?;
    }
    Ok(())
}

/// Writes one row, over an earlier one of the same part.
pub(super) fn put(
    transaction: &mut Transaction<'_>,
    key: &CursorKey,
    part: &str,
    rows: u64,
) -> Result<(), FlowError> {
    let row = CursorRow { part: part.to_owned(), rows, digest: NO_DIGEST.to_vec(), done: true };
    Ok(ledger::put_cursor(transaction, &key.run, &key.step, &row)?)
}
