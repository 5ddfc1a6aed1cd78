//! The statistics of ANALYZE: SQLite drops them with an index or a table, and the queries of the application get slow.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::alter_catalog::Catalog;
use super::alter_error::AlterError;
use super::alter_spec::{AlterSpec, IndexChange, TableChange};
use super::ddl::quote_identifier;

/// The statistics of the tables that a declaration names, as they were.
pub(super) struct Statistics(Vec<Kept>);

/// The rows of one of SQLite's tables: the table, the index, and what is told of them.
struct Kept {
    store: &'static str,
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
}

impl Statistics {
    /// Reads what ANALYZE left, if it ever ran.
    pub(super) fn read(connection: &Connection, spec: &AlterSpec) -> Result<Statistics, AlterError> {
        let mut all = Vec::new();
        for store in ["sqlite_stat1", "sqlite_stat4"] {
            let exists = connection
                .prepare("SELECT 1 FROM main.sqlite_schema WHERE name = ?1")
                .and_then(|mut statement| statement.exists([store]))
                .map_err(AlterError::Read)?;
            if exists {
                all.push(kept(connection, spec, store).map_err(AlterError::Read)?);
            }
        }
        Ok(Statistics(all))
    }

    /// Puts them back under the names that tables and indexes have now; what is of an index that went stays away.
    pub(super) fn write(
        self,
        connection: &Connection,
        spec: &AlterSpec,
        after: &Catalog,
    ) -> Result<(), AlterError> {
        self.0
            .iter()
            .try_for_each(|kept| put_back(connection, spec, after, kept))
            .map_err(AlterError::sql("keep the statistics"))
    }
}

fn kept(connection: &Connection, spec: &AlterSpec, store: &'static str) -> rusqlite::Result<Kept> {
    let mut statement = connection.prepare(&format!("SELECT * FROM main.{store} ORDER BY rowid"))?;
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let rows = statement
        .query_map([], |row| (0..columns.len()).map(|at| row.get(at)).collect())?
        .filter(|row: &rusqlite::Result<Vec<Value>>| {
            row.as_ref().map_or(true, |row| change_of(spec, row).is_some())
        })
        .collect::<rusqlite::Result<_>>()?;
    Ok(Kept { store, columns, rows })
}

/// Returns the declared change of the table that a row tells of.
fn change_of<'a>(spec: &'a AlterSpec, row: &[Value]) -> Option<&'a (String, TableChange)> {
    let Some(Value::Text(table)) = row.first() else { return None };
    spec.tables.iter().find(|(name, _)| name.eq_ignore_ascii_case(table))
}

fn put_back(connection: &Connection, spec: &AlterSpec, after: &Catalog, kept: &Kept) -> rusqlite::Result<()> {
    let store = kept.store;
    for (name, change) in &spec.tables {
        let delete = format!("DELETE FROM main.{store} WHERE tbl = ?1 COLLATE NOCASE");
        connection.execute(&delete, [name])?;
        if let Some(new) = &change.rename {
            connection.execute(&delete, [new])?;
        }
    }
    let names: Vec<String> = kept.columns.iter().map(|name| quote_identifier(name)).collect();
    let marks = vec!["?"; names.len()].join(", ");
    let mut insert =
        connection.prepare(&format!("INSERT INTO main.{store}({}) VALUES({marks})", names.join(", ")))?;
    for row in &kept.rows {
        let Some((name, change)) = change_of(spec, row) else { continue };
        let table = change.rename.as_ref().unwrap_or(name);
        let mut row = row.clone();
        row[0] = Value::Text(table.clone());
        if let Some(Value::Text(index)) = row.get(1) {
            let index = index_now(index, name, table, change);
            // A table without rowid stands under its own name.
            if after.index(&index).is_none() && !index.eq_ignore_ascii_case(table) {
                continue;
            }
            row[1] = Value::Text(index);
        }
        insert.execute(params_from_iter(row))?;
    }
    Ok(())
}

/// Returns the name that an index has after the change.
fn index_now(index: &str, old: &str, new: &str, change: &TableChange) -> String {
    if index.eq_ignore_ascii_case(old) {
        return new.to_owned();
    }
    // SQLite names the index of a constraint after its table.
    if let Some(number) = index.strip_prefix(&format!("sqlite_autoindex_{old}_")) {
        return format!("sqlite_autoindex_{new}_{number}");
    }
    let renamed = change.indexes.iter().find(|(name, _)| name.eq_ignore_ascii_case(index));
    match renamed {
        Some((_, IndexChange::Rename(to))) => to.clone(),
        _ => index.to_owned(),
    }
}
