//! PostgreSQL → PostgreSQL between two servers, against a dump that is restored by two jobs, and against pgcopydb.

use crate::backup::run;
use crate::rounds::{Times, ratio};
use crate::server::{peak, private};
use std::path::Path;
use std::process::Command;
use switchback_flow::{ColumnMove, CursorKey, End, Options, TableMove, TableName, Take};
use switchback_labs::cluster::Cluster;
use switchback_site::Tell;
use switchback_site::postgres::Database;

/// Tables, their columns, and what is in a row.
const TABLES: [(&str, &str, &str); 3] = [
    (
        "log",
        "id bigint PRIMARY KEY, execution_id uuid NOT NULL, data jsonb NOT NULL, at timestamptz NOT NULL",
        "i, md5((i / 9)::text)::uuid, jsonb_build_object('level', 'INFO', 'n', i, 'log', repeat(md5(i::text), 12)), \
         '2026-01-01'::timestamptz + i * interval '1 second'",
    ),
    (
        "history",
        "id uuid PRIMARY KEY, hash varchar(64) NOT NULL, result text, seconds float8",
        "md5('h' || i)::uuid, md5(i::text) || md5('x' || i), repeat(md5((i / 2)::text), 6), i / 7.0",
    ),
    (
        "usage",
        "id bigint PRIMARY KEY, name varchar(80) NOT NULL, tokens int, cost numeric(12, 6)",
        "i, 'model ' || i % 17, i % 4096, i * 0.000125",
    ),
];
const INDEXES: &str = "CREATE INDEX log_execution ON log (execution_id); CREATE INDEX log_at ON log (at); \
     CREATE INDEX history_hash ON history (hash); CREATE INDEX usage_name ON usage (name)";

fn tables() -> String {
    let create = |(name, columns, _): &(&str, &str, &str)| format!("CREATE TABLE {name} ({columns});");
    TABLES.iter().map(create).collect::<String>() + INDEXES
}

fn build(cluster: &Cluster, rows: u64) {
    cluster.create("bench").unwrap();
    let mut client = cluster.connect("bench").unwrap();
    client.batch_execute(&tables()).unwrap();
    for (name, _, values) in TABLES {
        let sql = format!("INSERT INTO {name} SELECT {values} FROM generate_series(1::bigint, {rows}) i");
        client.batch_execute(&sql).unwrap();
    }
    client.batch_execute("VACUUM ANALYZE").unwrap();
    client.batch_execute("CHECKPOINT").unwrap();
    let bytes: i64 = client.query_one("SELECT pg_database_size('bench')", &[]).unwrap().get(0);
    println!("{} rows in {} tables, {:.2} GB", rows * TABLES.len() as u64, TABLES.len(), bytes as f64 / 1e9);
}

fn moves() -> Vec<TableMove> {
    let one = |(name, columns, _): &(&str, &str, &str)| {
        let table = || TableName { schema: Some("public".to_owned()), table: (*name).to_owned() };
        // A comma inside of brackets belongs to a type.
        let columns = columns.replace("(12, 6)", "").replace("(80)", "").replace("(64)", "");
        let columns = columns.split(", ").filter_map(|column| column.split(' ').next());
        let columns = columns
            .map(|column| ColumnMove { to: column.to_owned(), take: Take::Column(column.to_owned()) })
            .collect();
        TableMove { from: table(), to: table(), columns, lookups: Vec::new(), filter: None }
    };
    TABLES.iter().map(one).collect()
}

pub fn measure(scratch: &Path, rows: u64, rounds: usize) {
    let (here, there) = (private(scratch, "here"), private(scratch, "there"));
    build(&here, rows);
    let source = End::Postgres(Database::parse(&here.url("bench")).unwrap());
    let (mut ours, mut proof, mut dumped, mut cloned) =
        (Times::none(), Times::none(), Times::none(), Times::none());
    let has_clone =
        Command::new("pgcopydb").arg("--version").output().is_ok_and(|output| output.status.success());
    for round in 0..=rounds {
        let fresh = |name: &str| {
            there.create(name).unwrap();
            there.connect(name).unwrap().batch_execute("CHECKPOINT").unwrap();
        };
        let gone = |name: &str| {
            there.connect("postgres").unwrap().batch_execute(&format!("DROP DATABASE {name}")).unwrap();
        };
        fresh("ours");
        let target = End::Postgres(Database::parse(&there.url("ours")).unwrap());
        let key = CursorKey { run: format!("run{round}"), step: "copy".to_owned() };
        let (options, tell) = (Options::default(), Tell::quiet());
        ours.take(|| {
            there.connect("ours").unwrap().batch_execute(&tables()).unwrap();
            switchback_flow::run(&moves(), &source, &target, &key, options, &tell).unwrap()
        });
        let proofs =
            proof.take(|| switchback_flow::prove(&moves(), &source, &target, options, &tell).unwrap());
        assert!(proofs.iter().all(|proof| proof.equal && proof.target.rows == rows));
        gone("ours");
        fresh("dumped");
        let folder = scratch.join("dump");
        dumped.take(|| {
            let dump = ["-Fd", "-j2", "-f"];
            run(Command::new("pg_dump").args(dump).arg(&folder).args(["-d", &here.url("bench")]));
            run(Command::new("pg_restore").arg("-j2").args(["-d", &there.url("dumped")]).arg(&folder));
        });
        std::fs::remove_dir_all(&folder).unwrap();
        gone("dumped");
        if has_clone {
            fresh("cloned");
            let state = scratch.join("pgcopydb");
            cloned.take(|| {
                let mut command = Command::new("pgcopydb");
                command.args(["clone", "--table-jobs", "2", "--index-jobs", "2", "--dir"]).arg(&state);
                command.args(["--source", &here.url("bench"), "--target", &there.url("cloned")]);
                run(command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()));
            });
            std::fs::remove_dir_all(&state).unwrap();
            gone("cloned");
        }
        // The first round fills the caches for all and is not counted.
        if round == 0 && rounds > 0 {
            (ours, proof, dumped, cloned) = (Times::none(), Times::none(), Times::none(), Times::none());
        }
    }
    ours.say("to another server, keys and indexes after the load");
    proof.say("proof of both ends");
    dumped.say("pg_dump -Fd -j2, then pg_restore -j2");
    ratio("move ÷ dump and restore", &ours, &dumped, 1.0);
    match has_clone {
        true => {
            cloned.say("pgcopydb clone, 2 jobs");
            ratio("move ÷ pgcopydb", &ours, &cloned, 1.0);
        }
        false => println!("pgcopydb is not installed here"),
    }
    ratio("proof ÷ move", &proof, &ours, 0.6);
    peak();
}
