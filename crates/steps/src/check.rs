//! What `require`, `ensure` and `expect` share: a question to the site and the answer that is wanted.

use serde_json::{Value, json};
use switchback_engine::StepError;
use switchback_engine::error::trouble;
use switchback_model::artifact::Artifact;
use switchback_model::plan::{Access, Touch};
use switchback_model::probe::{Ask, Probe, RecordsFrom, Verdict};
use switchback_model::target::TargetDef;
use switchback_site::{Judgement, Site, SiteError, Tell};

/// How many rows an error names.
const NAMED: usize = 20;

/// Names what the question is about, for the step's name.
pub(crate) fn subject(probe: &Probe) -> String {
    match &probe.ask {
        Ask::Sql { store, .. } => store.target.clone(),
        Ask::Table { table, .. } => table.clone(),
        Ask::Get { url, .. } => last_segment(url),
        Ask::Schema { schema, .. } => schema.clone(),
        Ask::Records { from: RecordsFrom::Artifact(artifact), .. } => artifact.file_name(),
        Ask::Records { from: RecordsFrom::Url(url), .. } => last_segment(url),
        Ask::Text { .. } => "text".to_owned(),
        Ask::File { target } | Ask::Unchanged { target } | Ask::Config { target, .. } => target.clone(),
        Ask::Run { argv, .. } => {
            argv.first().map_or("command", |program| program.rsplit('/').next().unwrap_or("")).to_owned()
        }
    }
}

fn last_segment(url: &str) -> String {
    let path = url.split_once("://").map_or(url, |(_, rest)| rest);
    path.split(['?', '#']).next().unwrap_or("").rsplit('/').next().unwrap_or("url").to_owned()
}

/// Names the artifacts that the question, and the one that it is compared with, look into.
pub(crate) fn takes(probe: &Probe) -> Vec<Artifact> {
    probe.artifacts().into_iter().cloned().collect()
}

pub(crate) fn touches(probe: &Probe) -> Vec<Touch> {
    if let Ask::Unchanged { target } = &probe.ask {
        return vec![Touch::new(target, Access::Compares)];
    }
    probe.stores().into_iter().map(|store| Touch::new(&store.target, Access::Reads)).collect()
}

/// Says why a target is no still thing in a rehearsal: it is not copied, and its writers are not stopped.
pub(crate) fn still_written(site: &Site, target: &str) -> Option<String> {
    let live = site.is_rehearsal() && site.targets().get(target).is_some_and(TargetDef::is_read_only);
    live.then(|| format!("{target} is read where it is, and written to while it is read"))
}

/// Whether the question, or the one that it is compared with, can only be put to the real site.
pub(crate) fn not_rehearsed(probe: &Probe, site: &Site) -> Option<String> {
    let other = match &probe.verdict {
        Verdict::SameAs { other } => Some(other.as_ref()),
        _ => None,
    };
    [Some(&probe.ask), other].into_iter().flatten().find_map(|ask| match ask {
        Ask::Get { url, .. } | Ask::Records { from: RecordsFrom::Url(url), .. } => {
            (!site.is_private_url(url)).then(|| format!("{url} is the running service, not a copy"))
        }
        Ask::Run { argv, .. } => Some(format!("`{}` looks at the real site", argv.join(" "))),
        Ask::Unchanged { target } => still_written(site, target),
        _ => None,
    })
}

/// Returns what was seen, or the trouble of an answer that is not the wanted one.
pub(crate) fn verdict(probe: &Probe, judged: Result<Judgement, SiteError>) -> Result<Value, StepError> {
    let wanted = probe.otherwise.clone();
    match judged {
        Ok(judgement) if judgement.holds => Ok(seen(&judgement)),
        Ok(judgement) => {
            let message = wanted.unwrap_or_else(|| format!("{}: {}", probe.describe(), judgement.seen));
            let mut found = trouble("R004", message);
            let more = judgement.details.len().saturating_sub(NAMED);
            found.details = judgement.details.into_iter().take(NAMED).collect();
            if found.details.is_empty() && probe.otherwise.is_some() {
                found.details.push(format!("{} (seen: {})", probe.describe(), judgement.seen));
            }
            if more > 0 {
                found.details.push(format!("… and {more} more"));
            }
            found.help = probe.help.clone();
            Err(StepError::Failed(found))
        }
        Err(error) => match StepError::from(error) {
            StepError::Failed(mut found) => {
                found.message = format!("tell whether {}: {}", probe.describe(), found.message);
                found.details.extend(wanted);
                found.help = probe.help.clone();
                Err(StepError::Failed(found))
            }
            other => Err(other),
        },
    }
}

