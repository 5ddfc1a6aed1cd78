//! `sql` and `alter`: one transaction with the row that says it is in; the way back is the backup before it.

use super::store;
use crate::bench::Bench;
use crate::fixture::{Fixture, Hand};
use serde_json::json;
use std::collections::BTreeMap;
use switchback_site::sqlite::alter::{AlterSpec, Literal, NewColumn, TableChange};
use switchback_steps::alter::Alter;
use switchback_steps::sql::Sql;

const FOREIGN: &[Hand] = &[("a row", store::a_row), ("the application ran", store::a_row_by_the_application)];
const HALVES: &[Hand] = &[("a hot journal", store::a_hot_journal)];

pub fn sql() -> Fixture {
    Fixture {
        halves: HALVES,
        foreign_before: FOREIGN,
        foreign_after: FOREIGN,
        ..Fixture::of::<Sql>("sql", || {
            let step = Sql {
                target: "db".into(),
                name: "settings".into(),
                script: "CREATE TABLE settings(key TEXT PRIMARY KEY, value, at TEXT);\n\
                         INSERT INTO settings SELECT id, :level, :now FROM machines WHERE id IS NOT NULL;\n\
                         DELETE FROM jobs WHERE machine = 'a';"
                    .into(),
                params: BTreeMap::from([("level".to_owned(), json!(3))]),
                shows: Some("SELECT id FROM machines".into()),
            };
            store::after_backup(true, vec![Box::new(step)], 0)
        })
    }
}

/// SQLite can do it where the table lies.
pub fn in_place() -> Fixture {
    alter("alter-in-place", || {
        over_machines(TableChange {
            rename: Some("servers".into()),
            rename_columns: vec![("name".into(), "label".into())],
            add: vec![url(None)],
            ..TableChange::default()
        })
    })
}

/// SQLite cannot: the table is copied, while other rows refer to it.
pub fn rebuild() -> Fixture {
    alter("alter-rebuild", || {
        over_machines(TableChange {
            retype: vec![("made".into(), "TEXT".into())],
            rebuild: true,
            ..TableChange::default()
        })
    })
}

/// A new name and a column that does not come last, which takes a copy as well.
pub fn rename_and_add_in_the_middle() -> Fixture {
    alter("alter-middle", || {
        over_machines(TableChange {
            rename: Some("servers".into()),
            add: vec![url(Some("id"))],
            ..TableChange::default()
        })
    })
}

fn alter(name: &'static str, fresh: fn() -> Bench) -> Fixture {
    Fixture {
        halves: HALVES,
        foreign_before: FOREIGN,
        foreign_after: FOREIGN,
        ..Fixture::of::<Alter>(name, fresh)
    }
}

fn over_machines(change: TableChange) -> Bench {
    let and = Some("UPDATE jobs SET size = 1 WHERE id = 1".to_owned());
    let spec = AlterSpec { tables: vec![("machines".into(), change)], and };
    let step = Alter { target: "db".into(), spec, params: BTreeMap::new() };
    store::after_backup(true, vec![Box::new(step)], 0)
}

fn url(after: Option<&str>) -> NewColumn {
    NewColumn {
        name: "url".into(),
        definition: "TEXT".into(),
        default: Some(Literal::Text(String::new())),
        after: after.map(str::to_owned),
        ..NewColumn::default()
    }
}
