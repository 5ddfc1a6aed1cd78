//! From tree to types: what a playbook says is decided by the type that is expected at each place, and everything
//! that is wrong is said at once.
//!
//! A type is declared once, with [`record!`](crate::record) or [`choice!`](crate::choice); its decoder, its JSON
//! Schema and its help texts derive from that declaration.

mod choice;
mod collection;
mod fields;
mod record;
mod scalar;
mod schema;

pub use choice::UnknownChoice;
#[doc(hidden)]
pub use choice::decode_choice;
pub use collection::{Keyed, OneOrMany, Spanned};
pub use fields::Fields;
pub(crate) use scalar::text_schema;
pub use scalar::{Duration, DurationError};
#[doc(hidden)]
pub use schema::{FieldSchema, choice_schema};
pub use schema::{Schemas, json_schema, json_schema_with};

/// What the macros need by a path that holds in every crate.
#[doc(hidden)]
pub mod __private {
    pub use serde_json::Value as Json;
}

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::suggest::quoted;
use crate::tree::Node;

/// A type that a playbook can hold.
pub trait Decode: Sized {
    /// Reads the node; `None` means that at least one diagnostic was pushed to `cx`.
    fn decode(node: &Node, cx: &mut Decoder) -> Option<Self>;

    /// Returns the value of a key that is not there, or `None` when the key is required.
    fn absent() -> Option<Self> {
        None
    }

    /// Returns the JSON Schema of the type, with what it refers to defined in `cx`.
    fn schema(cx: &mut Schemas) -> serde_json::Value;
}

/// Reads a node as a `T` and adds what is wrong with it to `out`; `None` only when there is an error.
pub fn decode<T: Decode>(node: &Node, out: &mut Diagnostics) -> Option<T> {
    let mut cx = Decoder::default();
    let value = T::decode(node, &mut cx);
    let mut found = cx.into_diagnostics();
    if value.is_none() && !found.has_errors() {
        // A decoder that says nothing breaks its contract; the file is refused, and not without a word.
        found.push(
            Diagnostic::error("P007", "this cannot be read, and its reader does not say why")
                .at(node.span, "")
                .help("report this as a bug, with the lines shown"),
        );
    }
    // An error that went along with a value (an unknown key) refuses it all the same.
    let value = value.filter(|_| !found.has_errors());
    out.append(found);
    value
}

/// Collects what is wrong while types are read from a tree.
#[derive(Debug, Default)]
pub struct Decoder {
    diagnostics: Diagnostics,
}

impl Decoder {
    /// Adds a finding.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Adds that the node is of the wrong kind; `expected` reads as `a list` or `text`. Always `None`.
    pub fn wrong_type<T>(&mut self, node: &Node, expected: &str) -> Option<T> {
        let found = match node.as_text() {
            Some(text) => quoted(text),
            None => node.kind_name().to_owned(),
        };
        let diagnostic = Diagnostic::error("P007", format!("expected {expected}, found {found}"));
        self.push(if node.is_null() {
            diagnostic.at(node.span, "no value").help("write the value, or remove the key")
        } else {
            diagnostic.at(node.span, "").help(format!("write {expected} here"))
        });
        None
    }

    /// Adds that the node's text is no possible value; `message` says what is wrong, `help` what is possible. Always `None`.
    pub fn bad_value<T>(
        &mut self,
        node: &Node,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Option<T> {
        self.push(Diagnostic::error("P008", message).at(node.span, "").help(help));
        None
    }

    /// Says whether another finding would only be counted.
    pub fn is_full(&self) -> bool {
        self.diagnostics.is_full()
    }

    /// Says whether an error was found so far.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.has_errors()
    }

    /// Returns all that was found.
    pub fn into_diagnostics(self) -> Diagnostics {
        self.diagnostics
    }
}
