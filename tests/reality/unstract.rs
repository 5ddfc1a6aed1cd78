//! A real v1 database, the real empty schema of v2, and the result of a correct upgrade: loaded, compared, and told apart
//! from what is almost right.

use crate::plain_copy;
use postgres::{Client, NoTls};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use switchback_labs::cluster::{Cluster, Durability};
use switchback_labs::unstract::schema::Layout;
use switchback_model::schema_file::SchemaDescription;

const PUBLIC: &str = include_str!("../../playbooks/unstract/public.tables.yaml");
const TENANT: &str = include_str!("../../playbooks/unstract/tenant.tables.yaml");

/// The schema of v2 in the real files.
const SCHEMA: &str = "unstract";

/// Numbers that v2 gives out itself: equal only by chance.
const NUMBERED: [(&str, &str); 5] = [
    ("adapter_instance_shared_users", "id"),
    ("custom_tool_shared_users", "id"),
    ("default_organization_user_adapter", "id"),
    ("organization_member", "member_id"),
    ("prompt_studio_registry_shared_users", "id"),
];

pub fn real_data() -> Option<PathBuf> {
    let named = std::env::var_os("SWITCHBACK_SHARED").map(|dir| PathBuf::from(dir).join("data"));
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|dir| dir.join("shared/data"));
    let found = named.into_iter().chain(beside).map(|dir| dir.join("unstract")).find(|dir| dir.is_dir());
    if found.is_none() {
        let _ = writeln!(
            std::io::stdout(),
            "reality: no real data of unstract on this machine, nothing was tested"
        );
    }
    found
}

/// A private cluster with the role that owns everything in the real files.
pub fn cluster(folder: &Path) -> Cluster {
    let cluster = Cluster::start(&folder.join("cluster"), Durability::None).unwrap();
    cluster.connect("postgres").unwrap().batch_execute("CREATE ROLE unstract_dev SUPERUSER LOGIN").unwrap();
    cluster
}

/// Makes a database and loads real files into it, as psql does: they hold its own commands.
pub fn load(cluster: &Cluster, database: &str, data: &Path, files: &[&str]) -> Client {
    cluster.create(database).unwrap();
    for file in files {
        let output = Command::new("psql")
            .args(["-q", "-X", "-v", "ON_ERROR_STOP=1", "-d", &cluster.url(database), "-f"])
            .arg(data.join(file))
            .output()
            .unwrap();
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    }
    // What a dump sets lasts as long as its session.
    Client::connect(&cluster.url(database), NoTls).unwrap()
}

fn texts(client: &mut Client, sql: &str) -> Vec<String> {
    let rows = client.simple_query(sql).unwrap();
    let rows = rows.into_iter().filter_map(|message| match message {
        postgres::SimpleQueryMessage::Row(row) => {
            let cells: Vec<String> = (0..row.len())
                .map(|at| row.get(at).map_or_else(|| "NULL".to_owned(), |text| format!("{text:?}")))
                .collect();
            Some(cells.join(" "))
        }
        _ => None,
    });
    rows.collect()
}

/// Table to column to type.
fn columns(client: &mut Client, schema: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let sql = "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a \
                 JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
                WHERE n.nspname = $1 AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped";
    let mut tables: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for row in client.query(sql, &[&schema]).unwrap() {
        tables.entry(row.get(0)).or_default().insert(row.get(1), row.get(2));
    }
    tables
}

/// What to ask a table for, so that equal answers mean equal rows: every column as text, without the numbers that v2 gives
/// out; a default adapter names its user and its tenant instead of its member.
fn question(table: &str, columns: &BTreeMap<String, String>) -> String {
    let of_its_own = |name: &str| {
        let recorded = table == "django_migrations" && ["id", "applied"].contains(&name);
        recorded || NUMBERED.contains(&(table, name)) || name == "organization_member_id"
    };
    let compared = |name: &&String| !of_its_own(name);
    let mut cells: Vec<String> =
        columns.keys().filter(compared).map(|name| format!("t.\"{name}\"::text")).collect();
    let mut join = String::new();
    if columns.contains_key("organization_member_id") {
        cells.push("(m.organization_id, m.user_id)::text".to_owned());
        join = format!(" LEFT JOIN {SCHEMA}.organization_member m ON m.member_id = t.organization_member_id");
    }
    let cells = cells.join(", ");
    format!("SELECT {cells} FROM {SCHEMA}.\"{table}\" t{join} ORDER BY row({cells})::text COLLATE \"C\"")
}

