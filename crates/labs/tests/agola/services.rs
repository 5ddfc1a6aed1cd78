//! What the services answer, before and after.

use super::{
    ask, edit_config, edit_configs, export, json, lab, refusal, start, status, wait_for_maintenance,
};
use serde_json::{Value, json as value};
use std::time::{Duration, Instant};
use switchback_labs::agola::Component::{Configstore, Gateway, Notification, Runservice};
use switchback_labs::agola::{
    Fault, ImportManner, Lab, LabOptions, NewStore, Release, SERVED, Size, migrate,
};
use switchback_labs::cluster::{Cluster, Durability};

#[test]
fn an_export_is_the_same_twice_and_in_maintenance() {
    let (_guard, lab) = lab(&LabOptions::default());
    let _old = [Runservice, Configstore].map(|component| start(&lab, component, false));
    for component in [Runservice, Configstore] {
        let first = export(&lab, component);
        assert!(!first.contains(&b'\n') && first.ends_with(b"\"}"));
        assert!(export(&lab, component) == first);
        assert_eq!(status(&lab, component, "GET", "maintenance"), 405);
        assert_eq!(
            status(&lab, component, "POST", "import"),
            if component == Runservice { 400 } else { 404 }
        );
        assert_eq!(status(&lab, component, "DELETE", "maintenance"), 400);
        assert_eq!(status(&lab, component, "PUT", "maintenance"), 200);
        assert_eq!(status(&lab, component, "PUT", "maintenance"), 400);
        let list = if component == Runservice { "runs" } else { "users" };
        let (mut refused, deadline) = (0, Instant::now() + Duration::from_secs(20));
        loop {
            match ask(&lab, component, "GET", list, b"") {
                Ok((404, _)) => break,
                Ok((200, _)) => {}
                Ok((other, _)) => panic!("{other}"),
                Err(_) => refused += 1,
            }
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(refused > 0, "the port refuses for a while");
        assert!(export(&lab, component) == first);
    }
}

#[test]
fn live_runs_are_in_the_old_api_and_in_no_export() {
    let (_guard, lab) = lab(&LabOptions { faults: vec![Fault::LiveRuns], ..LabOptions::default() });
    let _old = start(&lab, Runservice, false);
    let text = String::from_utf8(export(&lab, Runservice)).unwrap();
    let count = |kind: &str| text.matches(&format!("\"data_type\":\"{kind}\"")).count();
    assert_eq!((count("run"), count("runconfig")), (13, 17));
    let ids = |query: &str| -> Vec<String> {
        let runs = json(&lab, Runservice, &format!("runs?{query}"))["runs"].clone();
        runs.as_array().into_iter().flatten().map(|run| run["id"].as_str().unwrap().to_owned()).collect()
    };
    let mut undrained = ids("phase=queued&phase=running&phase=cancelled");
    undrained.reverse();
    assert_eq!(undrained, lab.content.live);
    // Page by page, from the newest, and the other way round.
    let mut paged = ids("limit=5");
    while let Some(last) = paged.last().cloned() {
        let next = ids(&format!("limit=5&start={last}"));
        assert!(next.len() <= 5);
        if next.is_empty() {
            break;
        }
        paged.extend(next);
    }
    assert_eq!(paged.len(), 17);
    paged.reverse();
    assert_eq!(paged, ids("asc&limit=40"));
    assert_eq!(status(&lab, Runservice, "GET", "runs?limit=x"), 400);
    assert_eq!(status(&lab, Runservice, "GET", "nothing"), 400);
}

#[test]
fn traps_of_the_old_services() {
    let traps = ["late-run", "export-cut", "lost-enter", "lost-leave"].map(|it| Fault::named(it).unwrap());
    let (_guard, lab) = lab(&LabOptions { faults: traps.to_vec(), ..LabOptions::default() });
    let _old = [Runservice, Configstore].map(|component| start(&lab, component, false));
    assert!(ask(&lab, Configstore, "GET", "export", b"").is_err(), "cut in the middle");
    assert!(ask(&lab, Runservice, "GET", "export", b"").is_err());
    let mut first = export(&lab, Runservice);
    let second = export(&lab, Runservice);
    // The trap was sprung with the export that was cut: what is late is there from then on.
    assert!(first == second);
    lab.switch("traps.late-run", value!(2)).unwrap();
    first.clone_from(&second);
    assert!(export(&lab, Runservice) == first);
    assert!(export(&lab, Runservice) != first, "a run was archived between two exports");
    assert!(ask(&lab, Runservice, "PUT", "maintenance", b"").is_err(), "the reply is lost");
    assert!(lab.old_store(Runservice).wants_maintenance(), "and the key is set");
    assert_eq!(status(&lab, Runservice, "PUT", "maintenance"), 400);
}

#[test]
fn each_version_refuses_what_was_measured() {
    for split in [false, true] {
        let (_guard, lab) = lab(&LabOptions { split, ..LabOptions::default() });
        let no_type = "config error: db configuration error: type is not defined";
        assert_eq!(refusal(&lab, Runservice, true), no_type);
        assert_eq!(refusal(&lab, Configstore, true), no_type);
        assert_eq!(refusal(&lab, Notification, true), "notification: new db error: unknown db type");
        assert_eq!(refusal(&lab, Gateway, true), "config error: empty cookie signing key");
        edit_config(&lab, &lab.configs[&Gateway].clone(), false);
        assert_eq!(refusal(&lab, Gateway, true), "config error: empty cookie signing key");
        edit_configs(&lab);
        let _new = SERVED.map(|component| start(&lab, component, true));
        assert_eq!(json(&lab, Gateway, "version")["version"], "v0.8.0");
        assert!(refusal(&lab, Notification, false).contains("etcd"), "the old one wants its entry back");
    }
}

#[test]
fn two_services_on_one_database_do_not_both_start() {
    let (_guard, lab) = lab(&LabOptions { faults: vec![Fault::SharedDatabase], ..LabOptions::default() });
    edit_configs(&lab);
    let _new = start(&lab, Configstore, true);
    assert!(refusal(&lab, Runservice, true).contains("version 2 is greater than the supported"));
}

/// The whole upgrade, by hand and right.
fn upgrade(lab: &Lab) {
    upgrade_to(lab, |body| body);
}

/// The same, where what comes back of an import is not the import itself.
fn upgrade_to(lab: &Lab, mut back: impl FnMut(String) -> String) {
    let exports = {
        let _old = [Runservice, Configstore].map(|component| start(lab, component, false));
        [Runservice, Configstore].map(|component| export(lab, component))
    };
    edit_configs(lab);
    let _new = [Runservice, Configstore].map(|component| start(lab, component, true));
    for (component, old) in [Runservice, Configstore].into_iter().zip(exports) {
        let lines = migrate(component, old.as_slice()).unwrap().lines;
        let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
        assert_eq!(status(lab, component, "PUT", "maintenance"), 200);
        assert_eq!(status(lab, component, "POST", "import"), 400, "too early");
        assert!(wait_for_maintenance(lab, component, true) > 0, "the port refuses for a while");
        assert_eq!(ask(lab, component, "POST", "import", body.as_bytes()).unwrap().0, 200);
        assert!(String::from_utf8(export(lab, component)).unwrap() == back(body));
        assert_eq!(status(lab, component, "DELETE", "maintenance"), 200);
        assert!(wait_for_maintenance(lab, component, false) > 0);
    }
}

#[test]
fn done_right_tokens_still_work_and_tasks_find_their_logs() {
    let (_guard, lab) = lab(&LabOptions::default());
    // As an operator says who wants to keep them.
    let path = &lab.configs[&Runservice];
    let text = std::fs::read_to_string(path).unwrap();
    std::fs::write(path, text.replace("runservice:\n", "runservice:\n   runLogExpireInterval: 876000h\n"))
        .unwrap();
    {
        let _old = [Runservice, Configstore].map(|component| start(&lab, component, false));
        for log in &lab.content.logs {
            let path = format!("logs?runid={}&taskid={}&step=0", log.run_id, log.task);
            assert_eq!(
                ask(&lab, Runservice, "GET", &path, b"").unwrap(),
                (200, log.text.clone().into_bytes())
            );
        }
    }
    upgrade(&lab);
    let _new = [Runservice, Configstore].map(|component| start(&lab, component, true));
    let runs = json(&lab, Runservice, "runs?asc&limit=40")["runs"].clone();
    assert_eq!(runs.as_array().unwrap().len(), 13);
    for log in &lab.content.logs {
        let run = runs.as_array().unwrap().iter().find(|run| run["name"] == *log.run).unwrap();
        let path = format!("logs?runid={}&taskid={}&step=0", run["id"].as_str().unwrap(), log.task);
        assert_eq!(ask(&lab, Runservice, "GET", &path, b"").unwrap(), (200, log.text.clone().into_bytes()));
    }
    for token in &lab.content.tokens {
        let users = json(&lab, Configstore, &format!("users?query_type=bytoken&token={}", token.value));
        assert_eq!(users[0]["id"], *token.user);
    }
    assert_eq!(status(&lab, Configstore, "GET", "users?query_type=bytoken&token=none"), 404);
    let orgs = json(&lab, Configstore, "orgs?asc&limit=2");
    let names: Vec<&Value> = orgs.as_array().unwrap().iter().map(|org| &org["name"]).collect();
    assert_eq!(names, ["org000", "org001"]);
}

#[test]
fn old_logs_go_where_nobody_says_otherwise() {
    let (_guard, lab) = lab(&LabOptions::default());
    upgrade(&lab);
    let there = |task: &str| lab.objects().join("data/logs").join(task).join("steps/0.log").exists();
    for log in &lab.content.logs {
        assert_eq!(there(&log.task), !log.old, "{}", log.run);
    }
}

#[test]
fn five_thousand_records_are_built_in_no_time_and_served() {
    let size = Size { runs: 1700, users: 300, projects: 300, orgs: 40, ..Size::default() };
    let began = Instant::now();
    let (_guard, lab) = lab(&LabOptions { size, ..LabOptions::default() });
    let took = began.elapsed();
    assert!(lab.content.runservice.len() + lab.content.configstore.len() > 4500);
    assert!(took < Duration::from_secs(10), "{took:?}");
    upgrade(&lab);
}

#[test]
fn maintenance_that_never_comes_and_one_that_never_ends() {
    let (_guard, lab) = lab(&LabOptions::default());
    edit_configs(&lab);
    let _new = start(&lab, Runservice, true);
    lab.switch("traps.never-enters", value!(1)).unwrap();
    assert_eq!(status(&lab, Runservice, "PUT", "maintenance"), 200);
    std::thread::sleep(Duration::from_millis(300));
    let state = json(&lab, Runservice, "maintenance");
    assert_eq!(state, value!({"RequestedStatus": true, "CurrentStatus": false}));
    lab.switch("traps", value!({"never-leaves": 1})).unwrap();
    wait_for_maintenance(&lab, Runservice, true);
    assert_eq!(status(&lab, Runservice, "DELETE", "maintenance"), 200);
    std::thread::sleep(Duration::from_millis(300));
    let state = json(&lab, Runservice, "maintenance");
    assert_eq!(state, value!({"RequestedStatus": false, "CurrentStatus": true}));
    lab.switch("traps", value!({})).unwrap();
    wait_for_maintenance(&lab, Runservice, false);
}

#[test]
fn a_token_is_wanted_from_0_9_on_where_one_is_set() {
    for (version, wanted) in [("v0.8.0", 200), ("v0.10.0", 401)] {
        let (_guard, lab) = lab(&LabOptions { new: version.to_owned(), ..LabOptions::default() });
        edit_configs(&lab);
        let path = &lab.configs[&Runservice];
        let text = std::fs::read_to_string(path).unwrap() + "\ninternalServicesAPIToken: made-up\n";
        std::fs::write(path, text).unwrap();
        let _new = start(&lab, Runservice, true);
        assert_eq!(status(&lab, Runservice, "GET", "maintenance"), wanted, "{version}");
    }
}

#[test]
fn the_odd_configs_are_read_by_the_old_services() {
    for fault in [Fault::AnchoredConfig, Fault::WindowsConfig, Fault::HalfEditedConfig] {
        let (_guard, lab) = lab(&LabOptions { faults: vec![fault], ..LabOptions::default() });
        let _old = SERVED.map(|component| start(&lab, component, false));
        assert!(!export(&lab, Configstore).is_empty(), "{fault:?}");
    }
}

#[test]
fn on_postgresql_all_is_the_same_but_for_the_times() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(&dir.path().join("cluster"), Durability::None).unwrap();
    let urls = [Runservice, Configstore, Notification].map(|component| {
        cluster.create(component.name()).unwrap();
        (component, cluster.url(component.name()))
    });
    let (_guard, lab) = lab(&LabOptions { urls: urls.into(), ..LabOptions::default() });
    let files = tempfile::tempdir().unwrap();
    let mut count = 0;
    upgrade_to(&lab, |body| {
        count += 1;
        let component = if body.contains("\"RunConfig\"") { Runservice } else { Configstore };
        let store =
            NewStore::open(&files.path().join(count.to_string()), component, &Release::of("v0.8.0")).unwrap();
        rounded(&store, &body)
    });
    let _new = [Runservice, Configstore].map(|component| start(&lab, component, true));
    assert_eq!(json(&lab, Runservice, "runs?asc&limit=40")["runs"].as_array().unwrap().len(), 13);
    assert_eq!(
        json(&lab, Runservice, "runs?result=failed&phase=finished&phase=x")["runs"].as_array().unwrap().len(),
        2
    );
    for token in &lab.content.tokens {
        let users = json(&lab, Configstore, &format!("users?query_type=bytoken&token={}", token.value));
        assert_eq!(users[0]["id"], *token.user);
    }
    let names: Vec<Value> =
        json(&lab, Configstore, "users?asc&limit=2&start=user0001").as_array().unwrap().clone();
    assert_eq!(names.iter().map(|user| &user["name"]).collect::<Vec<_>>(), ["user0002", "user0003"]);
}

