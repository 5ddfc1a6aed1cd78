//! One thread of a move: takes batches, moves their parts and their cursors in one transaction each.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use postgres::Client;
use postgres::error::SqlState;
use switchback_site::tell::{Tell, Unit};

use super::cursor::{self, Done};
use super::parts::Part;
use super::queue::{Batch, Queue};
use super::resolve::Plan;
use super::session::Watch;
use super::{diagnose, pipe, server};
use crate::end::CursorKey;
use crate::error::FlowError;

/// How often a batch is tried again when others hold a lock that it needs, a second each.
const TRIES: u32 = 60;

/// What all threads of a move share.
pub(super) struct Shared<'a> {
    pub plan: &'a Plan,
    pub key: &'a CursorKey,
    pub queue: &'a Queue,
    pub watch: &'a Watch,
    pub tell: &'a Tell,
    pub meter: Meter,
}

/// How far all threads have come.
#[derive(Debug, Default)]
pub(super) struct Meter {
    pub rows: AtomicU64,
    pub bytes: AtomicU64,
    /// `None` when a table was never counted.
    pub all_rows: Option<u64>,
    pub all_bytes: u64,
}

/// The sessions of one thread.
pub(super) struct Sessions {
    pub target: Client,
    /// The session that reads, and the snapshot it reads; `None` when both ends are one database.
    pub source: Option<(Client, String)>,
}

/// What was moved: the parts by name.
pub(super) type Moved = BTreeMap<String, Done>;

/// Works until nothing is left.
pub(super) fn work(shared: &Shared<'_>, mut sessions: Sessions) -> Result<Moved, FlowError> {
    let mut moved = Moved::new();
    while let Some(batch) = shared.queue.next() {
        shared.tell.go_on()?;
        moved.extend(patiently(shared, &mut sessions, &batch)?);
        shared.queue.done(&batch);
    }
    Ok(moved)
}

/// Moves a batch, again and again while others hold its locks: a reader of theirs is never kept waiting for us longer than
/// the lock timeout of a session.
fn patiently(shared: &Shared<'_>, sessions: &mut Sessions, batch: &Batch) -> Result<Moved, FlowError> {
    let mut tries = 0;
    loop {
        let mut at = None;
        let error = match move_batch(shared, sessions, batch, &mut at) {
            Ok(moved) => return Ok(moved),
            Err(error) => error,
        };
        let busy = error.database().is_some_and(|error| {
            [
                SqlState::LOCK_NOT_AVAILABLE,
                SqlState::T_R_DEADLOCK_DETECTED,
                SqlState::T_R_SERIALIZATION_FAILURE,
            ]
            .contains(error.code())
        });
        tries += 1;
        if busy && tries < TRIES && !shared.watch.has_failed() {
            shared.tell.go_on()?;
            std::thread::sleep(Duration::from_millis(100));
            if let Some((source, snapshot)) = &mut sessions.source {
                read_from(source, snapshot)?;
            }
            continue;
        }
        return Err(match at {
            Some(part) => diagnose::explain(shared.plan, sessions, part, error),
            None => error,
        });
    }
}

/// (Re)opens the reading transaction of a source session on a snapshot.
pub(super) fn read_from(source: &mut Client, snapshot: &str) -> Result<(), FlowError> {
    let snapshot = switchback_site::postgres::names::literal(snapshot)
        .map_err(|error| FlowError::Refused(vec![error.to_string()]))?;
    source
        .batch_execute(&format!(
            "ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {snapshot}"
        ))
        .map_err(FlowError::server("read from the snapshot of this move"))
}

fn move_batch<'b>(
    shared: &Shared<'_>,
    sessions: &mut Sessions,
    batch: &'b Batch,
    at: &mut Option<&'b Part>,
) -> Result<Moved, FlowError> {
    let tell = shared.tell;
    let doing = || FlowError::server("copy a batch of rows");
    let mut transaction = sessions.target.transaction().map_err(doing())?;
    if batch.deferred {
        transaction.batch_execute("SET CONSTRAINTS ALL DEFERRED").map_err(doing())?;
    }
    let names: Vec<String> = batch.parts.iter().map(|(_, part)| part.name()).collect();
    tell.point("flow.claim")?;
    let ours = cursor::claim(&mut transaction, shared.key, &names)?;
    let mut moved = Vec::with_capacity(names.len());
    for (((_, part), name), ours) in batch.parts.iter().zip(names).zip(ours) {
        if !ours {
            continue;
        }
        let Some(job) = shared.plan.moves.get(part.number) else {
            return Err(FlowError::Bug("a move is lost".to_owned()));
        };
        *at = Some(part);
        let done = match &mut sessions.source {
            None => server::part(&mut transaction, job, part)?,
            Some((source, _)) => pipe::part(&mut transaction, source, job, part, tell)?,
        };
        *at = None;
        tell.point("flow.part")?;
        tell.go_on()?;
        shared.meter.add(done.rows, part.bytes, tell);
        moved.push((name, done));
    }
    cursor::settle(&mut transaction, shared.key, &moved)?;
    tell.point("flow.commit")?;
    transaction.commit().map_err(FlowError::server("commit a batch of rows"))?;
    tell.point("flow.committed")?;
    Ok(moved.into_iter().collect())
}

impl Meter {
    fn add(&self, rows: u64, bytes: u64, tell: &Tell) {
        let rows = self.rows.fetch_add(rows, Ordering::Relaxed) + rows;
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // An estimate that was exceeded is none.
        tell.progress("copying rows", rows, self.all_rows.filter(|all| *all >= rows), Unit::Rows);
        tell.progress("copying", bytes, Some(self.all_bytes.max(bytes)), Unit::Bytes);
    }
}
