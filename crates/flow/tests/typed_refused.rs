//! What has no exact place at the other end is refused, and its place is named; nothing of the batch stays.
#![allow(clippy::unwrap_used)]

mod typed_common;

use switchback_flow::typed::{differing, prove, run_in};
use switchback_flow::{ColumnMove, Differs, End, FlowError, Options, TableMove, Take, check, run};
use switchback_site::tell::Tell;
use typed_common::{SMALL, file, key, same, server, table};

fn refused(moves: &[TableMove], from: &End, to: &End) -> String {
    run_in(SMALL, moves, from, to, &key(), &Tell::quiet()).unwrap_err().to_string()
}

#[test]
fn a_cell_of_sqlite_without_a_place_is_named_with_its_row_and_value() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    // The value in SQLite, the type in PostgreSQL, what is said of it.
    for (number, (value, sort, said)) in [
        ("'a' || char(0) || 'b'", "text", "it holds a NUL byte (at byte 1), which PostgreSQL cannot store in a text; the value is 'a\\0b'"),
        ("CAST(x'ff41' AS TEXT)", "text", "it is not UTF-8 (from byte 0 on); the value is '\u{fffd}A'"),
        ("'12'", "integer", "a text stands where an integer belongs; the value is '12'"),
        ("3.0", "bigint", "a real stands where an integer belongs; the value is '3.0'"),
        ("2147483648", "integer", "it is out of the range of integer; the value is '2147483648'"),
        ("-32769", "smallint", "it is out of the range of smallint; the value is '-32769'"),
        ("2", "boolean", "it is not a truth value: 0 or 1; the value is '2'"),
        ("9007199254740993", "double precision", "it has more digits than double precision holds, and would be rounded; the value is '9007199254740993'"),
        ("1.000000001", "real", "it has more digits than real holds, and would be rounded; the value is '1.000000001'"),
        ("'1.005'", "numeric(5,2)", "it has more digits than its numeric type holds, and would be rounded; the value is '1.005'"),
        ("1000", "numeric(5,2)", "it is out of the range of its numeric type; the value is '1000'"),
        ("'abcd'", "varchar(3)", "it has 4 characters, and the column holds 3; the value is 'abcd'"),
        ("'abcd'", "char(3)", "it has 4 characters, and the column holds 3; the value is 'abcd'"),
        ("5", "text", "an integer stands where a text belongs; the value is '5'"),
        ("x'00'", "text", "a blob stands where a text belongs; the value is 'x'00''"),
        ("'00'", "bytea", "a text stands where a blob belongs; the value is '00'"),
        ("1700000000", "timestamptz", "an integer stands where a time stamp as text belongs; the value is '1700000000'"),
        ("'2024-02-30 00:00:00'", "timestamp", "it is not a time stamp like 2024-02-29 23:59:59.123456; the value is '2024-02-30 00:00:00'"),
        ("'2024-02-29 00:00:00+01'", "timestamp", "it is not a time stamp like 2024-02-29 23:59:59.123456; the value is '2024-02-29 00:00:00+01'"),
        ("'2024-02-29 00:00:00.5'", "timestamp(0)", "it has more digits than the precision of its column holds, and would be rounded; the value is '2024-02-29 00:00:00.5'"),
        ("'{\"a\": \"\\u0000\"}'", "jsonb", "it is not JSON that PostgreSQL takes; the value is '{\"a\": \"\\u0000\"}'"),
        ("'[1,[2]]'", "integer[]", "it is not an array of such elements; the value is '[1,[2]]'"),
        ("'[[1],[2,3]]'", "integer[]", "it is not an array whose inner arrays are equally long; the value is '[[1],[2,3]]'"),
        ("'10.0.0.1/8'", "cidr", "it is not a network: it has bits to the right of its mask; the value is '10.0.0.1/8'"),
        ("'glad'", "mood", "the enum mood has no such label; the value is 'glad'"),
        ("NULL", "text NOT NULL", "the column takes no NULL"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut base = server.base(&format!("CREATE TYPE mood AS ENUM ('sad'); CREATE TABLE \"t t\" (id int, \"o'k\" {sort})"));
        let sql = format!("CREATE TABLE s (id INTEGER PRIMARY KEY, \"o'k\"); INSERT INTO s VALUES (7, {value})");
        let from = file(&folder.path().join(format!("{number}.db")), &sql);
        let text = refused(&[same("s", "t t", &["id", "o'k"])], &from, &base.end);
        assert_eq!(text, format!("put the value of s (rowid = 7) into column o'k of t t: {said}"));
        assert_eq!(base.value("SELECT count(*) FROM \"t t\""), "0");
    }
}