/// Says where two schemas of v2 differ: tables, columns and types, rows, the numbers that are given out next.
pub fn differences(ours: &mut Client, correct: &mut Client) -> Vec<String> {
    let mut found = Vec::new();
    let (our_tables, correct_tables) = (columns(ours, SCHEMA), columns(correct, SCHEMA));
    let names: BTreeSet<&String> = our_tables.keys().chain(correct_tables.keys()).collect();
    for name in names {
        match (our_tables.get(name), correct_tables.get(name)) {
            (Some(our), Some(right)) if our == right => {
                let [our, right] =
                    [&mut *ours, &mut *correct].map(|client| texts(client, &question(name, right)));
                let missing = right.iter().filter(|row| !our.contains(row)).count();
                let surplus = our.iter().filter(|row| !right.contains(row)).count();
                if our != right {
                    found.push(format!(
                        "{name}: {} rows instead of {}, {missing} missing, {surplus} others",
                        our.len(),
                        right.len()
                    ));
                }
            }
            (Some(_), Some(_)) => found.push(format!("{name}: other columns")),
            (our, _) => found.push(format!("{name}: {}", if our.is_some() { "too many" } else { "missing" })),
        }
    }
    let sequences =
        format!("SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = '{SCHEMA}' ORDER BY 1");
    let [our, right] = [ours, correct].map(|client| texts(client, &sequences));
    found.extend(right.iter().filter(|line| !our.contains(line)).map(|line| format!("sequence {line}")));
    found
}

/// Says for how many rows the value of a column is not that of v1, over all tenants; the column is JSON, compared as text.
pub fn differing_from_v1(client: &mut Client, old: [&str; 3], new: [&str; 3]) -> i64 {
    let tenants =
        texts(client, "SELECT schema_name FROM public.account_organization WHERE schema_name <> 'public'");
    let [old_table, old_key, old_column] = old;
    let [new_table, new_key, new_column] = new;
    let differing = tenants.iter().map(|tenant| {
        let sql = format!(
            "SELECT count(*) FROM {tenant}.{old_table} o LEFT JOIN {SCHEMA}.{new_table} n ON n.{new_key} = o.{old_key} \
              WHERE n.{new_key} IS NULL OR n.{new_column}::text IS DISTINCT FROM o.{old_column}::text"
        );
        client.query_one(&sql, &[]).unwrap().get::<_, i64>(0)
    });
    differing.sum()
}

/// JSON that the vendor's tool loses or changes, in v1 and in v2: table, key, column.
pub const JSON: [([&str; 3], [&str; 3]); 4] = [
    (
        ["prompt_studio_output_manager_promptstudiooutputmanager", "prompt_output_id", "challenge_data"],
        ["prompt_studio_output_manager", "prompt_output_id", "challenge_data"],
    ),
    (
        ["prompt_studio_output_manager_promptstudiooutputmanager", "prompt_output_id", "eval_metrics"],
        ["prompt_studio_output_manager", "prompt_output_id", "eval_metrics"],
    ),
    (
        ["prompt_studio_index_manager_indexmanager", "index_manager_id", "index_ids_history"],
        ["index_manager", "index_manager_id", "index_ids_history"],
    ),
    (["workflow_executionlog", "id", "data"], ["execution_log", "id", "data"]),
];

/// The upgrade as one transaction of plain SQL.
fn plain_upgrade(client: &mut Client) {
    let mut sql = plain_copy::statements("public", PUBLIC, "public", SCHEMA, 0);
    let tenants =
        "SELECT schema_name, id FROM public.account_organization WHERE schema_name <> 'public' ORDER BY 1";
    for row in client.query(tenants, &[]).unwrap() {
        sql.extend(plain_copy::statements("tenant", TENANT, row.get(0), SCHEMA, row.get(1)));
    }
    sql.push(plain_copy::sequences(SCHEMA));
    let mut transaction = client.transaction().unwrap();
    for statement in sql {
        transaction.batch_execute(&statement).unwrap();
    }
    transaction.commit().unwrap();
}

