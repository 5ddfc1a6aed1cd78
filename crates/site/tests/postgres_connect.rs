//! Connections to a real server of our own.
#![allow(clippy::unwrap_used)]

mod postgres_common;

use postgres_common::pgbouncer::Pgbouncer;
use postgres_common::pooler::{self, Order};
use postgres_common::{reader, server, value, writer};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use switchback_site::postgres::{
    Access, Database, LockError, OpenError, Proven, Rights, backup, leftovers, outsiders, prove, restore,
    said, take, watched,
};
use switchback_site::{Faults, Tell};

#[test]
fn a_read_only_session_cannot_write_and_sees_no_unqualified_name() {
    let server = server();
    let database = server.database("CREATE TABLE public.t (a int)");
    let mut reader = reader(&database);
    assert!(reader.execute("INSERT INTO public.t VALUES (1)", &[]).is_err());
    assert!(reader.query("SELECT * FROM t", &[]).is_err());
    assert_eq!(reader.query("SELECT * FROM public.t", &[]).unwrap().len(), 0);
}

#[test]
fn no_limit_of_the_role_ends_a_session_of_ours() {
    let server = server();
    let database = server.database(
        "CREATE ROLE hasty LOGIN; ALTER ROLE hasty SET statement_timeout = '10ms'; ALTER ROLE hasty SET datestyle = 'German'; \
         ALTER ROLE hasty SET search_path = public; ALTER ROLE hasty SET idle_in_transaction_session_timeout = '10ms'",
    );
    let mut client = writer(&server.as_user(&database, "hasty"));
    client.batch_execute("SELECT pg_sleep(0.05)").unwrap();
    assert_eq!(value(&mut client, "current_setting('search_path')"), "\"\"");
    assert_eq!(value(&mut client, "date '2024-12-31'"), "2024-12-31");
    // The server looks by itself whether we are still there.
    assert_eq!(value(&mut client, "current_setting('client_connection_check_interval')"), "2s");
}

#[test]
fn a_stop_cancels_the_statement_on_the_server_and_waits_for_its_end() {
    let server = server();
    let database = server.database("");
    let mut client = writer(&database);
    let stop = Arc::new(AtomicBool::new(false));
    let tell = Tell::new(Arc::new(|_| ()), stop.clone(), Arc::new(Faults::none()));
    let clock = Instant::now();
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(100));
            stop.store(true, Ordering::Relaxed);
        });
        watched(&mut client, &tell, |client| client.batch_execute("SELECT pg_sleep(30)"))
    });
    assert!(said(&result.unwrap_err()).contains("canceling statement"));
    assert!(clock.elapsed() < Duration::from_secs(10));
    // Without a stop nothing is waited for.
    let clock = Instant::now();
    for _ in 0..20 {
        watched(&mut client, &Tell::quiet(), |client| client.batch_execute("")).unwrap();
    }
    assert!(clock.elapsed() < Duration::from_millis(900), "{:?}", clock.elapsed());
}

#[test]
fn a_pooler_that_hands_sessions_over_is_refused_and_one_that_does_not_is_no_obstacle() {
    let server = server();
    for (order, fine) in [(Order::First, false), (Order::Round, false), (Order::Own, true)] {
        let port = pooler::start(server.cluster.port(), "postgres", order);
        let url = format!("postgres://postgres@127.0.0.1:{port}/postgres?sslmode=disable");
        let database = Database::parse(&url).unwrap();
        match database.connect("test", switchback_site::postgres::Access::ReadOnly) {
            Err(OpenError::Pooled { place }) => assert!(!fine && place.contains(&port.to_string())),
            Err(other) => panic!("{other}"),
            Ok(mut client) => assert!(fine && client.query("SELECT 1", &[]).is_ok()),
        }
    }
}

