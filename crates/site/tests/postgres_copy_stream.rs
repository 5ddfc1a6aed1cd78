//! Digests of queries on a real server.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use switchback_labs::cluster::{Cluster, Durability};
use switchback_site::postgres::{CopyError, digest_query};
use switchback_site::tell::{Faults, Halt, Tell};

fn cluster() -> (tempfile::TempDir, Cluster) {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(&folder.path().join("cluster"), Durability::None).unwrap();
    (folder, cluster)
}

#[test]
fn a_digest_depends_on_the_values_and_not_on_their_order() {
    let (_folder, cluster) = cluster();
    let mut client = cluster.connect("postgres").unwrap();
    let mut digest = |sql: &str| digest_query(&mut client, sql, &Tell::quiet()).unwrap();
    let rows = "SELECT i AS n, i::text AS t, CASE WHEN i % 2 = 0 THEN '' END FROM generate_series(1, 1000) i";
    assert_eq!(digest(rows).rows, 1000);
    assert_eq!(digest(rows), digest(&format!("{rows} ORDER BY 1 DESC")));
    assert_ne!(digest(rows), digest(&rows.replace("''", "' '")));
    assert_ne!(digest("SELECT ''::text"), digest("SELECT NULL::text"));
    assert_ne!(digest("SELECT 1.0::numeric"), digest("SELECT 1.00::numeric"));
    assert_eq!(digest("SELECT 1 WHERE false").rows, 0);
    // A value of many pieces of the network.
    assert_eq!(digest("SELECT repeat('x', 30000000), 1").rows, 1);
}

#[test]
fn an_error_in_the_middle_is_told_and_the_session_lives_on() {
    let (_folder, cluster) = cluster();
    let mut client = cluster.connect("postgres").unwrap();
    let sql = "SELECT 1 / (i - 50000) FROM generate_series(1, 100000) i";
    let error = digest_query(&mut client, sql, &Tell::quiet()).unwrap_err();
    let CopyError::Query { source } = error else { panic!("{error}") };
    assert_eq!(source.as_db_error().unwrap().message(), "division by zero");
    assert_eq!(digest_query(&mut client, "SELECT 1", &Tell::quiet()).unwrap().rows, 1);
}

#[test]
fn a_stop_ends_the_query_on_the_server() {
    let (_folder, cluster) = cluster();
    let mut client = cluster.connect("postgres").unwrap();
    let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let sink = {
        let (stop, seen) = (stop.clone(), seen.clone());
        Arc::new(move |progress: switchback_site::Progress| {
            seen.store(progress.done, Ordering::Relaxed);
            stop.store(progress.done > 20_000, Ordering::Relaxed);
        })
    };
    let tell = Tell::new(sink, stop, Arc::new(Faults::none()));
    let clock = Instant::now();
    let sql = "SELECT generate_series(1, 1000000000)";
    let error = digest_query(&mut client, sql, &tell).unwrap_err();
    assert!(matches!(error, CopyError::Halt(Halt::Interrupted)), "{error}");
    assert!(seen.load(Ordering::Relaxed) > 20_000);
    assert_eq!(client.query_one("SELECT 1", &[]).unwrap().get::<_, i32>(0), 1);
    // A billion rows would take minutes.
    assert!(clock.elapsed() < Duration::from_secs(30));
}
