//! `copy` into a SQLite file: each batch commits with a row of its own, by which our commits are counted.

use super::postgres::target;
use super::store::{self, DB};
use crate::bench::{Bench, Plan};
use crate::fixture::{Fixture, Hand};
use crate::server::Server;
use std::collections::BTreeMap;
use std::path::Path;
use switchback_engine::step::AnyStep;
use switchback_flow::Indexes;
use switchback_model::target::TargetDef;
use switchback_steps::backup::Backup;
use switchback_steps::copy::mapping::{Filling, Mapped, Mapping};
use switchback_steps::copy::{Copy, End, SchemaName};
use switchback_steps::sql::Sql;

const FOREIGN: &[Hand] = &[("a row", store::a_row), ("the application ran", store::a_row_by_the_application)];
const HALVES: &[Hand] = &[("a hot journal", store::a_hot_journal)];

const NEW: &str = "CREATE TABLE person (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, tenant TEXT);\n\
    CREATE TABLE visit (id TEXT PRIMARY KEY, person INTEGER REFERENCES person (id), at TEXT, raw BLOB) WITHOUT ROWID;";

/// From another SQLite file, whose rows are partly in its log.
pub fn sqlite() -> Fixture {
    Fixture {
        halves: HALVES,
        foreign_before: FOREIGN,
        foreign_after: FOREIGN,
        ..Fixture::of::<Copy>("copy-sqlite", || {
            bench(|folder| {
                let old = store::app(&folder.join("old.db"));
                let rows = "PRAGMA journal_mode = WAL; CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT); \
                    CREATE TABLE visit (id TEXT, person INTEGER, at TEXT, raw BLOB); \
                    INSERT INTO people VALUES (3, 'O''Brien \"lab\"; DROP'), (40, ''); \
                    INSERT INTO visit VALUES ('a', 3, '2026-01-01', x'00ff'), ('b', 40, NULL, ''), ('c', NULL, '', NULL)";
                old.execute_batch(rows).unwrap();
                let path = folder.join("old.db").display().to_string();
                (TargetDef::Sqlite { path, made_by_us: false }, None, None)
            })
        })
    }
}

/// From PostgreSQL.
pub fn to_sqlite() -> Fixture {
    Fixture {
        halves: HALVES,
        foreign_before: FOREIGN,
        foreign_after: FOREIGN,
        ..Fixture::of::<Copy>("copy-to-sqlite", || {
            bench(|_| {
                let server = Server::shared();
                let rows = "CREATE SCHEMA old; CREATE TABLE old.people (id bigint PRIMARY KEY, name text); \
                    CREATE TABLE old.visit (id text, person int, at timestamptz, raw bytea); \
                    INSERT INTO old.people VALUES (3, 'O''Brien \"lab\"; DROP'), (40, ''); \
                    INSERT INTO old.visit VALUES ('a', 3, '2026-01-01 12:00+02', '\\x00ff'), ('b', 40, 'infinity', ''), ('c', NULL, NULL, NULL)";
                let url = server.cluster.url(&server.database(rows));
                let schema = Some(SchemaName::Named("old".into()));
                (target(&url, &["old"], true, false), schema, Some(server))
            })
        })
    }
}

/// The source, its schema, and the server that it is on.
type Source = (TargetDef, Option<SchemaName>, Option<std::sync::Arc<Server>>);

fn bench(source: impl FnOnce(&Path) -> Source) -> Bench {
    Bench::new(|folder| {
        store::make(&folder.join(DB), true);
        let (old, schema, server) = source(folder);
        let mut targets = store::target(folder);
        targets.insert("old".to_owned(), old);
        let tables = Sql {
            target: "db".into(),
            name: "tables".into(),
            script: NEW.into(),
            params: BTreeMap::new(),
            shows: None,
        };
        let steps: Vec<Box<dyn AnyStep>> =
            vec![Box::new(Backup { target: "db".into() }), Box::new(tables), Box::new(copies(schema))];
        let company = server.map(|server| Box::new(server) as Box<dyn std::any::Any>);
        Plan { targets, steps, done: 2, company, ..Plan::default() }
    })
}

fn copies(schema: Option<SchemaName>) -> Copy {
    let column = |name: &str| (name.to_owned(), Filling::Column(name.to_owned()));
    let table = |from: &str, to: &str, columns: Vec<(String, Filling)>| Mapped {
        from: from.into(),
        to: to.into(),
        columns,
        lookups: BTreeMap::new(),
        only: None,
        leave: BTreeMap::new(),
        unfilled: BTreeMap::new(),
    };
    let constant = ("tenant".to_owned(), Filling::Constant("home".into()));
    let tables = vec![
        table("visit", "visit", ["id", "person", "at", "raw"].map(column).to_vec()),
        table("people", "person", vec![column("id"), column("name"), constant]),
    ];
    Copy {
        from: End { target: "old".into(), schema },
        to: End { target: "db".into(), schema: None },
        items: None,
        mapping: Mapping { tables, left_behind: BTreeMap::new() },
        indexes: Indexes::BySize,
        everything: true,
    }
}
