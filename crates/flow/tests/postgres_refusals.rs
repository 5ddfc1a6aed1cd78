//! What is refused before, what fails in the middle, and what a proof finds.
#![allow(clippy::unwrap_used)]

mod postgres_common;

use postgres_common::*;
use switchback_flow::{End, FlowError};
use switchback_site::postgres::Database;

fn ends(old: &str, new: &str) -> (std::sync::Arc<Server>, Place, Place, Place) {
    let server = server();
    let one = server.database(&format!("CREATE SCHEMA old; CREATE SCHEMA new; {old}; {new}"));
    let from = server.database(&format!("CREATE SCHEMA old; {old}"));
    let to = server.database(&format!("CREATE SCHEMA new; {new}"));
    (server, one, from, to)
}

#[test]
fn what_does_not_fit_is_said_together_before_anything_is_written() {
    let old = "CREATE TABLE old.a (id int, t text, n numeric(10,2)); CREATE TABLE old.b (id int)";
    let new = "CREATE TABLE new.a (id bigint, t varchar(5), n numeric(12,2), g int GENERATED ALWAYS AS (1) STORED, must int NOT NULL);
        CREATE TABLE new.b (id int, d int DEFAULT 3);
        CREATE FUNCTION new.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TABLE new.t (id int); CREATE TRIGGER watch BEFORE INSERT ON new.t EXECUTE FUNCTION new.f();
        CREATE VIEW new.v AS SELECT 1 AS id";
    let moves = jobs(vec![
        job("old.a", "new.a", "id t n").set("g", Some("1")).set("t", None),
        job("old.nowhere", "new.b", "id"),
        job("old.b", "new.b", "id nothing"),
        job("old.b", "new.b", "").expr("missing", "1"),
        job("old.b", "new.t", "id"),
        job("old.b", "new.v", "id"),
    ]);
    let (server, one, from, to) = ends(old, new);
    for (from, to) in [(&one, &one), (&from, &to)] {
        let FlowError::Refused(lines) = check(&moves, from, to).unwrap_err() else { panic!() };
        let expected = [
            "column id of new.a is bigint, and id of old.a is integer: give an expression that says how",
            "column t of new.a is character varying(5), and t of old.a is text: give an expression that says how",
            "column n of new.a is numeric(12,2), and n of old.a is numeric(10,2): give an expression that says how",
            "column g of new.a is generated; leave it out",
            "column must of new.a must have a value, and nothing fills it",
            "the source has no table old.nowhere",
            "old.b has no column nothing",
            "new.b has no column missing",
            "trigger watch of new.t would run for every row; it may change rows or others' tables, so disable it first",
            "new.v is no table that rows can be put into",
        ];
        assert_eq!(lines, expected);
        assert!(run(&moves, from, to).is_err());
        assert_eq!(server.value(to, "to_regnamespace('switchback')"), "NULL");
    }
}

#[test]
fn an_expression_that_is_wrong_is_refused_by_the_server_itself() {
    let (_server, one, from, to) =
        ends("CREATE TABLE old.a (id int, t text)", "CREATE TABLE new.a (id int, t text)");
    let moves = jobs(vec![job("old.a", "new.a", "t").expr("id", "s.wrong")]);
    for (from, to) in [(&one, &one), (&from, &to)] {
        let error = check(&moves, from, to).unwrap_err().to_string();
        assert!(error.contains("copy old.a to new.a: column s.wrong does not exist"), "{error}");
    }
    let moves = jobs(vec![job("old.a", "new.a", "t").expr("id", "s.t")]);
    let error = check(&moves, &one, &one).unwrap_err().to_string();
    assert!(error.contains("column \"id\" is of type integer but expression is of type text"), "{error}");
    // A column that one move fills and another leaves to its default could not be proven.
    let (_server, one, ..) =
        ends("CREATE TABLE old.a (id int)", "CREATE TABLE new.a (id int, d int DEFAULT 1)");
    let moves = jobs(vec![job("old.a", "new.a", "id"), job("old.a", "new.a", "id").set("d", Some("2"))]);
    let error = check(&moves, &one, &one).unwrap_err().to_string();
    assert!(
        error.contains("column d of new.a is filled by one move and left to its default by that of old.a"),
        "{error}"
    );
}

