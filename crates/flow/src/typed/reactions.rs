//! Programs of the application that would run with each row: they may change rows or others' tables, so they are refused.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::hand::Hand;
use super::lane::Lane;
use super::postgres_shape::schema;
use super::sqlite_shape::quote;
use crate::end::End;
use crate::error::FlowError;
use crate::job::TableName;
use crate::postgres::catalog;

/// Refuses tables whose inserts run something. Reads only.
pub(super) fn refuse(lanes: &[Lane], to: &mut Hand) -> Result<(), FlowError> {
    let mut problems = Vec::new();
    match to {
        Hand::Postgres(client) => {
            let names: BTreeSet<TableName> = lanes.iter().map(full).collect();
            let names: Vec<&TableName> = names.iter().collect();
            for table in catalog::read(client, &names)?.values() {
                problems.extend(table.reactions.first().map(|what| words(what, &table.name)));
            }
        }
        Hand::Sqlite(connection) => {
            let mut seen = BTreeSet::new();
            for lane in lanes.iter().filter(|lane| seen.insert(&lane.to)) {
                if has_trigger(connection, lane)? {
                    problems.push(words("a trigger", &lane.to));
                }
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(FlowError::Refused(problems)) }
}

/// The table of a lane with its schema.
pub(super) fn full(lane: &Lane) -> TableName {
    TableName { schema: Some(schema(&lane.to).to_owned()), table: lane.to.table.clone() }
}

fn words(what: &str, table: &TableName) -> String {
    format!(
        "{what} of {} would run for every row; it may change rows or others' tables, so take it away first",
        table.describe()
    )
}

/// SQLite itself says whether an insert runs a trigger: it is a program within its program (sqlite.org/opcode.html). With
/// `foreign_keys` off, as in sessions of ours, nothing else is.
fn has_trigger(connection: &Connection, lane: &Lane) -> Result<bool, FlowError> {
    let doing = || FlowError::sqlite(format!("look what runs with rows of {}", lane.to.describe()));
    let names: Vec<String> = lane.columns.iter().map(|column| quote(&column.name)).collect();
    let values = vec!["NULL"; names.len()].join(", ");
    let sql = format!("EXPLAIN INSERT INTO {} ({}) VALUES ({values})", lane.writes, names.join(", "));
    let mut statement = connection.prepare(&sql).map_err(doing())?;
    let mut codes = statement.query([]).map_err(doing())?;
    while let Some(code) = codes.next().map_err(doing())? {
        if code.get::<_, String>(1).map_err(doing())? == "Program" {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Refuses two names of one file: a commit waits for the reader, and the reader for the last commit.
pub(super) fn refuse_one_file(from: &End, to: &End) -> Result<(), FlowError> {
    if let (End::Sqlite(from), End::Sqlite(to)) = (from, to)
        && from.real_path()? == to.real_path()?
    {
        let path = from.path().display();
        return Err(FlowError::Refused(vec![format!(
            "both ends are {path}: within one file, SQL moves the rows"
        )]));
    }
    Ok(())
}
