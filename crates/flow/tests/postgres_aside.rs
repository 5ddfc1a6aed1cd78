//! Indexes and foreign keys that are taken down for a load come back as they were, or the move says why not.
#![allow(clippy::unwrap_used)]

mod postgres_common;

use std::sync::Arc;

use postgres_common::*;
use switchback_flow::{End, FlowError, Indexes, Options, Report, TableMove};
use switchback_site::postgres::Fingerprint;
use switchback_site::tell::{Failure, Faults, Halt, Tell};

const OLD: &str = "CREATE SCHEMA old;
    CREATE TABLE old.big (id bigint PRIMARY KEY, up bigint, name text, tags int[], day date);
    INSERT INTO old.big SELECT i, nullif((i * 7) % 600, 0), 'name ' || i, ARRAY[i % 5, i % 7], '2026-01-01'::date + i FROM generate_series(1, 600) i;
    CREATE TABLE old.small (id int, big bigint, note text); INSERT INTO old.small SELECT i, i * 3, 'n' FROM generate_series(1, 9) i;";

/// What is hard to bring back: options, places, marks, comments, targets of statistics, keys that refer to one another.
const NEW: &str = r#"CREATE SCHEMA new;
    CREATE TABLE new."big ""one""; DROP" (id bigint, up bigint, name text NOT NULL, tags int[], day date, PRIMARY KEY (id) INCLUDE (day) WITH (fillfactor = 70) USING INDEX TABLESPACE fast);
    COMMENT ON CONSTRAINT "big ""one""; DROP_pkey" ON new."big ""one""; DROP" IS 'it''s the key';
    ALTER TABLE new."big ""one""; DROP" ADD CONSTRAINT named UNIQUE (name) DEFERRABLE INITIALLY DEFERRED;
    COMMENT ON INDEX new.named IS 'the index';
    ALTER TABLE new."big ""one""; DROP" ADD CONSTRAINT up FOREIGN KEY (up) REFERENCES new."big ""one""; DROP" ON DELETE SET NULL DEFERRABLE;
    COMMENT ON CONSTRAINT up ON new."big ""one""; DROP" IS 'who is above';
    CREATE INDEX "odd; --" ON new."big ""one""; DROP" (lower(name) COLLATE "C" DESC NULLS LAST, (id % 7)) WHERE id > 3;
    ALTER INDEX new."odd; --" ALTER COLUMN 2 SET STATISTICS 77;
    CREATE INDEX tags ON new."big ""one""; DROP" USING gin (tags) WITH (fastupdate = off);
    CREATE INDEX days ON new."big ""one""; DROP" USING brin (day) TABLESPACE fast;
    COMMENT ON INDEX new.days IS 'days';
    CREATE UNIQUE INDEX told ON new."big ""one""; DROP" (id, name);
    ALTER TABLE new."big ""one""; DROP" REPLICA IDENTITY USING INDEX told;
    ALTER TABLE new."big ""one""; DROP" CLUSTER ON named;
    CREATE TABLE new.small (id int PRIMARY KEY, big bigint REFERENCES new."big ""one""; DROP", note text);
    ALTER TABLE new.small ADD CONSTRAINT later FOREIGN KEY (big) REFERENCES new."big ""one""; DROP" (id) MATCH FULL NOT VALID;
    CREATE TABLE new.kept (id int PRIMARY KEY, big bigint); INSERT INTO new.kept VALUES (1, 1);"#;

const BIG: &str = r#"new.big "one"; DROP"#;

fn moves() -> Vec<TableMove> {
    jobs(vec![job("old.big", BIG, "id up name tags day"), job("old.small", "new.small", "id big note")])
}

const AFTER: Options = Options { workers: 2, indexes: Indexes::After };

fn go(
    moves: &[TableMove],
    from: &Place,
    to: &Place,
    options: Options,
    tell: &Tell,
) -> Result<Report, FlowError> {
    switchback_flow::run(moves, &from.end, &to.end, &key(), options, tell)
}

fn after(moves: &[TableMove], from: &Place, to: &Place) -> Result<Report, FlowError> {
    go(moves, from, to, AFTER, &Tell::quiet())
}

