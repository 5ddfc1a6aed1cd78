//! A move from its first look to its last commit.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use postgres::Client;
use postgres::error::SqlState;
use switchback_site::postgres::{Access, Database, watched};
use switchback_site::tell::Tell;

use super::aside::{self, FEW, Filled};
use super::catalog::Table;
use super::cursor::{self, ALL};
use super::execute::{Meter, Moved, Sessions, Shared, read_from, work};
use super::may::unreadable;
use super::parts::{Part, parts};
use super::queue::Queue;
use super::resolve::{Plan, resolve};
use super::sequences;
use super::session::{Watch, end_dead, open, same_database, session_name};
use super::text::{self, Constants};
use crate::end::{CursorKey, Options, Report};
use crate::error::{FlowError, said};
use crate::job::{TableMove, TableName};

/// The first version that reads a range of blocks without reading the others (TID range scan).
const RANGES_SINCE: i32 = 140_000;
/// Bytes of a row, where the server has not counted the rows of a table.
const ROW: u64 = 200;

/// See [`crate::run::check`].
pub fn check(moves: &[TableMove], from: &Database, to: &Database, tell: &Tell) -> Result<(), FlowError> {
    let mut target = open(to, "switchback check", Access::ReadOnly)?;
    let mut source = open(from, "switchback check", Access::ReadOnly)?;
    let same = same_database(&mut source, &mut target)?;
    let plan = resolve(moves, &mut source, &mut target, same)?;
    let mut wrong = unreadable(&mut source, &plan)?;
    let mut seen = BTreeSet::new();
    for job in &plan.moves {
        tell.go_on()?;
        // The server itself says whether the expressions are right; nothing is executed.
        let prepared = if same {
            let sql = text::insert(
                job,
                &text::only(&job.from)?,
                None,
                true,
                &mut Constants::Bound(&mut Vec::new()),
            )?;
            target.prepare(&sql)
        } else {
            source.prepare(&text::stream(job, None, !job.is_plain())?)
        };
        if let Err(error) = prepared {
            // One table of each kind is enough: 50 tenants would say it 50 times.
            if seen.insert((job.to.oid, said(&error))) {
                wrong.push(format!("copy {}: {}", job.describe(), said(&error)));
            }
        }
    }
    if !plan.circle.is_empty() {
        let away = aside::would_go(&mut target, &filled(&plan), &plan.circle)?;
        wrong.extend((!plan.would_do(&away)).then(|| plan.stuck()));
    }
    if wrong.is_empty() { Ok(()) } else { Err(FlowError::Refused(wrong)) }
}

/// See [`crate::run::run`].
pub fn run(
    moves: &[TableMove],
    from: &Database,
    to: &Database,
    key: &CursorKey,
    options: Options,
    tell: &Tell,
) -> Result<Report, FlowError> {
    let name = session_name(key);
    let mut target = open(to, &name, Access::ReadWrite)?;
    end_dead(&mut target, &name, tell)?;
    let mut source = open(from, &name, Access::ReadOnly)?;
    let same = same_database(&mut source, &mut target)?;
    if !same {
        end_dead(&mut source, &name, tell)?;
    }
    let mut plan = resolve(moves, &mut source, &mut target, same)?;
    tell.point("flow.ensure")?;
    cursor::ensure(&mut target)?;
    tell.point("flow.ensured")?;
    let mut done = cursor::read(&mut target, key)?;
    let found = done.len() as u64;
    if done.contains_key(ALL) {
        return Ok(report(&done, Vec::new(), found));
    }
    let is_first = done.is_empty() && !aside::is_away(&mut target, key)?;
    let from_rows = options.indexes.from();
    if is_first && aside::set_aside(&mut target, &filled(&plan), key, from_rows, &plan.circle, tell)? > 0 {
        // What referred to one another need not wait for one another any more.
        plan = resolve(moves, &mut source, &mut target, same)?;
    }
    let ranges = version(&mut source)? >= RANGES_SINCE;
    let waiting: Vec<Vec<Part>> = plan
        .groups
        .iter()
        .map(|group| {
            let numbers = group.tables.iter().flat_map(|table| &plan.into[*table]);
            numbers
                .flat_map(|number| parts(*number, &plan.moves[*number].from, group.whole, ranges, &done))
                .collect()
        })
        .collect();
    // A life that has only to bring back what is away finds them there again.
    if !plan.circle.is_empty() && waiting.iter().any(|parts| !parts.is_empty()) {
        return Err(FlowError::Refused(vec![plan.stuck()]));
    }
    let snapshot = if same { None } else { Some(export(&mut source)?) };
    let moved = all(&plan, (from, to), key, options, waiting, snapshot.as_deref(), tell)?;
    done.extend(moved);
    aside::put_back(to, &mut target, key, options.workers, tell)?;
    let names: Vec<TableName> = plan.targets.iter().map(|table| table.name.clone()).collect();
    let rows: u64 = done.values().map(|done| done.rows).sum();
    // A look at a small table takes no longer than another session.
    let workers = if rows < FEW { 1 } else { options.workers };
    aside::analyze(to, &mut target, key, &names, workers, tell)?;
    let sequences = watched(&mut target, tell, |target| finish(target, &plan, key, &done, tell));
    let sequences = sequences.map_err(|error| stopped(error, tell))?;
    Ok(report(&done, sequences, found))
}

