//! A schema beside its description: what a foreign program made, and what it was expected to make.

use super::{Site, SiteError};
use crate::postgres::{Catalog, Table, TableKind};
use std::collections::{BTreeMap, BTreeSet};
use switchback_model::schema_file::{SchemaDescription, TableDescription};

impl Site {
    /// Names every difference between a schema and its description; none if they agree. Indexes are no part of it.
    pub(crate) fn undescribed(
        &self,
        target: &str,
        schema: &str,
        expected: &SchemaDescription,
    ) -> Result<Vec<String>, SiteError> {
        let mut client = self.reader(target)?;
        let catalog = Catalog::read(&mut client, &[schema.to_owned()])?;
        if catalog.schemas.is_empty() {
            return Ok(vec![format!("schema {schema} is not there")]);
        }
        let mut checks: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for row in client.query(CHECKS, &[&schema])? {
            checks.entry(row.get(0)).or_default().insert(bare(row.get(1)));
        }
        let is_table = |table: &&Table| matches!(table.kind, TableKind::Table | TableKind::Partitioned);
        let found: BTreeMap<&str, &Table> =
            catalog.tables.values().filter(is_table).map(|table| (table.name.as_str(), table)).collect();
        let mut lines = Vec::new();
        for (name, wanted) in &expected.tables {
            match found.get(name.as_str()) {
                None => lines.push(format!("table {name} is not there")),
                Some(table) => {
                    let none = BTreeSet::new();
                    let differ = differences(wanted, table, checks.get(name).unwrap_or(&none), expected);
                    lines.extend(differ.into_iter().map(|line| format!("table {name}: {line}")));
                }
            }
        }
        let more = found.keys().filter(|name| !expected.tables.contains_key(**name));
        lines.extend(more.map(|name| format!("table {name} is there, and is not described")));
        Ok(lines)
    }
}

/// The conditions of CHECK constraints, by table.
const CHECKS: &str = "SELECT c.relname::text, pg_get_expr(k.conbin, k.conrelid) FROM pg_catalog.pg_constraint k \
    JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE k.contype = 'c' AND n.nspname = $1";

/// A condition without the brackets around the whole of it, which the server prints and people do not write.
fn bare(condition: String) -> String {
    let inner = condition.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    // `(a) OR (b)` keeps its brackets: they are not around the whole.
    let mut depth = 0_i32;
    let whole = inner.is_some_and(|inner| {
        inner.chars().all(|c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth >= 0
        })
    });
    match inner {
        Some(inner) if whole => inner.to_owned(),
        _ => condition,
    }
}

fn differences(
    wanted: &TableDescription,
    found: &Table,
    checks: &BTreeSet<String>,
    schema: &SchemaDescription,
) -> Vec<String> {
    let mut lines = Vec::new();
    for column in &wanted.columns {
        let name = &column.name;
        let Some(there) = found.column(name) else {
            lines.push(format!("column {name} is not there"));
            continue;
        };
        if there.kind != column.r#type {
            lines.push(format!("column {name} is {}, and should be {}", there.kind, column.r#type));
        }
        for (what, is, should) in [
            ("refuses NULL", there.not_null, column.not_null),
            ("is numbered by the database", there.identity.is_some(), column.identity),
        ] {
            match (is, should) {
                (true, false) => lines.push(format!("column {name} {what}, and should not")),
                (false, true) => lines.push(format!("column {name} should be one that {what}")),
                _ => {}
            }
        }
    }
    let more = found.columns.iter().filter(|column| wanted.column(&column.name).is_none());
    lines.extend(more.map(|column| format!("column {} is there, and is not described", column.name)));

    let key = found.primary_key.as_ref().map(|key| key.columns.clone()).unwrap_or_default();
    if set(&key) != set(&wanted.key) {
        lines.push(format!("its key is ({}), and should be ({})", key.join(", "), wanted.key.join(", ")));
    }
    let uniques: BTreeSet<_> = found.uniques.iter().map(|key| set(&key.columns)).collect();
    let should: BTreeSet<_> = wanted.unique.iter().map(|columns| set(columns)).collect();
    compare(&mut lines, "unique", &uniques, &should, |columns| {
        format!("({})", columns.iter().cloned().collect::<Vec<_>>().join(", "))
    });
    let refers = |(schema, table): &(String, String)| match *schema == found.schema {
        true => table.clone(),
        false => format!("{schema}.{table}"),
    };
    let references: BTreeSet<_> =
        found.foreign_keys.iter().map(|key| (key.columns.join(", "), refers(&key.to))).collect();
    let should: BTreeSet<_> =
        wanted.references.iter().map(|(column, table)| (column.clone(), table.clone())).collect();
    compare(&mut lines, "reference", &references, &should, |(column, table)| format!("{column} to {table}"));
    let immediate = found.foreign_keys.iter().filter(|key| key.deferred != schema.deferred);
    let when = if schema.deferred { "is not checked at the commit" } else { "is checked at the commit" };
    lines.extend(
        immediate.map(|key| format!("reference {} {when}, and should be otherwise", key.columns.join(", "))),
    );
    let should: BTreeSet<_> = wanted.checks.iter().cloned().collect();
    compare(&mut lines, "check", checks, &should, |condition| condition.clone());
    lines
}

fn set(columns: &[String]) -> BTreeSet<String> {
    columns.iter().cloned().collect()
}

fn compare<T: Ord>(
    lines: &mut Vec<String>,
    what: &str,
    found: &BTreeSet<T>,
    wanted: &BTreeSet<T>,
    show: impl Fn(&T) -> String,
) {
    lines.extend(wanted.difference(found).map(|one| format!("{what} {} is not there", show(one))));
    lines.extend(
        found.difference(wanted).map(|one| format!("{what} {} is there, and is not described", show(one))),
    );
}
