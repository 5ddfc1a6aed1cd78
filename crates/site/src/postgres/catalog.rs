//! What is in a database: its tables as data for those who move rows, and every object as one line for those who compare.

use std::collections::BTreeMap;

use postgres::GenericClient;
use serde::{Deserialize, Serialize};
use switchback_model::digest::Digest;

use super::catalog_lines;
use super::names::{NameError, qualified};
use super::said::said;
use crate::tell::{Failure, Halt};

/// Why the catalog cannot be read. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The server refused.
    #[error("read the catalog: {}", said(.source))]
    Server {
        /// What it says.
        #[from]
        source: postgres::Error,
    },
    /// A name cannot be used.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl Failure for CatalogError {
    fn halt(&self) -> Option<Halt> {
        None
    }
}

/// The catalog of some schemas.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Catalog {
    /// The tables, views and the like, by schema and name.
    pub tables: BTreeMap<(String, String), Table>,
    /// Those of the asked-for schemas that exist.
    pub schemas: Vec<String>,
    lines: Vec<String>,
    parts: BTreeMap<String, (usize, Digest)>,
}

/// What a relation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TableKind {
    /// A table with rows of its own, a partition included.
    Table,
    /// A table whose rows are in its partitions.
    Partitioned,
    /// A view.
    View,
    /// A view that keeps its rows.
    Materialized,
    /// A table elsewhere.
    Foreign,
}

/// One table or view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: TableKind,
    /// The table it is a partition or a child of.
    pub parent: Option<(String, String)>,
    /// The columns, in their order.
    pub columns: Vec<Column>,
    /// The primary key.
    pub primary_key: Option<Key>,
    /// The unique constraints and unique indexes over plain columns without a condition.
    pub uniques: Vec<Key>,
    /// What it refers to.
    pub foreign_keys: Vec<ForeignKey>,
    /// Names of its triggers, those of foreign keys left out.
    pub triggers: Vec<String>,
    /// How many rows the server believes it has; `None` when it was never counted.
    pub rows_estimate: Option<u64>,
    /// Its bytes on disk, indexes left out.
    pub bytes: u64,
    /// It is a part of an extension, and no business of ours.
    pub of_extension: bool,
    /// Row level security may hide rows of it from us.
    pub row_security: bool,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type in full, as `format_type` prints it: `character varying(30)`, `public.mood[]`.
    pub kind: String,
    /// No NULL in it.
    pub not_null: bool,
    /// The expression of its default.
    pub default: Option<String>,
    /// Its values come from a sequence of its own.
    pub identity: Option<Identity>,
    /// Its values follow from other columns: it cannot be written.
    pub generated: bool,
    /// Its place among the columns, from 1; dropped columns are not counted.
    pub position: u32,
    /// The sequence that it owns, of an identity or a serial: schema and name.
    pub sequence: Option<(String, String)>,
}

/// How an identity column takes values of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Identity {
    /// Only with OVERRIDING SYSTEM VALUE.
    Always,
    /// As any other.
    ByDefault,
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Name of the constraint or index.
    pub name: String,
    /// The columns, in the key's order.
    pub columns: Vec<String>,
    /// It may be violated until the end of a transaction.
    pub deferrable: bool,
    /// NULLs count as equal (NULLS NOT DISTINCT).
    pub nulls_equal: bool,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// Name of the constraint.
    pub name: String,
    /// The columns that refer.
    pub columns: Vec<String>,
    /// The table referred to: schema and name.
    pub to: (String, String),
    /// The columns referred to.
    pub to_columns: Vec<String>,
    /// It may be violated until the end of a transaction.
    pub deferrable: bool,
    /// It is so without being asked.
    pub deferred: bool,
    /// The rows that were there when it was made were looked at.
    pub validated: bool,
}

impl Table {
    /// The quoted name with its schema.
    pub fn quoted(&self) -> Result<String, NameError> {
        qualified(&self.schema, &self.name)
    }

    /// Finds a column.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Says whether it keeps rows of its own that a dump carries.
    pub fn keeps_rows(&self) -> bool {
        self.kind == TableKind::Table && !self.of_extension
    }
}

