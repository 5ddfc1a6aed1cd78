//! Sessions of a move: how they are set up, how they are stopped, and what a dead life left at work.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use postgres::{CancelToken, Client};
use switchback_site::postgres::{Access, Database, cancel_now};
use switchback_site::tell::Tell;

use crate::end::CursorKey;
use crate::error::FlowError;

/// How often it is looked whether a stop was asked for.
const TICK: Duration = Duration::from_millis(50);
/// How long a session of a dead life may take to end after it was told to.
const PATIENCE: Duration = Duration::from_secs(60);

/// The name of the sessions of a step, by which a later life finds those of a dead one. The server keeps 63 bytes.
pub(crate) fn session_name(key: &CursorKey) -> String {
    let mut name: String = format!("switchback {} copy {}", key.run, key.step)
        .chars()
        .map(|letter| if letter.is_ascii_graphic() || letter == ' ' { letter } else { '?' })
        .collect();
    name.truncate(63);
    name
}

/// Opens a session for moving rows.
pub(crate) fn open(database: &Database, name: &str, access: Access) -> Result<Client, FlowError> {
    let mut client = database.connect(name, access)?;
    // The first two cost more than they bring here: every session of ours keeps a core busy already. Sums of money are
    // written and read as text in some moves, and must not depend on where a server stands.
    client
        .batch_execute("SET jit = off; SET max_parallel_workers_per_gather = 0; SET lc_monetary = 'C'")
        .map_err(FlowError::server(format!("set up a session on {}", database.place())))?;
    Ok(client)
}

/// Says whether two sessions are in the same database of the same server, however their addresses are written: a lock
/// that one of them holds is held for the other.
pub(super) fn same_database(one: &mut Client, other: &mut Client) -> Result<bool, FlowError> {
    let doing = || FlowError::server("compare the two databases");
    let key: i64 = one
        .query_one("SELECT ('x' || pg_catalog.substr(pg_catalog.md5(pg_catalog.random()::text || pg_catalog.clock_timestamp()::text), 1, 16))::bit(64)::int8", &[])
        .map_err(doing())?
        .get(0);
    one.query_one("SELECT pg_catalog.pg_advisory_lock($1)", &[&key]).map_err(doing())?;
    let free: bool =
        other.query_one("SELECT pg_catalog.pg_try_advisory_lock($1)", &[&key]).map_err(doing())?.get(0);
    if free {
        other.query_one("SELECT pg_catalog.pg_advisory_unlock($1)", &[&key]).map_err(doing())?;
    }
    one.query_one("SELECT pg_catalog.pg_advisory_unlock($1)", &[&key]).map_err(doing())?;
    Ok(!free)
}

/// Ends sessions that a dead life of the same step left at work, and waits until they are gone: a killed client does not
/// stop its statement. The caller holds the run's lock, so a session of that name is nobody's.
pub(crate) fn end_dead(client: &mut Client, name: &str, tell: &Tell) -> Result<(), FlowError> {
    let clock = Instant::now();
    loop {
        let left: i64 = client
            .query_one(
                "SELECT count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity \
                 WHERE application_name = $1 AND datname = pg_catalog.current_database() \
                 AND pid <> pg_catalog.pg_backend_pid()",
                &[&name],
            )
            .map_err(FlowError::server("end the sessions that an earlier life left at work"))?
            .get(0);
        if left == 0 {
            return Ok(());
        }
        tell.go_on()?;
        if clock.elapsed() > PATIENCE {
            return Err(FlowError::Refused(vec![format!(
                "{left} sessions named `{name}` of an earlier life do not end; look at pg_stat_activity"
            )]));
        }
        std::thread::sleep(TICK);
    }
}

/// Watches over the sessions of several threads: when a stop is asked for, or one of the threads fails, what they are
/// doing is cancelled on the server.
#[derive(Default)]
pub(super) struct Watch {
    tokens: Mutex<Vec<CancelToken>>,
    failed: AtomicBool,
    over: AtomicBool,
}

impl Watch {
    /// Watches over one more session.
    pub fn add(&self, client: &Client) {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).push(client.cancel_token());
    }

    /// A thread failed: the others are to stop.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Cancels whatever the sessions are doing. Best effort: a cancel that does not arrive only makes the wait longer.
    pub fn cancel(&self) {
        for token in self.tokens.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            cancel_now(token);
        }
    }

    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Runs `work` while a thread watches.
    pub fn over<T>(&self, tell: &Tell, work: impl FnOnce() -> T) -> T {
        std::thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                while !self.over.load(Ordering::Relaxed) {
                    if tell.go_on().is_err() || self.has_failed() {
                        self.cancel();
                    }
                    std::thread::park_timeout(TICK);
                }
            });
            // Also when `work` panics, or the scope would wait for ever.
            let _end = End { watch: self, watcher: watcher.thread().clone() };
            work()
        })
    }
}

struct End<'a> {
    watch: &'a Watch,
    watcher: std::thread::Thread,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.watch.over.store(true, Ordering::Relaxed);
        self.watcher.unpark();
    }
}
