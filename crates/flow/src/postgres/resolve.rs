//! From what is asked for to what can be done: every name looked up, every type compared, all that does not fit said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use postgres::Client;

use super::catalog::{self, Column, Table};
use super::order::{Group, Reference, order_without};
use crate::error::FlowError;
use crate::job::{ColumnMove, Miss, TableMove, TableName, Take};
use switchback_site::postgres::names::qualified;

/// A move whose names and types are known.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    pub from: Arc<Table>,
    pub to: Arc<Table>,
    /// In the order of the target's columns; all moves into one table have the same.
    pub columns: Vec<Filled>,
    pub lookups: Vec<Found>,
    pub filter: Option<String>,
}

/// A column of the target and what fills it.
#[derive(Debug, Clone)]
pub(super) struct Filled {
    pub column: Column,
    pub value: Value,
}

/// What fills a column.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// A column of the source whose type is that of the target.
    Column(String),
    /// An expression over the source row `s`.
    Expression(String),
    /// A constant.
    Constant(Option<String>),
    /// What the lookup of this number finds.
    Lookup(usize),
}

/// A lookup.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub to: String,
    pub within: Arc<Table>,
    pub by: Vec<Filled>,
    pub take: String,
    pub miss: Miss,
}

/// All moves, and the tables that are filled.
#[derive(Debug)]
pub(super) struct Plan {
    pub moves: Vec<Resolved>,
    pub targets: Vec<Arc<Table>>,
    /// The moves into each target.
    pub into: Vec<Vec<usize>>,
    /// In which order the targets are filled.
    pub groups: Vec<Group>,
    /// Foreign keys, by their numbers, that have to be away while the tables are filled: a circle that cannot wait for the
    /// commit.
    pub circle: BTreeSet<u32>,
    /// What has to be filled before what.
    pub references: Vec<Reference>,
    /// Whether both ends are one database.
    pub same: bool,
}

impl Resolved {
    /// Whether the rows can travel in the binary form: the bytes of every type mean the same at both ends.
    pub fn is_plain(&self) -> bool {
        self.columns.iter().all(|filled| filled.column.plain)
            && self.lookups.iter().flat_map(|lookup| &lookup.by).all(|by| by.column.plain)
    }

    /// Names it for people.
    pub fn describe(&self) -> String {
        format!("{} to {}", self.from.name.describe(), self.to.name.describe())
    }
}

/// Looks everything up. Reads only.
pub(super) fn resolve(
    moves: &[TableMove],
    source: &mut Client,
    target: &mut Client,
    same: bool,
) -> Result<Plan, FlowError> {
    let mut wrong = Vec::new();
    for job in moves {
        let within = job.lookups.iter().map(|lookup| &lookup.within);
        for name in [&job.from, &job.to].into_iter().chain(within) {
            match &name.schema {
                None => wrong.push(format!("table {} is named without its schema", name.describe())),
                Some(schema) => {
                    if let Err(error) = qualified(schema, &name.table) {
                        wrong.push(error.to_string());
                    }
                }
            }
        }
    }
    if !wrong.is_empty() {
        return Err(FlowError::Refused(unique(wrong)));
    }
    let sources: BTreeSet<&TableName> = moves.iter().map(|job| &job.from).collect();
    let targets: BTreeSet<&TableName> = moves
        .iter()
        .flat_map(|job| std::iter::once(&job.to).chain(job.lookups.iter().map(|lookup| &lookup.within)))
        .collect();
    let sources = read(source, sources)?;
    let targets = read(target, targets)?;
    let mut resolved = Vec::new();
    for job in moves {
        match one(job, &sources, &targets, same) {
            Ok(job) => resolved.push(job),
            Err(errors) => wrong.extend(errors),
        }
    }
    if !wrong.is_empty() {
        return Err(FlowError::Refused(unique(wrong)));
    }
    plan(resolved, same).map_err(FlowError::Refused)
}

type Tables = BTreeMap<TableName, Arc<Table>>;

fn read(client: &mut Client, names: BTreeSet<&TableName>) -> Result<Tables, FlowError> {
    let names: Vec<&TableName> = names.into_iter().collect();
    let tables = catalog::read(client, &names)?;
    Ok(tables.into_iter().map(|(name, table)| (name, Arc::new(table))).collect())
}

/// Keeps the first of equal lines: 50 tenants would say each thing 50 times.
fn unique(lines: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    lines.into_iter().filter(|line| seen.insert(line.clone())).collect()
}

