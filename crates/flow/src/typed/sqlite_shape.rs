//! What a table of SQLite looks like: its columns, and how its rows are told apart.

use rusqlite::Connection;

use crate::cell::Affinity;
use crate::error::FlowError;
use crate::job::TableName;

/// A column as declared.
#[derive(Debug, Clone)]
pub(super) struct Declared {
    pub name: String,
    pub affinity: Affinity,
    /// Without a value for it an insert fails.
    pub not_null: bool,
    pub generated: bool,
}

/// A table or view.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub columns: Vec<Declared>,
    /// The columns of the primary key, in its order.
    pub key: Vec<String>,
    /// What tells rows apart, as expressions over `s`; empty for a view.
    pub order: Vec<String>,
}

/// Quotes a name. SQLite takes every name between double quotes.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a table; its schema is `main`.
pub(super) fn table(name: &TableName) -> String {
    format!("main.{}", quote(&name.table))
}

/// Reads a table's shape; `None` when there is no such table.
pub(super) fn shape(connection: &Connection, name: &TableName) -> Result<Option<Shape>, FlowError> {
    let doing = || FlowError::sqlite(format!("read the columns of {}", name.describe()));
    let list = "SELECT type, wr, strict FROM pragma_table_list(?1) WHERE schema = 'main'";
    let mut statement = connection.prepare(list).map_err(doing())?;
    let mut rows = statement.query([&name.table]).map_err(doing())?;
    let Some(row) = rows.next().map_err(doing())? else { return Ok(None) };
    let (sort, without_rowid, strict) = (
        row.get::<_, String>(0).map_err(doing())?,
        row.get::<_, bool>(1).map_err(doing())?,
        row.get::<_, bool>(2).map_err(doing())?,
    );
    let info = "SELECT name, type, \"notnull\", pk, hidden FROM pragma_table_xinfo(?1, 'main') ORDER BY cid";
    let mut statement = connection.prepare(info).map_err(doing())?;
    let read = |row: &rusqlite::Row<'_>| {
        let (declared, hidden): (String, i64) = (row.get(1)?, row.get(4)?);
        let column = Declared {
            name: row.get(0)?,
            affinity: Affinity::of(&declared, strict),
            not_null: row.get(2)?,
            // 2 and 3 are generated columns, 1 is a hidden one of a virtual table (sqlite.org/pragma.html).
            generated: hidden >= 2,
        };
        Ok((column, row.get::<_, i64>(3)?))
    };
    let found: Vec<(Declared, i64)> =
        statement.query_map([&name.table], read).and_then(Iterator::collect).map_err(doing())?;
    let mut key: Vec<(i64, String)> =
        found.iter().filter(|(_, at)| *at > 0).map(|(column, at)| (*at, column.name.clone())).collect();
    key.sort();
    let key: Vec<String> = key.into_iter().map(|(_, name)| name).collect();
    let columns: Vec<Declared> = found.into_iter().map(|(column, _)| column).collect();
    let order = if sort != "table" {
        Vec::new()
    } else if without_rowid {
        // Two keys that differ under any collation differ byte by byte, so this order has no ties.
        key.iter().map(|name| format!("s.{} COLLATE BINARY", quote(name))).collect()
    } else {
        let hidden_by = |word: &&str| columns.iter().any(|column| column.name.eq_ignore_ascii_case(word));
        ["rowid", "_rowid_", "oid"]
            .iter()
            .find(|word| !hidden_by(word))
            .map(|word| format!("s.{word}"))
            .into_iter()
            .collect()
    };
    Ok(Some(Shape { columns, key, order }))
}
