//! Planning: the cheapest way to the declared shape, tried on an empty twin of the database.

use serde::{Deserialize, Serialize};

use super::alter_catalog::{Catalog, Table};
use super::alter_error::AlterError;
use super::alter_expect::{Applied, is_applied};
use super::alter_in_place::{in_place, is_in_place, rename};
use super::alter_rebuild::{edited, rebuild};
use super::alter_shadow::Shadow;
use super::alter_spec::{AlterSpec, IndexChange, TableChange};
use super::ddl::{
    has_transaction_control, quote_identifier, rename_index, split_statements, statement_keyword,
};

/// The way of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TablePlan {
    /// Its present name.
    pub table: String,
    /// Its name afterwards.
    pub becomes: String,
    /// Whether all its rows are copied.
    pub rebuilt: bool,
    /// What happens to it, a line each, for people.
    pub lines: Vec<String>,
}

/// The way of a whole declaration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterPlan {
    /// The tables in the order of the declaration.
    pub tables: Vec<TablePlan>,
    /// The statements, in order.
    pub actions: Vec<Action>,
    /// The schema after the declared changes.
    pub changed: Catalog,
    /// The schema after the script as well.
    pub expectation: Catalog,
}

/// One statement of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// A statement.
    Run {
        /// What it does, as a fragment after "cannot".
        doing: String,
        /// The statement.
        sql: String,
    },
    /// Copies all rows of a table that was set aside into its new form.
    Copy {
        /// The table.
        table: String,
        /// The name under which the old form was set aside.
        aside: String,
        /// The statement.
        sql: String,
        /// A query that counts rows with a value of another storage class, where that can be asked.
        classes: Option<String>,
        /// A statement that moves the rows as they lie in the file, if SQLite finds both forms alike enough.
        verbatim: Option<Verbatim>,
    },
}

/// A copy that decodes no row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verbatim {
    /// The statement.
    pub sql: String,
    /// What the rowid is called in the old form.
    pub old_rowid: String,
    /// What the rowid is called in the new form.
    pub new_rowid: String,
}

impl AlterPlan {
    /// Returns the names, afterwards, of the tables whose rows are copied.
    pub fn rebuilt(&self) -> Vec<&str> {
        self.tables.iter().filter(|table| table.rebuilt).map(|table| table.becomes.as_str()).collect()
    }

    /// Returns everything that happens, a line each, for people.
    pub fn lines(&self) -> Vec<&str> {
        self.tables.iter().flat_map(|table| &table.lines).map(String::as_str).collect()
    }
}

impl Catalog {
    /// Returns the schema that the declared changes leave, and the way of each table. Asks no database of anybody's.
    pub fn after(&self, spec: &AlterSpec) -> Result<(Catalog, Vec<TablePlan>), AlterError> {
        let plan = plan(self, spec)?;
        Ok((plan.expectation, plan.tables))
    }
}

/// A plan in the making.
pub(super) struct Work {
    pub(super) shadow: Shadow,
    pub(super) actions: Vec<Action>,
}

impl Work {
    /// Takes a statement into the plan after it succeeded on the twin.
    pub(super) fn run(&mut self, doing: String, sql: String) -> Result<(), AlterError> {
        self.shadow.run(&sql).map_err(|error| refused(&doing, &error))?;
        self.actions.push(Action::Run { doing, sql });
        Ok(())
    }

    /// Takes the creation of `object` into the plan after it succeeded on the twin.
    pub(super) fn create(&mut self, object: &str, sql: String) -> Result<(), AlterError> {
        let reason = |error: rusqlite::Error| AlterError::Breaks {
            object: object.to_owned(),
            reason: message(&error),
        };
        self.shadow.create(object, &sql).map_err(reason)?;
        self.actions.push(Action::Run { doing: format!("create {object}"), sql });
        Ok(())
    }
}

pub(super) fn refused(doing: &str, error: &rusqlite::Error) -> AlterError {
    AlterError::Refused { doing: doing.to_owned(), reason: message(error) }
}

/// Returns what SQLite says, without the statement that rusqlite puts behind it.
pub(super) fn message(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        rusqlite::Error::SqliteFailure(_, Some(text)) => text.clone(),
        other => other.to_string(),
    }
}

