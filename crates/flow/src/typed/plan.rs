//! From moves as asked for to lanes: both ends are looked at, and everything that does not fit is said at once.

use std::collections::{BTreeMap, BTreeSet};

use switchback_model::digest::Cell;

use super::hand::Hand;
use super::lane::{Column, Fill, Lane, Order};
use super::wire::Portions;
use super::{postgres_shape, sqlite_shape};
use crate::cell::{Affinity, CellError, Kind, encode, fits, stored};
use crate::error::FlowError;
use crate::job::{TableMove, Take};

/// A column of the target, whichever database it is in.
struct Wanted {
    name: String,
    not_null: bool,
    generated: bool,
    /// Its type in PostgreSQL, or how it is written where it is not moved; `None` in SQLite.
    kind: Option<Result<Kind, String>>,
    affinity: Affinity,
}

/// Resolves all moves. Reads only; nothing is returned unless everything fits.
pub(super) fn lanes(moves: &[TableMove], from: &mut Hand, to: &mut Hand) -> Result<Vec<Lane>, FlowError> {
    let (mut lanes, mut problems) = (Vec::new(), Vec::new());
    for (number, asked) in moves.iter().enumerate() {
        lanes.extend(lane(number, asked, from, to, &mut problems)?);
    }
    let mut filled: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for lane in &lanes {
        let columns: Vec<&str> = lane.columns.iter().map(|column| column.name.as_str()).collect();
        if filled.entry(&lane.to).or_insert_with(|| columns.clone()) != &columns {
            problems.push(format!("all moves into {} must fill the same columns", lane.to.describe()));
        }
    }
    if problems.is_empty() { Ok(lanes) } else { Err(FlowError::Refused(problems)) }
}

fn lane(
    number: usize,
    asked: &TableMove,
    from: &mut Hand,
    to: &mut Hand,
    problems: &mut Vec<String>,
) -> Result<Option<Lane>, FlowError> {
    let before = problems.len();
    let (source, target) = (asked.from.describe(), asked.to.describe());
    if !asked.lookups.is_empty() {
        problems.push(format!("{target}: lookups need PostgreSQL at both ends"));
    }
    let Some((wanted, key, writes)) = target_of(asked, to)? else {
        problems.push(format!("{target}: the target has no such table"));
        return Ok(None);
    };
    let Some((order, reads, known)) = source_of(asked, from)? else {
        problems.push(format!("{source}: the source has no such table"));
        return Ok(None);
    };
    let (mut columns, mut seen) = (Vec::new(), BTreeSet::new());
    for column in &asked.columns {
        let place = format!("{target}.{}", column.to);
        let Some(wanted) = wanted.iter().find(|wanted| to.same_name(&wanted.name, &column.to)) else {
            problems.push(format!("{place}: the target has no such column"));
            continue;
        };
        if wanted.generated {
            problems.push(format!("{place}: it is generated from other columns"));
        }
        if !seen.insert(wanted.name.clone()) {
            problems.push(format!("{place}: it is filled twice"));
        }
        if let Take::Column(name) = &column.take
            && !known.iter().any(|known| from.same_name(known, name))
        {
            problems.push(format!("{place}: {source} has no column {name}"));
            continue;
        }
        match resolve(&column.take, wanted, from) {
            Ok(fill) => columns.push(Column {
                name: wanted.name.clone(),
                // Where the target does not say it, the source will.
                kind: wanted.kind.clone().and_then(Result::ok).unwrap_or(Kind::Raw),
                fill,
                affinity: wanted.affinity,
                not_null: wanted.not_null,
            }),
            Err(why) => problems.push(format!("{place}: {why}")),
        }
    }
    if columns.is_empty() && problems.len() == before {
        problems.push(format!("{target}: no column of it is filled"));
    }
    if problems.len() > before {
        return Ok(None);
    }
    columns.sort_by(|one, other| one.name.cmp(&other.name));
    let position = |name: &String| columns.iter().position(|column| column.name == *name);
    let key = key.iter().map(position).collect::<Option<Vec<usize>>>().unwrap_or_default();
    let mut lane = Lane {
        number,
        from: asked.from.clone(),
        to: asked.to.clone(),
        columns,
        key,
        reads,
        filter: asked.filter.clone(),
        order,
        writes,
        portions: Portions::default(),
        whole: false,
        lenient: false,
    };
    ask_source(&mut lane, from, matches!(to, Hand::Sqlite(_)), problems)?;
    Ok(Some(lane))
}

