//! Digests of many rows, taken inside SQLite's own machine.
//!
//! An aggregate function is handed all values of a row at once. Asked for from outside, each value costs three calls
//! into SQLite, which made up a third of the time.

use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error};
use switchback_model::digest::{Cell, Digest, RowHasher, TableDigest};

use crate::tell::{Halt, Tell, Unit};

/// The function, as long as it exists.
const NAME: &str = "switchback_digest";

/// How many rows lie between two looks at the stop flag.
const BATCH: u64 = 4096;

/// Why rows could not be read.
#[derive(Debug)]
pub(super) enum ScanError {
    /// SQLite failed.
    Sql(Error),
    /// A stop was asked for.
    Halt(Halt),
}

impl From<Error> for ScanError {
    fn from(error: Error) -> ScanError {
        ScanError::Sql(error)
    }
}

impl From<Halt> for ScanError {
    fn from(halt: Halt) -> ScanError {
        ScanError::Halt(halt)
    }
}

/// How rows come into the digest of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grouping {
    /// One by one: the order in which they are read does not matter.
    Rows,
    /// In runs: the first column is the row id, and the rows are read in its order, so that it says which rows belong to a
    /// run. A range that begins and ends where runs do has a part of the whole table's digest.
    Runs,
}

/// How many row ids share a run.
pub(super) const RUN: i64 = 256;

/// Digests the rows of `SELECT columns FROM from`; `table` is what is told about.
pub(super) fn scan(
    connection: &Connection,
    columns: &[&str],
    from: &str,
    grouping: Grouping,
    table: &str,
    tell: &Tell,
) -> Result<TableDigest, ScanError> {
    let widest = usize::try_from(connection.limit(Limit::SQLITE_LIMIT_FUNCTION_ARG)?).unwrap_or(0);
    if columns.len() > widest {
        return walk(connection, columns, from, grouping, table, tell);
    }
    let digester = Digester { tell: tell.clone(), grouping, doing: format!("reading {table}") };
    connection.create_aggregate_function(NAME, -1, FunctionFlags::SQLITE_UTF8, digester)?;
    let sql = format!("SELECT {NAME}({}) FROM {from}", columns.join(", "));
    let read = connection.query_row(&sql, [], |row| row.get::<_, Vec<u8>>(0));
    connection.remove_function(NAME, -1)?;
    match (read, tell.go_on()) {
        (Ok(bytes), _) => unpack(&bytes),
        (Err(_), Err(halt)) => Err(ScanError::Halt(halt)),
        (Err(error), Ok(())) => Err(ScanError::Sql(error)),
    }
}

/// The same for a table with more columns than a function has arguments.
fn walk(
    connection: &Connection,
    columns: &[&str],
    from: &str,
    grouping: Grouping,
    table: &str,
    tell: &Tell,
) -> Result<TableDigest, ScanError> {
    let mut statement = connection.prepare(&format!("SELECT {} FROM {from}", columns.join(", ")))?;
    let mut rows = statement.query([])?;
    let mut state = State::default();
    while let Some(row) = rows.next()? {
        state.begin(grouping, cell(row.get_ref(0)?));
        for column in 1..columns.len() {
            state.hasher.cell(cell(row.get_ref(column)?));
        }
        state.end(grouping);
        if state.rows.is_multiple_of(BATCH) {
            tell.go_on()?;
            tell.progress(&format!("reading {table}"), state.rows, None, Unit::Rows);
        }
    }
    Ok(state.finish())
}

/// Returns the value as the digest takes it.
#[inline]
pub(crate) fn cell(value: ValueRef<'_>) -> Cell<'_> {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(value) => Cell::Integer(value),
        ValueRef::Real(value) => Cell::Real(value),
        ValueRef::Text(bytes) => Cell::Text(bytes),
        ValueRef::Blob(bytes) => Cell::Blob(bytes),
    }
}

/// The aggregate function.
struct Digester {
    tell: Tell,
    grouping: Grouping,
    doing: String,
}

/// What was read so far.
#[derive(Default)]
struct State {
    rows: u64,
    hasher: RowHasher,
    digest: TableDigest,
    /// The number of the run that is being read.
    run: i64,
    /// How many rows it has so far.
    in_run: u64,
}

impl State {
    /// Starts a row with its first cell, and a run if that says so.
    fn begin(&mut self, grouping: Grouping, first: Cell<'_>) {
        if let (Grouping::Runs, Cell::Integer(rowid)) = (grouping, first) {
            let run = rowid.div_euclid(RUN);
            if run != self.run {
                self.end_run();
                self.run = run;
            }
        }
        self.hasher.cell(first);
    }

    fn end(&mut self, grouping: Grouping) {
        self.rows += 1;
        match grouping {
            Grouping::Rows => self.digest.add_row(&self.hasher.finish()),
            Grouping::Runs => {
                self.hasher.end_row();
                self.in_run += 1;
            }
        }
    }

    fn end_run(&mut self) {
        if self.in_run > 0 {
            self.digest.add_run(self.in_run, &self.hasher.finish());
            self.in_run = 0;
        }
    }

