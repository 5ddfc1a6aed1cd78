//! `require`: blocks before anything is changed. It is asked when planning and again in the run.

use crate::check::{check, verdict};

check! {
    RequireKind, Require, "require", "blocks before anything is changed, unless the answer is the wanted one", "require that",
    |probe, world| {
        let unseen = probe.stores().into_iter().find_map(|store| world.unknown(&store.target));
        let Some(why) = unseen else {
            verdict(probe, world.site.judge_once(probe, &switchback_site::Tell::quiet()))?;
            return Ok(Preview::of(Vec::<String>::new(), 10));
        };
        Ok(Preview::of([format!("asked only in the run: {why}")], 10))
    }
}

fn look(probe: &Probe, site: &Site, work: &Work<'_>) -> Result<Option<Value>, StepError> {
    crate::check::look(probe, site, work.tell)
}
