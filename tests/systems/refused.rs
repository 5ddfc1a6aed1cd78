//! What an upgrade must not start from is refused by `plan`, by name, with what to do; nothing is begun or changed.

use crate::support::Site;
use switchback_labs::duplistatus::Fault;

/// Plans over a fault, and checks that both `plan` and `apply` refuse and leave everything as it is.
#[track_caller]
fn refused(fault: Fault, words: &[&str]) {
    let site = Site::faulty(&[fault]);
    let before = site.fingerprint();
    site.run(&["plan"]).expect(11, words).expect(11, &["help: ", "nothing was changed"]);
    site.apply().expect(11, words);
    site.expect_no_run();
    assert_eq!(site.fingerprint(), before);
    assert_eq!(site.beside(), ["backups.db"]);
}

#[test]
fn an_orphan_backup_is_refused() {
    refused(Fault::OrphanBackup, &["backups of a machine that does not exist", "no-such-machine"]);
}

#[test]
fn an_empty_db_version_is_refused() {
    refused(
        Fault::EmptyDbVersion,
        &["D001", "the schema version in db_version: `none`", "INSERT INTO db_version"],
    );
}

#[test]
fn two_db_versions_are_refused() {
    refused(
        Fault::TwoDbVersions,
        &["D001", "the schema version in db_version: `several`", "delete the others"],
    );
}

#[test]
fn evidence_that_disagrees_is_refused() {
    refused(
        Fault::HalfMigrated,
        &["D001", "the evidence disagrees", "3.0, which means 0.7", "machines, which means <0.7"],
    );
}

#[test]
fn a_stray_table_servers_is_refused() {
    refused(Fault::StrayServers, &["D001", "machines and servers", "drop it if it is left over"]);
}

#[test]
fn a_stray_table_backups_new_is_refused() {
    refused(Fault::StrayBackupsNew, &["a table of an earlier try is in the way", "backups_new"]);
}

#[test]
fn a_view_of_the_user_is_refused() {
    refused(Fault::UserView, &["view `recent_failures`"]);
}

#[test]
fn a_trigger_of_the_user_is_refused() {
    refused(Fault::UserTrigger, &["trigger `keep_count`"]);
}

#[test]
fn an_index_of_the_user_is_refused() {
    refused(Fault::UserIndex, &["index `my_status`"]);
}

#[test]
fn a_column_of_the_user_is_refused() {
    refused(Fault::ExtraColumn, &["column `my_remark`"]);
}

#[test]
fn settings_that_are_no_json_are_refused() {
    refused(Fault::BrokenSettings, &["backup_settings", "the value is not JSON"]);
}

#[test]
fn settings_that_are_the_text_null_are_refused() {
    refused(Fault::NullSettings, &["backup_settings", "JSON but not an object"]);
}
