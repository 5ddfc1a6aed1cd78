//! What a file says, without where and how: the measure of what an edit changed.

use super::super::value::{Wanted, is_null, reads_as_text};
use super::parse::{Doc, Kind, Node};
use granit_parser::ScalarStyle;
use serde_json::Value;

/// A node without its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meaning {
    anchor: Option<String>,
    tag: Option<String>,
    pub(super) what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// A scalar that is no text, or that not every reader takes for one.
    Typed(String),
    Text(String),
    Alias(String),
    List(Vec<Meaning>),
    /// In the order of the file.
    Map(Vec<(Meaning, Meaning)>),
}

impl Meaning {
    /// Returns what a node says; an alias is its name.
    pub(super) fn of(node: &Node, text: &str) -> Meaning {
        let what = match &node.kind {
            Kind::Scalar { text, style } => match *style == ScalarStyle::Plain && !reads_as_text(text) {
                true if is_null(text) => What::Typed("null".to_owned()),
                true => What::Typed(text.clone()),
                false => What::Text(text.clone()),
            },
            Kind::Alias { .. } => What::Alias(text[node.start..node.end].to_owned()),
            Kind::List { items, .. } => {
                What::List(items.iter().map(|item| Meaning::of(item, text)).collect())
            }
            Kind::Map { entries, .. } => {
                let both = |entry: &super::parse::Entry| {
                    (Meaning::of(&entry.key, text), Meaning::of(&entry.value, text))
                };
                What::Map(entries.iter().map(both).collect())
            }
        };
        Meaning {
            anchor: node.anchor.as_ref().map(|anchor| anchor.name.clone()),
            tag: node.tag.clone(),
            what,
        }
    }

    /// Returns what a file says; nothing is an empty map.
    pub(super) fn of_doc(doc: &Doc<'_>) -> Meaning {
        doc.root
            .as_ref()
            .map_or_else(|| Meaning::new(What::Map(Vec::new())), |root| Meaning::of(root, doc.text))
    }

    pub(super) fn new(what: What) -> Meaning {
        Meaning { anchor: None, tag: None, what }
    }

    pub(super) fn text(text: &str) -> Meaning {
        Meaning::new(What::Text(text.to_owned()))
    }

    /// Returns what a value says once it is written.
    pub(super) fn wanted(value: &Wanted) -> Meaning {
        Meaning::new(match value {
            Wanted::Plain(text) if is_null(text) => What::Typed("null".to_owned()),
            Wanted::Plain(text) => What::Typed(text.clone()),
            Wanted::Text(text) => What::Text(text.clone()),
            Wanted::List(items) => What::List(items.iter().map(Meaning::wanted).collect()),
            Wanted::Map(entries) => What::Map(
                entries.iter().map(|(key, value)| (Meaning::text(key), Meaning::wanted(value))).collect(),
            ),
        })
    }

    /// Returns a value below a map that holds nothing but the way to it.
    pub(super) fn below(keys: &[&str], value: Meaning) -> Meaning {
        keys.iter().rev().fold(value, |value, key| Meaning::new(What::Map(vec![(Meaning::text(key), value)])))
    }

    /// Follows positions in lists and maps.
    pub(super) fn at_mut(&mut self, way: &[usize]) -> Option<&mut Meaning> {
        let Some((first, rest)) = way.split_first() else { return Some(self) };
        match &mut self.what {
            What::List(items) => items.get_mut(*first)?.at_mut(rest),
            What::Map(entries) => entries.get_mut(*first)?.1.at_mut(rest),
            _ => None,
        }
    }

    /// Returns what it says as JSON, scalars as text; `None` where an alias stands, which is not followed.
    pub(super) fn json(&self) -> Option<Value> {
        Some(match &self.what {
            What::Typed(text) if text == "null" => Value::Null,
            What::Typed(text) | What::Text(text) => Value::String(text.clone()),
            What::Alias(_) => return None,
            What::List(items) => items.iter().map(Meaning::json).collect::<Option<Vec<_>>>()?.into(),
            What::Map(entries) => {
                let pair = |(key, value): &(Meaning, Meaning)| match &key.what {
                    What::Typed(key) | What::Text(key) => Some((key.clone(), value.json()?)),
                    _ => None,
                };
                Value::Object(entries.iter().map(pair).collect::<Option<_>>()?)
            }
        })
    }
}
