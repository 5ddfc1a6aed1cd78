//! What makes two states of a PostgreSQL database equal: catalog, rows, sequences, owners and grants.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use postgres::error::SqlState;
use postgres::{Client, GenericClient};
use serde::{Deserialize, Serialize};
use switchback_model::digest::{Digest, TableDigest};

use super::catalog::{Catalog, CatalogError};
use super::connect::{Access, Database, OpenError};
use super::copy_stream::{CopyError, digest_query};
use super::names::literal;
use super::said::said;
use crate::tell::{Failure, Faults, Halt, Tell, Unit};

/// How many tables are read at a time when there is a database to connect to.
const WORKERS: usize = 2;
/// How many parts are read in one transaction. A transaction locks what it has read, with its indexes, to its end, and a server
/// has room for about 64 locks a connection (`max_locks_per_transaction`): a thousand tenants would not fit into one.
const PARTS: usize = 64;
/// How much of a table is read at a time, so that workers end together.
const PART: u64 = 64 << 20;

/// Why a fingerprint could not be taken. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum FingerprintError {
    /// Rows could not be read.
    #[error("read table {table}: {source}")]
    Table {
        /// The table, as SQL names it.
        table: String,
        /// What the server says.
        #[source]
        source: CopyError,
    },
    /// The catalog could not be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A worker could not connect.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The server refused.
    #[error("hold one view of the database: {}", said(.source))]
    Server {
        /// What it says.
        #[from]
        source: postgres::Error,
    },
    /// Stopped on the way.
    #[error(transparent)]
    Halt(#[from] Halt),
}

impl Failure for FingerprintError {
    fn halt(&self) -> Option<Halt> {
        match self {
            FingerprintError::Halt(halt) => Some(*halt),
            FingerprintError::Table { source, .. } => source.halt(),
            _ => None,
        }
    }
}

/// The fingerprint of some schemas. Two states with equal fingerprints are the same to every application.
///
/// Left out: our own schema, whose rows come and go with a run; what a materialized view holds (it follows from the
/// others, and a restore refreshes it), although its definition is in; rows of foreign tables and of extensions; statistics;
/// numbers that the server gives (oids, places of dropped columns). An absent schema and an empty one differ by a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The digest of all lines.
    pub catalog: Digest,
    /// Every object with its definition, sorted.
    pub lines: Vec<String>,
    /// Every table with rows of its own, by its quoted name.
    pub tables: BTreeMap<String, TableDigest>,
    /// Every sequence by its quoted name: where it stands and whether that number was given out.
    pub sequences: BTreeMap<String, String>,
}

/// A part of a table that is read in one go.
#[derive(Debug, Clone)]
struct Part {
    table: String,
    /// The columns, those whose bytes hold numbers of the server as text.
    columns: String,
    /// All columns as text, for types that have no bytes to send.
    texts: String,
    range: String,
    bytes: u64,
}

impl Fingerprint {
    /// Takes the fingerprint in one transaction on this connection, one table after the other.
    pub fn of(client: &mut Client, schemas: &[String], tell: &Tell) -> Result<Fingerprint, FingerprintError> {
        client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        let result = Fingerprint::in_transaction(client, schemas, tell);
        // The transaction is given up after an error as well; its own failure would only hide that one.
        let ended = client.batch_execute("ROLLBACK");
        let fingerprint = result?;
        ended?;
        Ok(fingerprint)
    }

    fn in_transaction(
        client: &mut Client,
        schemas: &[String],
        tell: &Tell,
    ) -> Result<Fingerprint, FingerprintError> {
        let parts = parts(client, schemas)?;
        let (total, mut done, mut tables) = (parts.iter().map(|part| part.bytes).sum(), 0, BTreeMap::new());
        for part in parts {
            tell.go_on()?;
            tell.progress("fingerprinting", done, Some(total), Unit::Bytes);
            add(&mut tables, &part, digest(client, &part, tell)?);
            done += part.bytes;
        }
        finish(client, schemas, tables, None)
    }

