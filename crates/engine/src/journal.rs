//! The journal: append-only JSON Lines, each line checksummed in a chain and synced before the move that it announces.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;
use switchback_model::digest::Digest;
use switchback_model::record::{Entry, Record};
use switchback_site::{Failure, Halt, Tell};

/// How many hexadecimal digits of the checksum a line carries.
const SUM_DIGITS: usize = 16;

/// Why the journal cannot be read or written. A journal's trouble always stops a run.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system said no.
    #[error("{doing} the journal {path}: {source}")]
    Io {
        /// What was attempted, as a verb.
        doing: &'static str,
        /// The journal.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line in the middle is not one that we wrote.
    #[error("trust the journal {path}: line {line} was changed or lost")]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// Cut off or stopped.
    #[error(transparent)]
    Halt(#[from] Halt),
}

impl Failure for JournalError {
    fn halt(&self) -> Option<Halt> {
        match self {
            JournalError::Halt(halt) => Some(*halt),
            _ => None,
        }
    }
}

/// An open journal. One process has it at a time (the run directory's lock sees to that).
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    next: u64,
    chain: String,
    born: Instant,
    syncs: u64,
}

impl Journal {
    /// Makes an empty journal. After `Ok` its name survives a power cut.
    pub fn create(path: &Path) -> Result<Journal, JournalError> {
        let io = |source| JournalError::Io { doing: "create", path: path.to_owned(), source };
        let file =
            OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(path).map_err(io)?;
        file.sync_all().map_err(io)?;
        if let Some(folder) = path.parent() {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
        }
        Ok(Journal::at(path, file, 0, String::new()))
    }

    fn at(path: &Path, file: File, next: u64, chain: String) -> Journal {
        Journal { path: path.to_owned(), file, next, chain, born: Instant::now(), syncs: 0 }
    }

    /// Opens a journal to go on with it, and returns what it says. A torn tail is cut off: the record in it was never
    /// acted upon, because a move begins only after the append returned.
    pub fn open(path: &Path) -> Result<(Journal, Vec<Entry>), JournalError> {
        let io = |doing| move |source| JournalError::Io { doing, path: path.to_owned(), source };
        let mut file = OpenOptions::new().read(true).append(true).open(path).map_err(io("open"))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io("read"))?;
        let read = scan(path, &bytes)?;
        if read.sound < bytes.len() {
            file.set_len(read.sound as u64).map_err(io("mend"))?;
            file.seek(SeekFrom::End(0)).map_err(io("mend"))?;
            file.sync_all().map_err(io("mend"))?;
        }
        Ok((Journal::at(path, file, read.entries.len() as u64, read.chain), read.entries))
    }

    /// Reads a journal without touching it; a torn tail is left out.
    pub fn read(path: &Path) -> Result<Vec<Entry>, JournalError> {
        let bytes = std::fs::read(path).map_err(|source| JournalError::Io {
            doing: "read",
            path: path.to_owned(),
            source,
        })?;
        Ok(scan(path, &bytes)?.entries)
    }

    /// Appends one record and syncs it. After `Ok` it survives a power cut; after `Err` it may or may not be there,
    /// and nothing that it announces may be done.
    pub fn append(&mut self, record: Record, tell: &Tell) -> Result<Entry, JournalError> {
        let entry = Entry {
            seq: self.next,
            at: jiff::Timestamp::now().to_string(),
            up_ms: u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX),
            record,
        };
        let (line, sum) = encode(&entry, &self.chain);
        tell.point("journal.append")?;
        let io = |source| JournalError::Io { doing: "write", path: self.path.clone(), source };
        let before = self.file.metadata().map_err(io)?.len();
        if let Err(source) = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data()) {
            // A half-written line would look like damage once another line follows it.
            let _ = self.file.set_len(before);
            return Err(io(source));
        }
        self.syncs += 1;
        self.next += 1;
        self.chain = sum;
        tell.point("journal.appended")?;
        Ok(entry)
    }

    /// How many times this life synced the journal.
    pub fn syncs(&self) -> u64 {
        self.syncs
    }
}

