//! States of a database that no careful upgrade may start from, each for a test of its refusal.

use rusqlite::{Connection, params};

use super::schema::Layout;

/// One illegal or odd state that [`build`](super::build()) plants after the legal content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A backup whose machine does not exist.
    OrphanBackup,
    /// A machine and a backup whose id is NULL.
    NullIds,
    /// `db_version` without a row: what a death in the middle of the version stamp leaves.
    EmptyDbVersion,
    /// `db_version` with the rows 1.0 and 2.0, stamped at the same second.
    TwoDbVersions,
    /// An empty table `servers` beside `machines`: the application takes it for a finished migration.
    StrayServers,
    /// A table `backups_new`, left by a try that did not end.
    StrayBackupsNew,
    /// A view of the user on `backups`.
    UserView,
    /// A trigger of the user on `backups`.
    UserTrigger,
    /// An index of the user on `backups`.
    UserIndex,
    /// A column of the user at the end of `backups`.
    ExtraColumn,
    /// `backup_settings` cut in the middle.
    BrokenSettings,
    /// `backup_settings` is the JSON text `null`.
    NullSettings,
    /// Already on schema 3.0, tables and version.
    AlreadyMigrated,
    /// `db_version` says 3.0 beside a table `machines`.
    HalfMigrated,
}

impl Fault {
    /// Every fault with its name on a command line.
    pub const ALL: [(&'static str, Fault); 14] = [
        ("orphan-backup", Fault::OrphanBackup),
        ("null-ids", Fault::NullIds),
        ("empty-db-version", Fault::EmptyDbVersion),
        ("two-db-versions", Fault::TwoDbVersions),
        ("stray-servers", Fault::StrayServers),
        ("stray-backups-new", Fault::StrayBackupsNew),
        ("user-view", Fault::UserView),
        ("user-trigger", Fault::UserTrigger),
        ("user-index", Fault::UserIndex),
        ("extra-column", Fault::ExtraColumn),
        ("broken-settings", Fault::BrokenSettings),
        ("null-settings", Fault::NullSettings),
        ("already-migrated", Fault::AlreadyMigrated),
        ("half-migrated", Fault::HalfMigrated),
    ];

    /// Returns the fault of that name.
    pub fn named(name: &str) -> Option<Fault> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, fault)| *fault)
    }

    /// Plants the fault. `layout` is what the database has now; foreign keys must be off on `db`.
    ///
    /// [`Fault::AlreadyMigrated`] changes nothing here: the whole lab is built on the later layout instead.
    pub(super) fn plant(self, db: &Connection, layout: Layout) -> rusqlite::Result<()> {
        let (owners, owner_id) = (layout.owners(), layout.owner_id());
        match self {
            Fault::OrphanBackup => copy_backup(db, owner_id, Some("orphan-0001"), "no-such-machine"),
            Fault::NullIds => {
                db.execute(&format!("INSERT INTO {owners} (id, name) VALUES (NULL, 'nameless')"), [])?;
                let owner: String = db.query_row(
                    &format!("SELECT id FROM {owners} WHERE id IS NOT NULL LIMIT 1"),
                    [],
                    |row| row.get(0),
                )?;
                copy_backup(db, owner_id, None, &owner)
            }
            Fault::EmptyDbVersion => db.execute_batch("DELETE FROM db_version"),
            Fault::TwoDbVersions => db.execute_batch(
                "INSERT INTO db_version (version, applied_at) SELECT '1.0', applied_at FROM db_version",
            ),
            Fault::StrayServers => {
                db.execute_batch("CREATE TABLE servers (id TEXT PRIMARY KEY, name TEXT NOT NULL)")
            }
            Fault::StrayBackupsNew => db.execute_batch("CREATE TABLE backups_new (id TEXT PRIMARY KEY)"),
            Fault::UserView => db.execute_batch(
                "CREATE VIEW recent_failures AS SELECT * FROM backups WHERE status <> 'Success'",
            ),
            Fault::UserTrigger => db.execute_batch(
                "CREATE TRIGGER keep_count AFTER INSERT ON backups BEGIN \
                 UPDATE configurations SET value = value WHERE key = 'cron_service'; END",
            ),
            Fault::UserIndex => db.execute_batch("CREATE INDEX my_status ON backups(status)"),
            Fault::ExtraColumn => db.execute_batch("ALTER TABLE backups ADD COLUMN my_remark TEXT"),
            Fault::BrokenSettings => set_settings(db, "{\"attic:Files\":{\"notificationEvent\":"),
            Fault::NullSettings => set_settings(db, "null"),
            Fault::AlreadyMigrated => Ok(()),
            Fault::HalfMigrated => db.execute_batch("UPDATE db_version SET version = '3.0'"),
        }
    }
}

fn set_settings(db: &Connection, value: &str) -> rusqlite::Result<()> {
    db.execute("UPDATE configurations SET value = ?1 WHERE key = 'backup_settings'", params![value]).map(drop)
}

/// Copies one backup with another id and another owner.
fn copy_backup(db: &Connection, owner_id: &str, id: Option<&str>, owner: &str) -> rusqlite::Result<()> {
    let names: Vec<&str> = super::schema::BACKUP_COLUMNS.iter().map(|(name, _)| *name).collect();
    let names = names.join(", ");
    db.execute(
        &format!(
            "INSERT INTO backups (id, {owner_id}, {names}) \
             SELECT ?1, ?2, {names} FROM backups ORDER BY rowid LIMIT 1"
        ),
        params![id, owner],
    )
    .map(drop)
}
