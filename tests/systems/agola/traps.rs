//! What goes wrong once the upgrade has begun, in the old version or in the new one, and stays wrong for a while.

use super::{HOLD, Installation, Options, each};
use serde_json::json;
use switchback_labs::agola::Component;

/// Patience for a mode in seconds instead of a minute.
const SHORT: [(&str, &str); 4] = [
    ("{enter: [old_runservice, old_configstore]}", "{enter: [old_runservice, old_configstore], within: 2s}"),
    ("{enter: [new_runservice, new_configstore]}", "{enter: [new_runservice, new_configstore], within: 2s}"),
    ("{leave: [new_runservice, new_configstore]}", "{leave: [new_runservice, new_configstore], within: 2s}"),
    ("          settles: ", "          within: 3s\n          settles: "),
];

/// The same, waiting before the new services enter maintenance.
fn short_and_held() -> Installation {
    let enter = "      - maintenance: {enter: [new_runservice";
    let held = format!("{HOLD}{enter}");
    let playbook = [&SHORT[..], &[(enter, held.as_str())]].concat();
    Installation::of(&Options { playbook: &playbook, ..Options::default() })
}

fn short() -> Installation {
    Installation::of(&Options { playbook: &SHORT, ..Options::default() })
}

#[test]
fn a_mode_that_does_not_come_is_waited_for_and_given_up() {
    // Where the old service does not heed, where the new one does not, and where that stays in it.
    let cases = [
        ("never-enters@runservice", "enter maintenance of old_runservice"),
        ("never-enters@configstore", "enter maintenance of old_configstore"),
        ("never-enters@runservice", "enter maintenance of new_runservice"),
        ("never-leaves@configstore", "leave maintenance of new_configstore"),
    ];
    each(&cases, |(trap, failed)| {
        let site = short_and_held();
        let before = site.everything();
        let spring = || site.lab.switch(&format!("traps.{trap}"), json!(1)).unwrap();
        // What the old service has to heed is set before the run, what the old one is not to meet behind it.
        let at = if failed.contains("old_") { "stop-gateway" } else { "hold" };
        if at == "stop-gateway" {
            spring();
        }
        let ran = site.apply_and_when(at, |site| {
            if at == "hold" {
                spring();
                site.go_on();
            }
            site.wait_until("the run goes back", || site.goes_back());
            site.lab.switch("traps", json!({})).unwrap();
        });
        ran.expect(20, &[&format!("FAILED {failed}")]);
        site.expect_as_before(&before);
    });
}

#[test]
fn a_mode_that_does_not_end_leaves_the_way_back_open_until_it_does() {
    let site = short();
    let before = site.everything();
    for trap in ["never-enters@configstore", "never-leaves@runservice"] {
        site.lab.switch(&format!("traps.{trap}"), json!(1)).unwrap();
    }
    site.apply().expect(
        21,
        &[
            "cannot bring old_runservice out of maintenance",
            "look into what the service",
            "switchback rollback",
        ],
    );
    site.run(&["status"]).expect(21, &["maintenance of old_runservice is on since 20"]);
    site.lab.switch("traps", json!({})).unwrap();
    site.run(&["rollback", "--yes"]).expect(0, &["as before"]);
    site.expect_as_before(&before);
    assert!(!site.run(&["status"]).expect(0, &[]).said().contains("is on since"));
}

#[test]
fn replies_that_are_lost_every_time_change_nothing() {
    let site = Installation::of(&Options::default());
    let before = site.everything();
    for trap in ["lost-enter", "lost-leave", "import-lost"] {
        site.lab.switch(&format!("traps.{trap}"), json!(99)).unwrap();
    }
    site.apply().expect(0, &["upgraded"]);
    site.expect_upgraded();
    site.run(&["rollback", "--yes"]).expect(0, &["as before"]);
    site.expect_as_before(&before);
}

#[test]
fn an_import_that_never_takes_all_is_taken_back() {
    each(&["import-half", "import-nothing", "import-crash"], |trap| {
        let site = short();
        let before = site.everything();
        site.lab.switch(&format!("traps.{trap}@configstore"), json!(99)).unwrap();
        site.apply()
            .expect(20, &["cannot bring migrated[configstore] into new_configstore", "it was sent 3 times"]);
        site.expect_as_before(&before);
    });
}

#[test]
fn a_run_that_is_archived_late_is_waited_for() {
    let proof = "      - ensure:\n          says: \"prove that every run that has ended";
    let held = format!("{HOLD}{proof}");
    let mut site = Installation::of(&Options { playbook: &[(proof, &held)], ..Options::default() });
    // It comes with the first export behind the plan, and is shown before it is in the next one.
    site.apply_and_when("hold", |site| {
        site.lab.switch("traps.late-run@runservice", json!(1)).unwrap();
        site.go_on();
    })
    .expect(0, &["upgraded"]);
    let counts = site.counts(Component::Runservice);
    assert_eq!((counts["Run"], counts["RunConfig"]), (14, 14));
    site.lab.content.runservice.clear();
}

#[test]
fn a_new_service_that_does_not_start_is_taken_back() {
    each(&["runservice", "configstore", "gateway", "scheduler"], |component| {
        let site = Installation::of(&Options::default());
        let before = site.everything();
        site.lab.switch(&format!("traps.start-fails@{component}"), json!(1)).unwrap();
        let ran = site.apply();
        ran.expect(
            20,
            &[&format!("FAILED start {component} in its new release"), "as it was before the run"],
        );
        site.expect_as_before(&before);
    });
}
