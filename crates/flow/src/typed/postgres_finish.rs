//! What PostgreSQL wants around the streams: tables in the order of their foreign keys, sequences, a commit that lasts.

use std::collections::{BTreeMap, BTreeSet};

use postgres::Client;
use switchback_site::postgres::ledger::{self, CursorRow};
use switchback_site::postgres::{Database, quote};
use switchback_site::tell::Tell;

use super::hand::Hand;
use super::lane::Lane;
use super::postgres_shape::schema;
use super::reactions::full;
use crate::end::{CursorKey, Indexes, Options};
use crate::error::FlowError;
use crate::job::TableName;
use crate::postgres::aside::{self, Filled};
use crate::postgres::catalog;

/// The most rows that are counted of a source, to know whether a table will be large.
const COUNTED: u64 = 1_000_000;

/// Takes indexes and foreign keys of large tables down before the first row of the first life.
pub(super) fn set_aside(
    reader: &mut Hand,
    client: &mut Client,
    lanes: &mut [Lane],
    key: &CursorKey,
    options: Options,
    tell: &Tell,
) -> Result<(), FlowError> {
    if !ledger::cursors(client, &key.run, &key.step)?.is_empty() {
        // Rows on their way are named by their key, also while the target has none.
        for (table, columns) in aside::keys(client, key)? {
            for lane in lanes.iter_mut().filter(|lane| full(lane) == table && lane.key.is_empty()) {
                let place = |name: &String| lane.columns.iter().position(|column| column.name == *name);
                lane.key = columns.iter().map(place).collect::<Option<Vec<usize>>>().unwrap_or_default();
            }
        }
        return Ok(());
    }
    if options.indexes == Indexes::Kept {
        return Ok(());
    }
    let mut rows: BTreeMap<TableName, u64> = BTreeMap::new();
    for lane in lanes.iter() {
        let Hand::Sqlite(source) = reader else { return Ok(()) };
        let sql = format!("SELECT count(*) FROM (SELECT 1 FROM {} LIMIT {COUNTED})", lane.reads);
        let doing = FlowError::sqlite(format!("count {}", lane.from.describe()));
        *rows.entry(full(lane)).or_default() +=
            source.query_row(&sql, [], |row| row.get::<_, i64>(0)).map_err(doing)?.unsigned_abs();
    }
    let names: Vec<&TableName> = rows.keys().collect();
    let filled: Vec<Filled> = catalog::read(client, &names)?
        .values()
        .map(|table| Filled {
            oid: table.oid,
            rows: rows.get(&table.name).copied().unwrap_or(0),
            searched: false,
        })
        .collect();
    aside::set_aside(client, &filled, key, options.indexes.from(), &BTreeSet::new(), tell)?;
    Ok(())
}

/// Brings them back, and lets the server count the tables.
pub(super) fn put_back(
    to: &Database,
    client: &mut Client,
    lanes: &[Lane],
    key: &CursorKey,
    options: Options,
    rows: u64,
    tell: &Tell,
) -> Result<(), FlowError> {
    aside::put_back(to, client, key, options.workers, tell)?;
    let tables: Vec<TableName> = lanes.iter().map(full).collect::<BTreeSet<_>>().into_iter().collect();
    let workers = if rows < aside::FEW { 1 } else { options.workers };
    aside::analyze(to, client, key, &tables, workers, tell)
}