/// What a SQLite store gives back of a body when it rounds as PostgreSQL does.
fn rounded(store: &NewStore, body: &str) -> String {
    let manner = ImportManner { microseconds: true, ..ImportManner::default() };
    store.import(body.as_bytes(), manner).unwrap();
    let mut back = String::new();
    let mut take = |line: &str| {
        back += line;
        back.push('\n');
        Ok(())
    };
    store.export(&mut take).unwrap();
    back
}

#[test]
fn times_are_rounded_as_the_server_rounds_them() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(&dir.path().join("cluster"), Durability::None).unwrap();
    let mut client = cluster.connect("postgres").unwrap();
    let mut state = 7_u64;
    let times: Vec<String> = (0..4000)
        .map(|number| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let nanoseconds = (state >> 33) % 1_000_000_000;
            // Half of them lie in the middle between two microseconds, one is the last of a year.
            let nanoseconds = if number % 2 == 0 { nanoseconds / 1000 * 1000 + 500 } else { nanoseconds };
            let nanoseconds = if number == 17 { 999_999_500 } else { nanoseconds };
            format!("2026-12-31T23:59:59.{nanoseconds:09}Z")
        })
        .collect();
    let body: String = times
        .iter()
        .enumerate()
        .map(|(number, time)| {
            value!({"exportMeta": {"kind": "User"}, "id": format!("{number:04}"), "creationTime": time})
                .to_string()
        })
        .collect();
    let store = NewStore::open(&dir.path().join("db"), Configstore, &Release::of("v0.8.0")).unwrap();
    let ours: Vec<String> = rounded(&store, &body)
        .lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            let time = record["creationTime"].as_str().unwrap().trim_end_matches('Z').to_owned();
            let (whole, fraction) = time.split_once('.').unwrap_or((&time, ""));
            format!("{whole}.{fraction:0<6}Z")
        })
        .collect();
    let sql = "SELECT to_char(time::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') \
               FROM unnest($1::text[]) WITH ORDINALITY AS it (time, number) ORDER BY number";
    let theirs: Vec<String> = client.query(sql, &[&times]).unwrap().iter().map(|row| row.get(0)).collect();
    for ((time, ours), theirs) in times.iter().zip(&ours).zip(&theirs) {
        assert_eq!(ours, theirs, "{time}");
    }
    assert_eq!((ours.len(), &*theirs[17]), (4000, "2027-01-01T00:00:00.000000Z"));
}

