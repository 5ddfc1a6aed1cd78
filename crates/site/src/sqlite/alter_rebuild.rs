//! The rebuild of a table: its text edited, its indexes and triggers set aside and created anew from theirs.

use super::alter_catalog::{Catalog, Table};
use super::alter_copy::renew;
use super::alter_error::AlterError;
use super::alter_plan::{TablePlan, Work, drop_index, index_changes};
use super::alter_spec::{DefaultChange, ForeignKey, TableChange, closed};
use super::ddl::{ForeignKeyClause, TableDdl, quote_identifier};

/// A definition with everything changed but its columns added and dropped.
pub(super) struct Edited {
    ddl: Option<TableDdl>,
    /// Whether the changes ask for a rebuild.
    pub(super) is_needed: bool,
}

/// Edits the text of a table. What the text says already is no change.
pub(super) fn edited(table: &Table, change: &TableChange) -> Result<Edited, AlterError> {
    let quiet = change.retype.is_empty()
        && change.defaults.is_empty()
        && change.not_null.is_empty()
        && change.add_constraints.is_empty()
        && change.drop_constraints.is_empty()
        && change.foreign_keys.as_ref().is_none_or(|wanted| same_keys(wanted, &table.foreign_keys));
    if quiet {
        return Ok(Edited { ddl: None, is_needed: false });
    }
    let failed = || AlterError::definition(&format!("table {}", table.name));
    let mut ddl = read(table)?;
    for (column, new) in &change.retype {
        let same = table.column(column).is_some_and(|column| column.declared == *new);
        if !same {
            ddl = ddl.with_type(column, &closed(new)?).map_err(failed())?;
        }
    }
    for (column, default) in &change.defaults {
        let default = match default {
            DefaultChange::Drop => None,
            DefaultChange::Set(value) => Some(value.sql()?),
        };
        ddl = ddl.with_default(column, default.as_deref()).map_err(failed())?;
    }
    for (column, not_null) in &change.not_null {
        let same = table.column(column).is_some_and(|column| column.not_null == *not_null);
        if !same {
            ddl = ddl.with_not_null(column, *not_null).map_err(failed())?;
        }
    }
    for name in &change.drop_constraints {
        ddl = ddl.without_constraint(name).map_err(failed())?;
    }
    if let Some(wanted) = &change.foreign_keys {
        ddl = with_foreign_keys(ddl, wanted).map_err(failed())?;
    }
    for constraint in &change.add_constraints {
        ddl = ddl.with_constraint(&closed(constraint)?).map_err(failed())?;
    }
    let is_needed = ddl.sql != table.sql;
    Ok(Edited { ddl: Some(ddl), is_needed })
}

/// Reads the definition and makes sure that it means to us what it means to SQLite.
fn read(table: &Table) -> Result<TableDdl, AlterError> {
    let ddl =
        TableDdl::parse(&table.sql).map_err(AlterError::definition(&format!("table {}", table.name)))?;
    let same = ddl.columns.len() == table.columns.len()
        && ddl.columns.iter().zip(&table.columns).all(|(ours, theirs)| ours.name == theirs.name)
        && ddl.foreign_keys().len() == table.foreign_keys.len();
    if same { Ok(ddl) } else { Err(AlterError::Misread { table: table.name.clone() }) }
}

pub(super) fn same_keys(one: &[ForeignKey], other: &[ForeignKey]) -> bool {
    one.len() == other.len() && one.iter().all(|key| other.iter().any(|found| found.is_same(key)))
}

fn with_foreign_keys(mut ddl: TableDdl, wanted: &[ForeignKey]) -> Result<TableDdl, super::ddl::DdlError> {
    let key = |clause: &ForeignKeyClause| ForeignKey {
        columns: clause.columns.clone(),
        table: clause.table.clone(),
        references: clause.references.clone(),
        on_delete: super::alter_spec::Action::parse(clause.on_delete.as_deref().unwrap_or_default()),
        on_update: super::alter_spec::Action::parse(clause.on_update.as_deref().unwrap_or_default()),
        deferrable: clause.deferred,
    };
    while let Some(without) =
        ddl.without_foreign_key(|clause| !wanted.iter().any(|wanted| wanted.is_same(&key(clause))))?
    {
        ddl = without;
    }
    for wanted in wanted {
        if !ddl.foreign_keys().iter().any(|clause| key(clause).is_same(wanted)) {
            ddl = ddl.with_constraint(&clause(wanted))?;
        }
    }
    Ok(ddl)
}

