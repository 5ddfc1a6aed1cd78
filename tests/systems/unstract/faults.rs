//! What breaks the vendor's tool, row by row, and what happens here instead.

use super::{ACCEPTED, Installation};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use switchback_labs::unstract::{Fault, Size};

/// Refused at plan time with these words, and the database is as it was.
#[track_caller]
fn refused(fault: Fault, words: &[&str]) {
    let site = Installation::faulty(fault);
    let before = site.dump();
    site.plan().expect(11, words);
    let apply: Vec<&str> = ["apply"].into_iter().chain(ACCEPTED).collect();
    site.run(&apply).expect(11, &[]);
    assert_eq!(site.dump(), before);
}

#[test]
fn no_tenant_at_all_is_refused() {
    refused(Fault::NoTenants, &["tenant"]);
}

#[test]
fn a_tenant_that_is_misspelt_is_refused() {
    let site = Installation::small();
    for wrong in ["tenants=org_acm", "tenants=_ALL_,mock_org", "tenants=,"] {
        let ran = site.run(&["plan", "--set", wrong]);
        assert!([2, 11].contains(&ran.code), "{wrong}: {}", ran.said());
        assert!(ran.said().contains("D015") || ran.said().contains("tenants"), "{}", ran.said());
    }
    site.run(&["plan", "--set", "tenants=org_acm"]).expect(11, &["D015", "org_acm"]);
}

#[test]
fn a_schema_that_no_setting_names_is_put_into_the_settings() {
    let site = Installation::small();
    let env = site.path("backend/.env");
    let text = std::fs::read_to_string(&env).unwrap().replace("DB_SCHEMA=\"unstract_v2\"\n", "");
    std::fs::write(&env, text).unwrap();
    site.apply().expect(0, &["upgraded"]);
    assert!(std::fs::read_to_string(&env).unwrap().contains("DB_SCHEMA=unstract"));
    assert_eq!(site.differences(), [""; 0]);
}

#[test]
fn a_schema_of_v1_is_never_taken_for_the_one_of_v2() {
    let site = Installation::small();
    let before = site.dump();
    for schema in ["schema=public", "schema=org_acme"] {
        site.run(&["plan", "--set", schema]).expect(11, &["D011"]);
    }
    assert_eq!(site.dump(), before);
}

#[test]
fn a_schema_that_this_upgrade_did_not_make_is_not_dropped() {
    let site = Installation::small();
    site.sql(
        "CREATE SCHEMA unstract; CREATE TABLE unstract.ours (id int); INSERT INTO unstract.ours VALUES (1)",
    );
    let before = site.dump();
    site.plan().expect(11, &["not its own", "ours"]);
    let apply: Vec<&str> = ["apply"].into_iter().chain(ACCEPTED).collect();
    site.run(&apply).expect(11, &[]);
    assert_eq!(site.dump(), before);
}

#[test]
fn what_is_written_to_v1_meanwhile_is_found_and_the_run_goes_back() {
    let site = Installation::with(&Size { rows: 12_000, ..Size::SMALL }, &[]);
    let tenant = site.lab.tenants[0].clone();
    let words = site.words_of_apply();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // From the copy on, by somebody who comes and goes: the questions for sessions see nobody.
        let writer = scope.spawn(|| {
            let mut written = 0;
            while !ended.load(Ordering::Relaxed) {
                if begun(&site, "copy-v2") {
                    switchback_labs::unstract::faults::write_row(&mut site.client(), &tenant).unwrap();
                    written += 1;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            written
        });
        let ran = site.run(&words);
        ended.store(true, Ordering::Relaxed);
        assert!(writer.join().unwrap() > 0, "nothing was written in time: {}", ran.said());
        ran.expect(20, &["rolled back: as before"]);
    });
    assert_eq!(site.value("SELECT to_regnamespace('unstract') IS NULL"), "true", "nothing of v2 is left");
}

#[test]
fn every_column_of_logins_by_others_is_carried_over() {
    let site = Installation::small();
    site.apply().expect(0, &["upgraded"]);
    let logins = |schema: &str| {
        site.value(&format!(
            "SELECT coalesce(string_agg(t::text, ';' ORDER BY t.id), '') FROM {schema}.social_auth_usersocialauth t"
        ))
    };
    assert!(!logins("public").is_empty());
    assert_eq!(logins("public"), logins("unstract"));
}

#[test]
fn of_two_at_once_the_second_is_told_who_is_at_work() {
    let site = Installation::small();
    let words = site.words_of_apply();
    let first = site.spawn(&words, &[("UNSTRACT_LAB", "slow")]);
    let clock = Instant::now();
    while find_journal(&site).is_none() && clock.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let state = site.path("elsewhere");
    let mut second = site.command(&words);
    let second = crate::support::Ran::of(&second.arg("--state").arg(&state).output().unwrap());
    assert!([11, 12].contains(&second.code), "{}", second.said());
    assert!(second.said().contains(".switchback"), "it names the other: {}", second.said());
    assert!(first.wait_with_output().unwrap().status.success());
    assert_eq!(site.differences(), [""; 0]);
}

