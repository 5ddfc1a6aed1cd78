//! `require`: blocks before anything is changed. It is asked when planning and again in the run.

use crate::check::{check, verdict};

check! {
    RequireKind, Require, "require", "blocks before anything is changed, unless the answer is the wanted one", "require that",
    |probe, world| {
        if probe.stores().iter().all(|store| world.unknown(&store.target).is_none()) {
            verdict(probe, world.site.judge_once(probe, &switchback_site::Tell::quiet()))?;
        }
        Ok(Preview::of(Vec::<String>::new(), 10))
    }
}

fn look(probe: &Probe, site: &Site, work: &Work<'_>) -> Result<Option<Value>, StepError> {
    crate::check::look(probe, site, work.tell)
}
