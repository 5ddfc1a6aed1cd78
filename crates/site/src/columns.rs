//! The columns of tables, whatever the database: what a move of rows has to know of both ends.

use crate::postgres;
use crate::site::{Site, SiteError};
use rusqlite::Connection;
use std::collections::BTreeMap;

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its declared type, in the database's own words.
    pub r#type: String,
    /// Whether a row without a value for it is refused: not null, no default, not made by the database.
    pub required: bool,
    /// Whether the database computes it from other columns, so that nobody may fill it.
    pub computed: bool,
}

/// Tables by name, each with its columns in their order.
pub type Columns = BTreeMap<String, Vec<Column>>;

/// Returns the ordinary and partitioned tables of some schemas of a PostgreSQL database, schema by schema. A schema that is
/// not there has no entry.
pub fn of_schemas(
    client: &mut postgres::Client,
    schemas: &[String],
) -> Result<BTreeMap<String, Columns>, ::postgres::Error> {
    let sql = "SELECT n.nspname, c.relname, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), \
                      a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AND a.attgenerated = '', \
                      a.attgenerated <> '' \
               FROM pg_catalog.pg_namespace n \
               LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p') AND NOT c.relispartition \
               LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
               WHERE n.nspname = ANY($1) ORDER BY 1, 2, a.attnum";
    let mut found: BTreeMap<String, Columns> = BTreeMap::new();
    for row in client.query(sql, &[&schemas])? {
        let tables = found.entry(row.get(0)).or_default();
        let (Some(table), name) = (row.get::<_, Option<String>>(1), row.get::<_, Option<String>>(2)) else {
            continue;
        };
        let columns = tables.entry(table).or_default();
        columns.extend(name.map(|name| Column {
            name,
            r#type: row.get(3),
            required: row.get(4),
            computed: row.get(5),
        }));
    }
    Ok(found)
}

/// Returns the tables of a SQLite database; its own and ours are left out.
pub fn of_sqlite(connection: &Connection) -> Result<Columns, rusqlite::Error> {
    let sql = "SELECT t.name, x.name, x.type, x.\"notnull\" AND x.dflt_value IS NULL AND x.pk = 0, x.hidden IN (2, 3) \
               FROM pragma_table_list t, pragma_table_xinfo(t.name) x \
               WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND t.name <> ?1 \
               ORDER BY t.name, x.cid";
    let mut found = Columns::new();
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([crate::sqlite::LEDGER])?;
    while let Some(row) = rows.next()? {
        found.entry(row.get(0)?).or_default().push(Column {
            name: row.get(1)?,
            r#type: row.get(2)?,
            required: row.get(3)?,
            computed: row.get(4)?,
        });
    }
    Ok(found)
}

impl Site {
    /// Returns the tables of a database target with their columns: for PostgreSQL those of each schema that is there, for
    /// SQLite all, under the one schema `main`.
    pub fn tables_of(
        &self,
        target: &str,
        schemas: &[String],
    ) -> Result<BTreeMap<String, Columns>, SiteError> {
        if self.is_postgres(target) {
            return Ok(of_schemas(&mut self.reader(target)?, schemas)?);
        }
        Ok(BTreeMap::from([("main".to_owned(), of_sqlite(&self.database(target)?.open_read()?)?)]))
    }
}
