//! Loops, expanded when a plan is made: the list is asked for once, ordered, and frozen in the plan.

use crate::planner::Refusal;
use std::collections::BTreeSet;
use switchback_model::compile::Compile;
use switchback_model::decode::{Decode, Decoder};
use switchback_model::diagnostic::Diagnostic;
use switchback_model::each::{EACH, EachBody, Item};
use switchback_model::plan::{Fact, FactKind};
use switchback_model::playbook::{InputType, ProbeBody, StepEntry};
use switchback_model::probe::Ask;
use switchback_site::{Site, Tell};

/// Reads the body of a loop; `None` for any other step. What is wrong with it is said.
pub fn read(entry: &StepEntry, cx: &mut Compile<'_>) -> Option<EachBody> {
    let mut decoder = Decoder::default();
    let body = EachBody::decode(&entry.body, &mut decoder);
    let wrong = decoder.into_diagnostics();
    let whole = !wrong.has_errors();
    cx.out.extend(wrong);
    body.filter(|_| whole)
}

/// Returns whether a step as it is written is a loop.
pub fn is_each(entry: &StepEntry) -> bool {
    entry.kind.value == EACH
}

/// What a loop goes over, compiled.
enum Over {
    /// The rows of a query.
    Rows(Ask),
    /// The things of a list input; `None` where it is not given.
    Things(Option<Vec<serde_json::Value>>),
}

/// Compiles what a loop goes over, or says what is wrong with it.
fn over(body: &EachBody, cx: &mut Compile<'_>) -> Option<Over> {
    let name = &body.r#as;
    if cx.inputs.contains_key(&name.value) || cx.items.contains_key(&name.value) {
        cx.out.push(
            Diagnostic::error(
                "P025",
                format!("`{}` is already the name of an input or of a loop around", name.value),
            )
            .at(name.span, "would hide it")
            .help("call the loop's thing otherwise"),
        );
        return None;
    }
    match (&body.sql, &body.of) {
        (Some(_), None) => {
            let probe = ProbeBody { r#in: body.r#in.clone(), sql: body.sql.clone(), ..ProbeBody::default() };
            Some(Over::Rows(cx.probe(&probe)?.ask))
        }
        (None, Some(of)) if body.r#in.is_none() => match of.as_reference() {
            Some(reference) => {
                let input = cx.value(reference)?;
                if input.kind != InputType::List {
                    cx.out.push(
                        Diagnostic::error(
                            "P007",
                            format!("input `{reference}` is a {}, not a list", input.kind),
                        )
                        .at(of.span(), "a loop goes over a list")
                        .help("name an input of type `list`, or ask a database with `in:` and `sql:`"),
                    );
                    return None;
                }
                Some(Over::Things(input.value.map(|value| value.as_array().cloned().unwrap_or_default())))
            }
            None => {
                cx.out.push(
                    Diagnostic::error("P007", "a loop goes over one list input")
                        .at(of.span(), "is not the name of one")
                        .help("write `of: \"${NAME}\"`"),
                );
                None
            }
        },
        _ => {
            cx.out.push(
                Diagnostic::error("P013", "a loop goes over one list")
                    .at(name.span, "of this loop")
                    .help("give it `in:` and `sql:` (rows of a query), or `of:` (a list input)"),
            );
            None
        }
    }
}

/// The keys that `only:` leaves, if it says anything.
fn only(body: &EachBody, cx: &mut Compile<'_>) -> Option<Option<BTreeSet<String>>> {
    let Some(template) = &body.only else { return Some(None) };
    let Some(reference) = template.as_reference() else {
        cx.out.push(
            Diagnostic::error("P007", "`only:` names a list input")
                .at(template.span(), "is not the name of one")
                .help("write `only: \"${NAME}\"`"),
        );
        return None;
    };
    let value = cx.value(reference)?;
    let first = |thing: &serde_json::Value| match thing {
        serde_json::Value::Object(fields) => fields.values().next().and_then(as_key),
        other => as_key(other),
    };
    Some(value.value.map(|value| value.as_array().into_iter().flatten().filter_map(first).collect()))
}

