//! The proof: what the sources say and what the target holds, scanned at the same time by several sessions.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use postgres::Client;
use switchback_model::digest::TableDigest;
use switchback_site::postgres::copy_stream::digest_stream;
use switchback_site::postgres::{Access, Database, digest_query};
use switchback_site::tell::{Tell, Unit};

use super::parts::{Blocks, parts};
use super::resolve::{Plan, resolve};
use super::session::{Watch, open, same_database};
use super::{pipe, text};
use crate::end::{Options, TableProof};
use crate::error::FlowError;
use crate::job::TableMove;

/// How many bytes of small tables are read by one query.
const BYTES: u64 = 32 * 1024 * 1024;
/// How many tables.
const TABLES: usize = 64;

/// One query.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Task {
    /// Rows of these moves, all into the same target.
    Source(usize, Vec<(usize, Option<Blocks>)>),
    /// Rows of a move with lookups from another database.
    Staged(usize, usize),
    /// Rows of a target.
    Target(usize, Option<Blocks>),
}

#[derive(Debug, Default)]
struct Sums {
    source: BTreeMap<usize, TableDigest>,
    target: BTreeMap<usize, TableDigest>,
    dropped: BTreeMap<usize, u64>,
    rows: u64,
}

/// See [`crate::run::prove`].
pub fn prove(
    moves: &[TableMove],
    from: &Database,
    to: &Database,
    options: Options,
    tell: &Tell,
) -> Result<Vec<TableProof>, FlowError> {
    let name = "switchback proof";
    let mut target = open(to, name, Access::ReadOnly)?;
    let mut source = open(from, name, Access::ReadOnly)?;
    let same = same_database(&mut source, &mut target)?;
    let plan = resolve(moves, &mut source, &mut target, same)?;
    drop((source, target));
    let tasks = Mutex::new(tasks(&plan));
    let sums = Mutex::new(Sums::default());
    let watch = Watch::default();
    let total: Option<u64> =
        plan.moves.iter().map(|job| job.from.rows).chain(plan.targets.iter().map(|table| table.rows)).sum();
    // One voice: how far each query is says nothing of the whole.
    let silent = Tell::new(std::sync::Arc::new(|_| ()), tell.stop_flag(), std::sync::Arc::default());
    let work = || -> Result<(), FlowError> {
        let mut sessions = Pair { same, source: open(from, name, Access::ReadOnly)?, target: None };
        watch.add(&sessions.source);
        loop {
            tell.go_on()?;
            if watch.has_failed() {
                return Ok(());
            }
            let next = tasks.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some((_, task)) = next else { return Ok(()) };
            let (digest, dropped) = sessions.read(&plan, &task, to, &watch, &silent)?;
            let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
            match task {
                Task::Target(table, _) => sums.target.entry(table).or_default().merge(&digest),
                Task::Source(table, _) | Task::Staged(table, _) => {
                    sums.source.entry(table).or_default().merge(&digest);
                    *sums.dropped.entry(table).or_default() += dropped;
                }
            }
            sums.rows += digest.rows;
            tell.progress("proving", sums.rows, total.filter(|total| *total >= sums.rows), Unit::Rows);
        }
    };
    watch.over(tell, || {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..options.workers.clamp(1, 64))
                .map(|_| scope.spawn(|| work().inspect_err(|_| watch.fail())))
                .collect();
            let ended: Vec<Result<(), FlowError>> = threads
                .into_iter()
                .map(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|_| Err(FlowError::Bug("a thread of a proof panicked".to_owned())))
                })
                .collect();
            tell.go_on()?;
            // What a session says of being cancelled is not the reason.
            let (cancelled, reasons): (Vec<_>, Vec<_>) = ended
                .into_iter()
                .filter_map(Result::err)
                .partition(|error| error.database().is_some_and(|error| error.code().code() == "57014"));
            reasons.into_iter().chain(cancelled).next().map_or(Ok(()), Err)
        })
    })?;
    let sums = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
    let proof = |(number, table): (usize, &std::sync::Arc<super::catalog::Table>)| {
        let of = |sums: &BTreeMap<usize, TableDigest>| sums.get(&number).copied().unwrap_or_default();
        let (source, target) = (of(&sums.source), of(&sums.target));
        let dropped = sums.dropped.get(&number).copied().unwrap_or_default();
        TableProof { table: table.name.clone(), source, target, dropped, equal: source == target }
    };
    Ok(plan.targets.iter().enumerate().map(proof).collect())
}

