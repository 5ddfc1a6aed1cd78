//! Every way through: by either road, on one config or six, there and back, rehearsed, finalized.

use super::{Installation, Options, look};
use crate::server::Server;
use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;
use switchback_labs::agola::{Component, Fault};
use switchback_site::Tell;
use switchback_site::http::{self, Url};

/// Upgrades, looks at everything, finds nothing more to do, and goes back.
fn there_and_back(site: &Installation) {
    let before = site.everything();
    site.plan().expect(0, &["is lost", "orphans", "artifacts ", "by what the endpoints gave"]);
    site.run(&["rehearse"]).expect(0, &["rehearsed on copies"]);
    site.expect_as_before(&before);
    site.apply().expect(0, &["upgraded"]);
    site.expect_upgraded();
    expect_guarded(site);
    let after = site.everything();
    site.plan().expect(0, &["nothing to do"]);
    if site.to == "0.10" {
        site.run(&["apply", "--yes"]).expect(0, &["nothing to do"]);
    }
    assert!(after == site.everything());
    site.run(&["status"]).expect(0, &["upgraded", "exports with secrets in them lie in"]);
    let report = site.run(&["report"]).expect(0, &["upgraded", "s), when its service was stopped"]).said();
    for endpoint in ["old_runservice", "old_configstore", "new_runservice", "new_configstore"] {
        assert!(report.contains(&format!("maintenance of {endpoint} was on from 20")), "{report}");
    }
    site.run(&["--json", "report"]).expect(0, &["\"ended\": \"stopped\"", "\"ended\": \"left\""]);
    site.run(&["rollback", "--yes"]).expect(0, &["as before"]);
    site.expect_as_before(&before);
}

/// What is kept is the owner's alone, and secrets are where records are, and nowhere else.
fn expect_guarded(site: &Installation) {
    let (mut artifacts, mut holders) = (0, Vec::new());
    look(&site.path(".switchback"), &mut |path| {
        let mode = path.symlink_metadata().unwrap().permissions().mode() & 0o777;
        assert!(path.is_file() || mode == 0o700, "{} has mode {mode:o}", path.display());
        let Ok(bytes) = std::fs::read(path) else { return };
        if path.parent().is_some_and(|folder| folder.ends_with("artifacts")) {
            assert_eq!(mode, 0o600, "{}", path.display());
            artifacts += 1;
            return;
        }
        let text = String::from_utf8_lossy(&bytes);
        if site.secrets().iter().any(|secret| text.contains(secret)) {
            holders.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    });
    assert!(artifacts >= 6, "{artifacts}");
    // What an edit is about to write is kept beside what was there, for a later life.
    holders.retain(|name| !(name.starts_with("edit-") && name.contains("config")));
    assert_eq!(holders, [""; 0]);
}

#[test]
fn by_both_roads_compared_it_is_upgraded_and_comes_back() {
    let site = Installation::of(&Options { road: "auto", ..Options::default() });
    there_and_back(&site);
}

#[test]
fn by_the_programs_on_a_config_for_each_it_is_upgraded_and_comes_back() {
    let mut options = Options::default();
    options.lab.split = true;
    options.lab.new = "v0.9.2".to_owned();
    there_and_back(&Installation::of(&options));
}

#[test]
fn by_the_command_on_a_config_of_windows_it_is_upgraded_and_comes_back() {
    let mut options = Options { road: "command", ..Options::default() };
    options.lab.new = "v0.8.0".to_owned();
    options.lab.faults = vec![Fault::WindowsConfig];
    let site = Installation::of(&options);
    // The tool leaves a database with every secret in its temporary folder.
    let words = site.words_of_apply();
    let temporary = site.path("tmp");
    std::fs::create_dir(&temporary).unwrap();
    site.listen(site.command(&[]).args(&words).env("TMPDIR", &temporary)).expect(0, &["upgraded"]);
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0, "what the tool left is gone");
    site.expect_upgraded();
    let config = std::fs::read_to_string(site.path("etc/agola.yml")).unwrap();
    assert!(config.lines().count() > 40 && config.split_inclusive('\n').all(|line| line.ends_with("\r\n")));
    assert!(!config.contains("etcd"), "{config}");
}

