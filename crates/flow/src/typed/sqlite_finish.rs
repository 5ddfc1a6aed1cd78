//! What SQLite wants behind the rows: references looked at, because sessions of ours do not look at each row.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::lane::Lane;
use super::sqlite_shape::quote;
use crate::error::FlowError;

/// How many rows an error names.
const NAMED: usize = 5;

/// Fails when a row of a table that was filled refers to one that is not there.
pub(super) fn references(connection: &Connection, lanes: &[Lane]) -> Result<(), FlowError> {
    let mut seen = BTreeSet::new();
    for lane in lanes.iter().filter(|lane| seen.insert(&lane.to)) {
        let doing = || FlowError::sqlite(format!("look at what {} refers to", lane.to.describe()));
        let sql = format!("PRAGMA main.foreign_key_check({})", quote(&lane.to.table));
        let mut statement = connection.prepare(&sql).map_err(doing())?;
        let mut rows = statement.query([]).map_err(doing())?;
        let mut lost = Vec::new();
        while let Some(row) = rows.next().map_err(doing())? {
            let (number, within): (Option<i64>, String) =
                (row.get(1).map_err(doing())?, row.get(2).map_err(doing())?);
            let which = number.map_or("a row".to_owned(), |number| format!("the row with rowid {number}"));
            lost.push(format!("{which} refers to a row of {within} that is not there"));
            if lost.len() == NAMED {
                break;
            }
        }
        if !lost.is_empty() {
            return Err(FlowError::Lost { to: lane.to.describe(), rows: lost });
        }
    }
    Ok(())
}
