//! Catalogs: as data, as lines, and who leans on them.
#![allow(clippy::unwrap_used)]

mod postgres_common;

use postgres_common::{reader, server};
use switchback_site::postgres::{Catalog, Database, Identity, Outsiders, TableKind, outsiders};

/// One of everything, with hostile names.
pub const EVERYTHING: &str = r#"
CREATE SCHEMA "O'Brien ""lab"""; COMMENT ON SCHEMA "O'Brien ""lab""" IS 'a; comment';
SET search_path = "O'Brien ""lab""";
CREATE TYPE mood AS ENUM ('sad', 'it''s ok'); CREATE DOMAIN posint AS int DEFAULT 1 CHECK (VALUE > 0);
CREATE TYPE pair AS (x int, y text); CREATE TYPE floats AS RANGE (subtype = float8);
CREATE SEQUENCE lonely START 5 INCREMENT 2 MAXVALUE 100 CYCLE;
CREATE FUNCTION plus(a int, b int DEFAULT 1) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a + b';
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  RETURN NEW; END $$;
CREATE PROCEDURE nothing() LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE total(int) (sfunc = int4pl, stype = int, initcond = '0');
CREATE TABLE parents (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "Na""me" varchar(30) NOT NULL COLLATE "C",
  gone int, status varchar(9) CHECK (status IN ('a', 'b''c')), twice int GENERATED ALWAYS AS (1 + 1) STORED, mood mood DEFAULT 'sad', p posint,
  UNIQUE ("Na""me", id) DEFERRABLE);
ALTER TABLE parents DROP COLUMN gone;
CREATE TABLE children (id serial PRIMARY KEY, parent bigint CONSTRAINT to_parent REFERENCES parents DEFERRABLE INITIALLY DEFERRED,
  next int REFERENCES children ON DELETE CASCADE);
ALTER TABLE children ADD CHECK (id < 1000) NOT VALID;
CREATE INDEX "some; index" ON parents (lower("Na""me")) WHERE id > 5;
CREATE UNIQUE INDEX lone ON children (next);
CREATE STATISTICS st ON id, parent FROM children;
CREATE VIEW seen AS SELECT id, "Na""me" FROM parents WHERE status IN ('a', 'b');
CREATE MATERIALIZED VIEW kept AS SELECT count(*) AS n FROM seen;
CREATE TABLE measured (at date NOT NULL, v float8) PARTITION BY RANGE (at);
CREATE TABLE measured_1 PARTITION OF measured FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TRIGGER stamped BEFORE UPDATE ON parents FOR EACH ROW WHEN (OLD.id > 1) EXECUTE FUNCTION stamp();
ALTER TABLE parents DISABLE TRIGGER stamped;
CREATE RULE quiet AS ON DELETE TO children DO INSTEAD NOTHING;
ALTER TABLE parents ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON parents FOR SELECT TO PUBLIC USING (id > 0);
COMMENT ON COLUMN parents."Na""me" IS 'two
lines'; COMMENT ON CONSTRAINT to_parent ON children IS 'c'; COMMENT ON FUNCTION plus(int, int) IS 'f';
GRANT SELECT ON parents TO PUBLIC; GRANT UPDATE (status) ON parents TO pg_monitor; REVOKE EXECUTE ON FUNCTION plus(int, int) FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA "O'Brien ""lab""" GRANT SELECT ON TABLES TO pg_monitor;
ALTER TABLE parents SET (fillfactor = 70); ALTER TABLE parents ALTER "Na""me" SET STATISTICS 10;
CREATE UNLOGGED TABLE "sixty-three bytes of a name, every one of them used to the end.x" (a int);
"#;

const LAB: &str = "O'Brien \"lab\"";

fn read(database: &Database) -> Catalog {
    Catalog::read(&mut reader(database), &[LAB.to_owned()]).unwrap()
}

