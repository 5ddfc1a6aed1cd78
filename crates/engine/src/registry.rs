//! The registry of step kinds: how each is read from a playbook and from a plan.

use crate::step::{AnyStep, Step};
use serde_json::Value;
use std::collections::BTreeMap;
use switchback_model::compile::Compile;
use switchback_model::decode::{Decode, Decoder, Schemas};
use switchback_model::diagnostic::Diagnostic;
use switchback_model::each::{EACH, EachBody};
use switchback_model::playbook::StepEntry;
use switchback_model::suggest::closest;

/// A kind of step, as a playbook knows it.
pub trait Kind: 'static {
    /// The body, as it is written below the kind's name.
    type Body: Decode;
    /// The key in a playbook.
    const NAME: &'static str;
    /// One sentence for help and docs.
    const SAYS: &'static str;

    /// Turns a body into steps: one, unless the body names several things or the kind is a composite. Pushes what is
    /// wrong and returns `None`.
    fn compile(body: Self::Body, cx: &mut Compile<'_>) -> Compiled;
}

/// The steps that a body became; `None` after a diagnostic was pushed.
pub type Compiled = Option<Vec<Box<dyn AnyStep>>>;

/// One entry of the registry.
#[derive(Clone, Copy)]
pub struct KindEntry {
    /// The key in a playbook.
    pub name: &'static str,
    /// One sentence for help and docs.
    pub says: &'static str,
    compile: fn(&StepEntry, &mut Compile<'_>) -> Compiled,
    schema: fn(&mut Schemas) -> Value,
}

type Read = fn(Value) -> Result<Box<dyn AnyStep>, serde_json::Error>;

/// Every kind that a build knows.
#[derive(Default, Clone)]
pub struct Registry {
    kinds: BTreeMap<&'static str, KindEntry>,
    readers: BTreeMap<&'static str, Read>,
}

impl Registry {
    /// Adds a kind.
    pub fn add<K: Kind>(&mut self) {
        let entry = KindEntry {
            name: K::NAME,
            says: K::SAYS,
            compile: |entry, cx| {
                let mut decoder = Decoder::default();
                let body = K::Body::decode(&entry.body, &mut decoder);
                let wrong = decoder.into_diagnostics();
                // A body that is not what was meant would only be complained about once more.
                let whole = !wrong.has_errors();
                cx.out.extend(wrong);
                K::compile(body.filter(|_| whole)?, cx)
            },
            schema: |cx| K::Body::schema(cx),
        };
        self.kinds.insert(K::NAME, entry);
    }

    /// Adds a step, so that plans with it can be read.
    pub fn add_step<S: Step>(&mut self) {
        self.readers.insert(S::KIND, |value| {
            serde_json::from_value::<S>(value).map(|step| Box::new(step) as Box<dyn AnyStep>)
        });
    }

    /// Every kind, by name.
    pub fn kinds(&self) -> impl Iterator<Item = &KindEntry> {
        self.kinds.values()
    }

    /// Turns a written step into steps, or says everything that is wrong with it.
    pub fn compile(&self, entry: &StepEntry, cx: &mut Compile<'_>) -> Compiled {
        let name = entry.kind.value.as_str();
        if let Some(kind) = self.kinds.get(name) {
            return cx.within(entry.kind.span, "of this step", |cx| (kind.compile)(entry, cx));
        }
        let known = self.kinds.keys().copied().chain([EACH]);
        let help = match closest(name, known.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known kinds: {}", known.collect::<Vec<_>>().join(", ")),
        };
        cx.out.push(
            Diagnostic::error("P020", format!("unknown step kind `{name}`"))
                .at(entry.kind.span, "not known")
                .help(help),
        );
        None
    }

    /// Reads a step back from a plan.
    pub fn read(&self, kind: &str, body: Value) -> Result<Box<dyn AnyStep>, String> {
        let read = self.readers.get(kind).ok_or_else(|| format!("this build knows no step kind `{kind}`"))?;
        read(body).map_err(|e| format!("read a `{kind}` step of the plan: {e}"))
    }

    /// JSON Schema of one step: a map with one key, its kind.
    pub fn schema(&self, cx: &mut Schemas) -> Value {
        let kinds: Vec<Value> = self
            .kinds
            .values()
            .map(|kind| {
                let body = (kind.schema)(cx);
                let body = StepEntry::with_common(body, cx);
                serde_json::json!({
                    "type": "object", "description": kind.says, "required": [kind.name],
                    "properties": { kind.name: body }, "additionalProperties": false,
                })
            })
            .collect();
        let each = serde_json::json!({
            "type": "object", "description": "Steps that are there once for every thing of a list.", "required": [EACH],
            "properties": { EACH: EachBody::schema(cx) }, "additionalProperties": false,
        });
        serde_json::json!({ "oneOf": kinds.into_iter().chain([each]).collect::<Vec<_>>() })
    }
}
