//! Rehearsals: the new services run privately over copies, beside the old ones; the import and what it gives back are seen
//! before the downtime, and nothing of the installation is touched, however a rehearsal ends.

use super::{Everything, Installation, Options, each};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::time::Duration;
use switchback_labs::agola::LabOptions;

/// Patience in seconds instead of a minute.
const SHORT: [(&str, &str); 2] = [
    ("{enter: [new_runservice, new_configstore]}", "{enter: [new_runservice, new_configstore], within: 2s}"),
    ("          settles: ", "          within: 3s\n          settles: "),
];

/// Every process of a private service: those whose command line names its folder.
fn private_processes(site: &Installation) -> Vec<String> {
    let folder = site.path(".switchback/rehearsal/private").display().to_string();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let argv = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let argv = argv.map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "));
    argv.filter(|argv| argv.contains(&folder)).collect()
}

/// Nothing was touched: the files by their bytes, the old services by their answers and processes; nothing private is left.
#[track_caller]
fn expect_untouched(site: &Installation, before: &Everything, pids: &[Option<String>]) {
    site.expect_as_before(before);
    assert_eq!(pids_of(site), pids, "an old service was started anew");
    let left = private_processes(site);
    assert!(left.is_empty(), "{left:#?}");
}

fn pids_of(site: &Installation) -> Vec<Option<String>> {
    let record =
        |name: &str| std::fs::read_to_string(site.path(&format!(".switchback/services/{name}.service")));
    ["runservice", "configstore", "gateway"].map(|name| record(name).ok()).into()
}

#[test]
fn the_import_and_what_it_gives_back_are_rehearsed_and_nothing_is_touched() {
    each(&[false, true], |split| {
        let lab = LabOptions { new: "v0.10.0".to_owned(), split: *split, ..LabOptions::default() };
        let site = Installation::of(&Options { lab, ..Options::default() });
        let (before, pids) = (site.everything(), pids_of(&site));
        let said = site
            .run(&["rehearse"])
            .expect(
                0,
                &[
                    "ok start runservice in its new release",
                    "ok enter maintenance of new_runservice",
                    "ok send migrated[runservice] to new_runservice, and compare what it gives back",
                    "ok send migrated[configstore] to new_configstore, and compare what it gives back",
                    "ok leave maintenance of new_configstore",
                    "ok prove that every run of the old version is in the new one",
                    "ok expect as many runs from the new API as the old version exported",
                    "and the copies are equal to what they were",
                    "ran privately, ",
                    "start-gateway: gateway is not started over a copy: its playbook has no `rehearse:` for it",
                    "stop-runservice: runservice stays as it is",
                    "maintenance-old_runservice: old_runservice is the running service, not a copy",
                ],
            )
            .said();
        for rehearsed in ["start-runservice:", "send-migrated", "start-configstore:", "ensure-back"] {
            assert!(!said.contains(&format!("  {rehearsed}")), "{rehearsed} is left out:\n{said}");
        }
        expect_untouched(&site, &before, &pids);
        let left = site.path(".switchback/rehearsal");
        assert!(!left.exists(), "copies are left");
        // What was measured becomes the estimate of the import.
        let plan = site.run(&["--json", "plan", "--to", "0.10"]).expect(0, &[]).out;
        let plan: Value = serde_json::from_str(&plan).unwrap();
        let sends = plan["steps"].as_array().unwrap().iter().filter(|step| step["kind"] == "send");
        let origins: Vec<_> = sends.map(|step| step["estimate"]["origin"].clone()).collect();
        assert_eq!(origins, ["rehearsed", "rehearsed"]);
    });
}

#[test]
fn an_import_that_fails_is_found_by_the_rehearsal() {
    let traps = [
        ("import-half@configstore", "cannot bring migrated[configstore] into new_configstore"),
        ("import-nothing@runservice", "cannot bring migrated[runservice] into new_runservice"),
        ("import-crash@configstore", "cannot bring migrated[configstore] into new_configstore"),
        ("start-fails@configstore", "start configstore: the new release ended by itself"),
        ("never-enters@runservice", "cannot bring new_runservice into maintenance"),
    ];
    each(&traps, |(trap, said)| {
        let site = Installation::of(&Options { playbook: &SHORT, ..Options::default() });
        let (before, pids) = (site.everything(), pids_of(&site));
        site.lab.switch(&format!("traps.{trap}"), json!(99)).unwrap();
        let help = "what ran privately has printed why, perhaps: ";
        site.run(&["rehearse"]).expect(
            11,
            &[
                said,
                "the rehearsal failed: the upgrade would fail here as well",
                "the site is untouched",
                help,
            ],
        );
        site.lab.switch("traps", json!({})).unwrap();
        expect_untouched(&site, &before, &pids);
        assert_eq!(site.journal(), None, "a rehearsal is no run");
    });
}

