//! An upgrade from many schemas of a PostgreSQL database into one, by the real binary: planned, carried out, taken back.

use crate::server::Server;
use crate::support::{BINARY, Ran};
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

const PLAYBOOK: &str = r#"
playbook: shops
format: 1
inputs:
  database: {type: url}
  schema: {type: text, identifier: true, default: shop}
targets:
  v1: {postgres: "${database}", schemas: [public, schemas.sql], read_only: true}
  v2: {postgres: "${database}", schemas: ["${schema}"], made_by_us: true}
version:
  detect:
    - {in: v1, sql: "SELECT CASE WHEN to_regclass('shop.sales') IS NULL THEN 'old' ELSE 'new' END", means: {old: "1.0", new: "2.0"}}
upgrades:
  - from: "1.0"
    to: "2.0"
    prepare:
      - sql: {in: v2, text: "CREATE SCHEMA IF NOT EXISTS ${schema}; CREATE TABLE ${schema}.sales (shop text NOT NULL, id bigint, amount numeric, PRIMARY KEY (shop, id))"}
    change:
      - each:
          as: shop
          in: v1
          sql: "SELECT name, id FROM public.shops"
          key: name
          identifier: [name]
          do:
            - sql: {in: v2, text: "INSERT INTO ${schema}.sales SELECT :shop_name, id, amount FROM ${shop.name}.sales"}
            - ensure: {in: v2, sql: "SELECT count(*) FROM ${schema}.sales WHERE shop = :shop_name", same_as: {in: v1, sql: "SELECT count(*) FROM ${shop.name}.sales"}}
    prove:
      - ensure: {unchanged: v1}
      - ensure: {in: v2, table: ["${schema}", sales], same_as: {in: v1, table: [public, all_sales]}}
"#;

const OLD: &str = r#"
CREATE TABLE public.shops (id int PRIMARY KEY, name text);
INSERT INTO public.shops VALUES (1, 'north'), (2, 'O"Brien; DROP');
CREATE SCHEMA north; CREATE SCHEMA "O""Brien; DROP";
CREATE TABLE north.sales (id bigint PRIMARY KEY, amount numeric);
CREATE TABLE "O""Brien; DROP".sales (id bigint PRIMARY KEY, amount numeric);
INSERT INTO north.sales SELECT i, i * 1.1000000000000000001 FROM generate_series(1, 500) i;
INSERT INTO "O""Brien; DROP".sales VALUES (1, 'NaN'), (2, NULL);
CREATE VIEW public.all_sales AS SELECT 'north' AS shop, id, amount FROM north.sales
    UNION ALL SELECT 'O"Brien; DROP', id, amount FROM "O""Brien; DROP".sales;
"#;

/// Two shops in a database of their own, and a folder with playbook and site file.
struct Shops {
    server: Arc<Server>,
    database: String,
    folder: TempDir,
}

impl Shops {
    fn open() -> Shops {
        let server = Server::shared();
        let database = server.database(OLD);
        let folder = tempfile::tempdir().unwrap();
        let site =
            format!("playbook: playbook.yaml\ninputs: {{database: \"{}\"}}\n", server.cluster.url(&database));
        std::fs::write(folder.path().join("site.yaml"), site).unwrap();
        std::fs::write(folder.path().join("playbook.yaml"), PLAYBOOK).unwrap();
        std::fs::write(folder.path().join("schemas.sql"), "SELECT name FROM public.shops").unwrap();
        Shops { server, database, folder }
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.run_cut(args, "")
    }

    fn run_cut(&self, args: &[&str], fault: &str) -> Ran {
        let mut command = Command::new(BINARY);
        Ran::of(
            &command
                .args(args)
                .current_dir(self.folder.path())
                .env("SWITCHBACK_FAULT", fault)
                .output()
                .unwrap(),
        )
    }

    fn value(&self, sql: &str) -> String {
        self.server.value(&self.database, sql)
    }

    fn change(&self, from: &str, to: &str) {
        assert!(PLAYBOOK.contains(from));
        std::fs::write(self.folder.path().join("playbook.yaml"), PLAYBOOK.replace(from, to)).unwrap();
    }

    /// Nothing of ours and nothing of the new release is left.
    fn is_as_before(&self) {
        let schemas = "SELECT string_agg(nspname, ' ' ORDER BY nspname) FROM pg_namespace WHERE nspname !~ '^pg_|information_schema'";
        assert_eq!(self.value(schemas), "O\"Brien; DROP north public");
        assert_eq!(self.value("SELECT count(*) FROM public.all_sales"), "502");
    }
}

#[test]
fn many_schemas_become_one_and_back() {
    let shops = Shops::open();
    shops.run(&["plan"]).expect(0, &["sql-v2-north", "sql-v2-O_Brien__DROP", "stays as it is"]);
    shops.is_as_before();
    shops.run(&["apply", "--yes"]).expect(0, &[]);
    assert_eq!(shops.value("SELECT count(*) FROM shop.sales"), "502");
    assert_eq!(shops.value("SELECT to_regnamespace('switchback') IS NULL"), "true");
    shops.run(&["apply", "--yes"]).expect(0, &["nothing to do"]);
    shops.run(&["rollback", "--yes"]).expect(0, &[]);
    shops.is_as_before();
}

