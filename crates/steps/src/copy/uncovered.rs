//! What a mapping leaves out: found before anything moves, because nobody misses a column until it is gone.

use super::mapping::{Filling, Mapped, Mapping};
use std::collections::BTreeSet;
use switchback_site::columns::{Column, Columns};

/// The two ends of one turn of a copy, by the names that people know.
pub(crate) struct Ends<'a> {
    /// Name of the source's schema.
    pub from: &'a str,
    /// Its tables.
    pub source: &'a Columns,
    /// Name of the target's schema.
    pub to: &'a str,
    /// Its tables; `None` where nobody can know them yet, and the source alone is looked at.
    pub target: Option<&'a Columns>,
}

/// Returns everything about a mapping that does not fit its two ends, a line each. With `everything`, whatever is neither
/// moved nor declared as left behind is said as well.
pub(crate) fn misfits(mapping: &Mapping, ends: &Ends<'_>, everything: bool) -> Vec<String> {
    let mut found = Vec::new();
    for mapped in &mapping.tables {
        table(mapped, ends, everything, &mut found);
    }
    if everything {
        let moved: BTreeSet<&str> = mapping.tables.iter().map(|mapped| mapped.from.as_str()).collect();
        let left = |table: &&String| {
            !moved.contains(table.as_str()) && !mapping.left_behind.contains_key(table.as_str())
        };
        found.extend(ends.source.keys().filter(left).map(|table| {
            format!("table {}.{table} is neither moved nor declared as left behind", ends.from)
        }));
    }
    found
}

fn table(mapped: &Mapped, ends: &Ends<'_>, everything: bool, found: &mut Vec<String>) {
    let from = format!("{}.{}", ends.from, mapped.from);
    let to = format!("{}.{}", ends.to, mapped.to);
    let Some(source) = ends.source.get(&mapped.from) else {
        found.push(format!("table {from} is to be moved, and is not there"));
        return;
    };
    let target = match ends.target.map(|tables| tables.get(&mapped.to)) {
        Some(None) => {
            found.push(format!("table {to} is to be filled, and is not there"));
            return;
        }
        Some(Some(target)) => Some(target.as_slice()),
        None => None,
    };
    let taken = taken(mapped);
    found.extend(
        taken
            .iter()
            .filter(|name| !is_in(source, name))
            .map(|name| format!("column {from}.{name} is to be moved, and is not there")),
    );
    if let Some(target) = target {
        unfilled(mapped, source, target, (&from, &to), everything, found);
    }
    if everything {
        let written = expressions(mapped);
        let uncovered = source.iter().map(|column| column.name.as_str()).filter(|name| {
            !taken.contains(name) && !mapped.leave.contains_key(*name) && !mentions(&written, name)
        });
        found.extend(
            uncovered
                .map(|name| format!("column {from}.{name} is neither moved nor declared as left behind")),
        );
    }
}

fn is_in(columns: &[Column], name: &str) -> bool {
    columns.iter().any(|column| column.name == name)
}

/// Columns of the target that are filled and not there, or there and not filled.
fn unfilled(
    mapped: &Mapped,
    source: &[Column],
    target: &[Column],
    (from, to): (&str, &str),
    everything: bool,
    found: &mut Vec<String>,
) {
    let filled: BTreeSet<&str> = mapped
        .columns
        .iter()
        .map(|(to, _)| to.as_str())
        .chain(mapped.lookups.keys().map(String::as_str))
        .collect();
    found.extend(
        filled
            .iter()
            .filter(|name| !is_in(target, name))
            .map(|name| format!("column {to}.{name} is to be filled, and is not there")),
    );
    for column in target.iter().filter(|column| !filled.contains(column.name.as_str())) {
        let name = &column.name;
        if column.computed || mapped.unfilled.contains_key(name) {
            continue;
        }
        if column.required {
            found
                .push(format!("column {to}.{name} is not filled, and the database refuses a row without it"));
        } else if everything && is_in(source, name) {
            found.push(format!("column {to}.{name} stays unfilled, although {from} has it"));
        }
    }
}

/// The columns of the source that are taken by their names.
fn taken(mapped: &Mapped) -> BTreeSet<&str> {
    let direct = mapped.columns.iter().map(|(_, filling)| filling);
    let searched = mapped.lookups.values().flat_map(|lookup| lookup.by.values());
    direct
        .chain(searched)
        .filter_map(|filling| match filling {
            Filling::Column(name) => Some(name.as_str()),
            _ => None,
        })
        .collect()
}

fn expressions(mapped: &Mapped) -> String {
    let expression = |(_, filling): &(String, Filling)| match filling {
        Filling::Expression(text) => Some(text.clone()),
        _ => None,
    };
    mapped.columns.iter().filter_map(expression).collect::<Vec<_>>().join("\n")
}

/// Whether an expression speaks of a column of the source row: `s.name` or `s."name"`.
fn mentions(expressions: &str, name: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
    let plain = format!("s.{name}");
    expressions.contains(&format!("s.\"{}\"", name.replace('"', "\"\"")))
        || expressions.match_indices(&plain).any(|(at, found)| ends(&expressions[at + found.len()..]))
}
