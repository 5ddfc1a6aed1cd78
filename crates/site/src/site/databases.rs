//! What a site asks of its PostgreSQL databases: schemas, shape, size, rights, rows and marks of runs.

use super::{Site, SiteError};
use crate::ledger_row::LedgerRow;
use crate::marker::Marker;
use crate::postgres::{self as pg, Access, Catalog, Client, Rights, ledger};
use crate::tell::Tell;
use std::collections::{BTreeMap, BTreeSet};
use switchback_model::digest::Digest;
use switchback_model::target::TargetDef;

/// How many objects of a database are named in a plan one by one; of more, each schema has one line with a digest.
const NAMED: usize = 2_000;
/// What our sessions that only look are called.
const LOOKING: &str = "switchback";

impl Site {
    /// Returns a PostgreSQL database.
    pub fn postgres(&self, name: &str) -> Result<pg::Database, SiteError> {
        match (self.target(name)?, self.databases.get(name)) {
            (TargetDef::Postgres { .. }, Some(database)) => Ok(database.clone()),
            (other, _) => Err(Site::wrong(name, other, switchback_model::target::POSTGRES)),
        }
    }

    /// Returns whether a target is a PostgreSQL database.
    pub fn is_postgres(&self, name: &str) -> bool {
        matches!(self.targets.get(name), Some(TargetDef::Postgres { .. }))
    }

    /// Opens a session that cannot write.
    pub fn reader(&self, name: &str) -> Result<Client, SiteError> {
        Ok(self.postgres(name)?.connect(LOOKING, Access::ReadOnly)?)
    }

    /// Opens a session that writes for a run; of a database that is only read there is none.
    pub fn writer(&self, name: &str, run: &str, tell: &Tell) -> Result<Client, SiteError> {
        if self.target(name)?.is_read_only() {
            return Err(SiteError::ReadOnly { name: name.to_owned() });
        }
        Ok(pg::writer(&self.postgres(name)?, run, tell)?)
    }

    /// Returns the schemas of a PostgreSQL database that belong to the application, sorted: those that are named, and those
    /// that its query lists.
    pub fn schemas(&self, name: &str, tell: &Tell) -> Result<Vec<String>, SiteError> {
        let TargetDef::Postgres { schemas, schemas_sql, .. } = self.target(name)? else {
            return Err(Site::wrong(name, self.target(name)?, switchback_model::target::POSTGRES));
        };
        let mut all: BTreeSet<String> = schemas.iter().cloned().collect();
        if let Some(sql) = schemas_sql {
            for row in pg_rows(&mut self.reader(name)?, sql, &BTreeMap::new(), tell)? {
                let one = (row.len() == 1).then(|| row.into_values().next()).flatten();
                let Some(schema) = one.and_then(|value| value.as_str().map(str::to_owned)) else {
                    return Err(SiteError::Missing {
                        what: format!("the names of the schemas of {name}: its query gives something else"),
                    });
                };
                all.insert(schema);
            }
        }
        Ok(all.into_iter().collect())
    }

    /// The targets as a plan holds them: what a query lists is listed.
    pub fn resolved_targets(&self, tell: &Tell) -> Result<BTreeMap<String, TargetDef>, SiteError> {
        let mut resolved = self.targets.clone();
        for (name, def) in &mut resolved {
            if let TargetDef::Postgres { schemas, schemas_sql: sql @ Some(_), .. } = def {
                *schemas = self.schemas(name, tell)?;
                *sql = None;
            }
        }
        Ok(resolved)
    }

    /// A line for every object of the declared schemas, or a digest for each schema where there are very many.
    pub(super) fn catalog_lines(&self, name: &str, tell: &Tell) -> Result<Vec<String>, SiteError> {
        let schemas = self.schemas(name, tell)?;
        let catalog = Catalog::read(&mut self.reader(name)?, &schemas)?;
        let mut lines: Vec<String> = schemas
            .iter()
            .filter(|schema| !catalog.schemas.contains(schema))
            .map(|schema| format!("schema {schema} is not there"))
            .collect();
        if catalog.lines().len() <= NAMED {
            lines.extend(catalog.lines().iter().cloned());
            return Ok(lines);
        }
        for schema in &catalog.schemas {
            let (objects, digest) = catalog.part(schema).unwrap_or((0, Digest::of(b"")));
            lines.push(format!("schema {schema}: {objects} objects, {digest}"));
        }
        Ok(lines)
    }

    /// The bytes of the tables of the declared schemas, indexes included.
    pub(super) fn schemas_size(&self, name: &str) -> Result<u64, SiteError> {
        let schemas = self.schemas(name, &Tell::quiet())?;
        let sql = "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_catalog.pg_class c \
                   JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                   WHERE n.nspname = ANY ($1::text[]::name[]) AND c.relkind IN ('r', 'm')";
        let row = self.reader(name)?.query_one(sql, &[&schemas])?;
        Ok(row.get::<_, i64>(0).unsigned_abs())
    }

    /// Returns whether the declared schemas hold nothing: they are absent, or empty.
    pub fn is_bare(&self, name: &str, tell: &Tell) -> Result<bool, SiteError> {
        let schemas = self.schemas(name, tell)?;
        let catalog = Catalog::read(&mut self.reader(name)?, &schemas)?;
        Ok(catalog.lines().iter().all(|line| line.starts_with("schema ")))
    }

