//! What is refused, by whom it is named, and that nothing is changed by it.
#![allow(clippy::unwrap_used)]

use rusqlite::Connection;
use switchback_site::sqlite::alter::*;
use switchback_site::tell::Tell;

fn open(sql: &str) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(sql).unwrap();
    connection
}

fn spec(table: &str, change: TableChange) -> AlterSpec {
    AlterSpec { tables: vec![(table.into(), change)], and: None }
}

fn dropping(table: &str, column: &str) -> AlterSpec {
    spec(table, TableChange { drop: vec![column.into()], ..TableChange::default() })
}

fn adding(table: &str, after: Option<&str>) -> AlterSpec {
    let column = NewColumn { name: "n".into(), after: after.map(str::to_owned), ..NewColumn::default() };
    spec(table, TableChange { add: vec![column], ..TableChange::default() })
}

fn dump(db: &Connection) -> Vec<String> {
    let sql = "SELECT coalesce(sql, name) FROM sqlite_schema ORDER BY 1";
    let mut found: Vec<String> =
        db.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    for setting in ["foreign_keys", "legacy_alter_table", "secure_delete"] {
        let value: i64 = db.query_row(&format!("PRAGMA {setting}"), [], |row| row.get(0)).unwrap();
        found.push(format!("{setting}={value}"));
    }
    found
}

/// Expects an error whose text holds `words`, and an unchanged database with its settings.
fn refused(db: &mut Connection, spec: &AlterSpec, words: &str) -> AlterError {
    let before = dump(db);
    let error = execute(db, spec, &[], &mut |_| Ok(()), &Tell::quiet()).unwrap_err();
    assert!(error.to_string().contains(words), "{error}");
    assert_eq!(dump(db), before);
    assert!(db.is_autocommit());
    error
}

/// Expects the same already from the plan.
fn refused_early(db: &mut Connection, spec: &AlterSpec, words: &str) {
    let error = plan(&Catalog::read(db).unwrap(), spec).unwrap_err();
    assert!(error.to_string().contains(words), "{error}");
    refused(db, spec, words);
}

#[test]
fn a_dropped_column_that_something_needs_is_refused_by_name() {
    let mut db = open(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b, c, d CHECK (d > 0), e, f UNIQUE, g, CHECK (c <> e));
         CREATE VIEW v AS SELECT \"a\" FROM t; CREATE INDEX i ON t(b); CREATE INDEX j ON t(id) WHERE \"g\" > 1;
         CREATE TABLE log(x); CREATE TRIGGER tr AFTER UPDATE ON t BEGIN INSERT INTO log VALUES(OLD.e); END;",
    );
    refused_early(&mut db, &dropping("t", "a"), "view v");
    refused_early(&mut db, &dropping("t", "b"), "index i");
    refused_early(&mut db, &dropping("t", "g"), "index j");
    refused_early(&mut db, &dropping("t", "c"), "table t");
    refused_early(&mut db, &dropping("t", "none"), "column none of table t");
    db.execute_batch("DROP TABLE t; CREATE TABLE t(a, e); CREATE TRIGGER tr AFTER UPDATE ON t BEGIN INSERT INTO log VALUES(OLD.e); END;").unwrap();
    refused_early(&mut db, &dropping("t", "e"), "trigger tr");
    db.execute_batch("DROP TRIGGER tr; CREATE TRIGGER tr2 AFTER UPDATE OF e ON t BEGIN SELECT 1; END;")
        .unwrap();
    refused_early(&mut db, &dropping("t", "e"), "trigger tr2");
}

