//! The SQL of the playbook, on the lab and on real databases.
#![allow(clippy::unwrap_used)]

mod support;

use rusqlite::Connection;
use serde_json::{Value, json};
use support::{lab, playbook, real_copy, rows, set, setting, setting_json};
use switchback_labs::duplistatus::Fault;
use switchback_labs::duplistatus::settings::{LOST_NOTICES, LOST_SETTINGS};

fn run(db: &Connection, file: &str) {
    db.execute_batch(&format!("BEGIN; {}; COMMIT", playbook(file))).unwrap();
}

fn keys(value: &Value) -> Vec<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

/// Stands in for the step that renames the tables.
fn rename(db: &Connection) {
    db.execute_batch(
        "ALTER TABLE machines RENAME TO servers; ALTER TABLE backups RENAME COLUMN machine_id TO server_id",
    )
    .unwrap();
}

#[test]
fn the_real_settings_become_what_the_application_makes_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let Some(db) = real_copy(dir.path(), "before.db") else { return };
    let after = real_copy(dir.path(), "after.db").unwrap();
    for file in ["lost_settings.sql", "lost_notices.sql", "foreign_objects.sql", "broken_settings.sql"] {
        assert_eq!(rows(&db, &playbook(file)), Vec::<String>::new(), "{file}");
    }
    run(&db, "settings.sql");
    let all = "SELECT key, value FROM configurations ORDER BY key";
    // Byte for byte, so also the order of the members and the types of the values.
    assert_eq!(rows(&db, all), rows(&after, all));

    run(&db, "templates.sql");
    let without_templates = "SELECT key, value FROM configurations WHERE key <> 'notifications' ORDER BY key";
    assert_eq!(rows(&db, without_templates), rows(&after, without_templates));
    let renamed = setting(&after, "notifications").unwrap().replace("{machine_name}", "{server_name}");
    assert_eq!(setting(&db, "notifications").unwrap(), renamed);
    rename(&db);
    assert_eq!(rows(&db, &playbook("after_settings_check.sql")), Vec::<String>::new());
}

#[test]
fn every_setting_of_a_real_job_arrives_at_every_server_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let (lab, db) = lab(dir.path(), &[]);
    let before = setting_json(&db, "backup_settings");
    run(&db, "settings.sql");
    let after = setting_json(&db, "backup_settings");
    assert_eq!(after.as_object().unwrap().len(), lab.pairs.len());
    for pair in &lab.pairs {
        let mut expected = before[format!("{}:{}", pair.machine, pair.job)].clone();
        expected["machineName"] = json!(pair.machine);
        assert_eq!(after[format!("{}:{}", pair.id, pair.job)], expected, "{pair:?}");
    }
    rename(&db);
    run(&db, "templates.sql");
    assert_eq!(rows(&db, &playbook("after_settings_check.sql")), Vec::<String>::new());
}

#[test]
fn names_of_every_kind_keep_their_settings() {
    // Beside the odd names of a larger lab: a NUL, a line break and a lone colon are in them.
    use switchback_labs::duplistatus::{LabOptions, LabSize, build};
    let dir = tempfile::tempdir().unwrap();
    let size = LabSize { machines: 14, backups: 300, seed: 3 };
    let lab = build(dir.path(), size, &LabOptions::default()).unwrap();
    let db = Connection::open(&lab.database).unwrap();
    run(&db, "settings.sql");
    let after = setting_json(&db, "backup_settings");
    for pair in &lab.pairs {
        assert_eq!(
            after[format!("{}:{}", pair.id, pair.job)]["machineName"],
            json!(pair.machine),
            "{pair:?}"
        );
    }
    let notices = setting_json(&db, "overdue_notifications");
    assert!(keys(&notices).iter().any(|key| notices[key]["serverName"] == "nul\0inside"));
    rename(&db);
    run(&db, "templates.sql");
    assert_eq!(rows(&db, &playbook("after_settings_check.sql")), Vec::<String>::new());
}

