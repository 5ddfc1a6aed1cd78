//! Kills in the middle of moves, of the server with fsync on and of our own process: what is committed is there, and the
//! rest comes again.
#![allow(clippy::unwrap_used)]

mod postgres_common;

use std::time::Duration;

use postgres_common::*;
use switchback_flow::{End, TableMove};
use switchback_labs::cluster::Durability;
use switchback_site::postgres::Database;

/// How many moves are killed, each three times. More with `SWITCHBACK_SOAK`.
fn rounds() -> u64 {
    std::env::var("SWITCHBACK_SOAK").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

fn old() -> String {
    let table = |table: u32| {
        format!(
            "CREATE TABLE old.t{table} (id int, t text);
             INSERT INTO old.t{table} SELECT i, repeat('x', 100) || i FROM generate_series(1, {}) i;",
            1000 + table * 4000
        )
    };
    format!("CREATE SCHEMA old; {}", (0..8).map(table).collect::<String>())
}

const NEW: &str = "CREATE SCHEMA new; CREATE TABLE new.all (id int, t text, n int NOT NULL); CREATE TABLE new.more (id int, t text); \
    CREATE INDEX t ON new.more (t); CREATE INDEX id ON new.all (id) WITH (fillfactor = 60); CREATE INDEX n ON new.all (n)";
const CLEAN: &str = "TRUNCATE new.all, new.more; DROP SCHEMA IF EXISTS switchback CASCADE";
const INDEXES: &str = "CREATE INDEX id ON new.\"all\" USING btree (id) WITH (fillfactor='60') \
    CREATE INDEX n ON new.\"all\" USING btree (n) CREATE INDEX t ON new.more USING btree (t)";
const ROWS: u64 = 2 * (8 * 1000 + 28 * 4000);

fn moves() -> Vec<TableMove> {
    let both = |table: u32| {
        let from = format!("old.t{table}");
        [job(&from, "new.all", "id t").set("n", Some(&table.to_string())), job(&from, "new.more", "id t")]
    };
    jobs((0..8).flat_map(both).collect())
}

/// Moments that walk through a move.
fn moment(round: u64, life: u64) -> Duration {
    Duration::from_millis(20 + (round * 197 + life * 131) % 700)
}

/// One more move, which nothing disturbs, brings what the killed ones left to its end.
fn assert_ends(server: &Server, one: &Place, to: &Place, how: &str) {
    assert_eq!(run(&moves(), one, to).unwrap().rows, ROWS, "{how}");
    assert_proven(&moves(), one, to);
    // So many rows are expected that indexes come after them: kills fall between.
    let after = "SELECT count(*) FROM switchback.cursor WHERE part LIKE 'aside %' AND done";
    assert_eq!(server.value(to, after), "3", "{how}");
    let indexes =
        "SELECT string_agg(indexdef, ' ' ORDER BY indexname) FROM pg_indexes WHERE schemaname = 'new'";
    assert_eq!(server.value(to, indexes), INDEXES, "{how}");
}

#[test]
fn a_killed_server_loses_nothing_and_doubles_nothing() {
    let mut server = Server::start(Durability::Full);
    let one = server.database(&format!("{}; {NEW}", old()));
    let other = server.database(NEW);
    let mut killed = 0;
    for round in 0..rounds() {
        let to = if round % 2 == 0 { &one } else { &other };
        server.run(to, CLEAN);
        for life in 0..3 {
            let failed = std::thread::scope(|scope| {
                let one = &one;
                let work = scope.spawn(move || run(&moves(), one, to).is_err());
                std::thread::sleep(moment(round, life));
                server.cluster.kill().unwrap();
                work.join().unwrap()
            });
            killed += u64::from(failed);
            server.cluster.restart().unwrap();
        }
        assert_ends(&server, &one, to, &format!("round {round}"));
    }
    assert!(killed > 0, "no move was still at work when its server died");
}

const FROM: &str = "SWITCHBACK_TEST_FROM";
const TO: &str = "SWITCHBACK_TEST_TO";

/// What the killed processes of the next test do; by itself it is nothing.
#[test]
fn a_move_in_a_process_of_its_own() {
    let (Ok(from), Ok(to)) = (std::env::var(FROM), std::env::var(TO)) else { return };
    let place = |url: &str| Place { name: String::new(), end: End::Postgres(Database::parse(url).unwrap()) };
    run(&moves(), &place(&from), &place(&to)).unwrap();
}

#[test]
fn a_killed_process_loses_nothing_and_doubles_nothing() {
    let server = server();
    let one = server.database(&format!("{}; {NEW}", old()));
    let other = server.database(NEW);
    let mut killed = 0;
    for round in 0..rounds() {
        let to = if round % 2 == 0 { &one } else { &other };
        server.run(to, CLEAN);
        for life in 0..3 {
            let mut child = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "a_move_in_a_process_of_its_own"])
                .env(FROM, server.cluster.url(&one.name))
                .env(TO, server.cluster.url(&to.name))
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(moment(round, life));
            child.kill().unwrap();
            killed += u64::from(!child.wait().unwrap().success());
        }
        assert_ends(&server, &one, to, &format!("round {round}"));
    }
    assert!(killed > 0, "no move was still at work when its process died");
}
