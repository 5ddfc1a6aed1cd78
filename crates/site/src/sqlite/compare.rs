//! Comparing two tables value by value, storage classes included, and naming the rows that differ.

use std::cmp::Ordering;

use rusqlite::{Connection, Rows};
use serde::{Deserialize, Serialize};
use switchback_model::digest::{Cell, TableDigest};

use crate::sqlite::fingerprint::quote;
use crate::sqlite::scan::{Grouping, ScanError, cell, scan};
use crate::tell::{Failure, Halt, Tell, Unit};

/// How many differing rows are named.
const SAMPLES: usize = 20;

/// Why two tables could not be compared. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// No column was named.
    #[error("compare {table_a} with {table_b}: no columns are named")]
    NoColumns {
        /// The first table.
        table_a: String,
        /// The second table.
        table_b: String,
    },
    /// Reading one of them failed.
    #[error("read table {table}: {source}")]
    Table {
        /// The table.
        table: String,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// Stopped on the way.
    #[error(transparent)]
    Halt(#[from] Halt),
}

impl Failure for CompareError {
    fn halt(&self) -> Option<Halt> {
        match self {
            CompareError::Halt(halt) => Some(*halt),
            _ => None,
        }
    }
}

/// How a row differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Difference {
    /// It is in the first table only.
    OnlyA,
    /// It is in the second table only.
    OnlyB,
    /// It is in both, with other values in these columns (as the first table names them).
    Values(Vec<String>),
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Difference::OnlyA => f.write_str("only here"),
            Difference::OnlyB => f.write_str("only there"),
            Difference::Values(columns) => write!(f, "differs in {}", columns.join(", ")),
        }
    }
}

/// One differing row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowDifference {
    /// The row by its key, shortened ("id='3f…'").
    pub key: String,
    /// How it differs.
    pub difference: Difference,
}

impl std::fmt::Display for RowDifference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.key, self.difference)
    }
}

/// The outcome of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// Whether both tables hold the same rows, however ordered.
    pub equal: bool,
    /// Rows in the first table.
    pub rows_a: u64,
    /// Rows in the second table.
    pub rows_b: u64,
    /// The first differing rows, in the order of the key.
    pub samples: Vec<RowDifference>,
}

/// Compares `columns` of two tables: their names in the first and in the second. `key` names the columns, as the first
/// table does, that tell rows apart; without it the primary key of the first table is taken, else all columns.
///
/// Equal tables cost one scan of each. Only unequal ones are sorted and walked side by side.
pub fn compare_tables(
    a: &Connection,
    table_a: &str,
    b: &Connection,
    table_b: &str,
    columns: &[(String, String)],
    key: Option<&[String]>,
    tell: &Tell,
) -> Result<Comparison, CompareError> {
    if columns.is_empty() {
        return Err(CompareError::NoColumns { table_a: table_a.to_owned(), table_b: table_b.to_owned() });
    }
    let failed_a = |source| CompareError::Table { table: table_a.to_owned(), source };
    let (names_a, names_b): (Vec<_>, Vec<_>) = columns.iter().cloned().unzip();
    let digest_a = digest(a, table_a, &names_a, tell)?;
    let digest_b = digest(b, table_b, &names_b, tell)?;
    let (rows_a, rows_b) = (digest_a.rows, digest_b.rows);
    if digest_a == digest_b {
        return Ok(Comparison { equal: true, rows_a, rows_b, samples: Vec::new() });
    }
    let key = match key {
        Some(key) => key.to_vec(),
        None => primary_key(a, table_a).map_err(failed_a)?,
    };
    let key: Vec<usize> = key
        .iter()
        .filter_map(|name| names_a.iter().position(|column| column.eq_ignore_ascii_case(name)))
        .collect();
    let samples =
        Walk::new(&names_a, key).run((a, table_a), (b, table_b, &names_b), &mut Counter::new(tell))?;
    Ok(Comparison { equal: false, rows_a, rows_b, samples })
}

fn select(table: &str, columns: &[String]) -> String {
    let list: Vec<String> = columns.iter().map(|name| column(name)).collect();
    format!("SELECT {} FROM main.{} AS t", list.join(", "), quote(table))
}

/// Names a column through its table: a bare quoted name that is no column would be taken for a string
/// (sqlite.org/quirks.html §8), and two tables without the column would then be equal.
fn column(name: &str) -> String {
    format!("t.{}", quote(name))
}

