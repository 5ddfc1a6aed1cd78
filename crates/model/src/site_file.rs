//! The site file: what an operator keeps under version control.

use crate::address;
use crate::compile::{InputValue, plain_value};
use crate::decode::{Decode, Decoder, Keyed, Spanned};
use crate::diagnostic::{Diagnostic, Diagnostics, Source, Span};
use crate::playbook::{Input, InputType, Playbook};
use crate::record;
use crate::secret;
use crate::suggest::closest;
use crate::text::Part;
use crate::tree::{self, Node};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

record! {
    /// One installation: which playbook upgrades it, and what only the operator knows.
    pub struct SiteFile {
        /// Name of a shipped playbook, or path of a playbook file.
        pub playbook: Spanned<String>,
        /// The values of the playbook's inputs.
        pub inputs: Keyed<Node>,
    }
}

impl SiteFile {
    /// Reads a site file, or says everything that is wrong with its shape.
    pub fn parse(source: &Source) -> Result<SiteFile, Diagnostics> {
        let mut out = Diagnostics::default();
        let Some(node) = tree::parse(source, &mut out) else { return Err(out) };
        let mut decoder = Decoder::default();
        let file = SiteFile::decode(&node, &mut decoder);
        out.extend(decoder.into_diagnostics());
        match file {
            Some(file) if !out.has_errors() => Ok(file),
            _ => Err(out),
        }
    }

    /// Returns a value for every input of the playbook. `set` comes from the command line and wins; a relative path is
    /// taken from `folder`. Says everything that is missing, unknown or of the wrong type at once.
    pub fn resolve(
        &self,
        playbook: &Playbook,
        set: &BTreeMap<String, String>,
        folder: &str,
    ) -> Result<BTreeMap<String, InputValue>, Diagnostics> {
        let mut out = Diagnostics::default();
        let known: Vec<&str> = playbook.inputs.names().collect();
        let in_file = self.inputs.iter().map(|(key, _)| (key.text.as_str(), Some(key.span)));
        for (name, span) in in_file.chain(set.keys().map(|name| (name.as_str(), None))) {
            if !known.contains(&name) {
                out.push(unknown_input(name, span, &known));
            }
        }
        let databases = databases(playbook);
        let mut values = BTreeMap::new();
        for (key, input) in playbook.inputs.iter() {
            let name = key.text.as_str();
            let typed = |value: Value| typed(name, input, databases.contains(name), value, folder);
            let given = match set.get(name) {
                Some(text) => Some((Value::String(text.clone()), None)),
                None => self.inputs.get(name).map(|node| (plain_value(node), Some(node.span))),
            };
            let value = match given {
                Some((value, span)) => match typed(value) {
                    Ok(value) => Some(value),
                    Err(wrong) => {
                        // What is shown of the file must not show a secret.
                        out.push(match span.filter(|_| wrong.code != "S005") {
                            Some(span) => wrong.at(span, "this value"),
                            None if set.contains_key(name) => wrong.note("it was set on the command line"),
                            None => wrong,
                        });
                        None
                    }
                },
                None => match &input.default {
                    Some(text) => typed(Value::String(text.clone())).ok(),
                    None if input.optional == Some(true) => None,
                    None if self.stands_back(playbook, name, input, set) => None,
                    None => {
                        out.push(missing(name, input).at(self.playbook.span, format!("asks for `{name}`")));
                        None
                    }
                },
            };
            values.insert(name.to_owned(), input_value(input, value));
            if let Some(other) = input
                .instead_of
                .as_ref()
                .filter(|other| [name, &other.value].into_iter().all(|name| self.gives(name, set)))
            {
                out.push(one_too_many(name, &other.value).at(self.playbook.span, "takes one of them"));
            }
        }
        if out.has_errors() { Err(out) } else { Ok(values) }
    }
}

impl SiteFile {
    fn gives(&self, name: &str, set: &BTreeMap<String, String>) -> bool {
        set.contains_key(name) || self.inputs.get(name).is_some()
    }

