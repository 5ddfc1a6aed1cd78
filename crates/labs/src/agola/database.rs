//! The database of a new service: SQLite or PostgreSQL, through the few statements that both understand.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use postgres::fallible_iterator::FallibleIterator as _;
use postgres::types::ToSql;
use postgres::{Client, NoTls, Statement};
use rusqlite::Connection;

/// Where a database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In a file.
    Sqlite(PathBuf),
    /// On a server, by its URL.
    Postgres(String),
}

/// Why a database does not do what it is asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum DbError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A connection. What it began and did not commit is undone when it is dropped.
pub(super) enum Db {
    Sqlite(Connection),
    Postgres(Box<Client>, HashMap<String, Statement>),
}

impl Place {
    /// Connects; a file that is not there is made.
    pub(super) fn connect(&self) -> Result<Db, DbError> {
        match self {
            Place::Sqlite(path) => {
                let db = Connection::open(path)?;
                db.busy_timeout(Duration::from_secs(10))?;
                // A lab is built again: nothing here needs to survive a power cut.
                db.execute_batch("PRAGMA journal_mode = wal; PRAGMA synchronous = off")?;
                Ok(Db::Sqlite(db))
            }
            Place::Postgres(url) => {
                let mut config: postgres::Config = url.parse()?;
                config.application_name("agola").connect_timeout(Duration::from_secs(5));
                Ok(Db::Postgres(Box::new(config.connect(NoTls)?), HashMap::new()))
            }
        }
    }

    /// Says whether it is PostgreSQL, in which times have microseconds.
    pub(super) fn is_postgres(&self) -> bool {
        matches!(self, Place::Postgres(_))
    }
}

impl Db {
    /// The type of a column that keeps JSON as it was written.
    pub(super) fn json_type(&self) -> &'static str {
        if matches!(self, Db::Sqlite(_)) { "text" } else { "json" }
    }

    /// The column `json` as text.
    pub(super) fn json_text(&self) -> &'static str {
        if matches!(self, Db::Sqlite(_)) { "json" } else { "json::text" }
    }

    /// A place for a text that goes into a column of JSON.
    pub(super) fn json_value(&self) -> &'static str {
        if matches!(self, Db::Sqlite(_)) { "$2" } else { "$2::text::json" }
    }

    /// Runs statements without values.
    pub(super) fn batch(&mut self, sql: &str) -> Result<(), DbError> {
        match self {
            Db::Sqlite(db) => Ok(db.execute_batch(sql)?),
            Db::Postgres(client, _) => Ok(client.batch_execute(sql)?),
        }
    }

    /// Runs one statement, with `$1`, `$2` in order; returns how many rows it touched.
    pub(super) fn execute(&mut self, sql: &str, values: &[&str]) -> Result<u64, DbError> {
        match self {
            Db::Sqlite(db) => {
                let count = db.prepare_cached(sql)?.execute(rusqlite::params_from_iter(values))?;
                Ok(count as u64)
            }
            Db::Postgres(client, known) => {
                let statement = prepared(client, known, sql)?;
                let values: Vec<&(dyn ToSql + Sync)> =
                    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
                Ok(client.execute(&statement, &values)?)
            }
        }
    }

    /// Gives the first column of every row, which is text, to `take`, as the rows come.
    pub(super) fn each(
        &mut self,
        sql: &str,
        values: &[&str],
        mut take: impl FnMut(&str) -> io::Result<()>,
    ) -> Result<(), DbError> {
        match self {
            Db::Sqlite(db) => {
                let mut select = db.prepare_cached(sql)?;
                let mut rows = select.query(rusqlite::params_from_iter(values))?;
                while let Some(row) = rows.next()? {
                    take(row.get_ref(0)?.as_str().map_err(io::Error::other)?)?;
                }
            }
            Db::Postgres(client, known) => {
                let statement = prepared(client, known, sql)?;
                let mut rows = client.query_raw(&statement, values)?;
                while let Some(row) = rows.next()? {
                    take(row.get(0))?;
                }
            }
        }
        Ok(())
    }

    /// Returns the first column of the first row.
    pub(super) fn one(&mut self, sql: &str, values: &[&str]) -> Result<Option<String>, DbError> {
        let mut found = None;
        self.each(sql, values, |text| {
            found.get_or_insert_with(|| text.to_owned());
            Ok(())
        })?;
        Ok(found)
    }
}

fn prepared(
    client: &mut Client,
    known: &mut HashMap<String, Statement>,
    sql: &str,
) -> Result<Statement, DbError> {
    if let Some(statement) = known.get(sql) {
        return Ok(statement.clone());
    }
    let statement = client.prepare(sql)?;
    known.insert(sql.to_owned(), statement.clone());
    Ok(statement)
}
