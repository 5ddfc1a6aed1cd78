//! What makes two states of a SQLite database equal: catalog, rows with their storage classes, sequences, pragmas.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde::{Deserialize, Serialize};
use switchback_model::digest::{Cell, Digest, RowHasher, TableDigest};

use crate::sqlite::collation::stand_in;
use crate::sqlite::connect::{Database, is_immutable};
use crate::sqlite::ledger::LEDGER;
use crate::sqlite::scan::{Grouping, RUN, ScanError, cell, scan};
use crate::sqlite::shares::Shares;
use crate::tell::{Failure, Halt, Tell};

/// Why a fingerprint could not be taken. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum FingerprintError {
    /// A name that is no UTF-8 cannot be asked for in SQL.
    #[error("fingerprint a {kind} whose name is not UTF-8 ({name:?}); rename it first")]
    Name {
        /// "table" or "column".
        kind: &'static str,
        /// The name, as far as it can be shown.
        name: String,
    },
    /// Reading rows failed.
    #[error("read table {table}: {source}")]
    Table {
        /// The table.
        table: String,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// Reading the catalog or a pragma failed.
    #[error("read the catalog: {source}")]
    Catalog {
        /// What SQLite says.
        #[from]
        source: rusqlite::Error,
    },
    /// Reading the header of a copy failed.
    #[error("read the header of a copy: {source}")]
    Header {
        /// What the system says.
        #[from]
        source: std::io::Error,
    },
    /// Another connection could not be opened.
    #[error(transparent)]
    Open(#[from] crate::sqlite::OpenError),
    /// Stopped on the way.
    #[error(transparent)]
    Halt(#[from] Halt),
}

impl Failure for FingerprintError {
    fn halt(&self) -> Option<Halt> {
        match self {
            FingerprintError::Halt(halt) => Some(*halt),
            _ => None,
        }
    }
}

/// The fingerprint of a SQLite database. Two databases with equal fingerprints are the same to every application.
///
/// Left out: our own ledger, the statistics of ANALYZE (`sqlite_stat*`), generated columns (they follow from the others)
/// and virtual tables (the shadow tables that hold their data are in).
///
/// Functions and modules that only the application knows do not matter. Neither do collations, except that a connection
/// given to [`Fingerprint::read`] cannot read a table WITHOUT ROWID with an unknown one; [`Fingerprint::of`] can.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The digest of the whole catalog.
    pub schema: Digest,
    /// One digest for each table, index, view and trigger, by "kind name".
    pub objects: BTreeMap<String, Digest>,
    /// Rows and their digest, by table. Row ids count, as an application may have stored them.
    pub tables: BTreeMap<String, TableDigest>,
    /// `user_version`, `application_id`, `encoding`, `auto_vacuum`, `page_size`, and `journal_mode`: `wal` or `delete`,
    /// the two that a file remembers.
    pub pragmas: BTreeMap<String, String>,
}

impl Fingerprint {
    /// Reads that of a database, live or not, through connections of its own.
    ///
    /// A large one in rollback mode is read by two: as long as one of them holds its shared lock, nobody can commit
    /// (sqlite.org/lockingv3.html §3), so both see one state. In WAL mode the second could see a later one.
    pub fn of(database: &Database, tell: &Tell) -> Result<Fingerprint, FingerprintError> {
        let connection = database.open_read()?;
        stand_in(&connection)?;
        let _snapshot = Snapshot::hold(&connection)?;
        if journal_mode(&connection)? == "wal" || size(&connection)? < WORTH_SHARING {
            return Fingerprint::read(&connection, tell);
        }
        let shares = Shares::of(&connection, 2)?;
        let help = || -> Result<(), FingerprintError> {
            // Whoever cannot help is not needed.
            let Ok(second) = database.clone().busy_timeout(Duration::ZERO).open_read() else { return Ok(()) };
            stand_in(&second)?;
            let Ok(_snapshot) = Snapshot::hold(&second) else { return Ok(()) };
            shares.work(&second, tell)
        };
        std::thread::scope(|scope| {
            let helper = scope.spawn(help);
            let read = shares.work(&connection, tell);
            join(helper).and(read)
        })?;
        Ok(shares.fingerprint())
    }

    /// Reads it through a connection that nobody will use for anything else.
    pub(super) fn read_alone(connection: Connection, tell: &Tell) -> Result<Fingerprint, FingerprintError> {
        stand_in(&connection)?;
        Fingerprint::read(&connection, tell)
    }

    /// Reads it inside one read transaction, or inside the transaction that is open already.
    pub fn read(connection: &Connection, tell: &Tell) -> Result<Fingerprint, FingerprintError> {
        let _snapshot = Snapshot::hold(connection)?;
        let (mut fingerprint, tables) = outline(connection)?;
        for table in &tables {
            let digest = table.digest(connection, None, tell)?;
            fingerprint.tables.insert(table.name.clone(), digest);
        }
        Ok(fingerprint)
    }

    /// Reads it with `workers` connections at once. Only for a file that nobody writes: each connection reads a snapshot
    /// of its own.
    pub fn read_parallel(
        open: &(dyn Fn() -> Result<Connection, crate::sqlite::OpenError> + Sync),
        workers: usize,
        tell: &Tell,
    ) -> Result<Fingerprint, FingerprintError> {
        let connection = open()?;
        stand_in(&connection)?;
        let shares = Shares::of(&connection, workers)?;
        drop(connection);
        let work = || -> Result<(), FingerprintError> {
            let connection = open()?;
            stand_in(&connection)?;
            shares.work(&connection, tell)
        };
        std::thread::scope(|scope| {
            let handles: Vec<_> = (0..workers.max(1)).map(|_| scope.spawn(work)).collect();
            handles.into_iter().try_for_each(join)
        })?;
        Ok(shares.fingerprint())
    }

    /// Returns how many rows each table has.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.tables.iter().map(|(name, table)| (name.clone(), table.rows)).collect()
    }

    /// Returns the number of rows in all tables.
    pub fn rows(&self) -> u64 {
        self.tables.values().map(|table| table.rows).sum()
    }

    /// Says in one line each what differs; `self` is *here*, `other` is *there*. Empty exactly when they are equal.
    pub fn differences(&self, other: &Fingerprint) -> Vec<String> {
        self.differences_as(other, "here", "there")
    }

    /// Says in words how this state differs from the other; `this` and `that` stand for where or when each is.
    pub fn differences_as(&self, other: &Fingerprint, this: &str, that: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for key in keys(&self.objects, &other.objects) {
            match (self.objects.get(key), other.objects.get(key)) {
                (Some(_), None) => lines.push(format!("{key}: only {this}")),
                (None, Some(_)) => lines.push(format!("{key}: only {that}")),
                (Some(here), Some(there)) if here != there => {
                    lines.push(format!("{key}: defined differently"))
                }
                _ => {}
            }
        }
        if lines.is_empty() && self.schema != other.schema {
            lines.push("catalog: differs".to_owned());
        }
        for key in keys(&self.tables, &other.tables) {
            match (self.tables.get(key), other.tables.get(key)) {
                (Some(here), Some(there)) if here.rows != there.rows => {
                    lines.push(format!("table {key}: {} rows {that}, {} {this}", there.rows, here.rows));
                }
                (Some(here), Some(there)) if here != there => {
                    lines.push(format!(
                        "table {key}: {} rows on both sides, but their content differs",
                        here.rows
                    ));
                }
                (Some(here), None) => {
                    lines.push(format!("table {key}: {} rows {this}, no table {that}", here.rows))
                }
                (None, Some(there)) => {
                    lines.push(format!("table {key}: {} rows {that}, no table {this}", there.rows))
                }
                _ => {}
            }
        }
        for key in keys(&self.pragmas, &other.pragmas) {
            let (here, there) = (self.pragmas.get(key), other.pragmas.get(key));
            if here != there {
                let word = |value: Option<&String>| value.map_or("unset", String::as_str).to_owned();
                lines.push(format!("{key}: {} {that}, {} {this}", word(there), word(here)));
            }
        }
        lines
    }
}