    /// Whether an input that is not given is not missed: another is given in its place, or is asked for in its own.
    fn stands_back(
        &self,
        playbook: &Playbook,
        name: &str,
        input: &Input,
        set: &BTreeMap<String, String>,
    ) -> bool {
        let replaces = |other: &Input| other.instead_of.as_ref().is_some_and(|of| of.value == name);
        input.instead_of.is_some()
            || playbook.inputs.iter().any(|(key, other)| replaces(other) && self.gives(&key.text, set))
    }
}

/// Returns a value of the right type for every input, so that a playbook can be compiled without a site.
pub fn samples(playbook: &Playbook) -> BTreeMap<String, InputValue> {
    let databases = databases(playbook);
    let sample = |name: &str, input: &Input| match input.r#type {
        InputType::Url if databases.contains(name) => Value::from("postgres://sample.invalid/sample"),
        InputType::File | InputType::Folder | InputType::Program => Value::from("/sample"),
        InputType::Url => Value::from("http://sample.invalid"),
        InputType::Text => Value::from("sample"),
        InputType::Service => Value::from("none"),
        InputType::Port => Value::from(1),
        InputType::Choice => Value::from(input.of.first().cloned().unwrap_or_default()),
        InputType::List => Value::from(vec![sample_thing(input)]),
        InputType::Secret => serde_json::json!({ "env": "SAMPLE" }),
    };
    playbook
        .inputs
        .iter()
        .map(|(key, input)| (key.text.clone(), input_value(input, Some(sample(&key.text, input)))))
        .collect()
}

