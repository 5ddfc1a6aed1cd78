//! Foreign hands: what another program wrote while a run had the database is never overwritten unasked.

use crate::support::{SETTINGS_MOVED, Site, TABLES_CHANGED};
use std::path::PathBuf;
use switchback_site::sqlite::Fingerprint;

/// Kills an upgrade and writes into the database as another program would.
fn meddled_at(place: &str, sql: &str) -> (Site, Fingerprint) {
    let (site, before) = Site::killed_at(place);
    site.sql(sql);
    (site, before)
}

const UPLOAD: &str = "INSERT INTO machines (id, name) VALUES ('foreign', 'came in between')";
const LATE_UPLOAD: &str = "INSERT INTO servers (id, name) VALUES ('foreign', 'came in between')";

#[test]
fn a_rollback_that_meets_foreign_rows_is_stuck_and_changes_nothing() {
    for (place, sql) in [(SETTINGS_MOVED, UPLOAD), (TABLES_CHANGED, LATE_UPLOAD)] {
        let (site, before) = meddled_at(place, sql);
        let now = site.fingerprint();
        let words = [
            "db was written by somebody else",
            "1 transaction were committed by another program",
            "--losing-writes",
        ];
        site.run(&["rollback", "--yes"]).expect(21, &words[..1]).expect(21, &words[2..]);
        assert_eq!(site.fingerprint(), now, "something was changed");
        site.run(&["status"]).expect(21, &["stuck"]);
        // Again: the same answer, and still nothing is changed.
        site.run(&["rollback", "--yes"]).expect(21, &words[..1]);
        assert_eq!(site.fingerprint(), now);
        site.run(&["rollback", "--losing-writes"]).expect(0, &["is given up", "rolled back: as before"]);
        assert_eq!(site.fingerprint(), before);
        assert_eq!(site.beside(), ["backups.db"]);
    }
}

#[test]
fn a_resume_that_meets_foreign_rows_does_not_build_on_them() {
    let (site, before) = meddled_at(SETTINGS_MOVED, UPLOAD);
    let now = site.fingerprint();
    site.run(&["resume"]).expect(21, &["db was written by somebody else", "--losing-writes"]);
    assert_eq!(site.fingerprint(), now);
    site.run(&["rollback", "--losing-writes"]).expect(0, &["rolled back: as before"]);
    assert_eq!(site.fingerprint(), before);
}

#[test]
fn a_database_that_was_replaced_in_between_is_not_overwritten() {
    let (site, _) = Site::killed_at(TABLES_CHANGED);
    let other = Site::new();
    other.sql("UPDATE machines SET name = 'another installation'");
    for suffix in ["", "-wal", "-shm"] {
        let side = |site: &Site| PathBuf::from(format!("{}{suffix}", site.database.display()));
        let _ = std::fs::remove_file(side(&site));
        if side(&other).exists() {
            std::fs::copy(side(&other), side(&site)).unwrap();
        }
    }
    let now = site.fingerprint();
    site.run(&["rollback", "--yes"]).expect(21, &["db was written by somebody else"]);
    assert_eq!(site.fingerprint(), now);
}
