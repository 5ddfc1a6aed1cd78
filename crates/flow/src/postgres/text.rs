//! The SQL of a move. Names are quoted and qualified; an expression of the playbook stands in brackets of its own.

use std::fmt::Write as _;

use super::catalog::{Column, Table};
use super::parts::Blocks;
use super::resolve::{Filled, Found, Resolved, Value};
use crate::error::FlowError;
use crate::job::Miss;
use switchback_site::postgres::names::{literal, qualified, quote};

/// Where a constant goes.
pub(super) enum Constants<'a> {
    /// It is bound: `$1`, as text.
    Bound(&'a mut Vec<Option<String>>),
    /// It is written as a quoted literal, because COPY takes no parameters.
    Literal,
}

/// What a value is cast to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cast {
    /// What an INSERT casts by itself: a value that does not fit is an error.
    Assignment,
    /// The type without its limits, which the reader of the stream looks at.
    Base,
    /// The column's whole type: what the value became when it was put there.
    Full,
}

impl Constants<'_> {
    fn write(&mut self, text: Option<&str>, type_name: &str) -> Result<String, FlowError> {
        match (self, text) {
            (_, None) => Ok(format!("NULL::{type_name}")),
            (Constants::Bound(values), Some(text)) => {
                values.push(Some(text.to_owned()));
                Ok(format!("${}::text::{type_name}", values.len()))
            }
            (Constants::Literal, Some(text)) => Ok(format!("{}::{type_name}", literal(text).map_err(named)?)),
        }
    }
}

/// A table's name in SQL text.
pub(super) fn name(table: &Table) -> Result<String, FlowError> {
    qualified(table.name.schema.as_deref().unwrap_or_default(), &table.name.table).map_err(named)
}

/// A column's name in SQL text.
pub(super) fn column(name: &str) -> Result<String, FlowError> {
    quote(name).map_err(named)
}

fn named(error: switchback_site::postgres::names::NameError) -> FlowError {
    FlowError::Refused(vec![error.to_string()])
}

/// `FROM` for rows of a table alone, without those of tables that inherit from it.
pub(super) fn only(table: &Table) -> Result<String, FlowError> {
    Ok(if table.has_blocks() { format!("ONLY {}", name(table)?) } else { name(table)? })
}

/// The condition for rows in a range of blocks of `s`.
pub(super) fn within(blocks: Option<Blocks>) -> Option<String> {
    let (from, to) = blocks?;
    let mut sql = format!("s.ctid >= '({from},0)'::tid");
    if let Some(to) = to {
        let _ = write!(sql, " AND s.ctid < '({to},0)'::tid");
    }
    Some(sql)
}

/// The names of the columns that are filled, separated by commas.
pub(super) fn filled(job: &Resolved) -> Result<String, FlowError> {
    let names: Result<Vec<_>, _> = job.columns.iter().map(|filled| column(&filled.column.name)).collect();
    Ok(names?.join(", "))
}

/// One value over the source row `s`.
pub(super) fn value(filled: &Filled, cast: Cast, constants: &mut Constants<'_>) -> Result<String, FlowError> {
    let Column { base_type, full_type, .. } = &filled.column;
    Ok(match &filled.value {
        Value::Column(name) => format!("s.{}", column(name)?),
        Value::Lookup(number) => format!("l{number}.v"),
        Value::Constant(text) => {
            let type_name = if cast == Cast::Full { full_type } else { base_type };
            constants.write(text.as_deref(), type_name)?
        }
        Value::Expression(sql) => match cast {
            Cast::Assignment => format!("({sql}\n)"),
            Cast::Base => format!("({sql}\n)::{base_type}"),
            Cast::Full => format!("({sql}\n)::{full_type}"),
        },
    })
}

/// The joins of all lookups, each as `l0`, `l1`… with the found value `v` and a first key `k` that is NULL where nothing was
/// found.
fn joins(job: &Resolved, constants: &mut Constants<'_>) -> Result<String, FlowError> {
    let mut sql = String::new();
    for (number, lookup) in job.lookups.iter().enumerate() {
        let on: Result<Vec<String>, FlowError> = lookup
            .by
            .iter()
            .enumerate()
            .map(|(key, by)| Ok(format!("l{number}.k{key} = {}", value(by, Cast::Base, constants)?)))
            .collect();
        let _ = write!(sql, " LEFT JOIN ({}) l{number} ON {}", searched(lookup)?, on?.join(" AND "));
    }
    Ok(sql)
}

/// The table that a lookup searches: the value as `v`, the keys as `k0`, `k1`….
fn searched(lookup: &Found) -> Result<String, FlowError> {
    let mut sql = format!("SELECT w.{} AS v", column(&lookup.take)?);
    for (key, by) in lookup.by.iter().enumerate() {
        let _ = write!(sql, ", w.{} AS k{key}", column(&by.column.name)?);
    }
    let _ = write!(sql, " FROM {} w", name(&lookup.within)?);
    Ok(sql)
}

