//! Round trips between SQLite and PostgreSQL: what comes back is what went, over all storage classes and types.
#![allow(clippy::unwrap_used)]

mod typed_common;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rusqlite::types::Value;
use switchback_flow::typed::{differing, prove, run_in};
use switchback_flow::{CursorKey, Options};
use switchback_site::tell::Tell;
use typed_common::{SMALL, file, key, same, server};

/// The columns of PostgreSQL: their type, what SQLite declares for them, and literals of the type.
fn columns() -> Vec<(&'static str, &'static str, BoxedStrategy<String>)> {
    let quoted = |text: String| format!("'{}'", text.replace('\'', "''"));
    let text = || "[^\u{0}]{0,12}".prop_map(|text: String| text).boxed();
    let words = |words: &'static [&'static str]| prop::sample::select(words).prop_map(str::to_owned).boxed();
    let digits = || "-?[0-9]{1,30}(\\.[0-9]{1,20})?";
    let stamp = || {
        (-210_866_803_200_000_000_i64 / 1000..9_223_371_331_199_000_i64).prop_map(|millis| {
            format!("'epoch'::timestamp + {millis} * interval '1 millisecond' + interval '7 microseconds'")
        })
    };
    let date =
        || (-2_451_545 + 10_957..2_000_000_i32).prop_map(|days| format!("'epoch'::date + {days}")).boxed();
    let double = || {
        prop_oneof![
            any::<f64>()
                .prop_filter("SQLite has no NaN", |value| !value.is_nan())
                .prop_map(|value| format!("'{value:e}'")),
            words(&["'Infinity'", "'-Infinity'", "'0'", "'5e-324'", "'1e308'", "'3'"]),
        ]
        .boxed()
    };
    let single = any::<f32>()
        .prop_filter("SQLite has no NaN", |value| !value.is_nan())
        .prop_map(|value| format!("'{value:e}'"));
    vec![
        ("boolean", "BOOLEAN", words(&["true", "false"])),
        ("smallint", "INTEGER", any::<i16>().prop_map(|value| format!("'{value}'")).boxed()),
        ("integer", "INT", any::<i32>().prop_map(|value| format!("'{value}'")).boxed()),
        ("bigint", "", any::<i64>().prop_map(|value| format!("'{value}'")).boxed()),
        ("oid", "INTEGER", any::<u32>().prop_map(|value| format!("'{value}'")).boxed()),
        ("real", "BLOB", single.boxed()),
        ("double precision", "BLOB", double()),
        (
            "numeric",
            "TEXT",
            prop_oneof![digits().prop_map(quoted), words(&["'NaN'", "'Infinity'", "'0.00'", "'1e300'"])]
                .boxed(),
        ),
        ("numeric(20,4)", "TEXT", "-?[0-9]{1,16}(\\.[0-9]{1,4})?".prop_map(quoted).boxed()),
        ("numeric(12,2)", "DECIMAL(12,2)", "-?[0-9]{1,10}(\\.[0-9]{1,2})?".prop_map(quoted).boxed()),
        ("text", "TEXT", text().prop_map(quoted).boxed()),
        ("varchar(12)", "VARCHAR(12)", text().prop_map(quoted).boxed()),
        ("char(12)", "CHAR(12)", text().prop_map(quoted).boxed()),
        ("name", "TEXT", "[a-z \"']{0,63}".prop_map(quoted).boxed()),
        ("citext", "TEXT", text().prop_map(quoted).boxed()),
        ("mood", "TEXT", words(&["'sad'", "'it''s ok'", "''"])),
        ("positive", "INTEGER", (1..i32::MAX).prop_map(|value| value.to_string()).boxed()),
        (
            "bytea",
            "BLOB",
            prop::collection::vec(any::<u8>(), 0..9)
                .prop_map(|bytes| {
                    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                    format!("'\\x{hex}'")
                })
                .boxed(),
        ),
        ("uuid", "TEXT", any::<u128>().prop_map(|value| format!("'{value:032x}'")).boxed()),
        (
            "date",
            "DATE",
            prop_oneof![date(), words(&["'infinity'", "'-infinity'", "'0044-03-15 BC'"])].boxed(),
        ),
        (
            "time",
            "TIME",
            (0..=86_400_000_000_i64)
                .prop_map(|micros| {
                    format!(
                        "'{:02}:{:02}:{:02}.{:06}'",
                        micros / 3_600_000_000,
                        micros / 60_000_000 % 60,
                        micros / 1_000_000 % 60,
                        micros % 1_000_000
                    )
                })
                .boxed(),
        ),
        ("timetz", "TEXT", words(&["'12:34:56.789+05:45'", "'24:00:00-15:59:59'", "'00:00:00Z'"])),
        (
            "timestamp",
            "DATETIME",
            prop_oneof![stamp(), words(&["'infinity'", "'-infinity'", "'4714-11-24 00:00:00 BC'"])].boxed(),
        ),
        (
            "timestamptz",
            "DATETIME",
            prop_oneof![
                stamp().prop_map(|stamp| format!("({stamp}) AT TIME ZONE 'UTC'")),
                words(&["'infinity'", "'2024-03-31 02:30:00+02'"])
            ]
            .boxed(),
        ),
        ("timestamp(0)", "TEXT", words(&["'2024-02-29 23:59:59'"])),
        (
            "interval",
            "TEXT",
            (any::<i32>(), any::<i32>(), any::<i64>())
                .prop_map(|(months, days, micros)| {
                    format!(
                        "make_interval(months => {}, days => {}) + {} * interval '1 microsecond'",
                        months / 2,
                        days / 2,
                        micros / 4
                    )
                })
                .boxed(),
        ),
        ("inet", "TEXT", words(&["'192.0.2.7'", "'192.0.2.7/24'", "'2001:db8::1'", "'::ffff:1.2.3.4/100'"])),
        ("cidr", "TEXT", words(&["'192.0.2.0/24'", "'2001:db8::/32'", "'10.1.2.3/32'"])),
        (
            "json",
            "TEXT",
            words(&[
                "'{\"b\" : 1,  \"a\":[1.50, null]}'",
                "'\"x\"'",
                "'{\"a\":1,\"a\":2}'",
                "' [] '",
                "'null'",
            ]),
        ),
        (
            "jsonb",
            "TEXT",
            words(&[
                "'{\"bb\": 1.50, \"a\": [null, true, {}], \"bb\": 0.1234567890123456789}'",
                "'\"\\u00e9\\n\\u001f\\/\"'",
                "'123'",
                "'null'",
                "'1e5'",
            ]),
        ),
        ("integer[]", "TEXT", words(&["'{}'", "'{1,NULL,-3}'", "'{{1,2},{3,4}}'"])),
        (
            "text[]",
            "TEXT",
            words(&["'{}'", "'{\"\",NULL,\"NULL\",\"a\\\"b\"}'", "ARRAY['é', E'\\n', '[1]']"]),
        ),
        ("double precision[]", "TEXT", words(&["'{NaN,Infinity,-Infinity,0.1,-0,1e300}'"])),
        ("real[]", "TEXT", words(&["'{0.1,NaN,3.4028235e38}'"])),
        ("numeric[]", "TEXT", words(&["'{1.50,NaN,12345678901234567890.123}'"])),
        ("boolean[]", "TEXT", words(&["'{t,f,NULL}'"])),
        ("bytea[]", "TEXT", words(&["ARRAY['\\x00ff'::bytea, '\\x']"])),
        ("jsonb[]", "TEXT", words(&["ARRAY['{\"a\": [1]}'::jsonb, 'null']"])),
        ("timestamptz[]", "TEXT", words(&["ARRAY['2024-02-29 12:00:00+00'::timestamptz, 'infinity']"])),
        ("mood[]", "TEXT", words(&["ARRAY['sad', '']::mood[]"])),
        ("varchar(3)[]", "TEXT", words(&["'{abc,d}'"])),
    ]
}

