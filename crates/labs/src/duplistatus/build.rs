//! Builds the data folder of an application 0.6 that was killed: most rows are in the `-wal` alone.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::types::Value;
use rusqlite::{Connection, Transaction, params};

use super::faults::Fault;
use super::names;
use super::schema::Layout;
use super::settings::{self, Pair};
use super::store::{Backup, insert_backup};
use crate::draw::{Draw, civil};

/// How much the lab holds. Equal sizes give equal content, byte for byte in every column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabSize {
    /// Rows of `machines`.
    pub machines: u32,
    /// Rows of `backups`, dealt out to the jobs of the machines in turn.
    pub backups: u32,
    /// What ids, sizes and times are drawn from.
    pub seed: u64,
}

impl Default for LabSize {
    fn default() -> Self {
        LabSize { machines: 5, backups: 156, seed: 7 }
    }
}

/// What the lab holds beside the legal content.
#[derive(Debug, Clone, Default)]
pub struct LabOptions {
    /// States that an upgrade must refuse, planted in this order.
    pub faults: Vec<Fault>,
}

/// A built installation.
#[derive(Debug, Clone)]
pub struct Lab {
    /// The data folder.
    pub dir: PathBuf,
    /// The database in it; its `-wal` lies beside it and holds most of the rows.
    pub database: PathBuf,
    /// Which version's tables it has: those of 0.6 but for [`Fault::AlreadyMigrated`].
    pub layout: Layout,
    /// Rows of `machines`, without those of faults.
    pub machines: u32,
    /// Rows of `backups`, without those of faults.
    pub backups: u32,
    /// The machines and jobs that have backups.
    pub pairs: Vec<Pair>,
}

/// Why a lab could not be built. A half-built folder may be left.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The folder cannot be made.
    #[error("create the folder {dir}")]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is an installation already; it is left alone.
    #[error("build over {database}: it exists")]
    Exists {
        /// The database that is there.
        database: PathBuf,
    },
    /// A lab without machines can have no backups.
    #[error("build {backups} backups of no machine")]
    NoMachines {
        /// How many backups were wanted.
        backups: u32,
    },
    /// The database cannot be written.
    #[error("write {database}")]
    Database {
        /// The database.
        database: PathBuf,
        /// Why not.
        source: rusqlite::Error,
    },
}

/// Builds an installation in `dir`, which is created, as a killed application leaves it: main file, `-wal` and `-shm`,
/// with most of a small lab's rows only in the `-wal`.
pub fn build(dir: &Path, size: LabSize, options: &LabOptions) -> Result<Lab, LabError> {
    std::fs::create_dir_all(dir).map_err(|source| LabError::Folder { dir: dir.to_owned(), source })?;
    let database = dir.join("backups.db");
    // A dangling link counts as there as well: SQLite would write through it.
    if database.symlink_metadata().is_ok() {
        return Err(LabError::Exists { database });
    }
    if size.machines == 0 && size.backups > 0 {
        return Err(LabError::NoMachines { backups: size.backups });
    }
    let layout =
        if options.faults.contains(&Fault::AlreadyMigrated) { Layout::Servers } else { Layout::Machines };
    let plan = Content::of(size);
    write(&database, layout, &plan, options)
        .map_err(|source| LabError::Database { database: database.clone(), source })?;
    Ok(Lab {
        dir: dir.to_owned(),
        database,
        layout,
        machines: size.machines,
        backups: size.backups,
        pairs: plan.used_pairs(),
    })
}

/// What is written, before it is known where each row goes.
struct Content {
    size: LabSize,
    ids: Vec<String>,
    /// Machine (by number) and job, in the order in which backups are dealt out.
    slots: Vec<(u32, &'static str)>,
}

impl Content {
    fn of(size: LabSize) -> Content {
        let mut draw = Draw(size.seed);
        let ids = (0..size.machines).map(|_| draw.uuid()).collect();
        let slots = (0..size.machines)
            .flat_map(|machine| names::jobs(machine).iter().map(move |job| (machine, *job)))
            .collect();
        Content { size, ids, slots }
    }

    fn used_pairs(&self) -> Vec<Pair> {
        self.slots
            .iter()
            .take(self.size.backups as usize)
            .map(|(machine, job)| Pair {
                id: self.ids[*machine as usize].clone(),
                machine: names::machine(*machine),
                job: (*job).to_owned(),
            })
            .collect()
    }

    /// How many machines were written before the last checkpoint. What a copy of the main file alone shows is
    /// consistent and incomplete, as measured; a large lab keeps a small `-wal` so that it stays quick to build.
    fn settled_machines(&self) -> u32 {
        if self.is_large() { self.size.machines.saturating_sub(1) } else { self.size.machines * 3 / 5 }
    }

    fn is_settled(&self, number: u32) -> bool {
        let (machine, _) = self.slots[number as usize % self.slots.len()];
        let early = if self.is_large() { u32::MAX } else { self.size.backups / 4 };
        number < early && machine < self.settled_machines()
    }