/// Puts referenced tables before those that refer to them. A table that refers to itself is written whole, in one
/// transaction, because a row may refer to one that comes later; a circle of tables is refused.
pub(super) fn in_order(client: &mut Client, lanes: &mut Vec<Lane>) -> Result<(), FlowError> {
    let sql = "SELECT a.nspname::text, r.relname::text, b.nspname::text, t.relname::text FROM pg_catalog.pg_constraint k \
               JOIN pg_catalog.pg_class r ON r.oid = k.conrelid JOIN pg_catalog.pg_namespace a ON a.oid = r.relnamespace \
               JOIN pg_catalog.pg_class t ON t.oid = k.confrelid JOIN pg_catalog.pg_namespace b ON b.oid = t.relnamespace \
               WHERE k.contype = 'f'";
    let rows = client.query(sql, &[]).map_err(FlowError::server("read the foreign keys"))?;
    let keys: Vec<[String; 4]> = rows.iter().map(|row| [0, 1, 2, 3].map(|at| row.get(at))).collect();
    let is = |lane: &Lane, schema_name: &str, table: &str| {
        schema(&lane.to) == schema_name && lane.to.table == table
    };
    let mut waiting = std::mem::take(lanes);
    while !waiting.is_empty() {
        let waits = |lane: &Lane| {
            let mut needed =
                keys.iter().filter(|key| is(lane, &key[0], &key[1]) && !is(lane, &key[2], &key[3]));
            needed.any(|key| waiting.iter().any(|other| is(other, &key[2], &key[3])))
        };
        let Some(next) = waiting.iter().position(|lane| !waits(lane)) else {
            let names: Vec<String> = waiting.iter().map(|lane| lane.to.describe()).collect();
            return Err(FlowError::Refused(vec![format!(
                "{} refer to one another in a circle, or to tables that do; drop a foreign key before and make it again after",
                names.join(", ")
            )]));
        };
        let mut lane = waiting.remove(next);
        lane.whole = keys.iter().any(|key| is(&lane, &key[0], &key[1]) && is(&lane, &key[2], &key[3]));
        lanes.push(lane);
    }
    Ok(())
}

/// Sets every sequence of a filled column behind the largest value of the column; never backwards. Returns what was set.
pub(super) fn sequences(
    client: &mut Client,
    lanes: &[Lane],
    tell: &Tell,
) -> Result<Vec<(String, i64)>, FlowError> {
    let mut set = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for lane in lanes.iter().filter(|lane| seen.insert(&lane.to)) {
        for column in &lane.columns {
            let doing =
                || FlowError::server(format!("set the sequence of {}.{}", lane.to.describe(), column.name));
            let find = "SELECT pg_catalog.pg_get_serial_sequence($1, $2)";
            let row = client.query_one(find, &[&lane.writes, &column.name]).map_err(doing())?;
            let Some(sequence) = row.get::<_, Option<String>>(0) else { continue };
            let (name, column) = (quote(&column.name)?, &lane.writes);
            // The name comes quoted from the server.
            let sql = format!(
                "SELECT m.most::bigint FROM (SELECT max({name}) AS most FROM {column}) m, {sequence} q \
                 WHERE m.most > q.last_value OR m.most = q.last_value AND NOT q.is_called"
            );
            let Some(row) = client.query_opt(&sql, &[]).map_err(doing())? else { continue };
            let most: i64 = row.get(0);
            tell.point("flow.sequence")?;
            let text = "SELECT pg_catalog.setval($1::text::pg_catalog.regclass, $2)";
            client.query_one(text, &[&sequence, &most]).map_err(doing())?;
            tell.point("flow.sequence.set")?;
            set.push((sequence, most));
        }
    }
    Ok(set)
}

/// Commits once more and waits for the disk: a commit is durable when a later one is, because the log is written in order.
pub(super) fn make_durable(client: &mut Client, key: &CursorKey, tell: &Tell) -> Result<(), FlowError> {
    let doing = || FlowError::server("make the rows durable");
    tell.point("flow.durable")?;
    let mut transaction = client.transaction().map_err(doing())?;
    // Whatever the server's default is: `off` would not wait.
    transaction.batch_execute("SET LOCAL synchronous_commit = on").map_err(doing())?;
    let row = CursorRow { part: "durable".to_owned(), rows: 0, digest: Vec::new(), done: true };
    ledger::put_cursor(&mut transaction, &key.run, &key.step, &row)?;
    transaction.commit().map_err(doing())?;
    Ok(tell.point("flow.durable.in")?)
}
