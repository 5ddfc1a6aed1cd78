//! The site file: what an operator keeps under version control.

use crate::compile::{InputValue, plain_value};
use crate::decode::{Decode, Decoder, Keyed, Spanned};
use crate::diagnostic::{Diagnostic, Diagnostics, Source, Span};
use crate::playbook::{Input, InputType, Playbook};
use crate::record;
use crate::suggest::closest;
use crate::tree::{self, Node};
use serde_json::Value;
use std::collections::BTreeMap;

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
        let mut values = BTreeMap::new();
        for (key, input) in playbook.inputs.iter() {
            let name = key.text.as_str();
            let given = match set.get(name) {
                Some(text) => Some((Value::String(text.clone()), None)),
                None => self.inputs.get(name).map(|node| (plain_value(node), Some(node.span))),
            };
            let value = match given {
                Some((value, span)) => match typed(name, input, value, folder) {
                    Ok(value) => Some(value),
                    Err(wrong) => {
                        out.push(match span {
                            Some(span) => wrong.at(span, "this value"),
                            None => wrong.note("it was set on the command line"),
                        });
                        None
                    }
                },
                None => match &input.default {
                    Some(text) => typed(name, input, Value::String(text.clone()), folder).ok(),
                    None if input.optional == Some(true) => None,
                    None => {
                        out.push(missing(name, input).at(self.playbook.span, format!("asks for `{name}`")));
                        None
                    }
                },
            };
            values.insert(name.to_owned(), InputValue { kind: input.r#type, value });
        }
        if out.has_errors() { Err(out) } else { Ok(values) }
    }
}

/// Returns a value of the right type for every input, so that a playbook can be compiled without a site.
pub fn samples(playbook: &Playbook) -> BTreeMap<String, InputValue> {
    let sample = |input: &Input| match input.r#type {
        InputType::File | InputType::Folder | InputType::Program => Value::from("/sample"),
        InputType::Url => Value::from("http://sample.invalid"),
        InputType::Text => Value::from("sample"),
        InputType::Service => Value::from("none"),
        InputType::Port => Value::from(1),
        InputType::Choice => Value::from(input.of.first().cloned().unwrap_or_default()),
    };
    playbook
        .inputs
        .iter()
        .map(|(key, input)| (key.text.clone(), InputValue { kind: input.r#type, value: Some(sample(input)) }))
        .collect()
}

fn typed(name: &str, input: &Input, value: Value, folder: &str) -> Result<Value, Diagnostic> {
    let wrong = |message: String| Diagnostic::error("S002", message).help(example_for(input));
    // A number or a truth value that is written plainly is still a text where a text is wanted (`release: 0.7`).
    let text = match &value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    };
    let Some(text) = text else {
        return match (input.r#type, &value) {
            (InputType::Service, Value::Object(_)) => Ok(value),
            _ => Err(wrong(format!("input `{name}` must be a {}", input.r#type))),
        };
    };
    match input.r#type {
        InputType::File | InputType::Folder | InputType::Program if text.is_empty() => {
            Err(wrong(format!("input `{name}` is an empty path")))
        }
        InputType::File | InputType::Folder => Ok(Value::String(absolute(&text, folder))),
        InputType::Program if text.contains('/') => Ok(Value::String(absolute(&text, folder))),
        InputType::Url if !(text.starts_with("http://") || text.starts_with("https://")) => {
            Err(wrong(format!("input `{name}` must begin with http:// or https://")))
        }
        InputType::Service if text != "none" => Err(wrong(format!(
            "input `{name}` must be `none`, or say how the service is stopped and started"
        ))),
        InputType::Port => match text.parse::<u16>() {
            Ok(port) if port > 0 => Ok(Value::from(port)),
            _ => Err(wrong(format!("input `{name}` must be a port, from 1 to 65535"))),
        },
        InputType::Choice if !input.of.contains(&text) => {
            Err(wrong(format!("input `{name}` must be one of {}", input.of.join(", "))))
        }
        _ => Ok(Value::String(text)),
    }
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
