//! What declared changes keep: rows, rowids, storage classes, children, indexes, triggers, views and texts.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use rusqlite::types::Value;
use switchback_site::sqlite::alter::*;
use switchback_site::tell::{Faults, Halt, Tell};

const HOSTILE: &str = "O'Brien \"lab\"; DROP TABLE x;--";

fn open(sql: &str) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(sql).unwrap();
    connection
}

fn column(name: &str, after: Option<&str>) -> NewColumn {
    NewColumn {
        name: name.into(),
        definition: "TEXT".into(),
        default: Some(Literal::Text(String::new())),
        after: after.map(str::to_owned),
        ..NewColumn::default()
    }
}

fn spec(table: &str, change: TableChange) -> AlterSpec {
    AlterSpec { tables: vec![(table.into(), change)], and: None }
}

fn alter(connection: &mut Connection, spec: &AlterSpec) -> Result<AlterOutcome, AlterError> {
    execute(connection, spec, &[], &mut |_| Ok(()), &Tell::quiet())
}

/// Carries it out and looks before and after.
fn done(connection: &mut Connection, spec: &AlterSpec) -> AlterOutcome {
    assert_eq!(is_applied(&Catalog::read(connection).unwrap(), spec), Applied::Pending);
    let outcome = alter(connection, spec).unwrap();
    assert_eq!(is_applied(&Catalog::read(connection).unwrap(), spec), Applied::Applied);
    let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    outcome
}

/// All rows of a query as text with their storage classes, NUL bytes and all.
fn rows(connection: &Connection, sql: &str) -> Vec<Vec<Value>> {
    let mut statement = connection.prepare(sql).unwrap();
    let width = statement.column_count();
    let read = statement.query_map([], |row| (0..width).map(|at| row.get(at)).collect()).unwrap();
    read.map(Result::unwrap).collect()
}

