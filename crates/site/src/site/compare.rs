//! Comparing: a table with a table of PostgreSQL, and a target with what it was when the writers had gone.

use super::{Site, SiteError};
use crate::Judgement;
use crate::postgres::{self as pg, Catalog};
use crate::sqlite::{Fingerprint, Vacancy};
use crate::tell::Tell;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use switchback_model::probe::Store;
use switchback_model::target::TargetDef;
use switchback_model::words;

/// A table: where, in which schema, by which name.
type TableAt<'a> = (&'a Store, &'a str, &'a str);

impl Site {
    /// Compares all rows of two tables, each value as the text that its type prints, in no order.
    pub(crate) fn compare_schemas_tables(
        &self,
        here: TableAt<'_>,
        there: TableAt<'_>,
        columns: &BTreeMap<String, String>,
        tell: &Tell,
    ) -> Result<Judgement, SiteError> {
        let (names_here, names_there) = (self.columns(here)?, self.columns(there)?);
        let pairs = crate::probe::paired((here.2, &names_here), (there.2, &names_there), columns)?;
        let select = |(_, schema, table): TableAt<'_>, names: Vec<&String>| -> Result<String, SiteError> {
            let list: Result<Vec<_>, _> =
                names.into_iter().map(|name| pg::quote(name).map(|name| format!("{name}::text"))).collect();
            Ok(format!("SELECT {} FROM {}", list?.join(", "), pg::qualified(schema, table)?))
        };
        let of_here = select(here, pairs.iter().map(|(name, _)| name).collect())?;
        let of_there = select(there, pairs.iter().map(|(_, name)| name).collect())?;
        let a = pg::digest_query(&mut self.reader(&here.0.target)?, &of_here, tell)?;
        let b = pg::digest_query(&mut self.reader(&there.0.target)?, &of_there, tell)?;
        let rows = words::count(a.rows, "row");
        let seen = if a == b { format!("{rows} equal") } else { format!("{rows} here, {} there", b.rows) };
        let details = match a == b {
            true => Vec::new(),
            false if a.rows == b.rows => vec!["as many rows, and not the same".to_owned()],
            false => vec![format!("{rows} here, {} there", b.rows)],
        };
        Ok(Judgement { holds: a == b, seen, details })
    }

    fn columns(&self, (store, schema, table): TableAt<'_>) -> Result<Vec<String>, SiteError> {
        let catalog = Catalog::read(&mut self.reader(&store.target)?, &[schema.to_owned()])?;
        let missing = || SiteError::Missing { what: format!("table `{schema}.{table}` in {}", store.target) };
        let table = catalog.table(schema, table).ok_or_else(missing)?;
        Ok(table.columns.iter().map(|column| column.name.clone()).collect())
    }

    /// Where the fingerprint of a target is kept that it had when the writers had gone.
    pub fn frozen_fingerprint(&self, target: &str) -> PathBuf {
        self.dirs.backups.join(format!("{target}.frozen.json"))
    }

    /// Returns what differs from the fingerprint that was taken when the writers had gone, a line each; nothing if it is
    /// equal.
    pub fn changed_since_freeze(&self, target: &str, tell: &Tell) -> Result<Vec<String>, SiteError> {
        let path = self.frozen_fingerprint(target);
        let missing = || SiteError::Missing { what: format!("the fingerprint {}", path.display()) };
        let then: Value = std::fs::read(&path)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(missing)?;
        let now = self.fingerprint(target, tell)?;
        Ok(self.differences(target, &then, &now))
    }

    /// Names what differs between two fingerprints of a target; something, where they are not equal.
    pub fn differences(&self, target: &str, then: &Value, now: &Value) -> Vec<String> {
        if then == now {
            return Vec::new();
        }
        let vacant = |value: &Value| Vacancy::deserialize(value).ok();
        let lines = match self.targets.get(target) {
            Some(TargetDef::Sqlite { .. }) if vacant(then).or(vacant(now)).is_some() => {
                let words =
                    |value: &Value| vacant(value).map_or("it is a database", |vacancy| vacancy.words());
                Some(vec![format!("then {}, and now {}", words(then), words(now))])
            }
            Some(TargetDef::Sqlite { .. }) => differing(then, now, Fingerprint::differences),
            Some(TargetDef::Postgres { .. }) => differing(then, now, pg::Fingerprint::differences),
            _ => None,
        };
        // Unequal is a difference, also where nobody can word it.
        let lines = lines.filter(|lines| !lines.is_empty());
        lines.unwrap_or_else(|| vec![format!("{target} is not what it was")])
    }
}

fn differing<F: serde::de::DeserializeOwned>(
    then: &Value,
    now: &Value,
    differences: impl Fn(&F, &F) -> Vec<String>,
) -> Option<Vec<String>> {
    let (then, now) = (F::deserialize(then).ok()?, F::deserialize(now).ok()?);
    Some(differences(&then, &now))
}
