//! Fingerprints, and the hands of others.
#![allow(clippy::unwrap_used)]

mod postgres_common;

use postgres_common::{reader, server, value, writer};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use switchback_site::postgres::ledger::{LedgerRow, add};
use switchback_site::postgres::{
    Client, Database, Fingerprint, FingerprintError, baseline, foreign, run_script,
};
use switchback_site::{Failure, Faults, Halt, Tell};

const DATA: &str = r#"
CREATE SCHEMA a; CREATE TYPE a.mood AS ENUM ('x', 'y'); CREATE TYPE a.pair AS (p int, q a.mood); CREATE DOMAIN a.d AS a.mood[];
CREATE TABLE a.t (id int PRIMARY KEY, s text, m a.mood, ms a.mood[], c a.pair, d a.d, r regclass, acl aclitem, n numeric, j json, b bytea);
INSERT INTO a.t VALUES (1, '', 'x', '{x,y}', '(1,x)', '{y}', 'a.t', NULL, 1.0, '{"b": 1,  "a":2}', '\x00'), (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'NaN', 'null', NULL);
CREATE TABLE a."no columns" (); INSERT INTO a."no columns" DEFAULT VALUES; INSERT INTO a."no columns" DEFAULT VALUES;
CREATE TABLE a.empty (x int); CREATE SEQUENCE a.q; CREATE SEQUENCE a.fresh START 7;
CREATE MATERIALIZED VIEW a.mv AS SELECT count(*) FROM a.t; CREATE TABLE public.other (x int);
CREATE TABLE a.p (k int) PARTITION BY LIST (k); CREATE TABLE a.p1 PARTITION OF a.p FOR VALUES IN (1); INSERT INTO a.p VALUES (1);
SELECT nextval('a.q');
"#;

fn schemas() -> Vec<String> {
    vec!["a".to_owned()]
}

fn of(database: &Database) -> Fingerprint {
    let alone = Fingerprint::of(&mut reader(database), &schemas(), &Tell::quiet()).unwrap();
    let together = Fingerprint::read(database, &schemas(), &Tell::quiet()).unwrap();
    assert_eq!(alone, together);
    alone
}

fn row(run: &str) -> LedgerRow {
    let text = |text: &str| text.to_owned();
    LedgerRow { run: text(run), step: text("s"), at: text("now"), state_dir: text("/s"), note: text("") }
}

fn script(client: &mut Client, sql: &str) {
    run_script(client, sql, &BTreeMap::new(), "now", &row("r"), &Tell::quiet()).unwrap();
}

#[test]
fn equal_databases_are_equal_whatever_numbers_the_server_gave() {
    let server = server();
    let one = server.database(DATA);
    // The other gave out numbers before, and lost a column.
    let other =
        server.database(&format!("CREATE TABLE public.x (); CREATE TYPE public.y AS (a int); {DATA}"));
    let late = &other.address().dbname;
    server.run(late, "ALTER TABLE a.empty ADD gone int; ALTER TABLE a.empty DROP gone; ANALYZE");
    server.run(late, "VACUUM FULL a.t");
    let (one, two) = (of(&one), of(&other));
    assert_eq!(one.differences(&two), Vec::<String>::new());
    assert_eq!(one, two);
    assert_eq!(one.counts()["a.\"no columns\""], 2);
    assert_eq!((one.sequences["a.q"].as_str(), one.sequences["a.fresh"].as_str()), ("1 given out", "7 next"));
    let json = serde_json::to_string(&one).unwrap();
    assert_eq!(serde_json::from_str::<Fingerprint>(&json).unwrap(), one);
    // Our own schema, other schemas and what a materialized view holds are no part of it.
    server.run(late, "INSERT INTO public.other VALUES (1); REFRESH MATERIALIZED VIEW a.mv");
    let mut client = writer(&other);
    let mut transaction = client.transaction().unwrap();
    add(&mut transaction, &row("r")).unwrap();
    transaction.commit().unwrap();
    assert_eq!(of(&other), two);
}

#[test]
fn every_change_shows_and_is_named() {
    let server = server();
    let database = server.database(DATA);
    for (change, named) in [
        ("INSERT INTO a.empty VALUES (1)", "table a.empty has 0 rows in the first and 1 in the second"),
        ("UPDATE a.t SET s = NULL WHERE id = 1", "table a.t has 2 rows in both, and some differ"),
        ("UPDATE a.t SET n = 1.00 WHERE id = 1", "some differ"),
        ("UPDATE a.t SET j = '{\"b\": 1, \"a\":2}' WHERE id = 1", "some differ"),
        ("UPDATE a.t SET ms = '{y,x}' WHERE id = 1", "some differ"),
        ("UPDATE a.t SET c = '(1,y)' WHERE id = 1", "some differ"),
        ("UPDATE a.t SET r = 'a.p' WHERE id = 1", "some differ"),
        ("UPDATE a.t SET acl = makeaclitem(10, 10, 'SELECT', false) WHERE id = 1", "some differ"),
        ("INSERT INTO a.p VALUES (1)", "table a.p1 has 1 rows"),
        (
            "SELECT nextval('a.q')",
            "sequence a.q stands at 1 given out in the first and 2 given out in the second",
        ),
        ("SELECT setval('a.fresh', 7)", "sequence a.fresh stands at 7 next"),
        ("ALTER TABLE a.empty ADD y int", "only in the second: column a.empty.y 2 integer"),
        ("GRANT SELECT ON a.t TO PUBLIC", "only in the first: table a.t"),
        ("DROP TABLE a.empty", "only in the first: table a.empty"),
    ] {
        let before = of(&database);
        server.run(&database.address().dbname, change);
        let lines = before.differences(&of(&database));
        assert!(lines.iter().any(|line| line.contains(named)), "{change}: {lines:#?}");
    }
    let absent = Fingerprint::read(&database, &["none".to_owned()], &Tell::quiet()).unwrap();
    assert!(absent.is_absent());
    server.run(&database.address().dbname, "CREATE SCHEMA none");
    let empty = Fingerprint::read(&database, &["none".to_owned()], &Tell::quiet()).unwrap();
    assert!(!empty.is_absent() && absent.differences(&empty).len() == 1);
}

