//! `manual`: a person does it, by an instruction, and a probe sees that it is done.

use crate::services::{PERSON_MS, poll};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use switchback_engine::registry::Compiled;
use switchback_engine::{Condition, Kind, Overlay, Preview, Step, StepError, Work};
use switchback_model::compile::Compile;
use switchback_model::decode::{Duration as Time, Spanned};
use switchback_model::plan::{Reversal, Touch};
use switchback_model::playbook::ProbeBody;
use switchback_model::probe::Probe;
use switchback_model::record;
use switchback_site::Site;

record! {
    /// Asks a person to do something, and waits until a probe sees that it is done.
    pub struct ManualBody {
        /// What to do, as an imperative.
        pub r#do: Spanned<String>,
        /// Holds when it is done.
        pub done_when: ProbeBody,
        /// What to do on the way back; without it the step has no way back.
        pub undo: Option<String>,
        /// How long to wait.
        pub within: Option<Time>,
    }
}

/// The kind.
pub struct ManualKind;

impl Kind for ManualKind {
    type Body = ManualBody;
    const NAME: &'static str = "manual";
    const SAYS: &'static str = "asks a person to do something, and waits until a probe sees that it is done";

    fn compile(body: ManualBody, cx: &mut Compile<'_>) -> Compiled {
        let within_ms =
            body.within.map_or(PERSON_MS, |time| u64::try_from(time.get().as_millis()).unwrap_or(u64::MAX));
        let done_when = cx.probe(&body.done_when)?;
        Some(vec![Box::new(Manual { instruction: body.r#do.value, done_when, undo: body.undo, within_ms })])
    }
}

/// The step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manual {
    /// What to do.
    pub instruction: String,
    /// Holds when it is done.
    pub done_when: Probe,
    /// What to do on the way back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
    /// How long to wait, in milliseconds.
    pub within_ms: u64,
}

impl Manual {
    fn wait(&self, instruction: &str, done: bool, site: &Site, work: &Work<'_>) -> Result<(), StepError> {
        let doing = format!("waiting for you: {instruction}");
        let look = &mut || Ok(crate::check::look(&self.done_when, site, work.tell)?.is_some() == done);
        if poll(&doing, self.within_ms, work.tell, look)? {
            return Ok(());
        }
        let sees = if done { "does not see it" } else { "still sees it" };
        Err(StepError::failed(format!("wait any longer for a person to {instruction}: the probe {sees}")))
    }
}

impl Step for Manual {
    const KIND: &'static str = "manual";
    type Before = ();

    fn describe(&self) -> String {
        format!("a person does: {}", self.instruction)
    }

    fn subject(&self) -> String {
        let words: Vec<_> =
            self.instruction.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
        words.iter().take(3).map(|word| word.to_lowercase()).collect::<Vec<_>>().join("-")
    }

    fn touches(&self) -> Vec<Touch> {
        crate::check::touches(&self.done_when)
    }

    fn reversal(&self) -> Reversal {
        if self.undo.is_some() { Reversal::ByUndo } else { Reversal::Never }
    }

    fn preview(&self, world: &mut Overlay<'_>) -> Result<Preview, StepError> {
        crate::services::may_install(world);
        for store in self.done_when.stores() {
            world.lose_sight(&store.target, "a person will have been at it");
        }
        Ok(Preview::of([self.instruction.clone()], 60_000))
    }

    fn check(&self, site: &Site, work: &Work<'_>) -> Result<Condition, StepError> {
        let seen = crate::check::look(&self.done_when, site, work.tell)?;
        Ok(seen.map_or(Condition::Pending, Condition::Applied))
    }

    fn prepare(&self, _site: &Site, _work: &Work<'_>) -> Result<(), StepError> {
        Ok(())
    }

    fn apply(&self, site: &Site, (): &(), work: &Work<'_>) -> Result<Value, StepError> {
        self.wait(&self.instruction, true, site, work)?;
        Ok(json!({}))
    }

    fn undo(&self, site: &Site, (): &(), work: &Work<'_>) -> Result<(), StepError> {
        match &self.undo {
            Some(instruction) if self.check(site, work)?.is_applied() => {
                self.wait(instruction, false, site, work)
            }
            _ => Ok(()),
        }
    }

    fn by_hand(&self, _site: &Site) -> Option<String> {
        Some(self.instruction.clone())
    }

    fn not_rehearsed(&self, _site: &Site) -> Option<String> {
        Some("a person does it on the real site".to_owned())
    }
}
