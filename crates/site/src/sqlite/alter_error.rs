//! Why a schema cannot be brought where it was declared to be.

use super::ddl::DdlError;
use crate::tell::{Failure, Halt};

/// Every way in which reading, planning or changing a schema ends early. The database is unchanged after each.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AlterError {
    /// The schema could not be read.
    #[error("read the schema: {0}")]
    Read(#[source] rusqlite::Error),
    /// A declared table is not there.
    #[error("find table {table}")]
    NoTable {
        /// The table.
        table: String,
    },
    /// A declared column is not there.
    #[error("find column {column} of table {table}")]
    NoColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A declared index is not there, or belongs to a constraint and has no text of its own.
    #[error("find index {index} of table {table}")]
    NoIndex {
        /// The table.
        table: String,
        /// The index.
        index: String,
    },
    /// The declared thing is no ordinary table.
    #[error("alter {table}: it is {kind}")]
    NotOrdinary {
        /// The table.
        table: String,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// Rows that exist would have no value in the new column.
    #[error(
        "add column {column} to table {table}: it is NOT NULL and has no default for the rows that exist"
    )]
    NoValue {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A piece of SQL in the declaration is not whole.
    #[error("use `{sql}`: {why}")]
    Fragment {
        /// The piece.
        sql: String,
        /// What is wrong with it.
        why: String,
    },
    /// A definition could not be read or edited.
    #[error("edit the definition of {object}: {source}")]
    Definition {
        /// The table or index.
        object: String,
        /// What is wrong.
        source: DdlError,
    },
    /// The definition means something else to SQLite than to our reader, so it is not edited.
    #[error("edit the definition of {table}: SQLite reads its columns otherwise")]
    Misread {
        /// The table.
        table: String,
    },
    /// A view, a trigger or an index would no longer work.
    #[error("keep {object}: {reason}")]
    Breaks {
        /// The object, with its kind.
        object: String,
        /// What SQLite says of it.
        reason: String,
    },
    /// SQLite refuses a statement of the plan.
    #[error("{doing}: {reason}")]
    Refused {
        /// What was attempted.
        doing: String,
        /// What SQLite says.
        reason: String,
    },
    /// The schema holds something that cannot be created anew from its own text.
    #[error("create {object} anew from its own text: {reason}")]
    NotReproducible {
        /// The object, with its kind.
        object: String,
        /// What SQLite says, or what differs.
        reason: String,
    },
    /// The schema after the change is not the declared one. A bug, or foreign hands.
    #[error("bring the schema to what was declared: {reason}")]
    NotAsDeclared {
        /// The first difference.
        reason: String,
    },
    /// The script cannot run in a transaction, or would end it.
    #[error("run `{keyword}` (line {line} of the script): it cannot be part of a transaction")]
    Control {
        /// The line, from 1.
        line: usize,
        /// The statement's first word.
        keyword: String,
    },
    /// A statement of the script failed.
    #[error("run the script, line {line}: {source}")]
    Script {
        /// The line, from 1.
        line: usize,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The script ended the transaction.
    #[error("go on: the transaction was ended by the script")]
    Ended,
    /// The connection is inside a transaction already.
    #[error("begin a transaction: the connection is inside one already")]
    InTransaction,
    /// A setting of the connection could not be made.
    #[error("set {setting}: {reason}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// Why not.
        reason: String,
    },
    /// Rows would refer to nothing that referred to something before.
    #[error("keep {count} row(s) whose reference would lead nowhere: {rows}")]
    Violations {
        /// How many.
        count: usize,
        /// The first of them.
        rows: String,
    },
    /// The copy of a table has another number of rows.
    #[error("copy table {table}: {after} of {before} rows arrived")]
    RowsDiffer {
        /// The table.
        table: String,
        /// Rows before.
        before: u64,
        /// Rows after.
        after: u64,
    },
    /// The copy of a table holds values of another storage class although no type was changed.
    #[error("copy table {table}: {rows} row(s) would change the storage class of a value")]
    ClassesDiffer {
        /// The table.
        table: String,
        /// How many rows.
        rows: u64,
    },
    /// The copy of a table has other rowids.
    #[error("copy table {table}: its rows would get other rowids")]
    RowidsDiffer {
        /// The table.
        table: String,
    },
    /// A statement failed.
    #[error("{doing}: {source}")]
    Sql {
        /// What was attempted.
        doing: String,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// Ended early although nothing was wrong.
    #[error(transparent)]
    Halt(#[from] Halt),
}

impl AlterError {
    pub(super) fn sql(doing: impl Into<String>) -> impl FnOnce(rusqlite::Error) -> AlterError {
        let doing = doing.into();
        move |source| AlterError::Sql { doing, source }
    }

    pub(super) fn definition(object: &str) -> impl FnOnce(DdlError) -> AlterError + use<> {
        let object = object.to_owned();
        move |source| AlterError::Definition { object, source }
    }

    pub(super) fn no_column(table: &str, column: &str) -> AlterError {
        AlterError::NoColumn { table: table.to_owned(), column: column.to_owned() }
    }
}

impl Failure for AlterError {
    fn halt(&self) -> Option<Halt> {
        match self {
            AlterError::Halt(halt) => Some(*halt),
            _ => None,
        }
    }
}
