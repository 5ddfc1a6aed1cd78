//! Kinds that work in PostgreSQL: on a server of the tests' own, a database a try.

use crate::bench::{Bench, Plan};
use crate::fixture::{Fixture, Hand};
use crate::server::Server;
use std::collections::BTreeMap;
use switchback_engine::step::AnyStep;
use switchback_flow::{Indexes, Miss};
use switchback_model::target::TargetDef;
use switchback_steps::backup::Backup;
use switchback_steps::copy::mapping::{Filling, Mapped, MappedLookup, Mapping};
use switchback_steps::copy::reconcile::Reconcile;
use switchback_steps::copy::{Copy, End, SchemaName};
use switchback_steps::sql::Sql;

/// The old installation: two schemas with what is hard to keep.
const OLD: &str = r#"
CREATE SCHEMA north; CREATE SCHEMA "O'Brien ""lab""; DROP";
CREATE TABLE north.person (id bigint PRIMARY KEY, name text, born timestamptz);
CREATE TABLE north.item (id bigint PRIMARY KEY, person bigint, price numeric, data jsonb, raw bytea);
CREATE TABLE "O'Brien ""lab""; DROP".person (LIKE north.person INCLUDING ALL);
CREATE TABLE "O'Brien ""lab""; DROP".item (LIKE north.item INCLUDING ALL);
INSERT INTO north.person VALUES (1, 'a', '2025-01-01 00:00:00.000001+02'), (2, '', 'infinity');
INSERT INTO north.item SELECT i, 1 + i % 3, i * 1.10, '{"a": [1.0, null]}', '\x00ff' FROM generate_series(1, 40) i;
INSERT INTO "O'Brien ""lab""; DROP".person VALUES (1, E'x\ty''z', NULL);
INSERT INTO "O'Brien ""lab""; DROP".item VALUES (7, 1, 'NaN', '"text"', NULL), (8, 9, NULL, 'null', '');
"#;

/// The tables of the new installation. What is looked up is made by the database, and equal in every life: numbers that a
/// sequence gives out are not.
const NEW: &str = "CREATE SCHEMA app;\n\
CREATE TABLE app.member (id text GENERATED ALWAYS AS (tenant || ':' || old_id) STORED UNIQUE, tenant text, old_id bigint, name text, born timestamptz, PRIMARY KEY (tenant, old_id));\n\
CREATE TABLE app.item (tenant text, id bigint, member text NOT NULL REFERENCES app.member (id) DEFERRABLE INITIALLY DEFERRED, price numeric, data jsonb, raw bytea, PRIMARY KEY (tenant, id));";

const FOREIGN: &[Hand] = &[("a row of somebody else", a_row)];

/// Rows of two schemas into one, with a column that is looked up and rows that find nothing.
pub fn copy() -> Fixture {
    Fixture {
        foreign_before: FOREIGN,
        foreign_after: FOREIGN,
        ..Fixture::of::<Copy>("copy", || after_backup(vec![tables(), Box::new(copies())], 1))
    }
}

/// One table, whose key, index and reference are taken down for the load.
pub fn copy_with_indexes() -> Fixture {
    Fixture {
        foreign_before: FOREIGN,
        foreign_after: FOREIGN,
        ..Fixture::of::<Copy>("copy-indexes", || {
            let tables = "CREATE SCHEMA app; CREATE TABLE app.member (tenant text, old_id bigint, name text, born timestamptz, \
                PRIMARY KEY (tenant, old_id) WITH (fillfactor = 80)); \
                CREATE INDEX born ON app.member (born DESC); COMMENT ON INDEX app.born IS 'the young first'; \
                ALTER TABLE app.member ADD FOREIGN KEY (tenant, old_id) REFERENCES app.member, CLUSTER ON born";
            let mut copy = Copy { indexes: Indexes::After, everything: false, items: None, ..copies() };
            copy.from.schema = Some(SchemaName::Named("north".into()));
            copy.mapping.tables.truncate(1);
            copy.mapping.tables[0].columns[0].1 = Filling::Constant("north".into());
            copy.mapping.tables[0].unfilled.clear();
            after_backup(vec![script_of("tables", tables), Box::new(copy)], 1)
        })
    }
}

pub fn reconcile() -> Fixture {
    Fixture {
        has_effect: false,
        ..Fixture::of::<Reconcile>("reconcile", || {
            let steps: Vec<Box<dyn AnyStep>> =
                vec![tables(), Box::new(copies()), Box::new(Reconcile { copies: vec![copies()] })];
            after_backup(steps, 2)
        })
    }
}

