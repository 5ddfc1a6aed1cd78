//! References that lead nowhere, before and after: old ones stay as they are, new ones are not allowed.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::alter_catalog::{Catalog, Table};
use super::alter_error::AlterError;
use super::alter_plan::message;
use super::alter_spec::AlterSpec;
use super::ddl::quote_identifier;

/// A reference: the child and its row, the columns that refer, and the table they refer to.
type Reference = (String, Option<i64>, Vec<String>, String);

/// The references that lead nowhere, each with how often it was found (a table without rowid has no row to tell).
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Violations {
    found: BTreeMap<Reference, u64>,
    /// Tables that cannot be checked at all, with what SQLite says.
    unchecked: BTreeMap<String, String>,
}

impl Violations {
    /// Looks for them with `PRAGMA foreign_key_check`, a table at a time.
    pub(super) fn read(connection: &Connection, catalog: &Catalog) -> Result<Violations, AlterError> {
        let mut violations = Violations::default();
        for table in catalog.tables.iter().filter(|table| !table.foreign_keys.is_empty()) {
            match of_table(connection, table) {
                Ok(found) => {
                    for reference in found {
                        *violations.found.entry(reference).or_default() += 1;
                    }
                }
                // A parent without a unique key makes the check itself fail ("foreign key mismatch").
                Err(rusqlite::Error::SqliteFailure(code, text))
                    if code.code == rusqlite::ErrorCode::Unknown && text.is_some() =>
                {
                    violations.unchecked.insert(fold(&table.name), text.unwrap_or_default());
                }
                Err(error @ rusqlite::Error::SqlInputError { .. }) => {
                    violations.unchecked.insert(fold(&table.name), message(&error));
                }
                Err(source) => {
                    return Err(AlterError::sql(format!("check the references of {}", table.name))(source));
                }
            }
        }
        Ok(violations)
    }

    /// Returns how many references lead nowhere.
    pub(super) fn count(&self) -> u64 {
        self.found.values().sum()
    }

    /// Returns the same violations under the names that a declaration gives.
    pub(super) fn renamed(self, spec: &AlterSpec) -> Violations {
        let table = |name: &String| {
            let change = spec.tables.iter().find(|(old, _)| old.eq_ignore_ascii_case(name));
            change.and_then(|(_, change)| change.rename.as_deref()).map_or_else(|| name.clone(), fold)
        };
        let column = |child: &String, name: &String| {
            let change = spec.tables.iter().find(|(old, _)| old.eq_ignore_ascii_case(child));
            let renamed = change.and_then(|(_, change)| {
                change.rename_columns.iter().find(|(from, _)| from.eq_ignore_ascii_case(name))
            });
            renamed.map_or_else(|| name.clone(), |(_, to)| fold(to))
        };
        let found = self
            .found
            .into_iter()
            .map(|((child, row, columns, parent), count)| {
                let columns = columns.iter().map(|name| column(&child, name)).collect();
                ((table(&child), row, columns, table(&parent)), count)
            })
            .collect();
        let unchecked = self.unchecked.into_iter().map(|(name, text)| (table(&name), text)).collect();
        Violations { found, unchecked }
    }

    /// Fails when there is one that was not there `before`.
    pub(super) fn no_more_than(&self, before: &Violations) -> Result<(), AlterError> {
        let mut new = Vec::new();
        let mut count = 0;
        for ((child, row, columns, parent), times) in &self.found {
            let old = (child.clone(), *row, columns.clone(), parent.clone());
            let more = times.saturating_sub(before.found.get(&old).copied().unwrap_or(0));
            count += more;
            if more > 0 && new.len() < 10 {
                let row = row.map_or_else(|| format!("{more} row(s)"), |row| format!("row {row}"));
                new.push(format!("{row} of {child} ({}) to {parent}", columns.join(", ")));
            }
        }
        for (table, reason) in &self.unchecked {
            if !before.unchecked.contains_key(table) {
                count += 1;
                new.push(format!("{table}: {reason}"));
            }
        }
        if count == 0 {
            return Ok(());
        }
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Err(AlterError::Violations { count, rows: new.join("; ") })
    }
}

fn fold(name: &str) -> String {
    name.to_ascii_lowercase()
}

fn of_table(connection: &Connection, table: &Table) -> rusqlite::Result<Vec<Reference>> {
    let sql = format!("PRAGMA main.foreign_key_check({})", quote_identifier(&table.name));
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (parent, id): (String, i64) = (row.get(2)?, row.get(3)?);
        let id = usize::try_from(id).unwrap_or(usize::MAX);
        // The number counts from the last foreign key of the text to the first.
        let key = table
            .foreign_keys
            .len()
            .checked_sub(id.saturating_add(1))
            .and_then(|at| table.foreign_keys.get(at));
        let columns = key.map(|key| key.columns.iter().map(|name| fold(name)).collect()).unwrap_or_default();
        found.push((fold(&table.name), row.get(1)?, columns, fold(&parent)));
    }
    Ok(found)
}