#[test]
fn a_value_of_postgres_that_sqlite_would_change_is_named() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    for (number, (value, declared, said)) in [
        ("'NaN'::float8", "REAL", "it is NaN, which SQLite would turn into NULL; the value is 'NaN'"),
        ("'-0'::float8", "REAL", "a column of REAL affinity would store 0.0 without its sign instead; declare the column BLOB; the value is '-0'"),
        ("'12'::text", "STRING", "a column of NUMERIC or INTEGER affinity would store a number instead; declare the column TEXT; the value is '12'"),
        ("'12345678901234567890.5'::numeric", "DECIMAL(30,2)", "a column of NUMERIC or INTEGER affinity would store a rounded number instead; declare the column TEXT; the value is '12345678901234567890.5'"),
        ("'[0:1]={1,2}'::int[]", "TEXT", "its first index is 0, and JSON has no place for that; move it as text"),
        ("NULL::int", "INT NOT NULL", "the column takes no NULL"),
    ]
    .into_iter()
    .enumerate()
    {
        let base = server.base(&format!("CREATE TABLE s AS SELECT 7 AS id, {value} AS v"));
        let path = folder.path().join(format!("{number}.db"));
        let to = file(&path, &format!("CREATE TABLE t (id INTEGER PRIMARY KEY, v {declared})"));
        let text = refused(&[same("s", "t", &["id", "v"])], &base.end, &to);
        let row = if said.starts_with("its first") { "" } else { " (id = '7')" };
        assert_eq!(text, format!("put the value of s{row} into column v of t: {said}"));
        let count: i64 = rusqlite::Connection::open(&path).unwrap().query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 0);
    }
}

#[test]
fn what_the_databases_refuse_is_named_by_its_row() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let mut base = server.base("CREATE TABLE t (id int PRIMARY KEY, v int UNIQUE CHECK (v > 0))");
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) INSERT INTO s SELECT i, i FROM n;";
    let from = file(
        &folder.path().join("a.db"),
        &format!("CREATE TABLE s (id INTEGER PRIMARY KEY, v INT); {rows} UPDATE s SET v = -1 WHERE id = 150"),
    );
    let moves = [same("s", "t", &["id", "v"])];
    let text = refused(&moves, &from, &base.end);
    assert!(text.starts_with("put the value of s (id = '150') into column (the whole row) of t: new row for relation \"t\" violates check"), "{text}");
    // What was committed before stays, and is gone on with once the row is mended.
    let before: u64 = base.value("SELECT count(*) FROM t").parse().unwrap();
    assert!((1..150).contains(&before), "{before}");
    let End::Sqlite(database) = &from else { unreachable!() };
    database.open_write().unwrap().execute_batch("UPDATE s SET v = 1 WHERE id = 150").unwrap();
    let text = refused(&moves, &from, &base.end);
    assert!(text.contains("(id = '150')") && text.contains("Key (v)=(1) already exists"), "{text}");
    database.open_write().unwrap().execute_batch("UPDATE s SET v = 150 WHERE id = 150").unwrap();
    let report = run_in(SMALL, &moves, &from, &base.end, &key(), &Tell::quiet()).unwrap();
    assert_eq!((report.rows, base.value("SELECT sum(v) FROM t").as_str()), (200, "20100"));

    let to =
        file(&folder.path().join("b.db"), "CREATE TABLE t (id INTEGER PRIMARY KEY, v INT CHECK (v <> 77))");
    let text = refused(&[same("t", "t", &["id", "v"])], &base.end, &to);
    assert!(
        text.starts_with(
            "put the value of t (id = '77') into column (the whole row) of t: CHECK constraint failed"
        ),
        "{text}"
    );
}

