//! Adding a key behind its neighbours.

use super::super::value::Wanted;
use super::parse::{Doc, Kind};
use super::place::{Way, is_nothing};
use super::render;
use super::replace::step;
use super::splice::{column, eol, line_end, splice};

/// What is added: a value, or the raw lines of one that moves (from behind its colon, and how deep its key stood).
pub(super) enum New<'a> {
    Value(&'a Wanted),
    Raw { text: &'a str, indent: usize },
}

/// Returns the text with new keys, one inside the other, behind the last of the map that the way ends in; `None` when that
/// stands in a form that is not edited.
pub(super) fn insert(doc: &Doc<'_>, way: Option<&Way<'_>>, keys: &[&str], new: &New<'_>) -> Option<String> {
    let text = doc.text;
    let Some(way) = way else {
        let lines = nested(doc, keys, new, 0)?;
        let start =
            if text.is_empty() || text.ends_with('\n') || text == "\u{feff}" { "" } else { eol(text) };
        return Some(format!("{text}{start}{}{}", lines, eol(text)));
    };
    let node = way.node();
    match &node.kind {
        Kind::Map { entries, flow: true } => {
            let inner = in_brackets(keys, new)?;
            match entries.last() {
                Some(last) => {
                    let at = last.value.end.max(last.key.end);
                    Some(splice(text, at..at, &format!(", {inner}")))
                }
                None => Some(splice(text, node.start..node.end, &format!("{{{inner}}}"))),
            }
        }
        Kind::Map { entries, flow: false } => {
            let (first, last) = (entries.first()?, entries.last()?);
            let indent = column(text, first.key.outer);
            let end = line_end(text, last.value.end.max(last.key.end));
            Some(splice(text, end..end, &format!("{}{}", eol(text), nested(doc, keys, new, indent)?)))
        }
        _ if is_nothing(node) => {
            let entry = way.entry()?;
            let colon = entry.colon?;
            if way.in_flow() || !node.is_unwritten() || node.anchor.is_some() {
                let inner = format!("{{{}}}", in_brackets(keys, new)?);
                let space = if node.is_unwritten() { " " } else { "" };
                return Some(splice(text, node.start..node.end, &format!("{space}{inner}")));
            }
            let indent = column(text, entry.key.outer) + step(doc);
            let end = line_end(text, colon);
            Some(splice(text, end..end, &format!("{}{}", eol(text), nested(doc, keys, new, indent)?)))
        }
        _ => None,
    }
}

/// The lines of keys, one inside the other, without a line end at their end.
fn nested(doc: &Doc<'_>, keys: &[&str], new: &New<'_>, indent: usize) -> Option<String> {
    let (step, eol) = (step(doc), eol(doc.text));
    let (last, above) = keys.split_last()?;
    let mut lines = Vec::new();
    for (depth, key) in above.iter().enumerate() {
        lines.push(format!("{}{}:", " ".repeat(indent + depth * step), render::scalar(key, None)));
    }
    let at = indent + above.len() * step;
    let key = render::scalar(last, None);
    match new {
        New::Value(value) => lines.extend(render::entry(&key, value, at, step)),
        New::Raw { text, indent: was } => {
            lines.push(format!("{}{key}:{}", " ".repeat(at), shifted(text, *was, at)?));
        }
    }
    Some(lines.join(eol))
}

/// Lines with another indent, except the first; a line that stands further out than its key did cannot follow it.
fn shifted(raw: &str, was: usize, now: usize) -> Option<String> {
    let mut text = String::new();
    for (number, line) in raw.split_inclusive('\n').enumerate() {
        if number == 0 || line.trim().is_empty() {
            text.push_str(line);
        } else if now >= was {
            text.push_str(&" ".repeat(now - was));
            text.push_str(line);
        } else {
            text.push_str(line.strip_prefix(&" ".repeat(was - now))?);
        }
    }
    Some(text)
}

fn in_brackets(keys: &[&str], new: &New<'_>) -> Option<String> {
    let value = match new {
        New::Value(value) => render::inline(value, None),
        New::Raw { text, .. } if text.contains(['\n', '#']) => return None,
        New::Raw { text, .. } => text.trim().to_owned(),
    };
    let (last, above) = keys.split_last()?;
    let inner = format!("{}: {value}", render::scalar(last, None));
    let wrap = |inner: String, key: &&str| format!("{}: {{{inner}}}", render::scalar(key, None));
    Some(above.iter().rev().fold(inner, wrap))
}

/// The value of a key as it stands, from behind its colon to the end of its last line, and the column of the key.
pub(super) fn raw<'t>(doc: &Doc<'t>, way: &Way<'_>) -> Option<(&'t str, usize)> {
    let (text, entry, node) = (doc.text, way.entry()?, way.node());
    let colon = entry.colon?;
    if way.in_flow() {
        let value = &text[node.outer..node.end];
        return (!value.contains('\n')).then_some((value, 0)).filter(|_| !node.is_unwritten());
    }
    Some((&text[colon..line_end(text, node.end.max(colon))], column(text, entry.key.outer)))
}
