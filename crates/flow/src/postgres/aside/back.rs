//! Bringing indexes and foreign keys back, after the last row: each transaction commits with the row that says how far it is,
//! and what is back was read and compared with what had been there.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use postgres::error::SqlState;
use postgres::{Client, Transaction};
use switchback_site::postgres::{Access, Database, Patience};
use switchback_site::tell::{Tell, Unit};

use super::away::{Away, all};
use super::choose::now;
use super::definition::{Definition, Stage, full};
use crate::end::CursorKey;
use crate::error::FlowError;
use crate::job::TableName;
use crate::postgres::session::{Watch, open, session_name};

/// What is waited for a lock that stands in no reader's way. Longer than the second after which the server ends its own
/// upkeep of a table for us (`deadlock_timeout`).
const GENTLE: &str = "SET LOCAL lock_timeout = '5s'";

/// Fewer rows than this are worth no session of their own.
pub(crate) const FEW: u64 = 200_000;

/// One transaction that is to be done.
struct Task {
    away: Away,
    sql: String,
    rows: u64,
}

/// Brings back whatever of this step is away, with `workers` sessions. After `Ok` everything is as it was, by what the
/// catalog says.
///
/// Fails on rows that a unique index or a foreign key does not allow, and names them; what is back by then stays.
pub(crate) fn put_back(
    to: &Database,
    client: &mut Client,
    key: &CursorKey,
    workers: usize,
    tell: &Tell,
) -> Result<(), FlowError> {
    let waiting: Vec<Away> = all(client, key)?.into_iter().filter(|away| !away.back).collect();
    if waiting.is_empty() {
        return Ok(());
    }
    for stage in Stage::ALL {
        // What an earlier stage did is in the ledger.
        let waiting = all(client, key)?.into_iter().filter(|away| !away.back);
        let mut tables: BTreeMap<String, VecDeque<Task>> = BTreeMap::new();
        for away in waiting {
            let steps = away.definition.back_sql()?;
            let Some((next, sql)) = steps.get(away.steps) else { continue };
            if *next != stage {
                continue;
            }
            // Indexes of one table are built side by side; everything else wants its table for itself.
            let alone = match stage {
                Stage::Build => away.part.clone(),
                Stage::Mark | Stage::Validate => away.definition.table().describe(),
                Stage::Refer => String::new(),
            };
            let task = Task { sql: sql.clone(), rows: away.rows, away };
            tables.entry(alone).or_default().push_back(task);
        }
        let mut queues: Vec<VecDeque<Task>> = tables.into_values().collect();
        queues.sort_by_key(|queue| queue.iter().map(|task| task.rows).sum::<u64>());
        run(to, client, stage, queues, key, workers, tell)?;
    }
    match all(client, key)?.into_iter().find(|away| !away.back) {
        None => Ok(()),
        Some(away) => Err(FlowError::Bug(format!("{} was not brought back", away.definition.describe()))),
    }
}

/// Works on the queues of a stage, which may be worked on side by side; the largest is the last.
fn run(
    to: &Database,
    client: &mut Client,
    stage: Stage,
    queues: Vec<VecDeque<Task>>,
    key: &CursorKey,
    workers: usize,
    tell: &Tell,
) -> Result<(), FlowError> {
    let total: u64 = queues.iter().flatten().map(|task| task.rows).sum();
    let done = Mutex::new(0);
    let workers = if total < FEW { 1 } else { workers };
    side_by_side(to, client, &session_name(key), queues, workers, tell, |client, queue| {
        for task in queue {
            tell.go_on()?;
            let (away, doing) = (&task.away, format!("bringing back {}", task.away.definition.describe()));
            tell.point("flow.back")?;
            let result = Patience::usual().transact(client, tell, &doing, |transaction| {
                one(transaction, stage, &task, key)?;
                tell.point("flow.back.made")?;
                Ok::<(), FlowError>(())
            });
            result.map_err(|error| explain(away, error))?;
            tell.point("flow.back.in")?;
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            *done += task.rows;
            tell.progress(stage.doing(), *done, Some(total), Unit::Rows);
        }
        Ok(())
    })
}

impl Stage {
    fn doing(self) -> &'static str {
        match self {
            Stage::Build | Stage::Mark => "building indexes",
            Stage::Refer | Stage::Validate => "comparing references",
        }
    }
}