    /// Takes the fingerprint with several connections that share one view of the database.
    pub fn read(
        database: &Database,
        schemas: &[String],
        tell: &Tell,
    ) -> Result<Fingerprint, FingerprintError> {
        let mut client = database.connect("switchback reads", Access::ReadOnly)?;
        let snapshot = hold(&mut client)?;
        let fingerprint = Fingerprint::at(database, &mut client, &snapshot, schemas, tell)?;
        client.batch_execute("ROLLBACK")?;
        Ok(fingerprint)
    }

    /// Takes the fingerprint in the view `snapshot` that `holder` holds open ([`hold`]).
    pub(super) fn at(
        database: &Database,
        holder: &mut Client,
        snapshot: &str,
        schemas: &[String],
        tell: &Tell,
    ) -> Result<Fingerprint, FingerprintError> {
        let parts = parts(holder, schemas)?;
        let total = parts.iter().map(|part| part.bytes).sum();
        let (queue, done) = (Mutex::new(VecDeque::from(parts)), AtomicU64::new(0));
        let unheard = unheard(tell);
        let work = || -> Result<BTreeMap<String, TableDigest>, FingerprintError> {
            let mut tables = BTreeMap::new();
            let (mut client, mut read) = (None, 0);
            while let Some(part) = next(&queue) {
                tell.go_on()?;
                let client = match &mut client {
                    Some(client) => client,
                    // Only a worker that finds something to do connects.
                    none => none.insert(database.connect("switchback reads", Access::ReadOnly)?),
                };
                if read % PARTS == 0 {
                    join_view(client, snapshot)?;
                }
                read += 1;
                add(&mut tables, &part, digest(client, &part, &unheard)?);
                let done = done.fetch_add(part.bytes, Ordering::Relaxed) + part.bytes;
                tell.progress("fingerprinting", done, Some(total), Unit::Bytes);
            }
            Ok(tables)
        };
        let (found, catalog) = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
            let catalog = finish(holder, schemas, BTreeMap::new(), Some(database));
            (workers.into_iter().map(joined).collect::<Vec<_>>(), catalog)
        });
        let mut fingerprint = catalog?;
        for tables in found {
            for (table, digest) in tables? {
                fingerprint.tables.entry(table).or_default().merge(&digest);
            }
        }
        Ok(fingerprint)
    }

    /// How many rows each table has.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.tables.iter().map(|(table, digest)| (table.clone(), digest.rows)).collect()
    }

    /// Says whether none of the schemas was there.
    pub fn is_absent(&self) -> bool {
        self.lines.is_empty()
    }

    /// Names what differs, as seen from this one: what `other` has more or less. Empty when they are equal.
    pub fn differences(&self, other: &Fingerprint) -> Vec<String> {
        let mut lines = Vec::new();
        let (here, there): (BTreeSet<_>, BTreeSet<_>) =
            (self.lines.iter().collect(), other.lines.iter().collect());
        lines.extend(here.difference(&there).map(|line| format!("only in the first: {}", short(line))));
        lines.extend(there.difference(&here).map(|line| format!("only in the second: {}", short(line))));
        for (table, mine) in &self.tables {
            match other.tables.get(table) {
                Some(theirs) if theirs.rows != mine.rows => {
                    lines.push(format!(
                        "table {table} has {} rows in the first and {} in the second",
                        mine.rows, theirs.rows
                    ));
                }
                Some(theirs) if theirs != mine => {
                    lines.push(format!("table {table} has {} rows in both, and some differ", mine.rows));
                }
                _ => {}
            }
        }
        for (sequence, mine) in &self.sequences {
            match other.sequences.get(sequence) {
                Some(theirs) if theirs != mine => {
                    lines.push(format!(
                        "sequence {sequence} stands at {mine} in the first and {theirs} in the second"
                    ));
                }
                _ => {}
            }
        }
        if lines.is_empty() && self != other {
            lines.push("rows or sequences that cannot be named differ".to_owned());
        }
        lines
    }
}

