//! What a table of PostgreSQL looks like, and as what its types travel.

use postgres::GenericClient;
use std::sync::Arc;
use switchback_site::postgres::qualified;

use crate::cell::{Kind, TextRule};
use crate::error::FlowError;
use crate::job::TableName;

/// A column as declared.
#[derive(Debug, Clone)]
pub(super) struct Declared {
    pub name: String,
    /// Its kind, or how its type is written, where it is one that is not moved.
    pub kind: Result<Kind, String>,
    pub not_null: bool,
    pub generated: bool,
}

/// A table, view or the like.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub columns: Vec<Declared>,
    pub key: Vec<String>,
    /// Blocks and file of a plain table without heirs; `None` for everything else, which has no order of blocks.
    pub heap: Option<(u64, u32)>,
}

/// The schema of a table that names none.
pub(super) fn schema(name: &TableName) -> &str {
    name.schema.as_deref().unwrap_or("public")
}

/// Quotes a table with its schema.
pub(super) fn table(name: &TableName) -> Result<String, FlowError> {
    Ok(qualified(schema(name), &name.table)?)
}

/// Reads a table's shape; `None` when there is no such table.
pub(super) fn shape(client: &mut impl GenericClient, name: &TableName) -> Result<Option<Shape>, FlowError> {
    let doing = || FlowError::server(format!("read the columns of {}", name.describe()));
    let find = "SELECT c.oid, c.relkind = 'r' AND NOT c.relhassubclass, \
                pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::bigint, \
                coalesce(pg_catalog.pg_relation_filenode(c.oid), 0), \
                pg_catalog.current_setting('server_version_num')::int >= 140000 \
                FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";
    let Some(row) = client.query_opt(find, &[&schema(name), &name.table]).map_err(doing())? else {
        return Ok(None);
    };
    let (oid, plain, blocks, file, ranges): (u32, bool, Option<i64>, u32, bool) =
        (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4));
    // Before version 14 a range of blocks costs a scan of the whole table (release notes of 14, "TID Range Scan").
    let heap = blocks.filter(|_| plain && ranges).map(|blocks| (blocks.unsigned_abs(), file));
    let list = "SELECT a.attname::text, a.atttypid, a.atttypmod, a.attnotnull, a.attgenerated <> '', \
                pg_catalog.format_type(a.atttypid, a.atttypmod) \
                FROM pg_catalog.pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
    let mut columns = Vec::new();
    for row in client.query(list, &[&oid]).map_err(doing())? {
        let kind = kind(client, row.get(1), row.get(2))?;
        columns.push(Declared {
            name: row.get(0),
            kind: kind.ok_or_else(|| row.get(5)),
            not_null: row.get(3),
            generated: row.get(4),
        });
    }
    let key = "SELECT a.attname::text FROM pg_catalog.pg_index i \
               CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, at) \
               JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
               WHERE i.indrelid = $1 AND i.indisprimary AND k.at <= i.indnkeyatts ORDER BY k.at";
    let key = client.query(key, &[&oid]).map_err(doing())?.iter().map(|row| row.get(0)).collect();
    Ok(Some(Shape { columns, key, heap }))
}

/// Returns as what a type travels; `None` when it is not moved.
pub(super) fn kind(
    client: &mut impl GenericClient,
    oid: u32,
    modifier: i32,
) -> Result<Option<Kind>, FlowError> {
    if let Some(kind) = Kind::of(oid, modifier) {
        return Ok(Some(kind));
    }
    let sql = "SELECT t.typname::text, t.typtype::text, t.typbasetype, t.typtypmod, t.typelem, t.typsend::oid::regproc::text, \
               (SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid) \
               FROM pg_catalog.pg_type t WHERE t.oid = $1";
    let doing = || FlowError::server("read the types");
    let Some(row) = client.query_opt(sql, &[&oid]).map_err(doing())? else { return Ok(None) };
    let (name, sort, base, base_modifier, element, send): (String, String, u32, i32, u32, String) =
        (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4), row.get(5));
    match (sort.as_str(), send.as_str()) {
        // A domain's own checks are the server's.
        ("d", _) => kind(client, base, if modifier >= 0 { modifier } else { base_modifier }),
        ("e", _) => {
            let labels: Option<Vec<String>> = row.get(6);
            Ok(Some(Kind::Text(TextRule::Label { name, labels: Arc::from(labels.unwrap_or_default()) })))
        }
        (_, "array_send") => {
            let found = kind(client, element, modifier)?;
            Ok(found.map(|kind| Kind::Array { oid: element, element: Box::new(kind) }))
        }
        _ if name == "citext" => Ok(Some(Kind::Text(TextRule::Free))),
        _ => Ok(None),
    }
}
