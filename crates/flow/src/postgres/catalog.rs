//! What the tables of a move look like, read in a few queries however many they are.

use std::collections::BTreeMap;

use postgres::Client;

use crate::error::FlowError;
use crate::job::TableName;

/// A table as the server describes it.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub oid: u32,
    pub name: TableName,
    /// `pg_class.relkind`.
    pub kind: char,
    /// Blocks of its heap; 0 when it has none of its own.
    pub blocks: u64,
    /// Bytes with everything that is stored out of line.
    pub bytes: u64,
    /// How many rows the server believes in; `None` when it was never counted.
    pub rows: Option<u64>,
    pub columns: Vec<Column>,
    pub primary: Vec<String>,
    /// Triggers and rules of the application that would run on an insert.
    pub reactions: Vec<String>,
    pub foreign: Vec<ForeignKey>,
}

/// A column.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub name: String,
    pub type_oid: u32,
    pub typmod: i32,
    /// With its limits: `character varying(50)`.
    pub full_type: String,
    /// Without: `character varying`.
    pub base_type: String,
    pub not_null: bool,
    pub default: bool,
    pub always: bool,
    pub generated: bool,
    /// Whether the bytes that its type sends mean the same in every database.
    pub plain: bool,
}

/// A foreign key of a table of the target.
#[derive(Debug, Clone)]
pub(crate) struct ForeignKey {
    pub oid: u32,
    pub to: u32,
    pub deferrable: bool,
}

impl Table {
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether rows lie in blocks of its own, so that ranges of them can be read.
    pub fn has_blocks(&self) -> bool {
        matches!(self.kind, 'r' | 'm')
    }

    /// Whether rows can be put into it.
    pub fn is_table(&self) -> bool {
        matches!(self.kind, 'r' | 'p')
    }
}

const TABLES: &str = "SELECT w.n::int8, c.oid, c.relkind::text, c.reltuples::float8, \
    CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::int8 ELSE 0 END, \
    CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_table_size(c.oid) ELSE 0 END \
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY w(s, t, n) \
    JOIN pg_catalog.pg_namespace s ON s.nspname = w.s \
    JOIN pg_catalog.pg_class c ON c.relnamespace = s.oid AND c.relname = w.t AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";

// format_type with -1 and not with NULL: `character` alone means `character(1)` (postgresql.org/docs, functions-info).
const COLUMNS: &str = "SELECT a.attrelid, a.attname::text, a.atttypid, a.atttypmod, \
    pg_catalog.format_type(a.atttypid, a.atttypmod), pg_catalog.format_type(a.atttypid, -1), \
    a.attnotnull, a.atthasdef OR a.attidentity <> '', a.attidentity = 'a', a.attgenerated <> '', \
    a.atttypid < 16384 AND t.typtype IN ('b', 'r', 'm') AND t.typsend <> 0 AND t.typname !~ '^_?(reg|aclitem)' \
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
    WHERE a.attrelid = ANY($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum";

const PRIMARY: &str = "SELECT i.indrelid, a.attname::text FROM pg_catalog.pg_index i \
    CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, n) \
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
    WHERE i.indisprimary AND i.indrelid = ANY($1::oid[]) ORDER BY i.indrelid, k.n";

const REACTIONS: &str = "SELECT t.tgrelid, 'trigger ' || t.tgname FROM pg_catalog.pg_trigger t \
    WHERE t.tgrelid = ANY($1::oid[]) AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype::int4 & 4 = 4 \
    UNION ALL SELECT r.ev_class, 'rule ' || r.rulename FROM pg_catalog.pg_rewrite r \
    WHERE r.ev_class = ANY($1::oid[]) AND r.ev_type = '3' AND r.ev_enabled <> 'D' ORDER BY 1, 2";

const FOREIGN: &str = "SELECT f.conrelid, f.oid, f.confrelid, f.condeferrable \
    FROM pg_catalog.pg_constraint f WHERE f.contype = 'f' AND f.conrelid = ANY($1::oid[]) ORDER BY 1, 3, 2";

/// Reads the named tables. What does not exist is not in the answer.
pub(crate) fn read(
    client: &mut Client,
    names: &[&TableName],
) -> Result<BTreeMap<TableName, Table>, FlowError> {
    let ask = || FlowError::server("read the catalog");
    let schemas: Vec<&str> = names.iter().map(|name| name.schema.as_deref().unwrap_or_default()).collect();
    let tables: Vec<&str> = names.iter().map(|name| name.table.as_str()).collect();
    let mut found = BTreeMap::new();
    for row in client.query(TABLES, &[&schemas, &tables]).map_err(ask())? {
        let number = usize::try_from(row.get::<_, i64>(0) - 1).unwrap_or_default();
        let Some(name) = names.get(number) else { continue };
        let rows: f64 = row.get(3);
        let table = Table {
            oid: row.get(1),
            name: (*name).clone(),
            kind: row.get::<_, &str>(2).chars().next().unwrap_or_default(),
            // Never counted is -1 since version 14, and 0 before: then an empty estimate of a table that is not empty.
            rows: (rows > 0.0 || (rows == 0.0 && row.get::<_, i64>(4) == 0)).then_some(rows as u64),
            blocks: row.get::<_, i64>(4).unsigned_abs(),
            bytes: row.get::<_, i64>(5).unsigned_abs(),
            columns: Vec::new(),
            primary: Vec::new(),
            reactions: Vec::new(),
            foreign: Vec::new(),
        };
        found.insert(table.oid, table);
    }
    let oids: Vec<u32> = found.keys().copied().collect();
    for row in client.query(COLUMNS, &[&oids]).map_err(ask())? {
        let Some(table) = found.get_mut(&row.get(0)) else { continue };
        table.columns.push(Column {
            name: row.get(1),
            type_oid: row.get(2),
            typmod: row.get(3),
            full_type: row.get(4),
            base_type: row.get(5),
            not_null: row.get(6),
            default: row.get(7),
            always: row.get(8),
            generated: row.get(9),
            plain: row.get(10),
        });
    }
    for row in client.query(PRIMARY, &[&oids]).map_err(ask())? {
        let Some(table) = found.get_mut(&row.get(0)) else { continue };
        table.primary.push(row.get(1));
    }
    for row in client.query(REACTIONS, &[&oids]).map_err(ask())? {
        let Some(table) = found.get_mut(&row.get(0)) else { continue };
        table.reactions.push(row.get(1));
    }
    for row in client.query(FOREIGN, &[&oids]).map_err(ask())? {
        let Some(table) = found.get_mut(&row.get(0)) else { continue };
        table.foreign.push(ForeignKey { oid: row.get(1), to: row.get(2), deferrable: row.get(3) });
    }
    Ok(found.into_values().map(|table| (table.name.clone(), table)).collect())
}
