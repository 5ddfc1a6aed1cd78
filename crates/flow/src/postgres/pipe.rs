//! Between two databases: a stream out of one is a stream into the other, and what a value means is never asked.

use std::io::{BufRead, Write};

use postgres::{Client, Transaction};
use switchback_site::postgres::CopyReader;
use switchback_site::postgres::copy_stream::{SIGNATURE, TRAILER};
use switchback_site::tell::Tell;

use super::cursor::Done;
use super::parts::{Blocks, Part};
use super::resolve::{Filled, Found, Resolved, Value};
use super::{server, text};
use crate::error::FlowError;

/// How many bytes are sent at once.
const CHUNK: usize = 128 * 1024;

/// Copies the rows of one part. The source session is in a transaction on the run's snapshot.
pub(super) fn part(
    transaction: &mut Transaction<'_>,
    source: &mut Client,
    job: &Resolved,
    part: &Part,
    tell: &Tell,
) -> Result<Done, FlowError> {
    if job.lookups.is_empty() {
        let into = format!("{} ({})", text::name(&job.to)?, text::filled(job)?);
        let rows = stream(transaction, source, job, part.blocks, &into, tell)?;
        return Ok(Done { rows, dropped: 0 });
    }
    let stage = format!("switchback_{}", part.number);
    let staged = stage_rows(transaction, source, job, part.blocks, &stage, tell)?;
    let whole = Part { blocks: None, ..part.clone() };
    let done = server::insert(transaction, &staged, &format!("pg_temp.{stage}"), &whole, false)?;
    transaction
        .batch_execute(&format!("DROP TABLE pg_temp.{stage}"))
        .map_err(FlowError::server(format!("copy {}", job.describe())))?;
    Ok(done)
}

/// Brings the rows of a move with lookups into a temporary table of the target, which ends with the transaction. Returns the
/// move as one from that table.
pub(super) fn stage_rows(
    transaction: &mut Transaction<'_>,
    source: &mut Client,
    job: &Resolved,
    blocks: Option<Blocks>,
    stage: &str,
    tell: &Tell,
) -> Result<Resolved, FlowError> {
    let (mut columns, mut names) = (Vec::new(), Vec::new());
    let mut add = |filled: &Filled| -> Filled {
        let name = format!("c{}", names.len());
        columns.push(format!("{name} {}", filled.column.full_type));
        names.push(name.clone());
        Filled { column: filled.column.clone(), value: Value::Column(name) }
    };
    // In the order in which the stream has them.
    let staged_columns: Vec<Filled> = job
        .columns
        .iter()
        .map(|filled| if matches!(filled.value, Value::Lookup(_)) { filled.clone() } else { add(filled) })
        .collect();
    let lookups: Vec<Found> = job
        .lookups
        .iter()
        .map(|lookup| Found { by: lookup.by.iter().map(&mut add).collect(), ..lookup.clone() })
        .collect();
    transaction
        .batch_execute(&format!("CREATE TEMPORARY TABLE {stage} ({}) ON COMMIT DROP", columns.join(", ")))
        .map_err(FlowError::server(format!("stage {} in a temporary table", job.describe())))?;
    let into = format!("pg_temp.{stage} ({})", names.join(", "));
    stream(transaction, source, job, blocks, &into, tell)?;
    Ok(Resolved { columns: staged_columns, lookups, ..job.clone() })
}

fn stream(
    transaction: &mut Transaction<'_>,
    source: &mut Client,
    job: &Resolved,
    blocks: Option<Blocks>,
    into: &str,
    tell: &Tell,
) -> Result<u64, FlowError> {
    let plain = job.is_plain();
    let select = text::stream(job, blocks, !plain)?;
    let format = if plain { "binary" } else { "text" };
    let reading = format!("read {}", job.from.name.describe());
    let writing = || format!("copy {}", job.describe());
    let out = source
        .copy_out(&format!("COPY ({select}) TO STDOUT (FORMAT {format})"))
        .map_err(FlowError::server(reading.clone()))?;
    let mut sink = transaction
        .copy_in(&format!("COPY {into} FROM STDIN (FORMAT {format})"))
        .map_err(FlowError::server(writing()))?;
    let mut put = |bytes: &[u8]| sink.write_all(bytes).map_err(|error| written(writing(), error));
    if plain {
        let mut rows = CopyReader::new(out).map_err(FlowError::read(reading.clone()))?;
        let mut chunk = Vec::with_capacity(2 * CHUNK);
        chunk.extend_from_slice(SIGNATURE);
        chunk.extend_from_slice(&[0; 8]);
        while let Some(row) = rows.next_row().map_err(FlowError::read(reading.clone()))? {
            chunk.extend_from_slice(row.bytes());
            if chunk.len() >= CHUNK {
                put(&chunk)?;
                chunk.clear();
                tell.go_on()?;
            }
        }
        chunk.extend_from_slice(&TRAILER);
        put(&chunk)?;
    } else {
        let mut out = out;
        loop {
            let piece = out.fill_buf().map_err(|error| FlowError::read(reading.clone())(error.into()))?;
            if piece.is_empty() {
                break;
            }
            put(piece)?;
            let length = piece.len();
            out.consume(length);
            tell.go_on()?;
        }
    }
    // Only now does the driver tell of an error that the server met while rows came.
    sink.finish().map_err(FlowError::server(writing()))
}

fn written(doing: String, error: std::io::Error) -> FlowError {
    match error.downcast::<postgres::Error>() {
        Ok(source) => FlowError::Server { doing, source },
        Err(source) => FlowError::Write { doing, source },
    }
}