/// A place for indexes beside the server's own.
fn ensure_tablespace(server: &Server, place: &Place) {
    let there = server.value(place, "SELECT count(*) FROM pg_tablespace WHERE spcname = 'fast'");
    if there != "0" {
        return;
    }
    let folder = server.folder.path().join("cluster/fast");
    std::fs::create_dir_all(&folder).unwrap();
    let owner = std::fs::metadata(server.folder.path().join("cluster/data")).unwrap();
    use std::os::unix::fs::MetadataExt;
    std::os::unix::fs::chown(&folder, Some(owner.uid()), Some(owner.gid())).unwrap();
    std::fs::set_permissions(server.folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    // Another test may be at it.
    let sql = format!("CREATE TABLESPACE fast LOCATION '{}'", folder.display());
    let _ = server.cluster.connect(&place.name).unwrap().batch_execute(&sql);
}

/// Both within one database and from another one.
fn ends(server: &Server, old: &str, new: &str) -> [(Place, Place); 2] {
    let one = server.database(old);
    ensure_tablespace(server, &one);
    server.run(&one, new);
    [(one.clone(), one), (server.database(old), server.database(new))]
}

/// The catalog of the target, and what its fingerprint leaves out.
fn catalog(server: &Server, place: &Place) -> Vec<String> {
    let End::Postgres(database) = &place.end else { panic!() };
    let mut lines = Fingerprint::read(database, &["new".to_owned()], &Tell::quiet()).unwrap().lines;
    lines.extend(server.rows(
        place,
        "SELECT c.relname, a.attnum, a.attstattarget FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
         WHERE c.relkind = 'i' AND c.relnamespace = 'new'::regnamespace AND a.attstattarget > 0 ORDER BY 1, 2",
    ));
    lines.extend(server.rows(
        place,
        "SELECT c.conname, c.convalidated, i.relname, i.reloptions FROM pg_constraint c LEFT JOIN pg_class i ON i.oid = c.conindid \
         WHERE c.connamespace = 'new'::regnamespace ORDER BY 1",
    ));
    lines
}

fn indexes(server: &Server, place: &Place) -> String {
    server.value(place, "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relkind = 'i' AND relnamespace = 'new'::regnamespace")
}

fn aside(server: &Server, place: &Place) -> Vec<String> {
    server.rows(place, "SELECT part, done FROM switchback.cursor WHERE part LIKE 'aside %' ORDER BY part")
}

#[test]
fn everything_comes_back_as_it_was() {
    let server = server();
    for (from, to) in ends(&server, OLD, NEW) {
        let before = catalog(&server, &to);
        assert!(
            before.iter().any(|line| line.contains("tablespace fast") && line.contains("fillfactor")),
            "{before:#?}"
        );
        let report = after(&moves(), &from, &to).unwrap();
        assert_eq!(report.rows, 609);
        assert_proven(&moves(), &from, &to);
        assert_eq!(catalog(&server, &to), before);
        let aside = aside(&server, &to);
        // Six indexes of the large table and the key of the small one; three foreign keys.
        assert_eq!(aside.len(), 10, "{aside:#?}");
        assert!(aside.iter().all(|row| row.ends_with(",t)")), "{aside:#?}");
        // Twice is once.
        assert_eq!(after(&moves(), &from, &to).unwrap().rows, 609);
        assert_eq!(catalog(&server, &to), before);
        // The new release's first questions are planned for rows that are there.
        assert_eq!(
            server.value(
                &to,
                &format!(
                    "SELECT reltuples FROM pg_class WHERE oid = '{}'::regclass",
                    r#"new."big ""one""; DROP""#
                )
            ),
            "600"
        );
        assert_ne!(
            server.value(
                &to,
                "SELECT count(*) FROM pg_stats WHERE schemaname = 'new' AND tablename = 'odd; --'"
            ),
            "0"
        );
    }
}

#[test]
fn a_cut_between_leaves_the_definitions_in_our_ledger_and_the_next_life_brings_them_back() {
    let server = server();
    for (from, to) in ends(&server, OLD, NEW) {
        let before = catalog(&server, &to);
        // Behind the transaction that takes them down.
        for at in 3.. {
            let tell = Tell::with_faults(Arc::new(Faults::cut(at)));
            let Err(error) = go(&moves(), &from, &to, AFTER, &tell) else { panic!("it was never cut") };
            assert_eq!(error.halt(), Some(Halt::Cut), "{error}");
            if server.value(&to, "SELECT to_regclass('switchback.cursor') IS NOT NULL") == "true"
                && !aside(&server, &to).is_empty()
            {
                break;
            }
        }
        assert_eq!(indexes(&server, &to), "kept_pkey");
        assert!(aside(&server, &to).iter().all(|row| row.ends_with(",f)")));
        // Whatever the next life is told: what is away comes back.
        go(&moves(), &from, &to, TWO, &Tell::quiet()).unwrap();
        assert_eq!(catalog(&server, &to), before);
        assert_proven(&moves(), &from, &to);
    }
}

#[test]
fn rows_that_a_key_does_not_allow_are_named_when_it_comes_back() {
    let server = server();
    let twice = format!("{OLD} INSERT INTO old.big VALUES (1000, NULL, 'name 7', '{{}}', '2026-01-01');");
    for (from, to) in ends(&server, &twice, NEW) {
        let error = after(&moves(), &from, &to).unwrap_err().to_string();
        assert_eq!(
            error,
            "bring back unique constraint named of new.big \"one\"; DROP, which was taken down for the load: \
             could not create unique index \"named\": Key (name)=(name 7) is duplicated"
        );
        // Nothing says that it is done, however often it is tried.
        assert_eq!(after(&moves(), &from, &to).unwrap_err().to_string(), error);
        assert!(!indexes(&server, &to).contains("named"));
        // Once the rows are right it goes on from there.
        server.run(&to, r#"DELETE FROM new."big ""one""; DROP" WHERE id = 1000"#);
        after(&moves(), &from, &to).unwrap();
        assert!(indexes(&server, &to).contains("named"));
    }
    let lost = format!("{OLD} INSERT INTO old.small VALUES (77, 12345, 'lost');");
    for (from, to) in ends(&server, &lost, NEW) {
        let error = after(&moves(), &from, &to).unwrap_err().to_string();
        assert!(
            error.starts_with(
                "bring back foreign key small_big_fkey of new.small, which was taken down for the load: "
            ) && error.ends_with("Key (big)=(12345) is not present in table \"big \"one\"; DROP\""),
            "{error}"
        );
    }
}

#[test]
fn what_others_lean_on_stays() {
    let server = server();
    let all = "big \"one\"; DROP_pkey";
    // A table of somebody else refers to the key; a view groups by it; a table has rows; a program hears of changes.
    for (more, kept) in [
        (
            "CREATE SCHEMA other; CREATE TABLE other.t (big bigint REFERENCES new.\"big \"\"one\"\"; DROP\")",
            all,
        ),
        (
            "CREATE VIEW new.v AS SELECT id, name, count(*) OVER () FROM new.\"big \"\"one\"\"; DROP\" GROUP BY id",
            all,
        ),
        ("INSERT INTO new.\"big \"\"one\"\"; DROP\" VALUES (5000, NULL, 'there')", "odd; --"),
        (
            "CREATE FUNCTION new.heard() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; \
          CREATE EVENT TRIGGER heard ON ddl_command_end EXECUTE FUNCTION new.heard()",
            "odd; --",
        ),
    ] {
        let (from, to) = (server.database(OLD), server.database("SELECT 1"));
        ensure_tablespace(&server, &to);
        server.run(&to, &format!("{NEW} {more}"));
        let before = catalog(&server, &to);
        // In the middle: after the first batch.
        let stop = Arc::new(Faults::cut(9));
        go(&moves(), &from, &to, AFTER, &Tell::with_faults(stop)).unwrap_err();
        assert!(indexes(&server, &to).contains(kept), "{more}: {}", indexes(&server, &to));
        after(&moves(), &from, &to).unwrap();
        assert_eq!(catalog(&server, &to), before, "{more}");
    }
}

#[test]
fn few_rows_and_tables_of_others_are_moved_as_ever() {
    let server = server();
    let (from, to) = (server.database(OLD), server.database("SELECT 1"));
    ensure_tablespace(&server, &to);
    server.run(&to, NEW);
    run(&moves(), &from, &to).unwrap();
    assert_eq!(aside(&server, &to), Vec::<String>::new());
    // A role that may only write.
    let to = server.database(NEW);
    server.run(
        &to,
        &format!(
            "CREATE ROLE writes LOGIN; GRANT CREATE ON DATABASE {} TO writes; GRANT USAGE ON SCHEMA new TO writes; \
             GRANT ALL ON ALL TABLES IN SCHEMA new TO writes",
            to.name
        ),
    );
    let url = server.cluster.url(&to.name).replace("postgres@", "writes@");
    let writes = Place {
        name: to.name.clone(),
        end: End::Postgres(switchback_site::postgres::Database::parse(&url).unwrap()),
    };
    go(&moves(), &from, &writes, AFTER, &Tell::quiet()).unwrap();
    assert_eq!(aside(&server, &to), Vec::<String>::new());
    assert_proven(&moves(), &from, &to);
}

#[test]
fn the_servers_own_upkeep_and_readers_do_not_stop_it() {
    let server = server();
    let (from, to) = (server.database(OLD), server.database("SELECT 1"));
    ensure_tablespace(&server, &to);
    server.run(&to, NEW);
    let mut reader = server.cluster.connect(&to.name).unwrap();
    reader.batch_execute(r#"BEGIN; SELECT count(*) FROM new."big ""one""; DROP""#).unwrap();
    let holder = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(1500));
        reader.batch_execute("COMMIT").unwrap();
    });
    after(&moves(), &from, &to).unwrap();
    holder.join().unwrap();
    assert_proven(&moves(), &from, &to);
}
