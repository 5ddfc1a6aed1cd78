//! SQLite → PostgreSQL: three million rows of eight columns, against feeding COPY a ready file, and against pgloader.

use crate::backup::run;
use crate::rounds::{Times, ratio};
use crate::server::{peak, private};
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use switchback_flow::{ColumnMove, CursorKey, End, Options, TableMove, TableName, Take, typed};
use switchback_site::Tell;
use switchback_site::{postgres, sqlite};

const COLUMNS: [&str; 8] = ["id", "name", "size", "price", "at", "ok", "data", "note"];
const THERE: &str = "CREATE TABLE t (id bigint PRIMARY KEY, name text, size integer, price double precision, at timestamp, \
     ok boolean, data bytea, note text)";

/// Fills a database of one table.
fn build(path: &Path, rows: u64) {
    let database = rusqlite::Connection::open(path).unwrap();
    let sql = format!(
        "PRAGMA journal_mode = off; PRAGMA synchronous = off; \
         CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, size INTEGER, price REAL, at TEXT, ok INTEGER, data BLOB, note TEXT); \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
         INSERT INTO t SELECT i, 'server number ' || i, i * 7919 % 1000003, i * 0.37, \
           strftime('%Y-%m-%d %H:%M:%S', 1700000000 + i, 'unixepoch'), i & 1, randomblob(16), \
           CASE WHEN i % 5 = 0 THEN NULL ELSE 'note ' || (i * 31 % 997) END FROM n"
    );
    database.execute_batch(&sql).unwrap();
}

pub fn measure(scratch: &Path, rows: u64, rounds: usize) {
    let path = scratch.join("typed.db");
    let cluster = private(scratch, "typed");
    build(&path, rows);
    cluster.create("bench").unwrap();
    let (url, name) = (cluster.url("bench"), |table: &str| table.to_owned());
    let moves = [TableMove {
        from: TableName { schema: None, table: name("t") },
        to: TableName { schema: Some(name("public")), table: name("t") },
        columns: COLUMNS
            .iter()
            .map(|column| ColumnMove { to: name(column), take: Take::Column(name(column)) })
            .collect(),
        lookups: Vec::new(),
        filter: None,
    }];
    let source = End::Sqlite(sqlite::Database::new(&path));
    let target = End::Postgres(postgres::Database::parse(&url).unwrap());
    let (file, load) = (scratch.join("ready.copy"), scratch.join("bench.load"));
    let plain_url = url.replace("?sslmode=disable", "");
    std::fs::write(
        &load,
        format!(
            "LOAD DATABASE FROM sqlite://{} INTO {plain_url} WITH data only, truncate, workers = 2, concurrency = 1;",
            path.display()
        ),
    )
    .unwrap();
    let (mut ours, mut proof, mut ready, mut loader) =
        (Times::none(), Times::none(), Times::none(), Times::none());
    for round in 0..=rounds {
        let mut client = cluster.connect("bench").unwrap();
        let mut fresh = || {
            client
                .batch_execute(&format!(
                    "DROP TABLE IF EXISTS t; DROP SCHEMA IF EXISTS switchback CASCADE; {THERE}; CHECKPOINT"
                ))
                .unwrap();
        };
        fresh();
        let key = CursorKey { run: format!("run{round}"), step: name("copy") };
        let (options, tell) = (Options::default(), Tell::quiet());
        ours.take(|| switchback_flow::run(&moves, &source, &target, &key, options, &tell).unwrap());
        let proofs = proof.take(|| typed::prove(&moves, &source, &target, options, &tell).unwrap());
        assert!(proofs[0].equal && proofs[0].target.rows == rows);
        if round == 0 {
            let mut client = cluster.connect("bench").unwrap();
            let mut rows = client.copy_out("COPY t TO STDOUT (FORMAT binary)").unwrap();
            std::io::copy(&mut rows, &mut std::fs::File::create(&file).unwrap()).unwrap();
        }
        fresh();
        ready.take(|| feed(&cluster, &file));
        fresh();
        loader.take(|| run(Command::new("pgloader").arg("--quiet").arg(&load)));
        let count: i64 =
            cluster.connect("bench").unwrap().query_one("SELECT count(*) FROM t", &[]).unwrap().get(0);
        assert_eq!(count.unsigned_abs(), rows, "pgloader brought another number of rows");
        // The first round fills the caches for all and is not counted.
        if round == 0 {
            (ours, proof, ready, loader) = (Times::none(), Times::none(), Times::none(), Times::none());
        }
    }
    ours.say("SQLite → PostgreSQL");
    proof.say("proof of both ends");
    ready.say("COPY of a ready binary file");
    loader.say("pgloader");
    ratio("move ÷ COPY of a ready file", &ours, &ready, 1.2);
    ratio("move ÷ pgloader (a fifth is wanted)", &ours, &loader, 0.2);
    ratio("proof ÷ move", &proof, &ours, 0.6);
    peak();
}

fn feed(cluster: &switchback_labs::cluster::Cluster, file: &Path) {
    let mut client = cluster.connect("bench").unwrap();
    let mut file = std::fs::File::open(file).unwrap();
    let mut sink = client.copy_in("COPY t FROM STDIN (FORMAT binary)").unwrap();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => break,
            count => sink.write_all(&buffer[..count]).unwrap(),
        }
    }
    sink.finish().unwrap();
}
