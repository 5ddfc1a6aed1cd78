//! The keys of one map, taken one by one; what nobody took is unknown.

use super::{Decode, Decoder};
use crate::diagnostic::{Diagnostic, Span};
use crate::suggest::{closest, quoted};
use crate::tree::{Key, Node};

/// The keys of a map that is being read.
///
/// [`record!`](crate::record) is made of this. A hand-written decoder opens the fields, takes each key that it knows,
/// and finishes; only then are the unknown keys known, with the suggestion among those that it asked for.
#[derive(Debug)]
pub struct Fields<'a> {
    span: Span,
    entries: &'a [(Key, Node)],
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// Opens the fields of a map; a node that is none is reported.
    pub fn open(node: &'a Node, cx: &mut Decoder) -> Option<Self> {
        match node.entries() {
            Some(entries) => Some(Self { span: node.span, entries, known: Vec::new() }),
            None => cx.wrong_type(node, "a map"),
        }
    }

    /// Reads the key as a `T`: its value, what stands for it when it is not there, or `None` with a diagnostic.
    ///
    /// A raw identifier's `r#` is no part of the key.
    pub fn take<T: Decode>(&mut self, key: &'static str, cx: &mut Decoder) -> Option<T> {
        match self.node(key) {
            Some(node) => T::decode(node, cx),
            None => T::absent().or_else(|| {
                self.missing(key, cx);
                None
            }),
        }
    }

    /// Reads the key as a `T`, with a default for one that is not there.
    pub fn take_or<T: Decode>(
        &mut self,
        key: &'static str,
        default: impl FnOnce() -> T,
        cx: &mut Decoder,
    ) -> Option<T> {
        match self.node(key) {
            Some(node) => T::decode(node, cx),
            None => Some(default()),
        }
    }

    /// Returns the key's node unread, and counts the key as known.
    pub fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        let key = plain_key(key);
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.entries.iter().find(|(known, _)| known.text == key).map(|(_, node)| node)
    }

    /// Reports that a required key is not there.
    pub fn missing(&self, key: &'static str, cx: &mut Decoder) {
        let key = plain_key(key);
        cx.push(
            Diagnostic::error("P006", format!("key `{key}` is missing"))
                .at(self.span, format!("needs `{key}`"))
                .help(format!("add `{key}:`")),
        );
    }

    /// Returns where the map stands.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Reports every key that was not asked for.
    pub fn finish(self, cx: &mut Decoder) {
        for (key, _) in self.entries {
            if self.known.contains(&&*key.text) {
                continue;
            }
            let diagnostic =
                Diagnostic::error("P005", format!("unknown key {}", quoted(&key.text))).at(key.span, "");
            let diagnostic = match self.known.is_empty() {
                true => diagnostic.note("no key is known here"),
                false => diagnostic.note(format!("known here: {}", self.known.join(", "))),
            };
            // The suggestion costs more than all else, and a finding that is only counted shows none.
            if cx.is_full() {
                cx.push(diagnostic);
                continue;
            }
            cx.push(match closest(&key.text, self.known.iter().copied()) {
                Some(meant) if self.entries.iter().any(|(other, _)| other.text == meant) => {
                    diagnostic.help(format!("remove it; `{meant}` is there already"))
                }
                Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
                None => diagnostic.help("remove it"),
            });
        }
    }
}

/// Returns the key that a field's identifier stands for.
pub(super) fn plain_key(identifier: &'static str) -> &'static str {
    identifier.strip_prefix("r#").unwrap_or(identifier)
}
