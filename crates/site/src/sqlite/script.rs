//! Scripts in one transaction, together with the row that says they are in.

use super::alter::{AlterError, AlterOutcome, AlterSpec, execute};
use super::ddl::{DdlError, split_statements};
use super::ledger::{self, LedgerError, LedgerRow};
use crate::tell::{Failure, Halt, Tell};
use rusqlite::types::Value as Cell;
use rusqlite::{Connection, Transaction};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// Virtual-machine instructions between two looks at the stop flag: about a millisecond.
const TICK: i32 = 100_000;

/// Why a script did not run. The transaction was rolled back: the database is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// A statement failed.
    #[error("run line {line} of the script: {source}")]
    Statement {
        /// Line of the script, from 1.
        line: usize,
        /// The statement.
        text: String,
        /// Why.
        source: rusqlite::Error,
    },
    /// A parameter has no value.
    #[error("run line {line} of the script: nothing is known of its parameter :{name}")]
    Parameter {
        /// Line of the script, from 1.
        line: usize,
        /// The parameter.
        name: String,
    },
    /// The script cannot be taken apart.
    #[error(transparent)]
    Ddl(#[from] DdlError),
    /// The row that says it is in cannot be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The transaction cannot be begun or ended.
    #[error("begin or commit the transaction: {0}")]
    Transaction(#[from] rusqlite::Error),
    /// Cut off or stopped.
    #[error(transparent)]
    Halt(#[from] Halt),
}

impl Failure for ScriptError {
    fn halt(&self) -> Option<Halt> {
        match self {
            ScriptError::Halt(halt) => Some(*halt),
            ScriptError::Ledger(error) => error.halt(),
            _ => None,
        }
    }
}

/// Runs a script with foreign keys enforced, and writes `row` in the same transaction. `:now` is `now`; every other
/// parameter must be in `params`. Returns how many rows were changed, `row` not counted.
pub fn run_script(
    connection: &mut Connection,
    script: &str,
    params: &BTreeMap<String, Value>,
    now: &str,
    row: &LedgerRow,
    tell: &Tell,
) -> Result<u64, ScriptError> {
    let stop = tell.stop_flag();
    connection.progress_handler(TICK, Some(move || stop.load(Ordering::Relaxed)))?;
    connection.execute_batch("PRAGMA foreign_keys = ON")?;
    let transaction = connection.transaction()?;
    let before = transaction.total_changes();
    statements(&transaction, script, params, now, tell)?;
    let changed = transaction.total_changes() - before;
    ledger::record(&transaction, row)?;
    tell.point("sqlite.script.commit")?;
    transaction.commit()?;
    tell.point("sqlite.script.committed")?;
    Ok(changed)
}

fn statements(
    transaction: &Transaction<'_>,
    script: &str,
    params: &BTreeMap<String, Value>,
    now: &str,
    tell: &Tell,
) -> Result<(), ScriptError> {
    for statement in split_statements(script)? {
        tell.go_on()?;
        let line = statement.line;
        let failed = |source| match tell.go_on() {
            Err(halt) => ScriptError::Halt(halt),
            Ok(()) => ScriptError::Statement { line, text: statement.text.clone(), source },
        };
        let mut prepared = transaction.prepare(&statement.text).map_err(failed)?;
        for index in 1..=prepared.parameter_count() {
            let name = prepared.parameter_name(index).unwrap_or("?").get(1..).unwrap_or_default().to_owned();
            let value = match (name.as_str(), params.get(&name)) {
                ("now", _) => Cell::Text(now.to_owned()),
                (_, Some(value)) => cell(value),
                (_, None) => return Err(ScriptError::Parameter { line, name }),
            };
            prepared.raw_bind_parameter(index, value).map_err(failed)?;
        }
        let mut rows = prepared.raw_query();
        while rows.next().map_err(failed)?.is_some() {}
    }
    Ok(())
}

/// Brings tables to the declared shape, and writes `row` in the same transaction. `:now` is `now`.
pub fn run_alter(
    connection: &mut Connection,
    spec: &AlterSpec,
    params: &BTreeMap<String, Value>,
    now: &str,
    row: &LedgerRow,
    tell: &Tell,
) -> Result<AlterOutcome, AlterError> {
    let mut cells: Vec<(&str, Cell)> = vec![("now", Cell::Text(now.to_owned()))];
    cells.extend(params.iter().map(|(name, value)| (name.as_str(), cell(value))));
    let mut record = |transaction: &Transaction<'_>| {
        ledger::record(transaction, row).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
    };
    execute(connection, spec, &cells, &mut record, tell)
}

/// Turns a JSON value into one that SQLite binds.
pub(crate) fn cell(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::Bool(truth) => Cell::Integer(i64::from(*truth)),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Cell::Integer(whole),
            None => Cell::Real(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => Cell::Text(text.clone()),
        other => Cell::Text(other.to_string()),
    }
}