fn input_value(input: &Input, value: Option<Value>) -> InputValue {
    InputValue { kind: input.r#type, value, identifier: input.identifier == Some(true) }
}

fn sample_thing(input: &Input) -> Value {
    let fields = input.fields.iter().flat_map(Keyed::names);
    Value::Object(fields.map(|name| (name.to_owned(), Value::from("sample"))).collect())
}

/// The inputs that are addresses of PostgreSQL databases.
fn databases(playbook: &Playbook) -> BTreeSet<&str> {
    let templates = playbook.targets.iter().flat_map(|(_, target)| target.postgres.iter());
    let first = templates.filter_map(|template| match template.parts().first() {
        Some(Part::Ref(reference)) => Some(reference.name.as_str()),
        _ => None,
    });
    first.collect()
}

fn typed(name: &str, input: &Input, database: bool, value: Value, folder: &str) -> Result<Value, Diagnostic> {
    let wrong = |message: String| Diagnostic::error("S002", message).help(example_for(input));
    if input.r#type == InputType::List {
        return list(input, value, folder).map_err(|found| wrong(format!("input `{name}` {found}")));
    }
    if input.r#type == InputType::Secret {
        let place = secret::place_of(&value, |path| absolute(path, folder));
        return place.map(|place| serde_json::to_value(place).unwrap_or_default()).map_err(|found| {
            Diagnostic::error("S005", format!("input `{name}` {found}"))
                .help("a site file is kept under version control: a secret lies in the environment, or in a file of its own")
        });
    }
    let Some(text) = as_text(&value) else {
        return match (input.r#type, &value) {
            (InputType::Service, Value::Object(_)) => Ok(value),
            _ => Err(wrong(format!("input `{name}` must be a {}", input.r#type))),
        };
    };
    if address::holds_password(&text) && (database || address::is_url(&text)) {
        return Err(Diagnostic::error("S005", format!("input `{name}` holds a password"))
            .help("take it out, and put it into ~/.pgpass or the environment (PGPASSWORD)"));
    }
    if database && !address::is_address(&text) {
        return Err(wrong(format!(
            "input `{name}` must be an address such as postgres://USER@HOST/DATABASE"
        )));
    }
    if input.identifier == Some(true)
        && let Some(why) = address::not_an_identifier(&text)
    {
        return Err(wrong(format!("input `{name}` cannot name a thing inside a database: {why}")));
    }
    if input.r#type == InputType::Url && database {
        return Ok(Value::String(text));
    }
    scalar(input.r#type, &input.of, text, folder).map_err(|found| wrong(format!("input `{name}` {found}")))
}

/// A number or a truth value that is written plainly is still a text where a text is wanted (`release: 0.7`).
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// Reads a value of a simple type, or says what is wrong with it.
fn scalar(kind: InputType, of: &[String], text: String, folder: &str) -> Result<Value, String> {
    match kind {
        InputType::File | InputType::Folder | InputType::Program if text.is_empty() => {
            Err("is an empty path".to_owned())
        }
        InputType::File | InputType::Folder => Ok(Value::String(absolute(&text, folder))),
        InputType::Program if text.contains('/') => Ok(Value::String(absolute(&text, folder))),
        InputType::Url if !(text.starts_with("http://") || text.starts_with("https://")) => {
            Err("must begin with http:// or https://".to_owned())
        }
        InputType::Service if text != "none" => {
            Err("must be `none`, or say how the service is stopped and started".to_owned())
        }
        InputType::Port => match text.parse::<u16>() {
            Ok(port) if port > 0 => Ok(Value::from(port)),
            _ => Err("must be a port, from 1 to 65535".to_owned()),
        },
        InputType::Secret => Err("cannot be part of a list: give it an input of its own".to_owned()),
        InputType::Choice if !of.contains(&text) => Err(format!("must be one of {}", of.join(", "))),
        _ => Ok(Value::String(text)),
    }
}

/// Reads a list of things with fields. On the command line, `a,b` is a list of things with one field.
fn list(input: &Input, value: Value, folder: &str) -> Result<Value, String> {
    let fields: Vec<(&str, InputType)> =
        input.fields.iter().flat_map(Keyed::iter).map(|(name, kind)| (name.text.as_str(), *kind)).collect();
    let things = match value {
        Value::Array(things) => things,
        Value::String(text) if fields.len() == 1 => {
            text.split(',').map(|thing| Value::from(thing.trim())).collect()
        }
        _ => return Err("must be a list".to_owned()),
    };
    let names = || fields.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let thing = |thing: Value| -> Result<Value, String> {
        let given = match (&fields[..], thing) {
            (_, Value::Object(given)) => given,
            ([(name, _)], value) => [((*name).to_owned(), value)].into_iter().collect(),
            _ => return Err(format!("must be a list of things with {}", names())),
        };
        if let Some(stray) = given.keys().find(|key| !fields.iter().any(|(name, _)| name == key)) {
            return Err(format!("has a thing with `{stray}`, and known are {}", names()));
        }
        let mut typed = serde_json::Map::new();
        for (name, kind) in &fields {
            let text = given.get(*name).and_then(as_text).ok_or(format!("has a thing without `{name}`"))?;
            let value =
                scalar(*kind, &[], text, folder).map_err(|wrong| format!("has a `{name}` that {wrong}"))?;
            typed.insert((*name).to_owned(), value);
        }
        Ok(Value::Object(typed))
    };
    Ok(Value::Array(things.into_iter().map(thing).collect::<Result<_, _>>()?))
}

fn absolute(path: &str, folder: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", folder.trim_end_matches('/')) }
}

fn missing(name: &str, input: &Input) -> Diagnostic {
    Diagnostic::error("S001", format!("input `{name}` is missing")).help(format!(
        "add `{name}:` below `inputs:` in the site file, or give `--set {name}=VALUE`; {}",
        help_for(input)
    ))
}

fn one_too_many(name: &str, other: &str) -> Diagnostic {
    Diagnostic::error(
        "S006",
        format!("inputs `{other}` and `{name}` are given, and each takes the place of the other"),
    )
    .help("take one of them out of the site file")
}

fn example_for(input: &Input) -> String {
    match input.example.as_ref().or(input.default.as_ref()) {
        Some(example) => format!("write it as in `{example}`: {}", help_for(input)),
        None => help_for(input),
    }
}

fn help_for(input: &Input) -> String {
    input.help.clone().unwrap_or_else(|| match input.r#type {
        InputType::Service => {
            "`none`, or how it is stopped and started, as `switchback init` shows".to_owned()
        }
        InputType::Secret => "where it lies: `{env: NAME}` or `{file: PATH}`".to_owned(),
        other => format!("it is a {other}"),
    })
}

fn unknown_input(name: &str, span: Option<Span>, known: &[&str]) -> Diagnostic {
    let help = match closest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known inputs: {}", known.join(", ")),
    };
    let diagnostic = Diagnostic::error("S003", format!("the playbook has no input `{name}`")).help(help);
    match span {
        Some(span) => diagnostic.at(span, "given here"),
        None => diagnostic.note("it was set on the command line"),
    }
}
