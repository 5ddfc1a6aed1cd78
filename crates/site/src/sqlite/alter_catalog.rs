//! The schema of a database as SQLite itself reports it.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row};
use serde::{Deserialize, Serialize};

use super::alter_error::AlterError;
use super::alter_spec::{Action, ForeignKey};
use super::ddl::TableDdl;

/// Everything in the schema `main` but what SQLite keeps for itself, in the order of names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// The tables, virtual ones included.
    pub tables: Vec<Table>,
    /// The triggers.
    pub triggers: Vec<Trigger>,
    /// The views.
    pub views: Vec<View>,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// The statement that created it, as stored.
    pub sql: String,
    /// Whether a module stands behind it.
    pub is_virtual: bool,
    /// Whether it is `STRICT`.
    pub strict: bool,
    /// Whether it is `WITHOUT ROWID`.
    pub without_rowid: bool,
    /// Whether its key is `AUTOINCREMENT`.
    pub autoincrement: bool,
    /// The columns in order, generated and hidden ones included.
    pub columns: Vec<Column>,
    /// The foreign keys in the order of the text.
    pub foreign_keys: Vec<ForeignKey>,
    /// The indexes in the order of names, those of constraints included.
    pub indexes: Vec<Index>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its declared type; empty where it has none.
    pub declared: String,
    /// Whether it is `NOT NULL`.
    pub not_null: bool,
    /// The text of its default.
    pub default: Option<String>,
    /// Its place in the primary key, from 1; 0 is none.
    pub key: u32,
    /// 0 ordinary, 1 hidden in a virtual table, 2 generated when read, 3 generated and stored (sqlite.org/pragma.html#pragma_table_xinfo).
    pub hidden: u32,
    /// The declared collation.
    pub collation: Option<String>,
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// The statement that created it; a constraint's index has none.
    pub sql: Option<String>,
    /// Whether it is unique.
    pub unique: bool,
    /// `c` created, `u` of a UNIQUE constraint, `pk` of the primary key.
    pub origin: String,
    /// Whether it covers only some rows.
    pub partial: bool,
    /// The columns in order; an expression has no name.
    pub columns: Vec<IndexColumn>,
}

/// A column of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexColumn {
    /// The column's name; `None` for an expression or the rowid.
    pub name: Option<String>,
    /// Whether it runs downwards.
    pub descending: bool,
    /// The collation.
    pub collation: Option<String>,
    /// Whether it is part of the key, not only carried along.
    pub key: bool,
}

/// A trigger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// Its name.
    pub name: String,
    /// The table or view it watches.
    pub table: String,
    /// Its place, from 0, among the triggers there: SQLite fires them in an order that follows from it.
    pub rank: u32,
    /// The statement that created it.
    pub sql: String,
}

/// A view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Its name.
    pub name: String,
    /// The statement that created it.
    pub sql: String,
}

impl Catalog {
    /// Reads the schema `main`. Reads only.
    pub fn read(connection: &Connection) -> Result<Catalog, AlterError> {
        read(connection).map_err(AlterError::Read)
    }

    /// Returns the table called `name`, in any case.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name.eq_ignore_ascii_case(name))
    }

    /// Returns the index called `name`, in any case, with its table.
    pub fn index(&self, name: &str) -> Option<(&Table, &Index)> {
        self.tables.iter().find_map(|table| table.index(name).map(|index| (table, index)))
    }

    /// Returns whether any object is called `name`: tables, indexes and views share one space of names.
    pub fn is_taken(&self, name: &str) -> bool {
        self.table(name).is_some()
            || self.index(name).is_some()
            || self.views.iter().any(|view| view.name.eq_ignore_ascii_case(name))
    }

    /// Returns the first thing of `self` that `other` has not, or has otherwise.
    pub(super) fn first_difference(&self, other: &Catalog) -> Option<String> {
        for table in &self.tables {
            match other.table(&table.name) {
                None => return Some(format!("table {} is missing", table.name)),
                Some(found) if found != table => return Some(table.difference(found)),
                Some(_) => {}
            }
        }
        let trigger = self.triggers.iter().find(|trigger| !other.triggers.contains(trigger));
        let view = self.views.iter().find(|view| !other.views.contains(view));
        trigger
            .map(|trigger| format!("trigger {} is missing or different", trigger.name))
            .or(view.map(|view| format!("view {} is missing or different", view.name)))
    }
}

