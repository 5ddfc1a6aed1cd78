//! Every fault point of one step, or some of them where there are many, in process.

use super::site::{End, Ends, Site};
use crate::chance::{Chance, seed, soak};
use crate::lab::{Ended, Verb, live};
use crate::{alone, window};
use std::sync::Arc;
use switchback_model::record::Outcome;
use switchback_site::{Faults, Tell};

#[test]
fn a_cut_while_maintenance_is_entered_leaves_none_on() {
    alone::run("http::window::a_cut_while_maintenance_is_entered_leaves_none_on", |share| {
        cut_in("maintenance-old_depot", 1, share, Verb::Back);
    });
}

#[test]
fn a_cut_while_an_import_is_sent_sends_nothing_twice() {
    alone::run("http::window::a_cut_while_an_import_is_sent_sends_nothing_twice", |share| {
        cut_in("import", 6, share, Verb::Up);
    });
}

/// Cuts at the points of a step; CI takes one of so many, others each time.
fn cut_in(step: &str, one_of: u64, share: alone::Share, then: Verb) {
    let (ends, points) = {
        let site = Site::new();
        let points = window::of(&site.plan(), &site.state, step);
        (Ends::of(&site), points)
    };
    let one_of = if soak().is_some() { 1 } else { one_of };
    let first = Chance::of(seed(&format!("cuts in {step}")), 0).below(one_of) as usize;
    let points = points.skip(first).step_by(one_of as usize);
    for (_, at) in points.enumerate().filter(|(number, _)| share.has(*number)) {
        let site = Site::new();
        let plan = site.plan();
        let life = |verb, faults| live(&plan, &site.state, verb, Tell::with_faults(Arc::new(faults)));
        let how = format!("cut at point {at}, in {step}, then {then:?}");
        assert_eq!(life(Verb::Up, Faults::cut(at)), Ended::Cut, "{how}");
        site.leave_scratch();
        let (outcome, end) = match then {
            Verb::Up => (Outcome::Upgraded, End::After),
            Verb::Back => (Outcome::RolledBack, End::Before),
        };
        assert_eq!(life(then, Faults::none()), Ended::With(outcome), "{how}");
        site.assert(&ends, end, &how);
        let twice = site.sent_twice(1);
        assert!(twice.is_empty(), "{how}: sent twice: {twice:?}");
    }
}