    fn finish(mut self) -> TableDigest {
        self.end_run();
        self.digest
    }
}

impl Aggregate<State, Vec<u8>> for Digester {
    fn init(&self, _: &mut Context<'_>) -> Result<State, Error> {
        Ok(State::default())
    }

    fn step(&self, row: &mut Context<'_>, state: &mut State) -> Result<(), Error> {
        state.begin(self.grouping, cell(row.get_raw(0)));
        for at in 1..row.len() {
            state.hasher.cell(cell(row.get_raw(at)));
        }
        state.end(self.grouping);
        if state.rows.is_multiple_of(BATCH) {
            self.tell.go_on().map_err(|halt| Error::UserFunctionError(Box::new(halt)))?;
            self.tell.progress(&self.doing, state.rows, None, Unit::Rows);
        }
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, state: Option<State>) -> Result<Vec<u8>, Error> {
        let digest = state.unwrap_or_default().finish();
        Ok([digest.rows.to_le_bytes().as_slice(), &digest.digest.0].concat())
    }
}

fn unpack(bytes: &[u8]) -> Result<TableDigest, ScanError> {
    let whole = || ScanError::Sql(Error::InvalidColumnType(0, NAME.to_owned(), rusqlite::types::Type::Blob));
    let (rows, digest) = bytes.split_first_chunk().ok_or_else(whole)?;
    let digest = digest.try_into().map_err(|_| whole())?;
    Ok(TableDigest { rows: u64::from_le_bytes(*rows), digest: Digest(digest) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    fn table() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE t(a, b);
                 INSERT INTO t VALUES (1, '1'), (1.0, x'31'), (NULL, ''), (-0.0, 'x' || char(0) || 'y'),
                     (CAST(x'ff41fe' AS TEXT), zeroblob(70000)), (9223372036854775807, printf('%070000d', 1));
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000)
                 INSERT INTO t SELECT i, i * 0.5 FROM n;",
            )
            .unwrap();
        connection
    }

    #[test]
    fn both_ways_of_reading_agree() {
        let (connection, tell) = (table(), Tell::quiet());
        for grouping in [Grouping::Rows, Grouping::Runs] {
            let scanned = scan(&connection, &["rowid", "a", "b"], "t", grouping, "t", &tell).unwrap();
            let walked = walk(&connection, &["rowid", "a", "b"], "t", grouping, "t", &tell).unwrap();
            assert_eq!(scanned, walked);
            assert_eq!(scanned.rows, 9006);
        }
        let none = scan(&connection, &["a"], "t WHERE 0", Grouping::Rows, "t", &tell).unwrap();
        assert_eq!(none, TableDigest::default());
    }

    #[test]
    fn runs_are_told_by_the_row_id_alone() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE t(a INTEGER PRIMARY KEY, b);
                 WITH RECURSIVE n(i) AS (SELECT -900 UNION ALL SELECT i + 1 FROM n WHERE i < 900)
                 INSERT INTO t SELECT i, 'row ' || i FROM n WHERE i % 300 <> 0;",
            )
            .unwrap();
        let read = |from: &str| {
            scan(&connection, &["rowid", "a", "b"], from, Grouping::Runs, "t", &Tell::quiet()).unwrap()
        };
        let whole = read("t");
        let mut parts = TableDigest::default();
        for bounds in ["rowid < -256", "rowid BETWEEN -256 AND 255", "rowid >= 256"] {
            parts.merge(&read(&format!("t WHERE {bounds}")));
        }
        assert_eq!(parts, whole);
        for change in [
            "UPDATE t SET b = 'else' WHERE a = 7",
            "UPDATE t SET a = 2000 WHERE a = 8",
            "DELETE FROM t WHERE a = 9",
        ] {
            let before = read("t");
            connection.execute(change, []).unwrap();
            assert_ne!(read("t"), before, "{change}");
        }
    }

    #[test]
    fn a_table_wider_than_a_function_is_read_too() {
        let connection = table();
        connection.set_limit(Limit::SQLITE_LIMIT_FUNCTION_ARG, 1).unwrap();
        let narrow = scan(&connection, &["a", "b"], "t", Grouping::Rows, "t", &Tell::quiet()).unwrap();
        connection.set_limit(Limit::SQLITE_LIMIT_FUNCTION_ARG, 2).unwrap();
        assert_eq!(narrow, scan(&connection, &["a", "b"], "t", Grouping::Rows, "t", &Tell::quiet()).unwrap());
    }

    #[test]
    fn a_stop_is_heeded_and_an_error_is_told() {
        let stop = Arc::new(AtomicBool::new(true));
        let tell = Tell::new(Arc::new(|_| ()), stop, Arc::new(crate::tell::Faults::none()));
        let halted = scan(&table(), &["a", "b"], "t", Grouping::Rows, "t", &tell);
        assert!(matches!(halted, Err(ScanError::Halt(Halt::Interrupted))), "{halted:?}");
        let missing = scan(&table(), &["z"], "t", Grouping::Rows, "t", &Tell::quiet());
        assert!(matches!(missing, Err(ScanError::Sql(_))), "{missing:?}");
    }
}