/// Says where a real schema and its description differ.
fn undescribed(client: &mut Client, schema: &str, described: &SchemaDescription) -> Vec<String> {
    let mut expected = BTreeSet::new();
    for (name, table) in &described.tables {
        for column in &table.columns {
            let (null, identity) =
                (if column.not_null { "!" } else { "" }, if column.identity { "#" } else { "" });
            expected.insert(format!("{name}.{}: {}{null}{identity}", column.name, column.r#type));
        }
        expected.insert(format!("{name} p {}", table.key.join(",")));
        expected.extend(table.unique.iter().map(|set| format!("{name} u {}", set.join(","))));
        expected.extend(table.checks.iter().map(|check| format!("{name} c CHECK (({check}))")));
        for (column, parent) in &table.references {
            let parent = if parent.contains('.') { parent.clone() } else { format!("{schema}.{parent}") };
            expected.insert(format!("{name} f {column} {parent}"));
        }
    }
    let sql = "SELECT format('%s.%s: %s%s%s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), \
                             CASE WHEN a.attnotnull THEN '!' END, CASE a.attidentity WHEN 'd' THEN '#' END) \
                 FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
                WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped \
                UNION ALL \
               SELECT format('%s %s %s', c.relname, k.contype, CASE k.contype WHEN 'c' THEN pg_get_constraintdef(k.oid) ELSE \
                      (SELECT string_agg(a.attname, ',' ORDER BY o.at) FROM unnest(k.conkey) WITH ORDINALITY o (num, at) \
                         JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = o.num) \
                      || coalesce((SELECT format(' %s.%s', p.relnamespace::regnamespace, p.relname) FROM pg_class p \
                                    WHERE p.oid = k.confrelid AND k.condeferrable AND k.condeferred), '') END) \
                 FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid WHERE k.connamespace = to_regnamespace($1)";
    let real: BTreeSet<String> =
        client.query(sql, &[&schema]).unwrap().iter().map(|row| row.get(0)).collect();
    expected.symmetric_difference(&real).cloned().collect()
}

#[test]
fn the_descriptions_are_those_of_the_real_schemas() {
    let Some(data) = real_data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let cluster = cluster(folder.path());
    let mut v1 = load(&cluster, "v1", &data, &["v1.sql"]);
    let mut v2 = load(&cluster, "v2", &data, &["v2_empty_unstract_schema.sql"]);
    assert_eq!(undescribed(&mut v1, "public", &Layout::V1Public.describe()), [""; 0]);
    assert_eq!(undescribed(&mut v1, "org_acme", &Layout::V1Tenant.describe()), [""; 0]);
    assert_eq!(undescribed(&mut v2, SCHEMA, &Layout::V2.describe()), [""; 0]);
    v2.batch_execute("ALTER TABLE unstract.usage ALTER COLUMN run_id TYPE text; ALTER TABLE unstract.workflow DROP CONSTRAINT workflow_pkey CASCADE").unwrap();
    assert!(undescribed(&mut v2, SCHEMA, &Layout::V2.describe()).len() > 4);
}

#[test]
fn the_table_files_played_as_plain_sql_make_the_correct_result() {
    let Some(data) = real_data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let cluster = cluster(folder.path());
    let mut site = load(&cluster, "site", &data, &["v1.sql", "v2_empty_unstract_schema.sql"]);
    let mut correct = load(&cluster, "correct", &data, &["v2_correct.sql"]);
    let before = differences(&mut site, &mut correct);
    assert!(before.len() > 50, "{before:?}");
    plain_upgrade(&mut site);
    assert_eq!(differences(&mut site, &mut correct), [""; 0]);
    for (old, new) in JSON {
        assert_eq!(differing_from_v1(&mut site, old, new), 0, "{new:?}");
    }
}

#[test]
fn what_the_vendors_tool_does_to_the_result_is_noticed() {
    let Some(data) = real_data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let cluster = cluster(folder.path());
    drop(load(&cluster, "loaded", &data, &["v2_correct.sql"]));
    let spoils = [
        (
            "DELETE FROM unstract.django_celery_beat_periodictask WHERE id > 1",
            "django_celery_beat_periodictask: 1 rows instead of 10, 9 missing, 0 others",
        ),
        (
            "UPDATE unstract.prompt_studio_output_manager SET challenge_data = NULL",
            "prompt_studio_output_manager: 90 rows instead of 90, 18 missing, 18 others",
        ),
        (
            "UPDATE unstract.prompt_studio_output_manager SET eval_metrics = '{}'",
            "prompt_studio_output_manager: 90 rows instead of 90, 90 missing, 90 others",
        ),
        (
            "UPDATE unstract.index_manager SET index_ids_history = (index_ids_history #>> '{}')::jsonb",
            "index_manager: 12 rows instead of 12, 12 missing, 12 others",
        ),
        (
            "UPDATE unstract.organization SET created_by_id = NULL",
            "organization: 4 rows instead of 4, 3 missing, 3 others",
        ),
        ("SELECT setval('unstract.organization_id_seq', 1)", "sequence \"organization_id_seq\" \"4\""),
        ("ALTER TABLE unstract.usage ALTER COLUMN run_id TYPE text", "usage: other columns"),
        ("DROP TABLE unstract.notification", "notification: missing"),
        ("CREATE TABLE unstract.migration_tracking (id int)", "migration_tracking: too many"),
    ];
    // All at once and first: a template may have no sessions.
    let mut server = cluster.connect("postgres").unwrap();
    for at in 0..spoils.len() {
        server.batch_execute(&format!("CREATE DATABASE spoilt_{at} TEMPLATE loaded")).unwrap();
    }
    let mut correct = Client::connect(&cluster.url("loaded"), NoTls).unwrap();
    let mut same = Client::connect(&cluster.url("loaded"), NoTls).unwrap();
    assert_eq!(differences(&mut same, &mut correct), [""; 0]);
    for (at, (spoil, says)) in spoils.into_iter().enumerate() {
        let mut spoilt = Client::connect(&cluster.url(&format!("spoilt_{at}")), NoTls).unwrap();
        spoilt.batch_execute(spoil).unwrap();
        assert_eq!(differences(&mut spoilt, &mut correct), [says], "{spoil}");
    }
}
