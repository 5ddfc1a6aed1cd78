//! `backup`, and the own steps around it: `trial` before, `sweep` after.

use super::store::{self, DB};
use crate::bench::Bench;
use crate::fixture::Fixture;
use std::collections::BTreeMap;
use std::fs;
use switchback_engine::step::AnyStep;
use switchback_steps::backup::Backup;
use switchback_steps::sql::Sql;
use switchback_steps::sweep::Sweep;
use switchback_steps::trial::Trial;

/// A database with a rollback journal.
pub fn backup() -> Fixture {
    Fixture {
        halves: &[("half a copy", half_a_copy)],
        foreign_after: &[("a row", store::a_row), ("the application ran", store::a_row_by_the_application)],
        ..Fixture::of::<Backup>("backup", || store::over_database(false, vec![step()], 0))
    }
}

/// A database with a log that a killed application left.
pub fn wal() -> Fixture {
    Fixture {
        halves: &[("half a copy", half_a_copy)],
        foreign_after: &[("a row", store::a_row), ("the application ran", store::a_row_by_the_application)],
        ..Fixture::of::<Backup>("backup-wal", || store::over_database(true, vec![step()], 0))
    }
}

pub fn trial() -> Fixture {
    Fixture {
        halves: &[("half a copy", half_a_trial)],
        ..Fixture::of::<Trial>("trial", || {
            store::over_database(true, vec![Box::new(Trial { target: "db".into() })], 0)
        })
    }
}

/// The last step, before the application comes back.
pub fn sweep() -> Fixture {
    Fixture {
        halves: &[("a hot journal", store::a_hot_journal)],
        foreign_before: &[("a row", store::a_row), ("the application ran", store::a_row_by_the_application)],
        foreign_after: &[("a row", store::a_row), ("the application ran", store::a_row_by_the_application)],
        ..Fixture::of::<Sweep>("sweep", || {
            let change = Sql {
                target: "db".into(),
                name: "mark".into(),
                script: "UPDATE machines SET made = :now".into(),
                params: BTreeMap::new(),
                shows: None,
            };
            store::after_backup(true, vec![Box::new(change), Box::new(Sweep { target: "db".into() })], 1)
        })
    }
}

fn step() -> Box<dyn AnyStep> {
    Box::new(Backup { target: "db".into() })
}

fn half_a_copy(bench: &Bench) {
    let bytes = fs::read(bench.path(DB)).unwrap();
    fs::write(bench.dir.backups().join("db.backup.partial"), &bytes[..bytes.len() / 2]).unwrap();
}

fn half_a_trial(bench: &Bench) {
    let bytes = fs::read(bench.path(DB)).unwrap();
    fs::write(bench.dir.keep().join("db.trial.partial"), &bytes[..bytes.len() / 2]).unwrap();
}