#[test]
fn tables_are_read_as_data() {
    let server = server();
    let catalog = read(&server.database(EVERYTHING));
    let parents = catalog.table(LAB, "parents").unwrap();
    let names: Vec<_> =
        parents.columns.iter().map(|column| (column.name.as_str(), column.position)).collect();
    assert_eq!(names, [("id", 1), ("Na\"me", 2), ("status", 3), ("twice", 4), ("mood", 5), ("p", 6)]);
    let id = parents.column("id").unwrap();
    assert_eq!((id.identity, id.kind.as_str(), id.not_null), (Some(Identity::Always), "bigint", true));
    assert_eq!(id.sequence, Some((LAB.to_owned(), "parents_id_seq".to_owned())));
    assert_eq!(parents.column("Na\"me").unwrap().kind, "character varying(30)");
    assert!(parents.column("twice").unwrap().generated && parents.column("twice").unwrap().default.is_none());
    assert_eq!(parents.column("mood").unwrap().kind, "\"O'Brien \"\"lab\"\"\".mood");
    assert_eq!(parents.primary_key.as_ref().unwrap().columns, ["id"]);
    assert_eq!(
        (parents.uniques[0].columns.as_slice(), parents.uniques[0].deferrable),
        (&["Na\"me".to_owned(), "id".to_owned()][..], true)
    );
    assert_eq!(parents.triggers, ["stamped"]);
    assert!(parents.row_security && parents.keeps_rows());
    assert_eq!(parents.quoted().unwrap(), "\"O'Brien \"\"lab\"\"\".\"parents\"");

    let children = catalog.table(LAB, "children").unwrap();
    assert_eq!(children.column("id").unwrap().sequence, Some((LAB.to_owned(), "children_id_seq".to_owned())));
    let key = children.foreign_keys.iter().find(|key| key.name == "to_parent").unwrap();
    assert!(key.deferrable && key.deferred && key.validated);
    assert_eq!(
        (key.columns.as_slice(), key.to.1.as_str(), key.to_columns.as_slice()),
        (&["parent".to_owned()][..], "parents", &["id".to_owned()][..])
    );
    assert_eq!(children.uniques[0].name, "lone");
    let kind = |name: &str| catalog.table(LAB, name).unwrap().kind;
    assert_eq!(
        (kind("seen"), kind("kept"), kind("measured")),
        (TableKind::View, TableKind::Materialized, TableKind::Partitioned)
    );
    assert_eq!(
        catalog.table(LAB, "measured_1").unwrap().parent,
        Some((LAB.to_owned(), "measured".to_owned()))
    );
    assert_eq!(catalog.schemas, [LAB]);
    assert_eq!(
        Catalog::read(&mut reader(&server.database("")), &["absent".to_owned()]).unwrap(),
        Catalog::default()
    );
}

