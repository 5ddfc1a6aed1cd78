//! Which release is installed, and which one is to come.

use crate::support::Site;
use switchback_labs::duplistatus::Fault;

#[test]
fn a_release_that_is_not_pinned_is_refused() {
    let site = Site::new();
    for release in
        ["latest", "v0.8.21", "\"1.4.2\"", "\"0.7\"", "v0.7.x", "v0.7.27-rc1", "wingfit/duplistatus:latest"]
    {
        site.write_site_file("duplistatus", release);
        site.run(&["plan"]).expect(11, &["the release is not pinned to 0.7.x", "help: name the exact tag"]);
    }
    for release in ["v0.7.26", "\"0.7.27\""] {
        site.write_site_file("duplistatus", release);
        site.run(&["plan"]).expect(0, &[]);
    }
}

#[test]
fn an_installation_of_the_new_release_has_nothing_to_do_and_is_not_written() {
    let site = Site::faulty(&[Fault::AlreadyMigrated]);
    let stamp = |site: &Site| {
        let meta = std::fs::metadata(&site.database).unwrap();
        (meta.len(), meta.modified().unwrap(), std::fs::read(&site.database).unwrap())
    };
    let before = stamp(&site);
    for verb in [&["plan"][..], &["apply", "--yes"], &["rehearse"]] {
        site.run(verb).expect(0, &["nothing to do: 0.7 is installed", "3.0, which means 0.7"]);
    }
    assert_eq!(stamp(&site), before);
    site.expect_no_run();
}

#[test]
fn a_migrated_copy_that_still_says_the_old_version_is_refused() {
    // The newest `backups-copy-*` of an interrupted migration is such a database.
    let site = Site::faulty(&[Fault::AlreadyMigrated]);
    site.sql("UPDATE db_version SET version = '2.0'");
    site.run(&["plan"])
        .expect(11, &["the evidence disagrees", "2.0, which means 0.6", "servers, which means >=0.7"]);
}

#[test]
fn a_ruin_without_machines_is_no_known_release() {
    // What the guide's script leaves when the shell goes on after its error.
    let site = Site::new();
    site.sql("ALTER TABLE machines RENAME TO servers; ALTER TABLE servers ADD COLUMN alias TEXT DEFAULT ''");
    site.run(&["plan"]).expect(11, &["the evidence disagrees"]);
}

#[test]
fn a_database_of_another_application_is_refused() {
    let site = Site::new();
    site.sql("DROP TABLE backups; DROP TABLE machines; DROP TABLE db_version; DROP TABLE configurations");
    site.run(&["plan"]).expect(11, &["D001", "no such table: db_version"]);
}

#[test]
fn detect_says_what_it_saw() {
    let site = Site::new();
    let ran = site.run(&["detect"]).expect(0, &["2.0, which means 0.6", "machines, which means <0.7"]);
    assert_eq!(ran.out, "duplistatus 0.6\n");
}

#[test]
fn the_plan_shows_every_table_and_setting_that_changes() {
    let words = [
        "move settings and overdue notices from machine names to server ids",
        "rename {machine_name} to {server_name} in notification templates",
        "rename table machines to servers",
        "rename column machine_id of backups to server_id",
        "create index idx_backups_server_id",
    ];
    Site::new().run(&["plan"]).expect(0, &words);
}

#[test]
fn integrators_are_told_what_changes_for_them() {
    let words = [
        "`totalBackups` of /api/summary keeps its name and changes its meaning",
        "removed: /api/machines",
        "a PATCH of /api/servers/{id} with only `alias` also wipes `note` and `server_url`",
        "an upload no longer updates the name of a server that it knows",
    ];
    let site = Site::new();
    site.run(&["plan"]).expect(0, &words);
    site.run(&["explain", "duplistatus"]).expect(0, &words);
}