impl Catalog {
    /// Reads the catalog of these schemas; those that do not exist are simply not in it. Our own schema never is.
    pub fn read(client: &mut impl GenericClient, schemas: &[String]) -> Result<Catalog, CatalogError> {
        let schemas: Vec<String> =
            schemas.iter().filter(|name| *name != super::ledger::SCHEMA).cloned().collect();
        let exist = "SELECT nspname::text FROM pg_catalog.pg_namespace WHERE nspname = ANY ($1::text[]::name[]) ORDER BY 1";
        let exist = client.query(exist, &[&schemas])?.iter().map(|row| row.get(0)).collect();
        let mut tables = relations(client, &schemas)?;
        columns(client, &schemas, &mut tables)?;
        keys(client, &schemas, &mut tables)?;
        foreign_keys(client, &schemas, &mut tables)?;
        let mut parts: BTreeMap<String, (usize, blake3::Hasher)> = BTreeMap::new();
        let mut lines = Vec::new();
        for (line, schema) in catalog_lines::read(client, &schemas)? {
            let (count, hasher) = parts.entry(schema).or_default();
            *count += 1;
            hasher.update(&(line.len() as u64).to_le_bytes()).update(line.as_bytes());
            lines.push(line);
        }
        let digest =
            |(count, hasher): (usize, blake3::Hasher)| (count, Digest(*hasher.finalize().as_bytes()));
        let parts = parts.into_iter().map(|(schema, part)| (schema, digest(part))).collect();
        Ok(Catalog { lines, parts, tables, schemas: exist })
    }

    /// How many objects a schema has, and the digest of their lines; `None` where it has none or is not there.
    pub fn part(&self, schema: &str) -> Option<(usize, Digest)> {
        self.parts.get(schema).copied()
    }

    /// Every object of the schemas with its full definition, a line each, sorted. Numbers that the server gave are left
    /// out, so two databases with the same objects have the same lines.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Finds a table.
    pub fn table(&self, schema: &str, name: &str) -> Option<&Table> {
        self.tables.get(&(schema.to_owned(), name.to_owned()))
    }
}

type Tables = BTreeMap<(String, String), Table>;

fn relations(client: &mut impl GenericClient, schemas: &[String]) -> Result<Tables, CatalogError> {
    let rows = client.query(
        "SELECT n.nspname::text, c.relname::text, c.relkind::text, pn.nspname::text, pc.relname::text, \
                CASE WHEN c.reltuples < 0 THEN NULL ELSE c.reltuples::bigint END, \
                CASE WHEN c.relkind IN ('r', 'm') THEN pg_table_size(c.oid) ELSE 0 END, \
                EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'), \
                c.relrowsecurity, \
                ARRAY(SELECT t.tgname::text FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal ORDER BY 1) \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid AND i.inhseqno = 1 \
         LEFT JOIN pg_catalog.pg_class pc ON pc.oid = i.inhparent LEFT JOIN pg_catalog.pg_namespace pn ON pn.oid = pc.relnamespace \
         WHERE n.nspname = ANY ($1::text[]::name[]) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')",
        &[&schemas],
    )?;
    let table = |row: &postgres::Row| {
        let kind = match row.get::<_, &str>(2) {
            "p" => TableKind::Partitioned,
            "v" => TableKind::View,
            "m" => TableKind::Materialized,
            "f" => TableKind::Foreign,
            _ => TableKind::Table,
        };
        let parent = row.get::<_, Option<String>>(3).zip(row.get(4));
        let table = Table {
            schema: row.get(0),
            name: row.get(1),
            kind,
            parent,
            columns: Vec::new(),
            primary_key: None,
            uniques: Vec::new(),
            foreign_keys: Vec::new(),
            triggers: row.get(9),
            rows_estimate: row.get::<_, Option<i64>>(5).map(i64::unsigned_abs),
            bytes: row.get::<_, i64>(6).unsigned_abs(),
            of_extension: row.get(7),
            row_security: row.get(8),
        };
        ((table.schema.clone(), table.name.clone()), table)
    };
    Ok(rows.iter().map(table).collect())
}

