//! Moving rows within one PostgreSQL database, and between two: the same moves, the same answers.
#![allow(clippy::unwrap_used)]

mod postgres_common;

use postgres_common::*;
use switchback_flow::{Miss, TableMove, Take};

/// Runs a test with both ends in one database, then with two databases. `old` and `new` are schemas.
fn both(old: &str, new: &str, test: impl Fn(&Server, &Place, &Place)) {
    let server = server();
    let one = server.database(&format!("CREATE SCHEMA old; CREATE SCHEMA new; {old}; {new}"));
    test(&server, &one, &one);
    let from = server.database(&format!("CREATE SCHEMA old; {old}"));
    let to = server.database(&format!("CREATE SCHEMA new; {new}"));
    test(&server, &from, &to);
}

#[test]
fn rows_arrive_whole_and_the_proof_says_so() {
    let old = r#"
        CREATE TABLE old.plain (id int PRIMARY KEY, t text, j json, b jsonb, n numeric, d timestamptz, r bytea, a int[], u uuid, f float8);
        INSERT INTO old.plain SELECT i, CASE i % 3 WHEN 0 THEN '' WHEN 1 THEN NULL ELSE E'a\tb\\ "c" ü' || i END,
          '{"b":  1, "b":2}', '{"x": 0.1234567890123456789}', 0.1000 * i, 'infinity', '\x00ff', '{1,NULL,3}',
          pg_catalog.gen_random_uuid(), 'NaN' FROM generate_series(1, 1000) i;
        CREATE TABLE old.empty (id int PRIMARY KEY);
        CREATE TABLE old.pair (a text, b int, v text, PRIMARY KEY (a, b)); INSERT INTO old.pair VALUES ('x', 1, 'p'), ('x', 2, 'q');
        CREATE TABLE old."a ""b"" ' $1 -- /*" ("c ""d"" ' ;" int PRIMARY KEY, "sixty-three-bytes-sixty-three-bytes-sixty-three-bytes-sixty-thr" text);
        INSERT INTO old."a ""b"" ' $1 -- /*" VALUES (7, 'seven');
        CREATE TABLE old.none (v int); INSERT INTO old.none VALUES (1), (1), (NULL);
    "#;
    let new = r#"
        CREATE TABLE new.plain (id int PRIMARY KEY, t text, j json, b jsonb, n numeric, d timestamptz, r bytea, a int[], u uuid, f float8,
          twice int GENERATED ALWAYS AS (id * 2) STORED, made text DEFAULT 'by default');
        CREATE TABLE new.empty (id int PRIMARY KEY);
        CREATE TABLE new.pair (b int, renamed text, v varchar(9), tenant bigint, note text, PRIMARY KEY (tenant, renamed, b));
        CREATE TABLE new."x y" (key int PRIMARY KEY, "sixty-three-bytes-sixty-three-bytes-sixty-three-bytes-sixty-thr" text);
        CREATE TABLE new.none (v int);
    "#;
    let hostile = r#"old.a "b" ' $1 -- /*"#;
    let moves = jobs(vec![
        job("old.plain", "new.plain", "id t j b n d r a u f"),
        job("old.empty", "new.empty", "id"),
        job("old.pair", "new.pair", "b")
            .take("renamed", "a")
            .expr("v", "upper(s.v) -- a comment")
            .set("tenant", Some("42"))
            .set("note", Some("it's \\ a \"note\"; DROP TABLE new.pair; --"))
            .filter("s.b > 0 OR s.v IS NULL"),
        job(hostile, "new.x y", "sixty-three-bytes-sixty-three-bytes-sixty-three-bytes-sixty-thr")
            .take("key", r#"c "d" ' ;"#),
        job("old.none", "new.none", "v"),
    ]);
    both(old, new, |server, from, to| {
        check(&moves, from, to).unwrap();
        let report = run(&moves, from, to).unwrap();
        assert_eq!((report.rows, report.found), (1006, 0));
        assert_proven(&moves, from, to);
        assert_eq!(
            server.value(to, "SELECT count(*) FROM new.plain WHERE twice = id * 2 AND made = 'by default'"),
            "1000"
        );
        assert_eq!(
            server.rows(to, "SELECT * FROM new.pair ORDER BY b")[1],
            r#"(2,x,Q,42,"it's \\ a ""note""; DROP TABLE new.pair; --")"#
        );
        // Once more is nothing more.
        let again = run(&moves, from, to).unwrap();
        assert_eq!(again.rows, 1006);
        assert_proven(&moves, from, to);
    });
}

#[test]
fn types_of_the_application_travel_as_text() {
    let types = |schema: &str| {
        format!(
            "CREATE TYPE {schema}.mood AS ENUM ('sad', 'ok'); CREATE DOMAIN {schema}.name AS text CHECK (VALUE <> ''); \
             CREATE TYPE {schema}.pair AS (a int, b text); \
             CREATE TABLE {schema}.t (id int PRIMARY KEY, m {schema}.mood, ms {schema}.mood[], n {schema}.name, p {schema}.pair, c regclass)"
        )
    };
    let old = format!(
        "{}; INSERT INTO old.t VALUES (1, 'ok', '{{sad,ok}}', E'a\\tb\\n\\\\', (1, 'x y'), 'pg_catalog.pg_class'), (2, NULL, NULL, NULL, NULL, NULL)",
        types("old")
    );
    let moves = jobs(vec![
        job("old.t", "new.t", "id c")
            .expr("m", "s.m::text::new.mood")
            .expr("ms", "s.ms::text::new.mood[]")
            .expr("n", "s.n::text")
            .expr("p", "s.p::text::new.pair"),
    ]);
    let server = server();
    let one = server.database(&format!("CREATE SCHEMA old; CREATE SCHEMA new; {old}; {}", types("new")));
    run(&moves, &one, &one).unwrap();
    assert_proven(&moves, &one, &one);
    // Between databases a type of the target has no name in the source: its text is what travels.
    let moves = jobs(vec![
        job("old.t", "new.t", "id c").expr("m", "s.m").expr("ms", "s.ms").expr("n", "s.n").expr("p", "s.p"),
    ]);
    let from = server.database(&format!("CREATE SCHEMA old; {old}"));
    let to = server.database(&format!("CREATE SCHEMA new; {}", types("new")));
    check(&moves, &from, &to).unwrap();
    run(&moves, &from, &to).unwrap();
    assert_eq!(
        server.rows(&one, "SELECT id, m, ms, n, p, c FROM new.t ORDER BY id"),
        server.rows(&to, "SELECT id, m, ms, n, p, c FROM new.t ORDER BY id")
    );
    assert_proven(&moves, &from, &to);
}

#[test]
fn sequences_go_beyond_what_was_filled_and_never_backwards() {
    let old = "CREATE TABLE old.t (id bigint, small int); INSERT INTO old.t VALUES (5, 1), (77, 2);
        CREATE TABLE old.e (id bigint)";
    let new = "CREATE TABLE new.always (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, small serial);
        CREATE TABLE new.ahead (id bigserial PRIMARY KEY); SELECT setval('new.ahead_id_seq', 1000);
        CREATE SEQUENCE new.down INCREMENT -1 MAXVALUE 100 START 100; CREATE TABLE new.down_t (id bigint DEFAULT nextval('new.down'));
        CREATE SEQUENCE new.one; CREATE TABLE new.one_t (id bigint DEFAULT nextval('new.one'));
        CREATE TABLE new.unfilled (id bigserial, small int);
        CREATE TABLE new.void (id bigserial)";
    let moves = jobs(vec![
        job("old.t", "new.always", "id small"),
        job("old.t", "new.ahead", "id"),
        job("old.t", "new.down_t", "id"),
        job("old.t", "new.one_t", "").expr("id", "1").filter("s.id = 5"),
        job("old.t", "new.unfilled", "small"),
        job("old.e", "new.void", "id"),
    ]);
    both(old, new, |server, from, to| {
        let report = run(&moves, from, to).unwrap();
        let set: Vec<String> =
            report.sequences.iter().map(|(name, value)| format!("{name} {value}")).collect();
        assert_eq!(
            set,
            [
                "\"new\".\"always_id_seq\" 77",
                "\"new\".\"always_small_seq\" 2",
                "\"new\".\"down\" 5",
                "\"new\".\"one\" 1"
            ]
        );
        assert_eq!(server.value(to, "nextval('new.ahead_id_seq')"), "1001");
        assert_eq!(server.value(to, "nextval('new.one')"), "2");
        assert_eq!(server.value(to, "nextval('new.down')"), "4");
        assert_eq!(server.value(to, "nextval('new.void_id_seq')"), "1");
        assert_eq!(server.value(to, "nextval('new.unfilled_id_seq')"), "3");
    });
}

#[test]
fn what_is_referred_to_comes_first_and_circles_wait_for_the_commit() {
    let tables = |schema: &str| {
        format!(
            "CREATE TABLE {schema}.child (id int PRIMARY KEY, parent int);
             CREATE TABLE {schema}.parent (id int PRIMARY KEY);
             CREATE TABLE {schema}.left (id int PRIMARY KEY, other int);
             CREATE TABLE {schema}.right (id int PRIMARY KEY, other int);
             CREATE TABLE {schema}.tree (id int PRIMARY KEY, up int)"
        )
    };
    let old = format!(
        "{}; INSERT INTO old.child SELECT i, i FROM generate_series(1, 100) i; INSERT INTO old.parent SELECT id FROM old.child;
         INSERT INTO old.left SELECT i, i FROM generate_series(1, 100) i; INSERT INTO old.right SELECT * FROM old.left;
         INSERT INTO old.tree SELECT i, CASE WHEN i < 100 THEN i + 1 END FROM generate_series(1, 100) i",
        tables("old")
    );
    let new = format!(
        "{}; ALTER TABLE new.child ADD FOREIGN KEY (parent) REFERENCES new.parent;
         ALTER TABLE new.left ADD FOREIGN KEY (other) REFERENCES new.right DEFERRABLE;
         ALTER TABLE new.right ADD CONSTRAINT strict FOREIGN KEY (other) REFERENCES new.left;
         ALTER TABLE new.tree ADD FOREIGN KEY (up) REFERENCES new.tree",
        tables("new")
    );
    let moves = jobs(vec![
        job("old.child", "new.child", "id parent"),
        job("old.parent", "new.parent", "id"),
        job("old.right", "new.right", "id other"),
        job("old.left", "new.left", "id other"),
        job("old.tree", "new.tree", "id up"),
    ]);
    both(&old, &new, |_, from, to| {
        run(&moves, from, to).unwrap();
        assert_proven(&moves, from, to);
    });
    let strict = new.replace(" DEFERRABLE", "");
    let server = server();
    let one = server.database(&format!("CREATE SCHEMA old; CREATE SCHEMA new; {old}; {strict}"));
    // Where nothing can wait, the references are away meanwhile; not where rows of others are in the tables.
    server.run(&one, "INSERT INTO new.left VALUES (0, NULL); INSERT INTO new.right VALUES (0, NULL)");
    for error in [check(&moves, &one, &one), run(&moves, &one, &one).map(drop)] {
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("new.right, new.left refer to one another, and none of the references can wait"),
            "{error}"
        );
        assert!(error.contains("empty and yours"), "{error}");
    }
    assert_eq!(server.value(&one, "SELECT count(*) FROM new.child"), "0");
    let keys =
        "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'new'::regnamespace";
    both(&old, &strict, |server, from, to| {
        check(&moves, from, to).unwrap();
        run(&moves, from, to).unwrap();
        assert_proven(&moves, from, to);
        assert_eq!(server.value(to, keys), "4");
        // Again is nothing.
        run(&moves, from, to).unwrap();
    });
    // They come back only over rows that they allow.
    let bad = old.replace(
        "INSERT INTO old.right SELECT * FROM old.left",
        "INSERT INTO old.right SELECT i, i + 1 FROM generate_series(1, 100) i",
    );
    both(&bad, &strict, |_, from, to| {
        let error = run(&moves, from, to).unwrap_err().to_string();
        assert!(error.contains("strict") && error.contains("101"), "{error}");
    });
}

