//! One row of `backups`, and the statement that inserts it: shared by the builder and the upload of the stand-in.

use rusqlite::types::Value;

use super::schema::{BACKUP_COLUMNS, Layout};

/// How many columns `backups` has.
pub(super) const WIDTH: usize = BACKUP_COLUMNS.len() + 2;

/// Returns the statement that inserts a whole row, its parameters in the order of the columns.
pub(super) fn insert_backup(layout: Layout) -> String {
    let names: Vec<&str> = BACKUP_COLUMNS.iter().map(|(name, _)| *name).collect();
    let marks = vec!["?"; WIDTH].join(", ");
    format!("INSERT INTO backups (id, {}, {}) VALUES ({marks})", layout.owner_id(), names.join(", "))
}

/// What differs between backups; everything else in a row follows from it or is constant.
pub(super) struct Backup<'a> {
    pub id: Value,
    pub owner: &'a str,
    pub job: &'a str,
    pub job_id: &'a str,
    pub begun: String,
    pub ended: String,
    pub previous: Value,
    pub created: String,
    pub status: &'a str,
    pub seconds: Value,
    pub size: Value,
    pub uploaded: i64,
    pub files: Value,
    pub messages: String,
    pub message_count: i64,
    pub warnings: i64,
    pub known_size: i64,
    pub turn: i64,
}

impl Backup<'_> {
    /// Returns the row, in the order of the columns.
    pub(super) fn row(self) -> [Value; WIDTH] {
        let text = |value: &str| Value::Text(value.to_owned());
        let number = Value::Integer;
        let warnings = if self.warnings > 0 { "[\"[Warning] a file was in use\"]" } else { "[]" };
        [
            self.id,
            text(self.owner),
            text(self.job),
            text(self.job_id),
            text(&self.begun),
            text(self.status),
            self.seconds,
            self.size.clone(),
            number(self.uploaded),
            self.files,
            number(self.warnings),
            number(0),
            text(&self.created),
            Value::Text(self.messages),
            text(warnings),
            text("[]"),
            Value::Text(format!("[\"{}\"]", self.begun)),
            number(self.turn % 7),
            number(self.turn % 3),
            number(self.turn % 97),
            number(self.turn % 89),
            number(self.turn % 31),
            number(self.uploaded / 2),
            number(self.uploaded / 3),
            self.size,
            number(self.uploaded / 5),
            number(0),
            number(self.turn % 2),
            number(0),
            number(0),
            number(self.turn % 5),
            number(0),
            number(0),
            number(0),
            number(0),
            number(0),
            text("Backup"),
            text(self.status),
            number(0),
            text("2.1.0.5"),
            Value::Text(self.begun.clone()),
            Value::Text(self.ended),
            number(self.warnings),
            number(0),
            number(self.message_count),
            number(self.uploaded / 90),
            number(self.known_size),
            self.previous,
            number(self.turn + 1),
            number(0),
            number(0),
            text("Backup"),
            text(self.status),
            number(0),
            text("2.1.0.5"),
            Value::Text(self.begun),
            text("00:20:00"),
            number(self.warnings),
            number(0),
        ]
    }
}
