//! Why rows could not be moved or proven.

use switchback_site::postgres::{CopyError, LedgerError, OpenError, WaitError};
use switchback_site::tell::{Failure, Halt};

use crate::end::shorten;

/// Why a move or its proof ended. Whatever was committed until then is named by cursors, so that the same call goes on
/// behind it; the batch that failed left nothing.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// An end cannot be reached.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A SQLite end cannot be opened.
    #[error(transparent)]
    OpenSqlite(#[from] switchback_site::sqlite::OpenError),
    /// SQLite refused.
    #[error("{doing}: {source}")]
    Sqlite {
        /// What was attempted, on what.
        doing: String,
        /// What it says.
        source: rusqlite::Error,
    },
    /// The cursors of PostgreSQL cannot be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A name is none that PostgreSQL keeps.
    #[error(transparent)]
    Name(#[from] switchback_site::postgres::NameError),
    /// The cursors of SQLite cannot be read or written.
    #[error(transparent)]
    SqliteLedger(#[from] switchback_site::sqlite::LedgerError),
    /// What is asked for does not fit the databases. Nothing was changed.
    #[error("move the tables as asked: {}", .0.join("; "))]
    Refused(Vec<String>),
    /// The server refused.
    #[error("{doing}: {}", said(.source))]
    Server {
        /// What was attempted, on what.
        doing: String,
        /// What it says.
        source: postgres::Error,
    },
    /// Rows could not be read.
    #[error("{doing}: {source}")]
    Read {
        /// What was attempted, on what.
        doing: String,
        /// What went wrong.
        source: CopyError,
    },
    /// A stream into the target broke.
    #[error("{doing}: {source}")]
    Write {
        /// What was attempted, on what.
        doing: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// One value does not fit its column.
    #[error("put the value of {from}{} into column {column} of {to}: {reason}{}", place(.row), worth(.value))]
    Cell {
        /// The table of the source.
        from: String,
        /// The table of the target.
        to: String,
        /// The row of the source, by its primary key; empty when it could not be told.
        row: String,
        /// The column of the target.
        column: String,
        /// The value as text, where it can be shown.
        value: Option<String>,
        /// What the server says.
        reason: String,
    },
    /// A lookup that must find a row found none.
    #[error("fill column {column} of {to}: no row of {within} answers to {} of {from}", .rows.join(", "))]
    Missing {
        /// The table of the source.
        from: String,
        /// The table of the target.
        to: String,
        /// The column of the target.
        column: String,
        /// The table that was searched.
        within: String,
        /// The first rows of the source that found nothing, by what they searched for.
        rows: Vec<String>,
    },
    /// Rows that were moved refer to rows that are not there.
    #[error("keep the references of {to}: {}", .rows.join("; "))]
    Lost {
        /// The table of the target.
        to: String,
        /// The first such rows.
        rows: Vec<String>,
    },
    /// A lookup found more than one row, and would double rows of the source.
    #[error("fill column {column} of {to}: {within} has more than one row for {key}")]
    Ambiguous {
        /// The table of the target.
        to: String,
        /// The column of the target.
        column: String,
        /// The table that was searched.
        within: String,
        /// What was searched for.
        key: String,
    },
    /// An index or a foreign key cannot be brought back after the load: rows do not allow it, or it would be another one.
    #[error("bring back {what}, which was taken down for the load: {reason}")]
    Back {
        /// What it is, and of which table.
        what: String,
        /// What the server says, with the rows.
        reason: String,
    },
    /// Others hold what we need.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// A bug of ours, or a thread of ours that died.
    #[error("{0}; this is a bug")]
    Bug(String),
    /// Stopped on the way.
    #[error(transparent)]
    Halt(#[from] Halt),
}

impl Failure for FlowError {
    fn halt(&self) -> Option<Halt> {
        match self {
            FlowError::Halt(halt) => Some(*halt),
            FlowError::Read { source, .. } => source.halt(),
            FlowError::Open(source) => source.halt(),
            FlowError::OpenSqlite(source) => source.halt(),
            FlowError::Ledger(source) => source.halt(),
            FlowError::SqliteLedger(source) => source.halt(),
            FlowError::Wait(source) => source.halt(),
            _ => None,
        }
    }
}

impl FlowError {
    /// Wraps what the server says while we are `doing` something.
    pub(crate) fn server(doing: impl Into<String>) -> impl FnOnce(postgres::Error) -> FlowError {
        let doing = doing.into();
        move |source| FlowError::Server { doing, source }
    }

    /// Wraps what SQLite says while we are `doing` something.
    pub(crate) fn sqlite(doing: impl Into<String>) -> impl FnOnce(rusqlite::Error) -> FlowError {
        let doing = doing.into();
        move |source| FlowError::Sqlite { doing, source }
    }

    /// Wraps what went wrong while writing a stream: the driver hides what the server says in an error of a writer.
    pub(crate) fn written(doing: impl Into<String>, error: std::io::Error) -> FlowError {
        let doing = doing.into();
        match error.downcast::<postgres::Error>() {
            Ok(source) => FlowError::Server { doing, source },
            Err(source) => FlowError::Write { doing, source },
        }
    }

    /// Wraps what went wrong while reading rows.
    pub(crate) fn read(doing: impl Into<String>) -> impl FnOnce(CopyError) -> FlowError {
        let doing = doing.into();
        move |source| match source {
            CopyError::Query { source } => FlowError::Server { doing, source },
            CopyError::Halt(halt) => FlowError::Halt(halt),
            source => FlowError::Read { doing, source },
        }
    }

    /// What the server says, where it is the server that refused.
    pub(crate) fn database(&self) -> Option<&postgres::error::DbError> {
        match self {
            FlowError::Server { source, .. } | FlowError::Ledger(LedgerError::Server { source }) => {
                source.as_db_error()
            }
            FlowError::Read { source: CopyError::Query { source }, .. } => source.as_db_error(),
            _ => None,
        }
    }
}

/// Everything that the server says of an error, in one line.
pub(crate) fn said(error: &postgres::Error) -> String {
    let mut text = switchback_site::postgres::said(error);
    let Some(answer) = error.as_db_error() else { return text };
    if let (Some(table), Some(column)) = (answer.table(), answer.column()) {
        let schema = answer.schema().map_or(String::new(), |schema| format!("{schema}."));
        text = format!("{text} (column {column} of {schema}{table})");
    }
    // Where a stream of rows broke: table, line and column.
    match answer.where_().filter(|place| place.starts_with("COPY ")) {
        Some(place) => format!("{text}; {}", place.replace('\n', " ")),
        None => text,
    }
}

fn place(row: &str) -> String {
    if row.is_empty() { String::new() } else { format!(" ({row})") }
}

fn worth(value: &Option<String>) -> String {
    value.as_deref().map_or(String::new(), |value| format!("; the value is {}", shorten(value)))
}