#[test]
fn lookups_find_fail_drop_or_leave_empty() {
    let old = "CREATE TABLE old.member (id int PRIMARY KEY, who text); INSERT INTO old.member VALUES (1, 'ann'), (2, 'bob');
        CREATE TABLE old.setting (id int PRIMARY KEY, who text, v text);
        INSERT INTO old.setting VALUES (10, 'bob', 'x'), (11, 'eve', 'y'), (12, NULL, 'z')";
    let new = "CREATE TABLE new.member (id bigint GENERATED ALWAYS AS IDENTITY (START 500) PRIMARY KEY, who text, org int);
        INSERT INTO new.member (who, org) VALUES ('bob', 8);
        CREATE TABLE new.setting (id int PRIMARY KEY, member bigint REFERENCES new.member, v text)";
    let moves = |miss: Miss| -> Vec<TableMove> {
        let by = vec![
            column("who", Take::Column("who".to_owned())),
            column("org", Take::Constant(Some("7".to_owned()))),
        ];
        jobs(vec![
            job("old.setting", "new.setting", "id v").look("member", "new.member", by, "id", miss),
            job("old.member", "new.member", "who").set("org", Some("7")),
        ])
    };
    let settings = "SELECT s.id, m.who, m.org, s.v FROM new.setting s LEFT JOIN new.member m ON m.id = s.member ORDER BY s.id";
    both(old, new, |server, from, to| {
        check(&moves(Miss::Fail), from, to).unwrap();
        let error = run(&moves(Miss::Fail), from, to).unwrap_err().to_string();
        assert_eq!(
            error,
            "fill column member of new.setting: no row of new.member answers to (who = eve, org = 7) of old.setting"
        );
        assert_eq!(server.value(to, "SELECT count(*) FROM new.setting"), "0");
        server.run(to, "TRUNCATE new.member CASCADE; DROP SCHEMA switchback CASCADE");
        let report = run(&moves(Miss::Drop), from, to).unwrap();
        assert_eq!((report.rows, report.dropped), (4, vec![(0, 1)]));
        assert_eq!(server.rows(to, settings), ["(10,bob,7,x)", "(12,,,z)"]);
        let proofs = prove(&moves(Miss::Drop), from, to);
        assert!(proofs.iter().all(|proof| proof.equal), "{proofs:?}");
        assert_eq!(proofs[0].dropped, 1);
        // A later life knows what an earlier one dropped.
        assert_eq!(run(&moves(Miss::Drop), from, to).unwrap().dropped, [(0, 1)]);
        assert!(differing("new.setting", &moves(Miss::Drop), from, to).is_empty());
        server.run(to, "UPDATE new.setting SET v = 'changed' WHERE id = 10");
        assert_eq!(
            differing("new.setting", &moves(Miss::Drop), from, to),
            ["new.setting (id = '10'): v is 'x' in the source, 'changed' in the target"]
        );
        server.run(to, "TRUNCATE new.member CASCADE; DROP SCHEMA switchback CASCADE");
        run(&moves(Miss::Null), from, to).unwrap();
        assert_eq!(server.rows(to, settings), ["(10,bob,7,x)", "(11,,,y)", "(12,,,z)"]);
        assert_proven(&moves(Miss::Null), from, to);
        server.run(to, "TRUNCATE new.setting; INSERT INTO new.member (who, org) VALUES ('bob', 7), ('joe', 7), ('joe', 7); DROP SCHEMA switchback CASCADE");
        let error = run(&moves(Miss::Null)[..1], from, to).unwrap_err().to_string();
        assert_eq!(
            error,
            "fill column member of new.setting: new.member has more than one row for who = bob, org = 7"
        );
    });
}

#[test]
fn a_large_table_is_moved_and_proven_in_parts() {
    let old = "CREATE TABLE old.big (id int PRIMARY KEY, v text);
        INSERT INTO old.big SELECT i, repeat('x', 200) || i FROM generate_series(1, 400000) i; ANALYZE old.big";
    let new = "CREATE TABLE new.big (id int PRIMARY KEY, v text)";
    let moves = jobs(vec![job("old.big", "new.big", "id v")]);
    both(old, new, |server, from, to| {
        let report = run(&moves, from, to).unwrap();
        assert_eq!(report.rows, 400_000);
        assert!(server.rows(to, "SELECT part FROM switchback.cursor").len() > 3);
        assert_proven(&moves, from, to);
    });
}
