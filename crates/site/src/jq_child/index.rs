//! Keys of records on disk, with their places: joins in constant memory.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};

use crate::sqlite::open_immutable;

/// Why an index cannot be made or asked. The text fits after "cannot".
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Its file does not take it.
    #[error("keep an index in {}: {source}", path.display())]
    Keep {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The file of an index from before cannot be taken away.
    #[error("take {} away: {source}", path.display())]
    Away {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A key is not above the one before it, where the playbook says that they ascend.
    #[error("index key {number}, `{key}`: it is not above the key before it, and the index says `ascending`")]
    NotAscending {
        /// Place of the key among the keys, from 1.
        number: u64,
        /// The key.
        key: String,
    },
    /// A key is there twice, so it has no one place.
    #[error("index key {number}, `{key}`: it was there before")]
    Twice {
        /// Place of the key among the keys, from 1.
        number: u64,
        /// The key.
        key: String,
    },
    /// A key is not a text.
    #[error("index key {number}: it is not a text")]
    NotText {
        /// Place of the key among the keys, from 1.
        number: u64,
    },
}

/// What a program gives for an index.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Entry {
    Key(String),
    Pair(String, String),
}

/// An index being filled. It is scratch: made anew in each life of a run, and never synced.
#[derive(Debug)]
pub struct IndexWriter {
    path: PathBuf,
    connection: Connection,
    ascending: bool,
    count: u64,
    last: String,
}

impl IndexWriter {
    /// Begins an empty index in a file of its own, in place of one from before.
    pub fn create(path: &Path, ascending: bool) -> Result<IndexWriter, IndexError> {
        match std::fs::remove_file(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(IndexError::Away { path: path.to_owned(), source });
            }
            _ => {}
        }
        let make = || {
            let connection = Connection::open(path)?;
            connection.execute_batch(
                "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;
                 CREATE TABLE keys (key TEXT PRIMARY KEY, place INTEGER NOT NULL, value TEXT) WITHOUT ROWID;
                 BEGIN;",
            )?;
            Ok(connection)
        };
        let connection = make().map_err(|source| IndexError::Keep { path: path.to_owned(), source })?;
        Ok(IndexWriter { path: path.to_owned(), connection, ascending, count: 0, last: String::new() })
    }

    /// Takes JSON texts, or pairs of a key and what goes with it, one a line, in the order of their places.
    pub fn lines(&mut self, lines: &[u8]) -> Result<(), IndexError> {
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let number = self.count + 1;
            let (key, value) = match serde_json::from_slice(line) {
                Ok(Entry::Key(key)) => (key, None),
                Ok(Entry::Pair(key, value)) => (key, Some(value)),
                Err(_) => return Err(IndexError::NotText { number }),
            };
            self.key(key, value)?;
        }
        Ok(())
    }

    fn key(&mut self, key: String, value: Option<String>) -> Result<(), IndexError> {
        let number = self.count + 1;
        if self.ascending && self.count > 0 && key <= self.last {
            return Err(IndexError::NotAscending { number, key });
        }
        let keep = |source| IndexError::Keep { path: self.path.clone(), source };
        let sql = "INSERT INTO keys (key, place, value) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        let place = i64::try_from(self.count).unwrap_or(i64::MAX);
        let mut statement = self.connection.prepare_cached(sql).map_err(keep)?;
        if statement.execute((&key, place, &value)).map_err(keep)? == 0 {
            return Err(IndexError::Twice { number, key });
        }
        self.count = number;
        self.last = key;
        Ok(())
    }

    /// Closes the index and returns how many keys it has.
    pub fn finish(self) -> Result<u64, IndexError> {
        let keep = |source| IndexError::Keep { path: self.path.clone(), source };
        self.connection.execute_batch("COMMIT").map_err(keep)?;
        Ok(self.count)
    }
}

/// An index that is asked.
pub(super) struct Index(Connection);

impl Index {
    pub(super) fn open(path: &Path) -> Result<Index, String> {
        open_immutable(path).map(Index).map_err(|error| error.to_string())
    }

    pub(super) fn rank(&self, key: &str) -> Result<Option<u64>, String> {
        let find = || -> rusqlite::Result<Option<i64>> {
            let mut statement = self.0.prepare_cached("SELECT place FROM keys WHERE key = ?1")?;
            statement.query_row([key], |row| row.get(0)).optional()
        };
        let place = find().map_err(|error| error.to_string())?;
        Ok(place.and_then(|place| u64::try_from(place).ok()))
    }

    pub(super) fn lookup(&self, key: &str) -> Result<Option<String>, String> {
        let find = || -> rusqlite::Result<Option<Option<String>>> {
            let mut statement = self.0.prepare_cached("SELECT value FROM keys WHERE key = ?1")?;
            statement.query_row([key], |row| row.get(0)).optional()
        };
        match find().map_err(|error| error.to_string())? {
            Some(None) => Err("it keeps no values; give it `gives:`".to_owned()),
            found => Ok(found.flatten()),
        }
    }
}
