//! What an import does with what it is given (systems/agola.md §5.3).

use super::{Running, ask, edit_configs, export, lab, start, status, wait_for_maintenance};
use serde_json::json;
use switchback_labs::agola::Component::{self, Configstore, Runservice};
use switchback_labs::agola::{Lab, LabOptions, Record, migrate};

/// A new service in maintenance, and the two good files.
fn ready(lab: &Lab, component: Component) -> (Running, [String; 2]) {
    edit_configs(lab);
    let service = start(lab, component, true);
    assert_eq!(status(lab, component, "PUT", "maintenance"), 200);
    wait_for_maintenance(lab, component, true);
    let parts = [(Runservice, &lab.content.runservice), (Configstore, &lab.content.configstore)];
    let files = parts.map(|(component, records)| {
        let mut records: Vec<&Record> = records.iter().collect();
        records.sort_by_key(|record| record.kind != "run");
        let old: String = records.into_iter().map(Record::line).collect();
        migrate(component, old.as_bytes()).unwrap().lines.iter().map(|line| format!("{line}\n")).collect()
    });
    (service, files)
}

#[test]
fn what_is_no_good_file_leaves_nothing_or_half_and_the_good_file_brings_all_back() {
    let (_guard, lab) = lab(&LabOptions::default());
    let (_service, [runs, configs]) = ready(&lab, Configstore);
    let raw: String = lab.content.configstore.iter().map(Record::line).collect();
    let half: String = configs.split_inclusive('\n').take(7).collect();
    let full = || assert_eq!(ask(&lab, Configstore, "POST", "import", configs.as_bytes()).unwrap().0, 200);
    let is = || String::from_utf8(export(&lab, Configstore)).unwrap();
    for (body, answer, left) in [
        (runs.as_str(), None, ""),
        (raw.as_str(), None, ""),
        (&configs[..configs.len() - 30], Some(500), ""),
        (half.as_str(), Some(200), half.as_str()),
        ("", Some(200), ""),
    ] {
        full();
        assert!(is() == configs);
        let answered = ask(&lab, Configstore, "POST", "import", body.as_bytes());
        assert_eq!(answered.as_ref().ok().map(|(status, _)| *status), answer);
        if answer == Some(500) {
            assert_eq!(answered.unwrap().1, b"{\"code\":\"\",\"message\":\"\"}\n");
        }
        assert!(is() == left);
    }
    full();
    assert!(is() == configs);
}

#[test]
fn traps_of_an_import() {
    let (_guard, lab) = lab(&LabOptions::default());
    let (mut service, [runs, _]) = ready(&lab, Runservice);
    let import = || ask(&lab, Runservice, "POST", "import", runs.as_bytes()).map(|(status, _)| status).ok();
    let is = || String::from_utf8(export(&lab, Runservice)).unwrap();
    lab.switch("traps", json!({"import-half": 1})).unwrap();
    assert_eq!(import(), Some(200));
    assert!(!is().is_empty() && is() != runs && runs.starts_with(&is()));
    lab.switch("traps", json!({"import-nothing": 1})).unwrap();
    assert_eq!((import(), is()), (Some(200), String::new()));
    lab.switch("traps", json!({"import-lost@runservice": 1})).unwrap();
    assert_eq!((import(), is()), (None, runs.clone()), "the reply is lost, the data is not");
    lab.switch("traps", json!({"import-crash": 1})).unwrap();
    assert_eq!(import(), None);
    assert!(service.0.wait().unwrap().code().is_some());
    drop(service);
    let _service = start(&lab, Runservice, true);
    wait_for_maintenance(&lab, Runservice, true);
    assert_eq!(is(), "", "empty, and in maintenance still");
    assert_eq!((import(), is()), (Some(200), runs.clone()));
}

#[test]
fn a_service_that_is_killed_at_an_import_is_empty_and_in_maintenance_and_takes_the_file_again() {
    let (_guard, lab) = lab(&LabOptions::default());
    let (mut service, [runs, _]) = ready(&lab, Runservice);
    for pause in [0, 30, 70] {
        assert_eq!(ask(&lab, Runservice, "POST", "import", runs.as_bytes()).unwrap().0, 200);
        lab.switch("import_record_ms", json!(10)).unwrap();
        std::thread::scope(|scope| {
            let import = scope.spawn(|| ask(&lab, Runservice, "POST", "import", runs.as_bytes()));
            // Until what was there is dropped, however long that takes.
            while ask(&lab, Runservice, "GET", "export", b"").is_ok_and(|(_, export)| !export.is_empty()) {}
            std::thread::sleep(std::time::Duration::from_millis(pause));
            service.0.kill().unwrap();
            assert!(import.join().unwrap().is_err());
        });
        lab.switch("import_record_ms", json!(0)).unwrap();
        service = start(&lab, Runservice, true);
        wait_for_maintenance(&lab, Runservice, true);
        assert!(export(&lab, Runservice).is_empty(), "killed {pause} ms after the drop");
    }
    assert_eq!(ask(&lab, Runservice, "POST", "import", runs.as_bytes()).unwrap().0, 200);
    assert!(export(&lab, Runservice) == runs.as_bytes());
}

#[test]
fn times_come_back_rounded_as_postgresql_rounds_them() {
    let (_guard, lab) = lab(&LabOptions::default());
    lab.switch("microseconds", json!(true)).unwrap();
    let (_service, [_, configs]) = ready(&lab, Configstore);
    assert_eq!(ask(&lab, Configstore, "POST", "import", configs.as_bytes()).unwrap().0, 200);
    let back = String::from_utf8(export(&lab, Configstore)).unwrap();
    assert_ne!(back, configs);
    assert!(
        back.contains("2023-05-06T07:08:09.123457Z") && configs.contains("2023-05-06T07:08:09.123456789Z")
    );
    let without_times = |text: &str| {
        let lines = text.lines().map(|line| {
            let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
            for name in ["creationTime", "updateTime", "oauth_2_access_token_expires_at"] {
                value.as_object_mut().unwrap().remove(name);
            }
            value
        });
        lines.collect::<Vec<_>>()
    };
    assert_eq!(without_times(&back), without_times(&configs));
}

#[test]
fn a_record_in_another_order_comes_back_in_the_programs_own() {
    let (_guard, lab) = lab(&LabOptions::default());
    let (_service, _) = ready(&lab, Configstore);
    let ours = r#"{"name":"<x>","exportMeta":{"kind":"User"},"updateTime":"t","id":"u","creationTime":"t"}"#;
    assert_eq!(ask(&lab, Configstore, "POST", "import", ours.as_bytes()).unwrap().0, 200);
    let theirs = "{\"exportMeta\":{\"kind\":\"User\"},\"id\":\"u\",\"creationTime\":\"t\",\"updateTime\":\"t\",\"name\":\"\\u003cx\\u003e\"}\n";
    assert_eq!(String::from_utf8(export(&lab, Configstore)).unwrap(), theirs);
}
