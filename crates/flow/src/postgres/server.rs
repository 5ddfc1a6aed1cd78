//! Within one database: the server moves the rows by itself.

use postgres::Transaction;
use postgres::types::{ToSql, Type};

use super::cursor::Done;
use super::parts::Part;
use super::resolve::Resolved;
use super::text::{self, Constants};
use super::{lookup, text as sql};
use crate::error::FlowError;

/// Inserts the rows of one part.
pub(super) fn part(
    transaction: &mut Transaction<'_>,
    job: &Resolved,
    part: &Part,
) -> Result<Done, FlowError> {
    insert(transaction, job, &sql::only(&job.from)?, part, true)
}

/// Inserts what `rows` says, as one statement.
pub(super) fn insert(
    transaction: &mut Transaction<'_>,
    job: &Resolved,
    rows: &str,
    part: &Part,
    filter: bool,
) -> Result<Done, FlowError> {
    let dropped = lookup::look(transaction, job, rows, part.blocks, filter)?;
    let mut values = Vec::new();
    let sql = text::insert(job, rows, part.blocks, filter, &mut Constants::Bound(&mut values))?;
    let bound: Vec<(&(dyn ToSql + Sync), Type)> =
        values.iter().map(|value| (value as &(dyn ToSql + Sync), Type::TEXT)).collect();
    let rows = transaction
        .execute_typed(&sql, &bound)
        .map_err(FlowError::server(format!("copy {}", job.describe())))?;
    Ok(Done { rows, dropped })
}
