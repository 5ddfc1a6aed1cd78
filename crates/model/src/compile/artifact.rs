//! Artifacts and the jq programs over their records.

use super::Compile;
use crate::artifact::Artifact;
use crate::decode::{Keyed, Spanned};
use crate::diagnostic::{Diagnostic, Span};
use crate::jq::JqError;
use crate::playbook::Playbook;
use crate::program::{IndexBody, IndexOf, Named};
use crate::suggest::closest;
use crate::target::TargetDef;
use crate::text::Template;

impl Compile<'_> {
    /// Takes the artifacts of a playbook, and says what is wrong with them.
    pub(super) fn take_artifacts(&mut self, playbook: &Playbook) {
        for (name, body) in playbook.artifacts.iter() {
            let mut members: Vec<&str> = body.per.iter().map(|member| member.value.as_str()).collect();
            members.sort_unstable();
            let twice = members.windows(2).any(|pair| pair[0] == pair[1]);
            let lonely = body.distinct == Some(true) && members.len() < 2;
            let odd = name.text.is_empty() || name.text.contains(['[', ']']);
            let wrong = match (twice, lonely, odd) {
                (true, _, _) => "names a component twice",
                (_, true, _) => "is to differ from others, and has none",
                (_, _, true) => "cannot be told from a member of another",
                _ => {
                    self.artifacts.insert(name.text.clone(), body.clone());
                    continue;
                }
            };
            self.out.push(
                Diagnostic::error("P044", format!("artifact `{}` {wrong}", name.text))
                    .at(name.span, "this one")
                    .help("list each component once in `per:`; `distinct: true` is for two and more"),
            );
        }
    }

    /// Returns the artifact that a text names, `NAME` or `NAME[COMPONENT]`, or says what is wrong with it.
    pub fn artifact(&mut self, template: &Template) -> Option<Artifact> {
        let sample = template.references().any(|it| self.items.get(&it.name).is_some_and(|item| item.sample));
        let (text, span) = (self.text(template)?, template.span());
        let (name, member) = match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
            Some((name, member)) => (name.to_owned(), Some(member.to_owned())),
            None => (text.clone(), None),
        };
        let Some(body) = self.artifacts.get(&name).cloned() else {
            let known: Vec<String> = self.artifacts.keys().cloned().collect();
            self.unknown("artifact", &name, span, &known);
            return None;
        };
        let members: Vec<String> = body.per.iter().map(|member| member.value.clone()).collect();
        let member = match member {
            // The thing of a loop that nobody has seen yet stands for any of them.
            Some(_) if sample && !members.is_empty() => members.first().cloned(),
            other => other,
        };
        let found = match &member {
            Some(member) => members.contains(member),
            None => members.is_empty(),
        };
        if !found {
            let near = member.as_deref().and_then(|it| closest(it, members.iter().map(String::as_str)));
            let help = match near {
                Some(near) => format!("did you mean `{name}[{near}]`?"),
                None if members.is_empty() => format!("it has no members: write `{name}`"),
                None => format!("it has the members {}: write `{name}[{}]`", members.join(", "), members[0]),
            };
            self.out.push(
                Diagnostic::error("P010", format!("artifact `{name}` has no member of that name"))
                    .at(span, "names none")
                    .help(help),
            );
            return None;
        }
        let others = members.into_iter().filter(|one| Some(one) != member.as_ref());
        let unlike = if body.distinct == Some(true) { others.collect() } else { Vec::new() };
        let (holds, secret) = (body.r#type.value, body.secret == Some(true));
        Some(Artifact { name, member, holds, format: body.format, secret, unlike })
    }

    /// Says when an artifact of one component meets an endpoint of another, or one that does not take its type.
    pub fn fits(&mut self, artifact: &Artifact, endpoint: &str, sent: bool, span: Span) -> Option<()> {
        let Some(TargetDef::Http { component, accepts, .. }) = self.targets.get(endpoint) else {
            return Some(());
        };
        if let (Some(component), Some(member)) = (component, &artifact.member)
            && component != member
        {
            let message = format!("{} is not of {component}, which answers at {endpoint}", artifact.label());
            let help = format!("take `{}`, or the endpoint of {member}", artifact.sibling(component).label());
            self.out
                .push(Diagnostic::error("P045", message).at(span, "belongs to another component").help(help));
            return None;
        }
        if sent && !accepts.is_empty() && !accepts.contains(&artifact.holds) {
            let message = format!("{endpoint} does not take {}", artifact.holds);
            let help = format!(
                "it takes {}: send an artifact of that type, made by a `transform`",
                accepts.join(", ")
            );
            self.out.push(Diagnostic::error("P045", message).at(span, "is of another type").help(help));
            return None;
        }
        Some(())
    }

    /// Returns a jq program: the text itself, or the file of the playbook that it names with `.jq` at its end.
    pub fn program(&mut self, program: &Spanned<String>) -> Option<Named> {
        self.checked(program, crate::jq::check)
    }

    /// As [`Compile::program`], for a program that is run over records, with variables of these names.
    pub fn program_over(&mut self, program: &Spanned<String>, vars: &[&str]) -> Option<Named> {
        self.checked(program, |text| crate::jq::check_over_records(text, vars))
    }

    fn checked(
        &mut self,
        program: &Spanned<String>,
        check: impl Fn(&str) -> Result<(), JqError>,
    ) -> Option<Named> {
        let is_file = program.value.ends_with(".jq");
        let (name, text) = match is_file {
            true => (program.value.clone(), self.file(&program.value, program.span)?),
            false => ("the program".to_owned(), program.value.clone()),
        };
        if let Err(error) = check(&text) {
            let what = if is_file { format!("{name} is") } else { "this is".to_owned() };
            self.out.push(
                Diagnostic::error("P015", format!("{what} not a jq program"))
                    .at(program.span, error.to_string())
                    .help("every part of a program has to be complete, such as `.tables | length`"),
            );
            return None;
        }
        Some(Named { name, program: text })
    }

    /// Returns the indexes that programs look into.
    pub fn indexes(&mut self, bodies: Option<&Keyed<IndexBody>>, vars: &[&str]) -> Option<Vec<IndexOf>> {
        let mut indexes = Vec::new();
        for (name, body) in bodies.into_iter().flat_map(Keyed::iter) {
            let of = self.program_over(&body.of, vars)?.program;
            let gives = match &body.gives {
                Some(gives) => Some(self.program_over(gives, vars)?.program),
                None => None,
            };
            let ascending = body.ascending == Some(true);
            indexes.push(IndexOf { name: name.text.clone(), of, gives, ascending });
        }
        Some(indexes)
    }
}
