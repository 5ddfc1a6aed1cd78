//! Connections: where a database is, who we are there, and how a session of ours is set up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use postgres::config::{ChannelBinding, SslMode};
use postgres::{Client, Config};

use super::address::{Address, AddressError, Surroundings};
use super::pooler;
use super::protection::Protection;
use super::said::{code, is_away, said};
use super::trust::{TrustError, advice, connector, for_cancel};
use crate::tell::{Failure, Halt, Tell};

/// How long a connection may take to come up.
const CONNECT: Duration = Duration::from_secs(10);
/// How often a waiting call looks whether a stop was asked for.
const TICK: Duration = Duration::from_millis(50);
/// The oldest server that keeps transaction numbers which do not wrap (xid8), by which we know our own work.
const OLDEST: i32 = 130_000;

/// Why a database cannot be reached or used. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address is not one.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The protected connection cannot be prepared.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The server does not answer, or does not let us in.
    #[error("connect to {place}: {}{note}", said(.source))]
    Connect {
        /// Where, without a password.
        place: String,
        /// What it says.
        source: postgres::Error,
        /// What may be the reason, after a semicolon.
        note: String,
    },
    /// A statement of the set-up failed.
    #[error("set up a session on {place}: {}", said(.source))]
    SetUp {
        /// Where, without a password.
        place: String,
        /// What it says.
        source: postgres::Error,
    },
    /// The server lacks what our safety rests on.
    #[error(
        "use the server at {place}: it is PostgreSQL {version}, and 13 is the oldest that can be upgraded safely"
    )]
    Old {
        /// Where.
        place: String,
        /// Its version.
        version: String,
    },
    /// Something between us and the server hands our transactions to different sessions.
    #[error(
        "use {place}: it is a connection pooler (such as pgbouncer) that hands a session over after each transaction, so locks and settings of ours would end up with others; give the address of the server itself, or of a pool in session mode"
    )]
    Pooled {
        /// Where.
        place: String,
    },
}

impl OpenError {
    /// Returns whether the server did not answer, or said that it is not ready: one that refuses us is there.
    pub fn is_away(&self) -> bool {
        match self {
            OpenError::Connect { source, .. } | OpenError::SetUp { source, .. } => is_away(source),
            _ => false,
        }
    }
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
    address: Address,
    config: Config,
    /// Whether the way to the server was found to keep sessions apart; shared by all of this process that take the same way.
    steady: Arc<Mutex<bool>>,
}

impl Database {
    /// Reads a URL (`postgres://user@host/name`) or a keyword string (`host=… dbname=…`, `service=…`); what it leaves
    /// open comes from the service file, the PG* variables and libpq's defaults. A password in the text is refused.
    pub fn parse(text: &str) -> Result<Database, OpenError> {
        Ok(Database::at(Address::parse(text, &Surroundings::of_process())?))
    }

    /// Takes an address that was read already.
    pub fn at(address: Address) -> Database {
        let config = config(&address);
        let steady = way(&address);
        Database { address, config, steady }
    }

    /// The same server and user, another database.
    pub fn beside(&self, dbname: &str) -> Database {
        let mut address = self.address.clone();
        dbname.clone_into(&mut address.dbname);
        Database::at(address)
    }

    /// The address, resolved.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The configuration, for tools that need host, port and names.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Names the place for people: host, port and database, never a password.
    pub fn place(&self) -> String {
        self.address.place()
    }

    /// Connects. `name` is the session's application name, by which a later life finds what a dead one left at work.
    ///
    /// The search path of the session is empty, so a name that is not qualified finds nothing; times, numbers and bytes
    /// are printed in full and in one way, wherever the server is. No time limit of the role's or the server's own ends
    /// the session, and where the server can, it notices within seconds that we are gone. Questions to the catalog are not
    /// compiled, which would take longer than they do. The first connection looks whether the way keeps sessions apart.
    pub fn connect(&self, name: &str, access: Access) -> Result<Client, OpenError> {
        self.look_at_the_way()?;
        let mut client = self.plain(name)?;
        let place = self.place();
        let version: i32 = client
            .query_one(
                "SELECT current_setting('server_version_num')::int, current_setting('server_version')",
                &[],
            )
            .map(|row| row.get(0))
            .map_err(|source| OpenError::SetUp { place: place.clone(), source })?;
        if version < OLDEST {
            return Err(OpenError::Old { place, version: (version / 10_000).to_string() });
        }
        let read_only = if access == Access::ReadOnly { "on" } else { "off" };
        client
            .batch_execute(&format!(
                "SET search_path = ''; SET default_transaction_read_only = {read_only}; SET client_encoding = 'UTF8'; \
                 SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; SET timezone = 'UTC'; \
                 SET extra_float_digits = 3; SET bytea_output = 'hex'; SET statement_timeout = 0; \
                 SET idle_in_transaction_session_timeout = 0; SET row_security = off; SET xmloption = 'content'; SET jit = off; \
                 SET default_transaction_isolation = 'read committed'; SET default_transaction_deferrable = off; \
                 SET standard_conforming_strings = on; SET lock_timeout = '900ms'"
            ))
            .and_then(|()| client.batch_execute(NEWER))
            .map_err(|source| OpenError::SetUp { place, source })?;
        Ok(client)
    }

