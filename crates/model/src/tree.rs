//! A YAML document as a tree in which everything knows its place.
//!
//! Scalars keep their text: what it means is decided by the type that is expected, so that the version `1.10` never
//! becomes a number on its way.

mod frozen;
mod parse;
mod syntax;

pub use parse::{MAX_DEPTH, parse};

use crate::diagnostic::Span;

/// A value and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it stands; a block list or map spans from its first to its last item.
    pub span: Span,
    /// What it is.
    pub value: Value,
}

/// What a node can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing was written, or `null` or `~`.
    Null,
    /// One text.
    Scalar {
        /// The text after YAML's escapes.
        text: String,
        /// Says whether it stood without quotes; only then can it be a number or `true`.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A map in the order of the file; `parse` leaves no key twice.
    Map(Vec<(Key, Node)>),
}

/// A key of a map and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The text after YAML's escapes.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

impl Key {
    /// Returns a key that stands nowhere, for trees and maps that no file was read for.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), span: Span::default() }
    }
}

impl Node {
    /// Returns the value of a key, or `None` when there is none or this is no map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, node)| node)
    }

    /// Returns a key with its value.
    pub fn entry(&self, key: &str) -> Option<&(Key, Node)> {
        self.entries()?.iter().find(|(known, _)| known.text == key)
    }

    /// Returns the entries of a map.
    pub fn entries(&self) -> Option<&[(Key, Node)]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// Returns the items of a list.
    pub fn items(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// Returns the text of a scalar.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Says whether nothing was written.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// Returns what it is, as a message says it.
    pub fn kind_name(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Scalar { .. } => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}
