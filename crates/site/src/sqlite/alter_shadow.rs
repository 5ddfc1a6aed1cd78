//! An empty database in memory with the schema of the real one, on which a plan is tried before it is believed.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::alter_catalog::{Catalog, Table};
use super::alter_error::AlterError;
use super::alter_plan::message;
use super::ddl::{TokenKind, quote_identifier, tokenize, unquote};

/// The empty twin of a database.
pub(super) struct Shadow {
    pub(super) connection: Connection,
    /// Objects that need "text" in double quotes to mean a text (sqlite.org/quirks.html#dblquote).
    lenient: BTreeSet<String>,
    /// Virtual tables whose module is not at hand.
    unreadable: Vec<Table>,
}

/// How well an object works: the higher, the better.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Broken,
    Lenient,
    Works,
}

/// What works in a schema, by object, with what SQLite says of what does not.
pub(super) struct Health(BTreeMap<String, (Level, String)>);

impl Shadow {
    /// Builds the twin from the texts of a catalog and proves that it is one.
    pub(super) fn of(catalog: &Catalog) -> Result<Shadow, AlterError> {
        let connection = Connection::open_in_memory().map_err(AlterError::Read)?;
        connection.execute_batch("PRAGMA foreign_keys=OFF").map_err(AlterError::Read)?;
        let mut shadow = Shadow { connection, lenient: BTreeSet::new(), unreadable: Vec::new() };
        let failed = |object: String| {
            move |error: rusqlite::Error| AlterError::NotReproducible { object, reason: message(&error) }
        };
        for table in &catalog.tables {
            if let Err(error) = shadow.load(&format!("table {}", table.name), &table.sql) {
                if !table.is_virtual {
                    return Err(failed(format!("table {}", table.name))(error));
                }
                shadow.unreadable.push(table.clone());
            }
        }
        for index in catalog.tables.iter().flat_map(|table| &table.indexes) {
            if let Some(sql) = &index.sql {
                let object = format!("index {}", index.name);
                shadow.load(&object, sql).map_err(failed(object.clone()))?;
            }
        }
        for view in &catalog.views {
            let object = format!("view {}", view.name);
            shadow.load(&object, &view.sql).map_err(failed(object.clone()))?;
        }
        let mut triggers: Vec<_> = catalog.triggers.iter().collect();
        triggers.sort_by_key(|trigger| trigger.rank);
        for trigger in triggers {
            let object = format!("trigger {}", trigger.name);
            shadow.load(&object, &trigger.sql).map_err(failed(object.clone()))?;
        }
        match catalog.first_difference(&shadow.catalog()?) {
            None => Ok(shadow),
            Some(reason) => Err(AlterError::NotReproducible { object: "the schema".into(), reason }),
        }
    }

    /// Reads the twin's schema as that of the real database would be.
    pub(super) fn catalog(&self) -> Result<Catalog, AlterError> {
        let mut catalog = Catalog::read(&self.connection)?;
        catalog.tables.extend(self.unreadable.iter().cloned());
        catalog.tables.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(catalog)
    }

    /// Runs a statement as it will run on the real database.
    pub(super) fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.execute_batch(sql)
    }

    /// Creates an object anew. A name in double quotes that names nothing any more is an error here and not silently a text,
    /// unless the object always lived by that.
    pub(super) fn create(&self, object: &str, sql: &str) -> rusqlite::Result<()> {
        let lenient = self.lenient.contains(&object.to_ascii_lowercase());
        self.with_texts_in_double_quotes(lenient, || self.run(sql))
    }

    fn load(&mut self, object: &str, sql: &str) -> rusqlite::Result<()> {
        if self.with_texts_in_double_quotes(false, || self.run(sql)).is_ok() {
            return Ok(());
        }
        self.run(sql)?;
        self.lenient.insert(object.to_ascii_lowercase());
        Ok(())
    }

    fn with_texts_in_double_quotes<T>(
        &self,
        allowed: bool,
        act: impl FnOnce() -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let set = |value| {
            self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, value)?;
            self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, value)
        };
        set(allowed)?;
        let done = act();
        set(true)?;
        done
    }

    /// Looks what works: every view is read, and every table with triggers is written to, without being run.
    pub(super) fn health(&self, catalog: &Catalog) -> Health {
        let mut found = BTreeMap::new();
        for view in &catalog.views {
            let sql = format!("SELECT * FROM {}", quote_identifier(&view.name));
            found.insert(format!("view {}", view.name), self.level(&sql));
        }
        for trigger in &catalog.triggers {
            let table = quote_identifier(&trigger.table);
            let columns: Vec<String> = match catalog.table(&trigger.table) {
                Some(table) => table
                    .columns
                    .iter()
                    .filter(|column| column.hidden == 0)
                    .map(|column| column.name.clone())
                    .collect(),
                None => self.columns_of_view(&table),
            };
            let sets: Vec<String> =
                columns.iter().map(|name| format!("{0}={0}", quote_identifier(name))).collect();
            let statements = [
                format!("INSERT INTO {table} DEFAULT VALUES"),
                format!("UPDATE {table} SET {}", sets.join(",")),
                format!("DELETE FROM {table}"),
            ];
            let mut level = (Level::Works, String::new());
            for sql in statements {
                level = level.min(self.level(&sql));
            }
            if let Some(column) = watched_column(&trigger.sql, &columns) {
                level = (Level::Broken, format!("it watches column {column}, which does not exist"));
            }
            found.insert(format!("trigger {}", trigger.name), level);
        }
        Health(found)
    }

    fn columns_of_view(&self, quoted: &str) -> Vec<String> {
        let statement = self.connection.prepare(&format!("SELECT * FROM {quoted}"));
        statement.map(|statement| statement.column_names().map(str::to_owned).collect()).unwrap_or_default()
    }

    fn level(&self, sql: &str) -> (Level, String) {
        let prepare =
            |allowed| self.with_texts_in_double_quotes(allowed, || self.connection.prepare(sql).map(|_| ()));
        let Err(strict) = prepare(false) else { return (Level::Works, String::new()) };
        match prepare(true) {
            Ok(()) => (Level::Lenient, message(&strict)),
            Err(error) => (Level::Broken, message(&error)),
        }
    }
}

impl Health {
    /// Finds the first object that works less well in `after`, with what SQLite says of it.
    pub(super) fn first_loss(&self, after: &Health) -> Option<(String, String)> {
        self.0.iter().find_map(|(object, (level, _))| {
            let (now, reason) = after.0.get(object)?;
            (now < level).then(|| (object.clone(), reason.clone()))
        })
    }
}

/// Finds a column of `UPDATE OF` that the table has not: SQLite takes it without a word, and the trigger never fires.
fn watched_column(sql: &str, columns: &[String]) -> Option<String> {
    let tokens: Vec<_> = tokenize(sql).ok()?.into_iter().filter(|token| token.is_significant()).collect();
    let begin = tokens.iter().position(|token| token.is_word(sql, "UPDATE"))?;
    if !tokens.get(begin + 1)?.is_word(sql, "OF") {
        return None;
    }
    tokens[begin + 2..]
        .iter()
        .take_while(|token| !token.is_word(sql, "ON"))
        .filter(|token| token.kind != TokenKind::Sign)
        .map(|token| unquote(token.text(sql)))
        .find(|name| !columns.iter().any(|column| column.eq_ignore_ascii_case(name)))
}
