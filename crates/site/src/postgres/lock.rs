//! One run at a time in a database, by locks of the server that die with their session.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use postgres::Client;

use super::connect::{Access, Database, OpenError};
use super::said::said;
use crate::tell::{Failure, Halt, Tell, Unit};

/// The first half of the key of the lock on a database: `SWBT`. Keys of one number are of another space.
const DATABASE: i32 = 0x5357_4254;
/// The first half of the key of the lock of a run.
const RUN: i32 = 0x5357_4255;
/// How long the end of a dead life's statements is waited for. A statement notices that it is to end within moments, but
/// the rollback of what it did may take its time.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Why a database cannot be locked. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The server cannot be reached.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Another run is at work there.
    #[error("lock {place}: {holder} holds it")]
    Held {
        /// The database.
        place: String,
        /// Who, as the server sees it.
        holder: String,
    },
    /// Statements of a dead life do not end.
    #[error("wait any longer for the statements that a dead life of run {run} left at work on {place}: {}; end them and repeat", .sessions.join(", "))]
    AtWork {
        /// The run.
        run: String,
        /// The database.
        place: String,
        /// What is still there.
        sessions: Vec<String>,
    },
    /// The session with the lock has ended, so another run may have it now.
    #[error("go on with {place}: the session that held its lock has ended ({why})")]
    Lost {
        /// The database.
        place: String,
        /// What happened to it.
        why: String,
    },
    /// The server refused.
    #[error("lock {place}: {}", said(.source))]
    Server {
        /// The database.
        place: String,
        /// What it says.
        source: postgres::Error,
    },
    /// Stopped.
    #[error(transparent)]
    Halt(#[from] Halt),
}

impl Failure for LockError {
    fn halt(&self) -> Option<Halt> {
        match self {
            LockError::Halt(halt) => Some(*halt),
            _ => None,
        }
    }
}

/// The name of every session of a run, by which a later life finds what this one left at work. The server keeps 63 bytes.
pub fn session_name(run: &str) -> String {
    let name = format!("switchback {run}");
    // The server would cut it, and a name that was cut would not be found.
    if name.len() <= 63 {
        name
    } else {
        format!("switchback {}", blake3::hash(run.as_bytes()).to_hex()[..32].to_owned())
    }
}

/// The exclusive lock on a database. It ends with the value or the process. Clones share it.
#[derive(Clone)]
pub struct Lock {
    held: Arc<Held>,
}

struct Held {
    place: String,
    client: Mutex<Client>,
}

impl std::fmt::Debug for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lock({})", self.held.place)
    }
}

/// The locks of this process, so that two targets of one database share one. A key is run, server and database.
static TAKEN: Mutex<BTreeMap<(String, String), Weak<Held>>> = Mutex::new(BTreeMap::new());

/// Takes the lock of `database` for `run`, or says who has it.
///
/// What a dead life of the same run left at work is ended first, by its sessions' name, and its end is waited for: a killed
/// client does not stop a statement. Then the run's own lock is taken for a moment, which every writing session of the run
/// holds shared, so after `Ok` no statement of an earlier life is at work, whatever its session was called.
pub fn take(database: &Database, run: &str, tell: &Tell) -> Result<Lock, LockError> {
    let place = database.place();
    let failed = |source| LockError::Server { place: place.clone(), source };
    // Held over the whole of it: two targets of one database may be locked at once.
    let mut taken = TAKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut client = database.connect("switchback", Access::ReadWrite)?;
    let identity: String = client.query_one(IDENTITY, &[]).map_err(failed)?.get(0);
    let key = (run.to_owned(), identity);
    if let Some(held) = taken.get(&key).and_then(Weak::upgrade) {
        let lock = Lock { held };
        lock.still_held()?;
        return Ok(lock);
    }
    let name = session_name(run);
    end_dead_sessions(&mut client, run, &name, &place, tell)?;
    let got: bool =
        client.query_one("SELECT pg_try_advisory_lock($1, 0)", &[&DATABASE]).map_err(failed)?.get(0);
    if !got {
        let holder = holder(&mut client).map_err(failed)?;
        return Err(LockError::Held { place, holder });
    }
    wait_for_writers(&mut client, run, &place, tell)?;
    client.execute("SELECT set_config('application_name', $1, false)", &[&name]).map_err(failed)?;
    let held = Arc::new(Held { place, client: Mutex::new(client) });
    taken.retain(|_, held| held.strong_count() > 0);
    taken.insert(key, Arc::downgrade(&held));
    Ok(Lock { held })
}

impl Lock {
    /// Looks whether the lock is still ours: the server may have been restarted, or the session ended by somebody.
    pub fn still_held(&self) -> Result<(), LockError> {
        let mut client = self.held.client.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let lost = |why: String| LockError::Lost { place: self.held.place.clone(), why };
        let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() \
                   AND granted AND classid::bigint = $1 AND objid = 0)";
        match client.query_one(sql, &[&i64::from(DATABASE)]) {
            Ok(row) if row.get(0) => Ok(()),
            Ok(_) => Err(lost("the lock was given up in it".to_owned())),
            Err(error) => Err(lost(said(&error))),
        }
    }
}

