//! One PostgreSQL server for the tests of a binary: made by the first that asks, gone with the process.

#![allow(dead_code)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use switchback_labs::cluster::{Cluster, Durability};

/// A server in a folder of its own.
pub struct Server {
    /// The server.
    pub cluster: Cluster,
}

impl Server {
    /// The server that the tests of this binary share. It stays when nobody holds it: making another takes longer than most
    /// tests do.
    pub fn shared() -> Arc<Server> {
        static SHARED: OnceLock<Arc<Server>> = OnceLock::new();
        SHARED.get_or_init(|| Arc::new(Server::start(Durability::None))).clone()
    }

    /// A server of the caller's own.
    pub fn start(durability: Durability) -> Server {
        let folder = tempfile::tempdir().unwrap().keep();
        remove_at_exit(&folder);
        Server { cluster: Cluster::start(&folder.join("cluster"), durability).unwrap() }
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

/// Removes a folder once this process has ended, however it ended: what is static is not dropped. Its server dies with the
/// process by itself, but may still be writing.
fn remove_at_exit(folder: &Path) {
    let script = "read -r _; until rm -rf \"$0\" 2>/dev/null; do sleep 0.1; done";
    let mut remover = Command::new("/bin/sh");
    remover.args(["-c", script]).arg(folder).stdin(Stdio::piped());
    remover.stdout(Stdio::null()).stderr(Stdio::null());
    // The pipe closes with us, and the shell reads its end.
    std::mem::forget(remover.spawn().unwrap());
}