    /// Connects and changes nothing of the session, so that also a pooler's session stays as it was.
    pub(super) fn plain(&self, name: &str) -> Result<Client, OpenError> {
        let mut config = self.config.clone();
        config.application_name(name);
        let connected = match self.protection() {
            Protection::Disable => config.connect(postgres::NoTls),
            _ => config.connect(connector(&self.address)?),
        };
        connected.map_err(|source| {
            let note = match &self.address.exposed {
                Some(path) if code(&source) == "28P01" || said(&source).contains("password missing") => {
                    format!("; {} was not used, because others can read it: chmod 600 it", path.display())
                }
                _ => advice(&source, &self.address).map_or(String::new(), |advice| format!("; {advice}")),
            };
            OpenError::Connect { place: self.place(), source, note }
        })
    }

    /// A socket of this machine is never encrypted (libpq ignores `sslmode` there as well).
    fn protection(&self) -> Protection {
        if self.address.host.starts_with('/') { Protection::Disable } else { self.address.protection }
    }

    fn look_at_the_way(&self) -> Result<(), OpenError> {
        // Held while looking: many workers that start at once ask once.
        let mut steady = self.steady.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !*steady {
            if pooler::hands_sessions_over(self)? {
                return Err(OpenError::Pooled { place: self.place() });
            }
            *steady = true;
        }
        Ok(())
    }
}

/// Settings that only newer servers have: time limits that would end us, and the look at whether a client still lives.
const NEWER: &str = "SELECT set_config(name, CASE name WHEN 'client_connection_check_interval' THEN '2s' ELSE '0' END, false) \
     FROM pg_catalog.pg_settings WHERE name IN \
     ('client_connection_check_interval', 'idle_session_timeout', 'transaction_timeout')";

/// What is known of the way to a database: one answer for a process, since the look takes sessions of its own.
fn way(address: &Address) -> Arc<Mutex<bool>> {
    static WAYS: Mutex<BTreeMap<String, Arc<Mutex<bool>>>> = Mutex::new(BTreeMap::new());
    let Address { host, hostaddr, port, user, dbname, .. } = address;
    let way = format!("{host:?} {hostaddr:?} {port} {user:?} {dbname:?}");
    let mut ways = WAYS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    ways.entry(way).or_default().clone()
}

fn config(address: &Address) -> Config {
    let mut config = Config::new();
    config.host(&address.host).port(address.port).user(&address.user).dbname(&address.dbname);
    config.connect_timeout(address.connect_timeout.map_or(CONNECT, Duration::from_secs)).keepalives(true);
    if let Some(number) = address.hostaddr.as_ref().and_then(|number| number.parse().ok()) {
        config.hostaddr(number);
    }
    if let Some(password) = &address.password {
        config.password(password);
    }
    if let Some(options) = &address.options {
        config.options(options);
    }
    config.channel_binding(match address.channel_binding.as_deref() {
        Some("require") => ChannelBinding::Require,
        Some("disable") => ChannelBinding::Disable,
        _ => ChannelBinding::Prefer,
    });
    config.ssl_mode(match address.protection {
        _ if address.host.starts_with('/') => SslMode::Disable,
        Protection::Disable => SslMode::Disable,
        Protection::Prefer => SslMode::Prefer,
        Protection::Require | Protection::VerifyCa | Protection::VerifyFull => SslMode::Require,
    });
    config
}

/// Does something on a connection while watching for a stop: the statement is cancelled on the server, and its end is
/// waited for, when one is asked for. The call then returns what the server says of a cancelled statement.
pub fn watched<T: Send>(client: &mut Client, tell: &Tell, work: impl FnOnce(&mut Client) -> T + Send) -> T {
    let cancel = client.cancel_token();
    let (stop, done) = (tell.stop_flag(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                if stop.load(Ordering::Relaxed) {
                    cancel_now(&cancel);
                }
                std::thread::park_timeout(TICK);
            }
        });
        // Also when `work` panics: the watcher must end, or the scope never does.
        let _done = Done { flag: &done, watcher: watcher.thread().clone() };
        work(client)
    })
}

/// Asks the server to cancel what a session is doing. Best effort: a cancel that does not arrive only makes a wait longer.
pub fn cancel_now(token: &postgres::CancelToken) {
    let _ = match for_cancel() {
        Some(tls) => token.cancel_query(tls),
        None => token.cancel_query(postgres::NoTls),
    };
}

struct Done<'a> {
    flag: &'a AtomicBool,
    watcher: std::thread::Thread,
}

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.flag.store(true, Ordering::Release);
        self.watcher.unpark();
    }
}