fn columns(
    client: &mut impl GenericClient,
    schemas: &[String],
    tables: &mut Tables,
) -> Result<(), CatalogError> {
    let rows = client.query(
        "SELECT n.nspname::text, c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull, \
                CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END, a.attidentity::text, \
                a.attgenerated <> '', sn.nspname::text, s.relname::text \
         FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         LEFT JOIN pg_catalog.pg_depend o ON o.refclassid = 'pg_catalog.pg_class'::regclass AND o.refobjid = a.attrelid \
              AND o.refobjsubid = a.attnum AND o.classid = 'pg_catalog.pg_class'::regclass AND o.deptype IN ('a', 'i') \
              AND EXISTS (SELECT FROM pg_catalog.pg_sequence q WHERE q.seqrelid = o.objid) \
         LEFT JOIN pg_catalog.pg_class s ON s.oid = o.objid LEFT JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace \
         WHERE n.nspname = ANY ($1::text[]::name[]) AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped \
         ORDER BY n.nspname, c.relname, a.attnum, s.relname",
        &[&schemas],
    )?;
    for row in rows {
        let Some(table) = tables.get_mut(&(row.get(0), row.get(1))) else { continue };
        let name: String = row.get(2);
        // A column may own several sequences by hand; the first is as good as any.
        if table.columns.last().is_some_and(|column| column.name == name) {
            continue;
        }
        let identity = match row.get::<_, &str>(6) {
            "a" => Some(Identity::Always),
            "d" => Some(Identity::ByDefault),
            _ => None,
        };
        let position = u32::try_from(table.columns.len() + 1).unwrap_or(u32::MAX);
        table.columns.push(Column {
            name,
            kind: row.get(3),
            not_null: row.get(4),
            default: row.get(5),
            identity,
            generated: row.get(7),
            position,
            sequence: row.get::<_, Option<String>>(8).zip(row.get(9)),
        });
    }
    Ok(())
}

fn keys(
    client: &mut impl GenericClient,
    schemas: &[String],
    tables: &mut Tables,
) -> Result<(), CatalogError> {
    // `indnullsnotdistinct` came with 15; to_jsonb asks for it without naming it.
    let rows = client.query(
        "SELECT n.nspname::text, c.relname::text, x.relname::text, i.indisprimary, NOT i.indimmediate, \
                coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false), \
                ARRAY(SELECT a.attname::text FROM unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k(num, at) \
                      JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.num ORDER BY k.at) \
         FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indrelid \
         JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = ANY ($1::text[]::name[]) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL \
           AND c.relkind IN ('r', 'p', 'm') \
         ORDER BY 1, 2, 3",
        &[&schemas],
    )?;
    for row in rows {
        let Some(table) = tables.get_mut(&(row.get(0), row.get(1))) else { continue };
        let key =
            Key { name: row.get(2), columns: row.get(6), deferrable: row.get(4), nulls_equal: row.get(5) };
        if row.get(3) { table.primary_key = Some(key) } else { table.uniques.push(key) }
    }
    Ok(())
}

fn foreign_keys(
    client: &mut impl GenericClient,
    schemas: &[String],
    tables: &mut Tables,
) -> Result<(), CatalogError> {
    let names = |relation: &str, list: &str| {
        format!(
            "ARRAY(SELECT a.attname::text FROM unnest({list}) WITH ORDINALITY AS k(num, at) \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = {relation} AND a.attnum = k.num ORDER BY k.at)"
        )
    };
    let rows = client.query(
        &format!(
            "SELECT n.nspname::text, c.relname::text, f.conname::text, {}, tn.nspname::text, t.relname::text, {}, \
                    f.condeferrable, f.condeferred, f.convalidated \
             FROM pg_catalog.pg_constraint f JOIN pg_catalog.pg_class c ON c.oid = f.conrelid \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             JOIN pg_catalog.pg_class t ON t.oid = f.confrelid JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace \
             WHERE f.contype = 'f' AND n.nspname = ANY ($1::text[]::name[]) ORDER BY 1, 2, 3",
            names("f.conrelid", "f.conkey"),
            names("f.confrelid", "f.confkey"),
        ),
        &[&schemas],
    )?;
    for row in rows {
        let Some(table) = tables.get_mut(&(row.get(0), row.get(1))) else { continue };
        table.foreign_keys.push(ForeignKey {
            name: row.get(2),
            columns: row.get(3),
            to: (row.get(4), row.get(5)),
            to_columns: row.get(6),
            deferrable: row.get(7),
            deferred: row.get(8),
            validated: row.get(9),
        });
    }
    Ok(())
}
