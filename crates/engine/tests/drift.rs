//! What was reviewed is what runs: a plan whose steps would be others today is known as such.
#![allow(clippy::unwrap_used)]

mod witness;

use std::collections::BTreeMap;
use switchback_model::phase::Phase;
use witness::plan;

const ONE: (&str, Phase, bool) = ("one", Phase::Change, false);
const TWO: (&str, Phase, bool) = ("two", Phase::Change, false);

#[test]
fn steps_that_come_go_or_differ_are_lines_of_a_diff() {
    let plan = |steps: &[(&str, Phase, bool)]| plan(BTreeMap::new(), steps);
    assert!(plan(&[ONE, TWO]).step_drift(&plan(&[ONE, TWO])).is_empty());
    assert_eq!(plan(&[ONE, TWO]).step_drift(&plan(&[ONE])), ["steps:", "  - two: watch"]);
    assert_eq!(plan(&[ONE]).step_drift(&plan(&[ONE, TWO])), ["steps:", "  + two: watch"]);
    let other = ("one", Phase::Change, true);
    assert_eq!(plan(&[ONE]).step_drift(&plan(&[other])), ["steps:", "  - one: watch", "  + one: watch"]);
    assert_eq!(plan(&[ONE, TWO]).step_drift(&plan(&[TWO, ONE])), ["steps:", "  another order"]);
}