/// Cuts the scans of both ends into queries, the largest last.
fn tasks(plan: &Plan) -> Vec<(u64, Task)> {
    let mut tasks = Vec::new();
    let nothing = BTreeMap::new();
    for (number, table) in plan.targets.iter().enumerate() {
        // Once, however many moves fill it.
        for part in parts(number, table, false, true, &nothing) {
            tasks.push((part.bytes, Task::Target(number, part.blocks)));
        }
        let (mut together, mut bytes) = (Vec::new(), 0);
        for job in &plan.into[number] {
            let from = &plan.moves[*job].from;
            if !plan.same && !plan.moves[*job].lookups.is_empty() {
                tasks.push((from.bytes, Task::Staged(number, *job)));
                continue;
            }
            for part in parts(*job, from, false, true, &nothing) {
                together.push((*job, part.blocks));
                bytes += part.bytes;
                if bytes >= BYTES || together.len() >= TABLES {
                    tasks.push((bytes, Task::Source(number, std::mem::take(&mut together))));
                    bytes = 0;
                }
            }
        }
        if !together.is_empty() {
            tasks.push((bytes, Task::Source(number, together)));
        }
    }
    tasks.sort_by_key(|(bytes, _)| *bytes);
    tasks
}

/// The sessions of one thread.
struct Pair {
    same: bool,
    source: Client,
    /// Opened when it is needed.
    target: Option<Client>,
}

impl Pair {
    fn read(
        &mut self,
        plan: &Plan,
        task: &Task,
        to: &Database,
        watch: &Watch,
        tell: &Tell,
    ) -> Result<(TableDigest, u64), FlowError> {
        match task {
            Task::Target(number, blocks) => {
                let Some(job) = plan.into[*number].first().and_then(|job| plan.moves.get(*job)) else {
                    return Err(FlowError::Bug("a target is lost".to_owned()));
                };
                let sql = text::held(job, *blocks, text::comparable)?;
                let client =
                    if self.same { &mut self.source } else { self.target(to, Access::ReadOnly, watch)? };
                let digest = digest_query(client, &sql, tell)
                    .map_err(FlowError::read(format!("read {} of the target", job.to.name.describe())))?;
                Ok((digest, 0))
            }
            Task::Source(number, jobs) => {
                let mut selects = Vec::new();
                let mut dropped = 0;
                for (job, blocks) in jobs {
                    let job = &plan.moves[*job];
                    let rows = text::only(&job.from)?;
                    selects.push(text::expected(job, &rows, *blocks, (true, !self.same), text::comparable)?);
                    if let Some(sql) = text::dropped(job, &rows, *blocks, true)? {
                        let doing = format!("count what {} drops", job.describe());
                        let count: i64 =
                            self.source.query_one(&sql, &[]).map_err(FlowError::server(doing))?.get(0);
                        dropped += count.unsigned_abs();
                    }
                }
                let doing = format!("read the sources of {}", plan.targets[*number].name.describe());
                let digest = digest_query(&mut self.source, &selects.join(" UNION ALL "), tell)
                    .map_err(FlowError::read(doing))?;
                Ok((digest, dropped))
            }
            Task::Staged(_, job) => {
                let job = &plan.moves[*job];
                // A temporary table is ours alone and gone with the transaction, but a session that is read only has none.
                let mut client = open(to, "switchback proof", Access::ReadWrite)?;
                watch.add(&client);
                let doing = || FlowError::server(format!("read the sources of {}", job.to.name.describe()));
                let mut transaction = client.transaction().map_err(doing())?;
                let staged = pipe::stage_rows(
                    &mut transaction,
                    &mut self.source,
                    job,
                    None,
                    "switchback_proof",
                    tell,
                )?;
                let rows = "pg_temp.switchback_proof";
                let mut dropped = 0;
                if let Some(sql) = text::dropped(&staged, rows, None, false)? {
                    dropped =
                        transaction.query_one(&sql, &[]).map_err(doing())?.get::<_, i64>(0).unsigned_abs();
                }
                let sql = text::expected(&staged, rows, None, (false, false), text::comparable)?;
                let stream = transaction
                    .copy_out(&format!("COPY ({sql}) TO STDOUT (FORMAT binary)"))
                    .map_err(doing())?;
                let doing = format!("read the sources of {}", job.to.name.describe());
                // The watch cancels.
                let digest = digest_stream(stream, tell, || ()).map_err(FlowError::read(doing))?;
                Ok((digest, dropped))
            }
        }
    }

    fn target(&mut self, to: &Database, access: Access, watch: &Watch) -> Result<&mut Client, FlowError> {
        match &mut self.target {
            Some(client) => Ok(client),
            none => {
                let client = open(to, "switchback proof", access)?;
                watch.add(&client);
                Ok(none.insert(client))
            }
        }
    }
}