/// Returns the digest of the catalog alone; cheap at any size.
pub fn schema_fingerprint(connection: &Connection) -> Result<Digest, FingerprintError> {
    Ok(schema_digest(&objects(connection)?))
}

fn keys<'a, V, W>(here: &'a BTreeMap<String, V>, there: &'a BTreeMap<String, W>) -> BTreeSet<&'a String> {
    here.keys().chain(there.keys()).collect()
}

pub(super) fn join<T>(handle: std::thread::ScopedJoinHandle<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A read transaction that ends with its scope, unless somebody else had opened one before.
pub(super) struct Snapshot<'a>(Option<&'a Connection>);

impl<'a> Snapshot<'a> {
    /// Opens a read transaction and pins what it sees: BEGIN alone does not (sqlite.org/lang_transaction.html).
    pub(super) fn hold(connection: &'a Connection) -> Result<Snapshot<'a>, rusqlite::Error> {
        if !connection.is_autocommit() {
            return Ok(Snapshot(None));
        }
        connection.execute_batch("BEGIN DEFERRED")?;
        let snapshot = Snapshot(Some(connection));
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(snapshot)
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        // A read transaction has nothing to lose, so a failure to end it has nothing to say.
        if let Some(connection) = self.0 {
            let _ = connection.execute_batch("ROLLBACK");
        }
    }
}

/// Everything but the rows, and the tables whose rows are to be read.
pub(super) fn outline(connection: &Connection) -> Result<(Fingerprint, Vec<Table>), FingerprintError> {
    let objects = objects(connection)?;
    let tables = tables(connection)?;
    let schema = schema_digest(&objects);
    let fingerprint = Fingerprint { schema, objects, tables: BTreeMap::new(), pragmas: pragmas(connection)? };
    Ok((fingerprint, tables))
}

fn objects(connection: &Connection) -> Result<BTreeMap<String, Digest>, FingerprintError> {
    let mut statement = connection.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema")?;
    let mut rows = statement.query([])?;
    let mut hasher = RowHasher::new();
    let mut objects = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let [kind, name, table] = [row.get_ref(0)?, row.get_ref(1)?, row.get_ref(2)?].map(text);
        if is_left_out(&table) {
            continue;
        }
        for column in 0..4 {
            hasher.cell(cell(row.get_ref(column)?));
        }
        objects.insert(format!("{kind} {name}"), hasher.finish());
    }
    Ok(objects)
}