type Target = (Vec<Wanted>, Vec<String>, String);

fn target_of(asked: &TableMove, to: &mut Hand) -> Result<Option<Target>, FlowError> {
    Ok(match to {
        Hand::Sqlite(connection) => sqlite_shape::shape(connection, &asked.to)?.map(|shape| {
            let wanted = shape.columns.into_iter().map(|column| Wanted {
                name: column.name,
                not_null: column.not_null,
                generated: column.generated,
                kind: None,
                affinity: column.affinity,
            });
            (wanted.collect(), shape.key, sqlite_shape::table(&asked.to))
        }),
        Hand::Postgres(client) => match postgres_shape::shape(client, &asked.to)? {
            None => None,
            Some(shape) => {
                let wanted = shape.columns.into_iter().map(|column| Wanted {
                    name: column.name,
                    not_null: column.not_null,
                    generated: column.generated,
                    kind: Some(column.kind),
                    affinity: Affinity::Blob,
                });
                Some((wanted.collect(), shape.key, postgres_shape::table(&asked.to)?))
            }
        },
    })
}

type Source = (Order, String, Vec<String>);

fn source_of(asked: &TableMove, from: &mut Hand) -> Result<Option<Source>, FlowError> {
    Ok(match from {
        Hand::Sqlite(connection) => sqlite_shape::shape(connection, &asked.from)?.map(|shape| {
            let order = if shape.order.is_empty() { Order::None } else { Order::Key(shape.order) };
            let names = shape.columns.into_iter().map(|column| column.name).collect();
            (order, format!("{} AS s", sqlite_shape::table(&asked.from)), names)
        }),
        Hand::Postgres(client) => match postgres_shape::shape(client, &asked.from)? {
            None => None,
            Some(shape) => {
                let table = postgres_shape::table(&asked.from)?;
                let names = shape.columns.into_iter().map(|column| column.name).collect();
                Some(match shape.heap {
                    Some((blocks, file)) => {
                        (Order::Blocks { blocks, file }, format!("ONLY {table} AS s"), names)
                    }
                    None => (Order::None, format!("{table} AS s"), names),
                })
            }
        },
    })
}

/// Says what fills a column, or why nothing can.
fn resolve(take: &Take, wanted: &Wanted, from: &Hand) -> Result<Fill, String> {
    if let Some(Err(written)) = &wanted.kind {
        return Err(format!("values of type {written} are not moved between the two databases"));
    }
    Ok(match take {
        Take::Column(name) => {
            Fill::Sql(format!("s.{}", from.quote(name).map_err(|error| error.to_string())?))
        }
        Take::Expression(sql) => Fill::Sql(format!("({sql})")),
        Take::Constant(text) => {
            let field = match (&wanted.kind, text) {
                (_, None) => null(),
                (Some(Ok(kind)), Some(text)) => constant(kind, text),
                (_, Some(text)) => stored(wanted.affinity, text, |cell| {
                    let mut field = Vec::new();
                    encode(&Kind::Raw, cell, &mut field).map(|()| field)
                }),
            };
            Fill::Fixed(field.map_err(|reason| format!("the constant does not fit: {reason}"))?)
        }
    })
}

fn null() -> Result<Vec<u8>, CellError> {
    let mut field = Vec::new();
    encode(&Kind::Raw, Cell::Null, &mut field)?;
    Ok(field)
}

