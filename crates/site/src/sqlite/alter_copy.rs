//! The rows of a rebuilt table: set aside, created anew under the edited text, copied, and what was set aside dropped.
//!
//! The procedure of sqlite.org/lang_altertable.html#otheralter creates under another name and renames at the end, which
//! would put the name in quotes and break a CHECK that names its own table. The other order is safe with
//! `legacy_alter_table` on and `foreign_keys` off: then renaming the old form leaves every text of others alone.

use super::alter_catalog::Table;
use super::alter_error::AlterError;
use super::alter_plan::{Action, Verbatim, Work, message, refused};
use super::alter_spec::TableChange;
use super::ddl::{quote_identifier, quote_text};

/// Plans the new form of `table` from the statement `new_sql`, with the old rows, under the same name.
pub(super) fn renew(
    work: &mut Work,
    table: &Table,
    change: &TableChange,
    new_sql: String,
    aside: &str,
) -> Result<(), AlterError> {
    let name = &table.name;
    let parked = !set_aside(work, table, aside)?;
    if parked {
        park(work, table, aside)?;
    }
    work.create(&format!("table {name}"), new_sql)?;
    copy(work, table, change, aside, parked)?;
    if table.autoincrement {
        // The rows of `sqlite_sequence` went with the name to the old form, and go back before that is dropped.
        let doing = format!("carry the sequence of table {name}");
        let (name, aside) = (quote_text(name), quote_text(aside));
        work.run(doing.clone(), format!("DELETE FROM main.sqlite_sequence WHERE name = {name}"))?;
        work.run(doing, format!("UPDATE main.sqlite_sequence SET name = {name} WHERE name = {aside}"))?;
    }
    let sql = format!("DROP TABLE main.{}", quote_identifier(aside));
    work.run(format!("drop the old form of table {name}"), sql)
}

/// Renames the old form away; says `false` and does nothing where SQLite cannot, because the text names its own table.
fn set_aside(work: &mut Work, table: &Table, aside: &str) -> Result<bool, AlterError> {
    let sql =
        format!("ALTER TABLE main.{} RENAME TO {}", quote_identifier(&table.name), quote_identifier(aside));
    let (on, off) = ("PRAGMA legacy_alter_table=ON", "PRAGMA legacy_alter_table=OFF");
    work.shadow.run(on).map_err(AlterError::Read)?;
    work.shadow.run("SAVEPOINT trial").map_err(AlterError::Read)?;
    let allowed = work.shadow.run(&sql).is_ok();
    work.shadow.run("ROLLBACK TO trial; RELEASE trial").map_err(AlterError::Read)?;
    work.shadow.run(off).map_err(AlterError::Read)?;
    if allowed {
        let doing = format!("set table {} aside", table.name);
        work.run(doing.clone(), on.into())?;
        work.run(doing.clone(), sql)?;
        work.run(doing, off.into())?;
    }
    Ok(allowed)
}

/// Copies the rows into a table without types, which keeps every value as it is, and drops the old form.
fn park(work: &mut Work, table: &Table, aside: &str) -> Result<(), AlterError> {
    let doing = format!("park the rows of table {}", table.name);
    let columns: Vec<String> = stored(table).map(quote_identifier).collect();
    let (quoted, quoted_aside) = (quote_identifier(&table.name), quote_identifier(aside));
    work.run(doing.clone(), format!("CREATE TABLE main.{quoted_aside}({})", columns.join(", ")))?;
    let mut columns = columns;
    columns.extend(table.rowid_word().map(str::to_owned));
    let list = columns.join(", ");
    let sql = format!("INSERT INTO main.{quoted_aside}({list}) SELECT {list} FROM main.{quoted}");
    work.shadow.run(&sql).map_err(|error| refused(&doing, &error))?;
    work.actions.push(Action::Copy {
        table: aside.to_owned(),
        aside: table.name.clone(),
        sql,
        classes: None,
        verbatim: None,
    });
    if table.autoincrement {
        let (name, aside) = (quote_text(&table.name), quote_text(aside));
        let sql = format!("UPDATE main.sqlite_sequence SET name = {aside} WHERE name = {name}");
        work.run(format!("carry the sequence of table {}", table.name), sql)?;
    }
    work.run(doing, format!("DROP TABLE main.{quoted}"))
}

/// Returns the columns that hold values of their own.
fn stored(table: &Table) -> impl Iterator<Item = &str> {
    table.columns.iter().filter(|column| column.hidden == 0).map(|column| column.name.as_str())
}

