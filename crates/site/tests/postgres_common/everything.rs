//! A schema with one of everything.

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

/// Its name.
pub const LAB: &str = "O'Brien \"lab\"";
