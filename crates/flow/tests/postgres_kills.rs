//! The server dies in the middle of moves, with fsync on: what is committed is there, and the rest comes again.
#![allow(clippy::unwrap_used)]

mod postgres_common;

use std::time::Duration;

use postgres_common::*;
use switchback_labs::cluster::Durability;

#[test]
fn a_killed_server_loses_nothing_and_doubles_nothing() {
    let rounds: u64 = std::env::var("SWITCHBACK_SOAK").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    let mut server = Server::start(Durability::Full);
    let old: String = (0..8)
        .map(|table| {
            format!(
                "CREATE TABLE old.t{table} (id int, t text);
                 INSERT INTO old.t{table} SELECT i, repeat('x', 100) || i FROM generate_series(1, {}) i;",
                1000 + table * 4000
            )
        })
        .collect();
    let new = "CREATE TABLE new.all (id int, t text, n int NOT NULL); CREATE TABLE new.more (id int, t text)";
    let one = server.database(&format!("CREATE SCHEMA old; CREATE SCHEMA new; {old} {new}"));
    let other = server.database(&format!("CREATE SCHEMA new; {new}"));
    let moves = jobs(
        (0..8)
            .flat_map(|table| {
                let from = format!("old.t{table}");
                [
                    job(&from, "new.all", "id t").set("n", Some(&table.to_string())),
                    job(&from, "new.more", "id t"),
                ]
            })
            .collect(),
    );
    let mut killed = 0;
    for round in 0..rounds {
        let to = if round % 2 == 0 { &one } else { &other };
        server.run(to, "TRUNCATE new.all, new.more; DROP SCHEMA IF EXISTS switchback CASCADE");
        // Killed several times in one move, at moments that walk through it.
        for life in 0..3 {
            let moment = Duration::from_millis(20 + (round * 97 + life * 61) % 400);
            let failed = std::thread::scope(|scope| {
                let (moves, one) = (&moves, &one);
                let work = scope.spawn(move || run(moves, one, to).is_err());
                std::thread::sleep(moment);
                server.cluster.kill().unwrap();
                work.join().unwrap()
            });
            killed += u64::from(failed);
            server.cluster.restart().unwrap();
        }
        let report = run(&moves, &one, to).unwrap();
        assert_eq!(report.rows, 2 * (8 * 1000 + 28 * 4000), "round {round}");
        assert_proven(&moves, &one, to);
    }
    assert!(killed > 0, "no move was still at work when its server died");
}
