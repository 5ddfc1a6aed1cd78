//! `ensure`: blocks after a change, unless the site answers as it must; waits for the answer if it is told to.

use crate::check::check;

check! {
    EnsureKind, Ensure, "ensure", "blocks after a change, unless the answer is the wanted one", "ensure that",
    |probe, _world| Ok(Preview::of(Vec::<String>::new(), if probe.within_ms > 0 { 1000 } else { 100 }))
}

fn look(probe: &Probe, site: &Site, work: &Work<'_>) -> Result<Option<Value>, StepError> {
    crate::check::look(probe, site, work.tell)
}
