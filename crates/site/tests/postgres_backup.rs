//! Backups, their proof, and the way back.
#![allow(clippy::unwrap_used)]

mod postgres_common;

use postgres_common::everything::{EVERYTHING, LAB};
use postgres_common::{server, value, writer};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use switchback_site::postgres::backup::is_private;
use switchback_site::postgres::ledger::{LedgerRow, add, has};
use switchback_site::postgres::{
    BackupError, Database, Fingerprint, Proven, RestoreError, Restored, ToolError, backup, leftovers,
    note_proof, prove, read_backup, readiness, restore,
};
use switchback_site::{Failure, Faults, Halt, Tell};

const ROWS: &str = r#"
INSERT INTO parents ("Na""me", status, p) SELECT 'n' || n, 'a', n FROM generate_series(1, 500) AS g(n);
INSERT INTO parents ("Na""me") VALUES (E'tab\t, back\\slash,\n\\.\nline'), ('');
INSERT INTO children (parent, next) SELECT n, n FROM generate_series(1, 100) AS g(n);
INSERT INTO measured VALUES ('2024-05-05', 'NaN'), ('2024-05-06', '-Infinity'); REFRESH MATERIALIZED VIEW kept;
CREATE TABLE "no columns" (); INSERT INTO "no columns" DEFAULT VALUES; SELECT nextval('lonely');
CREATE SCHEMA outside; CREATE TABLE outside.t (x int); INSERT INTO outside.t VALUES (1); CREATE VIEW outside.v AS SELECT * FROM outside.t;
"#;

/// What an upgrade that went wrong may leave.
const HAVOC: &str = r#"
SET search_path = "O'Brien ""lab""";
DROP VIEW seen CASCADE; ALTER TABLE parents RENAME TO elders; DELETE FROM children WHERE id > 50; DROP TYPE pair; DROP SEQUENCE lonely;
CREATE TABLE new (x mood); CREATE FUNCTION fresh(new) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE DOMAIN d2 AS posint; CREATE TYPE e2 AS ENUM ('q');
CREATE OR REPLACE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE OPERATOR === (leftarg = int, rightarg = int, function = int4eq); CREATE COLLATION coll FROM "C"; CREATE AGGREGATE more(int) (sfunc = int4pl, stype = int);
ALTER SCHEMA "O'Brien ""lab""" OWNER TO pg_monitor; COMMENT ON SCHEMA "O'Brien ""lab""" IS NULL; GRANT ALL ON SCHEMA "O'Brien ""lab""" TO pg_read_all_data;
ALTER DEFAULT PRIVILEGES IN SCHEMA "O'Brien ""lab""" GRANT ALL ON TABLES TO pg_read_all_stats; SELECT setval('children_id_seq', 9999);
"#;

fn lab() -> Vec<String> {
    vec![LAB.to_owned()]
}

fn quiet() -> Tell {
    Tell::quiet()
}

fn now(database: &Database, schemas: &[String]) -> Fingerprint {
    Fingerprint::read(database, schemas, &quiet()).unwrap()
}

/// A run of its own: what others leave on the server for a moment is not its.
const OWN: &str = "a run of its own";

#[test]
fn a_backup_is_proven_by_a_restore_and_brings_everything_back() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let database = server.database(&format!("{EVERYTHING} {ROWS}"));
    let dir = folder.path().join("backup");
    let report = backup(&database, &lab(), &dir, OWN, &quiet()).unwrap();
    assert!(is_private(&dir) && report.bytes > 0 && report.tool.major >= 13);
    assert_eq!(report.rows["\"O'Brien \"\"lab\"\"\".parents"], 502);
    assert!(matches!(report.proven, Proven::Listed(_)));
    let proven = prove(&database, &dir, &report, OWN, &quiet()).unwrap();
    assert_eq!(proven, Proven::Restored);
    assert_eq!(leftovers(&database, OWN).unwrap(), Vec::<String>::new());
    note_proof(&dir, &proven).unwrap();
    assert_eq!(read_backup(&dir).unwrap().proven, Proven::Restored);
    // Again is a repeat.
    assert_eq!(backup(&database, &lab(), &dir, OWN, &quiet()).unwrap().fingerprint, report.fingerprint);

    let outside = now(&database, &["outside".to_owned(), "public".to_owned()]);
    server.run(&database.address().dbname, HAVOC);
    assert!(matches!(backup(&database, &lab(), &dir, OWN, &quiet()), Err(BackupError::Exists { .. })));
    let mut client = writer(&database);
    for run in [OWN, "other"] {
        let text = |text: &str| text.to_owned();
        let row = LedgerRow {
            run: text(run),
            step: text("s"),
            at: text("x"),
            state_dir: text("x"),
            note: text(""),
        };
        let mut transaction = client.transaction().unwrap();
        add(&mut transaction, &row).unwrap();
        transaction.commit().unwrap();
    }
    let restored = restore(&dir, &database, &lab(), &report.fingerprint, OWN, &quiet()).unwrap();
    assert_eq!(restored, Restored::Replaced);
    assert_eq!(report.fingerprint.differences(&now(&database, &lab())), Vec::<String>::new());
    assert_eq!(now(&database, &["outside".to_owned(), "public".to_owned()]), outside);
    assert!(!has(&mut client, OWN, "s").unwrap() && has(&mut client, "other", "s").unwrap());
    let restored = restore(&dir, &database, &lab(), &report.fingerprint, OWN, &quiet()).unwrap();
    assert_eq!(restored, Restored::AlreadyThere);
}