#[test]
fn a_rehearsal_works_on_scratch_databases_and_leaves_none() {
    let shops = Shops::open();
    // A script that reads the tables of another target would not find them beside the copy.
    let text = PLAYBOOK
        .replace("SELECT :shop_name, id, amount FROM ${shop.name}.sales", "VALUES (:shop_name, 1, 1)")
        .lines()
        .filter(|line| !line.contains("same_as"))
        .collect::<Vec<_>>()
        .join("\n");
    std::fs::write(shops.folder.path().join("playbook.yaml"), text).unwrap();
    shops.run(&["rehearse"]).expect(0, &["the copies are equal to what they were", "v1 is read where it is"]);
    shops.is_as_before();
    let left = "SELECT count(*) FROM pg_database WHERE shobj_description(oid, 'pg_database') LIKE '%' || ";
    let ours = format!("{left}'{}%'", shops.folder.path().display());
    assert_eq!(shops.value(&ours), "0");
}

#[test]
fn a_kill_anywhere_is_taken_up_or_back() {
    for (at, verb) in [(6, "resume"), (12, "rollback"), (20, "resume"), (31, "rollback"), (40, "resume")] {
        let shops = Shops::open();
        shops.run_cut(&["apply", "--yes"], &format!("kill@{at}"));
        match verb {
            "resume" => {
                shops.run(&["resume"]).expect(0, &[]);
                assert_eq!(shops.value("SELECT count(*) FROM shop.sales"), "502");
                assert_eq!(shops.value("SELECT to_regnamespace('switchback') IS NULL"), "true");
            }
            _ => {
                shops.run(&["rollback", "--yes"]).expect(0, &[]);
                shops.is_as_before();
            }
        }
    }
}

#[test]
fn a_step_that_writes_what_is_only_read_does_not_compile() {
    let shops = Shops::open();
    shops.change("sql: {in: v2, text: \"CREATE", "sql: {in: v1, text: \"CREATE");
    shops.run(&["plan"]).expect(10, &["P041", "is only read"]);
}

#[test]
fn a_source_that_changes_under_the_copy_takes_the_run_back() {
    let shops = Shops::open();
    shops.change(
        "      - ensure: {unchanged: v1}",
        "      - run: {argv: [psql, \"${database}\", -c, \"UPDATE north.sales SET amount = 7 WHERE id = 1\"], done_when: {in: v1, sql: \"SELECT 1 FROM north.sales WHERE amount = 7\"}, undo: [psql, \"${database}\", -c, \"UPDATE north.sales SET amount = 1.1000000000000000001 WHERE id = 1\"]}\n      - ensure: {unchanged: v1, else: \"v1 has changed\"}",
    );
    shops.run(&["apply", "--yes"]).expect(20, &["v1 has changed", "north.sales"]);
}

#[test]
fn rows_of_others_in_what_we_made_are_not_dropped() {
    let shops = Shops::open();
    shops.run(&["apply", "--yes"]).expect(0, &[]);
    shops.server.run(&shops.database, "INSERT INTO shop.sales VALUES ('new', 1, 1)");
    let refused = shops.run(&["rollback", "--yes"]);
    assert_ne!(refused.code, 20, "{}", refused.said());
    assert_eq!(shops.value("SELECT count(*) FROM shop.sales"), "503");
}

#[test]
fn what_leans_on_the_schema_from_outside_is_named_when_planning() {
    let shops = Shops::open();
    let lean =
        "CREATE SCHEMA shop; CREATE TABLE shop.x (id int); CREATE VIEW public.lean AS SELECT * FROM shop.x";
    shops.server.run(&shops.database, lean);
    shops.run(&["plan"]).expect(11, &["public.lean", "leans on"]);
}

#[test]
fn a_second_operator_is_told_who_has_the_database() {
    let shops = Shops::open();
    // Killed in the middle: the run is open and its mark is inside of the database.
    shops.run_cut(&["apply", "--yes"], "kill@25");
    let elsewhere = shops.folder.path().join("elsewhere");
    let state = elsewhere.display().to_string();
    shops.run(&["apply", "--yes", "--state", &state]).expect(11, &["a run is open on this site"]);
    shops.run(&["rollback", "--yes"]).expect(0, &[]);
    shops.is_as_before();
}

#[test]
fn a_schema_that_is_not_as_described_is_named_line_by_line() {
    let shops = Shops::open();
    let wanted = "format: 1\ntables:\n  sales:\n    columns: {shop: text not null, id: integer not null, amount: numeric, note: text}\n    \
                  key: [shop, id]\n    unique: [[amount]]\n    checks: [amount > 0]\n";
    std::fs::write(shops.folder.path().join("shop.schema.yaml"), wanted).unwrap();
    shops.change("    change:\n", "    change:\n      - require: {in: v2, schema: shop.schema.yaml}\n");
    let refused = shops.run(&["apply", "--yes"]);
    let lines = [
        "column id is bigint, and should be integer",
        "column note is not there",
        "unique (amount) is not there",
        "check amount > 0 is not there",
    ];
    refused.expect(20, &lines);
    shops.is_as_before();
}

