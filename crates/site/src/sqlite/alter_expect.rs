//! Does a schema look as declared? Told from the declaration alone, so that it also judges the planner.

use serde::{Deserialize, Serialize};

use super::alter_catalog::{Catalog, Table};
use super::alter_rebuild::same_keys;
use super::alter_spec::{AlterSpec, DefaultChange, IndexChange, NewColumn, TableChange};

/// How a schema stands to a declaration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Applied {
    /// Everything declared is there.
    Applied,
    /// Nothing declared is there yet. Also said of a declaration that no schema can show, such as a bare rebuild:
    /// there the ledger must tell.
    Pending,
    /// Neither: the first reason.
    Other(String),
}

/// What was found of the parts of a declaration.
#[derive(Default)]
struct Tally {
    done: Option<String>,
    open: Option<String>,
    /// Parts that were open and may as well have been done beforehand, such as a default that is as wanted.
    lax_open: Option<String>,
    lax_done: bool,
    odd: Option<String>,
}

impl Tally {
    fn part(&mut self, what: String, done: bool, open: bool) {
        let slot = match (done, open) {
            (true, false) => &mut self.done,
            (false, true) => &mut self.open,
            _ => &mut self.odd,
        };
        slot.get_or_insert(what);
    }

    fn lax(&mut self, what: String, done: bool) {
        self.lax_done |= done;
        if !done {
            self.lax_open.get_or_insert(what);
        }
    }

    fn verdict(self) -> Applied {
        match self {
            Tally { odd: Some(what), .. } => {
                Applied::Other(format!("{what}: neither as before nor as declared"))
            }
            Tally { done: Some(done), open: Some(open), .. } => {
                Applied::Other(format!("half of it is there: {done} is as declared, {open} is not"))
            }
            Tally { done: Some(done), lax_open: Some(open), .. } => {
                Applied::Other(format!("half of it is there: {done} is as declared, {open} is not"))
            }
            Tally { done: Some(_), .. } => Applied::Applied,
            Tally { open: Some(_), .. } | Tally { lax_open: Some(_), .. } => Applied::Pending,
            Tally { lax_done: true, .. } => Applied::Applied,
            Tally { .. } => Applied::Pending,
        }
    }
}

/// Compares a schema with a declaration.
pub fn is_applied(catalog: &Catalog, spec: &AlterSpec) -> Applied {
    let mut tally = Tally::default();
    // A name that one table leaves and another takes says nothing about the one that left.
    let taken = |name: &str| {
        spec.tables
            .iter()
            .any(|(_, change)| change.rename.as_ref().is_some_and(|new| new.eq_ignore_ascii_case(name)))
    };
    for (name, change) in &spec.tables {
        let (old, new) = (catalog.table(name), change.rename.as_deref().and_then(|new| catalog.table(new)));
        let table = match &change.rename {
            Some(to) if !to.eq_ignore_ascii_case(name) => {
                let gone = old.is_none() || taken(name);
                tally.part(format!("table {to}"), new.is_some() && gone, old.is_some() && new.is_none());
                new.or(old)
            }
            _ => old,
        };
        match table {
            Some(table) => look(&mut tally, table, change),
            None => return Applied::Other(format!("table {name} is not there")),
        }
    }
    tally.verdict()
}

fn look(tally: &mut Tally, table: &Table, change: &TableChange) {
    for (from, to) in &change.rename_columns {
        let (old, new) = (table.column(from).is_some(), table.column(to).is_some());
        let reused = change.add.iter().any(|column| column.name.eq_ignore_ascii_case(from));
        let same = from.eq_ignore_ascii_case(to);
        tally.part(format!("column {to} of {}", table.name), new && (!old || reused || same), old && !new);
    }
    for (at, column) in change.add.iter().enumerate() {
        let renamed = change
            .rename_columns
            .iter()
            .any(|(from, to)| from.eq_ignore_ascii_case(&column.name) && table.column(to).is_none());
        let found = table.column(&column.name).is_some();
        let done = found && !renamed && is_added(table, change, at, column);
        tally.part(format!("column {} of {}", column.name, table.name), done, !found || renamed);
    }
    for name in &change.drop {
        let gone = table.column(name).is_none();
        tally.part(format!("the dropping of column {name} of {}", table.name), gone, !gone);
    }
    for (name, index) in &change.indexes {
        let old = table.index(name).is_some();
        match index {
            IndexChange::Drop => tally.part(format!("the dropping of index {name}"), !old, old),
            IndexChange::Create(sql) => {
                let found = table.index(name).and_then(|index| index.sql.as_deref());
                let same = found.is_some_and(|found| index_body(found) == index_body(sql));
                tally.part(format!("index {name}"), old && same, !old);
            }
            IndexChange::Rename(to) => {
                let new = table.index(to).is_some();
                tally.part(format!("index {to}"), new && !old, old && !new);
            }
        }
    }
    look_at_rules(tally, table, change);
}