#[test]
fn a_column_with_its_own_check_or_unique_can_be_dropped() {
    let mut db = open("CREATE TABLE t(a, d CHECK (d > 0), f UNIQUE); INSERT INTO t VALUES(1, 2, 3)");
    for column in ["d", "f"] {
        execute(&mut db, &dropping("t", column), &[], &mut |_| Ok(()), &Tell::quiet()).unwrap();
    }
    assert_eq!(db.query_row("SELECT * FROM t", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
}

#[test]
fn a_trigger_that_counts_columns_is_refused() {
    let mut db = open(
        "CREATE TABLE t(a, b); CREATE TABLE s(x);
         CREATE TRIGGER tr AFTER INSERT ON s BEGIN INSERT INTO t VALUES(NEW.x, 1); END;",
    );
    refused_early(&mut db, &adding("t", None), "trigger tr");
    refused_early(&mut db, &adding("t", Some("a")), "trigger tr");
}

#[test]
fn what_was_broken_before_is_no_obstacle_to_a_rebuild() {
    let mut db = open("CREATE TABLE t(a, b); CREATE VIEW broken AS SELECT * FROM nowhere;");
    execute(&mut db, &adding("t", Some("a")), &[], &mut |_| Ok(()), &Tell::quiet()).unwrap();
    let rename = spec("t", TableChange { rename: Some("u".into()), ..TableChange::default() });
    refused_early(&mut db, &rename, "view broken");
}

#[test]
fn old_violations_stay_and_new_ones_are_refused_with_their_rows() {
    let schema = "PRAGMA foreign_keys=OFF; CREATE TABLE p(id INTEGER PRIMARY KEY, a);
         CREATE TABLE c(p REFERENCES p, q); INSERT INTO p VALUES(1, 1); INSERT INTO c VALUES(1, 1), (77, 2);";
    let mut db = open(schema);
    let rename = TableChange {
        rename: Some("child".into()),
        rename_columns: vec![("p".into(), "parent".into())],
        add: adding("c", Some("parent")).tables.remove(0).1.add,
        ..TableChange::default()
    };
    let outcome = execute(&mut db, &spec("c", rename), &[], &mut |_| Ok(()), &Tell::quiet()).unwrap();
    assert_eq!(outcome.old_violations, 1);
    let mut db = open(schema);
    let change = TableChange { rename: Some("parent".into()), ..TableChange::default() };
    let script = AlterSpec { and: Some("DELETE FROM parent".into()), ..spec("p", change) };
    refused(&mut db, &script, "row 1 of c (p) to parent");
    let key = ForeignKey {
        columns: vec!["q".into()],
        table: "p".into(),
        references: vec!["id".into()],
        on_delete: Action::NoAction,
        on_update: Action::NoAction,
        deferrable: false,
    };
    let change = TableChange { foreign_keys: Some(vec![key]), ..TableChange::default() };
    refused(&mut db, &spec("c", change), "row 2 of c (q) to p");
}

#[test]
fn a_key_without_unique_parent_is_new_trouble_only_when_new() {
    let mut db = open("CREATE TABLE p(a, b); CREATE TABLE c(x REFERENCES p(a)); INSERT INTO p VALUES(1, 1);");
    execute(&mut db, &adding("p", Some("a")), &[], &mut |_| Ok(()), &Tell::quiet()).unwrap();
    execute(&mut db, &adding("c", None), &[], &mut |_| Ok(()), &Tell::quiet()).unwrap();
}

#[test]
fn rows_that_break_a_new_rule_undo_everything() {
    let mut db = open("CREATE TABLE t(a, b); INSERT INTO t VALUES(NULL, 1), (1, 1);");
    let not_null = TableChange { not_null: vec![("a".into(), true)], ..TableChange::default() };
    refused(&mut db, &spec("t", not_null), "NOT NULL");
    let unique = TableChange {
        add_constraints: vec!["UNIQUE (b) ON CONFLICT REPLACE".into()],
        ..TableChange::default()
    };
    refused(&mut db, &spec("t", unique), "UNIQUE");
    assert_eq!(db.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap(), 2);
}

#[test]
fn declarations_that_cannot_be_are_refused_early() {
    let mut db = open("CREATE TABLE t(a); CREATE VIEW v AS SELECT 1 AS a; CREATE TABLE u(a UNIQUE);");
    refused_early(&mut db, &adding("none", None), "find table none");
    refused_early(&mut db, &adding("v", None), "a view");
    refused_early(&mut db, &adding("t", Some("z")), "column z of table t");
    let mut bare = adding("t", None);
    bare.tables[0].1.add[0].not_null = true;
    refused_early(&mut db, &bare, "no default for the rows that exist");
    let mut open_ended = adding("t", None);
    open_ended.tables[0].1.add[0].check = Some("1); DROP TABLE t; --".into());
    refused_early(&mut db, &open_ended, "beyond its own end");
    let mut hidden = adding("t", None);
    hidden.tables[0].1.add[0].definition = "TEXT DEFAULT 5".into();
    refused_early(&mut db, &hidden, "column n of t");
    let taken = spec("t", TableChange { rename: Some("u".into()), ..TableChange::default() });
    refused_early(&mut db, &taken, "already another table");
    let indexes = vec![("sqlite_autoindex_u_1".into(), IndexChange::Drop)];
    refused_early(&mut db, &spec("u", TableChange { indexes, ..TableChange::default() }), "find index");
    let indexes = vec![("x".into(), IndexChange::Create("CREATE INDEX x ON t(a); DROP TABLE u".into()))];
    refused_early(
        &mut db,
        &spec("t", TableChange { indexes, ..TableChange::default() }),
        "not one CREATE INDEX",
    );
    let constraint = TableChange { drop_constraints: vec!["none".into()], ..TableChange::default() };
    refused_early(&mut db, &spec("t", constraint), "no constraint none");
}

#[test]
fn scripts_that_leave_the_transaction_or_name_nothing_are_refused() {
    let mut db = open("CREATE TABLE t(a UNIQUE); INSERT INTO t VALUES(1)");
    let with = |and: &str| AlterSpec { and: Some(and.into()), ..adding("t", None) };
    refused_early(&mut db, &with("SELECT 1;\nCOMMIT"), "`COMMIT` (line 2");
    refused_early(&mut db, &with("PRAGMA journal_mode=DELETE"), "PRAGMA JOURNAL_MODE");
    refused_early(&mut db, &with("\n\nUPDATE nowhere SET a = 1"), "line 3: no such table");
    refused_early(&mut db, &with("SELECT 'open"), "no end");
    refused(&mut db, &with("UPDATE t SET a = :missing"), ":missing");
    refused(&mut db, &with("INSERT OR ROLLBACK INTO t(a) VALUES(1)"), "UNIQUE");
    refused(&mut db, &with("ALTER TABLE t DROP COLUMN n"), "as declared");
}

#[test]
fn a_half_done_declaration_is_neither() {
    let spec = AlterSpec {
        tables: vec![
            ("a".into(), TableChange { rename: Some("b".into()), ..TableChange::default() }),
            adding("c", Some("x")).tables.remove(0),
        ],
        and: None,
    };
    let look = |sql: &str| is_applied(&Catalog::read(&open(sql)).unwrap(), &spec);
    assert_eq!(look("CREATE TABLE a(x); CREATE TABLE c(x, y)"), Applied::Pending);
    assert_eq!(look("CREATE TABLE b(x); CREATE TABLE c(x, n, y)"), Applied::Applied);
    for sql in [
        "CREATE TABLE b(x); CREATE TABLE c(x, y)",
        "CREATE TABLE a(x); CREATE TABLE b(x); CREATE TABLE c(x, y)",
        "CREATE TABLE b(x); CREATE TABLE c(x, y, n)",
        "CREATE TABLE b(x); CREATE TABLE c(x, n INT, y)",
        "CREATE TABLE b(x)",
        "CREATE TABLE c(x, n, y)",
    ] {
        assert!(matches!(look(sql), Applied::Other(_)), "{sql}");
    }
}

#[test]
fn an_open_transaction_is_refused() {
    let mut db = open("CREATE TABLE t(a); BEGIN");
    let error = execute(&mut db, &adding("t", None), &[], &mut |_| Ok(()), &Tell::quiet()).unwrap_err();
    assert!(matches!(error, AlterError::InTransaction));
}
