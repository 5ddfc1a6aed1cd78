//! Which parts are in: rows of ours in the target database, committed with the rows that they stand for.

use std::collections::BTreeMap;

use postgres::{Client, GenericClient, Transaction};
use switchback_model::digest::Digest;

use crate::end::CursorKey;
use crate::error::FlowError;

/// The name of the part that says that everything is in.
pub(super) const ALL: &str = "all";

/// A part that is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Done {
    pub rows: u64,
    pub dropped: u64,
}

const CREATE: &str = "CREATE SCHEMA IF NOT EXISTS switchback; \
    COMMENT ON SCHEMA switchback IS 'switchback: the steps of a run that are in; gone when the run is swept'; \
    CREATE TABLE IF NOT EXISTS switchback.cursor(run text NOT NULL, step text NOT NULL, part text NOT NULL, \
    rows bigint NOT NULL, digest bytea, done bool NOT NULL, \
    xid xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id(), PRIMARY KEY(run, step, part))";

/// Makes the table where it is missing.
pub(super) fn ensure(client: &mut Client) -> Result<(), FlowError> {
    client.batch_execute(CREATE).map_err(FlowError::server("make our table switchback.cursor"))
}

/// Returns the parts that are in.
pub(super) fn read(client: &mut Client, key: &CursorKey) -> Result<BTreeMap<String, Done>, FlowError> {
    let doing = || FlowError::server("read our table switchback.cursor");
    let there: bool = client
        .query_one("SELECT pg_catalog.to_regclass('switchback.cursor') IS NOT NULL", &[])
        .map_err(doing())?
        .get(0);
    if !there {
        return Ok(BTreeMap::new());
    }
    let rows = client
        .query(
            "SELECT part, rows FROM switchback.cursor WHERE run = $1 AND step = $2 AND done",
            &[&key.run, &key.step],
        )
        .map_err(doing())?;
    let mut parts: BTreeMap<String, Done> = BTreeMap::new();
    for row in rows {
        let (name, rows): (String, i64) = (row.get(0), row.get(1));
        let rows = rows.unsigned_abs();
        match name.strip_suffix(" dropped") {
            Some(part) => parts.entry(part.to_owned()).or_insert(Done { rows: 0, dropped: 0 }).dropped = rows,
            None => parts.entry(name).or_insert(Done { rows: 0, dropped: 0 }).rows = rows,
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
            "INSERT INTO switchback.cursor(run, step, part, rows, done) \
             SELECT $1, $2, part, 0, true FROM pg_catalog.unnest($3::text[]) part \
             ON CONFLICT (run, step, part) DO NOTHING RETURNING part",
            &[&key.run, &key.step, &parts],
        )
        .map_err(FlowError::server("write to our table switchback.cursor"))?;
    let ours: std::collections::BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    Ok(parts.iter().map(|part| ours.contains(part)).collect())
}

/// Says in the same transaction what the claimed parts came to.
pub(super) fn settle(
    transaction: &mut Transaction<'_>,
    key: &CursorKey,
    parts: &[(String, Done, Option<Digest>)],
) -> Result<(), FlowError> {
    let doing = || FlowError::server("write to our table switchback.cursor");
    let names: Vec<&str> = parts.iter().map(|(part, ..)| part.as_str()).collect();
    let rows: Vec<i64> = parts.iter().map(|(_, done, _)| signed(done.rows)).collect();
    let digests: Vec<Option<&[u8]>> =
        parts.iter().map(|(.., digest)| digest.as_ref().map(|digest| digest.0.as_slice())).collect();
    transaction
        .execute(
            "UPDATE switchback.cursor c SET rows = p.rows, digest = p.digest \
             FROM pg_catalog.unnest($3::text[], $4::int8[], $5::bytea[]) p(part, rows, digest) \
             WHERE c.run = $1 AND c.step = $2 AND c.part = p.part",
            &[&key.run, &key.step, &names, &rows, &digests],
        )
        .map_err(doing())?;
    for (part, done, _) in parts.iter().filter(|(_, done, _)| done.dropped > 0) {
        put(transaction, key, &format!("{part} dropped"), done.dropped)?;
    }
    Ok(())
}

/// Writes one row, over an earlier one of the same part.
pub(super) fn put(
    client: &mut impl GenericClient,
    key: &CursorKey,
    part: &str,
    rows: u64,
) -> Result<(), FlowError> {
    client
        .execute(
            "INSERT INTO switchback.cursor(run, step, part, rows, done) VALUES ($1, $2, $3, $4, true) \
             ON CONFLICT (run, step, part) DO UPDATE SET rows = excluded.rows",
            &[&key.run, &key.step, &part, &signed(rows)],
        )
        .map_err(FlowError::server("write to our table switchback.cursor"))?;
    Ok(())
}

fn signed(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
