//! `expect`: asks and reports, and never blocks.

use crate::check::check;
use serde_json::json;

check! {
    ExpectKind, Expect, "expect", "asks, and reports an answer that is not the wanted one without blocking", "expect that",
    |_probe, _world| Ok(Preview::of(Vec::<String>::new(), 100))
}

/// An unwanted answer is part of what was seen, so that the report can show it.
fn look(probe: &Probe, site: &Site, work: &Work<'_>) -> Result<Option<Value>, StepError> {
    match crate::check::verdict(probe, site.judge(probe, work.tell)) {
        Ok(seen) => Ok(Some(seen)),
        Err(StepError::Failed(trouble) | StepError::Conflict(trouble)) => {
            Ok(Some(json!({ "unexpected": trouble.headline(), "details": trouble.details })))
        }
        Err(halt) => Err(halt),
    }
}