fn number(connection: &Connection, sql: &str) -> i64 {
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn text(connection: &Connection, name: &str) -> String {
    connection.query_row("SELECT sql FROM sqlite_schema WHERE name = ?1", [name], |row| row.get(0)).unwrap()
}

const FLEET: &str = "
    CREATE TABLE machines (
        id TEXT PRIMARY KEY, -- supplied, so (never) made here
        name TEXT NOT NULL,
        created_at DATETIME DEFAULT CURRENT_TIMESTAMP
      );
    CREATE TABLE backups (id TEXT PRIMARY KEY, machine_id TEXT NOT NULL, size INTEGER, FOREIGN KEY (machine_id) REFERENCES machines(id));
    CREATE INDEX idx_backups_machine_id ON backups(machine_id);
    CREATE INDEX idx_size ON backups(size) WHERE size > 10;
    CREATE INDEX idx_name ON machines(lower(name));
    CREATE TABLE log(what);
    CREATE TRIGGER on_machine AFTER INSERT ON machines BEGIN INSERT INTO log SELECT count(*) FROM machines; END;
    CREATE TRIGGER on_backup AFTER DELETE ON backups BEGIN UPDATE machines SET name = name || '!' WHERE id = OLD.machine_id; END;
    CREATE VIEW overview AS SELECT m.name, count(b.id) AS n FROM machines m LEFT JOIN backups b ON b.machine_id = m.id GROUP BY m.id;
    INSERT INTO machines VALUES('a', 'web', '2024-01-01'), (NULL, 'x', 5), (NULL, 'y', x'00');
    INSERT INTO backups VALUES('1', 'a', 5), ('2', 'a', 'text in integer'), ('3', 'a', 1.5);
    DELETE FROM log;";

fn fleet() -> AlterSpec {
    let machines = TableChange {
        rename: Some("servers".into()),
        add: vec![
            column("server_url", Some("name")),
            column("alias", Some("server_url")),
            column("note", Some("alias")),
        ],
        ..TableChange::default()
    };
    let key = ForeignKey {
        columns: vec!["server_id".into()],
        table: "servers".into(),
        references: vec!["id".into()],
        on_delete: Action::NoAction,
        on_update: Action::NoAction,
        deferrable: false,
    };
    let backups = TableChange {
        rename_columns: vec![("machine_id".into(), "server_id".into())],
        foreign_keys: Some(vec![key]),
        indexes: vec![("idx_backups_machine_id".into(), IndexChange::Rename("idx_backups_server_id".into()))],
        ..TableChange::default()
    };
    AlterSpec { tables: vec![("machines".into(), machines), ("backups".into(), backups)], and: None }
}

#[test]
fn columns_come_in_the_middle_and_everything_around_follows() {
    let mut db = open(FLEET);
    let before = rows(&db, "SELECT rowid, id, name, created_at FROM machines ORDER BY rowid");
    let children = rows(&db, "SELECT rowid, * FROM backups ORDER BY rowid");
    let outcome = done(&mut db, &fleet());
    assert_eq!(outcome.plan.rebuilt(), ["servers"], "{:?}", outcome.plan.lines());
    assert_eq!(outcome.copied, [("servers".to_owned(), 3)]);
    assert_eq!(rows(&db, "SELECT rowid, id, name, created_at FROM servers ORDER BY rowid"), before);
    assert_eq!(rows(&db, "SELECT rowid, * FROM backups ORDER BY rowid"), children);
    assert_eq!(
        number(&db, "SELECT count(*) FROM servers WHERE server_url = '' AND alias = '' AND note = ''"),
        3
    );
    let catalog = Catalog::read(&db).unwrap();
    let names: Vec<&str> =
        catalog.table("servers").unwrap().columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["id", "name", "server_url", "alias", "note", "created_at"]);
    assert!(text(&db, "servers").contains("PRIMARY KEY, -- supplied, so (never) made here\n        name TEXT NOT NULL,\n        server_url TEXT DEFAULT '',\n        alias"), "{}", text(&db, "servers"));
    assert!(text(&db, "idx_size").ends_with("WHERE size > 10"));
    assert!(catalog.index("idx_name").is_some() && catalog.index("idx_backups_server_id").is_some());
    assert_eq!(number(&db, "SELECT n FROM overview WHERE name = 'web'"), 3);
    db.execute_batch("INSERT INTO servers(id, name) VALUES('b', 'new'); DELETE FROM backups WHERE id = '1'")
        .unwrap();
    assert_eq!(number(&db, "SELECT what FROM log"), 4);
    assert_eq!(number(&db, "SELECT count(*) FROM servers WHERE name = 'web!'"), 1);
    assert!(
        db.execute_batch("INSERT INTO backups VALUES('9', 'nobody', 1)").is_err(),
        "foreign keys are on again"
    );
}

#[test]
fn the_plan_says_what_happens_without_a_database() {
    let (after, tables) = Catalog::read(&open(FLEET)).unwrap().after(&fleet()).unwrap();
    assert!(after.table("servers").is_some() && after.table("machines").is_none());
    assert_eq!(tables[0].lines[0], "rename table machines to servers (in place)");
    assert!(tables[0].lines[1].starts_with("rebuild servers: add server_url after name"));
    assert!(!tables[1].rebuilt);
}

