//! Questions and their answers, in every type.
#![allow(clippy::unwrap_used)]

mod postgres_common;

use postgres_common::{server, value, writer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use switchback_labs::cluster::{Cluster, Durability};
use switchback_site::postgres::{AskError, Client, Database, Fingerprint, query};
use switchback_site::{Answer, Faults, Halt, Tell};

fn rows(client: &mut Client, sql: &str, params: &[(&str, Value)]) -> Vec<Vec<Value>> {
    let params = params.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    match query(client, sql, &params, &Tell::quiet()).unwrap() {
        Answer::Rows(rows, all) => {
            assert!(all.count >= rows.len() as u64);
            rows
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_type_is_shown_in_full() {
    let server = server();
    let mut client = writer(
        &server
            .database("CREATE TYPE public.mood AS ENUM ('a b'); CREATE TYPE public.pair AS (x int, y text)"),
    );
    let sql = "SELECT 1::int2, 2::int4, 9223372036854775807, 0.1234567890123456789::numeric, 'NaN'::float8, 0.1::float4, true, NULL::int, \
               NULL, 'x', 'c'::\"char\", '\\x00ff'::bytea, timestamptz '2024-01-02 03:04:05.678+02', interval '1 day 2h', \
               '{\"b\": 0.10, \"a\":1}'::json, '[1,null]'::jsonb, ARRAY['a,b', NULL], 'a b'::public.mood, (1, 'z')::public.pair, \
               '10.0.0.1'::inet, 1::oid, ''::text, date 'infinity'";
    let found = rows(&mut client, sql, &[]);
    let wanted = json!([
        1,
        2,
        9_223_372_036_854_775_807_i64,
        "0.1234567890123456789",
        "NaN",
        "0.1",
        "true",
        null,
        null,
        "x",
        "c",
        "\\x00ff",
        "2024-01-02 01:04:05.678+00",
        "1 day 02:00:00",
        "{\"b\": 0.10, \"a\":1}",
        "[1, null]",
        "{\"a,b\",NULL}",
        "a b",
        "(1,z)",
        "10.0.0.1/32",
        "1",
        "",
        "infinity"
    ]);
    assert_eq!(json!(found[0]), wanted);
    // Equal and missing column names, an order, and a comment at the end are no trouble.
    assert_eq!(
        rows(
            &mut client,
            "SELECT a, a, a + 1 FROM generate_series(1, 3) AS s(a) ORDER BY a DESC; -- the end",
            &[]
        ),
        [[json!(3), json!(3), json!(4)], [json!(2), json!(2), json!(3)], [json!(1), json!(1), json!(2)]]
    );
}

#[test]
fn values_are_bound_and_never_spliced() {
    let server = server();
    let mut client = writer(&server.database("CREATE TABLE public.t (id bigint, name text, day date)"));
    let name = "O'Brien \"lab\"; DROP TABLE public.t;--";
    client.execute("INSERT INTO public.t VALUES (7, $1, '2024-02-29')", &[&name]).unwrap();
    let found = rows(
        &mut client,
        "SELECT id FROM public.t WHERE name = :name AND id = :id AND day = :day AND :id > 0 AND :none::int IS NULL",
        &[("name", json!(name)), ("id", json!(7)), ("day", json!("2024-02-29")), ("none", Value::Null)],
    );
    assert_eq!(found, [[json!(7)]]);
    assert_eq!(value(&mut client, "SELECT count(*) FROM public.t"), "1");
}

#[test]
fn a_question_changes_nothing_whoever_asks() {
    let server = server();
    let mut client = writer(&server.database("CREATE TABLE public.t (a int); CREATE SEQUENCE public.s"));
    for sql in [
        "DELETE FROM public.t",
        "DELETE FROM public.t RETURNING a",
        "WITH gone AS (DELETE FROM public.t RETURNING a) SELECT * FROM gone",
        "SELECT nextval('public.s')",
        "CREATE TABLE public.u ()",
        "SELECT 1) q; DELETE FROM public.t; SELECT * FROM (SELECT 1",
        "SELECT 1; SELECT 2",
        "",
        "SELECT :unknown",
    ] {
        assert!(query(&mut client, sql, &BTreeMap::new(), &Tell::quiet()).is_err(), "{sql}");
    }
    // The session is of use afterwards.
    assert_eq!(rows(&mut client, "TABLE public.t", &[]), Vec::<Vec<Value>>::new());
    assert_eq!(rows(&mut client, "VALUES (1)", &[]), [[json!(1)]]);
}

#[test]
fn more_than_a_page_is_counted_and_digested() {
    let server = server();
    let mut client = writer(&server.database(""));
    let mut ask = |sql: &str| query(&mut client, sql, &BTreeMap::new(), &Tell::quiet()).unwrap();
    let Answer::Rows(shown, all) = ask("SELECT generate_series(1, 2500)") else { panic!() };
    assert_eq!((shown.len(), all.count), (1000, 2500));
    let Answer::Rows(_, other) =
        ask("SELECT CASE n WHEN 2400 THEN 0 ELSE n END FROM generate_series(1, 2500) AS s(n)")
    else {
        panic!()
    };
    assert_ne!(all.digest, other.digest);
}

#[test]
fn a_stopped_question_ends_on_the_server() {
    let server = server();
    let mut client = writer(&server.database(""));
    let stop = Arc::new(AtomicBool::new(false));
    let tell = Tell::new(Arc::new(|_| ()), stop.clone(), Arc::new(Faults::none()));
    let answer = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(200));
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        query(&mut client, "SELECT pg_sleep(60)::text", &BTreeMap::new(), &tell)
    });
    assert!(matches!(answer, Err(AskError::Halt(Halt::Interrupted))), "{answer:?}");
}

#[test]
fn who_may_not_read_is_told_what_to_grant() {
    let server = server();
    let database =
        server.database("CREATE ROLE \"guest one\" LOGIN; CREATE SCHEMA s; CREATE TABLE s.t (a int)");
    let guest = server.as_user(&database, "guest one");
    let answer = query(&mut writer(&guest), "SELECT a FROM s.t", &BTreeMap::new(), &Tell::quiet());
    let said = answer.unwrap_err().to_string();
    assert!(
        said.contains("permission denied") && said.contains("GRANT pg_read_all_data TO \"guest one\""),
        "{said}"
    );
}

#[test]
fn a_question_over_more_tables_than_the_server_can_lock_says_what_to_set() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(&folder.path().join("cluster"), Durability::None).unwrap();
    let set = |cluster: &mut Cluster, locks: i64| {
        let sql = format!("ALTER SYSTEM SET max_locks_per_transaction = {locks}");
        cluster.connect("postgres").unwrap().batch_execute(&sql).unwrap();
        cluster.stop();
        cluster.restart().unwrap();
    };
    set(&mut cluster, 10);
    let tables: Vec<String> =
        (1..=200).map(|at| format!("CREATE TABLE many.t{at} (id int PRIMARY KEY)")).collect();
    let mut maker = cluster.connect("postgres").unwrap();
    maker.batch_execute("CREATE SCHEMA many").unwrap();
    tables.chunks(50).for_each(|some| maker.batch_execute(&some.join("; ")).unwrap());
    let each: Vec<String> = (1..=200).map(|at| format!("SELECT {at}, id FROM many.t{at}")).collect();
    let sql = each.join(" UNION ALL ");
    let ask = |cluster: &Cluster| {
        let database = Database::parse(&cluster.url("postgres")).unwrap();
        query(&mut writer(&database), &sql, &BTreeMap::new(), &Tell::quiet())
    };
    // The table of locks has some room to grow; somebody else has taken it, and leaves enough to come in and to look.
    let full = maker.execute("SELECT pg_advisory_lock(n) FROM generate_series(1, 1000000) n", &[]);
    assert!(full.unwrap_err().as_db_error().unwrap().message().contains("out of shared memory"));
    maker.batch_execute("SELECT pg_advisory_unlock(n) FROM generate_series(1, 200) n").unwrap();
    let error = ask(&cluster).unwrap_err();
    let said = error.to_string();
    let AskError::Locks { tables: 400.., room: 600, now: 10, wanted } = error else { panic!("{said}") };
    assert!(said.contains(&format!("set max_locks_per_transaction to {wanted}")), "{said}");
    drop(maker);
    // What reads all of a database by itself does so in parts, and needs little room.
    let database = Database::parse(&cluster.url("postgres")).unwrap();
    let found = Fingerprint::read(&database, &["many".to_owned()], &Tell::quiet()).unwrap();
    assert_eq!(found.tables.len(), 200);
    set(&mut cluster, wanted);
    assert!(ask(&cluster).is_ok());
}
