//! Measures a move of many tenants into one schema against one transaction of plain INSERT … SELECT, and the proof of it; then
//! the same move to another server, with this process's peak of memory.
//!
//! `cargo run --release -p switchback-flow --example tenants -- [ROWS] [WORKERS] [ROUNDS]`; the server is private and is
//! gone at the end.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use switchback_flow::{ColumnMove, CursorKey, End, Options, TableMove, TableName, Take};
use switchback_labs::cluster::{Cluster, Durability};
use switchback_site::postgres::Database;
use switchback_site::tell::Tell;

const TENANTS: usize = 50;
/// Name, columns, share of the rows in percent, and what it refers to.
const TABLES: [(&str, &str, usize, &str); 5] = [
    (
        "workflow",
        "id uuid PRIMARY KEY, name text NOT NULL, settings jsonb, active bool, made timestamptz",
        2,
        "",
    ),
    (
        "execution",
        "id uuid PRIMARY KEY, workflow_id uuid, status varchar(20), seconds float8, made timestamptz",
        23,
        "workflow",
    ),
    ("log", "id uuid PRIMARY KEY, execution_id uuid, data jsonb, at timestamptz", 50, ""),
    (
        "history",
        "id uuid PRIMARY KEY, workflow_id uuid, hash varchar(64), result text, at timestamptz",
        20,
        "workflow",
    ),
    ("tag", "id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, workflow_id uuid", 5, "workflow"),
];

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>().unwrap());
    let rows = arguments.next().unwrap_or(1_000_000);
    let workers = arguments.next().unwrap_or(Options::default().workers);
    let rounds = arguments.next().unwrap_or(3);
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(&folder.path().join("cluster"), Durability::Full).unwrap();
    cluster.create("app").unwrap();
    let mut client = cluster.connect("app").unwrap();
    client.batch_execute("ALTER SYSTEM SET max_wal_size = '8GB'").unwrap();
    client.batch_execute("SELECT pg_reload_conf()").unwrap();
    build(&mut client, rows);
    let end = End::Postgres(Database::parse(&cluster.url("app")).unwrap());
    println!("{rows} rows in {} tables, {workers} workers", TENANTS * TABLES.len());
    for round in 0..rounds {
        let (plain, ours) = (format!("plain{round}"), format!("ours{round}"));
        target(&mut client, &plain);
        target(&mut client, &ours);
        let moves = moves(&ours);
        let key = CursorKey { run: format!("run{round}"), step: "copy".to_owned() };
        let options = Options { workers, ..Options::default() };
        let mut baseline = || {
            client.batch_execute("CHECKPOINT").unwrap();
            let inserts = self::moves(&plain);
            timed(&cluster, || {
                let mut transaction = client.transaction().unwrap();
                transaction.batch_execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").unwrap();
                inserts.iter().for_each(|job| transaction.batch_execute(&insert(job)).unwrap());
                transaction.commit().unwrap();
            })
            .1
        };
        let ours = || {
            cluster.connect("app").unwrap().batch_execute("CHECKPOINT").unwrap();
            let move_all =
                || switchback_flow::run(&moves, &end, &end, &key, options, &Tell::quiet()).unwrap();
            let (_, run) = timed(&cluster, move_all);
            let prove = || switchback_flow::prove(&moves, &end, &end, options, &Tell::quiet()).unwrap();
            let (proofs, proof) = timed(&cluster, prove);
            assert!(proofs.iter().all(|proof| proof.equal));
            (run, proof)
        };
        // Who comes first has the warmer or the colder cache: turn by turn.
        let (plain, (run, proof)) = if round % 2 == 0 {
            (baseline(), ours())
        } else {
            let ours = ours();
            (baseline(), ours)
        };
        println!("plain {plain}, run {run}, proof {proof}");
        for (what, cost, of) in
            [("run / plain", run, plain), ("both / plain", run + proof, plain), ("proof / run", proof, run)]
        {
            println!("  {what}: {:.2} ({:.2} by processors)", cost.wall / of.wall, cost.cpu / of.cpu);
        }
    }
    abroad(&cluster, &end, Options { workers, ..Options::default() });
}