#[test]
fn new_runs_go_on_where_the_old_ones_ended_and_are_named_before_they_are_lost() {
    let site = Installation::of(&Options::default());
    let before = site.everything();
    site.apply().expect(0, &["upgraded"]);
    let group = site.lab.content.runservice.iter().find(|record| record.kind == "runcounter").unwrap();
    let url = Url::parse(&format!("{}/api/v1alpha/runs", site.lab.url(Component::Runservice))).unwrap();
    let body = json!({"name": "new", "group": format!("/project/{}/branch/master", group.id)}).to_string();
    let made =
        http::post(&url, &[], body.as_bytes(), std::time::Duration::from_secs(10), &Tell::quiet()).unwrap();
    assert_eq!(made.status, 201);
    let made: serde_json::Value = serde_json::from_slice(&made.body).unwrap();
    assert_eq!(made["run"]["sequence"], 14);
    assert_eq!(made["run"]["counter"], group.data.as_u64().unwrap() + 1);
    let refused = site.run(&["rollback", "--yes"]);
    assert_ne!(refused.code, 0, "{}", refused.said());
    assert!(refused.said().contains("runservice_db"), "it names what would be lost: {}", refused.said());
    site.run(&["rollback", "--yes", "--losing-writes"]).expect(0, &["as before"]);
    site.expect_as_before(&before);
}

#[test]
fn without_the_exports_the_way_back_is_open_until_it_is_given_up() {
    let site = Installation::of(&Options::default());
    let before = site.everything();
    site.apply().expect(0, &["upgraded"]);
    site.run(&["finalize", "--secrets-only", "--yes"]).expect(0, &[]);
    let artifacts = |site: &Installation| {
        let mut found = Vec::new();
        look(&site.path(".switchback/runs"), &mut |path| {
            if path.is_file() && path.parent().is_some_and(|folder| folder.ends_with("artifacts")) {
                let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
                if text.contains("data_type") || text.contains("exportMeta") {
                    found.push(path.to_owned());
                }
            }
        });
        found
    };
    assert!(artifacts(&site).is_empty());
    assert!(!site.run(&["status"]).expect(0, &["upgraded"]).said().contains("exports with secrets"));
    site.run(&["rollback", "--yes"]).expect(0, &["as before"]);
    site.expect_as_before(&before);
    // Upgraded anew, and for good.
    site.apply().expect(0, &["upgraded"]);
    site.expect_upgraded();
    site.run(&["finalize", "--yes"]).expect(0, &[]);
    assert!(artifacts(&site).is_empty());
    let gone = site.run(&["rollback", "--yes"]);
    assert_ne!(gone.code, 0, "{}", gone.said());
    site.expect_upgraded();
}

#[test]
fn runs_that_have_not_ended_are_lost_only_where_that_is_wanted() {
    let mut options = Options { more: "  undrained: lost\n", road: "auto", ..Options::default() };
    options.lab.faults = vec![Fault::LiveRuns];
    let site = Installation::of(&options);
    let plan = site.plan().expect(0, &["`--accept undrained-runs`", "`--accept configs-without-run`"]);
    site.lab.content.live.iter().for_each(|run| assert!(plan.said().contains(run), "{run} is not named"));
    let before = site.everything();
    site.run(&["apply", "--yes", "--accept", "creation-dates", "--accept", "orphans"])
        .expect(11, &["undrained-runs"]);
    site.expect_as_before(&before);
    site.apply().expect(0, &["upgraded"]);
    site.expect_upgraded();
}

