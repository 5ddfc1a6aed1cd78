//! Every way through: beside v1, into another database, some tenants only, rehearsed, there and back.

use super::{Installation, dump};
use crate::server::Server;
use crate::support::{BINARY, Ran};
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use switchback_labs::unstract::{Size, compare, write_site};

#[test]
fn the_demo_ends_in_an_upgraded_system() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(BINARY);
    let ran = Ran::of(&command.args(["demo", "unstract", "--dir"]).arg(folder.path()).output().unwrap());
    let words =
        ["rehearsed on copies", "rows equal in 42 tables", "upgraded", "36 of 36 steps", "are stopped"];
    ran.expect(0, &words);
}

#[test]
#[allow(clippy::print_stderr, reason = "times for whoever runs it by hand, with --nocapture")]
fn fifty_skewed_tenants_are_upgraded_and_come_back() {
    // A million rows by hand: `UNSTRACT_ROWS=1050000`.
    let rows = std::env::var("UNSTRACT_ROWS").ok().and_then(|rows| rows.parse().ok());
    let size = Size { rows: rows.unwrap_or(20_000), ..Size::LARGE };
    let site = Installation::with(&size, &[]);
    let (before, files) = (site.dump(), site.files());
    let mut clock = Instant::now();
    let mut lap = |what: &str| {
        eprintln!("{what}: {:.1} s", clock.elapsed().as_secs_f64());
        clock = Instant::now();
    };
    let apply = site.words_of_apply();
    lap("plan");
    let said = site.run(&apply).expect(0, &["upgraded", "rows equal in 42 tables"]).said();
    lap("plan again and apply");
    said.lines()
        .filter(|line| line.contains(" s, ") || line.contains("(downtime"))
        .for_each(|line| eprintln!("{line}"));
    assert_eq!(site.differences(), [""; 0]);
    lap("compared from outside");
    assert_eq!(site.v1(), before, "v1 is as it was");
    site.run(&["rollback", "--yes", "--losing-writes"]).expect(0, &[]);
    lap("rollback");
    assert_eq!(site.dump(), before);
    assert_eq!(site.files(), files);
}

#[test]
fn v2_goes_into_another_database() {
    let mut site = Installation::small();
    let server = Server::shared();
    let other = server.database("");
    let (url, target) = (server.cluster.url(&site.database), server.cluster.url(&other));
    write_site(site.folder.path(), &url, Some(&target), Path::new(BINARY)).unwrap();
    let (before, empty, files) = (site.dump(), dump(&target, &[]), site.files());
    site.apply().expect(0, &["upgraded", "rows equal in 42 tables"]);
    assert_eq!(site.dump(), before, "nothing at all is written into the database of v1");
    let mut client = server.cluster.connect(&other).unwrap();
    assert_eq!(compare(&mut client, "unstract", &site.lab.expected).unwrap(), []);
    drop(client);
    let env = std::fs::read_to_string(site.path("backend/.env")).unwrap();
    assert!(env.contains(&format!("DB_NAME='{other}' # was another once")), "{env}");
    site.run(&["rollback", "--yes", "--losing-writes"]).expect(0, &[]);
    assert_eq!(dump(&target, &[]), empty);
    assert_eq!(site.files(), files);
    site.lab.tenants.clear();
}

#[test]
fn only_the_tenants_that_are_named_are_carried_over() {
    let site = Installation::small();
    let tenant = &site.lab.tenants[1];
    let only = format!("tenants={}", tenant.schema);
    let plan = site
        .run(&["plan", "--set", &only])
        .expect(0, &["each of 1 schema", "`--accept adapters-of-non-members`"]);
    assert!(!plan.said().contains("each of 3 schemas"));
    let words = [&site.words_of_apply()[..], &["--set", &only]].concat();
    std::fs::remove_file(site.path(".switchback/plan.json")).unwrap();
    site.run(&words).expect(0, &["upgraded"]);
    let moved = format!("SELECT count(*) FROM unstract.workflow WHERE organization_id <> {}", tenant.id);
    assert_eq!(site.value(&moved), "0");
    let whole = format!(
        "SELECT (SELECT count(*) FROM unstract.workflow) = (SELECT count(*) FROM {}.workflow_workflow)",
        tenant.schema
    );
    assert_eq!(site.value(&whole), "true");
}

#[test]
fn a_rehearsal_touches_nothing_and_measures_the_change() {
    let site = Installation::small();
    let (before, files) = (site.dump(), site.files());
    site.plan().expect(0, &["in part guessed"]);
    site.run(&["rehearse"]).expect(0, &["rows equal in 42 tables", "rehearsed on copies"]);
    assert_eq!((site.dump(), site.files()), (before, files));
    let scratch = "SELECT count(*) FROM pg_database WHERE datname LIKE 'switchback\\_scratch\\_%' \
         AND shobj_description(oid, 'pg_database') LIKE '%' || :dir || '%'";
    let scratch = scratch.replace(":dir", &format!("'{}'", site.folder.path().display()));
    assert_eq!(site.value(&scratch), "0", "its scratch databases are gone");
}

#[test]
fn a_second_time_there_is_nothing_to_do() {
    let site = Installation::small();
    site.apply().expect(0, &["upgraded"]);
    let before = site.dump();
    site.run(&["apply", "--yes"]).expect(0, &["nothing to do"]);
    assert_eq!(site.dump(), before);
}
