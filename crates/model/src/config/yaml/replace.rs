//! Putting a value in the place of another.

use super::super::value::Wanted;
use super::parse::{Doc, Kind, Node};
use super::place::{Way, is_flow};
use super::render;
use super::splice::{column, eol, line_end, line_start, next_line, splice};

/// Returns the text with another value; `None` when the old one stands in a form that is not edited.
pub(super) fn replace(doc: &Doc<'_>, way: &Way<'_>, wanted: &Wanted) -> Option<String> {
    let (text, node) = (doc.text, way.node());
    let style = match &node.kind {
        Kind::Scalar { style, .. } => Some(*style),
        _ => None,
    };
    let one_line = render::inline(wanted, style);
    let entry = way.entry();
    let colon = match entry {
        Some(entry) => Some(entry.colon?),
        None => None,
    };
    // Below a key of a block map, a list or map with something in it is written as block.
    let can_block = !way.in_flow() && !is_flow(node) && entry.is_some();
    let block = can_block.then(|| render::block(wanted, indent_below(doc, way), step(doc))).flatten();

    if is_block_collection(node)
        && let Some(colon) = colon
    {
        if node.anchor.is_some() {
            return None;
        }
        let lines = line_start(text, node.start)..next_line(text, node.end);
        if lines.start < colon {
            return None;
        }
        return Some(match block {
            Some(block) => splice(text, lines.clone(), &joined(text, &block, lines.end)),
            None => {
                let shorter = super::splice::without_lines(text, lines);
                splice(&shorter, colon..colon, &format!(" {one_line}"))
            }
        });
    }
    if let (Some(block), Some(colon)) = (block, colon) {
        // The old scalar goes, what is behind it in its line stays, the new value follows in lines of its own.
        if node.is_block_scalar() || node.anchor.is_some() {
            return None;
        }
        let end = line_end(text, node.end);
        let below = format!("{}{}", eol(text), block.join(eol(text)));
        let with = splice(text, end..end, &below);
        return Some(splice(&with, colon..node.end, ""));
    }
    if node.is_unwritten() {
        return Some(splice(text, node.end..node.end, &format!(" {one_line}")));
    }
    let start = if node.is_block_scalar() { header(doc, way)? } else { node.start };
    Some(splice(text, start..node.end, &one_line))
}

/// Where the sign of a block scalar stands.
pub(super) fn header(doc: &Doc<'_>, way: &Way<'_>) -> Option<usize> {
    let node = way.node();
    if node.anchor.is_some() || node.tag.is_some() {
        return None;
    }
    let from = match (way.entry(), way.holder()) {
        (Some(entry), _) => entry.colon?,
        // An item's sign follows its dash.
        _ => line_start(doc.text, node.start).checked_sub(1).map(|at| line_start(doc.text, at))?,
    };
    doc.text[from..node.start].find(['|', '>']).map(|found| from + found)
}

pub(super) fn is_block_collection(node: &Node) -> bool {
    matches!(node.kind, Kind::List { flow: false, .. } | Kind::Map { flow: false, .. })
}

fn indent_below(doc: &Doc<'_>, way: &Way<'_>) -> usize {
    let node = way.node();
    match &node.kind {
        Kind::Map { entries, flow: false } if !entries.is_empty() => column(doc.text, entries[0].key.outer),
        _ => way.entry().map_or(0, |entry| column(doc.text, entry.key.outer) + step(doc)),
    }
}

/// Lines as text; the last one has a line end unless it becomes the last of a file that has none.
fn joined(text: &str, lines: &[String], end: usize) -> String {
    let eol = eol(text);
    let last = if end == text.len() && !text.ends_with('\n') { "" } else { eol };
    lines.join(eol) + last
}

/// How deep the file indents: the first map inside a map shows it.
pub(super) fn step(doc: &Doc<'_>) -> usize {
    doc.root.as_ref().and_then(|root| first_step(doc.text, root)).unwrap_or(2)
}

fn first_step(text: &str, node: &Node) -> Option<usize> {
    match &node.kind {
        Kind::Map { entries, flow: false } => entries.iter().find_map(|entry| {
            let inner = match &entry.value.kind {
                Kind::Map { entries: below, flow: false } if !below.is_empty() => {
                    column(text, below[0].key.outer).checked_sub(column(text, entry.key.outer))
                }
                _ => None,
            };
            inner.filter(|step| *step > 0).or_else(|| first_step(text, &entry.value))
        }),
        Kind::List { items, flow: false } => items.iter().find_map(|item| first_step(text, item)),
        _ => None,
    }
}
