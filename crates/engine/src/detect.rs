//! Detection: every piece of evidence is asked, and those that answer must agree.

use std::collections::BTreeMap;
use switchback_model::compile::Compile;
use switchback_model::diagnostic::Diagnostic;
use switchback_model::playbook::{Evidence, ProbeBody};
use switchback_model::probe::{Ask, Probe};
use switchback_model::version::{Range, Version};
use switchback_site::{Site, Tell};

/// A piece of evidence, compiled.
#[derive(Debug, Clone)]
pub struct Question {
    says: String,
    ask: Ask,
    finds: Option<String>,
    when: Option<Probe>,
    means: BTreeMap<String, Range>,
    broken: BTreeMap<String, String>,
    may_be_silent: bool,
}

/// The installed release, with the evidence for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The release.
    pub version: Version,
    /// What was asked, what was answered, what it means: a line each.
    pub evidence: Vec<String>,
}

/// Why the installed release is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// What is wrong, as a sentence without a full stop.
    pub message: String,
    /// What was asked, what was answered, what it means: a line each.
    pub evidence: Vec<String>,
    /// What to do.
    pub help: String,
}

/// Turns written evidence into a question, or says what is wrong with it.
pub fn compile(evidence: &Evidence, cx: &mut Compile<'_>) -> Option<Question> {
    let body = ProbeBody {
        r#in: evidence.r#in.clone(),
        sql: evidence.sql.clone(),
        get: evidence.get.clone(),
        jq: evidence.jq.clone(),
        file: evidence.file.clone(),
        at: evidence.at.clone(),
        format: evidence.format,
        run: evidence.run.clone(),
        ..ProbeBody::default()
    };
    let ask = cx.probe(&body)?.ask;
    let when = match &evidence.when {
        Some(when) => Some(cx.probe(when)?),
        None => None,
    };
    if let Some(finds) = &evidence.finds
        && regex::Regex::new(&finds.value).map_or(true, |regex| regex.captures_len() != 2)
    {
        cx.out.push(
            Diagnostic::error("P016", "this is not a regular expression with one group")
                .at(finds.span, "finds nothing")
                .help("put parentheses around the part of the answer that tells the release"),
        );
        return None;
    }
    let mut means = BTreeMap::new();
    for (answer, meaning) in evidence.means.iter() {
        match meaning.parse::<Range>() {
            Ok(range) => drop(means.insert(answer.text.clone(), range)),
            Err(error) => {
                cx.out.push(
                    Diagnostic::error("P008", format!("cannot {error}"))
                        .at(answer.span, "means this")
                        .help("write a release such as \"0.6\", or a range of releases such as \">=0.7\""),
                );
            }
        }
    }
    let broken = evidence.broken.iter().flat_map(|broken| broken.iter());
    (means.len() == evidence.means.len()).then_some(Question {
        says: evidence.says.clone().unwrap_or_else(|| ask.describe()),
        ask,
        finds: evidence.finds.as_ref().map(|finds| finds.value.clone()),
        when,
        means,
        broken: broken.map(|(answer, help)| (answer.text.clone(), help.clone())).collect(),
        may_be_silent: evidence.may_be_silent.unwrap_or(false),
    })
}

impl Question {
    /// Takes out of an answer what tells the release.
    fn found(&self, answer: Option<String>) -> Option<String> {
        let Some(finds) = &self.finds else { return answer };
        let regex = regex::Regex::new(finds).ok()?;
        Some(regex.captures(&answer?)?.get(1)?.as_str().to_owned())
    }
}

/// Asks everything and weighs the answers.
pub fn detect(questions: &[Question], site: &Site, tell: &Tell) -> Result<Installed, Unknown> {
    let mut evidence = Vec::new();
    let mut meanings: Vec<&Range> = Vec::new();
    let mut blocked: Vec<(String, Option<String>)> = Vec::new();
    let mut silent = false;
    for question in questions {
        let asked = &question.says;
        match question.when.as_ref().map(|when| site.judge_once(when, tell)) {
            Some(Ok(judgement)) if !judgement.holds => continue,
            Some(Err(error)) => {
                evidence.push(format!("{asked}: nobody knows whether to ask ({error})"));
                blocked.push((error.to_string(), None));
                silent = true;
                continue;
            }
            _ => {}
        }
        let answer = match site.ask(&question.ask, tell) {
            Ok(answer) if answer.is_several() => {
                evidence.push(format!("{asked}: several answers"));
                blocked.push((format!("{asked}: several answers, and only one can be right"), None));
                continue;
            }
            Ok(answer) => question.found(answer.scalar()),
            Err(error) if question.may_be_silent => {
                evidence.push(format!("{asked}: no answer ({error})"));
                continue;
            }
            Err(error) => {
                let reason = error.to_string();
                evidence.push(format!("{asked}: no answer ({reason})"));
                blocked.push((reason, None));
                silent = true;
                continue;
            }
        };
        let Some(answer) = answer else {
            evidence.push(format!("{asked}: nothing"));
            blocked.push((format!("{asked}: nothing was found"), None));
            continue;
        };
        match question.means.get(&answer) {
            Some(range) => {
                evidence.push(format!("{asked}: {answer}, which means {range}"));
                meanings.push(range);
            }
            None => {
                let known: Vec<_> = question.means.keys().map(|key| format!("`{key}`")).collect();
                evidence
                    .push(format!("{asked}: {answer}, which has no meaning (known: {})", known.join(", ")));
                let help = question.broken.get(&answer).cloned();
                blocked.push((format!("{asked}: `{answer}`, and no release is known by that"), help));
            }
        }
    }
    // What the headline says is not said again below it.
    let unknown = |message: String, help: &str| {
        let evidence = evidence.iter().map(|line| line.replace(&format!(" ({message})"), "")).collect();
        Unknown { message, evidence, help: help.to_owned() }
    };
    // What the playbook knows to be broken has its own help, so it is said before the rest.
    blocked.sort_by_key(|(_, help)| help.is_none());
    if let Some((message, help)) = blocked.into_iter().next() {
        let general = if silent {
            "the inputs of the site file say where it is asked: name the right place, or mend what stands in the way"
        } else {
            "this is no release that the playbook knows: name the right site, or mend what answers like no release"
        };
        return Err(unknown(message, help.as_deref().unwrap_or(general)));
    }
    // A bare release names itself; a range only confirms or contradicts.
    let Some(version) = meanings.iter().find_map(|range| range.to_string().parse::<Version>().ok()) else {
        return Err(unknown(
            "no piece of evidence names a release".to_owned(),
            "the playbook has to name one",
        ));
    };
    if meanings.iter().any(|range| !range.contains(&version)) {
        return Err(unknown(
            "the evidence disagrees about the installed release".to_owned(),
            "an upgrade was begun here by other means and not ended; restore the backup from before it, then plan again",
        ));
    }
    Ok(Installed { version, evidence })
}
