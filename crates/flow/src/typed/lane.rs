//! One move, resolved against both ends: which columns, of which type, filled with what.

use super::wire::Portions;
use crate::cell::{Affinity, CellError, Kind, show};
use crate::error::FlowError;
use crate::job::TableName;

/// What fills a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fill {
    /// An expression of the source's SQL over its row `s`.
    Sql(String),
    /// A constant, as a field with its length.
    Fixed(Vec<u8>),
}

/// A column of the target.
#[derive(Debug, Clone)]
pub(super) struct Column {
    /// Its name.
    pub name: String,
    /// What its cells are on the way.
    pub kind: Kind,
    /// What fills it.
    pub fill: Fill,
    /// What the SQLite end makes of its values; none where that end is the source.
    pub affinity: Affinity,
    /// Whether it refuses NULL.
    pub not_null: bool,
}

/// One move: a stream of rows from one table to another. Its columns are in the order of their names, so that the streams
/// of two moves into one table can be compared as one.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    /// The number of the move.
    pub number: usize,
    /// The table that is read.
    pub from: TableName,
    /// The table that is filled.
    pub to: TableName,
    /// The columns that are filled.
    pub columns: Vec<Column>,
    /// Those of the columns that are the target's primary key; none when it has none or it is not filled.
    pub key: Vec<usize>,
    /// What stands behind FROM at the source, with its alias `s`.
    pub reads: String,
    /// The condition on the row `s`.
    pub filter: Option<String>,
    /// How the rows of the source are told apart and ordered.
    pub order: Order,
    /// What is inserted into, quoted.
    pub writes: String,
    /// How large its portions are.
    pub portions: Portions,
    /// Everything in one transaction, because rows refer to rows of the same table.
    pub whole: bool,
    /// Read to be compared only: a value that does not fit is different, and no error.
    pub lenient: bool,
}

/// How a reader comes back to where it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    /// By these expressions over `s` of SQLite, which are unique and never NULL.
    Key(Vec<String>),
    /// By the blocks of a PostgreSQL table.
    Blocks {
        /// How many there are.
        blocks: u64,
        /// The file that they are in; another one after the table was rewritten.
        file: u32,
    },
    /// Not at all: everything is one batch.
    None,
}

impl Lane {
    /// The expressions that the source is asked for, in the order of the columns.
    pub fn selected(&self) -> Vec<&str> {
        self.columns
            .iter()
            .filter_map(|column| match &column.fill {
                Fill::Sql(sql) => Some(sql.as_str()),
                Fill::Fixed(_) => None,
            })
            .collect()
    }

    /// The condition on the row `s`, with `more` where there is one.
    pub fn condition(&self, more: Option<String>) -> String {
        let parts: Vec<String> = self.filter.iter().map(|filter| format!("({filter})")).chain(more).collect();
        if parts.is_empty() { String::new() } else { format!(" WHERE {}", parts.join(" AND ")) }
    }

    /// Says which cell could not be moved, and why.
    pub fn bad_cell(
        &self,
        row: String,
        column: usize,
        value: Option<String>,
        reason: &CellError,
    ) -> FlowError {
        FlowError::Cell {
            from: self.from.describe(),
            to: self.to.describe(),
            row,
            column: self.columns.get(column).map_or(String::new(), |column| column.name.clone()),
            value,
            reason: reason.to_string(),
        }
    }

    /// Names a row on the way for people: its key, or its first columns where there is none.
    pub fn name_row(&self, row: &[u8]) -> String {
        let fields: Vec<Option<&[u8]>> = super::wire::fields(row).collect();
        let first: Vec<usize> = (0..self.columns.len().min(3)).collect();
        let shown = if self.key.is_empty() { &first } else { &self.key };
        let named = shown.iter().filter_map(|at| {
            let (column, field) = (self.columns.get(*at)?, fields.get(*at)?);
            let value =
                show(&column.kind, *field).map_or("NULL".to_owned(), |value| crate::end::shorten(&value));
            Some(format!("{} = {value}", column.name))
        });
        named.collect::<Vec<_>>().join(", ")
    }
}
