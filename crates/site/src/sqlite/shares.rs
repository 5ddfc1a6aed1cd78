//! A fingerprint that several threads read together, each a share at a time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use switchback_model::digest::TableDigest;

use crate::sqlite::fingerprint::{Fingerprint, FingerprintError, Range, Table, outline};
use crate::tell::{Tell, Unit};

/// The reading of one state. Who has time takes the next share, so that all are ready at about the same
/// moment, however many they are and whenever each began.
pub(super) struct Shares {
    outline: Fingerprint,
    tables: Vec<Table>,
    queue: Mutex<VecDeque<(usize, Range)>>,
    found: Mutex<BTreeMap<usize, TableDigest>>,
}

impl Shares {
    /// Reads everything but the rows, and cuts those into shares for so many workers.
    pub fn of(connection: &Connection, workers: usize) -> Result<Shares, FingerprintError> {
        let (outline, tables) = outline(connection)?;
        let (mut queue, mut found) = (VecDeque::new(), BTreeMap::new());
        for (at, table) in tables.iter().enumerate() {
            queue.extend(table.ranges(connection, workers)?.into_iter().map(|range| (at, range)));
            found.insert(at, TableDigest::default());
        }
        Ok(Shares { outline, tables, queue: Mutex::new(queue), found: Mutex::new(found) })
    }

    /// Reads shares until none is left to begin, through a connection that sees the same state and knows all collations.
    /// Nobody begins another after an error.
    pub fn work(&self, connection: &Connection, tell: &Tell) -> Result<(), FingerprintError> {
        let unheard = tell.unheard();
        loop {
            let next = lock(&self.queue).pop_front();
            let Some((at, range)) = next else { return Ok(()) };
            let table = &self.tables[at];
            let part =
                table.digest(connection, range, &unheard).inspect_err(|_| lock(&self.queue).clear())?;
            let rows = {
                let mut found = lock(&self.found);
                let whole = found.entry(at).or_default();
                whole.merge(&part);
                whole.rows
            };
            tell.progress(&format!("reading {}", table.name), rows, None, Unit::Rows);
        }
    }

    /// Returns the fingerprint, once every worker has returned `Ok`.
    pub fn fingerprint(self) -> Fingerprint {
        let found = self.found.into_inner().unwrap_or_else(PoisonError::into_inner);
        let names = self.tables.into_iter().map(|table| table.name);
        Fingerprint { tables: names.zip(found.into_values()).collect(), ..self.outline }
    }
}

/// A poisoned lock is that of a thread that panicked, and its panic goes on in whoever joins it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
