//! Taking back what a run made in schemas that were absent or empty before it.

use super::{Site, SiteError};
use crate::postgres::{self as pg, Catalog, Patience, ledger};
use crate::tell::Tell;
use ::postgres::Transaction;

impl Site {
    /// Drops the declared schemas of a database, but only empties those in `keep`, in one transaction; the rows of the run in
    /// the ledger go with it, its mark stays. Refused, with nothing changed, where something outside leans on what is inside.
    pub fn clear(&self, target: &str, keep: &[String], run: &str, tell: &Tell) -> Result<(), SiteError> {
        let schemas = self.schemas(target, tell)?;
        let mut client = self.writer(target, run, tell)?;
        Patience::usual().transact(&mut client, tell, "taking schemas back", |transaction| {
            let mut leaning = pg::outsiders(transaction, &schemas)?.objects;
            leaning.extend(extensions(transaction, &schemas)?);
            if !leaning.is_empty() {
                return Err(SiteError::Leaning { name: target.to_owned(), objects: leaning });
            }
            let there = Catalog::read(transaction, &schemas)?.schemas;
            for schema in &there {
                tell.go_on()?;
                match keep.contains(schema) {
                    true => empty(transaction, schema)?,
                    false => {
                        transaction.batch_execute(&format!("DROP SCHEMA {} CASCADE", pg::quote(schema)?))?
                    }
                }
            }
            let left: Vec<String> = Catalog::read(transaction, &schemas)?.lines().to_vec();
            if let Some(line) = left.into_iter().find(|line| !line.starts_with("schema ")) {
                return Err(SiteError::Missing { what: format!("a way to drop {line}") });
            }
            if ledger::present(transaction)? {
                for table in ["ledger", "cursor"] {
                    let sql = format!("DELETE FROM switchback.{table} WHERE run = $1");
                    transaction.execute(&sql, &[&run])?;
                }
            }
            Ok(tell.point("postgres.clear.commit")?)
        })?;
        Ok(tell.point("postgres.cleared")?)
    }
}

/// Extensions that were put into the schemas: what leans on them is not listed, and would go with them.
fn extensions(transaction: &mut Transaction<'_>, schemas: &[String]) -> Result<Vec<String>, SiteError> {
    let sql = "SELECT format('extension %s lives in schema %s', e.extname, n.nspname) FROM pg_catalog.pg_extension e \
               JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE n.nspname = ANY ($1::text[]::name[]) ORDER BY 1";
    Ok(transaction.query(sql, &[&schemas])?.iter().map(|row| row.get(0)).collect())
}

/// Drops what is in a schema: relations first, then routines, then types. What leans on them is inside as well.
fn empty(transaction: &mut Transaction<'_>, schema: &str) -> Result<(), SiteError> {
    let lists = [
        "SELECT format('DROP %s IF EXISTS %I.%I CASCADE', CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' \
           WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, n.nspname, c.relname) \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') ORDER BY c.relkind = 'S', c.oid",
        "SELECT format('DROP ROUTINE IF EXISTS %s CASCADE', p.oid::regprocedure) FROM pg_catalog.pg_proc p \
         JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = $1 ORDER BY p.oid",
        "SELECT format('DROP TYPE IF EXISTS %I.%I CASCADE', n.nspname, t.typname) FROM pg_catalog.pg_type t \
         JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid \
         WHERE n.nspname = $1 AND t.typcategory <> 'A' AND (t.typrelid = 0 OR c.relkind = 'c') ORDER BY t.oid",
    ];
    for list in lists {
        let drops: Vec<String> = transaction.query(list, &[&schema])?.iter().map(|row| row.get(0)).collect();
        for drop in drops {
            transaction.batch_execute(&drop)?;
        }
    }
    Ok(())
}
