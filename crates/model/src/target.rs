//! Targets, resolved: the things of a site that an upgrade may touch.

use crate::private::PrivateDef;
use crate::probe::Probe;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a SQLite database is called in messages, and asked for by name in [`crate::compile::Compile::target_name`].
pub const SQLITE: &str = "SQLite database";
/// What a PostgreSQL database is called.
pub const POSTGRES: &str = "PostgreSQL database";
/// Both kinds of databases.
pub const DATABASES: [&str; 2] = [SQLITE, POSTGRES];

/// One target of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum TargetDef {
    /// A SQLite database file.
    Sqlite {
        /// Path of the database file.
        path: String,
        /// The database is made by this upgrade: before it, its file is absent, empty, or a database of nothing.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        made_by_us: bool,
    },
    /// Schemas of a PostgreSQL database.
    Postgres {
        /// Its address, without a password: a URL, or `keyword=value` pairs.
        url: String,
        /// The schemas that belong to the application.
        schemas: Vec<String>,
        /// A query whose rows are further schemas; gone once the planner has asked it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        schemas_sql: Option<String>,
        /// Nothing is ever written there.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        read_only: bool,
        /// The schemas are made by this upgrade: before it they are absent or empty.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        made_by_us: bool,
        /// It goes without a backup, a risk accepted by name.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        without_backup: bool,
    },
    /// A file.
    File {
        /// Path of the file.
        path: String,
    },
    /// Something that runs.
    Service {
        /// How it is stopped and started, as the site names it.
        spec: Value,
        /// The targets that it keeps its data in.
        stores: Vec<String>,
        /// Whether writers come in through it.
        entrance: bool,
        /// Holds when the old release answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        old: Option<Probe>,
        /// Holds when the new release answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        new: Option<Probe>,
        /// How it is run privately in a rehearsal; without it, it is left out there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rehearse: Option<Box<PrivateDef>>,
    },
    /// An HTTP endpoint.
    Http {
        /// Base URL, without a slash at its end.
        base: String,
        /// The service that answers there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        served_by: Option<String>,
        /// How maintenance is entered and left, for endpoints that have it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        maintenance: Option<Box<MaintenanceDef>>,
        /// The component that answers there: what is fetched and sent must be its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        component: Option<String>,
        /// The types of the artifacts that may be sent to it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        accepts: Vec<String>,
    },
}

/// One HTTP request without an answer worth keeping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Method, in capitals.
    pub method: String,
    /// Full URL.
    pub url: String,
}

/// How an endpoint enters and leaves maintenance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaintenanceDef {
    /// Enters it.
    pub enter: Request,
    /// Leaves it.
    pub leave: Request,
    /// Holds while it is on. An endpoint that does not answer says neither yes nor no.
    pub is_on: Probe,
}

impl TargetDef {
    /// Returns the file that a backup, a lock or a fingerprint of this target is about.
    pub fn path(&self) -> Option<&str> {
        match self {
            TargetDef::Sqlite { path, .. } | TargetDef::File { path } => Some(path),
            TargetDef::Postgres { .. } | TargetDef::Service { .. } | TargetDef::Http { .. } => None,
        }
    }

    /// Returns whether data is kept in it that has a fingerprint, a ledger and a backup.
    pub fn is_database(&self) -> bool {
        matches!(self, TargetDef::Sqlite { .. } | TargetDef::Postgres { .. })
    }

    /// Returns whether this upgrade makes it.
    pub fn is_made_by_us(&self) -> bool {
        matches!(
            self,
            TargetDef::Sqlite { made_by_us: true, .. } | TargetDef::Postgres { made_by_us: true, .. }
        )
    }

    /// Returns whether no step may write to it.
    pub fn is_read_only(&self) -> bool {
        matches!(self, TargetDef::Postgres { read_only: true, .. })
    }

    /// Returns the kind's name, as error texts use it.
    pub fn kind(&self) -> &'static str {
        match self {
            TargetDef::Sqlite { .. } => SQLITE,
            TargetDef::Postgres { .. } => POSTGRES,
            TargetDef::File { .. } => "file",
            TargetDef::Service { .. } => "service",
            TargetDef::Http { .. } => "HTTP endpoint",
        }
    }
}