/// Opens a session that writes for `run`: named after it, and holding the run's lock shared for as long as it lives.
pub fn writer(database: &Database, run: &str, tell: &Tell) -> Result<Client, LockError> {
    let place = database.place();
    let mut client = database.connect(&session_name(run), Access::ReadWrite)?;
    let clock = Instant::now();
    loop {
        let got: bool = client
            .query_one("SELECT pg_try_advisory_lock_shared($1, $2)", &[&RUN, &number(run)])
            .map_err(|source| LockError::Server { place: place.clone(), source })?
            .get(0);
        if got {
            return Ok(client);
        }
        // Another life of this run holds it exclusively: it has just begun, and this one is the dead one.
        if clock.elapsed() > PATIENCE {
            return Err(LockError::Held { place, holder: format!("another process of run {run}") });
        }
        tell.go_on()?;
        std::thread::sleep(PAUSE);
    }
}

/// The SQL by which a transaction of another program takes the lock that [`writer`] takes for its session.
pub(super) fn share_in_transaction(run: &str) -> String {
    format!("pg_catalog.pg_advisory_xact_lock_shared({RUN}, {})", number(run))
}

/// Which server and which database, however it was reached. The number of the server is not for everybody to see everywhere;
/// then its start and its address have to do.
const IDENTITY: &str = "SELECT concat_ws(' ', pg_postmaster_start_time()::text, current_setting('port'), \
    (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))";

fn number(run: &str) -> i32 {
    let hash = *blake3::hash(run.as_bytes()).as_bytes();
    i32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]])
}

fn end_dead_sessions(
    client: &mut Client,
    run: &str,
    name: &str,
    place: &str,
    tell: &Tell,
) -> Result<(), LockError> {
    let sql = "SELECT format('process %s (%s)', pid, left(regexp_replace(query, '\\s+', ' ', 'g'), 60)), \
                      pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
               WHERE datname = current_database() AND application_name = $1 AND pid <> pg_backend_pid() ORDER BY pid";
    waiting(run, place, tell, || {
        let rows = client.query(sql, &[&name])?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    })
}

fn wait_for_writers(client: &mut Client, run: &str, place: &str, tell: &Tell) -> Result<(), LockError> {
    let key = number(run);
    waiting(run, place, tell, || {
        // Taken and given back at once: to know that nobody holds it is all.
        let sql =
            "SELECT CASE WHEN pg_try_advisory_lock($1, $2) THEN pg_advisory_unlock($1, $2) ELSE false END";
        if client.query_one(sql, &[&RUN, &key])?.get(0) {
            return Ok(Vec::new());
        }
        let sql = "SELECT format('process %s', pid) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted \
                   AND classid::bigint = $1 AND objid::bigint = $2 AND database = \
                   (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())";
        let rows = client.query(sql, &[&i64::from(RUN), &i64::from(key as u32)])?;
        Ok(rows.iter().map(|row| row.get(0)).chain(rows.is_empty().then(|| "a process".to_owned())).collect())
    })
}

fn waiting(
    run: &str,
    place: &str,
    tell: &Tell,
    mut look: impl FnMut() -> Result<Vec<String>, postgres::Error>,
) -> Result<(), LockError> {
    let clock = Instant::now();
    loop {
        let sessions = look().map_err(|source| LockError::Server { place: place.to_owned(), source })?;
        if sessions.is_empty() {
            return Ok(());
        }
        if clock.elapsed() > PATIENCE {
            return Err(LockError::AtWork { run: run.to_owned(), place: place.to_owned(), sessions });
        }
        tell.go_on()?;
        let doing = "waiting for statements of an earlier life to end";
        tell.progress(doing, clock.elapsed().as_secs(), Some(PATIENCE.as_secs()), Unit::Seconds);
        std::thread::sleep(PAUSE);
    }
}

fn holder(client: &mut Client) -> Result<String, postgres::Error> {
    let sql = "SELECT format('%s (process %s of %s, since %s)', CASE WHEN a.application_name LIKE 'switchback _%' \
               THEN 'run ' || substr(a.application_name, 12) ELSE 'another run' END, l.pid, coalesce(a.usename::text, '?'), \
               date_trunc('second', a.backend_start)) \
               FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
               WHERE l.locktype = 'advisory' AND l.granted AND l.classid::bigint = $1 AND l.objid = 0 AND l.database = \
               (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())";
    let row = client.query_opt(sql, &[&i64::from(DATABASE)])?;
    Ok(row.map_or_else(|| "another run".to_owned(), |row| row.get(0)))
}
