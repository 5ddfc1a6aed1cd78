//! The two ends of a move, and what is said about it.

use std::fmt;

use serde::{Deserialize, Serialize};
use switchback_model::digest::TableDigest;

use crate::job::TableName;

/// One end of a move: a database.
#[derive(Debug, Clone)]
pub enum End {
    /// A PostgreSQL database.
    Postgres(switchback_site::postgres::Database),
    /// A SQLite database.
    Sqlite(switchback_site::sqlite::Database),
}

/// Whose cursors are read and written: one step of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorKey {
    /// The run.
    pub run: String,
    /// The step of it.
    pub step: String,
}

/// How a move is carried out. Nothing in it changes what is moved.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many tables, or parts of one, are moved at the same time.
    pub workers: usize,
    /// What becomes of the indexes of a PostgreSQL target meanwhile.
    pub indexes: Indexes,
}

/// When indexes and foreign keys of tables that are empty are made: with each row, or all at once after the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Indexes {
    /// After the load where that is faster, by the rows that are expected.
    #[default]
    BySize,
    /// After the load, however few rows there are.
    After,
    /// With each row.
    Kept,
}

/// From how many rows on it pays to make indexes after the load (measured: bench/README.md).
const LARGE: u64 = 20_000;

impl Indexes {
    /// From how many expected rows on the indexes of a table are made after the load.
    pub(crate) fn from(self) -> u64 {
        match self {
            Indexes::BySize => LARGE,
            Indexes::After => 0,
            Indexes::Kept => u64::MAX,
        }
    }
}

impl Default for Options {
    fn default() -> Options {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // Half of the work is done by the server, and most servers are on other machines or have other work.
        Options { workers: cores.clamp(1, 4), indexes: Indexes::BySize }
    }
}

/// What a move did, earlier lives of the same step included.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Rows that are in the target now.
    pub rows: u64,
    /// Rows that stayed behind because a lookup with [`crate::Miss::Drop`] found nothing, by the number of the move.
    pub dropped: Vec<(usize, u64)>,
    /// Sequences that were set, and to what.
    pub sequences: Vec<(String, i64)>,
    /// How many parts an earlier life had moved already.
    pub found: u64,
}

/// Whether one table of the target holds exactly what its sources say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableProof {
    /// The table of the target.
    pub table: TableName,
    /// All rows that the moves into it should have made.
    pub source: TableDigest,
    /// All rows that are in it.
    pub target: TableDigest,
    /// Rows of the sources that stayed behind because a lookup found nothing.
    pub dropped: u64,
    /// Whether the two are equal.
    pub equal: bool,
}

/// One row that differs between the ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The table of the target.
    pub table: TableName,
    /// The columns of its primary key (of all that were filled, where it has none) and the row's values in them.
    pub key: Vec<(String, Option<String>)>,
    /// How it differs.
    pub how: Differs,
}

/// How a row differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Differs {
    /// It is not in the target.
    Missing,
    /// No source has it.
    Unexpected,
    /// It is at both ends, with other values: the column, the source's value and the target's.
    Changed(Vec<(String, Option<String>, Option<String>)>),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |value: &Option<String>| value.as_deref().map_or("NULL".to_owned(), shorten);
        let key: Vec<String> =
            self.key.iter().map(|(name, value)| format!("{name} = {}", show(value))).collect();
        write!(f, "{} ({}): ", self.table.describe(), key.join(", "))?;
        match &self.how {
            Differs::Missing => write!(f, "not in the target"),
            Differs::Unexpected => write!(f, "only in the target"),
            Differs::Changed(columns) => {
                let column = |(name, source, target): &(String, Option<String>, Option<String>)| {
                    format!("{name} is {} in the source, {} in the target", show(source), show(target))
                };
                write!(f, "{}", columns.iter().map(column).collect::<Vec<_>>().join("; "))
            }
        }
    }
}

/// Shows a value in at most 60 characters.
pub(crate) fn shorten(value: &str) -> String {
    match value.char_indices().nth(60) {
        Some((end, _)) => format!("'{}'…", &value[..end]),
        None => format!("'{value}'"),
    }
}
