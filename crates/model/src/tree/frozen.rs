//! The stored form of a tree: the value as plain data that a person can read, its places beside it.
//!
//! `{"body": …, "spans": [[start, end], …], "quoted": [index, …]}`. The spans stand in the order of reading, a key
//! before its value; `quoted` names the scalars among them that are not plain. The depth is that of the body alone,
//! which keeps a tree of the greatest depth below serde_json's limit of 128. The order of a map's keys means
//! something: whoever rewrites the stored form must keep it (serde_json does, with `preserve_order`).

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value as Json};

use super::{Key, MAX_DEPTH, Node, Value};
use crate::diagnostic::Span;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Frozen {
    body: Json,
    spans: Vec<Span>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    quoted: Vec<usize>,
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut frozen = Frozen { body: Json::Null, spans: Vec::new(), quoted: Vec::new() };
        frozen.body = freeze(self, &mut frozen);
        frozen.serialize(serializer)
    }
}

fn freeze(node: &Node, frozen: &mut Frozen) -> Json {
    frozen.spans.push(node.span);
    match &node.value {
        Value::Null => Json::Null,
        Value::Scalar { text, plain } => {
            if !plain {
                frozen.quoted.push(frozen.spans.len() - 1);
            }
            Json::String(text.clone())
        }
        Value::List(items) => Json::Array(items.iter().map(|item| freeze(item, frozen)).collect()),
        Value::Map(entries) => {
            let mut map = Map::new();
            for (key, value) in entries {
                frozen.spans.push(key.span);
                let value = freeze(value, frozen);
                map.insert(key.text.clone(), value);
            }
            Json::Object(map)
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Frozen { body, spans, quoted } = Frozen::deserialize(deserializer)?;
        if !quoted.is_sorted() {
            return Err(D::Error::custom("the list of quoted texts is out of order"));
        }
        let mut thaw = Thaw { spans, next: 0, quoted };
        let node = thaw.node(body, 0).map_err(D::Error::custom)?;
        if thaw.next != thaw.spans.len() {
            return Err(D::Error::custom("a frozen tree has more places than values"));
        }
        Ok(node)
    }
}

struct Thaw {
    spans: Vec<Span>,
    next: usize,
    quoted: Vec<usize>,
}

impl Thaw {
    fn span(&mut self) -> Result<Span, &'static str> {
        let span = self.spans.get(self.next).ok_or("a frozen tree has fewer places than values")?;
        self.next += 1;
        Ok(*span)
    }

    fn node(&mut self, body: Json, depth: usize) -> Result<Node, &'static str> {
        if depth > MAX_DEPTH {
            return Err("a frozen tree nests too deep");
        }
        let index = self.next;
        let span = self.span()?;
        let value = match body {
            Json::Null => Value::Null,
            Json::String(text) => Value::Scalar { text, plain: self.quoted.binary_search(&index).is_err() },
            Json::Array(items) => Value::List(
                items.into_iter().map(|item| self.node(item, depth + 1)).collect::<Result<_, _>>()?,
            ),
            Json::Object(map) => Value::Map(self.entries(map, depth)?),
            Json::Bool(_) | Json::Number(_) => {
                return Err("a frozen tree holds a value that is neither text, list nor map");
            }
        };
        Ok(Node { span, value })
    }

    fn entries(&mut self, map: Map<String, Json>, depth: usize) -> Result<Vec<(Key, Node)>, &'static str> {
        let mut entries = Vec::with_capacity(map.len());
        for (text, value) in map {
            let span = self.span()?;
            entries.push((Key { text, span }, self.node(value, depth + 1)?));
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{Diagnostics, Source};

    fn node(text: &str) -> Node {
        super::super::parse(&Source::new("p.yaml", text), &mut Diagnostics::default()).unwrap()
    }

    #[test]
    fn the_stored_form_can_be_read_by_a_person() {
        let stored = serde_json::to_value(node("b: [1.10, '2']\na:\n")).unwrap();
        assert_eq!(
            stored,
            serde_json::json!({
                "body": { "b": ["1.10", "2"], "a": null },
                "spans": [[0, 16], [0, 1], [3, 14], [4, 8], [10, 13], [15, 16], [15, 16]],
                "quoted": [4],
            })
        );
    }

    #[test]
    fn a_tree_survives_its_stored_form_at_any_depth() {
        let deep = format!("{}x{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        for text in [deep.as_str(), "z: 1\na: {'y': \"x\", b: [~, |-\n  q\n]}\n", "only"] {
            let Some(node) = super::super::parse(&Source::new("p", text), &mut Diagnostics::default()) else {
                continue;
            };
            let stored = serde_json::to_string(&node).unwrap();
            assert_eq!(serde_json::from_str::<Node>(&stored).unwrap(), node);
        }
    }

    #[test]
    fn a_stored_form_that_does_not_add_up_is_refused() {
        for stored in [
            r#"{"body":["a"],"spans":[[0,1]]}"#,
            r#"{"body":"a","spans":[[0,1],[0,1]]}"#,
            r#"{"body":1,"spans":[[0,1]]}"#,
            r#"{"body":"a","spans":[[0,1]],"more":1}"#,
            r#"{"body":"a","spans":[[0,1]],"quoted":[2,1]}"#,
        ] {
            assert!(serde_json::from_str::<Node>(stored).is_err(), "{stored}");
        }
    }
}