const TYPES: &str = "CREATE EXTENSION IF NOT EXISTS citext; CREATE TYPE mood AS ENUM ('sad', 'it''s ok', ''); \
                     CREATE DOMAIN positive AS integer CHECK (VALUE > 0);";

#[test]
fn postgres_comes_back_from_sqlite_value_by_value() {
    let server = server();
    let mut base = server.base(TYPES);
    let columns = columns();
    // Names that hurt: quotes, spaces, 63 bytes.
    let name = |at: usize| match at {
        0 => "o'Brien \"lab\"; DROP TABLE a;--".to_owned(),
        1 => format!("é{}", "x".repeat(61)),
        2 => " ".to_owned(),
        at => format!("c{at}"),
    };
    let quote = |name: String| format!("\"{}\"", name.replace('"', "\"\""));
    let list = |sqlite: bool| {
        let column = |(at, (sort, declared, _)): (usize, &(&str, &str, _))| {
            format!("{} {}", quote(name(at)), if sqlite { declared } else { sort })
        };
        columns.iter().enumerate().map(column).collect::<Vec<_>>().join(", ")
    };
    base.client
        .batch_execute(&format!(
            "CREATE TABLE a (id integer PRIMARY KEY, {}); CREATE TABLE b (LIKE a INCLUDING ALL)",
            list(false)
        ))
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("there and back.db");
    let middle = file(&path, &format!("CREATE TABLE \"m \"\" x\" (id INTEGER PRIMARY KEY, {})", list(true)));
    let cells: Vec<_> =
        columns.iter().map(|(_, _, value)| prop::option::weighted(0.9, value.clone())).collect();
    let row = cells.prop_map(|cells| {
        cells.into_iter().map(|cell| cell.unwrap_or("NULL".to_owned())).collect::<Vec<_>>()
    });
    let names: Vec<String> = (0..columns.len()).map(name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).chain(["id"]).collect();
    let (there, back) = (same("public.a", "m \" x", &names), same("m \" x", "b", &names));
    let base = std::cell::RefCell::new(base);
    let mut number = 0;
    let mut runner = TestRunner::new(Config {
        cases: 24,
        max_shrink_iters: 40,
        failure_persistence: None,
        ..Config::default()
    });
    let number = std::cell::RefCell::new(&mut number);
    runner
        .run(&prop::collection::vec(row, 0..12), |rows| {
            let mut base = base.borrow_mut();
            **number.borrow_mut() += 1;
            let key = CursorKey { step: format!("copy{}", number.borrow()), ..key() };
            base.client.batch_execute("TRUNCATE a, b").unwrap();
            rusqlite::Connection::open(&path).unwrap().execute_batch("DELETE FROM \"m \"\" x\"").unwrap();
            for (id, row) in rows.iter().enumerate() {
                base.client.batch_execute(&format!("INSERT INTO a VALUES ({id}, {})", row.join(", "))).map_err(|error| {
                    TestCaseError::reject(format!("{error:?}"))
                })?;
            }
            let tell = Tell::quiet();
            run_in(SMALL, std::slice::from_ref(&there), &base.end, &middle, &key, &tell).map_err(|error| TestCaseError::fail(error.to_string()))?;
            let report = run_in(SMALL, std::slice::from_ref(&back), &middle, &base.end, &key, &tell)
                .map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(report.rows, rows.len() as u64);
            for (lane, from, to) in [(&there, &base.end, &middle), (&back, &middle, &base.end)] {
                let proof = prove(std::slice::from_ref(lane), from, to, Options::default(), &tell).unwrap();
let shown = || differing(&lane.to, std::slice::from_ref(lane), from, to, 3, &tell).unwrap();
                prop_assert!(proof[0].equal, "{:?}", shown());
                prop_assert_eq!(proof[0].source.rows, rows.len() as u64);
            }
            let lost = "SELECT coalesce(string_agg(x, ' | '), '') FROM (SELECT a::text FROM a EXCEPT ALL SELECT b::text FROM b) d(x)";
            prop_assert_eq!(base.value(lost), "");
            Ok(())
        })
        .unwrap();
}