#[test]
fn a_schema_that_was_absent_goes_and_one_that_was_empty_is_emptied() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let database = server.database("CREATE SCHEMA \"emp ty\"");
    let schemas = ["absent".to_owned(), "emp ty".to_owned()];
    let (dir, nothing) = (folder.path().join("a"), folder.path().join("b"));
    let report = backup(&database, &schemas, &dir, "run", &quiet()).unwrap();
    let alone = backup(&database, &schemas[..1], &nothing, "run", &quiet()).unwrap();
    assert!(alone.fingerprint.is_absent() && alone.bytes == 0);
    assert!(matches!(prove(&database, &nothing, &alone, "run", &quiet()).unwrap(), Proven::Listed(_)));
    let fill = "CREATE SCHEMA absent; CREATE TABLE absent.t (x int); CREATE TABLE \"emp ty\".t (x int); \
                CREATE TYPE \"emp ty\".e AS ENUM ()";
    server.run(&database.address().dbname, fill);
    restore(&dir, &database, &schemas, &report.fingerprint, "run", &quiet()).unwrap();
    assert_eq!(now(&database, &schemas), report.fingerprint);
    server.run(&database.address().dbname, "CREATE SCHEMA absent; CREATE TABLE absent.t (x int)");
    restore(&nothing, &database, &schemas[..1], &alone.fingerprint, "run", &quiet()).unwrap();
    assert!(now(&database, &schemas[..1]).is_absent());
}

#[test]
fn public_with_its_rights_is_no_exception() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let database = server.database(
        "CREATE TABLE public.t (x int); REVOKE ALL ON SCHEMA public FROM PUBLIC; \
         GRANT CREATE ON SCHEMA public TO pg_monitor WITH GRANT OPTION; CREATE SCHEMA other; CREATE TABLE other.o (x int)",
    );
    let (schemas, dir) = (["public".to_owned()], folder.path().join("a"));
    let report = backup(&database, &schemas, &dir, "run", &quiet()).unwrap();
    assert_eq!(prove(&database, &dir, &report, "run", &quiet()).unwrap(), Proven::Restored);
    server.run(&database.address().dbname, "DROP SCHEMA public CASCADE");
    restore(&dir, &database, &schemas, &report.fingerprint, "run", &quiet()).unwrap();
    assert_eq!(report.fingerprint.differences(&now(&database, &schemas)), Vec::<String>::new());
}

#[test]
fn what_leans_in_from_outside_refuses_the_restore_and_nothing_is_changed() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let database =
        server.database("CREATE SCHEMA a; CREATE TABLE a.t (id int PRIMARY KEY); INSERT INTO a.t VALUES (1)");
    let (schemas, dir) = (["a".to_owned()], folder.path().join("a"));
    let both = ["a".to_owned(), "public".to_owned()];
    let report = backup(&database, &schemas, &dir, "run", &quiet()).unwrap();
    server.run(
        &database.address().dbname,
        "INSERT INTO a.t VALUES (2); CREATE TABLE public.leans (t int REFERENCES a.t)",
    );
    let before = now(&database, &both);
    let error = restore(&dir, &database, &schemas, &report.fingerprint, "run", &quiet()).unwrap_err();
    assert!(matches!(&error, RestoreError::Outsiders { .. }), "{error}");
    assert!(error.to_string().contains("leans_t_fkey"), "{error}");
    assert_eq!(now(&database, &both), before);
    // A backup of something else is not put back.
    let other = now(&database, &both[1..]);
    let refused = restore(&dir, &database, &schemas, &other, "run", &quiet());
    assert!(matches!(refused, Err(RestoreError::Another { .. })));
}

