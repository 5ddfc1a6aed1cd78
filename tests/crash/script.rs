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

/// Brings a run to its end in one undisturbed life, and looks whether that is the end that was asked for. Only a run that
/// was over before it was asked may be at the other.
pub fn finish(lab: &Lab, ends: &Ends, verb: Verb, how: &str) {
    let asked = match verb {
        Verb::Up => Ended::With(Outcome::Upgraded),
        Verb::Back => Ended::With(Outcome::RolledBack),
    };
    let ended = lab.live(verb, Faults::none());
    assert!(ended == asked || ended == Ended::NoRun, "{how}: {ended:?}: {:?}", lab.journal());
    check_outcome(lab, ends, &ended, how);
}

/// Looks whether the site is what the run says it is: as before, or upgraded, and nothing else.
pub fn check_outcome(lab: &Lab, ends: &Ends, ended: &Ended, how: &str) {
    let wanted = match ended {
        Ended::With(Outcome::Upgraded) => End::After,
        Ended::With(Outcome::RolledBack) | Ended::NoRun => End::Before,
        other => panic!("{how}: {other:?}: {:?}", lab.journal()),
    };
    check(lab, ends, wanted, how);
}

/// Looks whether the site is in that state.
pub fn check(lab: &Lab, ends: &Ends, wanted: End, how: &str) {
    ends.assert(wanted, &lab.database, lab.service.as_ref(), lab.port, how);
}