fn as_key(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Does `part` for every step below a loop, with one thing that stands for all: to check a playbook, or to explain it.
pub fn with_sample(
    body: &EachBody,
    cx: &mut Compile<'_>,
    part: &mut dyn FnMut(&StepEntry, &mut Compile<'_>),
) {
    let known = over(body, cx).is_some() && only(body, cx).is_some();
    if !known {
        return;
    }
    cx.at_item(&body.r#as.value, Item::sample(body), |cx| body.r#do.iter().for_each(|entry| part(entry, cx)));
}

/// The list of a loop, asked for: what it goes over, and the fact that the plan rests on.
pub(crate) struct Listed {
    pub items: Vec<Item>,
    pub fact: Fact,
}

/// Asks for the list of a loop. `None` when the list input is not given, or after a diagnostic was pushed.
pub(crate) fn list(
    body: &EachBody,
    cx: &mut Compile<'_>,
    site: &Site,
    tell: &Tell,
) -> Result<Option<Listed>, Refusal> {
    let name = &body.r#as.value;
    let (Some(over), Some(only)) = (over(body, cx), only(body, cx)) else { return Ok(None) };
    let (place, fields) = match over {
        Over::Things(None) => return Ok(None),
        Over::Things(Some(things)) => {
            let fields = |thing: serde_json::Value| match thing {
                serde_json::Value::Object(fields) => fields.into_iter().collect(),
                _ => Default::default(),
            };
            ("the inputs".to_owned(), things.into_iter().map(fields).collect())
        }
        Over::Rows(ask) => {
            let place = ask.store().map(|store| store.target.clone()).unwrap_or_default();
            let rows = site.list(&ask, tell).map_err(|error| {
                Refusal::new("D013", format!("cannot list every {name} of {place}: {error}"))
                    .help("mend what the other refusals name, or what this query cannot read")
            })?;
            (place, rows)
        }
    };
    let mut items = keyed(body, &place, fields)?;
    if let Some(only) = only {
        let known: BTreeSet<String> = items.iter().map(|item| item.key.clone()).collect();
        let unknown: Vec<String> = only.difference(&known).cloned().collect();
        if !unknown.is_empty() {
            return Err(Refusal {
                details: vec![format!("known: {}", known.into_iter().collect::<Vec<_>>().join(", "))],
                ..Refusal::new("D015", format!("no {name} of {place} is called {}", unknown.join(", ")))
                    .help("name those that are there, or leave the list out to take all")
            });
        }
        items.retain(|item| only.contains(&item.key));
    }
    if items.is_empty() {
        return Err(Refusal::new(
            "D013",
            format!("there is no {name} in {place}: an upgrade of nothing is none"),
        )
        .help("look whether this is the right database, and whether its list can be read"));
    }
    let lines: Vec<String> = items.iter().map(line).collect();
    let fact = Fact {
        name: format!("list {name} of {place}"),
        kind: FactKind::Identity,
        value: serde_json::Value::from(lines),
    };
    Ok(Some(Listed { items, fact }))
}

/// Orders things by their key; a thing without one, or two with the same, cannot be told apart.
fn keyed(
    body: &EachBody,
    place: &str,
    things: Vec<std::collections::BTreeMap<String, serde_json::Value>>,
) -> Result<Vec<Item>, Refusal> {
    let (name, key) = (&body.r#as.value, &body.key.value);
    let mut items = Vec::new();
    for fields in things {
        if let Some(missing) = std::iter::once(key)
            .chain(body.identifier.iter().map(|field| &field.value))
            .find(|field| !fields.contains_key(*field))
        {
            return Err(Refusal::new("D016", format!("a {name} of {place} has no field `{missing}`"))
                .help("let the query return a column of that name"));
        }
        let Some(found) = fields.get(key).and_then(as_key) else {
            return Err(Refusal::new("D016", format!("a {name} of {place} has no value in `{key}`"))
                .help("mend that row: what has no name cannot be told apart"));
        };
        let identifiers: BTreeSet<String> = body.identifier.iter().map(|field| field.value.clone()).collect();
        items.push(Item { key: found, fields, identifiers, sample: false });
    }
    items.sort_by(|a, b| a.key.cmp(&b.key));
    if let Some(pair) = items.windows(2).find(|pair| pair[0].key == pair[1].key) {
        return Err(Refusal {
            details: pair.iter().map(line).collect(),
            ..Refusal::new("D014", format!("two of the list of {name} of {place} are called {}", pair[0].key))
                .help("mend the rows so that each is named once")
        });
    }
    Ok(items)
}

fn line(item: &Item) -> String {
    let show = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let fields: Vec<String> =
        item.fields.iter().map(|(name, value)| format!("{name} {}", show(value))).collect();
    fields.join(", ")
}
