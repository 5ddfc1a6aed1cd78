//! The tables of both versions, written from the measured column names, types, order and defaults.

use std::fmt::Write as _;

/// Which version's tables a database has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Schema 2.0 of the application 0.6: `machines`.
    Machines,
    /// Schema 3.0 of the application 0.7: `servers`.
    Servers,
}

impl Layout {
    /// Returns the table of what owns backups.
    pub fn owners(self) -> &'static str {
        match self {
            Layout::Machines => "machines",
            Layout::Servers => "servers",
        }
    }

    /// Returns the column of `backups` that refers to its owner.
    pub fn owner_id(self) -> &'static str {
        match self {
            Layout::Machines => "machine_id",
            Layout::Servers => "server_id",
        }
    }

    /// Returns the schema version that the application writes into `db_version`.
    pub fn version(self) -> &'static str {
        match self {
            Layout::Machines => "2.0",
            Layout::Servers => "3.0",
        }
    }

    /// Returns the statements that create the tables of this version, without the indexes.
    pub fn tables(self) -> String {
        let (owners, owner_id) = (self.owners(), self.owner_id());
        let extra = match self {
            Layout::Machines => "",
            Layout::Servers => "server_url TEXT DEFAULT '', alias TEXT DEFAULT '', note TEXT DEFAULT '', ",
        };
        let mut sql = format!(
            "CREATE TABLE {owners} (id TEXT PRIMARY KEY, name TEXT NOT NULL, {extra}\
             created_at DATETIME DEFAULT CURRENT_TIMESTAMP);\n\
             CREATE TABLE backups (\n  id TEXT PRIMARY KEY,\n  {owner_id} TEXT NOT NULL,\n"
        );
        for (name, declaration) in BACKUP_COLUMNS {
            let _ = writeln!(sql, "  {name} {declaration},");
        }
        let _ = write!(
            sql,
            "  FOREIGN KEY ({owner_id}) REFERENCES {owners}(id)\n);\n\
             CREATE TABLE configurations (key TEXT PRIMARY KEY NOT NULL, value TEXT);\n\
             CREATE TABLE db_version (version TEXT PRIMARY KEY, applied_at DATETIME DEFAULT CURRENT_TIMESTAMP);\n"
        );
        sql
    }

    /// Returns the statements that create the five indexes of this version.
    pub fn indexes(self) -> String {
        [self.owner_id(), "date", "begin_time", "end_time", "backup_id"]
            .iter()
            .map(|column| format!("CREATE INDEX idx_backups_{column} ON backups({column});\n"))
            .collect()
    }
}

/// The columns of `backups` after `id` and the owner, in order, with their declarations.
pub const BACKUP_COLUMNS: [(&str, &str); 57] = [
    ("backup_name", "TEXT NOT NULL"),
    ("backup_id", "TEXT NOT NULL"),
    ("date", "DATETIME NOT NULL"),
    ("status", "TEXT NOT NULL"),
    ("duration_seconds", "INTEGER NOT NULL"),
    ("size", "INTEGER NOT NULL DEFAULT 0"),
    ("uploaded_size", "INTEGER NOT NULL DEFAULT 0"),
    ("examined_files", "INTEGER NOT NULL DEFAULT 0"),
    ("warnings", "INTEGER NOT NULL DEFAULT 0"),
    ("errors", "INTEGER NOT NULL DEFAULT 0"),
    ("created_at", "DATETIME DEFAULT CURRENT_TIMESTAMP"),
    ("messages_array", "TEXT DEFAULT '[]'"),
    ("warnings_array", "TEXT DEFAULT '[]'"),
    ("errors_array", "TEXT DEFAULT '[]'"),
    ("available_backups", "TEXT DEFAULT '[]'"),
    ("deleted_files", "INTEGER NOT NULL DEFAULT 0"),
    ("deleted_folders", "INTEGER NOT NULL DEFAULT 0"),
    ("modified_files", "INTEGER NOT NULL DEFAULT 0"),
    ("opened_files", "INTEGER NOT NULL DEFAULT 0"),
    ("added_files", "INTEGER NOT NULL DEFAULT 0"),
    ("size_of_modified_files", "INTEGER NOT NULL DEFAULT 0"),
    ("size_of_added_files", "INTEGER NOT NULL DEFAULT 0"),
    ("size_of_examined_files", "INTEGER NOT NULL DEFAULT 0"),
    ("size_of_opened_files", "INTEGER NOT NULL DEFAULT 0"),
    ("not_processed_files", "INTEGER NOT NULL DEFAULT 0"),
    ("added_folders", "INTEGER NOT NULL DEFAULT 0"),
    ("too_large_files", "INTEGER NOT NULL DEFAULT 0"),
    ("files_with_error", "INTEGER NOT NULL DEFAULT 0"),
    ("modified_folders", "INTEGER NOT NULL DEFAULT 0"),
    ("modified_symlinks", "INTEGER NOT NULL DEFAULT 0"),
    ("added_symlinks", "INTEGER NOT NULL DEFAULT 0"),
    ("deleted_symlinks", "INTEGER NOT NULL DEFAULT 0"),
    ("partial_backup", "BOOLEAN NOT NULL DEFAULT 0"),
    ("dryrun", "BOOLEAN NOT NULL DEFAULT 0"),
    ("main_operation", "TEXT NOT NULL"),
    ("parsed_result", "TEXT NOT NULL"),
    ("interrupted", "BOOLEAN NOT NULL DEFAULT 0"),
    ("version", "TEXT"),
    ("begin_time", "DATETIME NOT NULL"),
    ("end_time", "DATETIME NOT NULL"),
    ("warnings_actual_length", "INTEGER NOT NULL DEFAULT 0"),
    ("errors_actual_length", "INTEGER NOT NULL DEFAULT 0"),
    ("messages_actual_length", "INTEGER NOT NULL DEFAULT 0"),
    ("bytes_downloaded", "INTEGER NOT NULL DEFAULT 0"),
    ("known_file_size", "INTEGER NOT NULL DEFAULT 0"),
    ("last_backup_date", "DATETIME"),
    ("backup_list_count", "INTEGER NOT NULL DEFAULT 0"),
    ("reported_quota_error", "BOOLEAN NOT NULL DEFAULT 0"),
    ("reported_quota_warning", "BOOLEAN NOT NULL DEFAULT 0"),
    ("backend_main_operation", "TEXT"),
    ("backend_parsed_result", "TEXT"),
    ("backend_interrupted", "BOOLEAN NOT NULL DEFAULT 0"),
    ("backend_version", "TEXT"),
    ("backend_begin_time", "DATETIME"),
    ("backend_duration", "TEXT"),
    ("backend_warnings_actual_length", "INTEGER NOT NULL DEFAULT 0"),
    ("backend_errors_actual_length", "INTEGER NOT NULL DEFAULT 0"),
];