#[test]
fn a_notice_is_carried_over_without_a_backup_of_its_job() {
    let dir = tempfile::tempdir().unwrap();
    let (lab, db) = lab(dir.path(), &[]);
    run(&db, "settings.sql");
    let notices = setting_json(&db, "overdue_notifications");
    assert_eq!(setting(&db, "overdue_backup_notifications"), None);
    let attics: Vec<&str> = {
        let mut ids: Vec<&str> =
            lab.pairs.iter().filter(|pair| pair.machine == "attic").map(|pair| pair.id.as_str()).collect();
        ids.dedup();
        ids
    };
    assert_eq!(attics.len(), 2);
    for id in attics {
        let notice = &notices[format!("{id}:Ghost job")];
        assert_eq!(keys(notice), ["lastNotificationSent", "serverName"]);
        assert_eq!(notice["serverName"], "attic");
    }
    assert!(keys(&notices).iter().all(|key| notices[key].get("lastBackupDate").is_none()));
}

#[test]
fn what_is_lost_is_what_was_listed() {
    let dir = tempfile::tempdir().unwrap();
    let (_, db) = lab(dir.path(), &[]);
    assert_eq!(
        rows(&db, &playbook("lost_settings.sql")),
        [
            ":|no machine of that name",
            "attic:Never run|no backup of that job",
            "no colon at all|no machine of that name",
            "retired-pc:Files|no machine of that name",
        ]
    );
    assert_eq!(
        rows(&db, &playbook("lost_notices.sql")),
        ["no colon at all|no machine of that name", "retired-pc:Files|no machine of that name"]
    );
    assert_eq!((LOST_SETTINGS.len(), LOST_NOTICES.len()), (4, 2));
}

