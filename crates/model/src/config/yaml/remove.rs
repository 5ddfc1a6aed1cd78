//! Taking a key or an item away.

use super::super::value::Wanted;
use super::parse::{Doc, Kind, Node};
use super::place::Way;
use super::replace::replace;
use super::splice::{indent, line_end, line_start, next_line, splice, without_lines};

/// Returns the text without a node and its key; `None` when it stands in a form that is not edited.
///
/// A list or map that becomes empty stays, as `[]` or `{}`: without a value it would be null to its reader.
pub(super) fn remove(doc: &Doc<'_>, way: &Way<'_>) -> Option<String> {
    let (holder, at) = way.holder()?;
    match &holder.kind {
        Kind::Map { entries, flow } => {
            if entries.len() == 1 {
                return emptied(doc, way, Wanted::Map(Vec::new()));
            }
            let spans: Vec<_> = entries
                .iter()
                .map(|entry| {
                    (entry.key.outer, entry.value.end.max(entry.key.end).max(entry.colon.unwrap_or(0)))
                })
                .collect();
            if *flow {
                return Some(from_brackets(doc.text, &spans, at));
            }
            entries[at].colon?;
            from_lines(doc.text, &spans, at)
        }
        Kind::List { items, flow } => {
            if items.len() == 1 {
                return emptied(doc, way, Wanted::List(Vec::new()));
            }
            let spans: Option<Vec<_>> = items
                .iter()
                .map(|item| Some((if *flow { item.outer } else { dash(doc.text, item)? }, item.end)))
                .collect();
            if *flow { Some(from_brackets(doc.text, &spans?, at)) } else { from_lines(doc.text, &spans?, at) }
        }
        _ => None,
    }
}

fn emptied(doc: &Doc<'_>, way: &Way<'_>, empty: Wanted) -> Option<String> {
    let holder =
        Way { nodes: way.nodes[..way.nodes.len() - 1].to_vec(), at: way.at[..way.at.len() - 1].to_vec() };
    let node = holder.node();
    if matches!(node.kind, Kind::List { flow: false, .. }) && holder.entry().is_none() {
        return None;
    }
    replace(doc, &holder, &empty)
}

/// Where the dash of an item stands, when it is in the item's first line.
fn dash(text: &str, item: &Node) -> Option<usize> {
    let before = text[line_start(text, item.outer)..item.outer].trim_end_matches(' ');
    before.ends_with('-').then(|| line_start(text, item.outer) + before.len() - 1)
}

fn from_brackets(text: &str, spans: &[(usize, usize)], at: usize) -> String {
    match spans.get(at + 1) {
        Some(next) => splice(text, spans[at].0..next.0, ""),
        None => splice(text, spans[at - 1].1..spans[at].1, ""),
    }
}

fn from_lines(text: &str, spans: &[(usize, usize)], at: usize) -> Option<String> {
    let (start, end) = spans[at];
    let Some(column) = indent(text, start) else {
        // The first key of a map that is an item: the next key takes its place behind the dash.
        let next = spans.get(at + 1).filter(|next| at == 0 && indent(text, next.0).is_some())?;
        return Some(splice(text, start..next.0, ""));
    };
    let mut behind = next_line(text, end);
    // Comments that stand deeper than the key belong to what goes.
    while behind < text.len() {
        let line = &text[behind..line_end(text, behind)];
        let deeper = line.len() - line.trim_start_matches(' ').len() > column;
        if !(deeper && line.trim_start().starts_with('#')) {
            break;
        }
        behind = next_line(text, behind);
    }
    Some(without_lines(text, line_start(text, start)..behind))
}
