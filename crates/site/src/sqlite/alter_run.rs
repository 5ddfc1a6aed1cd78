//! The connection around a change: the settings it needs, and their way back on every path.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;

use super::alter_error::AlterError;
use crate::tell::{Halt, Tell};

/// The settings that a change needs otherwise, as they were.
pub(super) struct Settings {
    foreign_keys: i64,
    legacy_alter_table: i64,
    secure_delete: i64,
}

impl Settings {
    /// Reads the settings, then makes them as a change needs them.
    ///
    /// PRAGMA foreign_keys is ignored inside a transaction (sqlite.org/pragma.html), so all this comes before BEGIN.
    /// `keeps_pages` leaves secure_delete alone: what a dropped column held must not stay in free pages.
    pub(super) fn make(connection: &Connection, keeps_pages: bool) -> Result<Settings, AlterError> {
        let settings = Settings {
            foreign_keys: get(connection, "foreign_keys")?,
            legacy_alter_table: get(connection, "legacy_alter_table")?,
            secure_delete: get(connection, "secure_delete")?,
        };
        let made = set(connection, "foreign_keys", 0).and_then(|()| set(connection, "legacy_alter_table", 0));
        let made = made.and_then(|()| if keeps_pages { Ok(()) } else { set(connection, "secure_delete", 0) });
        match made {
            Ok(()) => Ok(settings),
            Err(error) => {
                settings.restore(connection)?;
                Err(error)
            }
        }
    }

    /// Puts the settings back; all are tried, the first trouble is reported.
    pub(super) fn restore(&self, connection: &Connection) -> Result<(), AlterError> {
        let all = [
            set(connection, "legacy_alter_table", self.legacy_alter_table),
            set(connection, "secure_delete", self.secure_delete),
            set(connection, "foreign_keys", self.foreign_keys),
        ];
        all.into_iter().collect()
    }
}

fn get(connection: &Connection, setting: &'static str) -> Result<i64, AlterError> {
    connection
        .query_row(&format!("PRAGMA main.{setting}"), [], |row| row.get(0))
        .map_err(|error| AlterError::Setting { setting, reason: error.to_string() })
}

fn set(connection: &Connection, setting: &'static str, value: i64) -> Result<(), AlterError> {
    // 2 means FAST to secure_delete and is its only number beyond on and off.
    let word = if value == 2 { "FAST".to_owned() } else { value.to_string() };
    connection
        .execute_batch(&format!("PRAGMA main.{setting}={word}"))
        .map_err(|error| AlterError::Setting { setting, reason: error.to_string() })?;
    if get(connection, setting)? != value {
        return Err(AlterError::Setting { setting, reason: "it keeps its value".into() });
    }
    Ok(())
}

/// Stops running statements when a stop is asked for, as long as it is armed. It takes the connection's progress handler.
pub(super) struct Brake(Arc<AtomicBool>);

/// How many steps of SQLite's machine lie between two looks at the stop flag: well under a millisecond.
const STEPS: i32 = 10_000;

impl Brake {
    pub(super) fn on(connection: &mut Connection, tell: &Tell) -> Result<Brake, AlterError> {
        let armed = Arc::new(AtomicBool::new(true));
        let (handler, stop) = (armed.clone(), tell.stop_flag());
        let look = move || handler.load(Ordering::Relaxed) && stop.load(Ordering::Relaxed);
        connection.progress_handler(STEPS, Some(look)).map_err(|error| AlterError::Setting {
            setting: "progress handler",
            reason: error.to_string(),
        })?;
        Ok(Brake(armed))
    }

    /// From here on nothing is stopped: a commit and a rollback run to their end.
    pub(super) fn release(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Returns an interruption as the halt that it is.
pub(super) fn as_halt(error: AlterError, tell: &Tell) -> AlterError {
    let source = match &error {
        AlterError::Sql { source, .. } | AlterError::Script { source, .. } | AlterError::Read(source) => {
            source
        }
        _ => return error,
    };
    let interrupted = source.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted);
    if interrupted && tell.go_on().is_err() { AlterError::Halt(Halt::Interrupted) } else { error }
}