fn one(job: &TableMove, sources: &Tables, targets: &Tables, same: bool) -> Result<Resolved, Vec<String>> {
    let mut wrong = Vec::new();
    let (from_name, to_name) = (job.from.describe(), job.to.describe());
    let from = sources.get(&job.from);
    let to = targets.get(&job.to);
    if from.is_none() {
        wrong.push(format!("the source has no table {from_name}"));
    }
    match to {
        None => wrong.push(format!("the target has no table {to_name}")),
        Some(to) if !to.is_table() => wrong.push(format!("{to_name} is no table that rows can be put into")),
        Some(to) => {
            if let Some(reaction) = to.reactions.first() {
                wrong.push(format!(
                    "{reaction} of {to_name} would run for every row; it may change rows or others' tables, so disable it first"
                ));
            }
        }
    }
    let (Some(from), Some(to)) = (from, to) else { return Err(wrong) };
    if same && from.oid == to.oid {
        wrong.push(format!("{to_name} would be copied into itself"));
    }
    let mut columns: Vec<Filled> = Vec::new();
    let mut lookups = Vec::new();
    let mut fill = |name: &str, value: Value, wrong: &mut Vec<String>| {
        let Some(column) = to.column(name) else {
            wrong.push(format!("{to_name} has no column {name}"));
            return;
        };
        if column.generated {
            wrong.push(format!("column {name} of {to_name} is generated; leave it out"));
        }
        if columns.iter().any(|filled: &Filled| filled.column.name == name) {
            wrong.push(format!("column {name} of {to_name} is filled twice"));
        }
        columns.push(Filled { column: column.clone(), value });
    };
    for ColumnMove { to: name, take } in &job.columns {
        match value(take, from, to.column(name), &to_name, same) {
            Ok(value) => fill(name, value, &mut wrong),
            Err(error) => wrong.push(error),
        }
    }
    for lookup in &job.lookups {
        let within_name = lookup.within.describe();
        let Some(within) = targets.get(&lookup.within).filter(|table| table.is_table()) else {
            wrong.push(format!("the target has no table {within_name}"));
            continue;
        };
        match (within.column(&lookup.take), to.column(&lookup.to)) {
            (None, _) => wrong.push(format!("{within_name} has no column {}", lookup.take)),
            (Some(take), Some(column)) if !fits(take, column, true) => wrong.push(format!(
                "column {} of {to_name} is {}, and {} of {within_name} is {}",
                lookup.to, column.full_type, lookup.take, take.full_type
            )),
            _ => {}
        }
        if lookup.by.is_empty() {
            wrong.push(format!("the lookup of column {} of {to_name} does not say by what", lookup.to));
        }
        let mut by = Vec::new();
        for ColumnMove { to: name, take } in &lookup.by {
            match (within.column(name), value(take, from, within.column(name), &within_name, same)) {
                (None, _) => wrong.push(format!("{within_name} has no column {name}")),
                (Some(column), Ok(value)) => by.push(Filled { column: column.clone(), value }),
                (Some(_), Err(error)) => wrong.push(error),
            }
        }
        fill(&lookup.to, Value::Lookup(lookups.len()), &mut wrong);
        lookups.push(Found {
            to: lookup.to.clone(),
            within: within.clone(),
            by,
            take: lookup.take.clone(),
            miss: lookup.miss,
        });
    }
    for column in &to.columns {
        let filled = columns.iter().any(|filled| filled.column.name == column.name);
        if column.not_null && !column.default && !column.generated && !filled {
            wrong
                .push(format!("column {} of {to_name} must have a value, and nothing fills it", column.name));
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    Ok(Resolved { from: from.clone(), to: to.clone(), columns, lookups, filter: job.filter.clone() })
}

fn value(
    take: &Take,
    from: &Table,
    column: Option<&Column>,
    to_name: &str,
    same: bool,
) -> Result<Value, String> {
    Ok(match take {
        Take::Expression(sql) => Value::Expression(sql.clone()),
        Take::Constant(Some(text)) if text.contains('\0') => {
            return Err(format!(
                "a constant for {to_name} contains a NUL byte, which no PostgreSQL text holds"
            ));
        }
        Take::Constant(text) => Value::Constant(text.clone()),
        Take::Column(name) => {
            let from_name = from.name.describe();
            let Some(there) = from.column(name) else {
                return Err(format!("{from_name} has no column {name}"));
            };
            if let Some(column) = column.filter(|column| !fits(there, column, same)) {
                return Err(format!(
                    "column {} of {to_name} is {}, and {name} of {from_name} is {}: give an expression that says how",
                    column.name, column.full_type, there.full_type
                ));
            }
            Value::Column(name.clone())
        }
    })
}

/// Whether every value of one column fits the other and stays the same to the last byte.
fn fits(from: &Column, to: &Column, same: bool) -> bool {
    let base = if same { from.type_oid == to.type_oid } else { from.base_type == to.base_type };
    // For the two text types a limit says only how long a value may be, so a wider one changes nothing. The limits of
    // others (numeric, timestamp, bit, character) change the value.
    let wider = to.base_type == "character varying"
        && (to.typmod < 0 || from.typmod >= 0 && from.typmod <= to.typmod);
    base && (from.typmod == to.typmod || to.typmod < 0 || wider)
}

/// Groups the moves by what they fill.
fn plan(mut moves: Vec<Resolved>, same: bool) -> Result<Plan, Vec<String>> {
    let mut targets: Vec<Arc<Table>> = Vec::new();
    let mut into: Vec<Vec<usize>> = Vec::new();
    let mut at: BTreeMap<u32, usize> = BTreeMap::new();
    for (number, job) in moves.iter().enumerate() {
        let target = *at.entry(job.to.oid).or_insert_with(|| {
            targets.push(job.to.clone());
            into.push(Vec::new());
            targets.len() - 1
        });
        into[target].push(number);
    }
    let mut wrong = Vec::new();
    for (table, numbers) in targets.iter().zip(&into) {
        wrong.extend(level(table, numbers, &mut moves));
    }
    let mut references = Vec::new();
    for (number, table) in targets.iter().enumerate() {
        for key in &table.foreign {
            if let Some(to) = at.get(&key.to) {
                let key = (Some(key.oid), key.deferrable);
                references.push(Reference { from: number, to: *to, key: key.0, deferrable: key.1 });
            }
        }
        for job in &into[number] {
            for lookup in &moves[*job].lookups {
                if let Some(to) = at.get(&lookup.within.oid) {
                    references.push(Reference { from: number, to: *to, key: None, deferrable: false });
                }
            }
        }
    }
    let ordered = order_without(targets.len(), &mut references.clone()).unwrap_or_else(|circle| {
        let names: Vec<String> = circle.iter().map(|table| targets[*table].name.describe()).collect();
        wrong.push(format!("{} look each other up, so none of them can be filled first", names.join(", ")));
        Default::default()
    });
    let (groups, circle) = ordered;
    let plan = Plan { moves, targets, into, groups, circle, references, same };
    if wrong.is_empty() { Ok(plan) } else { Err(unique(wrong)) }
}

impl Plan {
    /// Whether the tables could be filled if these foreign keys were away.
    pub fn would_do(&self, away: &BTreeSet<u32>) -> bool {
        let stays = |one: &&Reference| one.key.is_none_or(|key| !away.contains(&key));
        let mut left: Vec<Reference> = self.references.iter().filter(stays).copied().collect();
        order_without(self.targets.len(), &mut left).is_ok_and(|(_, circle)| circle.is_empty())
    }

    /// What to say where the circle has to stay.
    pub fn stuck(&self) -> String {
        let within = |table: &&Arc<Table>| table.foreign.iter().any(|key| self.circle.contains(&key.oid));
        let names: Vec<String> =
            self.targets.iter().filter(within).map(|table| table.name.describe()).collect();
        format!(
            "{} refer to one another, and none of the references can wait for the commit; one can be put aside for the load where \
             the table that it is of is empty and yours and no event trigger watches: see to that, or make one of them deferrable",
            names.join(", ")
        )
    }
}

/// Gives all moves into one table the same columns, in the table's order: only then is the table's digest the sum of its
/// sources' digests.
fn level(table: &Table, numbers: &[usize], moves: &mut [Resolved]) -> Vec<String> {
    let filled: BTreeSet<String> = numbers
        .iter()
        .flat_map(|number| moves[*number].columns.iter().map(|filled| filled.column.name.clone()))
        .collect();
    let mut wrong = Vec::new();
    for number in numbers {
        let job = &mut moves[*number];
        for column in table.columns.iter().filter(|column| filled.contains(&column.name)) {
            if job.columns.iter().any(|filled| filled.column.name == column.name) {
                continue;
            }
            if column.default {
                wrong.push(format!(
                    "column {} of {} is filled by one move and left to its default by that of {}; fill it in both",
                    column.name,
                    table.name.describe(),
                    job.from.name.describe()
                ));
            }
            job.columns.push(Filled { column: column.clone(), value: Value::Constant(None) });
        }
        job.columns
            .sort_by_key(|filled| table.columns.iter().position(|column| column.name == filled.column.name));
    }
    wrong
}