#[test]
fn a_cut_anywhere_leaves_all_or_nothing_and_a_repeat_finishes() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let database =
        server.database("CREATE SCHEMA a; CREATE TABLE a.t AS SELECT n FROM generate_series(1, 100) AS g(n)");
    let (schemas, dir) = (["a".to_owned()], folder.path().join("a"));
    let cut_at = |cut| Tell::with_faults(Arc::new(Faults::cut(cut)));
    let report = (1..)
        .find_map(|cut| match backup(&database, &schemas, &dir, "run", &cut_at(cut)) {
            Ok(report) => Some(report),
            Err(error) => {
                assert_eq!(error.halt(), Some(Halt::Cut));
                assert!(!dir.exists() || read_backup(&dir).is_ok());
                None
            }
        })
        .unwrap();
    assert!(!dir.with_extension("partial").exists());
    server.run(&database.address().dbname, "DROP TABLE a.t; CREATE VIEW a.w AS SELECT 1 AS x");
    let wrecked = now(&database, &schemas);
    let mut cuts = 0;
    for cut in 1.. {
        match restore(&dir, &database, &schemas, &report.fingerprint, "run", &cut_at(cut)) {
            Ok(_) => break,
            Err(error) => {
                assert_eq!(error.halt(), Some(Halt::Cut));
                let found = now(&database, &schemas);
                assert!(found == wrecked || found == report.fingerprint);
                cuts += 1;
            }
        }
    }
    assert!(cuts >= 3);
    assert_eq!(now(&database, &schemas), report.fingerprint);
}

#[test]
fn a_load_that_is_killed_on_the_server_is_taken_back() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let database = server.database(
        "CREATE SCHEMA a; CREATE TABLE a.t AS SELECT n, repeat('x', 500) AS s FROM generate_series(1, 60000) AS g(n)",
    );
    let (schemas, dir) = (["a".to_owned()], folder.path().join("a"));
    let report = backup(&database, &schemas, &dir, "killed", &quiet()).unwrap();
    server.run(&database.address().dbname, "DELETE FROM a.t WHERE n > 5");
    let wrecked = now(&database, &schemas);
    let kill =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'switchback killed'";
    let mut refused = 0;
    for delay in [150, 250, 350, 500, 800] {
        let result = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(delay));
                server.run("postgres", kill);
            });
            restore(&dir, &database, &schemas, &report.fingerprint, "killed", &quiet())
        });
        let found = now(&database, &schemas);
        match result {
            Ok(_) => assert_eq!(found, report.fingerprint),
            Err(error) => {
                refused += 1;
                assert!(found == wrecked || found == report.fingerprint, "{error}");
            }
        }
        server.run(&database.address().dbname, "DELETE FROM a.t WHERE n > 5");
    }
    assert!(refused < 6);
    restore(&dir, &database, &schemas, &report.fingerprint, "killed", &quiet()).unwrap();
    assert_eq!(now(&database, &schemas), report.fingerprint);
}

#[test]
fn an_interrupted_load_is_taken_back() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let database = server.database("CREATE SCHEMA a; CREATE TABLE a.t (x int)");
    let (schemas, dir) = (["a".to_owned()], folder.path().join("a"));
    let report = backup(&database, &schemas, &dir, "run", &quiet()).unwrap();
    server.run(&database.address().dbname, "INSERT INTO a.t VALUES (1)");
    let mut other = writer(&database);
    let mut reading = other.transaction().unwrap();
    reading.query("SELECT * FROM a.t", &[]).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let tell = Tell::new(Arc::new(|_| ()), stop.clone(), Arc::new(Faults::none()));
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(700));
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        restore(&dir, &database, &schemas, &report.fingerprint, "run", &tell)
    });
    assert_eq!(result.unwrap_err().halt(), Some(Halt::Interrupted));
    reading.rollback().unwrap();
    assert_eq!(value(&mut other, "SELECT count(*) FROM a.t"), "1");
}