/// Plans the declared changes of the schema `catalog`: what cannot be kept is refused here, with its reason.
pub fn plan(catalog: &Catalog, spec: &AlterSpec) -> Result<AlterPlan, AlterError> {
    check_script(spec)?;
    let mut work = Work { shadow: Shadow::of(catalog)?, actions: Vec::new() };
    let mut tables = Vec::new();
    for (name, change) in &spec.tables {
        let table = find(catalog, name, change)?;
        tables.push(rename(&mut work, table, change)?);
    }
    // SQLite itself carries renames into views and triggers or refuses; what comes now is ours to watch.
    let renamed = work.shadow.catalog()?;
    let health = work.shadow.health(&renamed);
    for ((name, change), way) in spec.tables.iter().zip(&mut tables) {
        let table = renamed.table(&way.becomes).ok_or_else(|| AlterError::NoTable { table: name.clone() })?;
        if !table.is_virtual {
            change_table(&mut work, table, change, way)?;
        }
    }
    let changed = work.shadow.catalog()?;
    if let Some((object, reason)) = health.first_loss(&work.shadow.health(&changed)) {
        return Err(AlterError::Breaks { object, reason });
    }
    check_indexes(&renamed, &changed)?;
    try_script(&work.shadow, spec)?;
    let expectation = work.shadow.catalog()?;
    declared(&changed, spec)?;
    declared(&expectation, spec)?;
    Ok(AlterPlan { tables, actions: work.actions, changed, expectation })
}

/// Fails unless the schema looks as declared, as far as a schema can show it.
pub(super) fn declared(catalog: &Catalog, spec: &AlterSpec) -> Result<(), AlterError> {
    match is_applied(catalog, spec) {
        Applied::Applied => Ok(()),
        Applied::Pending if is_invisible(spec) => Ok(()),
        Applied::Pending => Err(AlterError::NotAsDeclared { reason: "nothing declared is there".into() }),
        Applied::Other(reason) => Err(AlterError::NotAsDeclared { reason }),
    }
}

/// Returns whether the catalog cannot show that the declaration is carried out.
fn is_invisible(spec: &AlterSpec) -> bool {
    spec.tables.iter().all(|(_, change)| {
        let rebuild = change.rebuild;
        *change == TableChange { rebuild, ..TableChange::default() }
    })
}

fn find<'a>(catalog: &'a Catalog, name: &str, change: &TableChange) -> Result<&'a Table, AlterError> {
    if catalog.views.iter().any(|view| view.name.eq_ignore_ascii_case(name)) {
        return Err(AlterError::NotOrdinary { table: name.to_owned(), kind: "a view" });
    }
    let table = catalog.table(name).ok_or_else(|| AlterError::NoTable { table: name.to_owned() })?;
    let only_renamed = TableChange { rename: change.rename.clone(), ..TableChange::default() };
    if table.is_virtual && *change != only_renamed {
        return Err(AlterError::NotOrdinary { table: name.to_owned(), kind: "a virtual table" });
    }
    Ok(table)
}

fn change_table(
    work: &mut Work,
    table: &Table,
    change: &TableChange,
    way: &mut TablePlan,
) -> Result<(), AlterError> {
    check_names(table, change)?;
    let edited = edited(table, change)?;
    way.rebuilt = change.rebuild || edited.is_needed || !is_in_place(work, table, change)?;
    if way.rebuilt { rebuild(work, table, change, &edited, way) } else { in_place(work, table, change, way) }
}

/// Says early and by name what SQLite would say late.
fn check_names(table: &Table, change: &TableChange) -> Result<(), AlterError> {
    let added = |name: &str| change.add.iter().any(|column| column.name.eq_ignore_ascii_case(name));
    let old = change.drop.iter().chain(change.retype.iter().map(|(name, _)| name));
    let old = old.chain(change.defaults.iter().map(|(name, _)| name));
    for name in old.chain(change.not_null.iter().map(|(name, _)| name)) {
        if table.column(name).is_none() {
            return Err(AlterError::no_column(&table.name, name));
        }
    }
    for column in &change.add {
        if let Some(after) = &column.after
            && table.column(after).is_none()
            && !added(after)
        {
            return Err(AlterError::no_column(&table.name, after));
        }
        let valueless = matches!(column.default, None | Some(super::alter_spec::Literal::Null));
        if column.not_null && valueless && column.generated.is_none() {
            return Err(AlterError::NoValue { table: table.name.clone(), column: column.name.clone() });
        }
    }
    for (name, index) in &change.indexes {
        let found = table.index(name).is_some_and(|index| index.sql.is_some());
        if !found && !matches!(index, IndexChange::Create(_)) {
            return Err(AlterError::NoIndex { table: table.name.clone(), index: name.clone() });
        }
    }
    Ok(())
}