fn digest(
    connection: &Connection,
    table: &str,
    columns: &[String],
    tell: &Tell,
) -> Result<TableDigest, CompareError> {
    let list: Vec<String> = columns.iter().map(|name| column(name)).collect();
    let list: Vec<&str> = list.iter().map(String::as_str).collect();
    let from = format!("main.{} AS t", quote(table));
    scan(connection, &list, &from, Grouping::Rows, table, tell).map_err(|error| match error {
        ScanError::Sql(source) => CompareError::Table { table: table.to_owned(), source },
        ScanError::Halt(halt) => CompareError::Halt(halt),
    })
}

fn primary_key(connection: &Connection, table: &str) -> Result<Vec<String>, rusqlite::Error> {
    let mut statement =
        connection.prepare("SELECT name FROM pragma_table_info(?1, 'main') WHERE pk > 0 ORDER BY pk")?;
    let names = statement.query_map([table], |row| row.get(0))?;
    names.collect()
}

/// A walk over both tables in the order of the key.
struct Walk<'a> {
    names: &'a [String],
    key: Vec<usize>,
}

impl<'a> Walk<'a> {
    /// Without a key every column is one: then a changed row shows as one lost and one new.
    fn new(names: &'a [String], key: Vec<usize>) -> Walk<'a> {
        let key = if key.is_empty() { (0..names.len()).collect() } else { key };
        Walk { names, key }
    }

    fn run(
        &self,
        (a, table_a): (&Connection, &str),
        (b, table_b, names_b): (&Connection, &str, &[String]),
        counter: &mut Counter<'_>,
    ) -> Result<Vec<RowDifference>, CompareError> {
        let failed_a = |source| CompareError::Table { table: table_a.to_owned(), source };
        let failed_b = |source| CompareError::Table { table: table_b.to_owned(), source };
        let mut left = a.prepare(&self.sorted(table_a, self.names)).map_err(failed_a)?;
        let mut right = b.prepare(&self.sorted(table_b, names_b)).map_err(failed_b)?;
        let mut left = left.query([]).map_err(failed_a)?;
        let mut right = right.query([]).map_err(failed_b)?;
        let mut samples = Vec::new();
        let mut mine = self.next(&mut left).map_err(failed_a)?;
        let mut theirs = self.next(&mut right).map_err(failed_b)?;
        while samples.len() < SAMPLES {
            counter.row(table_a)?;
            let order = match (&mine, &theirs) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(mine), Some(theirs)) => self.order(mine, theirs),
            };
            if let Some(found) = self.difference(order, mine.as_deref(), theirs.as_deref()) {
                samples.push(found);
            }
            if order.is_le() {
                mine = self.next(&mut left).map_err(failed_a)?;
            }
            if order.is_ge() {
                theirs = self.next(&mut right).map_err(failed_b)?;
            }
        }
        Ok(samples)
    }

    /// Rows of one key are ordered by their other columns, so that repeated keys pair up as well as they can.
    fn sorted(&self, table: &str, names: &[String]) -> String {
        let rest = (0..names.len()).filter(|place| !self.key.contains(place));
        let order: Vec<String> = self
            .key
            .iter()
            .copied()
            .chain(rest)
            .map(|place| format!("{} COLLATE BINARY", column(&names[place])))
            .collect();
        format!("{} ORDER BY {}", select(table, names), order.join(", "))
    }

    fn next(&self, rows: &mut Rows<'_>) -> Result<Option<Vec<Held>>, rusqlite::Error> {
        let Some(row) = rows.next()? else { return Ok(None) };
        (0..self.names.len())
            .map(|column| Ok(Held::of(cell(row.get_ref(column)?))))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    fn order(&self, mine: &[Held], theirs: &[Held]) -> Ordering {
        let orders = self.key.iter().map(|&place| mine[place].order(&theirs[place]));
        orders.fold(Ordering::Equal, Ordering::then)
    }

    fn difference(&self, order: Ordering, a: Option<&[Held]>, b: Option<&[Held]>) -> Option<RowDifference> {
        let (row, difference) = match (order, a, b) {
            (Ordering::Less, Some(a), _) => (a, Difference::OnlyA),
            (Ordering::Greater, _, Some(b)) => (b, Difference::OnlyB),
            (Ordering::Equal, Some(a), Some(b)) => {
                let places = (0..self.names.len()).filter(|&place| a[place] != b[place]);
                let columns: Vec<String> = places.map(|place| self.names[place].clone()).collect();
                if columns.is_empty() {
                    return None;
                }
                (a, Difference::Values(columns))
            }
            _ => return None,
        };
        let key =
            self.key.iter().take(4).map(|&place| format!("{}={}", self.names[place], row[place].show()));
        Some(RowDifference { key: key.collect::<Vec<_>>().join(", "), difference })
    }
}

