//! A connection to either database.

use switchback_site::postgres::{Access, quote};

use super::sqlite_shape;
use crate::end::End;
use crate::error::FlowError;
use crate::postgres::session::open;

/// An open end.
pub(super) enum Hand {
    Sqlite(rusqlite::Connection),
    Postgres(postgres::Client),
}

impl Hand {
    /// Opens an end for reading: nothing can be written through it.
    pub fn reader(end: &End, name: &str) -> Result<Hand, FlowError> {
        Ok(match end {
            End::Sqlite(database) => Hand::Sqlite(database.open_read()?),
            End::Postgres(database) => Hand::Postgres(open(database, name, Access::ReadOnly)?),
        })
    }

    /// Opens an end for writing.
    pub fn writer(end: &End, name: &str) -> Result<Hand, FlowError> {
        Ok(match end {
            End::Sqlite(database) => Hand::Sqlite(database.open_write()?),
            End::Postgres(database) => Hand::Postgres(open(database, name, Access::ReadWrite)?),
        })
    }

    /// Says whether two names mean one column: SQLite does not look at the case of ASCII letters.
    pub fn same_name(&self, one: &str, other: &str) -> bool {
        match self {
            Hand::Sqlite(_) => one.eq_ignore_ascii_case(other),
            Hand::Postgres(_) => one == other,
        }
    }

    /// Quotes a name.
    pub fn quote(&self, name: &str) -> Result<String, FlowError> {
        match self {
            Hand::Sqlite(_) => Ok(sqlite_shape::quote(name)),
            Hand::Postgres(_) => Ok(quote(name)?),
        }
    }
}