#[test]
fn who_works_with_the_new_version_leaves_something() {
    let (_guard, lab) = lab(&LabOptions::default());
    upgrade(&lab);
    let _new = [Runservice, Configstore].map(|component| start(&lab, component, true));
    let before = [Runservice, Configstore].map(|component| export(&lab, component));
    let group = json(&lab, Runservice, "runs?limit=1")["runs"][0]["group"].clone();
    let counter = |group: &Value| {
        let runs = json(&lab, Runservice, "runs?limit=40")["runs"].clone();
        let of = runs.as_array().unwrap().iter().filter(|run| run["group"] == *group);
        of.filter_map(|run| run["counter"].as_u64()).max().unwrap()
    };
    let last = counter(&group);
    let body = value!({"name": "new", "group": group}).to_string();
    let (created, answer) = ask(&lab, Runservice, "POST", "runs", body.as_bytes()).unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!((created, answer["run"]["sequence"].as_u64()), (201, Some(14)));
    assert_eq!(counter(&group), last + 1);
    let user = br#"{"user_name": "newcomer"}"#;
    assert_eq!(ask(&lab, Configstore, "POST", "users", user).unwrap().0, 201);
    assert_eq!(ask(&lab, Configstore, "POST", "users", user).unwrap().0, 400, "there is one of that name");
    assert!(before != [Runservice, Configstore].map(|component| export(&lab, component)));
}
