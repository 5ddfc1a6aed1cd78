//! `fingerprint`: notes what a target is like when the writers have gone, for a proof that it did not change. Only the planner
//! puts it in, where an `unchanged:` asks for it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use switchback_engine::run_dir::write_durably;
use switchback_engine::{Condition, Overlay, Preview, Step, StepError, Work};
use switchback_model::plan::{Access, Reversal, Touch};
use switchback_site::Site;

/// Bytes that are read and digested in a millisecond, by a rule of thumb.
const BYTES_A_MS: u64 = 100_000;

/// The step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TakeFingerprint {
    /// Name of the target.
    pub target: String,
}

impl Step for TakeFingerprint {
    const KIND: &'static str = "fingerprint";
    type Before = ();

    fn describe(&self) -> String {
        format!("take the fingerprint of {}, now that nobody writes", self.target)
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
        let bytes = world.site.size(&self.target)?.unwrap_or(0);
        Ok(Preview::of(Vec::<String>::new(), 10 + bytes / BYTES_A_MS))
    }

    fn check(&self, site: &Site, _work: &Work<'_>) -> Result<Condition, StepError> {
        let there = site.frozen_fingerprint(&self.target).exists();
        Ok(if there { Condition::applied() } else { Condition::Pending })
    }

    fn prepare(&self, _site: &Site, _work: &Work<'_>) -> Result<(), StepError> {
        Ok(())
    }

    fn apply(&self, site: &Site, (): &(), work: &Work<'_>) -> Result<Value, StepError> {
        let path = site.frozen_fingerprint(&self.target);
        if path.exists() {
            return Ok(Value::Null);
        }
        let fingerprint = site.fingerprint(&self.target, work.tell)?;
        work.tell.point("fingerprint.write")?;
        write_durably(&path, fingerprint.to_string().as_bytes())
            .map_err(|e| StepError::failed(format!("write {}: {e}", path.display())))?;
        work.tell.point("fingerprint.written")?;
        Ok(json!({}))
    }

    fn undo(&self, site: &Site, (): &(), _work: &Work<'_>) -> Result<(), StepError> {
        crate::trial::remove(&site.frozen_fingerprint(&self.target))
    }

    /// A copy is not what the writers write to; the original is, and nobody stops them for a rehearsal.
    fn not_rehearsed(&self, site: &Site) -> Option<String> {
        crate::check::still_written(site, &self.target)
    }
}
