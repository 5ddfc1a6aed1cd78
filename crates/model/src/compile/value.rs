//! References filled in: `${x}` is a value with a type, never program text.

use super::{Compile, InputValue};
use crate::address;
use crate::diagnostic::{Diagnostic, Span};
use crate::playbook::InputType;
use crate::secret::{Sealed, SealedPart, SecretRef};
use crate::text::{Part, Reference, Template};
use serde_json::Value;

/// How a template's references are put in.
#[derive(Clone, Copy, PartialEq)]
enum Quoting {
    None,
    Url,
    Regex,
}

impl Compile<'_> {
    /// Returns the text of a template, references put in as they are: one argument, one path.
    pub fn text(&mut self, template: &Template) -> Option<String> {
        self.fill(template, Quoting::None)
    }

    /// Returns the URL of a template: a `url` input at its beginning is the base, everything else is one encoded segment.
    pub fn url(&mut self, template: &Template) -> Option<String> {
        self.fill(template, Quoting::Url)
    }

    /// Returns the regular expression of a template: what is referred to stands for itself.
    pub(super) fn regex(&mut self, template: &Template) -> Option<String> {
        self.fill(template, Quoting::Regex)
    }

    fn fill(&mut self, template: &Template, quoting: Quoting) -> Option<String> {
        let mut text = String::new();
        for part in template.parts() {
            match part {
                Part::Lit(lit) => text.push_str(lit),
                Part::Ref(reference) => {
                    let name = &reference.to_string();
                    let input = self.value(reference)?;
                    match (&input.value, quoting) {
                        (Some(_), _) if input.kind == InputType::Secret => {
                            self.secret_in_the_open(name, reference.span);
                            return None;
                        }
                        (Some(_), _) if matches!(input.kind, InputType::Service | InputType::List) => {
                            self.not_a_text(name, input.kind, reference.span);
                            return None;
                        }
                        (Some(Value::String(value)), Quoting::Url)
                            if input.kind == InputType::Url && text.is_empty() =>
                        {
                            text.push_str(value.trim_end_matches('/'));
                        }
                        (Some(Value::String(value)), Quoting::Url) => text.push_str(&encode_segment(value)),
                        (Some(Value::String(value)), Quoting::Regex) => text.push_str(&regex::escape(value)),
                        (Some(Value::String(value)), Quoting::None) => text.push_str(value),
                        (Some(Value::Number(value)), _) => text.push_str(&value.to_string()),
                        (Some(_), _) => {
                            self.not_a_text(name, input.kind, reference.span);
                            return None;
                        }
                        (None, _) => return None,
                    }
                }
            }
        }
        Some(text)
    }

    /// Returns a text that may hold secrets, for a place that keeps them: a value of a config file, a variable of a command.
    pub fn sealed(&mut self, template: &Template) -> Option<Sealed> {
        if !self.names_secret(template) {
            return self.text(template).map(Sealed::Plain);
        }
        let mut parts = Vec::new();
        for part in template.parts() {
            parts.push(match part {
                Part::Ref(reference) if self.is_secret(reference) => {
                    // An optional secret that is not given takes what is about it with it.
                    let lies = serde_json::from_value(self.value(reference)?.value?).ok()?;
                    SealedPart::Secret(SecretRef { secret: reference.name.clone(), lies })
                }
                Part::Ref(reference) => match self.value(reference)?.value? {
                    Value::String(text) => SealedPart::Text(text),
                    Value::Number(number) => SealedPart::Text(number.to_string()),
                    _ => {
                        let kind = self.value(reference)?.kind;
                        self.not_a_text(&reference.to_string(), kind, reference.span);
                        return None;
                    }
                },
                Part::Lit(text) => SealedPart::Text(text.clone()),
            });
        }
        Some(Sealed::of(parts))
    }

    /// Returns whether a secret is part of a text.
    pub fn names_secret(&self, template: &Template) -> bool {
        template.references().any(|reference| self.is_secret(reference))
    }

    fn is_secret(&self, reference: &Reference) -> bool {
        let input = self.inputs.get(&reference.name);
        input.is_some_and(|input| input.kind == InputType::Secret)
            && !self.items.contains_key(&reference.name)
    }

    fn secret_in_the_open(&mut self, name: &str, span: Span) {
        self.out.push(
            Diagnostic::error("P042", format!("secret `{name}` would be readable here"))
                .at(span, "arguments, addresses and texts get into lists of processes, plans and logs")
                .help("hand it over in `env:` of a command, in `set:` of an `edit`, or let the program read it from a file"),
        );
    }

    fn not_a_text(&mut self, name: &str, kind: InputType, span: Span) {
        self.out.push(
            Diagnostic::error("P007", format!("input `{name}` is a {kind}, not a text"))
                .at(span, "used as a text here")
                .help("use an input of type `text`, `file`, `url` or the like here"),
        );
    }

    /// Returns the value of the one input that a template consists of.
    pub fn whole(&mut self, template: &Template) -> Option<Value> {
        match template.parts() {
            [Part::Ref(reference)] => self.value(reference)?.value,
            _ => self.text(template).map(Value::String),
        }
    }

    /// Returns the value that a reference stands for: an input, or a field of a loop's thing.
    pub fn value(&mut self, reference: &Reference) -> Option<InputValue> {
        let (name, span) = (&reference.name, reference.span);
        if let Some(item) = self.items.get(name) {
            let field = match reference.fields.as_slice() {
                [field] => item.field(field),
                _ => None,
            };
            let Some(value) = field else {
                let known: Vec<String> = item.fields.keys().cloned().collect();
                self.unknown("field", &reference.to_string(), span, &known);
                return None;
            };
            let identifier = item.identifiers.contains(&reference.fields[0]);
            let value = Some(value).filter(|value| !value.is_null());
            if value.is_none() {
                self.out.push(
                    Diagnostic::error("P010", format!("`{reference}` is NULL here"))
                        .at(span, "has no value")
                        .help("let the query of the loop give a value, or leave such rows out"),
                );
                return None;
            }
            return Some(InputValue { kind: InputType::Text, value, identifier });
        }
        let Some(value) = self.inputs.get(name) else {
            let known: Vec<String> = self.inputs.keys().chain(self.items.keys()).cloned().collect();
            self.unknown("input", name, span, &known);
            return None;
        };
        if !reference.fields.is_empty() {
            self.out.push(
                Diagnostic::error("P010", format!("input `{name}` has no fields"))
                    .at(span, "names one")
                    .help(format!("write `${{{name}}}`; fields are those of a loop's thing, inside `each:`")),
            );
            return None;
        }
        Some(value.clone())
    }

    /// Returns whether every input that a template names has a value.
    pub(super) fn is_given(&self, template: &Template) -> bool {
        // An unknown input is found when the template is filled in.
        template.references().all(|one| self.inputs.get(&one.name).is_none_or(|input| input.value.is_some()))
    }

    /// Returns the name of something inside a database. An input or a field is one only where it is declared so.
    pub fn identifier(&mut self, template: &Template) -> Option<String> {
        for part in template.parts() {
            let Part::Ref(reference) = part else { continue };
            let value = self.value(reference)?;
            if value.value.is_some() && !value.identifier {
                let (name, mend) = (
                    reference.to_string(),
                    match reference.fields.is_empty() {
                        true => "add `identifier: true` to the input",
                        false => "add the field to `identifier:` of the loop",
                    },
                );
                self.out.push(
                    Diagnostic::error("P019", format!("`{name}` is not declared as an identifier"))
                        .at(reference.span, "names a thing inside a database here")
                        .help(mend),
                );
                return None;
            }
        }
        let name = self.text(template)?;
        match address::not_an_identifier(&name) {
            None => Some(name),
            Some(why) => {
                self.out.push(
                    Diagnostic::error("P019", format!("`{name}` cannot name a thing inside a database"))
                        .at(template.span(), why)
                        .help("name it as the database does"),
                );
                None
            }
        }
    }
}

/// Percent-encodes everything but the unreserved characters (RFC 3986 §2.3), so that a value stays one path segment.
fn encode_segment(value: &str) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte))
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}