#[test]
fn all_children_survive_when_a_cascading_parent_is_rebuilt() {
    let mut db = open(
        "CREATE TABLE p(id INTEGER PRIMARY KEY, a, b);
         CREATE TABLE c(id INTEGER PRIMARY KEY, p REFERENCES p(id) ON DELETE CASCADE,
            q REFERENCES p(id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
         INSERT INTO p SELECT i, i, i FROM n;
         INSERT INTO c SELECT id, id, id FROM p;",
    );
    let change = TableChange { add: vec![column("n", Some("a"))], ..TableChange::default() };
    assert_eq!(done(&mut db, &spec("p", change)).copied, [("p".to_owned(), 5000)]);
    assert_eq!(number(&db, "SELECT count(*) FROM c WHERE p IS NOT NULL AND q IS NOT NULL"), 5000);
    assert!(Catalog::read(&db).unwrap().table("c").unwrap().foreign_keys[1].deferrable);
    db.execute_batch("DELETE FROM p WHERE id = 1").unwrap();
    assert_eq!(number(&db, "SELECT count(*) FROM c"), 4999);
}

#[test]
fn self_references_deferred_keys_sequences_and_gaps_are_kept() {
    let mut db = open(
        "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, up REFERENCES t(id) DEFERRABLE INITIALLY DEFERRED, a);
         INSERT INTO t VALUES(7, NULL, 'x'), (90, 7, 2), (500, 90, NULL); DELETE FROM t WHERE id = 500;",
    );
    let change = TableChange {
        rename: Some("tree".into()),
        add: vec![column("n", Some("id"))],
        ..TableChange::default()
    };
    done(&mut db, &spec("t", change));
    assert_eq!(rows(&db, "SELECT id FROM tree ORDER BY id"), [[Value::Integer(7)], [Value::Integer(90)]]);
    assert_eq!(Catalog::read(&db).unwrap().table("tree").unwrap().foreign_keys[0].table, "tree");
    assert_eq!(rows(&db, "SELECT * FROM sqlite_sequence").len(), 1);
    db.execute_batch("INSERT INTO tree(up) VALUES(7)").unwrap();
    assert_eq!(number(&db, "SELECT max(id) FROM tree"), 501);
}

#[test]
fn rowids_with_gaps_are_kept_even_behind_columns_called_rowid() {
    let mut db = open(
        "CREATE TABLE t(rowid TEXT, oid, a); INSERT INTO t(_rowid_, rowid, a) VALUES(-5, 'r', 1), (1000, 's', 2);",
    );
    let change = TableChange { add: vec![column("n", Some("oid"))], ..TableChange::default() };
    done(&mut db, &spec("t", change));
    assert_eq!(number(&db, "SELECT _rowid_ FROM t WHERE rowid = 's'"), 1000);
    assert_eq!(number(&db, "SELECT _rowid_ FROM t WHERE rowid = 'r'"), -5);
}

#[test]
fn without_rowid_strict_generated_and_collated_tables_are_rebuilt_as_they_are() {
    let mut db = open(
        "CREATE TABLE w(b TEXT, a INT, c TEXT COLLATE NOCASE, PRIMARY KEY (b, a DESC)) WITHOUT ROWID, STRICT;
         CREATE TABLE g(a INTEGER, v INT GENERATED ALWAYS AS (a * 2) VIRTUAL, s TEXT AS (a || ',)') STORED,
            c TEXT COLLATE RTRIM CHECK (c <> 'x' -- not x, nor )
            ), UNIQUE (c COLLATE NOCASE) ON CONFLICT REPLACE);
         CREATE UNIQUE INDEX gi ON g(v, lower(c) DESC) WHERE a IS NOT NULL;
         INSERT INTO w VALUES('x', 1, 'A'), ('x', 2, 'b');
         INSERT INTO g(a, c) VALUES(1, 'p'), (2, 'q ');",
    );
    let g = rows(&db, "SELECT rowid, * FROM g ORDER BY rowid");
    let change = |after: &str| TableChange { add: vec![column("n", Some(after))], ..TableChange::default() };
    done(&mut db, &spec("w", change("b")));
    done(&mut db, &spec("g", change("v")));
    let catalog = Catalog::read(&db).unwrap();
    let w = catalog.table("w").unwrap();
    assert!(w.strict && w.without_rowid);
    assert_eq!(w.column("c").unwrap().collation.as_deref(), Some("NOCASE"));
    assert_eq!(number(&db, "SELECT count(*) FROM w WHERE c = 'a'"), 1);
    assert_eq!(rows(&db, "SELECT rowid, a, v, s, c FROM g ORDER BY rowid"), g);
    let g = catalog.table("g").unwrap();
    assert_eq!(g.columns.iter().map(|column| column.hidden).collect::<Vec<_>>(), [0, 2, 0, 3, 0]);
    assert!(text(&db, "g").contains("-- not x, nor )\n"));
    assert!(db.execute_batch("INSERT INTO g(a, c) VALUES(9, 'x')").is_err());
}

#[test]
fn storage_classes_that_fit_no_type_are_kept() {
    let mut db = open(
        "CREATE TABLE t(i INTEGER, r REAL, x TEXT, n DATETIME, b BLOB, z);
         INSERT INTO t VALUES('12abc', 5, 7, 1.5, 'text', 1), (1.25, 'r', x'00ff', '1e3x', 3, 'a' || char(0) || 'b'),
            (9223372036854775807, 9e999, NULL, 123456789012345678901234567890, 2.0, zeroblob(3));",
    );
    let before = rows(&db, "SELECT i, r, x, n, b, z FROM t ORDER BY rowid");
    let change = TableChange { add: vec![column("n2", Some("i"))], ..TableChange::default() };
    done(&mut db, &spec("t", change));
    assert_eq!(rows(&db, "SELECT i, r, x, n, b, z FROM t ORDER BY rowid"), before);
}

#[test]
fn hostile_names_are_names() {
    for name in [HOSTILE, "select", "a]b", "ünïcode \u{1F600}", "with `tick`", "a.b", "%_"] {
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        let quoted_index = format!("\"i {}\"", name.replace('"', "\"\""));
        let mut db = open(&format!(
            "CREATE TABLE {quoted}({quoted} TEXT PRIMARY KEY, b); CREATE TABLE child(c REFERENCES {quoted}({quoted}));
             CREATE TABLE x(keep); CREATE INDEX {quoted_index} ON {quoted}({quoted});
             CREATE TRIGGER {quoted} AFTER INSERT ON {quoted} BEGIN INSERT INTO x VALUES(NEW.{quoted}); END;
             INSERT INTO {quoted} VALUES('v', 1);"
        ));
        let new = format!("{name}2");
        let change = TableChange {
            rename: Some(new.clone()),
            rename_columns: vec![(name.into(), new.clone())],
            add: vec![column(name, Some(&new))],
            indexes: vec![(format!("i {name}"), IndexChange::Rename(format!("j {name}")))],
            ..TableChange::default()
        };
        let outcome = done(&mut db, &spec(name, change));
        assert_eq!(outcome.plan.rebuilt(), [new.as_str()]);
        let quoted = format!("\"{}\"", new.replace('"', "\"\""));
        db.execute_batch(&format!("INSERT INTO {quoted}({quoted}) VALUES('w')")).unwrap();
        assert_eq!(number(&db, "SELECT count(*) FROM x WHERE keep = 'w'"), 1, "{name}");
        assert_eq!(Catalog::read(&db).unwrap().table("child").unwrap().foreign_keys[0].table, new);
    }
}

#[test]
fn what_sqlite_can_do_in_place_copies_no_row() {
    let mut db = open("CREATE TABLE t(a INT, b TEXT, c); INSERT INTO t VALUES(1, 'x', NULL);");
    let change = TableChange {
        rename: Some("u".into()),
        rename_columns: vec![("a".into(), "z".into())],
        add: vec![column("n", None), column("m", Some("n"))],
        drop: vec!["b".into()],
        indexes: vec![("i".into(), IndexChange::Create("CREATE INDEX i ON u(z)".into()))],
        ..TableChange::default()
    };
    let outcome = done(&mut db, &spec("t", change));
    assert!(outcome.plan.rebuilt().is_empty() && outcome.copied.is_empty());
    assert_eq!(rows(&db, "SELECT z, c, n, m FROM u").len(), 1);
}

#[test]
fn defaults_types_constraints_and_keys_change_by_rebuild() {
    let mut db = open(
        "CREATE TABLE p(id INTEGER PRIMARY KEY);
         CREATE TABLE t(a TEXT DEFAULT 'old', b INT NOT NULL CONSTRAINT pos CHECK (b > 0), c TEXT, d, FOREIGN KEY (d) REFERENCES p);
         INSERT INTO p VALUES(1); INSERT INTO t VALUES('12', 1, '34', 1);",
    );
    let key = ForeignKey {
        columns: vec!["d".into()],
        table: "p".into(),
        references: vec![],
        on_delete: Action::Cascade,
        on_update: Action::SetNull,
        deferrable: true,
    };
    let change = TableChange {
        retype: vec![("a".into(), "INTEGER".into())],
        defaults: vec![("a".into(), DefaultChange::Set(Literal::Expression("1 + 1".into())))],
        not_null: vec![("b".into(), false), ("c".into(), true)],
        drop_constraints: vec!["pos".into()],
        add_constraints: vec!["CONSTRAINT \"u\" UNIQUE (b)".into()],
        foreign_keys: Some(vec![key.clone()]),
        ..TableChange::default()
    };
    done(&mut db, &spec("t", change));
    assert_eq!(rows(&db, "SELECT a FROM t"), [[Value::Integer(12)]]);
    assert!(Catalog::read(&db).unwrap().table("t").unwrap().foreign_keys[0].is_same(&key));
    db.execute_batch("INSERT INTO t(b, c) VALUES(-1, '')").unwrap();
    assert_eq!(number(&db, "SELECT a FROM t WHERE b = -1"), 2);
    assert!(db.execute_batch("INSERT INTO t(b, c) VALUES(5, NULL)").is_err());
}

#[test]
fn a_new_column_can_default_to_an_expression() {
    let mut db = open("CREATE TABLE t(a); INSERT INTO t VALUES(1);");
    let now =
        NewColumn { default: Some(Literal::Expression("CURRENT_TIMESTAMP".into())), ..column("at", None) };
    let change = TableChange { add: vec![now], ..TableChange::default() };
    assert_eq!(done(&mut db, &spec("t", change)).plan.rebuilt(), ["t"]);
    assert_eq!(number(&db, "SELECT length(at) FROM t"), 19);
}

#[test]
fn a_persons_own_trigger_index_and_column_stay() {
    let mut db = open(&format!(
        "{FLEET} ALTER TABLE machines ADD COLUMN mine BLOB; UPDATE machines SET mine = x'00';
         CREATE INDEX my_index ON machines(mine DESC);
         CREATE TRIGGER mine AFTER UPDATE OF mine ON machines BEGIN INSERT INTO log VALUES(NEW.mine); END;"
    ));
    done(&mut db, &fleet());
    db.execute_batch("UPDATE servers SET mine = 'seen' WHERE id = 'a'").unwrap();
    assert_eq!(number(&db, "SELECT count(*) FROM log WHERE what = 'seen'"), 1);
    assert!(Catalog::read(&db).unwrap().index("my_index").is_some());
}

#[test]
fn the_script_and_the_ledger_commit_with_the_change() {
    let mut db = open(FLEET);
    let and = Some("UPDATE backups SET size = :n; -- ;\nINSERT INTO log VALUES(@text)".to_owned());
    let spec = AlterSpec { and, ..fleet() };
    let params = [(":n", Value::Integer(4)), ("text", Value::Text(HOSTILE.into()))];
    let mut ledger = |transaction: &rusqlite::Transaction<'_>| {
        transaction.execute_batch("CREATE TABLE ledger(step); INSERT INTO ledger VALUES(1)")
    };
    execute(&mut db, &spec, &params, &mut ledger, &Tell::quiet()).unwrap();
    assert_eq!(number(&db, "SELECT count(*) FROM ledger, log WHERE what LIKE 'O''Brien%'"), 1);
    assert_eq!(number(&db, "SELECT sum(size) FROM backups"), 12);
}

