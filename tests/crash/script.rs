//! What happens to one installation in one case: lives, each struck somewhere, and a last one that nothing strikes.

use crate::ends::{Content, End, Ends, exact};
use crate::lab::{Ended, Lab, Verb};
use std::sync::Arc;
use switchback_model::record::Outcome;
use switchback_site::{Faults, Tell};

/// The legal ends of the small lab, from a run that nothing disturbed, and how many fault points that run passed.
pub fn reference() -> (Ends, u64) {
    let lab = Lab::small();
    let before = exact(&lab.database);
    let faults = Arc::new(Faults::none());
    let ended = lab.live_told(Verb::Up, Tell::with_faults(faults.clone()));
    assert_eq!(ended, Ended::With(Outcome::Upgraded));
    let ends = Ends { before, after: Content::of(&lab.database) };
    assert!(
        !ends.after.differences(&Content::of(&lab.database)).iter().any(|_| true),
        "reading changes nothing"
    );
    check(&lab, &ends, End::After, "a run that nothing disturbs");
    (ends, faults.passed())
}

/// Brings a run to its end in one undisturbed life, and looks whether that is the legal one.
pub fn finish(lab: &Lab, ends: &Ends, verb: Verb, how: &str) {
    let ended = lab.live(verb, Faults::none());
    let wanted = match ended {
        Ended::With(Outcome::Upgraded) => End::After,
        Ended::With(Outcome::RolledBack) | Ended::NoRun => End::Before,
        other => {
            panic!("{how}: {other:?}, {:?}", lab.journal().and_then(|run| run.failure().map(|f| f.1.clone())))
        }
    };
    let asked = if verb == Verb::Up { End::After } else { End::Before };
    assert_eq!(wanted, asked, "{how}: {:?}", lab.journal());
    check(lab, ends, wanted, how);
}

/// Looks whether the site is in that state.
pub fn check(lab: &Lab, ends: &Ends, wanted: End, how: &str) {
    ends.assert(wanted, &lab.database, lab.service.as_ref(), lab.port, how);
}
