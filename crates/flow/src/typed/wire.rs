//! Rows on their way: runs of rows of binary COPY, with what is known of them.

use serde::{Deserialize, Serialize};
use std::sync::mpsc::Receiver;
use switchback_model::digest::TableDigest;

use crate::error::FlowError;

/// How many pieces wait between reader and writer: what one stream holds in memory at most, large rows aside.
pub(super) const WAITING: usize = 8;

/// How large the portions are. They change nothing of what is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Portions {
    /// How many bytes of rows travel together: so many that a hand-over costs nothing, so few that they stay in the cache.
    pub piece: usize,
    /// How many bytes one transaction takes.
    pub batch: usize,
}

impl Default for Portions {
    fn default() -> Portions {
        Portions { piece: 256 * 1024, batch: 16 * 1024 * 1024 }
    }
}

/// Rows, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Piece {
    /// Rows of binary COPY, without header and trailer.
    pub bytes: Vec<u8>,
    /// How many, and their digest.
    pub digest: TableDigest,
    /// Where a reader goes on behind the last of them; `None` inside of what can only be read as a whole.
    pub after: Option<String>,
    /// What share of the source is behind the reader now, where somebody knows.
    pub share: Option<f64>,
}

/// What is remembered of a move with every batch of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// What was moved, and its digest.
    pub moved: TableDigest,
    /// How many bytes it had on the way.
    pub bytes: u64,
    /// Where the reader goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Whether that was all.
    pub done: bool,
}

impl Cursor {
    /// Moves it behind a piece.
    pub fn pass(&mut self, piece: &Piece) {
        self.moved.merge(&piece.digest);
        self.bytes += piece.bytes.len() as u64;
        self.after.clone_from(&piece.after);
    }
}

/// Where a writer takes pieces from; `None` says that everything was read.
pub(super) type Inlet = Receiver<Result<Option<Piece>, FlowError>>;

/// Takes the next piece; `None` behind the last one. A reader that is gone without a word has not read everything.
pub(super) fn take(inlet: &Inlet) -> Result<Option<Piece>, FlowError> {
    inlet.recv().unwrap_or_else(|_| Err(FlowError::Bug("the reader ended without a word".to_owned())))
}

/// The fields of a row.
pub(super) fn fields(row: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = row.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            rest = behind;
            return Some(None);
        };
        let (field, behind) = behind.split_at_checked(length)?;
        rest = behind;
        Some(Some(field))
    })
}

/// The rows of a run of them.
pub(super) fn rows(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let count = i16::from_be_bytes(*rest.first_chunk::<2>()?);
        let mut end = 2;
        for _ in 0..count {
            let length = i32::from_be_bytes(*rest.get(end..)?.first_chunk::<4>()?);
            end += 4 + usize::try_from(length).unwrap_or(0);
        }
        let (row, behind) = rest.split_at_checked(end)?;
        rest = behind;
        Some(row)
    })
}

/// Appends a field with its length.
pub(super) fn put_field(out: &mut Vec<u8>, field: Option<&[u8]>) {
    // A field came with a length of four bytes, so it has one.
    let length = field.map_or(-1, |field| field.len() as i32);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(field.unwrap_or_default());
}
