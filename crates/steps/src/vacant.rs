//! `vacant`: looks once more, while the old system runs, that nobody has made what this upgrade makes. Only the planner puts
//! it in, as the last step before the downtime.

use crate::database::sqlite_made::refuse_occupied;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use switchback_engine::{Condition, Overlay, Preview, Step, StepError, Work};
use switchback_model::plan::{Access, Reversal, Touch};
use switchback_site::Site;

/// The step: it has no effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vacant {
    /// Name of the target.
    pub target: String,
}

impl Step for Vacant {
    const KIND: &'static str = "vacant";
    type Before = ();

    fn describe(&self) -> String {
        format!("look that nobody has made {} yet", self.target)
    }

    fn subject(&self) -> String {
        self.target.clone()
    }

    fn touches(&self) -> Vec<Touch> {
        vec![Touch::new(&self.target, Access::Reads)]
    }

    fn reversal(&self) -> Reversal {
        Reversal::ByUndo
    }

    fn preview(&self, world: &mut Overlay<'_>) -> Result<Preview, StepError> {
        refuse_occupied(world.site, &self.target)?;
        let found = world.site.vacancy(&self.target)?;
        let words = found.map_or("a database of nothing", |vacancy| vacancy.words());
        Ok(Preview::of([words], 5))
    }

    fn check(&self, site: &Site, _work: &Work<'_>) -> Result<Condition, StepError> {
        refuse_occupied(site, &self.target)?;
        Ok(Condition::applied())
    }

    fn prepare(&self, _site: &Site, _work: &Work<'_>) -> Result<(), StepError> {
        Ok(())
    }

    fn apply(&self, site: &Site, (): &(), _work: &Work<'_>) -> Result<Value, StepError> {
        refuse_occupied(site, &self.target)?;
        Ok(Value::Null)
    }

    fn undo(&self, _site: &Site, (): &(), _work: &Work<'_>) -> Result<(), StepError> {
        Ok(())
    }
}