    /// What stands in the way of writing to a PostgreSQL database, in words.
    pub fn lacks_rights(&self, name: &str, tell: &Tell) -> Result<Vec<String>, SiteError> {
        let TargetDef::Postgres { .. } = self.target(name)? else { return Ok(Vec::new()) };
        let schemas = self.schemas(name, tell)?;
        let rights = Rights::of(&mut self.reader(name)?, &schemas)?;
        let user = &rights.user;
        let mut lacks = Vec::new();
        if rights.standby {
            lacks.push(format!("{name} is a standby, which takes no writes: name the primary"));
        }
        if !rights.create {
            lacks.push(format!("{user} may not make a schema in {name}, which the ledger of a run needs: GRANT CREATE ON DATABASE"));
        }
        for (schema, found) in rights.schemas.iter().filter(|(_, found)| found.exists) {
            if !found.owns || found.of_others > 0 {
                lacks.push(format!(
                    "{user} does not own schema {schema} of {name} and everything in it: become its owner, or a member of its owner's role"
                ));
            }
        }
        Ok(lacks)
    }

    /// Two targets that share a schema of one database, and the schema: each would be the other's foreign hand. A database
    /// that does not answer is left to whoever needs it.
    pub fn shared_schema(&self, tell: &Tell) -> Option<(String, String, String)> {
        let mut seen: Vec<(String, String, Vec<String>)> = Vec::new();
        for name in self.targets.keys().filter(|name| self.is_postgres(name)) {
            let Ok(place) = self.reader(name).and_then(|mut client| whereabouts(&mut client)) else {
                continue;
            };
            let Ok(schemas) = self.schemas(name, tell) else { continue };
            for (other, at, theirs) in &seen {
                let shared = theirs.iter().find(|schema| *at == place && schemas.contains(schema));
                if let Some(shared) = shared {
                    return Some((other.clone(), name.clone(), shared.clone()));
                }
            }
            seen.push((name.clone(), place, schemas));
        }
        None
    }

    /// The PostgreSQL databases that a run may write to.
    fn written(&self) -> impl Iterator<Item = &str> {
        let written =
            |(_, def): &(&String, &TargetDef)| matches!(def, TargetDef::Postgres { read_only: false, .. });
        self.targets.iter().filter(written).map(|(name, _)| name.as_str())
    }

    /// Takes the lock of every PostgreSQL database that the run may write to. What a dead life of the run left at work there
    /// is ended first, and its end waited for.
    pub fn lock_databases(&self, run: &str, tell: &Tell) -> Result<Vec<pg::Lock>, SiteError> {
        self.written().map(|name| Ok(pg::take(&self.postgres(name)?, run, tell)?)).collect()
    }

    /// Why a server of a PostgreSQL database does not answer; `None` if all of them do, be it with a refusal.
    pub fn unreachable(&self) -> Option<SiteError> {
        let errors = self
            .targets
            .keys()
            .filter(|name| self.is_postgres(name))
            .filter_map(|name| self.reader(name).err());
        errors.into_iter().find(SiteError::is_away)
    }

    /// The marks inside of PostgreSQL databases.
    pub(super) fn marks_inside(&self) -> Result<Vec<Marker>, SiteError> {
        let names = self.targets.keys().filter(|name| self.is_postgres(name));
        let marks = names.map(|name| Ok(ledger::read_mark(&mut self.reader(name)?)?));
        Ok(marks.collect::<Result<Vec<_>, SiteError>>()?.into_iter().flatten().collect())
    }

    /// The rows of runs inside of PostgreSQL databases. One that does not open is found by whoever needs it.
    pub(super) fn rows_inside(&self) -> Result<Vec<LedgerRow>, SiteError> {
        let mut rows: Vec<LedgerRow> = Vec::new();
        for name in self.targets.keys().filter(|name| self.is_postgres(name)) {
            if let Ok(mut client) = self.reader(name) {
                // Two targets may be in one database.
                let found = ledger::rows(&mut client)?;
                rows.extend(found.into_iter().filter(|row| !rows.contains(row)).collect::<Vec<_>>());
            }
        }
        Ok(rows)
    }

    pub(super) fn put_marks_inside(&self, mark: &Marker, tell: &Tell) -> Result<(), SiteError> {
        for name in self.written() {
            ledger::put_mark(&mut self.writer(name, &mark.run, tell)?, mark, tell)?;
        }
        Ok(())
    }

    /// Takes everything of a run out again, its rows and its mark; the ledger itself goes when nobody else is in it.
    pub(super) fn remove_marks_inside(&self, run: &str, tell: &Tell) -> Result<(), SiteError> {
        for name in self.written() {
            if ledger::present(&mut self.reader(name)?)? {
                ledger::sweep(&mut self.writer(name, run, tell)?, run, tell)?;
            }
        }
        Ok(())
    }
}

/// Returns every row of a query as an object, so that the names of its columns come with it.
pub(crate) fn pg_rows(
    client: &mut Client,
    sql: &str,
    params: &BTreeMap<String, serde_json::Value>,
    tell: &Tell,
) -> Result<Vec<BTreeMap<String, serde_json::Value>>, SiteError> {
    let sql = sql.trim_end().trim_end_matches(';');
    let objects =
        format!("SELECT pg_catalog.row_to_json(switchback_row)::text FROM (\n{sql}\n) switchback_row");
    let crate::Answer::Rows(rows, all) = pg::query(client, &objects, params, tell)? else {
        return Ok(Vec::new());
    };
    if all.count > rows.len() as u64 {
        return Err(SiteError::TooMany { count: all.count, most: rows.len() });
    }
    let read = |row: Vec<serde_json::Value>| {
        let text = row.first().and_then(|value| value.as_str()).unwrap_or_default();
        serde_json::from_str(text).map_err(|source| SiteError::Row { source })
    };
    rows.into_iter().map(read).collect()
}

/// Which database of which server a session is in, whatever it was reached by.
fn whereabouts(client: &mut Client) -> Result<String, SiteError> {
    let sql = "SELECT concat_ws(' ', pg_postmaster_start_time()::text, current_setting('port'), \
               (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))";
    Ok(client.query_one(sql, &[])?.get(0))
}
