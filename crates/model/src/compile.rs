//! From a playbook as written to plain data for one site: references resolved, files read, names checked.

mod artifact;
mod config;
mod private;
mod probe;
mod sql;
mod target;
mod value;

use crate::diagnostic::{Diagnostic, Diagnostics, Span};
use crate::each::Item;
use crate::playbook::{ArtifactBody, InputType, Playbook};
use crate::suggest::closest;
use crate::target::TargetDef;
use crate::tree::{Node, Value as Tree};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A value of an input.
#[derive(Debug, Clone, PartialEq)]
pub struct InputValue {
    /// Its type.
    pub kind: InputType,
    /// The value: text for most, an object for a service, objects for a list. `None` for an optional input that is not given.
    pub value: Option<Value>,
    /// Whether it may name things inside a database.
    pub identifier: bool,
}

/// The files of a playbook beside its YAML: name to text.
pub type Files = BTreeMap<String, String>;

/// What compiling needs, and where its diagnostics go. Everything that is wrong is said at once.
pub struct Compile<'a> {
    /// The inputs' values; for `validate`, samples of the right type.
    pub inputs: &'a BTreeMap<String, InputValue>,
    /// The targets, once they are compiled.
    pub targets: BTreeMap<String, TargetDef>,
    /// The artifacts of the playbook, by name.
    artifacts: BTreeMap<String, ArtifactBody>,
    /// Targets that do not compile. What is wrong with them is said once, at the target.
    broken: BTreeSet<String>,
    /// The playbook's files.
    pub files: &'a Files,
    /// The things that the loops around have reached, by what each is called.
    pub items: BTreeMap<String, Item>,
    /// Names of those files that something asked for.
    pub used: BTreeSet<String>,
    /// What is wrong.
    pub out: Diagnostics,
}

impl<'a> Compile<'a> {
    /// Starts with nothing compiled.
    pub fn new(inputs: &'a BTreeMap<String, InputValue>, files: &'a Files) -> Compile<'a> {
        Compile {
            inputs,
            targets: BTreeMap::new(),
            artifacts: BTreeMap::new(),
            broken: BTreeSet::new(),
            files,
            items: BTreeMap::new(),
            used: BTreeSet::new(),
            out: Diagnostics::default(),
        }
    }

    /// Does a part of the work; what is wrong and has no place of its own is placed at `span`.
    pub fn within<T>(&mut self, span: Span, label: &str, part: impl FnOnce(&mut Self) -> T) -> T {
        let first = self.out.iter().len();
        let result = part(self);
        self.out.place_from(first, span, label);
        result
    }

    /// Does a part of the work inside a loop that has reached a thing.
    pub fn at_item<T>(&mut self, name: &str, item: Item, part: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.items.insert(name.to_owned(), item);
        let result = part(self);
        match outer {
            Some(outer) => self.items.insert(name.to_owned(), outer),
            None => self.items.remove(name),
        };
        result
    }

    /// Compiles the targets of a playbook.
    pub fn targets(&mut self, playbook: &Playbook) {
        self.take_artifacts(playbook);
        // Probes of services look into stores, so stores come first.
        let (services, others): (Vec<_>, Vec<_>) =
            playbook.targets.iter().partition(|(_, body)| body.service.is_some() || body.http.is_some());
        for (name, body) in others.into_iter().chain(services) {
            match self.within(name.span, "this target", |cx| cx.target(&name.text, body)) {
                Some(def) => drop(self.targets.insert(name.text.clone(), def)),
                None => drop(self.broken.insert(name.text.clone())),
            }
        }
        let names: Vec<String> = self.targets.keys().cloned().collect();
        for (_, body) in playbook.targets.iter() {
            for store in body.stores.iter().chain(&body.served_by) {
                if !names.contains(&store.value) && !self.broken.contains(&store.value) {
                    self.unknown("target", &store.value, store.span, &names);
                }
            }
        }
    }

    /// Says that a name is not known, and which one may have been meant.
    pub fn unknown(&mut self, what: &str, name: &str, span: Span, known: &[String]) {
        let help = match closest(name, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => format!("this playbook has no {what}s"),
            None => format!("known {what}s: {}", known.join(", ")),
        };
        self.out.push(
            Diagnostic::error("P010", format!("unknown {what} `{name}`")).at(span, "not known").help(help),
        );
    }

    /// Returns the name of a target of the wanted kind, or says what is wrong with it.
    pub fn target_name(&mut self, name: &str, span: Span, kinds: &[&str]) -> Option<String> {
        if self.broken.contains(name) {
            return None;
        }
        match self.targets.get(name) {
            Some(def) if kinds.contains(&def.kind()) => Some(name.to_owned()),
            Some(def) => {
                let kind = def.kind();
                let wanted = kinds.iter().map(|kind| with_article(kind)).collect::<Vec<_>>().join(" or ");
                let fit = self.targets.iter().filter(|(_, def)| kinds.contains(&def.kind()));
                let fit: Vec<_> = fit.map(|(name, _)| name.as_str()).collect();
                let help = if fit.is_empty() {
                    "this playbook has no such target: describe one under `targets:`".to_owned()
                } else {
                    format!("targets that fit: {}", fit.join(", "))
                };
                self.out.push(
                    Diagnostic::error("P011", format!("target `{name}` is {}", with_article(kind)))
                        .at(span, format!("{wanted} is needed here"))
                        .help(help),
                );
                None
            }
            None => {
                let known: Vec<String> = self.targets.keys().cloned().collect();
                self.unknown("target", name, span, &known);
                None
            }
        }
    }

    /// Returns a file of the playbook.
    pub fn file(&mut self, name: &str, span: Span) -> Option<String> {
        if let Some(text) = self.files.get(name) {
            self.used.insert(name.to_owned());
            return Some(text.clone());
        }
        let known: Vec<String> = self.files.keys().cloned().collect();
        self.unknown("file", name, span, &known);
        None
    }
}

/// Reads a scalar of the playbook as a JSON value: a plain number, `true`, `false` or `null`, else text.
pub fn plain_value(node: &Node) -> Value {
    match &node.value {
        Tree::Null => Value::Null,
        Tree::Scalar { text, plain: true } => serde_json::from_str(text)
            .ok()
            .filter(|value: &Value| !value.is_array() && !value.is_object())
            .unwrap_or_else(|| Value::String(text.clone())),
        Tree::Scalar { text, .. } => Value::String(text.clone()),
        Tree::List(items) => items.iter().map(plain_value).collect(),
        Tree::Map(entries) => {
            Value::Object(entries.iter().map(|(key, value)| (key.text.clone(), plain_value(value))).collect())
        }
    }
}

/// `a file`, `an HTTP endpoint`.
fn with_article(kind: &str) -> String {
    // By sound: an "aitch", but a "you".
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'H']) { "an" } else { "a" };
    format!("{article} {kind}")
}