/// Reads a constant as the type's own input would.
fn constant(kind: &Kind, text: &str) -> Result<Vec<u8>, CellError> {
    let mut field = Vec::new();
    match kind {
        Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid => {
            let value = text.trim().parse().map_err(|_| CellError::Form { wanted: "an integer" })?;
            encode(kind, Cell::Integer(value), &mut field)?;
        }
        Kind::Float4 | Kind::Float8 => {
            let value = text.trim().parse().map_err(|_| CellError::Form { wanted: "a real" })?;
            encode(kind, Cell::Real(value), &mut field)?;
        }
        Kind::Bytea => {
            let digits = text.strip_prefix("\\x").filter(|digits| digits.is_ascii() && digits.len() % 2 == 0);
            let bytes: Option<Vec<u8>> = digits.and_then(|digits| {
                (0..digits.len())
                    .step_by(2)
                    .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok())
                    .collect()
            });
            let bytes = bytes.ok_or(CellError::Form { wanted: "bytes like \\x00ff" })?;
            encode(kind, Cell::Blob(&bytes), &mut field)?;
        }
        _ => encode(kind, Cell::Text(text.as_bytes()), &mut field)?,
    }
    Ok(field)
}

/// Lets the source read the expressions, and takes the types from it where the target has none.
fn ask_source(
    lane: &mut Lane,
    from: &mut Hand,
    to_sqlite: bool,
    problems: &mut Vec<String>,
) -> Result<(), FlowError> {
    let before = problems.len();
    let selected = lane.selected();
    let sql = format!("SELECT {} FROM {}{}", list(&selected), lane.reads, lane.condition(None));
    match from {
        Hand::Sqlite(connection) => match connection.prepare(&sql) {
            Ok(statement) if !statement.readonly() => {
                problems.push(format!("{}: an expression would write to the source", lane.to.describe()));
            }
            Ok(_) => {}
            Err(error) => problems.push(format!("{}: {error}", lane.to.describe())),
        },
        Hand::Postgres(client) => {
            let statement = match client.prepare(&sql) {
                Ok(statement) => statement,
                Err(error) => {
                    problems.push(format!("{}: {}", lane.to.describe(), crate::error::said(&error)));
                    return Ok(());
                }
            };
            let mut types = statement.columns().iter().map(|column| column.type_().clone());
            for column in &mut lane.columns {
                if matches!(column.fill, Fill::Fixed(_)) {
                    continue;
                }
                let Some(sort) = types.next() else { break };
                let place = format!("{}.{}", lane.to.describe(), column.name);
                match postgres_shape::kind(client, sort.oid(), -1)? {
                    None => problems.push(format!(
                        "{place}: values of type {} are not moved; move them as text, with an expression such as {}::text",
                        sort.name(),
                        match &column.fill {
                            Fill::Sql(sql) => sql,
                            Fill::Fixed(_) => "s.x",
                        }
                    )),
                    Some(kind) => {
                        if let Err(instead) = fits(&kind, column.affinity) {
                            problems.push(format!(
                                "{place}: a column of {} affinity cannot keep values of type {}; declare it {instead}",
                                column.affinity.name(),
                                kind.name()
                            ));
                        }
                        column.kind = kind;
                    }
                }
            }
        }
    }
    if to_sqlite && problems.len() == before {
        for column in &mut lane.columns {
            if let Kind::Numeric { free, .. } = &mut column.kind {
                // SQLite makes a number of it there, and a number has no trailing zeros.
                *free = matches!(column.affinity, Affinity::Numeric | Affinity::Real);
            }
        }
    }
    Ok(())
}

/// A list for SELECT, which must not be empty.
pub(super) fn list(expressions: &[&str]) -> String {
    if expressions.is_empty() { "NULL".to_owned() } else { expressions.join(", ") }
}