/// Plans the copy of the rows. Conflict clauses in the definition must not swallow rows, so `OR ABORT` overrides them.
fn copy(
    work: &mut Work,
    old: &Table,
    change: &TableChange,
    aside: &str,
    parked: bool,
) -> Result<(), AlterError> {
    let catalog = work.shadow.catalog()?;
    let new = catalog.table(&old.name).ok_or_else(|| AlterError::NoTable { table: old.name.clone() })?;
    let kept: Vec<&str> =
        stored(old).filter(|name| new.column(name).is_some_and(|column| column.hidden == 0)).collect();
    let quoted: Vec<String> = kept.iter().map(|name| quote_identifier(name)).collect();
    let (mut into, mut from) = (quoted.clone(), quoted);
    // A table whose key is its rowid gets it with the key; one without a rowid has none to keep.
    if let (None, Some(new_word), Some(old_word)) = (new.rowid_alias(), new.rowid_word(), old.rowid_word()) {
        into.insert(0, new_word.to_owned());
        from.insert(0, old_word.to_owned());
    }
    let (table, quoted_aside) = (quote_identifier(&old.name), quote_identifier(aside));
    let sql = format!(
        "INSERT OR ABORT INTO main.{table}({}) SELECT {} FROM main.{quoted_aside}",
        into.join(", "),
        from.join(", ")
    );
    let retyped = |name: &str| change.retype.iter().any(|(column, _)| column.eq_ignore_ascii_case(name));
    let compared: Vec<&str> = kept.into_iter().filter(|name| !retyped(name)).collect();
    let classes = classes(old, new, aside, parked, &compared);
    let doing = format!("copy table {}", old.name);
    work.shadow.run(&sql).map_err(|error| refused(&doing, &error))?;
    if let Some(query) = &classes {
        work.shadow.connection.prepare(query).map_err(|error| AlterError::Refused {
            doing: format!("compare the copy of table {}", old.name),
            reason: message(&error),
        })?;
    }
    let verbatim = if parked { None } else { verbatim(old, new, aside) };
    work.actions.push(Action::Copy {
        table: old.name.clone(),
        aside: aside.to_owned(),
        sql,
        classes,
        verbatim,
    });
    Ok(())
}

/// Returns the form of the copy in which SQLite may move whole records without a look into them ("xfer optimization",
/// insert.c). It does so only for two tables with the same affinities, collations, defaults and rules, column by column;
/// whether it does is asked when the copy is made.
fn verbatim(old: &Table, new: &Table, aside: &str) -> Option<Verbatim> {
    let plain = |table: &Table| table.columns.iter().all(|column| column.hidden == 0);
    let alike = plain(old) && plain(new) && old.columns.len() == new.columns.len();
    let in_order = old.columns.iter().zip(&new.columns).all(|(old, new)| old.name == new.name);
    // Into a table without any index SQLite moves records under rowids of its own making.
    let keeps_rowids = new.rowid_alias().is_some() || !new.indexes.is_empty();
    if !(alike && in_order && keeps_rowids) {
        return None;
    }
    let rowid = |table: &Table| match table.rowid_alias() {
        Some(column) => Some(quote_identifier(&column.name)),
        None => table.rowid_word().map(str::to_owned),
    };
    let sql = format!(
        "INSERT OR ABORT INTO main.{} SELECT * FROM main.{}",
        quote_identifier(&old.name),
        quote_identifier(aside)
    );
    Some(Verbatim { sql, old_rowid: rowid(old)?, new_rowid: rowid(new)? })
}

/// Returns a query that counts rows of which a value changed its storage class. It decodes row headers only.
fn classes(old: &Table, new: &Table, aside: &str, parked: bool, columns: &[&str]) -> Option<String> {
    let key: Vec<String> = if old.without_rowid {
        // Parked rows have no key to be found by.
        if parked {
            return None;
        }
        old.key().iter().map(|column| format!("n.{0} = o.{0}", quote_identifier(&column.name))).collect()
    } else {
        let alias = |table: &Table| table.rowid_alias().map(|column| quote_identifier(&column.name));
        // Where one form has its rowid by another name and the other has not, rows cannot be matched by it.
        if alias(old) != alias(new) {
            return None;
        }
        let new_word = alias(new).or(new.rowid_word().map(str::to_owned))?;
        let old_word = if parked { None } else { alias(old) };
        vec![format!("n.{new_word} = o.{}", old_word.or(old.rowid_word().map(str::to_owned))?)]
    };
    let terms: Vec<String> = columns
        .iter()
        .map(|name| format!("typeof(n.{0}) <> typeof(o.{0})", quote_identifier(name)))
        .collect();
    // In groups, because SQLite limits the depth of an expression and not its width.
    let groups: Vec<String> = terms.chunks(40).map(|terms| format!("({})", terms.join(" OR "))).collect();
    if groups.is_empty() || key.is_empty() {
        return None;
    }
    Some(format!(
        "SELECT count(*) FROM main.{} AS o LEFT JOIN main.{} AS n ON {} WHERE {}",
        quote_identifier(aside),
        quote_identifier(&old.name),
        key.join(" AND "),
        groups.join(" OR ")
    ))
}
