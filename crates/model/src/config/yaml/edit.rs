//! The editor.

use super::super::error::{EditError, line_of};
use super::super::format::{Format, Leaf};
use super::super::secret::looks_secret;
use super::super::value::Wanted;
use super::insert::{New, insert, raw};
use super::leaves::leaves;
use super::meaning::{Meaning, What};
use super::parse::{Doc, Kind, Node, parse};
use super::path::{Part, parts};
use super::place::{Lookup, Way, is_merged, is_nothing, locate, read, refuse_shared, refuse_tagged};
use super::remove::remove;
use super::render;
use super::replace::replace;
use super::splice::splice;
use serde_json::Value;
use std::ops::Range;

/// The editor of YAML files of one document. A key is names with dots between; `[n]` is an item of a list, and `\` before
/// a dot makes it a part of the name.
pub struct Yaml;

impl Format for Yaml {
    fn check_key(&self, key: &str) -> Result<(), EditError> {
        parts(key).map(drop)
    }

    fn check_gone(&self, key: &str) -> Result<(), EditError> {
        match parts(key)?.last() {
            Some(Part::Index(_)) => Err(EditError::Key {
                key: key.to_owned(),
                problem: "an item of a list has no name by which one could tell that it is gone",
            }),
            _ => Ok(()),
        }
    }

    fn check(&self, text: &str) -> Result<(), EditError> {
        parse(text).map(drop)
    }

    fn get(&self, text: &str, key: &str) -> Result<Option<Value>, EditError> {
        let doc = parse(text)?;
        let Some(node) = read(&doc, &parts(key)?) else { return Ok(None) };
        let value = Meaning::of(node, text).json();
        value.map(Some).ok_or_else(|| EditError::InTheWay {
            key: key.to_owned(),
            line: line_of(text, node.start),
            what: "a value with aliases in it".to_owned(),
        })
    }

    fn set(&self, text: &str, key: &str, value: &Wanted) -> Result<String, EditError> {
        let (doc, parts) = (parse(text)?, parts(key)?);
        let mut expected = Meaning::of_doc(&doc);
        let Some(root) = &doc.root else {
            let keys = names(&parts, key, text)?;
            expected = Meaning::below(&keys, Meaning::wanted(value));
            return proven(key, insert(&doc, None, &keys, &New::Value(value)), &expected);
        };
        match locate(root, text, key, &parts)? {
            Lookup::Found(way) => {
                let node = way.node();
                refuse_tagged(&doc, node, key)?;
                let (is, wanted) = (Meaning::of(node, text), Meaning::wanted(value));
                if is.what == wanted.what {
                    return Ok(text.to_owned());
                }
                refuse_shared(&doc, &way, key, true)?;
                change(&mut expected, &way.at, key, |meaning| meaning.what = wanted.what)?;
                proven(key, replace(&doc, &way, value), &expected)
            }
            Lookup::Missing(way, left) => {
                refuse_shared(&doc, &way, key, false)?;
                let keys = names(&parts[parts.len() - left..], key, text)?;
                let new = insert(&doc, Some(&way), &keys, &New::Value(value));
                add(&mut expected, &way, key, &keys, Meaning::wanted(value))?;
                proven(key, new, &expected)
            }
        }
    }

    fn delete(&self, text: &str, key: &str) -> Result<String, EditError> {
        self.check_gone(key)?;
        let (doc, parts) = (parse(text)?, parts(key)?);
        let Some(root) = &doc.root else { return Ok(text.to_owned()) };
        let way = match locate(root, text, key, &parts)? {
            Lookup::Found(way) => way,
            Lookup::Missing(way, left) => {
                return match is_merged(&doc, &way, &parts[parts.len() - left]) {
                    true => Err(EditError::unsure(key, "it comes from another place by a merge key `<<`")),
                    false => Ok(text.to_owned()),
                };
            }
        };
        refuse_shared(&doc, &way, key, true)?;
        let mut expected = Meaning::of_doc(&doc);
        if let Some((last, before)) = way.at.split_last() {
            change(&mut expected, before, key, |holder| {
                if let What::Map(entries) = &mut holder.what {
                    entries.remove(*last);
                }
            })?;
        }
        proven(key, remove(&doc, &way), &expected)
    }

