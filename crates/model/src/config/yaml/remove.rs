//! Taking a key away.

use super::super::value::Wanted;
use super::parse::{Doc, Entry, Kind, Node};
use super::place::Way;
use super::replace::replace;
use super::splice::{indent, line_end, line_start, next_line, splice, without_lines};

/// Returns the text without the value of a key and the key; `None` when it stands in a form that is not edited.
///
/// A map that becomes empty stays, as `{}`: without a value it would be null to its reader.
pub(super) fn remove(doc: &Doc<'_>, way: &Way<'_>) -> Option<String> {
    let (Node { kind: Kind::Map { entries, flow }, .. }, at) = way.holder()? else { return None };
    if entries.len() == 1 {
        return replace(doc, &way.above(), &Wanted::Map(Vec::new()));
    }
    let end = |entry: &Entry| entry.value.end.max(entry.key.end).max(entry.colon.unwrap_or(0));
    let spans: Vec<_> = entries.iter().map(|entry| (entry.key.outer, end(entry))).collect();
    if *flow {
        return Some(from_brackets(doc.text, &spans, at));
    }
    entries[at].colon?;
    from_lines(doc.text, &spans, at)
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