/// The condition under which lookup `number` finds nothing. A key that is NULL searches for nothing, which is no miss.
fn missed(number: usize, lookup: &Found, constants: &mut Constants<'_>) -> Result<String, FlowError> {
    let mut sql = format!("l{number}.k0 IS NULL");
    for by in &lookup.by {
        let _ = write!(sql, " AND {} IS NOT NULL", value(by, Cast::Base, constants)?);
    }
    Ok(sql)
}

/// `FROM … WHERE …` of a move, with its filter and range. `rows` is what stands for the source table.
fn rows_of(
    job: &Resolved,
    rows: &str,
    blocks: Option<Blocks>,
    filter: bool,
    more: &[String],
    constants: &mut Constants<'_>,
) -> Result<String, FlowError> {
    let mut conditions: Vec<String> = Vec::new();
    if let Some(filter) = job.filter.as_ref().filter(|_| filter) {
        conditions.push(format!("({filter}\n)"));
    }
    conditions.extend(within(blocks));
    conditions.extend_from_slice(more);
    let joins = joins(job, constants)?;
    let condition =
        if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    Ok(format!("FROM {rows} s{joins}{condition}"))
}

/// The conditions that leave out what a lookup drops.
fn kept(job: &Resolved, constants: &mut Constants<'_>) -> Result<Vec<String>, FlowError> {
    let dropping = job.lookups.iter().enumerate().filter(|(_, lookup)| lookup.miss == Miss::Drop);
    dropping.map(|(number, lookup)| Ok(format!("NOT ({})", missed(number, lookup, constants)?))).collect()
}

/// Inserts what `rows` says.
pub(super) fn insert(
    job: &Resolved,
    rows: &str,
    blocks: Option<Blocks>,
    filter: bool,
    constants: &mut Constants<'_>,
) -> Result<String, FlowError> {
    // A column GENERATED ALWAYS AS IDENTITY takes a value of ours only when it is told to.
    let overriding =
        if job.columns.iter().any(|filled| filled.column.always) { "OVERRIDING SYSTEM VALUE " } else { "" };
    let values: Result<Vec<_>, _> =
        job.columns.iter().map(|filled| value(filled, Cast::Assignment, constants)).collect();
    let kept = kept(job, constants)?;
    Ok(format!(
        "INSERT INTO {} ({}) {overriding}SELECT {} {}",
        name(&job.to)?,
        filled(job)?,
        values?.join(", "),
        rows_of(job, rows, blocks, filter, &kept, constants)?
    ))
}

/// Selects the values of a move for a comparison with the target: as the columns of the target will show them. `far`: it is
/// asked in another database than the target.
pub(super) fn expected(
    job: &Resolved,
    rows: &str,
    blocks: Option<Blocks>,
    (filter, far): (bool, bool),
    show: impl Fn(&Filled, String) -> String,
) -> Result<String, FlowError> {
    let constants = &mut Constants::Literal;
    let value = |filled: &Filled, constants: &mut Constants<'_>| {
        if far { abroad(filled, Cast::Full) } else { value(filled, Cast::Full, constants) }
    };
    let values: Result<Vec<String>, FlowError> =
        job.columns.iter().map(|filled| Ok(show(filled, value(filled, constants)?))).collect();
    let kept = kept(job, constants)?;
    Ok(format!("SELECT {} {}", values?.join(", "), rows_of(job, rows, blocks, filter, &kept, constants)?))
}

/// Selects what the target holds, in the order and form of [`expected`].
pub(super) fn held(
    job: &Resolved,
    blocks: Option<Blocks>,
    show: impl Fn(&Filled, String) -> String,
) -> Result<String, FlowError> {
    let values: Result<Vec<String>, FlowError> = job
        .columns
        .iter()
        .map(|filled| Ok(show(filled, format!("s.{}", column(&filled.column.name)?))))
        .collect();
    let condition = within(blocks).map_or(String::new(), |condition| format!(" WHERE {condition}"));
    Ok(format!("SELECT {} FROM {} s{condition}", values?.join(", "), only(&job.to)?))
}

/// How a value is shown to a digest: by the bytes of its type, or as text where those mean nothing in another database.
pub(super) fn comparable(filled: &Filled, sql: String) -> String {
    if filled.column.plain { sql } else { format!("({sql})::text") }
}

