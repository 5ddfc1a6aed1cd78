//! A service that takes its time to end: told to, cut off, and wanted back while it is still there.

use crate::alone;
use crate::lab::{Ended, Lab, Verb};
use crate::script::{finish, reference};
use switchback_labs::duplistatus::LabSize;
use switchback_model::run::StepState;
use switchback_site::Faults;
use switchback_site::service::ProcessSpec;

#[test]
fn a_service_on_its_way_out_is_started_again() {
    alone::run("slow_stop::a_service_on_its_way_out_is_started_again", |share| {
        let ((ends, points), mut met) = (reference(), 0);
        for at in (1..=points).filter(|at| share.has(*at as usize)) {
            let lab = Lab::of(LabSize::default(), ends_slowly);
            assert_eq!(lab.live(Verb::Up, Faults::cut(at)), Ended::Cut);
            let stop = lab.plan.position("stop-app").unwrap();
            match lab.journal().map(|run| run.steps[stop].clone()) {
                None | Some(StepState::Waiting) => {}
                Some(StepState::Started(_)) => {
                    met += 1;
                    finish(&lab, &ends, Verb::Back, &format!("cut at {at}, while the service was stopped"));
                }
                Some(_) => break,
            }
        }
        assert!(met > 0, "no cut met the stop");
    });
}

/// Its program ends when it is told to; the shell around it stays for a second.
fn ends_slowly(spec: &mut ProcessSpec) {
    let script = "trap 'sleep 1; exit 0' TERM; \"$@\" & wait; wait";
    let around = ["sh", "-c", script, "sh"].map(str::to_owned);
    spec.old.argv.splice(0..0, around);
}
