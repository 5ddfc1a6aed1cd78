//! Taking indexes and foreign keys down: their definitions are in our ledger in the transaction in which they go.

use std::collections::BTreeSet;

use postgres::{Client, GenericClient, Transaction};
use serde::{Deserialize, Serialize};
use switchback_site::postgres::{CursorRow, Patience, ledger};
use switchback_site::tell::Tell;

use super::ASIDE;
use super::choose::{Chosen, Filled, choose};
use super::definition::{Definition, Index, Key, full};
use crate::end::CursorKey;
use crate::error::FlowError;
use crate::job::TableName;

/// Something that was taken down, as our ledger has it.
#[derive(Debug, Clone)]
pub(super) struct Away {
    /// The name of its row.
    pub part: String,
    /// What it was.
    pub definition: Definition,
    /// About how many rows it will have.
    pub rows: u64,
    /// How many of the transactions that bring it back are in.
    pub steps: usize,
    /// Whether it is back.
    pub back: bool,
}

/// What is kept of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    definition: Definition,
    rows: u64,
}

/// Says which foreign keys of `must` can be taken down. Reads only.
pub(crate) fn would_go(
    client: &mut Client,
    filled: &[Filled],
    must: &BTreeSet<u32>,
) -> Result<BTreeSet<u32>, FlowError> {
    Ok(choose(client, filled, u64::MAX, must)?.foreign)
}

/// Takes down what can be taken down of `filled` where `from` rows or more are expected, and the foreign keys of `must`
/// wherever they can be, in one transaction with the definitions of it. Returns how many objects went. What others change meanwhile is left as it is.
///
/// No reader is kept waiting for longer than the lock timeout of a session of ours.
pub(crate) fn set_aside(
    client: &mut Client,
    filled: &[Filled],
    key: &CursorKey,
    from: u64,
    must: &BTreeSet<u32>,
    tell: &Tell,
) -> Result<usize, FlowError> {
    let seen = choose(client, filled, from, must)?;
    if seen.definitions.is_empty() {
        return Ok(0);
    }
    tell.point("flow.aside")?;
    let doing = "taking indexes down for the load";
    let gone = Patience::usual().transact(client, tell, doing, |transaction| {
        lock(transaction, &seen)?;
        // Behind the lock nobody changes any of it.
        if choose(transaction, filled, from, must)? != seen {
            return Ok::<usize, FlowError>(0);
        }
        take_down(transaction, &seen, filled, key)?;
        tell.point("flow.aside.down")?;
        Ok(seen.definitions.len())
    })?;
    tell.point("flow.aside.in")?;
    Ok(gone)
}

fn lock(transaction: &mut Transaction<'_>, chosen: &Chosen) -> Result<(), FlowError> {
    let doing = || FlowError::server("lock the tables whose indexes are taken down");
    let oids: Vec<u32> = chosen.locked.iter().copied().collect();
    let sql = "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY ($1::oid[]) ORDER BY c.oid";
    let names: Vec<String> = transaction
        .query(sql, &[&oids])
        .map_err(doing())?
        .iter()
        .map(|row| format!("ONLY {}", row.get::<_, &str>(0)))
        .collect();
    transaction
        .batch_execute(&format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", names.join(", ")))
        .map_err(doing())
}

fn take_down(
    transaction: &mut Transaction<'_>,
    chosen: &Chosen,
    filled: &[Filled],
    key: &CursorKey,
) -> Result<(), FlowError> {
    for (number, definition) in chosen.definitions.iter().enumerate() {
        let oid: u32 = transaction
            .query_one("SELECT $1::text::regclass::oid", &[&full(definition.table())?])
            .map_err(FlowError::server(format!("take down {}", definition.describe())))?
            .get(0);
        let rows = filled.iter().find(|table| table.oid == oid).map_or(0, |table| table.rows);
        let away = Away {
            part: format!("{ASIDE}{number:06} {}", definition.describe()),
            definition: definition.clone(),
            rows,
            steps: 0,
            back: false,
        };
        away.put(transaction, key)?;
        transaction
            .batch_execute(&definition.drop_sql()?)
            .map_err(FlowError::server(format!("take down {}", definition.describe())))?;
    }
    Ok(())
}

impl Away {
    /// Writes its row.
    pub fn put(&self, transaction: &mut Transaction<'_>, key: &CursorKey) -> Result<(), FlowError> {
        let kept = Kept { definition: self.definition.clone(), rows: self.rows };
        let digest = serde_json::to_vec(&kept).map_err(|error| FlowError::Bug(error.to_string()))?;
        let row = CursorRow { part: self.part.clone(), rows: self.steps as u64, digest, done: self.back };
        Ok(ledger::put_cursor(transaction, &key.run, &key.step, &row)?)
    }
}

/// Reads what was taken down in this step, by earlier lives as well, in the order of its going.
pub(super) fn all(client: &mut impl GenericClient, key: &CursorKey) -> Result<Vec<Away>, FlowError> {
    let mut found = Vec::new();
    for row in ledger::cursors(client, &key.run, &key.step)? {
        if !row.part.starts_with(ASIDE) {
            continue;
        }
        let kept: Kept = serde_json::from_slice(&row.digest).map_err(|error| {
            FlowError::Bug(format!("the row `{}` of our ledger cannot be read: {error}", row.part))
        })?;
        found.push(Away {
            part: row.part,
            definition: kept.definition,
            rows: kept.rows,
            steps: usize::try_from(row.rows).unwrap_or(usize::MAX),
            back: row.done,
        });
    }
    Ok(found)
}

/// Says whether something of this step was taken down, back by now or not.
pub(crate) fn is_away(client: &mut Client, key: &CursorKey) -> Result<bool, FlowError> {
    Ok(!all(client, key)?.is_empty())
}

/// Returns the columns of the primary keys of this step that are away, by table.
pub(crate) fn keys(client: &mut Client, key: &CursorKey) -> Result<Vec<(TableName, Vec<String>)>, FlowError> {
    let primary = |away: Away| match away.definition {
        Definition::Index(Index { table, key: Some(Key { primary: true, columns, .. }), .. }) => {
            Some((table, columns))
        }
        _ => None,
    };
    Ok(all(client, key)?.into_iter().filter_map(primary).collect())
}