#[test]
fn a_rehearsal_that_is_killed_or_interrupted_leaves_nobody_running() {
    each(&[Signal::KILL, Signal::TERM], |signal| {
        let site = Installation::of(&Options::default());
        let (before, pids) = (site.everything(), pids_of(&site));
        site.plan().expect(0, &[]);
        for moment in [1_500, 2_600] {
            let mut child = site.spawn(&["rehearse"]);
            site.wait_until("a private service", || !private_processes(&site).is_empty());
            std::thread::sleep(Duration::from_millis(moment - 1_500));
            kill_process(Pid::from_child(&child), *signal).unwrap();
            child.wait().unwrap();
            // The kernel ends them with switchback.
            site.wait_until("an end of the private services", || private_processes(&site).is_empty());
            expect_untouched(&site, &before, &pids);
        }
        // What is left of it is in the way of nothing.
        site.run(&["rehearse"]).expect(0, &["rehearsed on copies"]);
        expect_untouched(&site, &before, &pids);
    });
}

#[test]
fn what_names_a_place_without_a_copy_keeps_a_service_from_being_rehearsed() {
    let site = Installation::of(&Options::default());
    let config = site.path("etc/agola.yml");
    let text = std::fs::read_to_string(&config).unwrap();
    // A config that leads out of the rehearsal, at keys that the playbook does not know.
    let strange = "   debugLog: /var/log/agola/debug.log\n   peers: [\"10.0.0.7:4000\"]\n";
    assert!(text.contains("   #debug: true\n"), "{text}");
    std::fs::write(&config, text.replacen("   #debug: true\n", strange, 1)).unwrap();
    let (before, pids) = (site.everything(), pids_of(&site));
    site.run(&["rehearse"]).expect(
        0,
        &[
            "start-runservice: runservice is not started over a copy: cannot keep it from `runservice.debugLog`, \
             `runservice.peers[0]`: config names there what has no copy",
            "send-migrated.runservice: new_runservice is the running service, not a copy",
            // The other one is rehearsed all the same.
            "ok send migrated[configstore] to new_configstore",
        ],
    );
    expect_untouched(&site, &before, &pids);
}

/// The site file with a service behind the commands of a supervisor, which a rehearsal may start as `rehearse` says.
fn supervised(text: &str, name: &str, rehearse: bool) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = lines.iter().position(|line| *line == format!("  {name}:")).unwrap();
    let new = lines[at + 3].trim_start().strip_prefix("new: ").unwrap().to_owned();
    let mut block = vec![
        "    command:".to_owned(),
        "      stop: [\"true\"]".to_owned(),
        "      start: [\"true\", start, agola]".to_owned(),
        "      status: [\"true\"]".to_owned(),
    ];
    block.extend(rehearse.then(|| format!("      rehearse: {new}")));
    lines.splice(at + 1..at + 5, block);
    lines.join("\n") + "\n"
}

#[test]
fn services_that_cannot_be_started_privately_are_left_out_with_the_reason() {
    let site = Installation::of(&Options::default());
    let (before, pids) = (site.everything(), pids_of(&site));
    let text = std::fs::read_to_string(site.path("site.yaml")).unwrap();
    let text = supervised(&supervised(&text, "runservice", false), "configstore", true);
    std::fs::write(site.path("site.yaml"), text).unwrap();
    site.run(&["rehearse"]).expect(
        0,
        &[
            "start-runservice: runservice is not started over a copy: `true start agola` would act on the real one; give it `rehearse: {argv: […]}`",
            "ok send migrated[configstore] to new_configstore",
        ],
    );
    expect_untouched(&site, &before, &pids);
}