/// A database that is changed where it is, in one schema with data.
const IN_PLACE: &str = r#"
playbook: tills
format: 1
inputs:
  database: {type: url}
targets:
  db: {postgres: "${database}", schemas: [till]}
version:
  detect:
    - {in: db, sql: "SELECT version FROM till.meta", means: {"1": "1.0", "2": "2.0"}}
upgrades:
  - from: "1.0"
    to: "2.0"
    change:
      - sql: {in: db, text: "ALTER TABLE till.sales ADD paid boolean NOT NULL DEFAULT true; UPDATE till.meta SET version = '2'; DELETE FROM till.sales WHERE id = 1; DROP VIEW till.top"}
    prove:
      - ensure: {in: db, sql: "SELECT count(*) FROM till.sales WHERE paid", is: 299}
"#;

const TILL: &str = r#"
CREATE SCHEMA till; CREATE TABLE till.meta (version text); INSERT INTO till.meta VALUES ('1');
CREATE TABLE till.sales (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, amount numeric, paid_by text DEFAULT 'it''s "cash"');
INSERT INTO till.sales (amount) SELECT i FROM generate_series(1, 300) i;
CREATE VIEW till.top AS SELECT max(amount) AS amount FROM till.sales;
COMMENT ON TABLE till.sales IS 'sold; "here"';
"#;

fn till() -> (Shops, String) {
    let shops = Shops::open();
    shops.server.run(&shops.database, TILL);
    std::fs::write(shops.folder.path().join("playbook.yaml"), IN_PLACE).unwrap();
    let before = fingerprint(&shops);
    (shops, before)
}

fn fingerprint(shops: &Shops) -> String {
    use switchback_site::postgres::{Database, Fingerprint};
    let database = Database::parse(&shops.server.cluster.url(&shops.database)).unwrap();
    let tell = switchback_site::Tell::quiet();
    format!("{:?}", Fingerprint::read(&database, &["till".to_owned()], &tell).unwrap())
}

#[test]
fn a_schema_with_data_is_dumped_proven_and_restored() {
    let (shops, before) = till();
    let done = shops.run(&["apply", "--yes"]);
    done.expect(0, &["restored into a scratch database, and equal", "301 rows"]);
    assert_eq!(shops.value("SELECT count(*) FROM till.sales"), "299");
    shops.run(&["rollback", "--yes"]).expect(0, &[]);
    assert_eq!(fingerprint(&shops), before);
    assert_eq!(shops.value("SELECT to_regnamespace('switchback') IS NULL"), "true");
}

#[test]
fn a_proof_that_fails_restores_the_dump() {
    let (shops, before) = till();
    let text = IN_PLACE.replace("is: 299", "is: 300");
    std::fs::write(shops.folder.path().join("playbook.yaml"), text).unwrap();
    shops.run(&["apply", "--yes"]).expect(20, &[]);
    assert_eq!(fingerprint(&shops), before);
}

#[test]
fn a_kill_between_dump_and_restore_ends_in_one_of_two_states() {
    let (mut at, mut ends) = (8, Vec::new());
    loop {
        let (shops, before) = till();
        let ran = shops.run_cut(&["apply", "--yes"], &format!("kill@{at}"));
        if ran.code == 0 {
            break;
        }
        if ends.len() % 2 == 0 {
            shops.run(&["resume"]).expect(0, &[]);
            assert_eq!(shops.value("SELECT version FROM till.meta"), "2", "killed at {at}");
        } else {
            shops.run(&["rollback", "--yes"]).expect(0, &[]);
            assert_eq!(fingerprint(&shops), before, "killed at {at}");
        }
        assert_eq!(shops.value("SELECT to_regnamespace('switchback') IS NULL"), "true", "killed at {at}");
        ends.push(at);
        at += 7;
    }
    assert!(ends.len() >= 3, "{ends:?}");
}

#[test]
fn a_rehearsal_copies_a_schema_with_data() {
    let (shops, before) = till();
    shops.run(&["rehearse"]).expect(0, &["the copies are equal to what they were"]);
    assert_eq!(fingerprint(&shops), before);
}

#[test]
fn going_without_a_backup_is_accepted_by_name_and_has_no_way_back() {
    let (shops, _) = till();
    let text = IN_PLACE.replace("schemas: [till]", "schemas: [till], backup: none");
    std::fs::write(shops.folder.path().join("playbook.yaml"), text).unwrap();
    shops.run(&["apply", "--yes"]).expect(11, &["--accept no-backup", "--accept sql-db"]);
    shops.run(&["apply", "--yes", "--accept", "no-backup", "--accept", "sql-db"]).expect(0, &[]);
    assert_eq!(shops.value("SELECT to_regnamespace('switchback') IS NULL"), "true");
}