#[test]
fn everything_that_does_not_fit_is_said_at_once_and_before_a_row_is_written() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let base = server.base("CREATE TABLE t (id int, p point, g int GENERATED ALWAYS AS (id + 1) STORED); CREATE TABLE l (id int)");
    let from = file(&folder.path().join("a.db"), "CREATE TABLE s (id INTEGER PRIMARY KEY)");
    let mut odd = same("s", "t", &["id"]);
    for (to, take) in [
        ("p", Take::Column("id".to_owned())),
        ("g", Take::Column("id".to_owned())),
        ("none", Take::Constant(None)),
        ("id", Take::Constant(Some("x".to_owned()))),
    ] {
        odd.columns.push(ColumnMove { to: to.to_owned(), take });
    }
    let moves =
        [odd, same("none", "t", &["id"]), same("s", "none", &["id"]), same("s", "l", &["none", "id"])];
    let error = check(&moves, &from, &base.end, &Tell::quiet()).unwrap_err();
    let FlowError::Refused(problems) = &error else { panic!("{error}") };
    assert_eq!(
        problems.as_slice(),
        [
            "t.p: values of type point are not moved between the two databases",
            "t.g: it is generated from other columns",
            "t.none: the target has no such column",
            "t.id: it is filled twice",
            "t.id: the constant does not fit: it is not an integer",
            "none: the source has no such table",
            "none: the target has no such table",
            "l.none: the target has no such column",
        ]
    );
    let to = file(&folder.path().join("b.db"), "CREATE TABLE t (a TEXT, b REAL, c TEXT, d TEXT)");
    let mut odd = same("t", "t", &[]);
    for (to, sql) in [("a", "s.id"), ("b", "s.id"), ("c", "s.p"), ("d", "s.nothing")] {
        odd.columns.push(ColumnMove { to: to.to_owned(), take: Take::Expression(sql.to_owned()) });
    }
    let error = check(&[odd.clone()], &base.end, &to, &Tell::quiet()).unwrap_err().to_string();
    assert!(error.contains("column s.nothing does not exist"), "{error}");
    odd.columns.pop();
    let error = check(&[odd], &base.end, &to, &Tell::quiet()).unwrap_err().to_string();
    assert_eq!(
        error,
        "move the tables as asked: t.a: a column of TEXT affinity cannot keep values of type integer; declare it INTEGER; \
         t.b: a column of REAL affinity cannot keep values of type integer; declare it INTEGER; \
         t.c: values of type point are not moved; move them as text, with an expression such as (s.p)::text"
    );
}