/// Returns a foreign key as a table constraint.
fn clause(key: &ForeignKey) -> String {
    let list =
        |names: &[String]| names.iter().map(|name| quote_identifier(name)).collect::<Vec<_>>().join(", ");
    let mut sql = format!("FOREIGN KEY ({}) REFERENCES {}", list(&key.columns), quote_identifier(&key.table));
    if !key.references.is_empty() {
        sql.push_str(&format!("({})", list(&key.references)));
    }
    for (event, action) in [("DELETE", key.on_delete), ("UPDATE", key.on_update)] {
        if action != super::alter_spec::Action::NoAction {
            sql.push_str(&format!(" ON {event} {}", action.sql()));
        }
    }
    if key.deferrable {
        sql.push_str(" DEFERRABLE INITIALLY DEFERRED");
    }
    sql
}

/// Plans the rebuild of one table.
pub(super) fn rebuild(
    work: &mut Work,
    table: &Table,
    change: &TableChange,
    edited: &Edited,
    way: &mut TablePlan,
) -> Result<(), AlterError> {
    let name = &table.name;
    let new_sql = columns_changed(table, change, edited)?.sql;
    way.lines.push(format!("rebuild {name}: {}", reasons(change)));
    let before = work.shadow.catalog()?;
    let mut triggers: Vec<_> =
        before.triggers.iter().filter(|trigger| trigger.table.eq_ignore_ascii_case(name)).collect();
    triggers.sort_by_key(|trigger| trigger.rank);
    for trigger in &triggers {
        let sql = format!("DROP TRIGGER main.{}", quote_identifier(&trigger.name));
        work.run(format!("set trigger {} aside", trigger.name), sql)?;
    }
    let (gone, come) = index_changes(table, change)?;
    for index in table.indexes.iter().filter(|index| index.sql.is_some()) {
        let (doing, sql) = drop_index(&index.name);
        work.run(doing, sql)?;
    }
    renew(work, table, change, new_sql, &free_name(&before))?;
    for index in &table.indexes {
        if let Some(sql) =
            index.sql.as_ref().filter(|_| !gone.iter().any(|g| g.eq_ignore_ascii_case(&index.name)))
        {
            work.create(&format!("index {}", index.name), sql.clone())?;
        }
    }
    for (index, sql) in come {
        work.create(&format!("index {index}"), sql)?;
    }
    for trigger in triggers {
        work.create(&format!("trigger {}", trigger.name), trigger.sql.clone())?;
    }
    Ok(())
}

fn columns_changed(table: &Table, change: &TableChange, edited: &Edited) -> Result<TableDdl, AlterError> {
    let failed = || AlterError::definition(&format!("table {}", table.name));
    let mut ddl = match &edited.ddl {
        Some(ddl) => ddl.clone(),
        None => read(table)?,
    };
    for column in &change.add {
        let last = ddl.columns.last().map(|column| column.name.clone()).unwrap_or_default();
        let after = column.after.clone().unwrap_or(last);
        ddl = ddl.with_column(&column.sql()?, &after).map_err(failed())?;
    }
    for name in &change.drop {
        ddl = ddl.without_column(name).map_err(failed())?;
    }
    Ok(ddl)
}

fn reasons(change: &TableChange) -> String {
    let mut reasons = Vec::new();
    for column in &change.add {
        let place = column.after.as_ref().map_or("at the end".to_owned(), |after| format!("after {after}"));
        reasons.push(format!("add {} {place}", column.name));
    }
    reasons.extend(change.drop.iter().map(|name| format!("drop {name}")));
    reasons.extend(change.retype.iter().map(|(name, new)| format!("make {name} {new}")));
    reasons.extend(change.defaults.iter().map(|(name, _)| format!("change the default of {name}")));
    let or_not = |not_null: bool| if not_null { "NOT NULL" } else { "nullable" };
    reasons
        .extend(change.not_null.iter().map(|(name, not_null)| format!("make {name} {}", or_not(*not_null))));
    reasons.extend(change.drop_constraints.iter().map(|name| format!("drop constraint {name}")));
    reasons.extend(change.add_constraints.iter().map(|sql| format!("add {sql}")));
    if change.foreign_keys.is_some() {
        reasons.push("set its foreign keys".into());
    }
    if reasons.is_empty() { "as asked for".into() } else { reasons.join(", ") }
}

/// Returns a name that nothing has, in the real database or in the temporary one.
fn free_name(catalog: &Catalog) -> String {
    let name = |number: u32| format!("switchback_aside_{number}");
    (1..).map(name).find(|name| !catalog.is_taken(name)).unwrap_or_else(|| name(0))
}