/// Returns what an index is apart from its name and its layout: whether it is unique, and everything from ON on.
fn index_body(sql: &str) -> (bool, Vec<String>) {
    let tokens = super::ddl::tokenize(sql).unwrap_or_default();
    let words: Vec<_> =
        tokens.iter().filter(|token| token.is_significant() && !token.is_sign(sql, ';')).collect();
    let unique = words.get(1).is_some_and(|token| token.is_word(sql, "UNIQUE"));
    let body = words.iter().skip_while(|token| !token.is_word(sql, "ON")).skip(2);
    (unique, body.map(|token| super::ddl::unquote(token.text(sql)).to_ascii_lowercase()).collect())
}

/// Returns whether an added column is as declared, and in its place.
fn is_added(table: &Table, change: &TableChange, at: usize, wanted: &NewColumn) -> bool {
    let Some(column) = table.column(&wanted.name) else { return false };
    // SQLite reports a type without the blanks around its words.
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let default = wanted.default.as_ref().map(|default| default.sql().unwrap_or_default());
    let hidden = wanted.generated.as_ref().map_or(0, |generated| if generated.stored { 3 } else { 2 });
    let placed = match &wanted.after {
        None => true,
        Some(after) => {
            let later = change.add[at + 1..]
                .iter()
                .filter(|other| other.after.as_ref().is_some_and(|other| other.eq_ignore_ascii_case(after)));
            match (table.position(after), table.position(&wanted.name)) {
                (Some(before), Some(place)) if later.count() == 0 => place == before + 1,
                (Some(before), Some(place)) => place > before,
                _ => change.drop.iter().any(|name| name.eq_ignore_ascii_case(after)),
            }
        }
    };
    words(&column.declared).eq_ignore_ascii_case(&words(&wanted.definition))
        && column.not_null == wanted.not_null
        && same_default(column.default.as_deref(), default.as_deref())
        && column.hidden == hidden
        && wanted.collate.as_deref().is_none_or(|collate| {
            column.collation.as_deref().is_some_and(|found| found.eq_ignore_ascii_case(collate))
        })
        && placed
}

/// Compares defaults as texts; SQLite reports one in brackets without them.
fn same_default(found: Option<&str>, wanted: Option<&str>) -> bool {
    let bare = |text: &str| {
        let text = text.trim();
        text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(text).trim().to_owned()
    };
    found.map(bare) == wanted.map(bare)
}

fn look_at_rules(tally: &mut Tally, table: &Table, change: &TableChange) {
    let name = &table.name;
    for (column, new) in &change.retype {
        let done = table.column(column).is_some_and(|column| column.declared.eq_ignore_ascii_case(new));
        tally.lax(format!("the type of {column} of {name}"), done);
    }
    for (column, default) in &change.defaults {
        let wanted = match default {
            DefaultChange::Drop => None,
            DefaultChange::Set(value) => Some(value.sql().unwrap_or_default()),
        };
        let done = table
            .column(column)
            .is_some_and(|column| same_default(column.default.as_deref(), wanted.as_deref()));
        tally.lax(format!("the default of {column} of {name}"), done);
    }
    for (column, not_null) in &change.not_null {
        let done = table.column(column).is_some_and(|column| column.not_null == *not_null);
        tally.lax(format!("NOT NULL of {column} of {name}"), done);
    }
    if let Some(wanted) = &change.foreign_keys {
        tally.lax(format!("the foreign keys of {name}"), same_keys(wanted, &table.foreign_keys));
    }
    let ddl = super::ddl::TableDdl::parse(&table.sql).ok();
    for constraint in &change.drop_constraints {
        let gone = ddl.as_ref().is_some_and(|ddl| ddl.without_constraint(constraint).is_err());
        tally.lax(format!("the dropping of constraint {constraint} of {name}"), gone);
    }
    for constraint in &change.add_constraints {
        let done = ddl.as_ref().is_some_and(|ddl| {
            ddl.constraints.iter().any(|found| ddl.sql[found.span.clone()] == *constraint.trim())
        });
        tally.lax(format!("constraint `{constraint}` of {name}"), done);
    }
}
