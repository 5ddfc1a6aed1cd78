//! What somebody else wrote while a run had the database is never overwritten unasked.
#![allow(clippy::unwrap_used)]

mod bench;

use bench::{Bench, backup, sql, sweep};
use std::sync::Arc;
use switchback_engine::{Step, StepError};
use switchback_site::{Faults, Tell};
use switchback_steps::backup::Backup;

/// A backup that is cut off after its copy was proven, before the database was taken.
fn cut_before_it_is_taken(mode: &str) -> (Bench, <Backup as Step>::Before) {
    let cut_at = |at| {
        let mut bench = Bench::new(mode);
        let before = backup().prepare(&bench.site, &bench.work("backup")).unwrap();
        bench.tell = Tell::with_faults(Arc::new(Faults::cut(at)));
        let cut = backup().apply(&bench.site, &before, &bench.work("backup"));
        assert_eq!(cut, Err(StepError::Cut), "the manifest is written before the end");
        bench.tell = Tell::quiet();
        bench.dir.backups().join("db.json").exists().then_some((bench, before))
    };
    (1..).find_map(cut_at).unwrap()
}

#[test]
fn a_write_between_the_backup_and_the_taking_survives_the_way_back() {
    for mode in ["wal", "delete"] {
        let (bench, before) = cut_before_it_is_taken(mode);
        bench.foreign_write(Some(mode));
        let error = backup().apply(&bench.site, &before, &bench.work("backup")).unwrap_err();
        assert!(matches!(error, StepError::Conflict(_)), "{error:?}");
        bench.undo(&backup(), "backup", &before).unwrap();
        assert_eq!(bench.notes(), ["one", "two", "theirs"], "{mode}");
        assert_eq!(bench.fingerprint().pragmas["journal_mode"], mode);
    }
}

#[test]
fn a_write_after_the_taking_stops_the_way_back() {
    for mode in ["wal", "delete", "truncate", "persist", "memory", "off"] {
        let bench = Bench::new(mode);
        let before = bench.carry_out(&backup(), "backup").unwrap();
        bench.carry_out(&sql("UPDATE notes SET body = upper(body)"), "sql").unwrap();
        bench.foreign_write(Some(mode));
        let error = bench.undo(&backup(), "backup", &before).unwrap_err();
        assert!(matches!(error, StepError::Conflict(_)), "{mode}: {error:?}");
        assert_eq!(bench.notes(), ["ONE", "TWO", "theirs"], "{mode}");
    }
}

#[test]
fn a_write_before_the_sweep_stops_the_way_up() {
    let bench = Bench::new("wal");
    bench.carry_out(&backup(), "backup").unwrap();
    bench.carry_out(&sql("UPDATE notes SET body = upper(body)"), "sql").unwrap();
    bench.foreign_write(None);
    let error = sweep().prepare(&bench.site, &bench.work("sweep")).unwrap_err();
    assert!(matches!(error, StepError::Conflict(_)), "{error:?}");
}

#[test]
fn nobody_else_is_suspected_when_nobody_else_wrote() {
    for mode in ["wal", "delete", "truncate", "persist"] {
        let bench = Bench::new(mode);
        let then = bench.fingerprint();
        let before = bench.carry_out(&backup(), "backup").unwrap();
        bench.carry_out(&sql("UPDATE notes SET body = upper(body)"), "sql-1").unwrap();
        bench.carry_out(&sql("SELECT 1"), "sql-2").unwrap();
        let swept = bench.carry_out(&sweep(), "sweep").unwrap();
        bench.undo(&sweep(), "sweep", &swept).unwrap();
        for id in ["sql-2", "sql-1"] {
            bench.undo(&sql(""), id, &()).unwrap();
        }
        bench.undo(&backup(), "backup", &before).unwrap();
        assert_eq!(bench.fingerprint(), then, "{mode}");
    }
}

#[test]
fn a_switch_that_was_killed_leaves_no_journal_on_the_way_back() {
    for mode in ["wal", "delete"] {
        let bench = Bench::new(mode);
        let before = backup().prepare(&bench.site, &bench.work("backup")).unwrap();
        // What SIGKILL leaves while SQLite begins the transaction that changes the mode: a journal without a header.
        let mut journal = bench.database().into_os_string();
        journal.push("-journal");
        std::fs::write(&journal, vec![0_u8; 512]).unwrap();
        bench.undo(&backup(), "backup", &before).unwrap();
        assert!(!std::path::Path::new(&journal).exists(), "{mode}");
        assert_eq!(bench.fingerprint().pragmas["journal_mode"], mode);
        assert_eq!(bench.notes(), ["one", "two"]);
    }
}