/// The same rows to another server.
fn abroad(cluster: &Cluster, end: &End, options: Options) {
    let folder = tempfile::tempdir().unwrap();
    let other = Cluster::start(&folder.path().join("cluster"), Durability::Full).unwrap();
    other.connect("postgres").unwrap().batch_execute("ALTER SYSTEM SET max_wal_size = '8GB'").unwrap();
    other.connect("postgres").unwrap().batch_execute("SELECT pg_reload_conf()").unwrap();
    other.create("app").unwrap();
    target(&mut other.connect("app").unwrap(), "ours");
    let there = End::Postgres(Database::parse(&other.url("app")).unwrap());
    let moves = moves("ours");
    let key = CursorKey { run: "run".to_owned(), step: "copy".to_owned() };
    let before = cpu(&other);
    let (report, run) =
        timed(cluster, || switchback_flow::run(&moves, end, &there, &key, options, &Tell::quiet()).unwrap());
    let target = cpu(&other) - before;
    let (proofs, proof) =
        timed(cluster, || switchback_flow::prove(&moves, end, &there, options, &Tell::quiet()).unwrap());
    assert!(proofs.iter().all(|proof| proof.equal));
    println!(
        "to another server: {} rows, run {run} and about {target:.2} s of the other's, proof {proof}",
        report.rows
    );
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status
        .lines()
        .filter(|line| line.starts_with("VmHWM"))
        .for_each(|line| println!("  peak of memory: {line}"));
}

/// Wall time and the processor's time of server and client together, which other work on the machine does not change.
#[derive(Clone, Copy)]
struct Cost {
    wall: f64,
    cpu: f64,
}

impl std::ops::Add for Cost {
    type Output = Cost;
    fn add(self, other: Cost) -> Cost {
        Cost { wall: self.wall + other.wall, cpu: self.cpu + other.cpu }
    }
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} s ({:.2} s of processors)", self.wall, self.cpu)
    }
}

fn timed<T>(cluster: &Cluster, work: impl FnOnce() -> T) -> (T, Cost) {
    let (clock, before) = (Instant::now(), cpu(cluster));
    let value = work();
    let wall = clock.elapsed().as_secs_f64();
    // Backends that have just ended are counted when the server has noticed.
    std::thread::sleep(Duration::from_millis(100));
    (value, Cost { wall, cpu: cpu(cluster) - before })
}

/// Seconds of processors that the server, its sessions (ended ones too) and this process have used.
fn cpu(cluster: &Cluster) -> f64 {
    let pid = std::fs::read_to_string(cluster.folder().join("data/postmaster.pid")).unwrap();
    let server = pid.lines().next().unwrap().to_owned();
    let stat = |pid: &str| -> Option<Vec<u64>> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, fields) = text.rsplit_once(')')?;
        Some(fields.split_whitespace().skip(1).map(|field| field.parse().unwrap_or(0)).collect())
    };
    let mut ticks = 0;
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let Some(fields) = stat(&name).filter(|_| name.parse::<u32>().is_ok()) else { continue };
        // Of proc(5): parent, utime and stime, and those of ended children.
        let own = name == std::process::id().to_string();
        if own || name == server || fields[0].to_string() == server {
            ticks += fields[10] + fields[11];
        }
        if name == server {
            ticks += fields[12] + fields[13];
        }
    }
    ticks as f64 / 100.0
}

