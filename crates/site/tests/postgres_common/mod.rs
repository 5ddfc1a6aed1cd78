//! One server for the tests of a binary: made by the first that asks, gone with the last that holds it.
#![allow(clippy::unwrap_used, dead_code)]

pub mod authority;
pub mod everything;
pub mod pgbouncer;
pub mod pooler;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use switchback_labs::cluster::{Cluster, Durability};
use switchback_site::postgres::{Access, Client, Database};

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

impl Server {
    /// Makes a database that no other test knows, and runs `sql` in it as superuser.
    pub fn database(&self, sql: &str) -> Database {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test {}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.cluster.create(&name).unwrap();
        self.run(&name, sql);
        self.named(&name)
    }

    /// Runs `sql` as superuser.
    pub fn run(&self, database: &str, sql: &str) {
        self.cluster.connect(database).unwrap().batch_execute(sql).unwrap();
    }

    /// The database of that name, for the superuser.
    pub fn named(&self, name: &str) -> Database {
        Database::parse(&self.cluster.url(&name.replace(' ', "%20"))).unwrap()
    }

    /// The same database for another user.
    pub fn as_user(&self, database: &Database, user: &str) -> Database {
        let mut address = database.address().clone();
        user.clone_into(&mut address.user);
        Database::at(address)
    }
}

pub fn writer(database: &Database) -> Client {
    database.connect("test", Access::ReadWrite).unwrap()
}

pub fn reader(database: &Database) -> Client {
    database.connect("test", Access::ReadOnly).unwrap()
}

/// The one value of a query, as text.
pub fn value(client: &mut Client, sql: &str) -> String {
    let row = client.query_one(&format!("SELECT ({sql})::text"), &[]).unwrap();
    row.get::<_, Option<String>>(0).unwrap_or_else(|| "NULL".to_owned())
}
