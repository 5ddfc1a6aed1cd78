//! One PostgreSQL server for the tests of a binary: made by the first that asks, gone with the last that holds it.

#![allow(dead_code)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use switchback_labs::cluster::{Cluster, Durability};

/// A server in a folder of its own.
pub struct Server {
    /// The server.
    pub cluster: Cluster,
    _folder: tempfile::TempDir,
}

impl Server {
    /// The server that the tests of this binary share.
    pub fn shared() -> Arc<Server> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster::start(&folder.path().join("cluster"), Durability::None).unwrap();
        let server = Arc::new(Server { cluster, _folder: folder });
        *shared = Arc::downgrade(&server);
        server
    }

    /// Makes a database that no other test knows, fills it, and returns its name.
    pub fn database(&self, sql: &str) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.cluster.create(&name).unwrap();
        self.run(&name, sql);
        name
    }

    /// Runs `sql` as superuser.
    pub fn run(&self, database: &str, sql: &str) {
        self.cluster.connect(database).unwrap().batch_execute(sql).unwrap();
    }

    /// The one value of a query, as text.
    pub fn value(&self, database: &str, sql: &str) -> String {
        let row = self.cluster.connect(database).unwrap();
        let row = { row }.query_one(&format!("SELECT ({sql})::text"), &[]).unwrap();
        row.get::<_, Option<String>>(0).unwrap_or_else(|| "NULL".to_owned())
    }
}
