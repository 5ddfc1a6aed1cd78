//! Waiting for locks that others hold, so that nobody who waits behind us waits long.

use std::time::{Duration, Instant};

use postgres::error::SqlState;
use postgres::{Client, GenericClient, Transaction};

use super::connect::watched;
use super::said::said;
use crate::tell::{Failure, Halt, Tell, Unit};

/// How long others are waited for.
const USUAL: Duration = Duration::from_secs(60);
/// How long the queue is left alone between two tries, so that those who stood behind us get their turn.
const REST: Duration = Duration::from_millis(300);

/// Why the wait was given up. The transaction was rolled back.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// Others did not let go.
    #[error("wait any longer for locks ({} s): {}; end what holds them and repeat", .waited.as_secs(), blockers(.holders))]
    Blocked {
        /// How long it was.
        waited: Duration,
        /// Who holds locks in the database.
        holders: Vec<String>,
    },
    /// The transaction cannot be begun or ended.
    #[error("begin or end the transaction: {}", said(.source))]
    Server {
        /// What the server says.
        #[from]
        source: postgres::Error,
    },
    /// Stopped.
    #[error(transparent)]
    Halt(#[from] Halt),
}

impl Failure for WaitError {
    fn halt(&self) -> Option<Halt> {
        match self {
            WaitError::Halt(halt) => Some(*halt),
            _ => None,
        }
    }
}

fn blockers(holders: &[String]) -> String {
    if holders.is_empty() { "nobody is seen to hold them now".to_owned() } else { holders.join("; ") }
}

/// How long to try.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    whole: Duration,
}

impl Patience {
    /// A minute.
    pub fn usual() -> Patience {
        Patience { whole: USUAL }
    }

    /// Another time.
    pub fn of(whole: Duration) -> Patience {
        Patience { whole }
    }

    /// Does `work` in a transaction and commits it. When the session's `lock_timeout` ends it, or the server breaks a deadlock,
    /// the whole transaction is given up and tried again, until the patience is over. Passes no fault point.
    pub fn transact<T, E>(
        self,
        client: &mut Client,
        tell: &Tell,
        doing: &str,
        mut work: impl FnMut(&mut Transaction<'_>) -> Result<T, E> + Send,
    ) -> Result<T, E>
    where
        T: Send,
        E: From<WaitError> + From<Halt> + std::error::Error + Failure + Send + 'static,
    {
        let clock = Instant::now();
        loop {
            tell.go_on()?;
            let result: Result<T, E> = watched(client, tell, |client| {
                let mut transaction = client.transaction().map_err(WaitError::from)?;
                let result = work(&mut transaction)?;
                transaction.commit().map_err(WaitError::from)?;
                Ok(result)
            });
            let error = match result {
                Ok(result) => return Ok(result),
                Err(error) => error,
            };
            if error.halt().is_none() && is_cancelled(&error) {
                // Our own stop, said in the server's words.
                tell.go_on()?;
            }
            if !is_contention(&error) {
                return Err(error);
            }
            let holders = holders(client).map_err(WaitError::from)?;
            if clock.elapsed() >= self.whole {
                return Err(WaitError::Blocked { waited: clock.elapsed(), holders }.into());
            }
            let waits = format!("{doing}: waiting for {}", blockers(&holders));
            tell.progress(&waits, clock.elapsed().as_secs(), Some(self.whole.as_secs()), Unit::Seconds);
            std::thread::sleep(REST);
        }
    }
}

/// Finds the server's error at the bottom of one of ours.
fn server_code(error: &(dyn std::error::Error + 'static)) -> Option<SqlState> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<postgres::Error>() {
            return found.code().cloned();
        }
        next = error.source();
    }
    None
}

fn is_contention(error: &(dyn std::error::Error + 'static)) -> bool {
    let codes = [
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::OBJECT_IN_USE,
    ];
    server_code(error).is_some_and(|code| codes.contains(&code))
}

fn is_cancelled(error: &(dyn std::error::Error + 'static)) -> bool {
    server_code(error) == Some(SqlState::QUERY_CANCELED)
}

/// Names the other sessions that hold locks on tables of this database.
pub fn holders(client: &mut impl GenericClient) -> Result<Vec<String>, postgres::Error> {
    let rows = client.query(
        "SELECT format('process %s of %s%s holds %s%s', a.pid, coalesce(a.usename::text, 'nobody'), \
                CASE WHEN a.application_name <> '' THEN ' (' || a.application_name || ')' ELSE '' END, \
                string_agg(DISTINCT format('%I.%I', n.nspname, c.relname), ', '), \
                CASE WHEN a.state = 'idle in transaction' THEN ', idle in a transaction since ' || a.state_change::text ELSE '' END) \
         FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
         JOIN pg_catalog.pg_class c ON c.oid = l.relation JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_backend_pid() AND c.relkind IN ('r', 'p', 'm', 'S', 'v') \
           AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) \
           AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') \
         GROUP BY a.pid, a.usename, a.application_name, a.state, a.state_change ORDER BY 1",
        &[],
    )?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
