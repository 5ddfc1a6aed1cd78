//! A disk that is full at any one moment: the run comes to an end by itself, or stops because its journal cannot be
//! written, and then either way out is open.

use crate::alone;
use crate::lab::{Ended, Lab, Verb};
use crate::script::{check_outcome, finish, reference};
use switchback_model::record::Outcome;
use switchback_site::Faults;

#[test]
fn a_full_disk_at_any_point_of_the_run_needs_no_person() {
    alone::run("full_disk::a_full_disk_at_any_point_of_the_run_needs_no_person", |share| {
        let (ends, points) = reference();
        let mut rolled_back = 0;
        for at in (1..=points).filter(|at| share.has(*at as usize)) {
            let lab = Lab::small();
            let how = format!("disk full at point {at} of {points}");
            match lab.live(Verb::Up, Faults::full(at)) {
                Ended::Refused(why) => {
                    assert!(why.contains("simulated"), "{how}: {why}");
                    let verb = if at.is_multiple_of(4) { Verb::Up } else { Verb::Back };
                    finish(&lab, &ends, verb, &format!("{how}, then {verb:?}"));
                }
                ended => {
                    rolled_back += usize::from(ended == Ended::With(Outcome::RolledBack));
                    check_outcome(&lab, &ends, &ended, &how);
                }
            }
        }
        assert!(rolled_back > 0, "a full disk is noticed");
    });
}

#[test]
fn a_full_disk_at_any_point_of_the_way_back_leaves_it_open() {
    alone::run("full_disk::a_full_disk_at_any_point_of_the_way_back_leaves_it_open", |share| {
        let (ends, _) = reference();
        for at in (1..).filter(|at| share.has(*at as usize)) {
            let lab = Lab::small();
            let how = format!("rolled back, disk full at point {at} of that");
            assert_eq!(lab.live(Verb::Up, Faults::none()), Ended::With(Outcome::Upgraded), "{how}");
            let faults = std::sync::Arc::new(Faults::full(at));
            let ended = lab.live_told(Verb::Back, switchback_site::Tell::with_faults(faults.clone()));
            // Once there is room again, the same command goes on: an undo that failed is tried again.
            finish(&lab, &ends, Verb::Back, &format!("{how}: {ended:?}"));
            if faults.passed() < at {
                return;
            }
        }
    });
}