fn build(client: &mut postgres::Client, rows: usize) {
    // A few tenants have most of the rows.
    let weight = |tenant: usize| 1.0 / (tenant + 1) as f64;
    let all: f64 = (0..TENANTS).map(weight).sum();
    for tenant in 0..TENANTS {
        let mine = rows as f64 * weight(tenant) / all;
        let mut sql = format!("CREATE SCHEMA t{tenant};");
        for (name, columns, share, _) in TABLES {
            let count = (mine * share as f64 / 100.0).ceil() as u64;
            let workflows = (mine * 0.02).ceil() as u64;
            let id = |what: &str, number: &str| format!("md5('{tenant} {what} ' || {number})::uuid");
            let of = id("workflow", &format!("(1 + i % {workflows})"));
            let values = match name {
                "workflow" => format!(
                    "{}, 'flow ' || i, jsonb_build_object('n', i, 'list', jsonb_build_array(i, 'x')), i % 2 = 0, now()",
                    id(name, "i")
                ),
                "execution" => format!("{}, {of}, 'COMPLETED', i / 7.0, now()", id(name, "i")),
                "log" => format!(
                    "{}, {}, jsonb_build_object('level', 'INFO', 'log', repeat('a line of a log ', 6) || i), now()",
                    id(name, "i"),
                    id("execution", "i")
                ),
                "history" => format!(
                    "{}, {of}, md5(i::text) || md5('x' || i), repeat('result ', 12), now()",
                    id(name, "i")
                ),
                _ => format!("i, 'tag ' || i, {of}"),
            };
            let _ = write!(
                sql,
                "CREATE TABLE t{tenant}.{name} ({columns}); INSERT INTO t{tenant}.{name} OVERRIDING SYSTEM VALUE \
                 SELECT {values} FROM generate_series(1, {count}) i; ANALYZE t{tenant}.{name};"
            );
        }
        client.batch_execute(&sql).unwrap();
    }
    client.batch_execute("VACUUM").unwrap();
}

fn target(client: &mut postgres::Client, schema: &str) {
    let mut sql = format!("CREATE SCHEMA {schema};");
    for (name, columns, _, refers) in TABLES {
        let columns = columns.replace(
            "id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
            "id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
        );
        let foreign = match refers {
            "" => String::new(),
            refers => format!(
                ", FOREIGN KEY (workflow_id) REFERENCES {schema}.{refers} DEFERRABLE INITIALLY DEFERRED"
            ),
        };
        let _ = write!(sql, "CREATE TABLE {schema}.{name} ({columns}, tenant bigint NOT NULL{foreign});");
        let _ = write!(sql, "CREATE INDEX ON {schema}.{name} (tenant);");
    }
    client.batch_execute(&sql).unwrap();
}

fn moves(schema: &str) -> Vec<TableMove> {
    let mut moves = Vec::new();
    for (name, columns, ..) in TABLES {
        for tenant in 0..TENANTS {
            let table = |schema: String| TableName { schema: Some(schema), table: name.to_owned() };
            let mut filled: Vec<ColumnMove> = columns
                .split(", ")
                .map(|column| column.split(' ').next().unwrap().to_owned())
                .filter(|column| name != "tag" || column != "id")
                .map(|column| ColumnMove { to: column.clone(), take: Take::Column(column) })
                .collect();
            filled
                .push(ColumnMove { to: "tenant".to_owned(), take: Take::Constant(Some(tenant.to_string())) });
            moves.push(TableMove {
                from: table(format!("t{tenant}")),
                to: table(schema.to_owned()),
                columns: filled,
                lookups: Vec::new(),
                filter: None,
            });
        }
    }
    moves
}

fn insert(job: &TableMove) -> String {
    let names: Vec<&str> = job.columns.iter().map(|column| column.to.as_str()).collect();
    let values: Vec<String> = job
        .columns
        .iter()
        .map(|column| match &column.take {
            Take::Column(name) => name.clone(),
            Take::Constant(Some(value)) => value.clone(),
            _ => "NULL".to_owned(),
        })
        .collect();
    format!(
        "INSERT INTO {} ({}) SELECT {} FROM {}",
        job.to.describe(),
        names.join(", "),
        values.join(", "),
        job.from.describe()
    )
}
