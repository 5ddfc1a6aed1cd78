//! One cut at every fault point of a run, and of a way back, then either way out.

use crate::alone;
use crate::lab::{Ended, Lab, Verb};
use crate::script::{finish, reference};
use switchback_model::record::Outcome;
use switchback_site::Faults;

#[test]
fn a_cut_at_any_point_of_the_run_can_be_resumed() {
    alone::run("cuts::a_cut_at_any_point_of_the_run_can_be_resumed", |share| {
        cut_everywhere(share, Verb::Up);
    });
}

#[test]
fn a_cut_at_any_point_of_the_run_can_be_rolled_back() {
    alone::run("cuts::a_cut_at_any_point_of_the_run_can_be_rolled_back", |share| {
        cut_everywhere(share, Verb::Back);
    });
}

fn cut_everywhere(share: alone::Share, then: Verb) {
    let (ends, points) = reference();
    assert!(points > 100, "a run passes {points} fault points");
    for at in (1..=points).filter(|at| share.has(*at as usize)) {
        let lab = Lab::small();
        let how = format!("cut at point {at} of {points}, then {then:?}");
        assert_eq!(lab.live(Verb::Up, Faults::cut(at)), Ended::Cut, "{how}");
        finish(&lab, &ends, then, &how);
    }
}

#[test]
fn a_cut_at_any_point_of_the_way_back_can_be_taken_up() {
    alone::run("cuts::a_cut_at_any_point_of_the_way_back_can_be_taken_up", |share| {
        let (ends, _) = reference();
        for at in (1..).filter(|at| share.has(*at as usize)) {
            let lab = Lab::small();
            let how = format!("rolled back, cut at point {at} of that");
            assert_eq!(lab.live(Verb::Up, Faults::none()), Ended::With(Outcome::Upgraded), "{how}");
            match lab.live(Verb::Back, Faults::cut(at)) {
                Ended::Cut if at < 3 => {
                    // Cut before the way back was on record: the upgrade stands, and the wish is said again.
                    finish(&lab, &ends, Verb::Back, &how);
                }
                Ended::Cut => finish(&lab, &ends, Verb::Back, &how),
                ended => {
                    assert_eq!(ended, Ended::With(Outcome::RolledBack), "{how}");
                    assert!(at > 20, "the way back passes {at} points");
                    return;
                }
            }
        }
    });
}
