//! What holds other values: optional, many, by name, with its place.

use std::ops::Deref;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{Decode, Decoder, Schemas};
use crate::diagnostic::Span;
use crate::tree::{Key, Node, Value};

impl<T: Decode> Decode for Option<T> {
    fn decode(node: &Node, cx: &mut Decoder) -> Option<Self> {
        T::decode(node, cx).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn schema(cx: &mut Schemas) -> Json {
        T::schema(cx)
    }
}

impl<T: Decode> Decode for Box<T> {
    fn decode(node: &Node, cx: &mut Decoder) -> Option<Self> {
        T::decode(node, cx).map(Self::new)
    }

    fn absent() -> Option<Self> {
        T::absent().map(Self::new)
    }

    fn schema(cx: &mut Schemas) -> Json {
        T::schema(cx)
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(node: &Node, cx: &mut Decoder) -> Option<Self> {
        let Some(items) = node.items() else {
            return cx.wrong_type(node, "a list");
        };
        let decoded: Self = items.iter().filter_map(|item| T::decode(item, cx)).collect();
        (decoded.len() == items.len()).then_some(decoded)
    }

    fn absent() -> Option<Self> {
        Some(Self::new())
    }

    fn schema(cx: &mut Schemas) -> Json {
        json!({ "type": "array", "items": T::schema(cx) })
    }
}

impl Decode for Node {
    fn decode(node: &Node, _: &mut Decoder) -> Option<Self> {
        Some(node.clone())
    }

    fn schema(_: &mut Schemas) -> Json {
        json!({})
    }
}

/// A list that may be written as its one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for OneOrMany<T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.0
    }
}

impl<T: Decode> Decode for OneOrMany<T> {
    fn decode(node: &Node, cx: &mut Decoder) -> Option<Self> {
        match node.value {
            Value::List(_) => Vec::decode(node, cx).map(Self),
            _ => T::decode(node, cx).map(|one| Self(vec![one])),
        }
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }

    fn schema(cx: &mut Schemas) -> Json {
        let one = T::schema(cx);
        json!({ "anyOf": [one.clone(), { "type": "array", "items": one }] })
    }
}

/// A value with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Decode> Decode for Spanned<T> {
    fn decode(node: &Node, cx: &mut Decoder) -> Option<Self> {
        T::decode(node, cx).map(|value| Self { value, span: node.span })
    }

    fn schema(cx: &mut Schemas) -> Json {
        T::schema(cx)
    }
}

/// A map from free names to values, in the order of the file, with the place of each name.
///
/// Stored as a list, because JSON gives the order of an object's keys no meaning (RFC 8259, section 4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Entry<T>>", into = "Vec<Entry<T>>")]
#[serde(bound(serialize = "T: Serialize + Clone"))]
pub struct Keyed<T>(Vec<(Key, T)>);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry<T> {
    name: String,
    span: Span,
    value: T,
}

impl<T> From<Vec<Entry<T>>> for Keyed<T> {
    fn from(entries: Vec<Entry<T>>) -> Self {
        entries.into_iter().map(|Entry { name, span, value }| (Key { text: name, span }, value)).collect()
    }
}

impl<T> From<Keyed<T>> for Vec<Entry<T>> {
    fn from(keyed: Keyed<T>) -> Self {
        keyed.0.into_iter().map(|(key, value)| Entry { name: key.text, span: key.span, value }).collect()
    }
}

impl<T> Keyed<T> {
    /// Returns the value of a name.
    pub fn get(&self, name: &str) -> Option<&T> {
        self.0.iter().find(|(key, _)| key.text == name).map(|(_, value)| value)
    }

    /// Returns names and values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Key, &T)> + DoubleEndedIterator {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// Returns the names.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.text.as_str())
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Says whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> Default for Keyed<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// A name that comes twice keeps its first value, as in a file that was read.
impl<T> FromIterator<(Key, T)> for Keyed<T> {
    fn from_iter<I: IntoIterator<Item = (Key, T)>>(entries: I) -> Self {
        let mut seen = std::collections::HashSet::new();
        Self(entries.into_iter().filter(|(key, _)| seen.insert(key.text.clone())).collect())
    }
}

impl<T> IntoIterator for Keyed<T> {
    type Item = (Key, T);
    type IntoIter = std::vec::IntoIter<(Key, T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<T: Decode> Decode for Keyed<T> {
    fn decode(node: &Node, cx: &mut Decoder) -> Option<Self> {
        let Some(entries) = node.entries() else {
            return cx.wrong_type(node, "a map");
        };
        let decoded: Vec<_> = entries
            .iter()
            .filter_map(|(key, value)| T::decode(value, cx).map(|value| (key.clone(), value)))
            .collect();
        (decoded.len() == entries.len()).then_some(Self(decoded))
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }

    fn schema(cx: &mut Schemas) -> Json {
        json!({ "type": "object", "additionalProperties": T::schema(cx) })
    }
}