#[test]
fn a_cut_leaves_the_old_before_the_commit_and_the_new_after_it() {
    let folder = tempfile::tempdir().unwrap();
    for (at, applied) in [(1, Applied::Pending), (2, Applied::Applied)] {
        let file = folder.path().join(format!("{at}.db"));
        let mut db = Connection::open(&file).unwrap();
        db.execute_batch(FLEET).unwrap();
        let tell = Tell::with_faults(Arc::new(Faults::cut(at)));
        let error = execute(&mut db, &fleet(), &[], &mut |_| Ok(()), &tell).unwrap_err();
        assert!(matches!(error, AlterError::Halt(Halt::Cut)));
        drop(db);
        let db = Connection::open(&file).unwrap();
        assert_eq!(is_applied(&Catalog::read(&db).unwrap(), &fleet()), applied);
    }
}

#[test]
fn a_stop_rolls_back_from_inside_a_statement() {
    let mut db = open(FLEET);
    let before = Catalog::read(&db).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let tell = Tell::new(Arc::new(|_| ()), stop.clone(), Arc::new(Faults::none()));
    let mut ledger = |transaction: &rusqlite::Transaction<'_>| {
        stop.store(true, Ordering::Relaxed);
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
        transaction.query_row(endless, [], |row| row.get::<_, i64>(0)).map(|_| ())
    };
    let error = execute(&mut db, &fleet(), &[], &mut ledger, &tell).unwrap_err();
    assert!(matches!(error, AlterError::Halt(Halt::Interrupted)), "{error}");
    assert_eq!(Catalog::read(&db).unwrap(), before);
    assert_eq!(number(&db, "PRAGMA foreign_keys"), 1);
}