fn schema_digest(objects: &BTreeMap<String, Digest>) -> Digest {
    let mut hasher = RowHasher::new();
    for (name, digest) in objects {
        hasher.cell(Cell::Text(name.as_bytes()));
        hasher.cell(Cell::Blob(&digest.0));
    }
    hasher.finish()
}

fn is_left_out(table: &str) -> bool {
    // Names are compared without case in SQLite, for ASCII only, which is what these are.
    let table = table.to_ascii_lowercase();
    table == LEDGER || table.starts_with("sqlite_stat")
}

fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    }
}

fn pragmas(connection: &Connection) -> Result<BTreeMap<String, String>, FingerprintError> {
    let mut pragmas = BTreeMap::new();
    for name in ["user_version", "application_id", "encoding", "auto_vacuum", "page_size"] {
        let value = connection.query_row(&format!("PRAGMA {name}"), [], |row| {
            Ok(match row.get_ref(0)? {
                ValueRef::Integer(value) => value.to_string(),
                other => text(other),
            })
        })?;
        pragmas.insert(name.to_owned(), value);
    }
    pragmas.insert("journal_mode".to_owned(), journal_mode(connection)?.to_owned());
    Ok(pragmas)
}

/// Below so many bytes a second reader costs more than it saves.
const WORTH_SHARING: i64 = 8 << 20;

fn size(connection: &Connection) -> Result<i64, FingerprintError> {
    let ask = |pragma: &str| connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
    Ok(ask("PRAGMA page_count")?.saturating_mul(ask("PRAGMA page_size")?))
}

/// Returns the journal mode that the file remembers: `wal`, or `delete` for all others.
fn journal_mode(connection: &Connection) -> Result<&'static str, FingerprintError> {
    let wal = if is_immutable(connection) {
        // SQLite ignores the log of an immutable file and reports another mode; byte 18 of the header tells
        // (sqlite.org/fileformat.html §1.3.3). A plain read is safe here: nobody holds a lock on an immutable file.
        let mut byte = [0u8; 1];
        if let Some(path) = connection.path() {
            std::fs::File::open(path)?.read_exact_at(&mut byte, 18)?;
        }
        byte[0] == 2
    } else {
        connection
            .query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0))?
            .eq_ignore_ascii_case("wal")
    };
    Ok(if wal { "wal" } else { "delete" })
}

/// A table whose rows count, and how to read them.
pub(super) struct Table {
    pub name: String,
    /// A name under which the row id can be asked for, if it has one.
    rowid: Option<&'static str>,
    without_rowid: bool,
    /// The stored columns, quoted.
    columns: Vec<String>,
}

/// An inclusive range of row ids; `None` is the whole table.
pub(super) type Range = Option<(i64, i64)>;

fn tables(connection: &Connection) -> Result<Vec<Table>, FingerprintError> {
    let mut list = connection.prepare(
        "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'shadow')",
    )?;
    let mut rows = list.query([])?;
    let mut tables = Vec::new();
    while let Some(row) = rows.next()? {
        let name = utf8("table", row.get_ref(0)?)?;
        if name == "sqlite_schema" || is_left_out(&name) {
            continue;
        }
        let without_rowid: bool = row.get(1)?;
        tables.push(Table::read(connection, name, without_rowid)?);
    }
    Ok(tables)
}

