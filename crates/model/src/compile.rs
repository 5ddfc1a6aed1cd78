//! From a playbook as written to plain data for one site: references resolved, files read, names checked.

use crate::diagnostic::{Diagnostic, Diagnostics, Span};
use crate::playbook::{InputType, MaintenanceBody, Playbook, ProbeBody, RequestBody, TargetBody};
use crate::probe::{Ask, Probe, Store, Verdict};
use crate::suggest::closest;
use crate::target::{MaintenanceDef, Request, TargetDef};
use crate::text::{Part, Template};
use crate::tree::{Node, Value as Tree};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A value of an input.
#[derive(Debug, Clone, PartialEq)]
pub struct InputValue {
    /// Its type.
    pub kind: InputType,
    /// The value: text for most, an object for a service. `None` for an optional input that is not given.
    pub value: Option<Value>,
}

/// The files of a playbook beside its YAML: name to text.
pub type Files = BTreeMap<String, String>;

/// What compiling needs, and where its diagnostics go. Everything that is wrong is said at once.
pub struct Compile<'a> {
    /// The inputs' values; for `validate`, samples of the right type.
    pub inputs: &'a BTreeMap<String, InputValue>,
    /// The targets, once they are compiled.
    pub targets: BTreeMap<String, TargetDef>,
    /// Targets that do not compile. What is wrong with them is said once, at the target.
    broken: BTreeSet<String>,
    /// The playbook's files.
    pub files: &'a Files,
    /// Names of those files that something asked for.
    pub used: BTreeSet<String>,
    /// What is wrong.
    pub out: Diagnostics,
}

/// How a template's references are put in.
#[derive(Clone, Copy, PartialEq)]
enum Quoting {
    None,
    Url,
}

