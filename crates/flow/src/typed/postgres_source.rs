//! Reading a table of PostgreSQL: ranges of blocks through binary COPY, in one snapshot.

use postgres::{Client, NoTls};
use serde::{Deserialize, Serialize};
use switchback_model::digest::Digest;
use switchback_site::postgres::copy_stream::CopyReader;
use switchback_site::tell::Tell;

use super::lane::{Fill, Lane, Order};
use super::plan::list;
use super::wire::{Piece, put_field};
use crate::cell::{canonical, has_variants, show};
use crate::error::FlowError;

/// The usual size of a block.
const BLOCK: usize = 8192;
/// How many rows travel together at most.
const ROWS: u64 = 65_536;

/// Where a reader goes on.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    /// The first block that was not read.
    block: u64,
    /// The file that the block is in.
    file: u32,
}

/// Begins the snapshot that everything is read in. It ends with the session.
pub(super) fn begin(client: &mut Client) -> Result<(), FlowError> {
    client
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .map_err(FlowError::server("begin to read"))
}

/// Hands every piece behind `after` to `take`, until that says false.
pub(super) fn each_piece(
    client: &mut Client,
    lane: &Lane,
    after: Option<&str>,
    tell: &Tell,
    take: &mut dyn FnMut(Piece) -> Result<bool, FlowError>,
) -> Result<(), FlowError> {
    let Order::Blocks { blocks, file } = lane.order else {
        return copy(client, lane, None, None, None, tell, take).map(drop);
    };
    let mut block = match after {
        None => 0,
        Some(text) => {
            let place: Place = serde_json::from_str(text).map_err(|error| {
                FlowError::Bug(format!("the cursor of {} cannot be read: {error}", lane.from.describe()))
            })?;
            if place.file != file {
                return Err(FlowError::Refused(vec![format!(
                    "{} was rewritten since a part of it was moved (VACUUM FULL, CLUSTER, ALTER TABLE), so its rows are \
                     in another order; undo the step and move it again",
                    lane.from.describe()
                )]));
            }
            place.block
        }
    };
    // Half of a batch a COPY, as a batch can end between two of them only.
    let range = (lane.portions.batch / BLOCK / 2).max(1) as u64;
    // At least one range, which is open: a table that was empty when it was looked at may have rows in the snapshot.
    let mut first = after.is_none();
    while first || block < blocks {
        first = false;
        let end = block.saturating_add(range);
        let mut within = format!("s.ctid >= '({block},0)'::pg_catalog.tid");
        if end < blocks {
            within.push_str(&format!(" AND s.ctid < '({end},0)'::pg_catalog.tid"));
        }
        let place = serde_json::to_string(&Place { block: end, file }).ok();
        let share = Some(end.min(blocks) as f64 / blocks.max(1) as f64);
        if !copy(client, lane, Some(within), place, share, tell, take)? {
            return Ok(());
        }
        block = end;
    }
    Ok(())
}

/// Reads what one COPY sends. Its last piece, which may be empty, carries `place`.
fn copy(
    client: &mut Client,
    lane: &Lane,
    range: Option<String>,
    place: Option<String>,
    share: Option<f64>,
    tell: &Tell,
    take: &mut dyn FnMut(Piece) -> Result<bool, FlowError>,
) -> Result<bool, FlowError> {
    let reading = || format!("read {}", lane.from.describe());
    let selected = lane.selected();
    let sql = format!(
        "COPY (SELECT {} FROM {}{}) TO STDOUT (FORMAT binary)",
        list(&selected),
        lane.reads,
        lane.condition(range)
    );
    let as_is =
        selected.len() == lane.columns.len() && !lane.columns.iter().any(|column| has_variants(&column.kind));
    let cancel = client.cancel_token();
    let stream = client.copy_out(&sql).map_err(FlowError::server(reading()))?;
    let mut rows = CopyReader::new(stream).map_err(FlowError::read(reading()))?;
    let mut piece = Piece::default();
    while let Some(row) = rows.next_row().map_err(FlowError::read(reading()))? {
        let from = piece.bytes.len();
        if as_is {
            piece.bytes.extend_from_slice(row.bytes());
        } else {
            put_row(lane, row.bytes(), &mut piece.bytes)?;
        }
        piece.digest.add_row(&Digest::of(&piece.bytes[from..]));
        if piece.bytes.len() >= lane.portions.piece || piece.digest.rows == ROWS {
            if let Err(halt) = tell.go_on() {
                // Otherwise the rest would have to be read before the session ends. Best effort.
                let _ = cancel.cancel_query(NoTls);
                return Err(halt.into());
            }
            let fresh = Piece { bytes: Vec::with_capacity(piece.bytes.len() + 4096), ..Piece::default() };
            if !take(std::mem::replace(&mut piece, fresh))? {
                let _ = cancel.cancel_query(NoTls);
                return Ok(false);
            }
        }
    }
    piece.after = place;
    piece.share = share;
    take(piece)
}

/// Appends a row with its constants, every field as equal values have it.
fn put_row(lane: &Lane, row: &[u8], out: &mut Vec<u8>) -> Result<(), FlowError> {
    let mut fields = super::wire::fields(row);
    out.extend_from_slice(&(lane.columns.len() as i16).to_be_bytes());
    for (number, column) in lane.columns.iter().enumerate() {
        if let Fill::Fixed(field) = &column.fill {
            out.extend_from_slice(field);
            continue;
        }
        let field = fields.next().flatten();
        match field.map(|field| canonical(&column.kind, field)).transpose() {
            Ok(field) => put_field(out, field.as_deref()),
            Err(reason) => {
                return Err(lane.bad_cell(String::new(), number, show(&column.kind, field), &reason));
            }
        }
    }
    Ok(())
}
