//! Whether the user may read what is to be moved: the server says so only when a statement runs, which would be the downtime.

use std::collections::BTreeMap;

use postgres::Client;

use super::resolve::Plan;
use crate::error::FlowError;

/// A right for the table, or for each column of it.
const SQL: &str = "SELECT c.oid, pg_catalog.has_schema_privilege(c.relnamespace, 'USAGE') \
      AND (pg_catalog.has_table_privilege(c.oid, 'SELECT') OR coalesce((SELECT bool_and(pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT')) \
        FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), false)), \
      pg_catalog.quote_ident(current_user), \
      pg_catalog.format('USAGE ON SCHEMA %1$I and SELECT ON %1$I.%2$I', n.nspname, c.relname) \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY ($1::oid[]) ORDER BY c.oid";

/// Names the tables of the source that the user may not read, with what to grant; of rows that are hidden from it the server
/// speaks by itself. Reads only.
pub(super) fn unreadable(source: &mut Client, plan: &Plan) -> Result<Vec<String>, FlowError> {
    let tables: BTreeMap<u32, String> =
        plan.moves.iter().map(|job| (job.from.oid, job.from.name.describe())).collect();
    let oids: Vec<u32> = tables.keys().copied().collect();
    let rows = source.query(SQL, &[&oids]).map_err(FlowError::server("ask for the rights on the source"))?;
    let mut wrong = Vec::new();
    for row in rows.iter().filter(|row| !row.get::<_, bool>(1)) {
        let (user, what): (String, String) = (row.get(2), row.get(3));
        let name = tables.get(&row.get(0)).map_or("a table", String::as_str);
        wrong.push(format!("the user {user} may not read {name}: grant {what} to it, or pg_read_all_data"));
    }
    Ok(wrong)
}
