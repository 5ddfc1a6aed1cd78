//! Scratch databases: made beside the real one, marked with the run they are for, dropped only by that mark.

use std::path::Path;

use super::backup::{BackupError, dump_into};
use super::connect::{Access, Database, OpenError};
use super::names::{NameError, literal, quote};
use super::rights::Rights;
use super::said::said;
use crate::tell::{Failure, Halt, Tell};

/// What the comment of a scratch database begins with; the run follows.
const MARK: &str = "switchback scratch database of run ";

/// Why a scratch database cannot be made, filled or dropped. The real one is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum ScratchError {
    /// We may not make databases there.
    #[error(
        "make a scratch database on {place}: the user {user} may not create databases; grant it CREATEDB"
    )]
    NoRight {
        /// The server.
        place: String,
        /// Who we are there.
        user: String,
    },
    /// It does not carry our mark.
    #[error("drop the database {name}: it is not a scratch database of run {run}")]
    Foreign {
        /// The database.
        name: String,
        /// The run.
        run: String,
    },
    /// The server cannot be reached.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A name cannot be used.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The server refused.
    #[error("{attempt} a scratch database: {}", said(.source))]
    Server {
        /// "make" or "drop".
        attempt: &'static str,
        /// What it says.
        source: postgres::Error,
    },
    /// It could not be filled.
    #[error("fill a scratch database: {0}")]
    Fill(#[from] Box<BackupError>),
    /// Stopped.
    #[error(transparent)]
    Halt(#[from] Halt),
}

impl Failure for ScratchError {
    fn halt(&self) -> Option<Halt> {
        match self {
            ScratchError::Halt(halt) => Some(*halt),
            ScratchError::Fill(error) => error.halt(),
            _ => None,
        }
    }
}

/// Makes an empty database on the server of `like`, with its encoding and sort order, and returns its name.
pub fn create(like: &Database, run: &str, tell: &Tell) -> Result<String, ScratchError> {
    make(like, run, None, tell)
}

/// Makes a copy of some schemas of `of` and returns the name of the database that holds it.
///
/// The server copies its files where it may and nobody is connected (`CREATE DATABASE … TEMPLATE`); else the schemas are
/// dumped to `work`, a folder that must not exist, and loaded. `work` is gone afterwards.
pub fn copy(
    of: &Database,
    schemas: &[String],
    run: &str,
    work: &Path,
    tell: &Tell,
) -> Result<String, ScratchError> {
    let mut client = of.connect("switchback", Access::ReadOnly)?;
    let failed = |source| ScratchError::Server { attempt: "make", source };
    let rights = Rights::of(&mut client, &[]).map_err(failed)?;
    drop(client);
    if rights.owns_database || rights.superuser {
        match make(of, run, Some(of.address().dbname.as_str()), tell) {
            Err(ScratchError::Server { source, .. })
                if source.code() == Some(&postgres::error::SqlState::OBJECT_IN_USE) => {}
            other => return other,
        }
    }
    let name = make(of, run, None, tell)?;
    let filled = dump_into(of, schemas, &of.beside(&name), run, work, tell);
    if let Err(error) = filled {
        if error.halt() != Some(Halt::Cut) {
            let _ = drop_scratch(of, &name, run, tell);
        }
        return Err(Box::new(error).into());
    }
    Ok(name)
}

fn make(like: &Database, run: &str, template: Option<&str>, tell: &Tell) -> Result<String, ScratchError> {
    let failed = |source| ScratchError::Server { attempt: "make", source };
    // From the database `postgres`, where there is one: a session in the template would be in its own way.
    let (mut client, place) = server_of(like)?;
    let rights = Rights::of(&mut client, &[]).map_err(failed)?;
    if !rights.createdb {
        return Err(ScratchError::NoRight { place, user: rights.user });
    }
    let row = client
        .query_one(
            "SELECT pg_encoding_to_char(encoding), datcollate::text, datctype::text, to_jsonb(d) ->> 'datlocprovider', \
                    coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'), \
                    (SELECT coalesce(max(substring(datname from '_([0-9]+)$')::int), 0) + 1 FROM pg_catalog.pg_database \
                     WHERE datname LIKE 'switchback\\_scratch\\_%') \
             FROM pg_catalog.pg_database d WHERE datname = $1",
            &[&like.address().dbname],
        )
        .map_err(failed)?;
    let name = format!("{}{}", prefix(run), row.get::<_, i32>(5));
    let made = quote(&name)?;
    let mut sql = format!("CREATE DATABASE {made} TEMPLATE {}", quote(template.unwrap_or("template0"))?);
    if template.is_none() {
        let text = |at: usize| literal(row.get(at));
        sql.push_str(&format!(" ENCODING {} LC_COLLATE {} LC_CTYPE {}", text(0)?, text(1)?, text(2)?));
        match (row.get::<_, Option<&str>>(3), row.get::<_, Option<&str>>(4)) {
            (Some("i"), Some(locale)) => {
                sql.push_str(&format!(" LOCALE_PROVIDER icu ICU_LOCALE {}", literal(locale)?));
            }
            (Some("b"), Some(locale)) => {
                sql.push_str(&format!(" LOCALE_PROVIDER builtin BUILTIN_LOCALE {}", literal(locale)?));
            }
            _ => {}
        }
    }
    tell.point("postgres.scratch.create")?;
    client.batch_execute(&sql).map_err(failed)?;
    tell.point("postgres.scratch.created")?;
    let mark = literal(&format!("{MARK}{run}"))?;
    client.batch_execute(&format!("COMMENT ON DATABASE {made} IS {mark}")).map_err(failed)?;
    tell.point("postgres.scratch.marked")?;
    Ok(name)
}

/// Drops a scratch database of `run`; any other is refused. Twice is once.
pub fn drop_scratch(server: &Database, name: &str, run: &str, tell: &Tell) -> Result<(), ScratchError> {
    let failed = |source| ScratchError::Server { attempt: "drop", source };
    let (mut client, _) = server_of(server)?;
    let sql = "SELECT shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database WHERE datname = $1";
    let Some(row) = client.query_opt(sql, &[&name]).map_err(failed)? else { return Ok(()) };
    let ours = match row.get::<_, Option<String>>(0) {
        Some(comment) => comment == format!("{MARK}{run}"),
        // Cut between the making and the mark: it has our name and nothing in it.
        None => name.starts_with(&prefix(run)) && is_empty(&server.beside(name))?,
    };
    if !ours {
        return Err(ScratchError::Foreign { name: name.to_owned(), run: run.to_owned() });
    }
    let quoted = quote(name)?;
    tell.point("postgres.scratch.drop")?;
    // Sessions of a dead life may still be in it.
    client.batch_execute(&format!("DROP DATABASE {quoted} WITH (FORCE)")).map_err(failed)?;
    Ok(tell.point("postgres.scratch.dropped")?)
}

/// Names the scratch databases that `run` has left on the server.
pub fn leftovers(server: &Database, run: &str) -> Result<Vec<String>, ScratchError> {
    let (mut client, _) = server_of(server)?;
    let rows = client
        .query(
            "SELECT datname::text FROM pg_catalog.pg_database \
             WHERE shobj_description(oid, 'pg_database') = $1 \
                OR starts_with(datname::text, $2) AND shobj_description(oid, 'pg_database') IS NULL ORDER BY 1",
            &[&format!("{MARK}{run}"), &prefix(run)],
        )
        .map_err(|source| ScratchError::Server { attempt: "look for", source })?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The beginning of the names of a run's scratch databases.
fn prefix(run: &str) -> String {
    format!("switchback_scratch_{}_", &blake3::hash(run.as_bytes()).to_hex()[..12])
}

/// Connects to the server beside the database: a session in a database keeps it from being copied and dropped.
fn server_of(database: &Database) -> Result<(postgres::Client, String), ScratchError> {
    for name in ["postgres", "template1"] {
        if database.address().dbname == name {
            continue;
        }
        let beside = database.beside(name);
        if let Ok(client) = beside.connect("switchback", Access::ReadWrite) {
            return Ok((client, beside.place()));
        }
    }
    Ok((database.connect("switchback", Access::ReadWrite)?, database.place()))
}

fn is_empty(database: &Database) -> Result<bool, ScratchError> {
    let mut client = database.connect("switchback", Access::ReadOnly)?;
    let sql = "SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid >= 16384 AND relnamespace::regnamespace::text NOT LIKE 'pg\\_%')";
    let row =
        client.query_one(sql, &[]).map_err(|source| ScratchError::Server { attempt: "drop", source })?;
    Ok(row.get(0))
}
