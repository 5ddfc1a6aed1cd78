//! Whether schemas could be backed up and put back: what can be known of it before anything is stopped.

use postgres::GenericClient;

use super::backup::BackupError;
use super::catalog::CatalogError;
use super::connect::{Access, Database};
use super::fingerprint::FingerprintError;
use super::outsiders::{Outsiders, outsiders};
use super::rights::Rights;
use super::tools::Tools;

/// What a look at a database found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// The tools that would be used.
    pub tools: Tools,
    /// What we may do there.
    pub rights: Rights,
    /// Who else is there. Objects that lean in refuse a restore.
    pub outsiders: Outsiders,
    /// Why a backup would fail or a restore could not bring back what was; empty when nothing is known against it.
    pub obstacles: Vec<String>,
}

/// Looks whether `schemas` could be backed up and put back. Changes nothing.
pub fn readiness(database: &Database, schemas: &[String]) -> Result<Readiness, BackupError> {
    let failed = |source| BackupError::Server { place: database.place(), source };
    let mut client = database.connect("switchback reads", Access::ReadOnly)?;
    let rights = Rights::of(&mut client, schemas).map_err(failed)?;
    let tools = Tools::find(rights.server)?;
    let outsiders =
        outsiders(&mut client, schemas).map_err(|error: CatalogError| FingerprintError::from(error))?;
    let mut obstacles: Vec<String> =
        outsiders.objects.iter().map(|object| format!("from outside, {object}")).collect();
    if rights.standby {
        obstacles.push("the server is a standby: nothing can be written to it".to_owned());
    }
    for (name, schema) in rights.schemas.iter().filter(|(_, schema)| schema.exists && !rights.superuser) {
        if !schema.usage || !schema.create {
            obstacles.push(format!("the user {} may not make things in the schema {name}", rights.user));
        }
        if schema.of_others > 0 {
            obstacles.push(format!(
                "{} of the schema {name} belong to others than {}, who may not drop them",
                switchback_model::words::count(schema.of_others.unsigned_abs(), "object"),
                rights.user
            ));
        }
    }
    if rights.schemas.values().any(|schema| !schema.exists) && !rights.create {
        obstacles.push(format!("the user {} may not make schemas in the database", rights.user));
    }
    obstacles.extend(of_the_server(&mut client, schemas).map_err(failed)?);
    Ok(Readiness { tools, rights, outsiders, obstacles })
}

/// What settings of the server or of the user are in the way of a restore. Changes nothing.
pub fn of_the_server(
    client: &mut impl GenericClient,
    schemas: &[String],
) -> Result<Vec<String>, postgres::Error> {
    Ok(locks(client, schemas)?.into_iter().chain(defaults(client)?).collect())
}

/// A transaction locks every table, index and sequence that it drops, and the server has room for so many locks only.
fn locks(client: &mut impl GenericClient, schemas: &[String]) -> Result<Option<String>, postgres::Error> {
    let row = client.query_one(
        "SELECT (SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                 WHERE n.nspname = ANY ($1::text[]::name[])), \
                current_setting('max_locks_per_transaction')::bigint * \
                (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint)",
        &[&schemas],
    )?;
    // Dropping and loading in one transaction touches everything twice under two numbers.
    let (needed, room) = (row.get::<_, i64>(0) * 2, row.get::<_, i64>(1));
    Ok((needed > room).then(|| {
        format!("a restore needs {needed} locks at once, and the server has room for {room}: raise max_locks_per_transaction")
    }))
}

/// What a user makes gets the rights that were set as default for the whole database, and a dump does not take them away again.
fn defaults(client: &mut impl GenericClient) -> Result<Option<String>, postgres::Error> {
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_default_acl WHERE defaclnamespace = 0 \
               AND defaclrole = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user))";
    let why = "the user has default privileges for the whole database, which a restored table would get on top of its own";
    Ok(client.query_one(sql, &[])?.get::<_, bool>(0).then(|| why.to_owned()))
}