#[test]
fn a_table_that_names_itself_in_a_check_is_rebuilt_too() {
    let mut db = open(
        "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, a INTEGER, g AS (a), CHECK (t.a > 0));
         CREATE TABLE r(a TEXT, CHECK (\"r\".a > 0)); CREATE TABLE w(a PRIMARY KEY, b, CHECK (w.b)) WITHOUT ROWID;
         CREATE TABLE child(t REFERENCES t(id) ON DELETE CASCADE); CREATE INDEX i ON t(g) WHERE a > 1;
         CREATE VIEW v AS SELECT * FROM r, t;
         INSERT INTO t VALUES(3, 1), (900, 'text'); DELETE FROM t WHERE id = 900; INSERT INTO t VALUES(8, 'text');
         INSERT INTO r(rowid, a) VALUES(5, 1), (70, x'01'); INSERT INTO w VALUES(1, 2), ('b', 3); INSERT INTO child VALUES(3);",
    );
    let before = [
        rows(&db, "SELECT id, a FROM t"),
        rows(&db, "SELECT rowid, a FROM r"),
        rows(&db, "SELECT a, b FROM w"),
    ];
    for table in ["t", "r", "w"] {
        let change =
            TableChange { add: vec![column("n", Some("a"))], rebuild: true, ..TableChange::default() };
        done(&mut db, &spec(table, change));
    }
    let after = [
        rows(&db, "SELECT id, a FROM t"),
        rows(&db, "SELECT rowid, a FROM r"),
        rows(&db, "SELECT a, b FROM w"),
    ];
    assert_eq!(after, before);
    assert_eq!(number(&db, "SELECT seq FROM sqlite_sequence WHERE name = 't'"), 900);
    assert_eq!(number(&db, "SELECT count(*) FROM child, sqlite_sequence"), 1);
}

#[test]
fn statistics_follow_their_tables_and_indexes() {
    let mut db = open(&format!("{FLEET} ANALYZE;"));
    let before = rows(&db, "SELECT stat FROM sqlite_stat1 ORDER BY stat");
    done(&mut db, &fleet());
    assert_eq!(rows(&db, "SELECT stat FROM sqlite_stat1 ORDER BY stat"), before);
    let names = "SELECT count(*) FROM sqlite_stat1 WHERE (tbl, idx) IN (VALUES('servers', 'sqlite_autoindex_servers_1'), \
                 ('servers', 'idx_name'), ('backups', 'idx_backups_server_id'))";
    assert_eq!(number(&db, names), 3);
    assert_eq!(number(&db, "SELECT count(*) FROM sqlite_stat1 WHERE tbl = 'machines'"), 0);
}

#[test]
fn full_text_tables_follow_and_unknown_modules_do_not_hinder() {
    let mut db = open(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT); CREATE VIRTUAL TABLE f USING fts5(a, content='t', content_rowid='id');
         CREATE TRIGGER ai AFTER INSERT ON t BEGIN INSERT INTO f(rowid, a) VALUES(NEW.id, NEW.a); END;
         CREATE TABLE plain(x, y);
         INSERT INTO t VALUES(5, 'needle');",
    );
    let change = TableChange { add: vec![column("n", Some("id"))], ..TableChange::default() };
    done(&mut db, &spec("t", change));
    db.execute_batch("INSERT INTO t(a) VALUES('needle two')").unwrap();
    assert_eq!(number(&db, "SELECT count(*) FROM f WHERE f MATCH 'needle'"), 2);
    db.execute_batch(
        "PRAGMA writable_schema=ON; INSERT INTO sqlite_schema VALUES('table', 'alien', 'alien', 0, \
        'CREATE VIRTUAL TABLE alien USING nowhere(a)'); PRAGMA writable_schema=RESET",
    )
    .unwrap();
    let change = TableChange { add: vec![column("n", Some("x"))], ..TableChange::default() };
    done(&mut db, &spec("plain", change));
    let rename = TableChange { rename: Some("found".into()), ..TableChange::default() };
    done(&mut db, &spec("f", rename));
    db.execute_batch("INSERT INTO t(a) VALUES('third needle')").unwrap();
    assert_eq!(number(&db, "SELECT count(*) FROM found WHERE found MATCH 'needle'"), 3);
}

#[test]
fn triggers_fire_in_the_same_order_afterwards() {
    let mut db = open(
        "CREATE TABLE t(a, b); CREATE TABLE log(n INTEGER PRIMARY KEY, x);
         CREATE TRIGGER zz AFTER INSERT ON t BEGIN INSERT INTO log(x) VALUES('zz'); END;
         CREATE TRIGGER mm AFTER INSERT ON t BEGIN INSERT INTO log(x) VALUES('mm'); END;
         CREATE TRIGGER aa AFTER INSERT ON t BEGIN INSERT INTO log(x) VALUES('aa'); END;",
    );
    let fire = |db: &Connection| {
        db.execute_batch("DELETE FROM log; INSERT INTO t(a) VALUES(1)").unwrap();
        rows(db, "SELECT x FROM log ORDER BY n")
    };
    let before = fire(&db);
    let change = TableChange { add: vec![column("n", Some("a"))], ..TableChange::default() };
    done(&mut db, &spec("t", change));
    assert_eq!(fire(&db), before);
}

#[test]
fn a_specification_survives_a_round_trip_through_json() {
    let json = serde_json::to_string(&fleet()).unwrap();
    assert_eq!(serde_json::from_str::<AlterSpec>(&json).unwrap(), fleet());
    let (catalog, _) = Catalog::read(&open(FLEET)).unwrap().after(&fleet()).unwrap();
    let json = serde_json::to_string(&catalog).unwrap();
    assert_eq!(serde_json::from_str::<Catalog>(&json).unwrap(), catalog);
}

/// A column whose type came after its rows, as an editor of `sqlite_schema` leaves it: a copy by value would turn the
/// texts into numbers.
const TYPED_LATE: &str = "
    CREATE TABLE t(id TEXT PRIMARY KEY, n, note TEXT DEFAULT 'x');
    INSERT INTO t(rowid, id, n) VALUES (7, 'a', '5'), (9, 'b', '1e3'), (40, 'c', 2.0), (41, NULL, NULL);
    PRAGMA writable_schema = ON;
    UPDATE sqlite_schema SET sql = 'CREATE TABLE t(id TEXT PRIMARY KEY, n INTEGER, note TEXT DEFAULT ''x'')'
        WHERE name = 't';
    PRAGMA writable_schema = RESET;
    CREATE INDEX t_n ON t(n);";

const TYPED_LATE_ROWS: &str = "SELECT rowid, id, n, typeof(n), note FROM t ORDER BY rowid";

#[test]
fn a_rebuild_between_equal_forms_moves_records_as_they_lie() {
    let mut db = open(TYPED_LATE);
    let before = rows(&db, TYPED_LATE_ROWS);
    let rebuild = TableChange { rebuild: true, ..TableChange::default() };
    let outcome = alter(&mut db, &spec("t", rebuild)).unwrap();
    assert_eq!(outcome.copied, [("t".to_owned(), 4)]);
    assert_eq!(rows(&db, TYPED_LATE_ROWS), before);
}

#[test]
fn a_copy_by_value_that_would_change_a_storage_class_is_refused() {
    let mut db = open(TYPED_LATE);
    let before = rows(&db, TYPED_LATE_ROWS);
    let change =
        TableChange { defaults: vec![("note".into(), DefaultChange::Drop)], ..TableChange::default() };
    let error = alter(&mut db, &spec("t", change)).unwrap_err();
    assert!(matches!(error, AlterError::ClassesDiffer { rows: 3, .. }), "{error}");
    assert_eq!(rows(&db, TYPED_LATE_ROWS), before);
}

#[test]
fn rows_of_a_table_without_any_index_keep_their_rowids() {
    let mut db = open("CREATE TABLE t(a); INSERT INTO t(rowid, a) VALUES (3, 'x'), (9, 'y'), (10, NULL);");
    let before = rows(&db, "SELECT rowid, a FROM t");
    alter(&mut db, &spec("t", TableChange { rebuild: true, ..TableChange::default() })).unwrap();
    assert_eq!(rows(&db, "SELECT rowid, a FROM t"), before);
}