#[derive(Debug, Clone)]
struct Row(Vec<Value>);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let texts = prop_oneof![
        "[^\u{0}]{0,12}".prop_map(|text: String| text),
        prop::sample::select(&["", "NULL", "1", "1.0", " ", "\\N", "é\u{10ffff}"][..])
            .prop_map(str::to_owned),
    ];
    let real = any::<f64>()
        .prop_filter("no NaN, and no sign of zero", |value| !value.is_nan() && value.to_bits() != 1 << 63);
    let row = (
        prop::option::of(any::<i64>()),
        prop::option::of(real),
        prop::option::of(texts.clone()),
        prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
        prop::option::of(texts),
    );
    let value = |value: Option<Value>| value.unwrap_or(Value::Null);
    let row = row.prop_map(move |(integer, real, text, blob, other)| {
        Row(vec![
            value(integer.map(Value::Integer)),
            value(real.map(Value::Real)),
            value(text.map(Value::Text)),
            value(blob.map(Value::Blob)),
            value(other.map(Value::Text)),
        ])
    });
    prop::collection::vec(row, 0..60)
}

#[test]
fn sqlite_comes_back_from_postgres_storage_class_by_storage_class() {
    let server = server();
    let base = server.base("CREATE TABLE m (i bigint, r double precision, t text, b bytea, v text)");
    let folder = tempfile::tempdir().unwrap();
    let table = |name: &str| format!("CREATE TABLE {name} (i INTEGER, r REAL, t TEXT, b BLOB, v); ");
    let path = folder.path().join("a.db");
    let end = file(&path, &(table("a") + &table("b")));
    let names = ["i", "r", "t", "b", "v"];
    let (there, back) = (same("a", "m", &names), same("m", "b", &names));
    let base = std::cell::RefCell::new(base);
    let number = std::cell::Cell::new(0);
    let mut runner = TestRunner::new(Config {
        cases: 32,
        max_shrink_iters: 60,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&rows(), |rows| {
            let mut base = base.borrow_mut();
            number.set(number.get() + 1);
            let key = CursorKey { step: format!("copy{}", number.get()), ..key() };
            base.client.batch_execute("TRUNCATE m").unwrap();
            let connection = rusqlite::Connection::open(&path).unwrap();
            connection.execute_batch("DELETE FROM a; DELETE FROM b; BEGIN").unwrap();
            for row in &rows {
                connection.execute("INSERT INTO a VALUES (?,?,?,?,?)", rusqlite::params_from_iter(&row.0)).unwrap();
            }
            connection.execute_batch("COMMIT").unwrap();
            let tell = Tell::quiet();
            let fail = |error: switchback_flow::FlowError| TestCaseError::fail(error.to_string());
            run_in(SMALL, std::slice::from_ref(&there), &end, &base.end, &key, &tell).map_err(fail)?;
            run_in(SMALL, std::slice::from_ref(&back), &base.end, &end, &key, &tell).map_err(fail)?;
            let differing = "SELECT count(*) FROM a JOIN b ON a.rowid = b.rowid WHERE (a.i, a.r, a.t, a.b, a.v) IS NOT (b.i, b.r, b.t, b.b, b.v) \
                             OR typeof(a.r) <> typeof(b.r) OR typeof(a.v) <> typeof(b.v)";
            let count: i64 = connection.query_row(differing, [], |row| row.get(0)).unwrap();
            let there: i64 = connection.query_row("SELECT count(*) FROM b", [], |row| row.get(0)).unwrap();
            prop_assert_eq!((count, there), (0, rows.len() as i64));
            Ok(())
        })
        .unwrap();
}