#[test]
fn constants_expressions_filters_and_renames_are_moved_and_proven() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let mut base = server.base(
        "CREATE TABLE t (\"Id\" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant int, n numeric(10,2), at timestamptz, raw bytea, none text)",
    );
    let sql = "CREATE TABLE s (id INTEGER PRIMARY KEY, n); INSERT INTO s VALUES (1, 1.5), (2, 'x'), (3, 2), (40, '3.25')";
    let from = file(&folder.path().join("a.db"), sql);
    let column = |to: &str, take: Take| ColumnMove { to: to.to_owned(), take };
    let constant = |text: &str| Take::Constant(Some(text.to_owned()));
    let moves = [TableMove {
        columns: vec![
            column("Id", Take::Column("ID".to_owned())),
            column("tenant", constant("7")),
            column("n", Take::Expression("s.n * 1".to_owned())),
            column("at", constant("2024-01-01 00:00:00+01")),
            column("raw", constant("\\x00ff")),
            column("none", Take::Constant(None)),
        ],
        filter: Some("typeof(s.n) <> 'text' OR s.id = 40".to_owned()),
        ..same("s", "t", &[])
    }];
    let tell = Tell::quiet();
    let report = run(&moves, &from, &base.end, &key(), Options::default(), &tell).unwrap();
    assert_eq!((report.rows, report.sequences), (3, vec![("public.\"t_Id_seq\"".to_owned(), 40)]));
    assert_eq!(
        base.value("SELECT string_agg(t::text, ' ' ORDER BY \"Id\") FROM t"),
        "(1,7,1.50,\"2023-12-31 23:00:00+00\",\"\\\\x00ff\",) (3,7,2.00,\"2023-12-31 23:00:00+00\",\"\\\\x00ff\",) \
         (40,7,3.25,\"2023-12-31 23:00:00+00\",\"\\\\x00ff\",)"
    );
    let proven = |moves: &[TableMove], from: &End, to: &End| {
        prove(moves, from, to, Options::default(), &tell).unwrap()[0].equal
    };
    assert!(proven(&moves, &from, &base.end));

    let to = file(&folder.path().join("b.db"), "CREATE TABLE u (a INTEGER, b NUMERIC, c TEXT, d REAL)");
    let back = [TableMove {
        columns: vec![
            column("a", Take::Column("Id".to_owned())),
            column("b", constant(" 12.0 ")),
            column("c", constant("12.0")),
            column("d", Take::Expression("s.n::float8".to_owned())),
        ],
        ..same("t", "u", &[])
    }];
    run(&back, &base.end, &to, &key(), Options::default(), &tell).unwrap();
    assert!(proven(&back, &base.end, &to));
    let End::Sqlite(database) = &to else { unreachable!() };
    let shown: String = database
        .open_read()
        .unwrap()
        .query_row(
            "SELECT group_concat(quote(a) || quote(b) || quote(c) || quote(d), ' ' ORDER BY a) FROM u",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(shown, "112'12.0'1.5 312'12.0'2.0 4012'12.0'3.25");

    // A row that somebody changes, one that goes and one that comes are found, by key and by value.
    base.client.batch_execute("UPDATE t SET n = 9 WHERE \"Id\" = 1; DELETE FROM t WHERE \"Id\" = 3; INSERT INTO t (tenant) VALUES (1)").unwrap();
    assert!(!proven(&moves, &from, &base.end));
    let found = differing(&table("t"), &moves, &from, &base.end, 20, &tell).unwrap();
    let mut shown: Vec<String> = found.iter().map(ToString::to_string).collect();
    shown.sort();
    assert_eq!(
        shown,
        [
            "t (Id = '1'): n is '1.50' in the source, '9.00' in the target",
            "t (Id = '3'): not in the target",
            "t (Id = '41'): only in the target"
        ]
    );
    assert!(found.iter().any(|row| row.how == Differs::Missing));
    assert_eq!(differing(&table("t"), &moves, &from, &base.end, 1, &tell).unwrap().len(), 1);
}

#[test]
fn what_sqlite_would_do_in_silence_is_refused_or_found() {
    let folder = tempfile::tempdir().unwrap();
    let from = file(
        &folder.path().join("from.db"),
        "CREATE TABLE t (id INTEGER PRIMARY KEY, up INT, n TEXT); INSERT INTO t VALUES (1, 1, 'x'), (2, 9, 'x')",
    );
    let go = |moves: &[TableMove], to: &End| {
        let error = run_in(SMALL, moves, &from, to, &key(), &Tell::quiet()).unwrap_err().to_string();
        error.replace(&folder.path().display().to_string(), "/lab")
    };
    let moves = [same("t", "t", &["id", "up", "n"])];
    // References are looked at behind the rows, whatever the application does.
    let to = file(
        &folder.path().join("lost.db"),
        "CREATE TABLE t (id INTEGER PRIMARY KEY, up INT REFERENCES t (id), n TEXT)",
    );
    assert_eq!(
        go(&moves, &to),
        "keep the references of t: the row with rowid 2 refers to a row of t that is not there"
    );
    // A table that skips rows by its own word does not skip ours.
    let to = file(
        &folder.path().join("skips.db"),
        "CREATE TABLE t (id INTEGER PRIMARY KEY, up INT, n TEXT UNIQUE ON CONFLICT IGNORE)",
    );
    assert_eq!(
        go(&moves, &to),
        "put the value of t (id = '2') into column (the whole row) of t: UNIQUE constraint failed: t.n"
    );
    let to = file(
        &folder.path().join("fires.db"),
        "CREATE TABLE t (id INTEGER PRIMARY KEY, up INT, n TEXT); CREATE TABLE seen (n); \
         CREATE TRIGGER hears AFTER INSERT ON t BEGIN INSERT INTO seen VALUES (NEW.n); END",
    );
    assert_eq!(
        go(&moves, &to),
        "move the tables as asked: a trigger of t would run for every row; it may change rows or others' tables, so take it away first"
    );
    assert_eq!(
        go(&moves, &from),
        "move the tables as asked: both ends are /lab/from.db: within one file, SQL moves the rows"
    );
}