fn utf8(kind: &'static str, value: ValueRef<'_>) -> Result<String, FingerprintError> {
    match value {
        ValueRef::Text(bytes) => String::from_utf8(bytes.to_vec())
            .map_err(|_| FingerprintError::Name { kind, name: String::from_utf8_lossy(bytes).into_owned() }),
        _ => Err(FingerprintError::Name { kind, name: String::new() }),
    }
}

/// Quotes a name as an SQL identifier.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Table {
    fn read(connection: &Connection, name: String, without_rowid: bool) -> Result<Table, FingerprintError> {
        // Hidden is 2 or 3 for generated columns (sqlite.org/pragma.html#pragma_table_xinfo). Those still claim their
        // names, so that a generated column called rowid hides the row id too.
        let mut info = connection.prepare("SELECT name, hidden FROM pragma_table_xinfo(?1, 'main')")?;
        let mut rows = info.query([&name])?;
        let (mut columns, mut taken) = (Vec::new(), BTreeSet::new());
        while let Some(row) = rows.next()? {
            let column = utf8("column", row.get_ref(0)?)?;
            if row.get::<_, i64>(1)? == 0 {
                columns.push(quote(&column));
            }
            taken.insert(column.to_ascii_lowercase());
        }
        let rowid = ["rowid", "_rowid_", "oid"].into_iter().find(|alias| !taken.contains(*alias));
        Ok(Table { name, rowid: rowid.filter(|_| !without_rowid), without_rowid, columns })
    }

    /// Cuts a large table into ranges that several connections can read at once.
    pub fn ranges(&self, connection: &Connection, workers: usize) -> Result<Vec<Range>, FingerprintError> {
        let Some(rowid) = self.rowid.filter(|_| workers > 1) else { return Ok(vec![None]) };
        let table = quote(&self.name);
        // Two subqueries: min and max in one SELECT would scan the table (sqlite.org/optoverview.html §14).
        let sql = format!("SELECT (SELECT min({rowid}) FROM {table}), (SELECT max({rowid}) FROM {table})");
        let ends = connection
            .query_row(&sql, [], |row| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?)))
            .map_err(|source| self.failed(source))?;
        let (Some(first), Some(last)) = ends else { return Ok(vec![None]) };
        let span = i128::from(last) - i128::from(first) + 1;
        if span < 4096 {
            return Ok(vec![None]);
        }
        // More ranges than workers, because rows are not spread evenly over their ids, and because the last to be ready
        // is waited for; and more for a large table, so that its progress shows. Each begins where a run of the digest does.
        let parts = (span >> 18).clamp((workers * 8) as i128, 4096.max((workers * 8) as i128));
        let border = |part: i128| match i128::from(first) + span * part / parts {
            _ if part == 0 => i128::from(first),
            border if part == parts => border,
            border => border - border.rem_euclid(i128::from(RUN)),
        };
        let narrow = |value: i128| i64::try_from(value).unwrap_or(last);
        Ok((0..parts).map(|part| Some((narrow(border(part)), narrow(border(part + 1) - 1)))).collect())
    }

    pub fn digest(
        &self,
        connection: &Connection,
        range: Range,
        tell: &Tell,
    ) -> Result<TableDigest, FingerprintError> {
        let mut list: Vec<&str> =
            self.rowid.into_iter().chain(self.columns.iter().map(String::as_str)).collect();
        if list.is_empty() {
            list.push("NULL");
        }
        let bounds = match (self.rowid, range) {
            (Some(rowid), Some((first, last))) => format!(" WHERE {rowid} BETWEEN {first} AND {last}"),
            _ => String::new(),
        };
        // Without NOT INDEXED a covering index would be read in place of the table, and the two may disagree. A table
        // WITHOUT ROWID is an index itself: there the clause can leave SQLite with nothing to read ("no query solution").
        let hint = if self.without_rowid { "" } else { " NOT INDEXED" };
        let from = format!("main.{}{hint}{bounds}", quote(&self.name));
        // Such a scan goes through a table with row ids in their order; where the row id has no name, rows count one by one.
        let grouping = if self.rowid.is_some() { Grouping::Runs } else { Grouping::Rows };
        scan(connection, &list, &from, grouping, &self.name, tell).map_err(|error| match error {
            ScanError::Sql(source) => self.failed(source),
            ScanError::Halt(halt) => FingerprintError::Halt(halt),
        })
    }

    fn failed(&self, source: rusqlite::Error) -> FingerprintError {
        FingerprintError::Table { table: self.name.clone(), source }
    }
}