#[test]
fn a_bad_cell_is_named_by_table_row_and_column() {
    let old = "CREATE TABLE old.a (id int PRIMARY KEY, t text, n int, u int);
        INSERT INTO old.a SELECT i, 'ok', i, i FROM generate_series(1, 9000) i;
        UPDATE old.a SET t = 'far too long' WHERE id = 7777";
    let new = "CREATE TABLE new.a (id int PRIMARY KEY, t varchar(5), n smallint NOT NULL, u int UNIQUE)";
    let moves = jobs(vec![job("old.a", "new.a", "id u").expr("t", "s.t").expr("n", "s.n")]);
    let (server, one, from, to) = ends(old, new);
    for (from, to) in [(&one, &one), (&from, &to)] {
        let change = |sql: &str| server.run(from, sql);
        let error = run(&moves, from, to).unwrap_err();
        assert!(matches!(&error, FlowError::Cell { .. }), "{error:?}");
        assert_eq!(
            error.to_string(),
            "put the value of old.a (id = 7777) into column t of new.a: value too long for type character varying(5); \
             the value is 'far too long'"
        );
        assert_eq!(server.value(to, "SELECT count(*) FROM new.a"), "0");
        change("UPDATE old.a SET t = 'ok', n = NULL WHERE id = 7777");
        let error = run(&moves, from, to).unwrap_err().to_string();
        assert!(
            error.contains("null value in column \"n\" of relation \"a\" violates not-null constraint"),
            "{error}"
        );
        assert!(error.contains("(column n of new.a)") && error.contains("7777"), "{error}");
        change("UPDATE old.a SET n = 40000 WHERE id = 7777");
        let error = run(&moves, from, to).unwrap_err().to_string();
        if from.name == to.name {
            assert_eq!(
                error,
                "put the value of old.a (id = 7777) into column n of new.a: smallint out of range; the value is '40000'"
            );
        } else {
            assert!(error.contains("smallint out of range"), "{error}");
        }
        change("UPDATE old.a SET n = 1, u = 1 WHERE id = 7777");
        let error = run(&moves, from, to).unwrap_err().to_string();
        assert!(error.contains("Key (u)=(1) already exists"), "{error}");
        // Mended, the same call goes on.
        change("UPDATE old.a SET u = 7777 WHERE id = 7777");
        run(&moves, from, to).unwrap();
        assert_proven(&moves, from, to);
        server.run(from, "UPDATE old.a SET t = 'far too long' WHERE id = 7777");
    }
}

#[test]
fn a_proof_finds_what_is_missing_changed_or_too_much_and_names_it() {
    let old = "CREATE TABLE old.a (id int, who text, v float8, PRIMARY KEY (id, who));
        INSERT INTO old.a SELECT i, 'w', i / 7.0 FROM generate_series(1, 100) i";
    let new = "CREATE TABLE new.a (id int, who text, v float8, PRIMARY KEY (id, who)); CREATE TABLE new.b (id int, v float8)";
    let moves = jobs(vec![
        job("old.a", "new.a", "id who v").filter("s.id <= 50"),
        job("old.a", "new.a", "id who v").filter("s.id > 50"),
        job("old.a", "new.b", "id v"),
    ]);
    let (server, one, from, to) = ends(old, new);
    for (from, to) in [(&one, &one), (&from, &to)] {
        run(&moves, from, to).unwrap();
        let proofs = prove(&moves, from, to);
        assert!(proofs.iter().all(|proof| proof.equal && proof.target.rows == 100), "{proofs:?}");
        assert!(differing("new.a", &moves, from, to).is_empty());
        server.run(
            to,
            "DELETE FROM new.a WHERE id = 7; UPDATE new.a SET v = v + 1e-12 WHERE id = 8; INSERT INTO new.a VALUES (700, 'x', NULL);
             UPDATE new.b SET v = 0 WHERE id = 1",
        );
        let proofs = prove(&moves, from, to);
        assert_eq!(proofs.iter().filter(|proof| proof.equal).count(), 0);
        assert_eq!(
            differing("new.a", &moves, from, to),
            [
                "new.a (id = '7', who = 'w'): not in the target",
                "new.a (id = '700', who = 'x'): only in the target",
                "new.a (id = '8', who = 'w'): v is '1.1428571428571428' in the source, '1.1428571428581429' in the target",
            ]
        );
        assert_eq!(differing("new.b", &moves, from, to).len(), 2);
        server.run(from, "UPDATE old.a SET v = NULL WHERE id < 60");
        assert_eq!(differing("new.a", &moves, from, to).len(), 20);
    }
}

#[test]
fn a_table_that_may_not_be_read_or_not_wholly_is_named_with_what_to_grant() {
    let old = "CREATE TABLE old.a (id int); CREATE TABLE old.\"B c\" (id int); CREATE TABLE old.hidden (id int); \
               ALTER TABLE old.hidden ENABLE ROW LEVEL SECURITY; INSERT INTO old.hidden VALUES (1)";
    let new = "CREATE TABLE new.a (id int); CREATE TABLE new.b (id int); CREATE TABLE new.hidden (id int)";
    let (server, _, from, to) = ends(old, new);
    server.run(&from, "CREATE ROLE peeper LOGIN; GRANT USAGE ON SCHEMA old TO peeper; GRANT SELECT ON old.hidden TO peeper; GRANT SELECT (id) ON old.a TO peeper");
    let url = server.cluster.url(&from.name).replace("postgres://postgres@", "postgres://peeper@");
    let peeper = Place { name: from.name.clone(), end: End::Postgres(Database::parse(&url).unwrap()) };
    let moves = jobs(vec![
        job("old.a", "new.a", "id"),
        job("old.B c", "new.b", "id"),
        job("old.hidden", "new.hidden", "id"),
    ]);
    check(&moves, &from, &to).unwrap();
    let FlowError::Refused(lines) = check(&moves, &peeper, &to).unwrap_err() else { panic!() };
    let [unreadable, hidden] = lines.as_slice() else { panic!("{lines:?}") };
    let words =
        "the user peeper may not read old.B c: grant USAGE ON SCHEMA old and SELECT ON old.\"B c\" to it";
    assert!(unreadable.contains(words), "{unreadable}");
    assert!(hidden.contains("affected by row-level security policy for table \"hidden\""), "{hidden}");
}