#[test]
fn a_plain_owner_on_a_managed_server_backs_up_and_restores() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let database = server.database(
        "CREATE ROLE keeper LOGIN; CREATE SCHEMA a AUTHORIZATION keeper; SET ROLE keeper; \
         CREATE TABLE a.t (id serial PRIMARY KEY, s varchar(5) CHECK (s IN ('x', 'y'))); INSERT INTO a.t (s) VALUES ('x'); \
         GRANT SELECT ON a.t TO pg_monitor",
    );
    let database = server.as_user(&database, "keeper");
    let (schemas, dir) = (["a".to_owned()], folder.path().join("a"));
    let report = backup(&database, &schemas, &dir, "run", &quiet()).unwrap();
    let Proven::Listed(why) = prove(&database, &dir, &report, "run", &quiet()).unwrap() else { panic!() };
    assert!(why.contains("may not create databases") || why.contains("cannot be seen"), "{why}");
    server.run(&database.address().dbname, "SET ROLE keeper; DROP TABLE a.t; CREATE TABLE a.u (x int)");
    restore(&dir, &database, &schemas, &report.fingerprint, "run", &quiet()).unwrap();
    assert_eq!(report.fingerprint.differences(&now(&database, &schemas)), Vec::<String>::new());
}

#[test]
fn who_reads_what_is_to_be_dropped_is_waited_for() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let database = server.database("CREATE SCHEMA a; CREATE TABLE a.t (x int)");
    let (schemas, dir) = (["a".to_owned()], folder.path().join("a"));
    let report = backup(&database, &schemas, &dir, "run", &quiet()).unwrap();
    server.run(&database.address().dbname, "INSERT INTO a.t VALUES (1)");
    let mut other = writer(&database);
    let mut reading = other.transaction().unwrap();
    reading.query("SELECT * FROM a.t", &[]).unwrap();
    std::thread::scope(|scope| {
        let work = scope.spawn(|| restore(&dir, &database, &schemas, &report.fingerprint, "run", &quiet()));
        std::thread::sleep(Duration::from_millis(1500));
        assert!(!work.is_finished());
        reading.rollback().unwrap();
        assert_eq!(work.join().unwrap().unwrap(), Restored::Replaced);
    });
    assert_eq!(value(&mut other, "SELECT count(*) FROM a.t"), "0");
}

#[test]
fn a_damaged_backup_is_found_and_not_put_back() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let database = server
        .database("CREATE SCHEMA a; CREATE TABLE a.t AS SELECT n FROM generate_series(1, 1000) AS g(n)");
    let (schemas, dir) = (["a".to_owned()], folder.path().join("a"));
    let report = backup(&database, &schemas, &dir, "run", &quiet()).unwrap();
    server.run(&database.address().dbname, "INSERT INTO a.t VALUES (0)");
    let before = now(&database, &schemas);
    let files = std::fs::read_dir(dir.join("dump")).unwrap().map(|entry| entry.unwrap().path());
    let data: Vec<_> = files.filter(|path| path.extension().is_some_and(|ending| ending == "gz")).collect();
    let bytes = std::fs::read(&data[0]).unwrap();
    std::fs::write(&data[0], &bytes[..bytes.len() / 2]).unwrap();
    let error = restore(&dir, &database, &schemas, &report.fingerprint, "run", &quiet()).unwrap_err();
    assert!(matches!(error, RestoreError::Tool(ToolError::Failed { .. })), "{error}");
    assert_eq!(now(&database, &schemas), before);
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 2, "the dump and what it says of itself");
    assert!(prove(&database, &dir, &report, "run", &quiet()).is_err());
    assert_eq!(leftovers(&database, "run").unwrap(), Vec::<String>::new());
    std::fs::remove_file(dir.join("switchback.json")).unwrap();
    assert!(matches!(read_backup(&dir), Err(BackupError::Unreadable { .. })));
}

#[test]
fn what_would_refuse_a_restore_is_known_beforehand() {
    let server = server();
    let database = server.database(
        "CREATE ROLE ready LOGIN; CREATE SCHEMA a AUTHORIZATION ready; CREATE TABLE a.theirs (x int PRIMARY KEY)",
    );
    let schemas = ["a".to_owned(), "absent".to_owned()];
    let ready = readiness(&database, &schemas).unwrap();
    assert_eq!(ready.obstacles, Vec::<String>::new());
    assert!(ready.tools.major >= ready.rights.server);
    server.run(
        &database.address().dbname,
        "CREATE TABLE public.leans (x int REFERENCES a.theirs); ALTER DEFAULT PRIVILEGES FOR ROLE ready GRANT SELECT ON TABLES TO PUBLIC",
    );
    let found = readiness(&server.as_user(&database, "ready"), &schemas).unwrap().obstacles.join("\n");
    for wanted in [
        "leans_x_fkey",
        "1 object of the schema a belong to others",
        "may not make schemas",
        "default privileges",
    ] {
        assert!(found.contains(wanted), "{wanted}: {found}");
    }
}