/// The tables that are filled, and about how many rows each will get.
fn filled(plan: &Plan) -> Vec<Filled> {
    let searched: BTreeSet<u32> =
        plan.moves.iter().flat_map(|job| &job.lookups).map(|lookup| lookup.within.oid).collect();
    let rows =
        |job: &usize| plan.moves.get(*job).map_or(0, |job| job.from.rows.unwrap_or(job.from.bytes / ROW));
    let one = |(table, into): (&Arc<Table>, &Vec<usize>)| Filled {
        oid: table.oid,
        rows: into.iter().map(rows).sum(),
        searched: searched.contains(&table.oid),
    };
    plan.targets.iter().zip(&plan.into).map(one).collect()
}

fn report(done: &Moved, sequences: Vec<(String, i64)>, found: u64) -> Report {
    let mut report = Report { sequences, found, ..Report::default() };
    let mut dropped = std::collections::BTreeMap::new();
    for (name, done) in done.iter().filter(|(name, _)| *name != ALL) {
        report.rows += done.rows;
        let number = name.split(' ').next().and_then(|number| number.parse::<usize>().ok());
        if let Some(number) = number.filter(|_| done.dropped > 0) {
            *dropped.entry(number).or_insert(0) += done.dropped;
        }
    }
    report.dropped = dropped.into_iter().collect();
    report
}

fn version(client: &mut Client) -> Result<i32, FlowError> {
    let row = client
        .query_one("SELECT pg_catalog.current_setting('server_version_num')::int4", &[])
        .map_err(FlowError::server("ask the version of the server"))?;
    Ok(row.get(0))
}

/// Opens a transaction and gives its snapshot away, so that all workers read one state.
fn export(source: &mut Client) -> Result<String, FlowError> {
    let doing = || FlowError::server("take a snapshot of the source");
    source.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").map_err(doing())?;
    Ok(source.query_one("SELECT pg_catalog.pg_export_snapshot()", &[]).map_err(doing())?.get(0))
}

/// Moves all parts that wait.
fn all(
    plan: &Plan,
    (from, to): (&Database, &Database),
    key: &CursorKey,
    options: Options,
    waiting: Vec<Vec<Part>>,
    snapshot: Option<&str>,
    tell: &Tell,
) -> Result<Moved, FlowError> {
    let count = waiting.iter().map(Vec::len).sum::<usize>();
    let workers = options.workers.clamp(1, 64).min(count);
    let name = session_name(key);
    let meter = Meter {
        all_rows: plan.moves.iter().map(|job| job.from.rows).sum(),
        all_bytes: waiting.iter().flatten().map(|part| part.bytes).sum(),
        ..Meter::default()
    };
    let (queue, watch) = (Queue::new(&plan.groups, waiting, workers), Watch::default());
    let shared = Shared { plan, key, queue: &queue, watch: &watch, tell, meter };
    let first: Mutex<Option<FlowError>> = Mutex::new(None);
    let life = || -> Result<Moved, FlowError> {
        let mut target = open(to, &name, Access::ReadWrite)?;
        // A batch that a crash of the server takes back takes its cursor with it, and comes again; commits are kept in their
        // order, so nothing is ever there without what it refers to. The last commit of the move waits for the disk, and with
        // it for all before (postgresql.org/docs, "Asynchronous Commit").
        target
            .batch_execute("SET synchronous_commit = off")
            .map_err(FlowError::server("set up a session of the target"))?;
        watch.add(&target);
        let source = match snapshot {
            None => None,
            Some(snapshot) => {
                let mut source = open(from, &name, Access::ReadOnly)?;
                watch.add(&source);
                source.batch_execute("BEGIN").map_err(FlowError::server("set up a session of the source"))?;
                read_from(&mut source, snapshot)?;
                Some((source, snapshot.to_owned()))
            }
        };
        work(&shared, Sessions { target, source })
    };
    let lived = |life: Result<Moved, FlowError>| match life {
        Ok(moved) => moved,
        Err(error) => {
            // The first error is the reason; what the others say of being stopped is not.
            first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            watch.fail();
            queue.stop();
            Moved::new()
        }
    };
    let moved = watch.over(tell, || {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..workers).map(|_| scope.spawn(|| lived(life()))).collect();
            let mut moved = Moved::new();
            for thread in threads {
                match thread.join() {
                    Ok(parts) => moved.extend(parts),
                    Err(_) => drop(lived(Err(FlowError::Bug("a thread of a move panicked".to_owned())))),
                }
            }
            moved
        })
    });
    match first.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(stopped(error, tell)),
        None => {
            tell.go_on()?;
            Ok(moved)
        }
    }
}

/// A statement that was cancelled because a stop was asked for is the stop.
pub(super) fn stopped(error: FlowError, tell: &Tell) -> FlowError {
    let cancelled = error.database().is_some_and(|error| *error.code() == SqlState::QUERY_CANCELED);
    match tell.go_on() {
        Err(halt) if cancelled => halt.into(),
        _ => error,
    }
}

/// Sets the sequences and says that everything is in; waits for the disk.
fn finish(
    target: &mut Client,
    plan: &Plan,
    key: &CursorKey,
    done: &Moved,
    tell: &Tell,
) -> Result<Vec<(String, i64)>, FlowError> {
    let doing = || FlowError::server("end the copy");
    let mut transaction = target.transaction().map_err(doing())?;
    transaction.batch_execute("SET LOCAL synchronous_commit = on").map_err(doing())?;
    tell.point("flow.sequences")?;
    let set = sequences::set(&mut transaction, plan)?;
    cursor::put(&mut transaction, key, ALL, done.values().map(|done| done.rows).sum())?;
    tell.point("flow.end")?;
    transaction.commit().map_err(doing())?;
    tell.point("flow.ended")?;
    Ok(set)
}