impl<'a> Compile<'a> {
    /// Starts with nothing compiled.
    pub fn new(inputs: &'a BTreeMap<String, InputValue>, files: &'a Files) -> Compile<'a> {
        Compile {
            inputs,
            targets: BTreeMap::new(),
            broken: BTreeSet::new(),
            files,
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

    /// Compiles the targets of a playbook.
    pub fn targets(&mut self, playbook: &Playbook) {
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

    fn target(&mut self, name: &str, body: &TargetBody) -> Option<TargetDef> {
        let kinds = [&body.sqlite, &body.file, &body.service, &body.http];
        if kinds.into_iter().flatten().count() > 1 {
            self.out.push(
                Diagnostic::error("P013", format!("target `{name}` is several things"))
                    .help("leave one of `sqlite:`, `file:`, `service:`, `http:`, and name the others as targets of their own"),
            );
            return None;
        }
        if let Some(path) = &body.sqlite {
            return Some(TargetDef::Sqlite { path: self.text(path)? });
        }
        if let Some(path) = &body.file {
            return Some(TargetDef::File { path: self.text(path)? });
        }
        if let Some(base) = &body.http {
            let maintenance = match &body.maintenance {
                Some(body) => Some(Box::new(self.maintenance(body)?)),
                None => None,
            };
            let served_by = body.served_by.as_ref().map(|name| name.value.clone());
            let base = self.url(base)?.trim_end_matches('/').to_owned();
            return Some(TargetDef::Http { base, served_by, maintenance });
        }
        let Some(service) = &body.service else {
            self.out.push(
                Diagnostic::error("P006", format!("target `{name}` does not say what it is"))
                    .help("give it one of `sqlite:`, `file:`, `service:`, `http:`"),
            );
            return None;
        };
        let spec = self.whole(service)?;
        let old = body.old.as_ref().and_then(|identity| self.probe(&identity.is));
        let new = body.new.as_ref().and_then(|identity| self.probe(&identity.is));
        let stores = body.stores.iter().map(|store| store.value.clone()).collect();
        Some(TargetDef::Service { spec, stores, entrance: body.entrance.unwrap_or(false), old, new })
    }

    fn maintenance(&mut self, body: &MaintenanceBody) -> Option<MaintenanceDef> {
        Some(MaintenanceDef {
            enter: self.request(&body.enter)?,
            leave: self.request(&body.leave)?,
            is_on: self.probe(&body.is_on)?,
        })
    }

    fn request(&mut self, body: &RequestBody) -> Option<Request> {
        Some(Request { method: body.method.to_string().to_uppercase(), url: self.url(&body.url)? })
    }

    /// Returns the text of a template, references put in as they are: one argument, one path.
    pub fn text(&mut self, template: &Template) -> Option<String> {
        self.fill(template, Quoting::None)
    }

    /// Returns the URL of a template: a `url` input at its beginning is the base, everything else is one encoded segment.
    pub fn url(&mut self, template: &Template) -> Option<String> {
        self.fill(template, Quoting::Url)
    }

    fn fill(&mut self, template: &Template, quoting: Quoting) -> Option<String> {
        let mut text = String::new();
        for part in template.parts() {
            match part {
                Part::Lit(lit) => text.push_str(lit),
                Part::Ref(reference) => {
                    let name = &reference.name;
                    let input = self.input(name, reference.span)?;
                    match (&input.value, quoting) {
                        (Some(_), _) if input.kind == InputType::Service => {
                            self.not_a_text(name, input.kind, reference.span);
                            return None;
                        }
                        (Some(Value::String(value)), Quoting::Url)
                            if input.kind == InputType::Url && text.is_empty() =>
                        {
                            text.push_str(value.trim_end_matches('/'));
                        }
                        (Some(Value::String(value)), Quoting::Url) => text.push_str(&encode_segment(value)),
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
            [Part::Ref(reference)] => self.input(&reference.name, reference.span)?.value,
            _ => self.text(template).map(Value::String),
        }
    }

    fn input(&mut self, name: &str, span: Span) -> Option<InputValue> {
        if let Some(value) = self.inputs.get(name) {
            return Some(value.clone());
        }
        let known: Vec<String> = self.inputs.keys().cloned().collect();
        self.unknown("input", name, span, &known);
        None
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

    /// Returns the text of a query: inline, or a file of the playbook.
    pub fn sql(&mut self, text: &str, span: Span) -> Option<String> {
        let is_file = text.ends_with(".sql") && !text.contains(char::is_whitespace);
        let sql = if is_file { self.file(text, span)? } else { text.to_owned() };
        if let Some(at) = sql.find("${") {
            let name: String = sql[at + 2..].chars().take_while(|c| *c != '}').collect();
            self.out.push(
                Diagnostic::error("P012", "a reference inside SQL would be program text")
                    .at(span, format!("`${{{name}}}` is in this query"))
                    .help(format!("bind it as a parameter: write `:{name}`")),
            );
            return None;
        }
        Some(sql)
    }

    /// Returns the inputs as SQL parameters: every text and number, under its own name.
    pub fn parameters(&self, sql: &str) -> BTreeMap<String, Value> {
        let used = |name: &str| sql.contains(&format!(":{name}"));
        self.inputs
            .iter()
            .filter(|(name, _)| used(name))
            .filter_map(|(name, input)| Some((name.clone(), input.value.clone()?)))
            .filter(|(_, value)| value.is_string() || value.is_number())
            .collect()
    }

    /// Returns a probe, or says everything that is wrong with it.
    pub fn probe(&mut self, body: &ProbeBody) -> Option<Probe> {
        let ask = self.ask(body)?;
        let verdict = self.verdict(body)?;
        let within_ms =
            body.within.as_ref().map_or(0, |time| u64::try_from(time.get().as_millis()).unwrap_or(u64::MAX));
        Some(Probe { ask, verdict, otherwise: body.r#else.clone(), help: body.help.clone(), within_ms })
    }

    fn ask(&mut self, body: &ProbeBody) -> Option<Ask> {
        let asked = [
            body.sql.is_some(),
            body.table.is_some(),
            body.get.is_some(),
            body.text.is_some(),
            body.file.is_some(),
            body.run.is_some(),
        ];
        if asked.iter().filter(|one| **one).count() != 1 {
            let mut diagnostic = Diagnostic::error("P013", "a probe asks exactly one question")
                .help("give it one of `sql:`, `table:`, `get:`, `text:`, `file:`, `run:`");
            if let Some(span) = body.r#in.as_ref().map(|name| name.span) {
                diagnostic = diagnostic.at(span, "of this probe");
            }
            self.out.push(diagnostic);
            return None;
        }
        self.stray(body)?;
        if let Some(get) = &body.get {
            let jq = self.jq(body.jq.as_ref().map(|jq| (jq.value.as_str(), jq.span)))?;
            return Some(Ask::Get { url: self.url(get)?, jq, status: body.status });
        }
        if let Some(text) = &body.text {
            return Some(Ask::Text { text: self.text(text)? });
        }
        if let Some(file) = &body.file {
            return Some(Ask::File { target: self.target_name(&file.value, file.span, &["file"])? });
        }
        if let Some(run) = &body.run {
            let argv = run.iter().map(|arg| self.text(arg)).collect::<Option<Vec<_>>>()?;
            return Some(Ask::Run { argv, exit: i32::from(body.exit.unwrap_or(0)) });
        }
        let Some(place) = &body.r#in else {
            let span = body.sql.as_ref().or(body.table.as_ref()).map(|text| text.span).unwrap_or_default();
            self.out.push(
                Diagnostic::error("P006", "this probe does not say which database it asks")
                    .at(span, "asked where?")
                    .help("add `in:` with the name of a target"),
            );
            return None;
        };
        let store = Store::parse(&place.value);
        self.target_name(&store.target, place.span, &["SQLite database"])?;
        if let Some(table) = &body.table {
            let columns = match &body.columns {
                Some(columns) => {
                    columns.iter().map(|(here, there)| (here.text.clone(), there.clone())).collect()
                }
                None => BTreeMap::from([("*".to_owned(), "*".to_owned())]),
            };
            return Some(Ask::Table { store, table: table.value.clone(), columns });
        }
        let sql = body.sql.as_ref()?;
        let text = self.sql(&sql.value, sql.span)?;
        let params = self.parameters(&text);
        Some(Ask::Sql { store, sql: text, params })
    }

    /// Compiles a jq program only to say what is wrong with it.
    fn jq(&mut self, program: Option<(&str, Span)>) -> Option<Option<String>> {
        let Some((text, span)) = program else { return Some(None) };
        match crate::jq::check(text) {
            Ok(()) => Some(Some(text.to_owned())),
            Err(error) => {
                self.out.push(
                    Diagnostic::error("P015", "this is not a jq program")
                        .at(span, error.to_string())
                        .help("every part of a program has to be complete, such as `.tables | length`"),
                );
                None
            }
        }
    }

    /// Says which keys belong to another question than the one that is asked: they would be left out without a word.
    fn stray(&mut self, body: &ProbeBody) -> Option<()> {
        let belongs = [
            ("jq", body.jq.is_some(), "get", body.get.is_some()),
            ("status", body.status.is_some(), "get", body.get.is_some()),
            ("exit", body.exit.is_some(), "run", body.run.is_some()),
            ("columns", body.columns.is_some(), "table", body.table.is_some()),
        ];
        let found = belongs.into_iter().find(|(_, given, _, asked)| *given && !asked);
        let Some((key, _, of, _)) = found else { return Some(()) };
        self.out.push(
            Diagnostic::error("P013", format!("`{key}:` belongs to a probe that asks by `{of}:`"))
                .help(format!("take `{key}:` out, or ask by `{of}:`")),
        );
        None
    }

    fn verdict(&mut self, body: &ProbeBody) -> Option<Verdict> {
        let wanted = [
            body.is.is_some(),
            body.none.is_some(),
            body.same_as.is_some(),
            body.matches.is_some(),
            body.lacks.is_some(),
        ];
        if wanted.into_iter().filter(|one| *one).count() > 1 {
            self.out.push(Diagnostic::error("P013", "a probe wants one answer").help(
                "leave one of `is:`, `none:`, `same_as:`, `matches:`, `lacks:`; ask again for another",
            ));
            return None;
        }
        if let Some(same_as) = &body.same_as {
            return Some(Verdict::SameAs { other: Box::new(self.ask(same_as)?) });
        }
        if let Some(values) = &body.is {
            return Some(Verdict::Is { any: values.iter().map(plain_value).collect() });
        }
        if body.none == Some(true) {
            return Some(Verdict::None);
        }
        for (regex, lacks) in [(&body.matches, false), (&body.lacks, true)] {
            let Some(regex) = regex else { continue };
            if let Err(error) = regex::Regex::new(&regex.value) {
                self.out.push(
                    Diagnostic::error("P016", "this is not a regular expression")
                        .at(
                            regex.span,
                            error.to_string().lines().last().unwrap_or_default().trim().trim_start_matches("error: "),
                        )
                        .help("put a backslash before a character that stands for itself, and the whole in single quotes"),
                );
                return None;
            }
            let regex = regex.value.clone();
            return Some(if lacks { Verdict::Lacks { regex } } else { Verdict::Matches { regex } });
        }
        Some(Verdict::Holds)
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