/// Counts rows, reports now and then, and stops when asked.
struct Counter<'a> {
    tell: &'a Tell,
    rows: u64,
}

impl<'a> Counter<'a> {
    fn new(tell: &'a Tell) -> Counter<'a> {
        Counter { tell, rows: 0 }
    }

    fn row(&mut self, table: &str) -> Result<(), Halt> {
        self.rows += 1;
        if self.rows.is_multiple_of(4096) {
            self.tell.go_on()?;
            self.tell.progress(&format!("reading {table}"), self.rows, None, Unit::Rows);
        }
        Ok(())
    }
}

/// A value that outlives its row. Text is bytes, as it need not be UTF-8.
#[derive(Debug)]
enum Held {
    Null,
    Integer(i64),
    Real(f64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl PartialEq for Held {
    /// Equal as the digest sees it: by storage class, and reals by their bits.
    fn eq(&self, other: &Held) -> bool {
        match (self, other) {
            (Held::Null, Held::Null) => true,
            (Held::Integer(a), Held::Integer(b)) => a == b,
            (Held::Real(a), Held::Real(b)) => a.to_bits() == b.to_bits(),
            (Held::Text(a), Held::Text(b)) | (Held::Blob(a), Held::Blob(b)) => a == b,
            _ => false,
        }
    }
}

impl Held {
    fn of(value: Cell<'_>) -> Held {
        match value {
            Cell::Null => Held::Null,
            Cell::Integer(value) => Held::Integer(value),
            Cell::Real(value) => Held::Real(value),
            Cell::Text(bytes) => Held::Text(bytes.to_vec()),
            Cell::Blob(bytes) => Held::Blob(bytes.to_vec()),
        }
    }

    /// The order in which SQLite sorts values: NULL, numbers, text, blobs (sqlite.org/datatype3.html §4.1).
    fn order(&self, other: &Held) -> Ordering {
        match (self, other) {
            (Held::Integer(a), Held::Integer(b)) => a.cmp(b),
            (Held::Real(a), Held::Real(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
            (Held::Integer(a), Held::Real(b)) => between(*a, *b),
            (Held::Real(a), Held::Integer(b)) => between(*b, *a).reverse(),
            (Held::Text(a), Held::Text(b)) | (Held::Blob(a), Held::Blob(b)) => a.cmp(b),
            _ => self.class().cmp(&other.class()),
        }
    }

    fn class(&self) -> u8 {
        match self {
            Held::Null => 0,
            Held::Integer(_) | Held::Real(_) => 1,
            Held::Text(_) => 2,
            Held::Blob(_) => 3,
        }
    }

    fn show(&self) -> String {
        let cut = |bytes: &[u8]| -> String {
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(256)]).into_owned();
            let mut short: String = text.chars().take(40).flat_map(char::escape_debug).collect();
            if text.chars().count() > 40 {
                short.push('…');
            }
            short
        };
        match self {
            Held::Null => "NULL".to_owned(),
            Held::Integer(value) => value.to_string(),
            Held::Real(value) => format!("{value:?}"),
            Held::Text(bytes) => format!("'{}'", cut(bytes)),
            Held::Blob(bytes) => {
                let hex: String = bytes.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
                let more = if bytes.len() > 16 { "…" } else { "" };
                format!("x'{hex}{more}'")
            }
        }
    }
}

/// Compares without losing digits: a 64-bit integer need not fit a real.
fn between(a: i64, b: f64) -> Ordering {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if b >= LIMIT {
        Ordering::Less
    } else if b < -LIMIT {
        Ordering::Greater
    } else {
        // In this range the whole part is exact.
        a.cmp(&(b.trunc() as i64)).then_with(|| 0.0f64.total_cmp(&(b.fract() + 0.0)))
    }
}
