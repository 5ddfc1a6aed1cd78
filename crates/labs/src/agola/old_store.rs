//! What a component of 0.7 keeps: records that are in the export, in a file a type, and what is in etcd only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::codec::{base64, from_base64, go_json, values};
use super::config::Component;

/// The types of each component, in the order in which an export has them.
const RUNSERVICE: [&str; 3] = ["run", "runconfig", "runcounter"];
const CONFIGSTORE: [&str; 8] =
    ["user", "org", "orgmember", "projectgroup", "project", "remotesource", "secret", "variable"];

/// The state of one component, in files below its data folder.
#[derive(Debug)]
pub struct OldStore {
    types: &'static [&'static str],
    folder: PathBuf,
    read: Mutex<Option<(Stamp, Arc<Vec<Record>>)>>,
}

/// The lengths of the files that were read: they only grow.
type Stamp = Vec<u64>;

/// A record of the export, or a live one.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its type, as `data_type` says it.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// What it holds.
    pub data: Value,
    /// Says whether it is in etcd only, and so in no export.
    pub live: bool,
}

impl Record {
    /// Returns a record that an export has.
    pub fn new(kind: &str, id: &str, data: Value) -> Record {
        Record { kind: kind.to_owned(), id: id.to_owned(), data, live: false }
    }

    /// Returns it as an export has it: no white space, and nothing behind it.
    pub fn line(&self) -> String {
        let data = base64(go_json(&self.data).as_bytes());
        go_json(&json!({"id": self.id, "data_type": self.kind, "data": data}))
    }
}

impl OldStore {
    /// Opens the state of the runservice or the configstore in its data folder; what is not there is empty.
    pub fn open(component: Component, data_dir: &Path) -> OldStore {
        let types: &[&str] = if component == Component::Runservice { &RUNSERVICE } else { &CONFIGSTORE };
        OldStore { types, folder: data_dir.to_owned(), read: Mutex::new(None) }
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.folder.join("export").join(kind)
    }

    fn etcd(&self) -> PathBuf {
        self.folder.join("etcd")
    }

    /// Writes records behind those that are there; the caller sees to it that ids ascend within a type.
    pub fn append(&self, records: &[Record]) -> io::Result<()> {
        fs::create_dir_all(self.folder.join("export"))?;
        fs::create_dir_all(self.etcd())?;
        for kind in self.types {
            let of_kind = records.iter().filter(|record| record.kind == *kind && !record.live);
            let text: String = of_kind.map(Record::line).collect();
            if !text.is_empty() {
                append(&self.file(kind), text.as_bytes())?;
            }
        }
        let live: String = records.iter().filter(|record| record.live).map(Record::line).collect();
        if live.is_empty() { Ok(()) } else { append(&self.etcd().join("live"), live.as_bytes()) }
    }

    /// Writes a record behind all others, of whatever type it is.
    pub fn append_stray(&self, record: &Record) -> io::Result<()> {
        let last = self.types.last().copied().unwrap_or_default();
        append(&self.file(last), record.line().as_bytes())
    }