/// The indexes of a table that go by name, and those that come by name and statement.
pub(super) type IndexChanges = (Vec<String>, Vec<(String, String)>);

/// Returns what the declaration changes of the indexes.
pub(super) fn index_changes(table: &Table, change: &TableChange) -> Result<IndexChanges, AlterError> {
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    for (name, index) in &change.indexes {
        match index {
            IndexChange::Drop => gone.push(name.clone()),
            IndexChange::Create(sql) => come.push((name.clone(), one_index(name, sql)?)),
            IndexChange::Rename(new) => {
                let sql = table.index(name).and_then(|index| index.sql.as_deref()).unwrap_or_default();
                let renamed =
                    rename_index(sql, new).map_err(AlterError::definition(&format!("index {name}")))?;
                gone.push(name.clone());
                come.push((new.clone(), renamed));
            }
        }
    }
    Ok((gone, come))
}

/// Returns the statement when it is one `CREATE INDEX` and nothing else.
fn one_index(name: &str, sql: &str) -> Result<String, AlterError> {
    let statements = split_statements(sql).map_err(AlterError::definition(&format!("index {name}")))?;
    match statements.as_slice() {
        [only] if rename_index(&only.text, name).is_ok() => Ok(only.text.clone()),
        _ => Err(AlterError::Fragment {
            sql: sql.chars().take(120).collect(),
            why: "it is not one CREATE INDEX statement".into(),
        }),
    }
}

pub(super) fn drop_index(name: &str) -> (String, String) {
    (format!("drop index {name}"), format!("DROP INDEX main.{}", quote_identifier(name)))
}

/// An index that is created from its own text must still mean the same columns.
fn check_indexes(before: &Catalog, after: &Catalog) -> Result<(), AlterError> {
    for index in before.tables.iter().flat_map(|table| &table.indexes) {
        let Some((_, now)) = after.index(&index.name) else { continue };
        let names = |index: &super::alter_catalog::Index| -> Vec<Option<String>> {
            index.columns.iter().filter(|column| column.key).map(|column| column.name.clone()).collect()
        };
        if index.sql.is_some() && index.sql == now.sql && names(index) != names(now) {
            let object = format!("index {}", index.name);
            return Err(AlterError::Breaks { object, reason: "its columns would be others".into() });
        }
    }
    Ok(())
}

fn check_script(spec: &AlterSpec) -> Result<(), AlterError> {
    let Some(sql) = &spec.and else { return Ok(()) };
    split_statements(sql).map_err(AlterError::definition("the script"))?;
    match has_transaction_control(sql) {
        None => Ok(()),
        Some((span, keyword)) => {
            Err(AlterError::Control { line: super::ddl_token::line_of(sql, span.start), keyword })
        }
    }
}

/// Tries the script on the twin: what defines something runs, the rest is only prepared, since there are no rows to work on.
fn try_script(shadow: &Shadow, spec: &AlterSpec) -> Result<(), AlterError> {
    let sql = spec.and.as_deref().unwrap_or_default();
    for statement in split_statements(sql).map_err(AlterError::definition("the script"))? {
        let failed = |source| AlterError::Script { line: statement.line, source };
        let keyword = statement_keyword(&statement.text).unwrap_or_default();
        if matches!(keyword.as_str(), "CREATE" | "DROP" | "ALTER") {
            shadow.run(&statement.text).map_err(failed)?;
        } else if let Err(error) = shadow.connection.prepare(&statement.text) {
            let message = message(&error);
            // The real connection may know functions, and SQLite's own tables may exist there only.
            if !message.starts_with("no such function") && !message.starts_with("no such table: sqlite_") {
                return Err(failed(error));
            }
        }
    }
    Ok(())
}
