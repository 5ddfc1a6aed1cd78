//! Foreign hands: rows that others wrote since a moment, found by the numbers of their transactions.

use std::collections::{BTreeMap, BTreeSet};

use postgres::GenericClient;
use serde::{Deserialize, Serialize};

use super::hands::WIDE;
use super::ledger::{self, LedgerError};
use super::names::literal;

/// A moment: which transactions were over, and how many rows there were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// The transactions that were over, as `pg_current_snapshot` prints them.
    pub snapshot: String,
    /// How many rows each table had, by its quoted name.
    pub rows: BTreeMap<String, u64>,
}

/// Notes this moment. Counting reads every table once, inside of the server.
pub fn baseline(client: &mut impl GenericClient, schemas: &[String]) -> Result<Baseline, LedgerError> {
    let mut rows = BTreeMap::new();
    for table in tables(client, schemas)? {
        let count: i64 = client.query_one(&format!("SELECT count(*) FROM ONLY {table}"), &[])?.get(0);
        rows.insert(table, count.unsigned_abs());
    }
    Ok(Baseline { snapshot: snapshot(client)?, rows })
}

/// Which transactions are over for this session's view.
pub(super) fn snapshot(client: &mut impl GenericClient) -> Result<String, postgres::Error> {
    Ok(client.query_one("SELECT pg_current_snapshot()::text", &[])?.get(0))
}

/// Names the tables that others than `run` have written to since `baseline`, each with how many rows. Empty when nobody has.
///
/// A row is foreign when the transaction that wrote it was not over at the baseline and is none of ours. Rows that are gone are
/// seen by their number, in tables that our own transactions have only added to: there, fewer old rows than at the baseline
/// means that somebody deleted or replaced some.
///
/// It cannot see: rows that others added and took away again; what others deleted from tables in which we changed or deleted
/// rows ourselves; changes of the catalog and of sequences (the fingerprint sees those). A row that is older than four thousand
/// million transactions may be taken for a new one when its number comes round; that is a false alarm and never a miss.
/// Each table is read once inside of the server; nothing is transferred.
pub fn foreign(
    client: &mut impl GenericClient,
    schemas: &[String],
    baseline: &Baseline,
    run: &str,
) -> Result<Vec<String>, LedgerError> {
    let (hands, touched) = if ledger::present(client)? {
        let names = client.query("SELECT name FROM switchback.touched WHERE run = $1", &[&run])?;
        let names: BTreeSet<String> = names.iter().map(|row| row.get(0)).collect();
        (format!("SELECT xid FROM switchback.hand WHERE run = {}", literal(run)?), names)
    } else {
        ("SELECT NULL::xid8 WHERE false".to_owned(), BTreeSet::new())
    };
    let snapshot = literal(&baseline.snapshot)?;
    let mut found = Vec::new();
    let present = tables(client, schemas)?;
    for table in &present {
        let sql = format!(
            "SELECT count(*) FILTER (WHERE old), count(*) FILTER (WHERE NOT old AND NOT ours) FROM ( \
                 SELECT pg_visible_in_snapshot(xid, {snapshot}::pg_snapshot) AS old, xid IN ({hands}) AS ours \
                 FROM (SELECT {WIDE} AS xid FROM ONLY {table} r) w) q"
        );
        let row = client.query_one(&sql, &[])?;
        let (old, foreign) = (row.get::<_, i64>(0).unsigned_abs(), row.get::<_, i64>(1));
        let before = baseline.rows.get(table).copied().unwrap_or(0);
        let gone = if touched.contains(table) { 0 } else { before.saturating_sub(old) };
        let rows = |count: u64| switchback_model::words::count(count, "row");
        match (foreign, gone) {
            (0, 0) => {}
            (0, gone) => found.push(format!("{table}: {} deleted by others", rows(gone))),
            (foreign, 0) => {
                found.push(format!("{table}: {} written by others", rows(foreign.unsigned_abs())))
            }
            (foreign, gone) => found.push(format!(
                "{table}: {} written and {} deleted or replaced by others",
                rows(foreign.unsigned_abs()),
                rows(gone)
            )),
        }
    }
    let gone = baseline.rows.keys().filter(|table| !present.contains(*table) && !touched.contains(*table));
    found.extend(gone.map(|table| format!("{table}: dropped or renamed by others")));
    Ok(found)
}

fn tables(client: &mut impl GenericClient, schemas: &[String]) -> Result<Vec<String>, postgres::Error> {
    let rows = client.query(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' \
           AND n.nspname = ANY ($1::text[]::name[]) AND n.nspname <> 'switchback' \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e') \
         ORDER BY 1",
        &[&schemas],
    )?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