impl Table {
    /// Returns the column called `name`, in any case.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// Returns the place of a column, from 0.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// Returns the index called `name`, in any case.
    pub fn index(&self, name: &str) -> Option<&Index> {
        self.indexes.iter().find(|index| index.name.eq_ignore_ascii_case(name))
    }

    /// Returns the columns of the primary key in order.
    pub fn key(&self) -> Vec<&Column> {
        let mut key: Vec<&Column> = self.columns.iter().filter(|column| column.key > 0).collect();
        key.sort_by_key(|column| column.key);
        key
    }

    /// Returns the column that is the rowid by another name (sqlite.org/lang_createtable.html#rowid).
    pub fn rowid_alias(&self) -> Option<&Column> {
        let key = self.key();
        let has_index = self.indexes.iter().any(|index| index.origin == "pk");
        (key.len() == 1 && !self.without_rowid && !self.is_virtual && !has_index).then(|| key[0])
    }

    /// Returns a word that means the rowid here; `None` where columns took all three or there is none.
    pub fn rowid_word(&self) -> Option<&'static str> {
        if self.without_rowid {
            return None;
        }
        ["rowid", "_rowid_", "oid"].into_iter().find(|word| self.column(word).is_none())
    }

    fn difference(&self, found: &Table) -> String {
        let name = &self.name;
        if self.columns != found.columns {
            return format!("the columns of table {name} differ");
        }
        if self.foreign_keys != found.foreign_keys {
            return format!("the foreign keys of table {name} differ");
        }
        if self.indexes != found.indexes {
            return format!("the indexes of table {name} differ");
        }
        format!("the definition of table {name} differs")
    }
}

fn read(connection: &Connection) -> rusqlite::Result<Catalog> {
    let mut listed: BTreeMap<String, (String, bool, bool)> = BTreeMap::new();
    let mut statement =
        connection.prepare("SELECT name, type, wr, strict FROM pragma_table_list WHERE schema = 'main'")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        listed.insert(row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?));
    }
    let mut indexes: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut catalog = Catalog::default();
    let mut statement =
        connection.prepare("SELECT type, name, tbl_name, sql FROM main.sqlite_schema ORDER BY rowid")?;
    let objects: Vec<(String, String, String, Option<String>)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (kind, name, _, sql) in &objects {
        if kind == "index" {
            indexes.insert(name.clone(), sql.clone());
        }
    }
    for (kind, name, table, sql) in objects {
        let Some(sql) = sql else { continue };
        match kind.as_str() {
            "view" => catalog.views.push(View { name, sql }),
            "trigger" => {
                let earlier = catalog.triggers.iter().filter(|trigger| trigger.table == table).count();
                let rank = u32::try_from(earlier).unwrap_or(u32::MAX);
                catalog.triggers.push(Trigger { name, table, rank, sql });
            }
            // A module's own tables come and go with it; those of SQLite are not the application's.
            "table" if !name.to_ascii_lowercase().starts_with("sqlite_") => {
                let (kind, without_rowid, strict) =
                    listed.get(&name).cloned().unwrap_or_else(|| ("table".to_owned(), false, false));
                if kind != "shadow" {
                    let is_virtual = kind == "virtual";
                    let table = Table {
                        name,
                        sql,
                        is_virtual,
                        strict,
                        without_rowid,
                        autoincrement: false,
                        columns: Vec::new(),
                        foreign_keys: Vec::new(),
                        indexes: Vec::new(),
                    };
                    catalog.tables.push(fill(connection, table, &indexes)?);
                }
            }
            _ => {}
        }
    }
    catalog.tables.sort_by(|one, other| one.name.cmp(&other.name));
    catalog.triggers.sort_by(|one, other| one.name.cmp(&other.name));
    catalog.views.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(catalog)
}