    fn is_large(&self) -> bool {
        self.size.backups > 10_000
    }
}

fn write(path: &Path, layout: Layout, content: &Content, options: &LabOptions) -> rusqlite::Result<()> {
    let mut db = Connection::open(path)?;
    // Nothing here survives a power cut, nor needs to: a lab is built again.
    db.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;

    let settled = db.transaction()?;
    settled.execute_batch(&layout.tables())?;
    settled.execute(
        "INSERT INTO db_version (version, applied_at) VALUES (?1, '2025-01-01 00:00:00')",
        [layout.version()],
    )?;
    insert_machines(&settled, layout, content, 0..content.settled_machines())?;
    insert_backups(&settled, layout, content, true)?;
    settled.execute_batch(&layout.indexes())?;
    insert_settings(&settled, &settings::plain(layout))?;
    settled.commit()?;

    // From here on nothing reaches the main file: what a killed application leaves (systems/duplistatus.md §5.1).
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0")?;
    let fresh = db.transaction()?;
    insert_machines(&fresh, layout, content, content.settled_machines()..content.size.machines)?;
    insert_backups(&fresh, layout, content, false)?;
    insert_settings(&fresh, &settings::keyed(layout, &content.used_pairs()))?;
    for fault in &options.faults {
        fault.plant(&fresh, layout)?;
    }
    fresh.commit()?;
    db.close().map_err(|(_, error)| error)
}

fn insert_machines(
    db: &Transaction<'_>,
    layout: Layout,
    content: &Content,
    numbers: std::ops::Range<u32>,
) -> rusqlite::Result<()> {
    let mut insert =
        db.prepare(&format!("INSERT INTO {} (id, name, created_at) VALUES (?1, ?2, ?3)", layout.owners()))?;
    for number in numbers {
        let created = stamp(u64::from(number) * 61, ' ', "");
        insert.execute(params![content.ids[number as usize], names::machine(number), created])?;
    }
    Ok(())
}

fn insert_settings(db: &Transaction<'_>, rows: &[(&'static str, String)]) -> rusqlite::Result<()> {
    let mut insert = db.prepare("INSERT INTO configurations (key, value) VALUES (?1, ?2)")?;
    for (key, value) in rows {
        insert.execute(params![key, value])?;
    }
    Ok(())
}

fn insert_backups(
    db: &Transaction<'_>,
    layout: Layout,
    content: &Content,
    settled: bool,
) -> rusqlite::Result<()> {
    let mut insert = db.prepare(&insert_backup(layout))?;
    for number in (0..content.size.backups).filter(|number| content.is_settled(*number) == settled) {
        insert.execute(rusqlite::params_from_iter(backup(content, number).row()))?;
    }
    Ok(())
}

/// Returns backup `number`. A few rows hold what SQLite allows and the application has been seen to write:
/// text and fractions in INTEGER columns, NUL in texts, numbers past 2^53, a megabyte of messages.
fn backup(content: &Content, number: u32) -> Backup<'_> {
    let mut draw = Draw(content.size.seed ^ (u64::from(number) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let slot = number as usize % content.slots.len();
    let turn = number / u32::try_from(content.slots.len()).unwrap_or(u32::MAX);
    let (machine, job) = content.slots[slot];
    let begun_s = u64::from(turn) * 86_400 + slot as u64 * 37;
    let seconds = 600 + draw.below(7_200);
    let size = i64::try_from(1_000_000 + draw.below(60_000_000_000)).unwrap_or(i64::MAX);
    let warned = draw.below(20) == 0;
    let message_count = 1 + draw.below(4);
    let messages: Vec<String> =
        (0..message_count).map(|turn| format!("[Information] file {turn} of \"{job}\" — файл")).collect();
    let mut backup = Backup {
        id: Value::Text(draw.uuid()),
        owner: &content.ids[machine as usize],
        job,
        job_id: "DB-0",
        begun: stamp(begun_s, 'T', ".000Z"),
        ended: stamp(begun_s + seconds, 'T', ".000Z"),
        previous: match turn {
            0 => Value::Null,
            _ => Value::Text(stamp(begun_s - 86_400, 'T', ".000Z")),
        },
        created: stamp(begun_s + seconds, ' ', ""),
        status: if warned { "Warning" } else { "Success" },
        seconds: Value::Integer(i64::try_from(seconds).unwrap_or(i64::MAX)),
        size: Value::Integer(size),
        uploaded: size / 40,
        files: Value::Integer(i64::try_from(draw.below(100_000)).unwrap_or(i64::MAX)),
        messages: serde_json::Value::from(messages).to_string(),
        message_count: i64::try_from(message_count).unwrap_or(i64::MAX),
        warnings: i64::from(warned),
        known_size: size + 1_048_576,
        turn: i64::from(turn),
    };
    match number {
        // Past the checkpoint of the small lab, or the odd rows would be in the main file alone.
        101 => backup.messages = serde_json::Value::from(vec!["m".repeat(1 << 20)]).to_string(),
        102 => backup.files = Value::Text("many".to_owned()),
        103 => backup.seconds = Value::Real(1_234.5),
        104 => backup.messages = "[\"a\0b\"]".to_owned(),
        105 => backup.known_size = (1 << 53) + 1,
        106 => backup.size = Value::Integer(i64::MAX / 4),
        107 => backup.previous = Value::Blob(vec![0, 255, 39, 34]),
        _ => {}
    }
    backup
}

/// Returns the time `seconds` after the beginning of 2025, as the application writes it.
fn stamp(seconds: u64, between: char, end: &str) -> String {
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, date) = civil(day);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{date:02}{between}{hour:02}:{minute:02}:{second:02}{end}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn dates_cross_years_and_leap_days() {
        assert_eq!(stamp(0, 'T', ".000Z"), "2025-01-01T00:00:00.000Z");
        assert_eq!(stamp(365 * 86_400, ' ', ""), "2026-01-01 00:00:00");
        assert_eq!(civil(365 * 3 + 59), (2028, 2, 29));
    }

    #[test]
    fn ids_do_not_repeat() {
        let mut draw = Draw(1);
        let ids: BTreeSet<String> = (0..10_000).map(|_| draw.uuid()).collect();
        assert_eq!(ids.len(), 10_000);
    }
}