    fn rename(&self, text: &str, from: &str, to: &str) -> Result<String, EditError> {
        let (doc, old, new) = (parse(text)?, parts(from)?, parts(to)?);
        let Some(root) = &doc.root else { return Ok(text.to_owned()) };
        let Lookup::Found(way) = locate(root, text, from, &old)? else { return Ok(text.to_owned()) };
        let Lookup::Missing(into, left) = locate(root, text, to, &new)? else {
            return Err(EditError::Both { from: from.to_owned(), to: to.to_owned() });
        };
        refuse_shared(&doc, &into, to, false)?;
        let keys = names(&new[new.len() - left..], to, text)?;
        let mut expected = Meaning::of_doc(&doc);
        let (Some(entry), Some((holder, at))) = (way.entry(), way.holder()) else {
            return self.check_gone(from).map(|()| text.to_owned());
        };
        if left == 1 && std::ptr::eq(holder, into.node()) {
            refuse_shared(&doc, &way.above(), from, false)?;
            let Kind::Scalar { style, .. } = &entry.key.kind else {
                return Err(EditError::unsure(from, "its key is no text"));
            };
            let key = render::scalar(keys[0], Some(*style));
            change(&mut expected, &way.at[..way.at.len() - 1], from, |holder| {
                if let What::Map(entries) = &mut holder.what {
                    entries[at].0.what = What::Text(keys[0].to_owned());
                }
            })?;
            return proven(from, Some(splice(text, entry.key.start..entry.key.end, &key)), &expected);
        }
        refuse_shared(&doc, &way, from, true)?;
        // Added first and taken away then, each proven by itself.
        let moved = raw(&doc, &way).and_then(|(raw, indent)| {
            let raw = if way.in_flow() { format!(" {raw}") } else { raw.to_owned() };
            insert(&doc, Some(&into), &keys, &New::Raw { text: &raw, indent })
        });
        add(&mut expected, &into, to, &keys, Meaning::of(way.node(), text))?;
        self.delete(&proven(from, moved, &expected)?, from)
    }

    fn overlap(&self, one: &str, other: &str) -> bool {
        match (parts(one), parts(other)) {
            (Ok(one), Ok(other)) => one.starts_with(&other) || other.starts_with(&one),
            _ => false,
        }
    }

    fn secrets(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        if let Ok(Doc { root: Some(root), .. }) = parse(text) {
            collect_secrets(&root, false, &mut found);
        }
        found
    }

    fn leaves(&self, text: &str) -> Result<Vec<Leaf>, EditError> {
        Ok(parse(text)?.root.iter().flat_map(leaves).collect())
    }

    /// YAML has no references by key: an alias goes by an anchor, and keeps its meaning.
    fn references(&self, _text: &str, _key: &str) -> Vec<usize> {
        Vec::new()
    }
}

fn collect_secrets(node: &Node, secret: bool, found: &mut Vec<Range<usize>>) {
    match &node.kind {
        Kind::Scalar { text, .. } if node.start < node.end => {
            // A list of a compose file holds `NAME=value`.
            let assigned = || text.split_once('=').is_some_and(|(name, _)| looks_secret(name));
            found.extend((secret || assigned()).then_some(node.start..node.end));
        }
        Kind::List { items, .. } => items.iter().for_each(|item| collect_secrets(item, secret, found)),
        Kind::Map { entries, .. } => {
            for entry in entries {
                collect_secrets(&entry.value, secret || entry.name().is_some_and(looks_secret), found);
            }
        }
        _ => {}
    }
}

/// The names of parts that are to be added; an item of a list cannot be.
fn names<'p>(parts: &'p [Part], key: &str, text: &str) -> Result<Vec<&'p str>, EditError> {
    let name = |part: &'p Part| match part {
        Part::Key(name) => Some(name.as_str()),
        Part::Index(_) => None,
    };
    let names: Option<Vec<_>> = parts.iter().map(name).collect();
    names.ok_or_else(|| EditError::InTheWay {
        key: key.to_owned(),
        line: line_of(text, text.len()),
        what: "no list with so many items".to_owned(),
    })
}

fn change(
    expected: &mut Meaning,
    way: &[usize],
    key: &str,
    how: impl FnOnce(&mut Meaning),
) -> Result<(), EditError> {
    let place = expected.at_mut(way).ok_or_else(|| EditError::unsure(key, "its place is not found again"))?;
    how(place);
    Ok(())
}

/// Adds a key to what is expected; what has no keys yet becomes a map.
fn add(
    expected: &mut Meaning,
    way: &Way<'_>,
    key: &str,
    keys: &[&str],
    value: Meaning,
) -> Result<(), EditError> {
    let Some((first, rest)) = keys.split_first() else { return Ok(()) };
    let entry = (Meaning::text(first), Meaning::below(rest, value));
    let empty = is_nothing(way.node());
    change(expected, &way.at, key, |place| match &mut place.what {
        What::Map(entries) => entries.push(entry),
        what if empty => *what = What::Map(vec![entry]),
        _ => {}
    })
}

/// Reads the result and lets it out only when it says what was wanted, and nothing else.
fn proven(key: &str, new: Option<String>, expected: &Meaning) -> Result<String, EditError> {
    let Some(new) = new else {
        return Err(EditError::unsure(key, "it stands in a form that is not edited"));
    };
    match parse(&new) {
        Ok(doc) if Meaning::of_doc(&doc) == *expected => Ok(new),
        Ok(_) => Err(EditError::unsure(key, "the file would say something else")),
        Err(error) => Err(EditError::unsure(key, format!("cannot {error}"))),
    }
}
