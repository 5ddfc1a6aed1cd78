//! What a probe takes for an answer, and what it must not take for one.
#![allow(clippy::unwrap_used)]

use rusqlite::Connection;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use switchback_model::probe::{Ask, Probe, Store, Verdict};
use switchback_model::target::TargetDef;
use switchback_site::{Failure, Halt, Site, SiteDirs, SiteError, Tell};

fn site() -> (tempfile::TempDir, Site) {
    let folder = tempfile::tempdir().unwrap();
    let mut targets = BTreeMap::new();
    for (name, last) in [("a", "x'00'"), ("b", "x'01'")] {
        let path = folder.path().join(name);
        let connection = Connection::open(&path).unwrap();
        let script = format!(
            "CREATE TABLE t(n, v);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)
             INSERT INTO t SELECT i, 'same' FROM n;
             UPDATE t SET v = {last} WHERE n = 1500;"
        );
        connection.execute_batch(&script).unwrap();
        targets.insert(
            name.to_owned(),
            TargetDef::Sqlite { path: path.display().to_string(), made_by_us: false },
        );
    }
    let dirs = SiteDirs {
        services: folder.path().to_owned(),
        logs: folder.path().to_owned(),
        backups: folder.path().to_owned(),
        artifacts: folder.path().to_owned(),
        program: PathBuf::from("no-jq-here"),
    };
    let site = Site::open(&targets, dirs).unwrap();
    (folder, site)
}

fn sql(target: &str, sql: &str) -> Ask {
    ask(target, sql, json!({}))
}

fn ask(target: &str, sql: &str, params: Value) -> Ask {
    let store = Store { target: target.to_owned(), backup: false };
    Ask::Sql { store, sql: sql.to_owned(), params: serde_json::from_value(params).unwrap() }
}

fn judge(site: &Site, ask: Ask, verdict: Verdict) -> Result<bool, SiteError> {
    let probe = Probe { ask, verdict, otherwise: None, help: None, within_ms: 0 };
    site.judge(&probe, &Tell::quiet()).map(|judgement| judgement.holds)
}

fn same_as(site: &Site, query: &str) -> bool {
    judge(site, sql("a", query), Verdict::SameAs { other: Box::new(sql("b", query)) }).unwrap()
}

#[test]
fn rows_beyond_the_first_page_are_compared() {
    let (_folder, site) = site();
    assert!(same_as(&site, "SELECT n, v FROM t WHERE n < 1500 ORDER BY n"));
    assert!(!same_as(&site, "SELECT n, v FROM t ORDER BY n"), "row 1500 differs");
}

#[test]
fn rows_are_compared_by_their_bytes_and_storage_classes() {
    let (_folder, site) = site();
    assert!(!same_as(&site, "SELECT v FROM t WHERE n >= 1499 ORDER BY n"), "two blobs of one byte");
    let pair = |one: &str, other: &str| {
        let other = Box::new(sql("a", &format!("SELECT {other} UNION ALL SELECT 1")));
        judge(&site, sql("a", &format!("SELECT {one} UNION ALL SELECT 1")), Verdict::SameAs { other })
            .unwrap()
    };
    assert!(pair("1", "1"));
    assert!(!pair("1", "1.0"));
    assert!(!pair("1", "'1'"));
    assert!(!pair("x'31'", "'1'"));
}

#[test]
fn two_answers_that_say_nothing_are_not_the_same() {
    let (_folder, site) = site();
    let other = || Box::new(Ask::Text { text: String::new() });
    assert!(!judge(&site, sql("a", "SELECT NULL"), Verdict::SameAs { other: other() }).unwrap());
    let count = || Box::new(Ask::Text { text: "1500".into() });
    assert!(judge(&site, sql("a", "SELECT count(*) FROM t"), Verdict::SameAs { other: count() }).unwrap());
    assert!(!judge(&site, sql("a", "SELECT 1500 FROM t"), Verdict::SameAs { other: count() }).unwrap());
}

#[test]
fn one_value_is_wanted_where_a_value_is_named() {
    let (_folder, site) = site();
    let is = |query: &str, wanted: Value| {
        judge(&site, sql("a", query), Verdict::Is { any: vec![wanted] }).unwrap()
    };
    assert!(is("SELECT 3", json!(3)));
    assert!(is("SELECT '3.0'", json!("3.0")));
    assert!(is("SELECT NULL", Value::Null));
    assert!(!is("SELECT 3 UNION ALL SELECT 4", json!(3)));
    assert!(!is("SELECT 3 WHERE 0", Value::Null), "no row is no null");
    let lacks =
        |query: &str| judge(&site, sql("a", query), Verdict::Lacks { regex: "^0[.]8".into() }).unwrap();
    assert!(lacks("SELECT '0.7.1'"));
    assert!(!lacks("SELECT '0.8.1'"));
    assert!(!lacks("SELECT NULL"), "nothing is known of what is not there");
}

#[test]
fn a_parameter_that_nobody_knows_is_an_error_and_not_null() {
    let (_folder, site) = site();
    let missing = judge(&site, sql("a", "SELECT n FROM t WHERE n = :id2"), Verdict::None);
    assert!(matches!(missing, Err(SiteError::Parameter { name }) if name == "id2"));
    let both = ask("a", "SELECT n FROM t WHERE n = :id2", json!({ "id": 1, "id2": 7 }));
    assert!(judge(&site, both, Verdict::Is { any: vec![json!(7)] }).unwrap(), "`:id` begins `:id2`");
}

#[test]
fn a_question_that_writes_is_refused() {
    let (_folder, site) = site();
    let wrote = judge(&site, sql("a", "DELETE FROM t"), Verdict::None);
    assert!(matches!(wrote, Err(SiteError::NotReadOnly { .. })));
}

#[test]
fn a_question_without_end_heeds_a_stop() {
    let (_folder, site) = site();
    let tell = Tell::quiet();
    tell.stop_flag().store(true, Ordering::Relaxed);
    let endless =
        sql("a", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n");
    assert_eq!(site.ask(&endless, &tell).unwrap_err().halt(), Some(Halt::Interrupted));
}

#[test]
fn a_long_answer_is_listed_by_page_and_counted_whole() {
    let (_folder, site) = site();
    let answer = |target| site.ask(&sql(target, "SELECT n, v FROM t ORDER BY n"), &Tell::quiet()).unwrap();
    let (rows, more) = answer("a").page();
    assert_eq!((rows.len(), more), (1000, 500));
    assert_eq!(answer("a").page(), answer("b").page());
    assert_ne!(
        answer("a").digest(),
        answer("b").digest(),
        "the loss is another, though its first page is not"
    );
}
