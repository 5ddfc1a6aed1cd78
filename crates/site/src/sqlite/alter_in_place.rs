//! The changes that SQLite makes without touching rows, and `DROP COLUMN`.

use super::alter_catalog::Table;
use super::alter_error::AlterError;
use super::alter_plan::{TablePlan, Work, drop_index, index_changes};
use super::alter_spec::{NewColumn, TableChange};
use super::ddl::quote_identifier;

/// Renames a table and its columns. Texts of children, triggers and views follow (sqlite.org/lang_altertable.html#altertabrename).
pub(super) fn rename(work: &mut Work, table: &Table, change: &TableChange) -> Result<TablePlan, AlterError> {
    let mut name = table.name.clone();
    let mut lines = Vec::new();
    if let Some(new) = change.rename.as_ref().filter(|new| **new != name) {
        let sql = format!("ALTER TABLE main.{} RENAME TO {}", quote_identifier(&name), quote_identifier(new));
        let doing = format!("rename table {name} to {new}");
        lines.push(format!("{doing} (in place)"));
        work.run(doing, sql)?;
        name.clone_from(new);
    }
    for (old, new) in &change.rename_columns {
        if table.column(old).is_none() {
            return Err(AlterError::no_column(&table.name, old));
        }
        let (quoted, from, to) = (quote_identifier(&name), quote_identifier(old), quote_identifier(new));
        let doing = format!("rename column {old} of {name} to {new}");
        lines.push(format!("{doing} (in place)"));
        work.run(doing, format!("ALTER TABLE main.{quoted} RENAME COLUMN {from} TO {to}"))?;
    }
    Ok(TablePlan { table: table.name.clone(), becomes: name, rebuilt: false, lines })
}

/// Returns whether what is left needs no copy of the table: columns that come at the end, and columns that SQLite lets go.
pub(super) fn is_in_place(work: &Work, table: &Table, change: &TableChange) -> Result<bool, AlterError> {
    let mut last = table.columns.iter().rfind(|column| column.hidden != 1).map(|column| column.name.clone());
    for column in &change.add {
        let at_end = match (&column.after, &last) {
            (None, _) => true,
            (Some(after), Some(last)) => after.eq_ignore_ascii_case(last),
            (Some(_), None) => false,
        };
        let constant = column.default.as_ref().is_none_or(|default| default.is_constant());
        let stored = column.generated.as_ref().is_some_and(|generated| generated.stored);
        if !at_end || !constant || stored {
            return Ok(false);
        }
        last = Some(column.name.clone());
    }
    if change.drop.is_empty() {
        return Ok(true);
    }
    // Which columns SQLite lets go is a long list of conditions, so it is asked.
    let (gone, _) = index_changes(table, change)?;
    let mut trial: Vec<String> = gone.iter().map(|name| drop_index(name).1).collect();
    trial.extend(change.add.iter().map(|column| add_sql(table, column)).collect::<Result<Vec<_>, _>>()?);
    trial.extend(change.drop.iter().map(|name| drop_sql(table, name)));
    work.shadow.run("SAVEPOINT trial").map_err(AlterError::Read)?;
    let allowed = trial.iter().all(|sql| work.shadow.run(sql).is_ok());
    work.shadow.run("ROLLBACK TO trial; RELEASE trial").map_err(AlterError::Read)?;
    Ok(allowed)
}

/// Makes the changes that [`is_in_place`] allows.
pub(super) fn in_place(
    work: &mut Work,
    table: &Table,
    change: &TableChange,
    way: &mut TablePlan,
) -> Result<(), AlterError> {
    let (gone, come) = index_changes(table, change)?;
    for name in gone {
        let (doing, sql) = drop_index(&name);
        way.lines.push(doing.clone());
        work.run(doing, sql)?;
    }
    for column in &change.add {
        let doing = format!("add column {} to {}", column.name, table.name);
        way.lines.push(format!("{doing} (in place)"));
        work.run(doing, add_sql(table, column)?)?;
    }
    for name in &change.drop {
        let doing = format!("drop column {name} of {}", table.name);
        way.lines.push(format!("{doing} (in place; its values are cut out of every row)"));
        work.run(doing, drop_sql(table, name))?;
    }
    for (name, sql) in come {
        way.lines.push(format!("create index {name}"));
        work.create(&format!("index {name}"), sql)?;
    }
    Ok(())
}

fn add_sql(table: &Table, column: &NewColumn) -> Result<String, AlterError> {
    Ok(format!("ALTER TABLE main.{} ADD COLUMN {}", quote_identifier(&table.name), column.sql()?))
}

fn drop_sql(table: &Table, column: &str) -> String {
    format!("ALTER TABLE main.{} DROP COLUMN {}", quote_identifier(&table.name), quote_identifier(column))
}