/// Begins a transaction on `client` that keeps one view of the database, and names the view for others.
pub(super) fn hold(client: &mut Client) -> Result<String, postgres::Error> {
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
    Ok(client.query_one("SELECT pg_export_snapshot()", &[])?.get(0))
}

/// Begins a transaction that takes on a view that another session holds, in the place of one that is open.
fn join_view(client: &mut Client, snapshot: &str) -> Result<(), FingerprintError> {
    let snapshot = literal(snapshot).map_err(CatalogError::from)?;
    // Outside of a transaction a rollback is a warning and nothing else.
    client.batch_execute("ROLLBACK")?;
    client.batch_execute(&format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {snapshot}"
    ))?;
    Ok(())
}

fn next(queue: &Mutex<VecDeque<Part>>) -> Option<Part> {
    queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop_front()
}

fn joined<T>(worker: std::thread::ScopedJoinHandle<'_, T>) -> T {
    worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Several voices about the same tables would garble the progress.
fn unheard(tell: &Tell) -> Tell {
    Tell::new(std::sync::Arc::new(|_| ()), tell.stop_flag(), std::sync::Arc::new(Faults::none()))
}

fn short(line: &str) -> String {
    match line.char_indices().nth(240) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

fn add(tables: &mut BTreeMap<String, TableDigest>, part: &Part, digest: TableDigest) {
    tables.entry(part.table.clone()).or_default().merge(&digest);
}

fn digest(client: &mut Client, part: &Part, tell: &Tell) -> Result<TableDigest, FingerprintError> {
    let Part { table, columns, texts, range, .. } = part;
    let named = |source| FingerprintError::Table { table: table.clone(), source };
    let mut read = |columns: &str| {
        // The transaction must survive a type that has no bytes to send.
        client.batch_execute("SAVEPOINT part")?;
        let digest = digest_query(client, &format!("SELECT {columns} FROM ONLY {table}{range}"), tell);
        let after = if digest.is_ok() { "RELEASE part" } else { "ROLLBACK TO part" };
        client.batch_execute(after)?;
        digest
    };
    match read(columns) {
        Err(CopyError::Query { source }) if source.code() == Some(&SqlState::UNDEFINED_FUNCTION) => {
            read(texts).map_err(named)
        }
        digest => digest.map_err(named),
    }
}

/// The catalog and the sequences, beside the digests of the tables. With a database, sequences are read outside of the
/// transaction of `client`, which would keep each of them locked.
fn finish(
    client: &mut Client,
    schemas: &[String],
    tables: BTreeMap<String, TableDigest>,
    database: Option<&Database>,
) -> Result<Fingerprint, FingerprintError> {
    let lines = Catalog::read(client, schemas)?.lines().to_vec();
    let mut hasher = blake3::Hasher::new();
    for line in &lines {
        hasher.update(&(line.len() as u64).to_le_bytes()).update(line.as_bytes());
    }
    let catalog = Digest(*hasher.finalize().as_bytes());
    let sequences = match database {
        Some(database) => sequences(&mut database.connect("switchback reads", Access::ReadOnly)?, schemas)?,
        None => sequences(client, schemas)?,
    };
    Ok(Fingerprint { catalog, lines, tables, sequences })
}

/// Which tables there are and how their rows are read, largest first.
///
/// Fields count by the bytes that their types send. Those of arrays, composites and the like of the application's own types
/// hold the type's number, and those of `regclass` an object's, which are others after a restore: they count as text.
fn parts(client: &mut impl GenericClient, schemas: &[String]) -> Result<Vec<Part>, FingerprintError> {
    let rows = client.query(
        "WITH RECURSIVE base AS ( \
             SELECT oid, oid AS of, typtype, typbasetype FROM pg_catalog.pg_type \
             UNION ALL SELECT b.oid, t.oid, t.typtype, t.typbasetype FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.typbasetype WHERE b.typtype = 'd' \
         ), plain AS ( \
             SELECT b.oid, (t.typnamespace = 'pg_catalog'::regnamespace AND t.typname !~ '^_?reg' AND t.typname NOT IN ('aclitem', '_aclitem')) \
                OR t.typtype = 'e' OR (t.typnamespace <> 'pg_catalog'::regnamespace AND t.typtype = 'b' AND t.typcategory <> 'A' AND t.typsend <> 0) AS is \
             FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.of WHERE b.typtype <> 'd' \
         ) \
         SELECT format('%I.%I', n.nspname, c.relname), \
                coalesce(string_agg(quote_ident(a.attname) || CASE WHEN p.is THEN '' ELSE '::text' END, ', ' ORDER BY a.attnum), ''), \
                coalesce(string_agg(quote_ident(a.attname) || '::text', ', ' ORDER BY a.attnum), ''), \
                pg_relation_size(c.oid), pg_table_size(c.oid), current_setting('block_size')::bigint, \
                current_setting('server_version_num')::int >= 140000 AND m.amname = 'heap' \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_am m ON m.oid = c.relam \
         LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         LEFT JOIN plain p ON p.oid = a.atttypid \
         WHERE c.relkind = 'r' AND n.nspname = ANY ($1::text[]::name[]) AND n.nspname <> 'switchback' \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e') \
         GROUP BY c.oid, n.nspname, c.relname, m.amname ORDER BY 5 DESC, 1",
        &[&schemas],
    )?;
    let mut parts = Vec::new();
    for row in rows {
        let number = |at: usize| row.get::<_, i64>(at).unsigned_abs();
        let (heap, whole, block) = (number(3), number(4), number(5));
        let count = if row.get(6) { whole.div_ceil(PART).clamp(1, heap.div_ceil(block).max(1)) } else { 1 };
        let border = |at: u64| heap.div_ceil(block) * at / count;
        for at in 0..count {
            // Pages are read in their order by their number alone since 14. The last part is open: rows may come in.
            let range = match (at, at + 1 == count) {
                (0, true) => String::new(),
                (_, true) => format!(" WHERE ctid >= '({},0)'", border(at)),
                _ => format!(" WHERE ctid >= '({},0)' AND ctid < '({},0)'", border(at), border(at + 1)),
            };
            let (table, columns, texts) = (row.get(0), row.get(1), row.get(2));
            parts.push(Part { table, columns, texts, range, bytes: whole / count });
        }
    }
    Ok(parts)
}

/// Where every sequence stands. Sequences are outside of transactions: this is now, whatever the view.
fn sequences(
    client: &mut impl GenericClient,
    schemas: &[String],
) -> Result<BTreeMap<String, String>, FingerprintError> {
    let names = client.query(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'S' \
           AND n.nspname = ANY ($1::text[]::name[]) AND n.nspname <> 'switchback' \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')",
        &[&schemas],
    )?;
    let names: Vec<String> = names.iter().map(|row| row.get(0)).collect();
    let mut found = BTreeMap::new();
    for some in names.chunks(200) {
        let one =
            |(at, name): (usize, &String)| format!("SELECT {at}::int, last_value, is_called FROM {name}");
        let all = some.iter().enumerate().map(one).collect::<Vec<_>>().join(" UNION ALL ");
        for row in client.query(&all, &[])? {
            let name = usize::try_from(row.get::<_, i32>(0)).ok().and_then(|at| some.get(at)).cloned();
            let given = if row.get(2) { "given out" } else { "next" };
            found.insert(name.unwrap_or_default(), format!("{} {given}", row.get::<_, i64>(1)));
        }
    }
    Ok(found)
}
