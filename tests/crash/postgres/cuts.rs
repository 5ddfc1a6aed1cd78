//! Every fault point of a step beside the databases, which no backup of theirs brings back.

use super::faults::template;
use super::shops::End;
use crate::lab::{Ended, Verb, live};
use crate::window;
use std::sync::Arc;
use switchback_model::record::Outcome;
use switchback_site::{Faults, Tell};

#[test]
fn a_cut_while_the_config_is_edited_can_be_rolled_back() {
    let (template, ends) = template();
    let points = {
        let lab = template.copy();
        window::of(&lab.plan(), &lab.state, "edit-config")
    };
    for at in points {
        let lab = template.copy();
        let plan = lab.plan();
        let life = |verb, faults| live(&plan, &lab.state, verb, Tell::with_faults(Arc::new(faults)));
        let how = format!("cut at point {at}, in the edit");
        assert_eq!(life(Verb::Up, Faults::cut(at)), Ended::Cut, "{how}");
        assert_eq!(life(Verb::Back, Faults::none()), Ended::With(Outcome::RolledBack), "{how}");
        lab.assert(ends, End::Before, &how);
    }
}