#[test]
fn every_change_of_an_object_changes_a_line() {
    let server = server();
    let database = server.database(EVERYTHING);
    let before = read(&database);
    assert!(before.lines().len() > 50, "{:#?}", before.lines());
    assert_eq!(before, read(&database));
    let name = database.address().dbname.clone();
    for change in [
        "COMMENT ON SCHEMA {} IS 'other'",
        "GRANT USAGE ON SCHEMA {} TO pg_monitor",
        "ALTER TYPE {}.mood ADD VALUE 'glad' BEFORE 'sad'",
        "ALTER DOMAIN {}.posint SET DEFAULT 2",
        "ALTER TYPE {}.pair ADD ATTRIBUTE z int",
        "ALTER SEQUENCE {}.lonely INCREMENT 3",
        "ALTER SEQUENCE {}.children_id_seq OWNED BY NONE",
        "CREATE OR REPLACE FUNCTION {}.plus(a int, b int DEFAULT 2) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a + b'",
        "GRANT EXECUTE ON FUNCTION {}.plus(int, int) TO PUBLIC",
        "COMMENT ON COLUMN {}.parents.id IS 'x'",
        "ALTER TABLE {}.parents ALTER p SET NOT NULL",
        "ALTER TABLE {}.parents ALTER p SET DEFAULT 3",
        "ALTER TABLE {}.parents ALTER id SET GENERATED BY DEFAULT",
        "ALTER TABLE {}.children ALTER next TYPE bigint",
        "ALTER TABLE {}.children VALIDATE CONSTRAINT children_id_check",
        "ALTER TABLE {}.children ALTER CONSTRAINT to_parent NOT DEFERRABLE",
        "DROP INDEX {}.lone",
        "ALTER TABLE {}.parents CLUSTER ON parents_pkey",
        "CREATE OR REPLACE VIEW {}.seen AS SELECT id, \"Na\"\"me\" FROM {}.parents WHERE status IN ('a', 'x')",
        "REFRESH MATERIALIZED VIEW {}.kept WITH NO DATA",
        "ALTER TABLE {}.parents ENABLE TRIGGER stamped",
        "DROP RULE quiet ON {}.children",
        "ALTER POLICY mine ON {}.parents USING (id > 1)",
        "ALTER TABLE {}.parents FORCE ROW LEVEL SECURITY",
        "REVOKE UPDATE (status) ON {}.parents FROM pg_monitor",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA {} REVOKE SELECT ON TABLES FROM pg_monitor",
        "ALTER TABLE {}.parents SET (fillfactor = 71)",
        "ALTER TABLE {}.parents ALTER \"Na\"\"me\" SET STATISTICS 11",
        "ALTER TABLE {}.measured DETACH PARTITION {}.measured_1",
        "ALTER TABLE {}.\"sixty-three bytes of a name, every one of them used to the end.x\" SET LOGGED",
        "DROP STATISTICS {}.st",
        "ALTER TABLE {}.parents OWNER TO pg_monitor",
        "CREATE PUBLICATION pub FOR TABLE {}.children",
        "ALTER TABLE {}.children REPLICA IDENTITY FULL",
    ] {
        let before = read(&database);
        server.run(&name, &change.replace("{}", "\"O'Brien \"\"lab\"\"\""));
        assert_ne!(before.lines(), read(&database).lines(), "{change}");
    }
}

#[test]
fn who_leans_on_a_schema_from_outside_is_named() {
    let server = server();
    let database = server.database(
        r#"CREATE SCHEMA a; CREATE SCHEMA "b ""b"; CREATE TABLE a.t (id int PRIMARY KEY, s text); CREATE TYPE a.mood AS ENUM ('x');
        CREATE FUNCTION a.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE SEQUENCE a.q;
        CREATE VIEW a.inner_view AS SELECT * FROM a.t; CREATE TABLE a.c (t int REFERENCES a.t, m a.mood, d int DEFAULT a.f());"#,
    );
    let look = || outsiders(&mut reader(&database), &["a".to_owned()]).unwrap();
    assert_eq!(look(), Outsiders::default());
    server.run(
        &database.address().dbname,
        r#"CREATE TABLE "b ""b".refers (t int REFERENCES a.t, m a.mood, d int DEFAULT a.f(), n int DEFAULT nextval('a.q'));
        CREATE VIEW public.looks AS SELECT s FROM a.t; CREATE TABLE public.child () INHERITS (a.t);
        CREATE FUNCTION public.takes(a.mood) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE PUBLICATION p FOR TABLE a.t"#,
    );
    let found = look().objects;
    for wanted in [
        "constraint refers_t_fkey on table \"b \"\"b\".refers leans on table a.t",
        "table \"b \"\"b\".refers leans on type a.mood",
        "leans on function a.f()",
        "leans on sequence a.q",
        "rule _RETURN on view public.looks leans on table a.t",
        "table public.child leans on table a.t",
        "function public.takes(a.mood) leans on type a.mood",
        "publication of table a.t in publication p leans on table a.t",
    ] {
        assert!(found.iter().any(|line| line.contains(wanted)), "{wanted}: {found:#?}");
    }
    // From the inside of all three only the publication is outside.
    let both = outsiders(&mut reader(&database), &["a".to_owned(), "b \"b".to_owned(), "public".to_owned()])
        .unwrap();
    assert_eq!(both.objects.len(), 2, "{both:#?}");
    let other = server.cluster.connect(&database.address().dbname).unwrap();
    assert_eq!(look().sessions.iter().filter(|line| line.contains(" of postgres")).count(), 1);
    drop(other);
}
