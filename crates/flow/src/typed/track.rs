//! Progress of one move, in rows and bytes.

use std::time::{Duration, Instant};
use switchback_site::tell::{Tell, Unit};

use super::wire::Cursor;

/// How often progress is shown.
const EVERY: Duration = Duration::from_millis(50);

/// Tells how far a move has come.
pub(super) struct Track<'a> {
    tell: &'a Tell,
    doing: String,
    last: Option<Instant>,
}

impl<'a> Track<'a> {
    /// Speaks of `doing`.
    pub fn new(tell: &'a Tell, doing: String) -> Track<'a> {
        Track { tell, doing, last: None }
    }

    /// A piece was passed on, behind which lies this share of the source. The total is what the rows so far let expect.
    pub fn passed(&mut self, cursor: &Cursor, share: Option<f64>) {
        if self.last.is_some_and(|last| last.elapsed() < EVERY) {
            return;
        }
        self.last = Some(Instant::now());
        let total = |done: u64| share.filter(|share| *share > 0.0).map(|share| (done as f64 / share) as u64);
        self.tell.progress(&self.doing, cursor.moved.rows, total(cursor.moved.rows), Unit::Rows);
        self.tell.progress(&self.doing, cursor.bytes, total(cursor.bytes), Unit::Bytes);
    }
}