    /// Opens the export: the files to be sent one behind the other, at most as long as they are now.
    pub fn export(&self) -> io::Result<Vec<(File, u64)>> {
        let mut files = Vec::new();
        for kind in self.types {
            match File::open(self.file(kind)) {
                Ok(file) => {
                    let length = file.metadata()?.len();
                    files.push((file, length));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(files)
    }

    /// Says whether maintenance was asked for: a key in etcd.
    pub fn wants_maintenance(&self) -> bool {
        self.etcd().join("maintenance").exists()
    }

    /// Asks for maintenance or gives it up. Returns whether it was not so before.
    pub fn want_maintenance(&self, wanted: bool) -> io::Result<bool> {
        let key = self.etcd().join("maintenance");
        if key.exists() == wanted {
            return Ok(false);
        }
        if wanted {
            fs::create_dir_all(self.etcd())?;
            fs::write(&key, "{}")?;
        } else {
            fs::remove_file(&key)?;
        }
        Ok(true)
    }

    /// Returns every record with the live ones, in the order of the files.
    pub fn records(&self) -> io::Result<Arc<Vec<Record>>> {
        let mut paths: Vec<_> = self.types.iter().map(|kind| self.file(kind)).collect();
        paths.push(self.etcd().join("live"));
        let stamp: Stamp = paths.iter().map(|path| fs::metadata(path).map_or(0, |it| it.len())).collect();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, records)) = &*read
            && *known == stamp
        {
            return Ok(Arc::clone(records));
        }
        let mut records = Vec::new();
        for path in &paths {
            let live = path.ends_with("etcd/live");
            let bytes = match fs::read(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                bytes => bytes?,
            };
            for value in values(bytes.as_slice()) {
                let mut record = parse(value?.get()).ok_or(io::ErrorKind::InvalidData)?;
                record.live = live;
                records.push(record);
            }
        }
        let records = Arc::new(records);
        *read = Some((stamp, Arc::clone(&records)));
        Ok(records)
    }

    /// Archives a run that came in late: it is in the next export.
    pub fn add_late_run(&self) -> io::Result<()> {
        let records = self.records()?;
        let of = |kind: &str| records.iter().rev().find(|it| it.kind == kind && !it.live).cloned();
        let (Some(run), Some(config)) = (of("run"), of("runconfig")) else { return Ok(()) };
        let last = records.iter().filter(|it| it.kind == "runconfig").map(|it| it.id.clone()).max();
        let id = following(&last.unwrap_or_default());
        let renamed = |mut record: Record| {
            record.data["id"] = Value::from(id.clone());
            record.data["name"] = Value::from("late");
            Record { id: id.clone(), ..record }
        };
        self.append(&[renamed(run), renamed(config)])
    }
}

/// Reads one record of an export.
fn parse(text: &str) -> Option<Record> {
    let entry: Value = serde_json::from_str(text).ok()?;
    let data = from_base64(entry["data"].as_str()?)?;
    let (kind, id) = (entry["data_type"].as_str()?, entry["id"].as_str()?);
    Some(Record::new(kind, id, serde_json::from_slice(&data).ok()?))
}

fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).open(path)?.write_all(bytes)
}

/// Returns the id of number `counter` in the first epoch: two numbers of 13 digits in base 32.
pub fn sequence_id(counter: u64) -> String {
    format!("0000001lg0bko-{}", base32(counter))
}

/// Returns the id behind another one.
fn following(id: &str) -> String {
    let (epoch, counter) = id.split_once('-').unwrap_or(("0000001lg0bko", "0"));
    format!("{epoch}-{}", base32(u64::from_str_radix(counter, 32).unwrap_or(0) + 1))
}

fn base32(mut number: u64) -> String {
    let mut digits = [b'0'; 13];
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdefghijklmnopqrstuv"[(number % 32) as usize];
        number /= 32;
    }
    String::from_utf8_lossy(&digits).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_as_texts() {
        assert_eq!(sequence_id(10), "0000001lg0bko-000000000000a");
        assert_eq!(following(&sequence_id(31)), "0000001lg0bko-0000000000010");
        assert!((1..2000).all(|number| sequence_id(number) < sequence_id(number + 1)));
    }

    #[test]
    fn live_records_are_in_no_export() {
        let dir = tempfile::tempdir().unwrap();
        let store = OldStore::open(Component::Runservice, dir.path());
        let run = |number| Record::new("run", &sequence_id(number), json!({"name": "<é>"}));
        let live = Record { live: true, ..run(2) };
        let config = Record::new("runconfig", &sequence_id(2), json!({"name": "<é>"}));
        store.append(&[config.clone(), run(1), live.clone()]).unwrap();
        let text: String =
            store.export().unwrap().into_iter().map(|(file, _)| io::read_to_string(file).unwrap()).collect();
        assert_eq!(text, run(1).line() + &config.line());
        assert_eq!(*store.records().unwrap(), [run(1), config, live]);
        store.add_late_run().unwrap();
        assert_eq!(store.records().unwrap()[1].id, sequence_id(3));
    }
}
