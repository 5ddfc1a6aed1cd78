//! Carrying out a plan: one transaction with the changes, the script, the ledger and the proof.

use rusqlite::types::Value;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use serde::{Deserialize, Serialize};

use super::alter_catalog::Catalog;
use super::alter_error::AlterError;
use super::alter_plan::{Action, AlterPlan, Verbatim, declared, plan};
use super::alter_run::{Brake, Settings, as_halt};
use super::alter_spec::AlterSpec;
use super::alter_statistics::Statistics;
use super::alter_violations::Violations;
use super::ddl::{quote_identifier, split_statements};
use crate::tell::{Tell, Unit};

/// What a change did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterOutcome {
    /// What was planned and done.
    pub plan: AlterPlan,
    /// The rows that were copied, by table.
    pub copied: Vec<(String, u64)>,
    /// References that led nowhere before, and do so still.
    pub old_violations: u64,
}

/// Brings the schema to what is declared, in one transaction, together with the script and whatever `ledger` writes.
///
/// The database is as before after every error but two: [`Halt::Cut`](crate::Halt::Cut) at the fault point behind the
/// commit, and [`AlterError::Setting`], which can also mean that a setting of the connection was not put back: look, or
/// use another connection. After `Ok` the change is committed, as durable as `PRAGMA synchronous` makes commits.
/// The connection's progress handler is taken and not given back. Foreign keys are not enforced while the script runs,
/// so no action of theirs fires; a reference that leads nowhere afterwards and did not before ends it all.
pub fn execute(
    connection: &mut Connection,
    spec: &AlterSpec,
    params: &[(&str, Value)],
    ledger: &mut dyn FnMut(&Transaction<'_>) -> rusqlite::Result<()>,
    tell: &Tell,
) -> Result<AlterOutcome, AlterError> {
    tell.go_on()?;
    if !connection.is_autocommit() {
        return Err(AlterError::InTransaction);
    }
    let keeps_pages = spec.tables.iter().any(|(_, change)| !change.drop.is_empty());
    let settings = Settings::make(connection, keeps_pages)?;
    let done = match Brake::on(connection, tell) {
        Ok(brake) => {
            let done = transact(connection, spec, params, ledger, tell, &brake);
            brake.release();
            done.map_err(|error| as_halt(error, tell))
        }
        Err(error) => Err(error),
    };
    // A handler that is released does nothing, so trouble with taking it off has no meaning.
    let _ = connection.progress_handler(0, None::<fn() -> bool>);
    let restored = settings.restore(connection);
    let outcome = done?;
    restored?;
    Ok(outcome)
}

fn transact(
    connection: &mut Connection,
    spec: &AlterSpec,
    params: &[(&str, Value)],
    ledger: &mut dyn FnMut(&Transaction<'_>) -> rusqlite::Result<()>,
    tell: &Tell,
    brake: &Brake,
) -> Result<AlterOutcome, AlterError> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(AlterError::sql("begin the change"))?;
    let done = inside(&transaction, spec, params, ledger, tell);
    // A rollback that was broken off would leave the transaction open.
    brake.release();
    let outcome = done?;
    tell.point("sqlite.alter.before-commit")?;
    transaction.commit().map_err(AlterError::sql("commit the change"))?;
    tell.point("sqlite.alter.committed")?;
    Ok(outcome)
}

fn inside(
    transaction: &Transaction<'_>,
    spec: &AlterSpec,
    params: &[(&str, Value)],
    ledger: &mut dyn FnMut(&Transaction<'_>) -> rusqlite::Result<()>,
    tell: &Tell,
) -> Result<AlterOutcome, AlterError> {
    let catalog = Catalog::read(transaction)?;
    let plan = plan(&catalog, spec)?;
    let before = Violations::read(transaction, &catalog)?;
    let statistics = Statistics::read(transaction, spec)?;
    let mut copied = Vec::new();
    for action in &plan.actions {
        tell.go_on()?;
        copied.extend(act(transaction, action, tell)?);
    }
    let changed = expect(transaction, &plan.changed)?;
    statistics.write(transaction, spec, &changed)?;
    script(transaction, spec, params, tell)?;
    ledger(transaction).map_err(AlterError::sql("write the ledger"))?;
    if transaction.is_autocommit() {
        return Err(AlterError::Ended);
    }
    let after = expect(transaction, &plan.expectation)?;
    declared(&after, spec)?;
    let old_violations = before.count();
    Violations::read(transaction, &after)?.no_more_than(&before.renamed(spec))?;
    tell.go_on()?;
    Ok(AlterOutcome { plan, copied, old_violations })
}

/// Reads the schema back and compares it with what the plan promised; more objects, such as a ledger, are allowed.
fn expect(transaction: &Transaction<'_>, wanted: &Catalog) -> Result<Catalog, AlterError> {
    let found = Catalog::read(transaction)?;
    match wanted.first_difference(&found) {
        None => Ok(found),
        Some(reason) => Err(AlterError::NotAsDeclared { reason }),
    }
}

/// Performs one statement of the plan; returns the rows copied, when it was a copy.
fn act(
    transaction: &Transaction<'_>,
    action: &Action,
    tell: &Tell,
) -> Result<Option<(String, u64)>, AlterError> {
    match action {
        Action::Run { doing, sql } => {
            transaction.execute_batch(sql).map_err(AlterError::sql(doing.clone()))?;
            Ok(None)
        }
        Action::Copy { table, aside, sql, classes, verbatim } => {
            let rows = Rows { transaction, table, aside };
            let doing = || AlterError::sql(format!("copy table {table}"));
            let before = rows.count(aside)?;
            let telling = format!("rebuilding {table}");
            tell.progress(&telling, 0, Some(before), Unit::Rows);
            let verbatim = match verbatim {
                Some(verbatim) if rows.moves_records(&verbatim.sql)? => Some(verbatim),
                _ => None,
            };
            let sql = verbatim.map_or(sql, |verbatim| &verbatim.sql);
            transaction.execute_batch(sql).map_err(doing())?;
            let after = rows.count(table)?;
            if before != after {
                return Err(AlterError::RowsDiffer { table: table.clone(), before, after });
            }
            match verbatim {
                Some(verbatim) => rows.same_span(verbatim)?,
                None => rows.same_classes(classes.as_deref())?,
            }
            tell.progress(&telling, after, Some(before), Unit::Rows);
            Ok(Some((table.clone(), after)))
        }
    }
}

/// The rows of a table and of its old form that was set aside.
struct Rows<'a> {
    transaction: &'a Transaction<'a>,
    table: &'a str,
    aside: &'a str,
}

impl Rows<'_> {
    fn ask<T: rusqlite::types::FromSql>(&self, sql: &str) -> Result<T, AlterError> {
        let found = self.transaction.query_row(sql, [], |row| row.get(0));
        found.map_err(AlterError::sql(format!("copy table {}", self.table)))
    }

    fn count(&self, table: &str) -> Result<u64, AlterError> {
        self.ask(&format!("SELECT count(*) FROM main.{}", quote_identifier(table))).map(i64::unsigned_abs)
    }

    /// Says whether SQLite will run `sql` by moving whole records. Then no value passes through a column's affinity, so
    /// none can change its storage class, and there is nothing to compare: that look into every row costs a fifth more.
    ///
    /// The program says so itself: `RowCell` copies a cell from tree to tree, and only this kind of copy has it
    /// (sqlite.org/opcode.html). Another SQLite that does it otherwise lacks the word, and gets the copy with the look.
    fn moves_records(&self, sql: &str) -> Result<bool, AlterError> {
        let failed = || AlterError::sql(format!("copy table {}", self.table));
        let mut program = self.transaction.prepare(&format!("EXPLAIN {sql}")).map_err(failed())?;
        let words = program.query_map([], |row| row.get::<_, String>(1)).map_err(failed())?;
        for word in words {
            if word.map_err(failed())? == "RowCell" {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Fails when rowids were given anew: records that are moved into a table without any index are counted from 1. As
    /// many rows with the same ends either kept theirs, or had 1 to n before.
    fn same_span(&self, verbatim: &Verbatim) -> Result<(), AlterError> {
        let end = |table: &str, rowid: &str, end: &str| {
            self.ask::<Option<i64>>(&format!("SELECT {end}({rowid}) FROM main.{}", quote_identifier(table)))
        };
        for which in ["min", "max"] {
            let before = end(self.aside, &verbatim.old_rowid, which)?;
            if before != end(self.table, &verbatim.new_rowid, which)? {
                return Err(AlterError::RowidsDiffer { table: self.table.to_owned() });
            }
        }
        Ok(())
    }

    fn same_classes(&self, classes: Option<&str>) -> Result<(), AlterError> {
        let Some(classes) = classes else { return Ok(()) };
        match self.ask::<i64>(classes)? {
            0 => Ok(()),
            rows => {
                Err(AlterError::ClassesDiffer { table: self.table.to_owned(), rows: rows.unsigned_abs() })
            }
        }
    }
}

/// Runs the script, each statement with the parameters it names. A parameter without a value is an error: SQLite would take NULL.
fn script(
    transaction: &Transaction<'_>,
    spec: &AlterSpec,
    params: &[(&str, Value)],
    tell: &Tell,
) -> Result<(), AlterError> {
    let sql = spec.and.as_deref().unwrap_or_default();
    for statement in split_statements(sql).map_err(AlterError::definition("the script"))? {
        tell.go_on()?;
        let failed = |source| AlterError::Script { line: statement.line, source };
        let mut prepared = transaction.prepare(&statement.text).map_err(failed)?;
        for at in 1..=prepared.parameter_count() {
            let name = prepared.parameter_name(at).unwrap_or("?").to_owned();
            let bare = |name: &str| name.trim_start_matches([':', '@', '$']).to_owned();
            let value = params.iter().find(|(param, _)| bare(param) == bare(&name));
            let Some((_, value)) = value else {
                return Err(failed(rusqlite::Error::InvalidParameterName(name)));
            };
            prepared.raw_bind_parameter(at, value).map_err(failed)?;
        }
        let mut rows = prepared.raw_query();
        while rows.next().map_err(failed)?.is_some() {}
        if transaction.is_autocommit() {
            return Err(AlterError::Ended);
        }
    }
    Ok(())
}