pub(crate) fn seen(judgement: &Judgement) -> Value {
    json!({ "seen": judgement.seen })
}

/// Asks once; an answer that cannot be had now is not the wanted one.
pub(crate) fn look(probe: &Probe, site: &Site, tell: &Tell) -> Result<Option<Value>, StepError> {
    match verdict(probe, site.judge_once(probe, tell)) {
        Ok(seen) => Ok(Some(seen)),
        Err(StepError::Failed(_) | StepError::Conflict(_)) => Ok(None),
        Err(halt) => Err(halt),
    }
}

/// Declares a kind of check: its step, its key, and how its plan line begins.
macro_rules! check {
    ($kind:ident, $step:ident, $name:literal, $says:literal, $verb:literal, $preview:expr) => {
        use serde::{Deserialize, Serialize};
        use serde_json::Value;
        use switchback_engine::registry::Compiled;
        use switchback_engine::{Condition, Kind, Overlay, Preview, Step, StepError, Work};
        use switchback_model::artifact::Artifact;
        use switchback_model::compile::Compile;
        use switchback_model::plan::{Reversal, Touch};
        use switchback_model::playbook::ProbeBody;
        use switchback_model::probe::Probe;
        use switchback_site::Site;

        /// The kind.
        pub struct $kind;

        impl Kind for $kind {
            type Body = ProbeBody;
            const NAME: &'static str = $name;
            const SAYS: &'static str = $says;

            fn compile(body: ProbeBody, cx: &mut Compile<'_>) -> Compiled {
                Some(vec![Box::new($step { probe: cx.probe(&body)? })])
            }
        }

        /// The step: it has no effect.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $step {
            /// The question and the wanted answer.
            pub probe: Probe,
        }

        impl Step for $step {
            const KIND: &'static str = $name;
            type Before = ();

            fn describe(&self) -> String {
                format!("{} {}", $verb, self.probe.describe())
            }

            fn subject(&self) -> String {
                $crate::check::subject(&self.probe)
            }

            fn touches(&self) -> Vec<Touch> {
                $crate::check::touches(&self.probe)
            }

            fn takes(&self) -> Vec<Artifact> {
                $crate::check::takes(&self.probe)
            }

            fn reversal(&self) -> Reversal {
                Reversal::ByUndo
            }

            fn preview(&self, world: &mut Overlay<'_>) -> Result<Preview, StepError> {
                let preview: fn(&Probe, &mut Overlay<'_>) -> Result<Preview, StepError> = $preview;
                preview(&self.probe, world)
            }

            fn check(&self, site: &Site, work: &Work<'_>) -> Result<Condition, StepError> {
                let look = look(&self.probe, site, work)?;
                Ok(look.map_or(Condition::Pending, Condition::Applied))
            }

            fn prepare(&self, _site: &Site, _work: &Work<'_>) -> Result<(), StepError> {
                Ok(())
            }

            fn apply(&self, site: &Site, (): &(), work: &Work<'_>) -> Result<Value, StepError> {
                $crate::check::verdict(&self.probe, site.judge(&self.probe, work.tell))
            }

            fn undo(&self, _site: &Site, (): &(), _work: &Work<'_>) -> Result<(), StepError> {
                Ok(())
            }

            fn not_rehearsed(&self, site: &Site) -> Option<String> {
                $crate::check::not_rehearsed(&self.probe, site)
            }
        }
    };
}
pub(crate) use check;