struct Scan {
    entries: Vec<Entry>,
    chain: String,
    /// Length of the sound part, in bytes.
    sound: usize,
}

fn scan(path: &Path, bytes: &[u8]) -> Result<Scan, JournalError> {
    let mut scan = Scan { entries: Vec::new(), chain: String::new(), sound: 0 };
    for (number, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match decode(line, &scan.chain, scan.entries.len() as u64) {
            Some((entry, sum)) => {
                scan.entries.push(entry);
                scan.chain = sum;
                scan.sound += line.len();
            }
            // Only the last line can be torn: every earlier one was synced before its successor was begun.
            None if scan.sound + line.len() == bytes.len() => break,
            None => return Err(JournalError::Damaged { path: path.to_owned(), line: number + 1 }),
        }
    }
    Ok(scan)
}

/// `{"seq":…,…,"sum":"…"}`: the sum covers the line up to it and, by the chain, every line before.
fn encode(entry: &Entry, chain: &str) -> (String, String) {
    let json = serde_json::to_string(entry).unwrap_or_default();
    let body = &json[..json.len().saturating_sub(1)];
    let sum = checksum(body, chain);
    (format!("{body},\"sum\":\"{sum}\"}}\n"), sum)
}

fn decode(line: &[u8], chain: &str, seq: u64) -> Option<(Entry, String)> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (body, tail) = line.rsplit_once(",\"sum\":\"")?;
    let sum = tail.strip_suffix("\"}")?;
    if sum != checksum(body, chain) {
        return None;
    }
    let entry: Entry = serde_json::from_str(&format!("{body}}}")).ok()?;
    (entry.seq == seq).then(|| (entry, sum.to_owned()))
}

fn checksum(body: &str, chain: &str) -> String {
    let mut text = Digest::of(format!("{chain}\n{body}").as_bytes()).to_string();
    text.truncate(SUM_DIGITS);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchback_model::record::Outcome;

    fn journal_of(records: &[Record]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let mut journal = Journal::create(&path).unwrap();
        for record in records {
            journal.append(record.clone(), &Tell::quiet()).unwrap();
        }
        (dir, path)
    }

    fn some() -> Vec<Record> {
        vec![
            Record::StepStarted { step: 0, before: serde_json::json!({"sum": "},\"sum\":\"x\"}"}) },
            Record::StepFinished { step: 0, seen: serde_json::Value::Null, took_ms: 1 },
            Record::RunEnded { outcome: Outcome::Upgraded },
        ]
    }

    #[test]
    fn every_prefix_of_the_bytes_is_read_as_a_prefix_of_the_records() {
        let (_dir, path) = journal_of(&some());
        let bytes = std::fs::read(&path).unwrap();
        for cut in 0..=bytes.len() {
            let torn = path.with_extension(format!("{cut}"));
            std::fs::write(&torn, &bytes[..cut]).unwrap();
            let (mut journal, entries) = Journal::open(&torn).unwrap();
            let whole = bytes[..cut].iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(entries.len(), whole, "cut at {cut}");
            journal.append(Record::Interrupted, &Tell::quiet()).unwrap();
            assert_eq!(Journal::read(&torn).unwrap().len(), whole + 1);
        }
    }

    #[test]
    fn a_changed_byte_in_the_middle_is_damage() {
        let (_dir, path) = journal_of(&some());
        let bytes = std::fs::read(&path).unwrap();
        let first = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        for at in (0..first).step_by(7) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            assert!(matches!(Journal::open(&path), Err(JournalError::Damaged { line: 1, .. })), "byte {at}");
        }
    }

    #[test]
    fn a_line_taken_out_is_damage() {
        let (_dir, path) = journal_of(&some());
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        std::fs::write(&path, format!("{}\n{}\n{}\n", lines[0], lines[2], lines[2])).unwrap();
        assert!(matches!(Journal::open(&path), Err(JournalError::Damaged { .. })));
    }
}
