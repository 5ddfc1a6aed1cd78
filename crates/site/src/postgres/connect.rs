//! Connections: where a database is, who we are there, and how a session of ours is set up.

use crate::tell::{Failure, Halt, Tell};
use postgres::config::SslMode;
use postgres::{Client, Config, NoTls};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a connection may take to come up.
const CONNECT: Duration = Duration::from_secs(10);
/// How often a waiting call looks whether a stop was asked for.
const TICK: Duration = Duration::from_millis(50);

/// Why a database cannot be reached or used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is not one.
    #[error("understand the address of the database: {source}")]
    Address {
        /// What is wrong with it.
        source: postgres::Error,
    },
    /// The server does not answer, or does not let us in.
    #[error("connect to {place}: {source}")]
    Connect {
        /// Where, without a password.
        place: String,
        /// What it says.
        source: postgres::Error,
    },
    /// A statement of the set-up failed.
    #[error("set up a session on {place}: {source}")]
    SetUp {
        /// Where, without a password.
        place: String,
        /// What it says.
        source: postgres::Error,
    },
}

impl Failure for OpenError {
    fn halt(&self) -> Option<Halt> {
        None
    }
}

/// What a session may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Every transaction is read only: the server refuses a write, whatever we were told to run.
    ReadOnly,
    /// Writes are possible.
    ReadWrite,
}

/// A PostgreSQL database: an address. Nothing is touched until a connection is asked for.
#[derive(Debug, Clone)]
pub struct Database {
    config: Config,
}

impl Database {
    /// Reads a connection URL (`postgres://user@host/name`) or a keyword string (`host=… dbname=…`).
    pub fn parse(url: &str) -> Result<Database, OpenError> {
        let config: Config = url.parse().map_err(|source| OpenError::Address { source })?;
        Ok(Database { config })
    }

    /// The configuration, for tools that need host, port and names.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Names the place for people: host, port and database, never a password.
    pub fn place(&self) -> String {
        let host = match self.config.get_hosts().first() {
            Some(postgres::config::Host::Tcp(host)) => host.clone(),
            #[cfg(unix)]
            Some(postgres::config::Host::Unix(path)) => path.display().to_string(),
            None => "localhost".to_owned(),
        };
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        format!("{host}:{port}/{}", self.config.get_dbname().unwrap_or_default())
    }

    /// Connects. `name` is the session's application name, by which a later life finds what a dead one left at work.
    ///
    /// The search path of the session is empty, so a name that is not qualified finds nothing; times, numbers and bytes
    /// are printed in full and in one way, wherever the server is.
    pub fn connect(&self, name: &str, access: Access) -> Result<Client, OpenError> {
        let place = self.place();
        let mut config = self.config.clone();
        config.application_name(name).connect_timeout(CONNECT).keepalives(true);
        let mut client = match config.get_ssl_mode() {
            SslMode::Disable => config.connect(NoTls),
            // Filled in with TLS.
            _ => config.connect(NoTls),
        }
        .map_err(|source| OpenError::Connect { place: place.clone(), source })?;
        let read_only = if access == Access::ReadOnly { "on" } else { "off" };
        client
            .batch_execute(&format!(
                "SET search_path = ''; SET default_transaction_read_only = {read_only}; SET client_encoding = 'UTF8'; \
                 SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; SET timezone = 'UTC'; \
                 SET extra_float_digits = 3; SET bytea_output = 'hex'; SET statement_timeout = 0; \
                 SET standard_conforming_strings = on; SET lock_timeout = '900ms'"
            ))
            .map_err(|source| OpenError::SetUp { place, source })?;
        Ok(client)
    }
}

/// Does something on a connection while watching for a stop: the statement is cancelled on the server, and its end is
/// waited for, when one is asked for. The call then returns what the server says of a cancelled statement.
pub fn watched<T: Send>(client: &mut Client, tell: &Tell, work: impl FnOnce(&mut Client) -> T + Send) -> T {
    let cancel = client.cancel_token();
    let (stop, done) = (tell.stop_flag(), std::sync::atomic::AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                if stop.load(Ordering::Relaxed) {
                    // Best effort: a cancel that does not arrive only makes the wait longer.
                    let _ = cancel.cancel_query(NoTls);
                }
                std::thread::park_timeout(TICK);
            }
        });
        let result = work(client);
        done.store(true, Ordering::Relaxed);
        result
    })
}
