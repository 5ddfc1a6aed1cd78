//! One server for the tests of a binary, and short ways to say what is moved.
#![allow(clippy::unwrap_used, dead_code)]

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use switchback_flow::typed::Portions;
use switchback_flow::{ColumnMove, CursorKey, End, TableMove, TableName, Take};
use switchback_labs::cluster::{Cluster, Durability};
use switchback_site::postgres::Database;
use switchback_site::sqlite;

/// Portions so small that a few rows make several batches.
pub const SMALL: Portions = Portions { piece: 300, batch: 900 };

pub struct Server {
    pub cluster: Cluster,
    pub folder: tempfile::TempDir,
}

/// The server that the tests of this binary share.
pub fn server() -> Arc<Server> {
    static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return server;
    }
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(&folder.path().join("cluster"), Durability::None).unwrap();
    let server = Arc::new(Server { cluster, folder });
    *shared = Arc::downgrade(&server);
    server
}

/// A database of PostgreSQL that no other test knows.
pub struct Base {
    pub client: postgres::Client,
    pub end: End,
}

impl Server {
    pub fn base(&self, sql: &str) -> Base {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("typed{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.cluster.create(&name).unwrap();
        let mut client = self.cluster.connect(&name).unwrap();
        client.batch_execute("SET timezone = 'UTC'; SET intervalstyle = 'postgres'").unwrap();
        client.batch_execute(sql).unwrap();
        Base { client, end: End::Postgres(Database::parse(&self.cluster.url(&name)).unwrap()) }
    }
}

impl Base {
    /// The one value of a query, as text.
    pub fn value(&mut self, sql: &str) -> String {
        let row = self.client.query_one(&format!("SELECT ({sql})::text"), &[]).unwrap();
        row.get::<_, Option<String>>(0).unwrap_or_else(|| "NULL".to_owned())
    }
}

/// A SQLite file.
pub fn file(path: &Path, sql: &str) -> End {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch(sql).unwrap();
    End::Sqlite(sqlite::Database::new(path))
}

pub fn key() -> CursorKey {
    CursorKey { run: "run-1".to_owned(), step: "copy".to_owned() }
}

pub fn table(name: &str) -> TableName {
    match name.split_once('.') {
        Some((schema, table)) => TableName { schema: Some(schema.to_owned()), table: table.to_owned() },
        None => TableName { schema: None, table: name.to_owned() },
    }
}

/// Moves columns by their names.
pub fn same(from: &str, to: &str, columns: &[&str]) -> TableMove {
    let columns = columns
        .iter()
        .map(|name| ColumnMove { to: (*name).to_owned(), take: Take::Column((*name).to_owned()) })
        .collect();
    TableMove { from: table(from), to: table(to), columns, lookups: Vec::new(), filter: None }
}