#[test]
fn settings_that_are_no_objects_are_listed_and_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (_, db) = lab(dir.path(), &[]);
    let odd = r#"{"attic:Files":true,"attic:nas:Files":[1],"attic:Databases":{"expectedInterval":1.50,"x":null,"y":1e400}}"#;
    set(&db, "backup_settings", odd);
    set(&db, "overdue_backup_notifications", r#"{"attic:Files":"soon","attic:":{}}"#);
    assert_eq!(
        rows(&db, &playbook("lost_settings.sql")),
        ["attic:Files|the setting is not an object", "attic:nas:Files|the setting is not an object"]
    );
    assert_eq!(
        rows(&db, &playbook("lost_notices.sql")),
        ["attic:|no job is named", "attic:Files|the notice is not an object"]
    );
    run(&db, "settings.sql");
    let text = setting(&db, "backup_settings").unwrap();
    // Numbers keep their spelling: they are carried as text.
    assert!(
        text.ends_with(r#":Databases":{"expectedInterval":1.50,"x":null,"y":1e400,"machineName":"attic"}}"#),
        "{text}"
    );
    assert_eq!(setting(&db, "overdue_notifications").unwrap(), "{}");
}

#[test]
fn a_key_written_twice_counts_as_its_last() {
    let dir = tempfile::tempdir().unwrap();
    let (_, db) = lab(dir.path(), &[]);
    set(&db, "backup_settings", r#"{"attic:Databases":{"n":1},"attic:\u0044atabases":{"n":2}}"#);
    assert_eq!(rows(&db, &playbook("lost_settings.sql")), Vec::<String>::new());
    run(&db, "settings.sql");
    let text = setting(&db, "backup_settings").unwrap();
    assert!(
        text.ends_with(r#":Databases":{"n":2,"machineName":"attic"}}"#) && !text.contains(r#""n":1"#),
        "{text}"
    );
}

#[test]
fn missing_rows_stay_missing() {
    let dir = tempfile::tempdir().unwrap();
    let (_, db) = lab(dir.path(), &[]);
    db.execute_batch("DELETE FROM configurations").unwrap();
    for file in ["broken_settings.sql", "lost_settings.sql", "lost_notices.sql"] {
        assert_eq!(rows(&db, &playbook(file)), Vec::<String>::new(), "{file}");
    }
    run(&db, "settings.sql");
    run(&db, "templates.sql");
    assert_eq!(rows(&db, "SELECT count(*) FROM configurations"), ["0"]);
}

#[test]
fn settings_that_all_are_lost_leave_an_empty_object() {
    let dir = tempfile::tempdir().unwrap();
    let (_, db) = lab(dir.path(), &[]);
    set(&db, "backup_settings", r#"{"gone:Files":{"n":1}}"#);
    run(&db, "settings.sql");
    assert_eq!(setting(&db, "backup_settings").unwrap(), "{}");
}

#[test]
fn templates_alone_are_renamed() {
    let dir = tempfile::tempdir().unwrap();
    let (_, db) = lab(dir.path(), &[]);
    let before = setting_json(&db, "notifications");
    run(&db, "templates.sql");
    let after = setting_json(&db, "notifications");
    assert_eq!(after["ntfy"], before["ntfy"]);
    assert_eq!(after["ntfy"]["topic"], "lab-{machine_name}-topic");
    let expected = before["templates"].to_string().replace("{machine_name}", "{server_name}");
    assert_eq!(after["templates"].to_string(), expected);
    assert_ne!(before["templates"], after["templates"]);
}

#[test]
fn escapes_and_numbers_of_the_notifications_keep_their_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let (_, db) = lab(dir.path(), &[]);
    let text = r#"{"a":1.50,"b":"\u00e9\/\t","templates":{"x":{"title":"\u2714 {machine_name}\n{machine_name}"}},"z":1e2}"#;
    set(&db, "notifications", text);
    run(&db, "templates.sql");
    assert_eq!(setting(&db, "notifications").unwrap(), text.replace("{machine_name}", "{server_name}"));
    for odd in [r#"{"templates":null}"#, r#"{"templates":"{machine_name}"}"#, "{}", "[1, 2]"] {
        set(&db, "notifications", odd);
        run(&db, "templates.sql");
        assert_eq!(setting(&db, "notifications").unwrap(), odd);
    }
}

#[test]
fn settings_that_cannot_be_read_are_refused() {
    for (key, value, why) in [
        ("backup_settings", "{\"a\":", "the value is not JSON"),
        ("backup_settings", "", "the value is not JSON"),
        ("backup_settings", "null", "the value is JSON but not an object"),
        ("notifications", "[]", "the value is JSON but not an object"),
        ("overdue_backup_notifications", "\"x\"", "the value is JSON but not an object"),
        ("overdue_notifications", "{}", "a row of the new version is there already"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (_, db) = lab(dir.path(), &[]);
        assert_eq!(rows(&db, &playbook("broken_settings.sql")), Vec::<String>::new());
        set(&db, key, value);
        assert_eq!(rows(&db, &playbook("broken_settings.sql")), [format!("{key}|{why}")]);
    }
    let dir = tempfile::tempdir().unwrap();
    let (_, db) = lab(dir.path(), &[]);
    db.execute_batch("UPDATE configurations SET value = NULL WHERE key = 'notifications'").unwrap();
    assert_eq!(rows(&db, &playbook("broken_settings.sql")), ["notifications|the value is missing"]);
}

#[test]
fn a_broken_row_stops_the_rewrite_and_leaves_everything() {
    let dir = tempfile::tempdir().unwrap();
    let (_, mut db) = lab(dir.path(), &[Fault::BrokenSettings]);
    let all = "SELECT key, value FROM configurations ORDER BY key";
    let before = rows(&db, all);
    let transaction = db.transaction().unwrap();
    assert!(transaction.execute_batch(&playbook("settings.sql")).is_err());
    transaction.rollback().unwrap();
    assert_eq!(rows(&db, all), before);
}

#[test]
fn a_notice_row_of_the_new_version_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let (_, mut db) = lab(dir.path(), &[]);
    set(&db, "overdue_notifications", r#"{"mine":{}}"#);
    let transaction = db.transaction().unwrap();
    assert!(transaction.execute_batch(&playbook("settings.sql")).is_err());
    transaction.rollback().unwrap();
    assert_eq!(setting(&db, "overdue_notifications").unwrap(), r#"{"mine":{}}"#);
}

#[test]
fn an_untouched_database_has_no_foreign_objects() {
    let dir = tempfile::tempdir().unwrap();
    let (_, db) = lab(dir.path(), &[]);
    db.execute_batch("ANALYZE").unwrap();
    assert_eq!(rows(&db, &playbook("foreign_objects.sql")), Vec::<String>::new());
}

#[test]
fn foreign_objects_are_told_one_by_one() {
    let find = |prepare: &str, faults: &[Fault]| {
        let dir = tempfile::tempdir().unwrap();
        let (_, db) = lab(dir.path(), faults);
        db.execute_batch(prepare).unwrap();
        rows(&db, &playbook("foreign_objects.sql"))
    };
    assert_eq!(
        find("", &[Fault::UserView]),
        ["view `recent_failures` on `recent_failures` is not the application's"]
    );
    assert_eq!(
        find("", &[Fault::UserTrigger]),
        ["trigger `keep_count` on `backups` is not the application's"]
    );
    assert_eq!(find("", &[Fault::UserIndex]), ["index `my_status` on `backups` is not the application's"]);
    assert_eq!(find("", &[Fault::ExtraColumn]), ["column `my_remark` of `backups` is not the application's"]);
    assert_eq!(find("", &[Fault::StrayServers]), ["table `servers` is not the application's"]);
    assert_eq!(find("", &[Fault::StrayBackupsNew]), ["table `backups_new` is not the application's"]);
    assert_eq!(
        find(
            "DROP INDEX idx_backups_date; CREATE INDEX idx_backups_date ON backups(date) WHERE size > 1",
            &[]
        ),
        ["index `idx_backups_date` on `backups` is not the application's"]
    );
    assert_eq!(
        find("DROP INDEX idx_backups_date; CREATE INDEX by_day ON backups(substr(date, 1, 10))", &[]),
        [
            "index `by_day` on `backups` is not the application's",
            "index `idx_backups_date` on `backups` of the application is missing",
        ]
    );
    assert_eq!(
        find(
            "CREATE TABLE \"it's; -- x\" (a); ALTER TABLE machines ADD COLUMN b GENERATED ALWAYS AS (1)",
            &[]
        ),
        ["column `b` of `machines` is not the application's", "table `it's; -- x` is not the application's"]
    );
    assert_eq!(
        find(
            "DROP TABLE db_version; CREATE TABLE db_version (version TEXT PRIMARY KEY, applied_at TEXT UNIQUE)",
            &[]
        ),
        [
            "column `applied_at` of `db_version` is missing or is declared in another way",
            "index `sqlite_autoindex_db_version_2` on `db_version` is not the application's",
        ]
    );
    let generated = "DROP TABLE configurations;
        CREATE TABLE configurations (key TEXT PRIMARY KEY NOT NULL, value TEXT AS (key))";
    assert_eq!(
        find(generated, &[]),
        ["column `value` of `configurations` is missing or is declared in another way"]
    );
    assert_eq!(
        find("DROP TABLE configurations", &[]),
        ["table `configurations` of the application is missing"]
    );
}

#[test]
fn the_check_after_finds_what_was_not_rewritten() {
    let dir = tempfile::tempdir().unwrap();
    let (_, db) = lab(dir.path(), &[]);
    rename(&db);
    let found = rows(&db, &playbook("after_settings_check.sql"));
    assert!(
        found.iter().any(|line| line.starts_with("backup_settings: `attic:Files` belongs to no server")),
        "{found:?}"
    );
    assert!(found.contains(&"overdue_backup_notifications: the old row is still there".to_owned()));
    assert!(found.contains(&"notifications: a template still says {machine_name}".to_owned()));
}
