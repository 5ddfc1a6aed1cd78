//! A kill in the middle of a commit: SQLite's rollback journal lies beside a database that is half written, and whoever
//! may not write cannot read it.

use crate::alone;
use crate::lab::{Ended, Lab, Verb};
use crate::script::{finish, reference};
use rusqlite::Connection;
use std::path::Path;
use switchback_site::Faults;

#[test]
fn a_commit_that_was_killed_half_way_is_settled_first() {
    alone::run("half_commit::a_commit_that_was_killed_half_way_is_settled_first", |share| {
        let (ends, points) = reference();
        let mut planted = 0;
        for at in (1..=points).filter(|at| share.has(*at as usize)) {
            // Each moment with one way out: the other one follows two points later.
            for verb in if at % 4 < 2 { [Verb::Up] } else { [Verb::Back] } {
                let lab = Lab::small();
                assert_eq!(lab.live(Verb::Up, Faults::cut(at)), Ended::Cut);
                // Only while the database is ours does it have a rollback journal instead of a log.
                if !is_ours(&lab) {
                    continue;
                }
                plant_half_a_commit(&lab.database);
                planted += 1;
                finish(&lab, &ends, verb, &format!("cut at {at}, in the middle of a commit, then {verb:?}"));
            }
        }
        assert!(planted > 10, "{planted} half commits");
    });
}

fn is_ours(lab: &Lab) -> bool {
    // Byte 18 of the header: 1 for a rollback journal, 2 for a log (sqlite.org/fileformat.html §1.3.3).
    std::fs::read(&lab.database).unwrap()[18] == 1
}

/// Leaves what a kill within a commit leaves: pages of a transaction in the file, and the journal that takes them back.
fn plant_half_a_commit(database: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    std::fs::copy(database, &copy).unwrap();
    let connection = Connection::open(&copy).unwrap();
    // A cache of a few pages makes SQLite write pages, and sync the journal before, long before the commit.
    connection.execute_batch("PRAGMA cache_size = 2; PRAGMA synchronous = FULL; BEGIN").unwrap();
    connection
        .execute_batch("UPDATE backups SET backup_name = 'half done'; DELETE FROM configurations")
        .unwrap();
    for end in ["", "-journal"] {
        let beside = |path: &Path| format!("{}{end}", path.display());
        std::fs::copy(beside(&copy), beside(database)).unwrap();
    }
}