pub fn sql() -> Fixture {
    Fixture {
        foreign_before: FOREIGN,
        foreign_after: FOREIGN,
        ..Fixture::of::<Sql>("sql-postgres", || {
            let script = "INSERT INTO app.member (tenant, old_id, name) VALUES ('t', 1, :now); ALTER TABLE app.item ADD COLUMN note text DEFAULT 'x';";
            after_backup(vec![tables(), script_of("change", script)], 1)
        })
    }
}

pub fn backup() -> Fixture {
    Fixture {
        foreign_after: &[],
        ..Fixture::of::<Backup>("backup-postgres", || {
            over_database(vec![Box::new(Backup { target: "new".into() })], 0)
        })
    }
}

fn tables() -> Box<dyn AnyStep> {
    script_of("tables", NEW)
}

pub(super) fn script_of(name: &str, script: &str) -> Box<dyn AnyStep> {
    Box::new(Sql {
        target: "new".into(),
        name: name.into(),
        script: script.into(),
        params: BTreeMap::new(),
        shows: None,
    })
}

fn copies() -> Copy {
    let field = |name: &str| Filling::Field(name.to_owned());
    let column = |name: &str| (name.to_owned(), Filling::Column(name.to_owned()));
    let person = Mapped {
        from: "person".into(),
        to: "member".into(),
        columns: vec![
            ("tenant".into(), field("tenant.name")),
            ("old_id".into(), Filling::Column("id".into())),
            ("name".into(), Filling::Expression("upper(s.name)".into())),
            column("born"),
        ],
        lookups: BTreeMap::new(),
        only: None,
        leave: BTreeMap::new(),
        unfilled: BTreeMap::from([("id".into(), "made by the database".into())]),
    };
    let member = MappedLookup {
        within: "member".into(),
        by: BTreeMap::from([
            ("tenant".into(), field("tenant.name")),
            ("old_id".into(), Filling::Column("person".into())),
        ]),
        take: "id".into(),
        miss: Miss::Drop,
        loss: Some("strangers".into()),
    };
    let item = Mapped {
        from: "item".into(),
        to: "item".into(),
        columns: vec![
            ("tenant".into(), field("tenant.name")),
            column("id"),
            column("price"),
            column("data"),
            column("raw"),
        ],
        lookups: BTreeMap::from([("member".into(), member)]),
        only: None,
        leave: BTreeMap::new(),
        unfilled: BTreeMap::new(),
    };
    let turn = |name: &str| BTreeMap::from([("tenant.name".to_owned(), name.to_owned())]);
    Copy {
        from: End { target: "old".into(), schema: Some(SchemaName::Field("tenant.name".into())) },
        to: End { target: "new".into(), schema: Some(SchemaName::Named("app".into())) },
        items: Some(vec![turn("north"), turn("O'Brien \"lab\"; DROP")]),
        mapping: Mapping { tables: vec![person, item], left_behind: BTreeMap::new() },
        indexes: Indexes::BySize,
        everything: true,
    }
}

/// A bench over a database: a backup first, then `steps`, of which the first `done` are carried out beforehand.
fn after_backup(steps: Vec<Box<dyn AnyStep>>, done: usize) -> Bench {
    let mut all: Vec<Box<dyn AnyStep>> = vec![Box::new(Backup { target: "new".into() })];
    all.extend(steps);
    over_database(all, done + 1)
}

pub(super) fn over_database(steps: Vec<Box<dyn AnyStep>>, done: usize) -> Bench {
    Bench::new(|_| {
        let server = Server::shared();
        let url = server.cluster.url(&server.database(OLD));
        let targets = BTreeMap::from([
            ("old".to_owned(), target(&url, &["north", "O'Brien \"lab\"; DROP"], true, false)),
            ("new".to_owned(), target(&url, &["app"], false, true)),
        ]);
        Plan { targets, steps, done, company: Some(Box::new(server)), ..Plan::default() }
    })
}

pub(super) fn target(url: &str, schemas: &[&str], read_only: bool, made_by_us: bool) -> TargetDef {
    TargetDef::Postgres {
        url: url.to_owned(),
        schemas: schemas.iter().map(|&schema| schema.to_owned()).collect(),
        schemas_sql: None,
        read_only,
        made_by_us,
        without_backup: false,
    }
}

/// Somebody writes into the new schema.
fn a_row(bench: &Bench) {
    let row = "INSERT INTO app.member (tenant, old_id, name) VALUES ('foreign', 1, 'foreign')";
    super::on_postgres::execute(bench, "new", row);
}
