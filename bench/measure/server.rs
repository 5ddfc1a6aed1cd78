//! Private servers for figures, and this process's own memory.

use std::path::Path;
use switchback_labs::cluster::{Cluster, Durability};

/// A server that syncs as in production, with room for its log so that no checkpoint falls on one side alone.
pub fn private(scratch: &Path, name: &str) -> Cluster {
    std::fs::create_dir_all(scratch).unwrap();
    // The server's own user goes through here.
    std::fs::set_permissions(scratch, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let cluster = Cluster::start(&scratch.join(name), Durability::Full).unwrap();
    let mut client = cluster.connect("postgres").unwrap();
    client.batch_execute("ALTER SYSTEM SET max_wal_size = '8GB'").unwrap();
    client.batch_execute("SELECT pg_reload_conf()").unwrap();
    cluster
}

/// Prints the most memory that this process had.
pub fn peak() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: f64 = line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(f64::NAN);
    println!("{:<58} {:>9.1} MB", "memory of this process at its most", kib / 1000.0);
}
