//! SQLite databases that the upgrade makes: what they are before anybody has made them.

use super::{Site, SiteError};
use crate::sqlite::{LEDGER, Vacancy, vacancy};
use crate::tell::Tell;
use std::path::{Path, PathBuf};
use switchback_model::target::TargetDef;

/// The shape of a place at which there is no database.
const VACANT: &str = "no database";

impl Site {
    /// Returns whether a target is a SQLite database that the upgrade makes.
    pub fn is_made_sqlite(&self, name: &str) -> bool {
        matches!(self.targets.get(name), Some(TargetDef::Sqlite { made_by_us: true, .. }))
    }

    /// Returns what is vacant at the place of a SQLite database that the upgrade makes; `None` once there is a file with
    /// content, and for every other target.
    pub fn vacancy(&self, name: &str) -> Result<Option<Vacancy>, SiteError> {
        match self.is_made_sqlite(name) {
            true => Ok(Vacancy::of(&self.database(name)?)?),
            false => Ok(None),
        }
    }

    /// Names what stands in the way of making a SQLite database, a line each: whatever somebody has put into it, and logs of
    /// a database that is gone. None if it can be made.
    pub fn occupied(&self, name: &str) -> Result<Vec<String>, SiteError> {
        let database = self.database(name)?;
        if self.vacancy(name)?.is_some() {
            let beside = vacancy::beside(&database)?;
            return Ok(beside.into_iter().map(|file| format!("{} lies there", file.display())).collect());
        }
        let connection = database.open_read()?;
        let sql =
            "SELECT type || ' ' || name FROM sqlite_schema WHERE tbl_name <> ?1 ORDER BY type DESC, name";
        let mut statement = connection.prepare(sql)?;
        let lines = statement.query_map([LEDGER], |row| row.get(0))?;
        Ok(lines.collect::<Result<_, _>>()?)
    }

    /// Makes the place of a SQLite database as vacant as it was.
    pub fn vacate(&self, name: &str, wanted: &Vacancy, tell: &Tell) -> Result<(), SiteError> {
        Ok(vacancy::vacate(&self.database(name)?, wanted, tell)?)
    }

    /// The identity of a place at which nobody has made a database.
    pub(super) fn vacant_identity(vacancy: &Vacancy) -> Vec<String> {
        let whose = match vacancy {
            Vacancy::Absent => String::new(),
            Vacancy::Empty(traits) => {
                format!(" (mode {:o}, owner {}:{})", traits.mode, traits.uid, traits.gid)
            }
        };
        vec![format!("{VACANT}: {}{whose}", vacancy.words())]
    }
}

/// The one place that a path leads to, whatever links lead there and whether or not something lies there yet.
pub(super) fn real(path: &Path) -> PathBuf {
    crate::sqlite::Database::new(path).real_path().unwrap_or_else(|_| path.to_owned())
}