fn fill(
    connection: &Connection,
    mut table: Table,
    indexes: &BTreeMap<String, Option<String>>,
) -> rusqlite::Result<Table> {
    let columns = list(
        connection,
        "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1, 'main')",
        &table.name,
        |row| {
            Ok(Column {
                name: row.get(0)?,
                declared: row.get(1)?,
                not_null: row.get(2)?,
                default: row.get(3)?,
                key: row.get(4)?,
                hidden: row.get(5)?,
                collation: None,
            })
        },
    );
    if table.is_virtual {
        // Where the module is not at hand, nobody knows the columns.
        table.columns = columns.unwrap_or_default();
        return Ok(table);
    }
    table.columns = columns?;
    table.foreign_keys = foreign_keys(connection, &table.name)?;
    if let Ok(ddl) = TableDdl::parse(&table.sql) {
        table.autoincrement = ddl.autoincrement;
        for column in &mut table.columns {
            column.collation =
                ddl.column(&column.name).and_then(|found| found.collation().map(str::to_owned));
        }
        let clauses = ddl.foreign_keys();
        if clauses.len() == table.foreign_keys.len() {
            for (key, clause) in table.foreign_keys.iter_mut().zip(clauses) {
                key.deferrable = clause.deferred;
            }
        }
    }
    let names: Vec<Index> = list(
        connection,
        "SELECT name, \"unique\", origin, partial FROM pragma_index_list(?1, 'main') ORDER BY name",
        &table.name,
        |row| {
            let name: String = row.get(0)?;
            let sql = indexes.get(&name).cloned().flatten();
            let (unique, origin, partial) = (row.get(1)?, row.get(2)?, row.get(3)?);
            Ok(Index { name, sql, unique, origin, partial, columns: Vec::new() })
        },
    )?;
    for mut index in names {
        index.columns = list(
            connection,
            "SELECT name, \"desc\", coll, key FROM pragma_index_xinfo(?1, 'main') ORDER BY seqno",
            &index.name,
            |row| {
                let (name, descending, collation, key) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
                Ok(IndexColumn { name, descending, collation, key })
            },
        )?;
        table.indexes.push(index);
    }
    Ok(table)
}

fn foreign_keys(connection: &Connection, table: &str) -> rusqlite::Result<Vec<ForeignKey>> {
    // SQLite numbers foreign keys from the last of the text to the first.
    let rows = list(
        connection,
        "SELECT id, \"table\", \"from\", \"to\", on_update, on_delete FROM pragma_foreign_key_list(?1, 'main') \
         ORDER BY id DESC, seq",
        table,
        |row| {
            let id: i64 = row.get(0)?;
            let (parent, from): (String, String) = (row.get(1)?, row.get(2)?);
            let (to, on_update): (Option<String>, String) = (row.get(3)?, row.get(4)?);
            Ok((id, parent, from, to, on_update, row.get::<_, String>(5)?))
        },
    )?;
    let mut keys: Vec<(i64, ForeignKey)> = Vec::new();
    for (id, table, from, to, on_update, on_delete) in rows {
        if keys.last().is_none_or(|(last, _)| *last != id) {
            let (on_delete, on_update) = (Action::parse(&on_delete), Action::parse(&on_update));
            let (columns, references) = (Vec::new(), Vec::new());
            keys.push((
                id,
                ForeignKey { columns, table, references, on_delete, on_update, deferrable: false },
            ));
        }
        if let Some((_, key)) = keys.last_mut() {
            key.columns.push(from);
            key.references.extend(to);
        }
    }
    Ok(keys.into_iter().map(|(_, key)| key).collect())
}

fn list<T>(
    connection: &Connection,
    sql: &str,
    name: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(sql)?.query_map([name], read)?.collect()
}
