//! What the tests of this crate share.
#![allow(dead_code, clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::Value;
use switchback_labs::duplistatus::{Fault, Lab, LabOptions, LabSize, build};

/// Returns the text of a file of the playbook.
pub fn playbook(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../playbooks/duplistatus").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the folder of real data, where this machine has it: named by the environment, or beside the checkout.
pub fn real_data() -> Option<PathBuf> {
    let named = std::env::var_os("SWITCHBACK_SHARED").map(|dir| PathBuf::from(dir).join("data"));
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|dir| dir.join("shared/data"));
    named.into_iter().chain(beside).map(|dir| dir.join("duplistatus")).find(|dir| dir.is_dir())
}

/// Returns a copy of a real database in `dir`, or nothing where this machine has no real data.
pub fn real_copy(dir: &Path, file: &str) -> Option<Connection> {
    let copy = dir.join(file);
    // Read and write, not copy: the original is read-only and its mode would come along.
    std::fs::write(&copy, std::fs::read(real_data()?.join(file)).unwrap()).unwrap();
    Some(Connection::open(copy).unwrap())
}

/// Builds a small lab with these faults and opens it.
pub fn lab(dir: &Path, faults: &[Fault]) -> (Lab, Connection) {
    let lab = build(dir, LabSize::default(), &LabOptions { faults: faults.to_vec() }).unwrap();
    let db = Connection::open(&lab.database).unwrap();
    db.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    (lab, db)
}

/// Returns the rows of a query as texts, columns joined by `|`; NULL is `NULL`.
pub fn rows(db: &Connection, sql: &str) -> Vec<String> {
    let mut select = db.prepare(sql).unwrap();
    let width = select.column_count();
    let rows = select
        .query_map([], |row| {
            let cells: Vec<String> = (0..width)
                .map(|index| match row.get_ref(index).unwrap() {
                    rusqlite::types::ValueRef::Null => "NULL".to_owned(),
                    rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                    rusqlite::types::ValueRef::Real(number) => format!("{number:?}"),
                    rusqlite::types::ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                    rusqlite::types::ValueRef::Blob(bytes) => format!("{bytes:02x?}"),
                })
                .collect();
            Ok(cells.join("|"))
        })
        .unwrap();
    rows.map(Result::unwrap).collect()
}

/// Returns the text of a row of `configurations`.
pub fn setting(db: &Connection, key: &str) -> Option<String> {
    rusqlite::OptionalExtension::optional(db.query_row(
        "SELECT value FROM configurations WHERE key = ?1",
        [key],
        |row| row.get::<_, Option<String>>(0),
    ))
    .unwrap()
    .flatten()
}

/// Returns a row of `configurations` as JSON.
pub fn setting_json(db: &Connection, key: &str) -> Value {
    serde_json::from_str(&setting(db, key).unwrap()).unwrap()
}

/// Replaces a row of `configurations`.
pub fn set(db: &Connection, key: &str, value: &str) {
    db.execute("INSERT OR REPLACE INTO configurations (key, value) VALUES (?1, ?2)", [key, value]).unwrap();
}