#[test]
fn organizations_of_one_name_are_refused() {
    refused(Fault::DuplicateOrganization, &["share one `organization_id`", "mock_org"]);
}

#[test]
fn a_tenant_on_an_older_migration_is_refused() {
    refused(Fault::OlderMigration, &["whose schema is not that of the release"]);
}

#[test]
fn killed_in_the_middle_of_the_tenants_it_goes_on() {
    for wait in [0, 40, 120] {
        let site = Installation::with(&Size { rows: 12_000, ..Size::SMALL }, &[]);
        let words = site.words_of_apply();
        let mut child = site.spawn(&words, &[]);
        let clock = Instant::now();
        while !begun(&site, "copy-v2-2") && clock.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success(), "it was killed before its end");
        site.run(&["resume"]).expect(0, &["upgraded"]);
        assert_eq!(site.differences(), [""; 0]);
    }
}

/// Whether a step of the one run has begun.
fn begun(site: &Installation, id: &str) -> bool {
    let Some(journal) = find_journal(site) else { return false };
    let (Ok(plan), Ok(journal)) =
        (std::fs::read_to_string(journal.with_file_name("plan.json")), std::fs::read_to_string(&journal))
    else {
        return false;
    };
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let at = plan["steps"].as_array().unwrap().iter().position(|step| step["id"] == id).unwrap();
    journal.contains(&format!("\"record\":\"step-started\",\"step\":{at},"))
}

fn find_journal(site: &Installation) -> Option<std::path::PathBuf> {
    let runs = std::fs::read_dir(site.path(".switchback/runs")).ok()?;
    runs.flatten().map(|run| run.path().join("journal.jsonl")).find(|path| path.exists())
}

#[test]
fn a_search_path_that_finds_the_new_schema_first_changes_nothing() {
    let site = Installation::faulty(Fault::SearchPath);
    site.apply().expect(0, &["upgraded"]);
    assert_eq!(site.differences(), [""; 0]);
    let pages = site.value(
        "SELECT (SELECT count(*) FROM unstract.page_usage) = (SELECT count(*) FROM public.page_usage)",
    );
    assert_eq!(pages, "true");
}

#[test]
fn rows_without_their_parents_are_refused() {
    refused(Fault::Orphan, &["whose parent does not exist"]);
}

#[test]
fn what_two_tenants_share_and_v2_has_once_is_refused() {
    refused(Fault::SharedEndpoint, &["values that two tenants share", "api_endpoint"]);
    refused(Fault::CopiedRow, &["values that two tenants share"]);
}

#[test]
fn an_organization_without_a_schema_is_refused() {
    refused(Fault::MissingSchema, &["org_unmade"]);
}

#[test]
fn tables_and_columns_of_the_operator_are_refused_by_name() {
    refused(Fault::ForeignTable, &["our_own_report"]);
    refused(Fault::ForeignColumn, &["cost_center"]);
}

#[test]
fn half_done_runs_of_the_vendors_tool_are_refused() {
    refused(Fault::HalfOfVendor, &["D001", "did not come to its end"]);
    refused(Fault::SharedOfVendor, &["D001", "did not come to its end"]);
}

#[test]
fn a_whole_run_of_the_vendors_tool_is_the_new_release() {
    let site = Installation::faulty(Fault::WholeOfVendor);
    let before = site.dump();
    site.plan().expect(0, &["nothing to do"]);
    assert_eq!(site.dump(), before);
}

#[test]
fn a_v2_that_somebody_has_begun_is_refused() {
    refused(Fault::StrangerInV2, &["D001", "started before its data came"]);
    refused(Fault::RowInV2, &["there are rows in the schema of v2"]);
    refused(Fault::ThinV2, &["is not the one that release 0.93 makes"]);
}

#[test]
fn what_is_lost_is_listed_and_accepted_by_name() {
    for (fault, name) in [
        (Fault::PlainConnector, "plain-connectors"),
        (Fault::UnknownSchema, "unknown-schemas"),
        (Fault::RenamedTenant, "renamed-tenants"),
    ] {
        let site = Installation::faulty(fault);
        site.plan().expect(0, &[&format!("`--accept {name}`")]);
        site.run(&["apply", "--yes"]).expect(11, &[name]);
        assert_eq!(site.value("SELECT to_regnamespace('unstract') IS NULL"), "true");
    }
}

#[test]
fn a_command_that_fails_half_way_or_lies_is_taken_back() {
    for behaviour in ["fail", "lie", "thin"] {
        let site = Installation::small();
        let before = site.dump();
        let words = site.words_of_apply();
        let mut command: Command = site.command(&words);
        let ran = crate::support::Ran::of(&command.env("UNSTRACT_LAB", behaviour).output().unwrap());
        assert_eq!(ran.code, 20, "{behaviour}: {}", ran.said());
        assert_eq!(site.dump(), before, "{behaviour}");
    }
}