/// Counts the rows that lookups drop.
pub(super) fn dropped(
    job: &Resolved,
    rows: &str,
    blocks: Option<Blocks>,
    filter: bool,
) -> Result<Option<String>, FlowError> {
    let constants = &mut Constants::Literal;
    let kept = kept(job, constants)?;
    if kept.is_empty() {
        return Ok(None);
    }
    // Not "is not true": a condition of IS NULL and IS NOT NULL is never unknown.
    let lost = format!("NOT ({})", kept.join(" AND "));
    Ok(Some(format!("SELECT count(*) {}", rows_of(job, rows, blocks, filter, &[lost], constants)?)))
}

/// Finds the first rows for which lookup `number` finds nothing: what they searched for, as text.
pub(super) fn misses(
    job: &Resolved,
    number: usize,
    rows: &str,
    blocks: Option<Blocks>,
    filter: bool,
) -> Result<String, FlowError> {
    let constants = &mut Constants::Literal;
    let Some(lookup) = job.lookups.get(number) else {
        return Err(FlowError::Bug("a lookup is lost".to_owned()));
    };
    let lost = missed(number, lookup, constants)?;
    let key = shown(lookup, |by| value(by, Cast::Base, &mut Constants::Literal))?;
    Ok(format!("SELECT {key} {} LIMIT 5", rows_of(job, rows, blocks, filter, &[lost], constants)?))
}

/// Finds a row of the searched table that lookup `number` finds beside another one.
pub(super) fn doubles(
    job: &Resolved,
    number: usize,
    rows: &str,
    blocks: Option<Blocks>,
    filter: bool,
) -> Result<String, FlowError> {
    let constants = &mut Constants::Literal;
    let Some(lookup) = job.lookups.get(number) else {
        return Err(FlowError::Bug("a lookup is lost".to_owned()));
    };
    let key = shown(lookup, |by| value(by, Cast::Base, &mut Constants::Literal))?;
    // Only what the source asks for: that the table has other doubles is not our business.
    let alone = Resolved { lookups: vec![lookup.clone()], ..job.clone() };
    let keys: Vec<String> = (0..lookup.by.len()).map(|key| format!("l0.k{key}")).collect();
    let values: Result<Vec<_>, _> = lookup.by.iter().map(|by| value(by, Cast::Base, constants)).collect();
    let distinct = Resolved { lookups: Vec::new(), ..alone };
    let asked: Vec<String> =
        values?.into_iter().enumerate().map(|(number, value)| format!("{value} AS a{number}")).collect();
    let on: Vec<String> =
        keys.iter().enumerate().map(|(number, key)| format!("{key} = q.a{number}")).collect();
    Ok(format!(
        "SELECT min(q.shown) FROM (SELECT DISTINCT {}, {key} AS shown {}) q JOIN ({}) l0 ON {} GROUP BY {} HAVING count(*) > 1 LIMIT 1",
        asked.join(", "),
        rows_of(&distinct, rows, blocks, filter, &[], constants)?,
        searched(lookup)?,
        on.join(" AND "),
        keys.join(", ")
    ))
}

/// The keys of a lookup as one text: `a = 1, b = x`.
fn shown(
    lookup: &Found,
    mut value: impl FnMut(&Filled) -> Result<String, FlowError>,
) -> Result<String, FlowError> {
    let keys: Result<Vec<String>, FlowError> = lookup
        .by
        .iter()
        .map(|by| {
            let label = literal(&format!("{} = ", by.column.name)).map_err(named)?;
            Ok(format!("{label}, coalesce(({})::text, 'NULL')", value(by)?))
        })
        .collect();
    Ok(format!("concat({})", keys?.join(", ', ', ")))
}

/// One value in a database where the types of the target's application have no name: as text, which the other end reads.
fn abroad(filled: &Filled, cast: Cast) -> Result<String, FlowError> {
    if filled.column.plain {
        return value(filled, cast, &mut Constants::Literal);
    }
    match &filled.value {
        Value::Constant(Some(text)) => Ok(format!("{}::text", literal(text).map_err(named)?)),
        Value::Constant(None) => Ok("NULL::text".to_owned()),
        _ => Ok(format!("({})::text", value(filled, Cast::Assignment, &mut Constants::Literal)?)),
    }
}

/// Selects what goes into a stream to another database.
pub(super) fn stream(job: &Resolved, blocks: Option<Blocks>, text: bool) -> Result<String, FlowError> {
    let constants = &mut Constants::Literal;
    let alone = Resolved { lookups: Vec::new(), ..job.clone() };
    let keys = job.lookups.iter().flat_map(|lookup| &lookup.by);
    let of_columns = job.columns.iter().filter(|filled| !matches!(filled.value, Value::Lookup(_)));
    let mut values = Vec::new();
    for filled in of_columns.chain(keys) {
        values.push(if text { abroad(filled, Cast::Base)? } else { value(filled, Cast::Base, constants)? });
    }
    Ok(format!(
        "SELECT {} {}",
        values.join(", "),
        rows_of(&alone, &only(&job.from)?, blocks, true, &[], constants)?
    ))
}
