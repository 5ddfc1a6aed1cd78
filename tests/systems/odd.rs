//! What is odd but legal is carried over as it is: value by value, with storage classes.

use crate::support::{Options, SETTINGS_MOVED, Site, TABLES_CHANGED, rows, setting, shape};
use rusqlite::Connection;
use serde_json::json;
use switchback_labs::duplistatus::{Fault, LabSize};

/// All of `backups`, each value with its storage class, keyed by what does not change.
fn backups(connection: &Connection, owner: &str) -> Vec<String> {
    let columns = rows(connection, "SELECT name FROM pragma_table_info('backups')");
    let cells: Vec<String> = columns
        .iter()
        .map(|name| if name == "machine_id" { owner } else { name })
        .map(|name| format!("typeof({name}) || hex({name})"))
        .collect();
    rows(connection, &format!("SELECT rowid, {} FROM backups ORDER BY rowid", cells.join(", ")))
}

#[test]
fn null_ids_are_carried_over() {
    let site = Site::faulty(&[Fault::NullIds]);
    site.apply().expect(0, &["6 rows equal", "157 rows equal", "upgraded"]);
    let after = site.open();
    assert_eq!(rows(&after, "SELECT name FROM servers WHERE id IS NULL"), ["nameless"]);
    assert_eq!(rows(&after, "SELECT count(*) FROM backups WHERE id IS NULL"), ["integer 1"]);
}

#[test]
fn odd_values_and_rowids_keep_their_storage_class() {
    let site = Site::new();
    site.sql(
        "UPDATE backups SET rowid = rowid + 1000000 WHERE rowid % 7 = 0;
         UPDATE backups SET size = 'many', warnings = 1.5, errors = x'00ff' WHERE rowid % 5 = 0;
         UPDATE backups SET messages_array = 'a' || char(0) || 'b' WHERE rowid % 3 = 0;
         UPDATE backups SET parsed_result = CAST(x'fffe41' AS TEXT) WHERE rowid = 1;
         UPDATE machines SET created_at = 17 WHERE rowid = 1;
         UPDATE backups SET messages_array = hex(zeroblob(2400000)) WHERE rowid = 2",
    );
    let before = backups(&site.open(), "machine_id");
    let machines = "SELECT typeof(id) || hex(id), hex(name), typeof(created_at), created_at FROM ";
    let owners = rows(&site.open(), &format!("{machines} machines ORDER BY id"));
    site.apply().expect(0, &["156 rows equal", "upgraded"]);
    let after = site.open();
    let columns = rows(&after, "SELECT name FROM pragma_table_info('backups')");
    assert_eq!(columns.iter().filter(|name| *name == "server_id").count(), 1);
    assert_eq!(backups(&after, "server_id"), before);
    assert_eq!(rows(&after, &format!("{machines} servers ORDER BY id")), owners);
}

#[test]
fn new_columns_are_empty_texts() {
    let site = Site::new();
    site.apply().expect(0, &[]);
    let sql = "SELECT DISTINCT typeof(server_url), server_url, typeof(alias), alias, typeof(note), note FROM servers";
    assert_eq!(rows(&site.open(), sql), ["text||text||text|"]);
}

#[test]
fn the_version_is_stamped_with_the_tables_and_nothing_of_ours_stays() {
    let site = Site::new();
    site.apply().expect(0, &[]);
    let after = site.open();
    assert_eq!(rows(&after, "SELECT version FROM db_version"), ["3.0"]);
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    assert_eq!(rows(&after, tables), ["backups", "configurations", "db_version", "servers"]);
    assert_eq!(rows(&after, "PRAGMA foreign_key_check"), [""; 0]);
    assert_eq!(rows(&after, "PRAGMA integrity_check"), ["ok"]);
}

#[test]
fn the_schema_afterwards_is_that_of_the_new_release() {
    let site = Site::new();
    site.apply().expect(0, &[]);
    // The lab's later layout is compared with the real one by a test of the lab.
    assert_eq!(shape(&site.open()), shape(&Site::faulty(&[Fault::AlreadyMigrated]).open()));
}

#[test]
fn the_stamp_and_the_tables_come_in_one_transaction() {
    let standing = |site: &Site| {
        let tables = "SELECT name FROM sqlite_schema WHERE name IN ('machines', 'servers')";
        (rows(&site.open(), tables), rows(&site.open(), "SELECT version FROM db_version"))
    };
    let (site, _) = Site::killed_at(SETTINGS_MOVED);
    assert_eq!(standing(&site), (vec!["machines".to_owned()], vec!["2.0".to_owned()]));
    let (site, _) = Site::killed_at(TABLES_CHANGED);
    assert_eq!(standing(&site), (vec!["servers".to_owned()], vec!["3.0".to_owned()]));
    // A stamp that fails takes the tables back with it.
    let stamp = "UPDATE db_version SET version = '3.0', applied_at = :now";
    let fails = format!("{stamp}; SELECT abs(-9223372036854775807 - 1)");
    let site = Site::with(&Options { playbook: &[(stamp, &fails)], ..Options::default() });
    let before = site.fingerprint();
    site.apply().expect(20, &["alter-db", "integer overflow", "rolled back: as before"]);
    assert_eq!(site.fingerprint(), before);
}

#[test]
fn an_empty_installation_is_upgraded() {
    let size = LabSize { machines: 0, backups: 0, ..LabSize::default() };
    let site = Site::with(&Options { size: Some(size), ..Options::default() });
    site.apply().expect(0, &["upgraded"]);
    assert_eq!(rows(&site.open(), "SELECT count(*) FROM servers"), ["integer 0"]);
}

#[test]
fn settings_follow_every_machine_of_a_name_and_colons_are_no_obstacle() {
    let site = Site::new();
    site.apply().expect(0, &[]);
    let after = site.open();
    let settings = setting(&after, "backup_settings");
    // Two machines are called `attic`; the job `nas:Files` of the one spells the key of another machine's `Files`.
    for job in ["Files", "nas:Files"] {
        let sql = format!(
            "SELECT DISTINCT s.id FROM servers s JOIN backups b ON b.server_id = s.id \
             WHERE s.name = 'attic' AND b.backup_name = '{job}'"
        );
        for id in rows(&after, &sql) {
            let found = &settings[format!("{id}:{job}")];
            assert_eq!(found["machineName"], json!("attic"), "{id}:{job}");
        }
    }
    let pairs = "SELECT count(*) FROM (SELECT DISTINCT server_id, backup_name FROM backups)";
    let settled = format!("integer {}", settings.as_object().unwrap().len());
    assert_eq!(rows(&after, pairs), [settled]);
}

#[test]
fn templates_say_the_name_by_its_new_variable_and_addresses_stay() {
    let site = Site::new();
    site.apply().expect(0, &[]);
    let notifications = setting(&site.open(), "notifications");
    assert!(!notifications["templates"].to_string().contains("{machine_name}"));
    assert!(notifications["templates"].to_string().contains("{server_name}"));
    assert_eq!(notifications["ntfy"]["topic"], json!("lab-{machine_name}-topic"));
}

#[test]
fn what_is_lost_is_listed_by_key_before_anything_happens() {
    let site = Site::new();
    let ran = site.run(&["plan"]).expect(0, &["unresolved-settings", "unresolved-notices"]);
    for key in switchback_labs::duplistatus::settings::LOST_SETTINGS {
        assert!(ran.out.contains(&format!("- {key} · ")), "{key}");
    }
    for key in switchback_labs::duplistatus::settings::LOST_NOTICES {
        assert!(ran.out.contains(&format!("- {key} · ")), "{key}");
    }
}