#[test]
fn the_real_pgbouncer_is_refused_unless_it_keeps_sessions_apart() {
    let server = server();
    let database =
        server.database("CREATE SCHEMA app; CREATE TABLE app.t AS SELECT generate_series(1, 9) AS a");
    let (name, schemas) = (database.address().dbname.clone(), vec!["app".to_owned()]);
    let start = |mode: &str| {
        let folder = server.folder.path().join(format!("pgbouncer {mode}"));
        Pgbouncer::start(&folder, server.cluster.folder(), server.cluster.port(), mode)
    };
    for mode in ["transaction", "statement"] {
        let pooler = start(mode);
        // Also where it has served others, and has sessions to give away.
        for _ in 0..2 {
            let error = pooler.to(&name).connect("test", Access::ReadOnly).err().unwrap();
            assert!(matches!(error, OpenError::Pooled { .. }), "{mode}: {error}");
            assert!(error.to_string().contains("give the address of the server itself"), "{error}");
        }
    }
    // In session mode everything works: sessions, locks, and the tools, the proof included.
    let pooler = start("session");
    let through = pooler.to(&name);
    let lock = take(&through, "run", &Tell::quiet()).unwrap();
    assert!(matches!(take(&database, "other", &Tell::quiet()), Err(LockError::Held { .. })));
    let dir = server.folder.path().join("through a pool");
    let report = backup(&through, &schemas, &dir, "run", &Tell::quiet()).unwrap();
    assert_eq!(prove(&through, &dir, &report, "run", &Tell::quiet()).unwrap(), Proven::Restored);
    assert!(leftovers(&database, "run").unwrap().is_empty());
    server.run(&name, "DROP TABLE app.t");
    restore(&dir, &through, &schemas, &report.fingerprint, "run", &Tell::quiet()).unwrap();
    assert_eq!(value(&mut reader(&database), "SELECT count(*) FROM app.t"), "9");
    drop(lock);
}

#[test]
fn a_session_set_up_through_a_pooler_leaves_the_others_alone() {
    let server = server();
    let port = pooler::start(server.cluster.port(), "postgres", Order::First);
    let database =
        Database::parse(&format!("postgres://postgres@127.0.0.1:{port}/postgres?sslmode=disable")).unwrap();
    assert!(database.connect("test", switchback_site::postgres::Access::ReadOnly).is_err());
    // The pool's sessions have the settings they had.
    let mut other = postgres::Client::connect(
        &format!("postgres://postgres@127.0.0.1:{port}/postgres?sslmode=disable"),
        postgres::NoTls,
    )
    .unwrap();
    let path: String = other.query_one("SELECT current_setting('search_path')", &[]).unwrap().get(0);
    assert_eq!(path, "\"$user\", public");
}

#[test]
fn an_unreachable_server_is_named_without_its_password() {
    let mut address = server().named("nope").address().clone();
    address.dbname = "no such".to_owned();
    let error =
        Database::at(address).connect("test", switchback_site::postgres::Access::ReadOnly).err().unwrap();
    let text = error.to_string();
    assert!(
        text.starts_with("connect to 127.0.0.1:") && text.contains("\"no such\" does not exist"),
        "{text}"
    );
}

#[test]
fn sessions_of_others_are_seen_by_a_user_who_may_not_look_into_them() {
    let server = server();
    let database = server.database("CREATE ROLE onlooker LOGIN; CREATE ROLE busy LOGIN");
    let _busy = server.as_user(&database, "busy").connect("a worker", Access::ReadOnly).unwrap();
    let found = outsiders(&mut reader(&server.as_user(&database, "onlooker")), &[]).unwrap();
    assert!(found.sessions.iter().any(|line| line.contains("of busy (a worker)")), "{:?}", found.sessions);
}

#[test]
fn rights_of_a_plain_user_on_a_managed_server_are_seen() {
    let server = server();
    let database = server.database(
        "CREATE ROLE plain LOGIN; CREATE SCHEMA mine AUTHORIZATION plain; CREATE TABLE mine.theirs (); \
         CREATE SCHEMA \"O'Brien \"\"lab\"\"\"",
    );
    let schemas = ["mine".to_owned(), "O'Brien \"lab\"".to_owned(), "absent".to_owned()];
    let rights = Rights::of(&mut reader(&server.as_user(&database, "plain")), &schemas).unwrap();
    assert_eq!(
        (rights.user.as_str(), rights.superuser, rights.createdb, rights.create),
        ("plain", false, false, false)
    );
    assert!(!rights.owns_database && !rights.signal && !rights.sees_all_rows && !rights.standby);
    let mine = rights.schemas["mine"];
    assert!(mine.exists && mine.owns && mine.create && mine.of_others == 1, "{mine:?}");
    let lab = rights.schemas["O'Brien \"lab\""];
    assert!(lab.exists && !lab.owns && !lab.usage);
    assert!(!rights.schemas["absent"].exists);
    let rights = Rights::of(&mut reader(&database), &[]).unwrap();
    assert!(rights.superuser && rights.createdb && rights.create && rights.signal && rights.server >= 13);
}
