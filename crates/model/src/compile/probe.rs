//! Probes: one question, one verdict.

use super::{Compile, plain_value};
use crate::artifact::ArtifactFormat;
use crate::decode::Spanned;
use crate::diagnostic::{Diagnostic, Source};
use crate::playbook::ProbeBody;
use crate::probe::{Ask, Probe, RecordsFrom, Store, Verdict};
use crate::schema_file::SchemaDescription;
use crate::target::{DATABASES, TargetDef};
use crate::text::Template;
use std::collections::BTreeMap;

impl Compile<'_> {
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
            !body.table.is_empty(),
            body.get.is_some(),
            body.text.is_some(),
            body.file.is_some(),
            body.schema.is_some(),
            body.unchanged.is_some(),
            body.run.is_some(),
            body.of.is_some(),
        ];
        if asked.iter().filter(|one| **one).count() != 1 {
            let mut diagnostic = Diagnostic::error("P013", "a probe asks exactly one question").help(
                "give it one of `sql:`, `table:`, `get:`, `text:`, `schema:`, `file:`, `of:`, `unchanged:`, `run:`",
            );
            if let Some(span) = body.r#in.as_ref().map(|name| name.span) {
                diagnostic = diagnostic.at(span, "of this probe");
            }
            self.out.push(diagnostic);
            return None;
        }
        self.stray(body)?;
        if body.of.is_some() || body.records.is_some() {
            return self.records(body);
        }
        if let Some(get) = &body.get {
            let jq = match &body.jq {
                Some(jq) => Some(self.program(jq)?.program),
                None => None,
            };
            return Some(Ask::Get { url: self.url(get)?, jq, status: body.status });
        }
        if let Some(text) = &body.text {
            return Some(Ask::Text { text: self.text(text)? });
        }
        if let Some(file) = &body.file {
            let target = self.target_name(&file.value, file.span, &["file"])?;
            let Some(key) = &body.at else { return Some(Ask::File { target }) };
            let format = self.config_format(&target, file.span, body.format)?;
            self.config_key(&key.value, key.span, format)?;
            return Some(Ask::Config { target, format, key: key.value.clone() });
        }
        if let Some(name) = &body.unchanged {
            let kinds = [DATABASES[0], DATABASES[1], "file"];
            return Some(Ask::Unchanged { target: self.target_name(&name.value, name.span, &kinds)? });
        }
        if let Some(run) = &body.run {
            let argv = run.iter().map(|arg| self.text(arg)).collect::<Option<Vec<_>>>()?;
            return Some(Ask::Run { argv, exit: i32::from(body.exit.unwrap_or(0)) });
        }
        let Some(place) = &body.r#in else {
            let table = body.table.first().map(Template::span);
            let named = body.sql.as_ref().or(body.schema.as_ref());
            let span = named.map(|text| text.span).or(table).unwrap_or_default();
            self.out.push(
                Diagnostic::error("P006", "this probe does not say which database it asks")
                    .at(span, "asked where?")
                    .help("add `in:` with the name of a target"),
            );
            return None;
        };
        let store = self.store(place)?;
        if !body.table.is_empty() {
            return self.table(body, store);
        }
        if let Some(file) = &body.schema {
            return self.schema(store, place, file);
        }
        let sql = body.sql.as_ref()?;
        let text = self.sql(&sql.value, sql.span)?;
        let params = self.parameters(&text);
        Some(Ask::Sql { store, sql: text, params })
    }

    /// Returns a database to be asked, or the copy that this run made.
    fn store(&mut self, place: &Spanned<String>) -> Option<Store> {
        let store = Store::parse(&place.value);
        self.target_name(&store.target, place.span, &DATABASES)?;
        if store.backup && matches!(self.targets.get(&store.target), Some(TargetDef::Postgres { .. })) {
            self.out.push(
                Diagnostic::error(
                    "P013",
                    format!("the backup of {} is a dump, which cannot be asked", store.target),
                )
                .at(place.span, "asked here")
                .help("ask the database itself, or compare with `unchanged:`"),
            );
            return None;
        }
        Some(store)
    }

    /// Reads the description of the one schema of a PostgreSQL database.
    fn schema(&mut self, store: Store, place: &Spanned<String>, file: &Spanned<String>) -> Option<Ask> {
        let schema = match self.targets.get(&store.target) {
            Some(TargetDef::Postgres { schemas, schemas_sql: None, .. }) if schemas.len() == 1 => {
                schemas[0].clone()
            }
            _ => {
                self.out.push(
                    Diagnostic::error("P013", format!("{} is not one schema of PostgreSQL", store.target))
                        .at(place.span, "is compared with a description")
                        .help("name a target that has one schema"),
                );
                return None;
            }
        };
        let text = self.file(&file.value, file.span)?;
        let source = Source::new(file.value.clone(), text);
        match SchemaDescription::parse(&source) {
            Ok(expected) => {
                Some(Ask::Schema { store, schema, file: file.value.clone(), expected: Box::new(expected) })
            }
            Err(wrong) => {
                let first = wrong.iter().next().map(|one| one.message.clone()).unwrap_or_default();
                self.out.push(
                    Diagnostic::error("P027", format!("{} describes no schema: {first}", file.value))
                        .at(file.span, "this file")
                        .help("docs/playbooks.md shows how a schema is described"),
                );
                None
            }
        }
    }

    fn table(&mut self, body: &ProbeBody, store: Store) -> Option<Ask> {
        let columns = match &body.columns {
            Some(columns) => columns.iter().map(|(here, there)| (here.text.clone(), there.clone())).collect(),
            None => BTreeMap::from([("*".to_owned(), "*".to_owned())]),
        };
        let postgres = matches!(self.targets.get(&store.target), Some(TargetDef::Postgres { .. }));
        let (schema, table) = match (body.table.as_slice(), postgres) {
            ([table], false) => (None, self.identifier(table)?),
            ([schema, table], true) => (Some(self.identifier(schema)?), self.identifier(table)?),
            (names, _) => {
                let wanted = if postgres { "`[SCHEMA, TABLE]`" } else { "the name of the table alone" };
                self.out.push(
                    Diagnostic::error("P013", "this does not name one table of this database")
                        .at(names.first().map(Template::span).unwrap_or_default(), "names it")
                        .help(format!("write {wanted}")),
                );
                return None;
            }
        };
        Some(Ask::Table { store, schema, table, columns })
    }

    /// Returns a question to the records of an artifact, or of an answer of any size.
    fn records(&mut self, body: &ProbeBody) -> Option<Ask> {
        let (from, format) = match (&body.of, &body.get) {
            (Some(of), _) => {
                let artifact = self.artifact(of)?;
                let format = artifact.format;
                (RecordsFrom::Artifact(artifact), format)
            }
            (None, Some(get)) => {
                (RecordsFrom::Url(self.url(get)?), body.records.unwrap_or(ArtifactFormat::JsonValues))
            }
            (None, None) => return None,
        };
        let span = body.of.as_ref().or(body.get.as_ref()).map(Template::span).unwrap_or_default();
        let wrong = match (format, &body.jq) {
            (ArtifactFormat::Bytes, _) => Some("is bytes, which have no records"),
            (_, None) => Some("is asked, but not what"),
            _ => None,
        };
        if let Some(wrong) = wrong {
            self.out.push(
                Diagnostic::error("P013", format!("{} {wrong}", from.describe()))
                    .at(span, "asked here")
                    .help(
                        "add `jq:` with a program that is run over each record; its outputs are the answer",
                    ),
            );
            return None;
        }
        let program = self.program_over(body.jq.as_ref()?, &[])?;
        let index = self.indexes(body.index.as_ref(), &[])?;
        Some(Ask::Records { from, format, program, index, count: body.count == Some(true) })
    }

    /// Says which keys belong to another question than the one that is asked: they would be left out without a word.
    fn stray(&mut self, body: &ProbeBody) -> Option<()> {
        let belongs = [
            ("jq", body.jq.is_some(), "get", body.get.is_some() || body.of.is_some()),
            ("records", body.records.is_some(), "get", body.get.is_some()),
            ("index", body.index.is_some(), "records", body.records.is_some() || body.of.is_some()),
            ("count", body.count.is_some(), "records", body.records.is_some() || body.of.is_some()),
            ("status", body.status.is_some(), "get without records", body.records.is_none()),
            ("status", body.status.is_some(), "get", body.get.is_some()),
            ("exit", body.exit.is_some(), "run", body.run.is_some()),
            ("at", body.at.is_some(), "file", body.file.is_some()),
            ("format", body.format.is_some(), "at", body.at.is_some()),
            ("columns", body.columns.is_some(), "table", !body.table.is_empty()),
            ("in", body.r#in.is_some() && body.unchanged.is_some(), "sql", body.sql.is_some()),
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
        if body.unchanged.is_some() || body.schema.is_some() {
            if wanted.into_iter().any(|one| one) {
                self.out.push(
                    Diagnostic::error("P013", "`unchanged:` and `schema:` are a question and its answer")
                        .help("take the other verdict out; ask again for another answer"),
                );
                return None;
            }
            return Some(Verdict::None);
        }
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
            let Some(template) = regex else { continue };
            let regex = self.regex(template)?;
            if let Err(error) = regex::Regex::new(&regex) {
                self.out.push(
                    Diagnostic::error("P016", "this is not a regular expression")
                        .at(
                            template.span(),
                            error.to_string().lines().last().unwrap_or_default().trim().trim_start_matches("error: "),
                        )
                        .help("put a backslash before a character that stands for itself, and the whole in single quotes"),
                );
                return None;
            }
            return Some(if lacks { Verdict::Lacks { regex } } else { Verdict::Matches { regex } });
        }
        Some(Verdict::Holds)
    }
}