/// One transaction of one object, unless it is in already.
fn one(
    transaction: &mut Transaction<'_>,
    stage: Stage,
    task: &Task,
    key: &CursorKey,
) -> Result<(), FlowError> {
    let (away, definition) = (&task.away, &task.away.definition);
    let doing = || FlowError::server(format!("bring back {}", definition.describe()));
    let sql = "SELECT rows FROM switchback.cursor WHERE run = $1 AND step = $2 AND part = $3 FOR UPDATE";
    let there = transaction.query_opt(sql, &[&key.run, &key.step, &away.part]).map_err(doing())?;
    if there.map(|row| row.get::<_, i64>(0)) != i64::try_from(away.steps).ok() {
        // Somebody else who goes on with the same step was faster.
        return Ok(());
    }
    // As for rows: a commit that a crash of the server takes back takes its row with it, and the last one is waited for.
    transaction.batch_execute("SET LOCAL synchronous_commit = off").map_err(doing())?;
    if stage == Stage::Mark {
        // Upkeep of the table by the server itself is ended behind a lock that lets readers through; only then comes the
        // one that does not.
        let table = full(definition.table())?;
        let sql = format!(
            "SET LOCAL lock_timeout = '5s'; LOCK TABLE ONLY {table} IN SHARE UPDATE EXCLUSIVE MODE; \
                           SET LOCAL lock_timeout = '900ms'"
        );
        transaction.batch_execute(&sql).map_err(doing())?;
    } else {
        transaction.batch_execute(GENTLE).map_err(doing())?;
    }
    transaction.batch_execute(&task.sql).map_err(doing())?;
    let steps = away.steps + 1;
    let back = steps == definition.back_sql()?.len();
    if back {
        read_back(transaction, definition)?;
    }
    Away { steps, back, ..away.clone() }.put(transaction, key)
}

/// Compares what is there with what was.
fn read_back(transaction: &mut Transaction<'_>, definition: &Definition) -> Result<(), FlowError> {
    let found = now(transaction, definition)?;
    if found.as_ref() == Some(definition) {
        return Ok(());
    }
    let show = |definition: &Definition| serde_json::to_string(definition).unwrap_or_default();
    Err(FlowError::Back {
        what: definition.describe(),
        reason: format!(
            "it would be {}, and was {}",
            found.as_ref().map_or("nothing".to_owned(), show),
            show(definition)
        ),
    })
}

/// Names the rows that do not let an object come back.
fn explain(away: &Away, error: FlowError) -> FlowError {
    let Some(answer) = error.database() else { return error };
    let codes = [SqlState::UNIQUE_VIOLATION, SqlState::FOREIGN_KEY_VIOLATION];
    if !codes.contains(answer.code()) {
        return error;
    }
    let detail =
        answer.detail().map_or(String::new(), |detail| format!(": {}", detail.trim_end_matches('.')));
    FlowError::Back { what: away.definition.describe(), reason: format!("{}{detail}", answer.message()) }
}

/// Gives each queue to a thread with a session of its own; the first error is the reason, and ends the others. One worker
/// is the caller with the session that is open.
fn side_by_side<T: Send>(
    to: &Database,
    client: &mut Client,
    name: &str,
    queues: Vec<T>,
    workers: usize,
    tell: &Tell,
    work: impl Fn(&mut Client, T) -> Result<(), FlowError> + Sync,
) -> Result<(), FlowError> {
    let workers = workers.clamp(1, 64).min(queues.len());
    if workers <= 1 {
        for queue in queues.into_iter().rev() {
            work(client, queue)?;
        }
        return Ok(());
    }
    let (queues, watch) = (Mutex::new(queues), Watch::default());
    let first: Mutex<Option<FlowError>> = Mutex::new(None);
    let life = || -> Result<(), FlowError> {
        let mut client = None;
        loop {
            let next = queues.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(queue) = next.filter(|_| !watch.has_failed()) else { return Ok(()) };
            let client = match &mut client {
                Some(client) => client,
                none => {
                    let opened = open(to, name, Access::ReadWrite)?;
                    watch.add(&opened);
                    none.insert(opened)
                }
            };
            work(client, queue)?;
        }
    };
    let lived = |ended: std::thread::Result<Result<(), FlowError>>| {
        let ended = ended.unwrap_or_else(|_| Err(FlowError::Bug("a thread of a move panicked".to_owned())));
        if let Err(error) = ended {
            first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            watch.fail();
        }
    };
    watch.over(tell, || {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..workers).map(|_| scope.spawn(|| lived(Ok(life())))).collect();
            for thread in threads {
                if let Err(panic) = thread.join() {
                    lived(Err(panic));
                }
            }
        });
    });
    match first.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(super::super::run::stopped(error, tell)),
        None => Ok(tell.go_on()?),
    }
}

/// Lets the server count the tables that were filled, so that the first questions of the new release are planned for rows that
/// are there. A table that is somebody else's is left to its own upkeep.
pub(crate) fn analyze(
    to: &Database,
    client: &mut Client,
    key: &CursorKey,
    tables: &[TableName],
    workers: usize,
    tell: &Tell,
) -> Result<(), FlowError> {
    let names = tables.iter().map(full).collect::<Result<Vec<String>, _>>()?;
    side_by_side(to, client, &session_name(key), names, workers, tell, |client, name| {
        tell.go_on()?;
        let doing = format!("counting {name}");
        tell.point("flow.analyze")?;
        Patience::usual().transact(client, tell, &doing, |transaction| {
            let ours = "SELECT pg_catalog.pg_has_role(c.relowner, 'USAGE') FROM pg_catalog.pg_class c WHERE c.oid = $1::text::regclass";
            let asked = || FlowError::server(format!("count {name}"));
            if !transaction.query_one(ours, &[&name]).map_err(asked())?.get::<_, bool>(0) {
                return Ok::<(), FlowError>(());
            }
            transaction
                .batch_execute(&format!("SET LOCAL synchronous_commit = off; {GENTLE}; ANALYZE {name}"))
                .map_err(asked())
        })?;
        Ok(tell.point("flow.analyze.in")?)
    })
}