#[test]
fn an_installation_in_which_no_run_ever_ended_is_upgraded_where_that_is_said_and_so() {
    let allowed = "  no_runs: allowed\n";
    let mut options = Options { more: allowed, road: "auto", ..Options::default() };
    options.lab.faults = vec![Fault::NoRuns];
    let mut site = Installation::of(&options);
    site.lab.content.logs.clear();
    let before = site.everything();
    site.apply().expect(0, &["upgraded"]);
    site.expect_upgraded();
    site.run(&["rollback", "--yes"]).expect(0, &["as before"]);
    site.expect_as_before(&before);
}

#[test]
fn an_installation_that_only_seems_to_have_no_runs_is_refused() {
    let site = Installation::of(&Options { more: "  no_runs: allowed\n", ..Options::default() });
    site.plan().expect(11, &["shows runs that have ended", "take `no_runs` out"]);
    // Its object storage has lost its runs, and it counts them still.
    let export = site.path("var/runservice/export");
    for kind in ["run", "runconfig"] {
        std::fs::rename(export.join(kind), site.path("lab").join(kind)).unwrap();
    }
    site.plan().expect(11, &["there never was a run", "runcounter", "runs that are lost"]);
    // Nothing at all answers with success, in both of them.
    for store in ["runservice", "configstore"] {
        std::fs::rename(site.path("var").join(store).join("export"), site.path("lab").join(store)).unwrap();
        std::fs::create_dir(site.path("var").join(store).join("export")).unwrap();
    }
    site.plan().expect(11, &["exports no user either"]);
}

#[test]
fn an_older_release_goes_to_0_7_1_first() {
    let mut options = Options::default();
    options.lab.old = "v0.6.0".to_owned();
    let site = Installation::of(&options);
    site.plan().expect(0, &["0.6.0 → 0.7.1", "install and start 0.7.1"]);
}

#[test]
fn into_postgresql_it_is_upgraded_and_leaves_the_databases_as_empty_as_they_were() {
    let server = Server::shared();
    let databases = [Component::Runservice, Component::Configstore, Component::Notification]
        .map(|component| (component, server.database("")));
    let mut options = Options { road: "auto", ..Options::default() };
    let url = |(component, name): &(Component, String)| (*component, server.cluster.url(name));
    options.lab.urls = databases.iter().map(url).collect();
    let site = Installation::of(&options);
    let before = site.everything();
    let objects = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    // Imported into scratch databases, by new services whose configs lead nowhere else.
    site.plan().expect(0, &[]);
    let said = site.run(&["rehearse"]).expect(0, &["rehearsed on copies"]).said();
    for rehearsed in ["start-runservice:", "start-configstore:", "send-migrated"] {
        assert!(!said.contains(&format!("  {rehearsed}")), "{rehearsed} is left out:\n{said}");
    }
    site.expect_as_before(&before);
    for (component, name) in &databases {
        assert_eq!(server.value(name, objects), "0", "{component:?}");
    }
    site.apply().expect(0, &["upgraded"]);
    site.expect_upgraded();
    let ours = "SELECT count(*) FROM pg_namespace WHERE nspname = 'switchback'";
    for (component, name) in &databases[..2] {
        assert_ne!(server.value(name, objects), "0", "{component:?}");
        assert_eq!(server.value(name, ours), "0", "{component:?}");
    }
    site.run(&["rollback", "--yes"]).expect(0, &["as before"]);
    site.expect_as_before(&before);
    for (component, name) in &databases {
        assert_eq!(server.value(name, objects), "0", "{component:?}");
    }
    // Somebody else keeps something there.
    server.run(&databases[0].1, "CREATE TABLE somebodys(id int)");
    site.plan().expect(11, &["something is there already", "somebodys"]);
    site.expect_as_before(&before);
}

#[test]
fn a_release_that_nobody_knows_is_refused() {
    let mut options = Options::default();
    options.lab.new = "v0.11.0".to_owned();
    let site = Installation::of(&options);
    site.run(&["plan"]).expect(11, &["of another release"]);
    site.plan().expect(11, &["0.11"]);
}
