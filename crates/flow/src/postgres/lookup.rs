//! Lookups of a part, looked at before its rows are inserted: what finds nothing, and what finds too much.

use postgres::Transaction;

use super::parts::Blocks;
use super::resolve::Resolved;
use super::text;
use crate::error::FlowError;
use crate::job::Miss;

/// Fails when a lookup that must find a row finds none, or one finds several. Returns how many rows will be dropped.
pub(super) fn look(
    transaction: &mut Transaction<'_>,
    job: &Resolved,
    rows: &str,
    blocks: Option<Blocks>,
    filter: bool,
) -> Result<u64, FlowError> {
    let doing = || FlowError::server(format!("look up what refers from {}", job.describe()));
    for (number, lookup) in job.lookups.iter().enumerate() {
        let doubles = text::doubles(job, number, rows, blocks, filter)?;
        if let Some(row) = transaction.query_opt(&doubles, &[]).map_err(doing())? {
            return Err(FlowError::Ambiguous {
                to: job.to.name.describe(),
                column: lookup.to.clone(),
                within: lookup.within.name.describe(),
                key: row.get(0),
            });
        }
        if lookup.miss != Miss::Fail {
            continue;
        }
        let misses = text::misses(job, number, rows, blocks, filter)?;
        let missing = transaction.query(&misses, &[]).map_err(doing())?;
        if !missing.is_empty() {
            return Err(FlowError::Missing {
                from: job.from.name.describe(),
                to: job.to.name.describe(),
                column: lookup.to.clone(),
                within: lookup.within.name.describe(),
                rows: missing.iter().map(|row| format!("({})", row.get::<_, &str>(0))).collect(),
            });
        }
    }
    let Some(dropped) = text::dropped(job, rows, blocks, filter)? else { return Ok(0) };
    let count: i64 = transaction.query_one(&dropped, &[]).map_err(doing())?.get(0);
    Ok(count.unsigned_abs())
}