#[test]
fn a_large_table_is_read_in_parts_and_counts_the_same() {
    let server = server();
    let database = server.database(
        "CREATE SCHEMA a; CREATE TABLE a.big AS SELECT n, repeat('x', 1000) AS s FROM generate_series(1, 150000) AS g(n)",
    );
    let found = of(&database);
    assert_eq!(found.counts()["a.big"], 150_000);
    let mut client = writer(&database);
    let size: i64 = value(&mut client, "SELECT pg_relation_size('a.big')").parse().unwrap();
    assert!(size > 2 * (64 << 20), "{size}");
    client.execute("DELETE FROM a.big WHERE n = 77777", &[]).unwrap();
    client.execute("INSERT INTO a.big VALUES (77777, repeat('x', 1000))", &[]).unwrap();
    assert_eq!(of(&database), found, "where a row lies does not matter");
}

#[test]
fn a_stop_and_a_hidden_row_are_said() {
    let server = server();
    let database = server.database(
        "CREATE ROLE hidden LOGIN; CREATE SCHEMA a AUTHORIZATION hidden; CREATE TABLE a.t (x int); ALTER TABLE a.t ENABLE ROW LEVEL SECURITY; \
         GRANT SELECT ON a.t TO hidden",
    );
    let stop = Arc::new(AtomicBool::new(true));
    let tell = Tell::new(Arc::new(|_| ()), stop, Arc::new(Faults::none()));
    let error = Fingerprint::read(&database, &schemas(), &tell).unwrap_err();
    assert_eq!(error.halt(), Some(Halt::Interrupted));
    let error =
        Fingerprint::read(&server.as_user(&database, "hidden"), &schemas(), &Tell::quiet()).unwrap_err();
    assert!(matches!(&error, FingerprintError::Table { table, .. } if table == "a.t"), "{error}");
}

#[test]
fn rows_of_others_are_told_from_ours() {
    let server = server();
    let database = server.database(
        "CREATE SCHEMA a; CREATE TABLE a.t (id int PRIMARY KEY, s text); INSERT INTO a.t SELECT n, 'old' FROM generate_series(1, 10) AS g(n); \
         CREATE TABLE a.u (x int); INSERT INTO a.u VALUES (1); CREATE TABLE a.v (x int); INSERT INTO a.v VALUES (1)",
    );
    let name = database.address().dbname.clone();
    let before = baseline(&mut reader(&database), &schemas()).unwrap();
    let look = || foreign(&mut reader(&database), &schemas(), &before, "r").unwrap();
    assert_eq!(look(), Vec::<String>::new());
    let mut client = writer(&database);
    // Ours: in a part of a transaction as well, which has a number of its own, and in several transactions of one step.
    script(&mut client, "INSERT INTO a.t VALUES (11, 'ours')");
    script(
        &mut client,
        "DO $$ BEGIN INSERT INTO a.t VALUES (12, 'inner'); BEGIN INSERT INTO a.t VALUES (13, 'part'); EXCEPTION WHEN others THEN NULL; END; \
         BEGIN INSERT INTO a.t VALUES (13, 'clash'); EXCEPTION WHEN others THEN NULL; END; END $$; UPDATE a.u SET x = 2; CREATE TABLE a.w AS SELECT 1 AS y",
    );
    assert_eq!(look(), Vec::<String>::new());
    server
        .run(&name, "INSERT INTO a.t VALUES (20, 'foreign'), (21, 'foreign'); DELETE FROM a.t WHERE id = 3");
    assert_eq!(look(), ["a.t: 2 rows written and 1 row deleted or replaced by others"]);
    server.run(&name, "UPDATE a.u SET x = 3; DELETE FROM a.v");
    assert_eq!(
        look()[1..],
        ["a.u: 1 row written by others".to_owned(), "a.v: 1 row deleted by others".to_owned()]
    );
    server.run(&name, "DROP TABLE a.v");
    assert_eq!(look().last().unwrap(), "a.v: dropped or renamed by others");
    // Another run is another hand.
    assert!(
        foreign(&mut reader(&database), &schemas(), &before, "other")
            .unwrap()
            .iter()
            .any(|line| line.starts_with("a.w: 1 row"))
    );
}

#[test]
fn a_transaction_at_work_during_the_baseline_is_foreign_when_it_ends() {
    let server = server();
    let database = server.database("CREATE SCHEMA a; CREATE TABLE a.t (x int)");
    let (mut other, mut early) = (writer(&database), writer(&database));
    let mut open = other.transaction().unwrap();
    open.execute("INSERT INTO a.t VALUES (1)", &[]).unwrap();
    early.execute("INSERT INTO a.t VALUES (2)", &[]).unwrap();
    let before = baseline(&mut reader(&database), &schemas()).unwrap();
    open.commit().unwrap();
    let found = foreign(&mut reader(&database), &schemas(), &before, "r").unwrap();
    assert_eq!(found, ["a.t: 1 row written by others"]);
}
