//! Asking a config file for the value of a key.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use switchback_model::config::ConfigFormat;
use switchback_model::probe::{Ask, Probe, Verdict};
use switchback_model::target::TargetDef;
use switchback_site::{Judgement, Site, SiteDirs, SiteError, Tell};

const ENV: &str = "DB_NAME='notes'\nEMPTY=\nTWICE=1\nTWICE=2\nSECRET_KEY=hush\nBARE\n";
const YAML: &str = "web: {port: 080, key: hush, other: loud}\nlist: [a, b]\nnone:\n";

fn site() -> (tempfile::TempDir, Site) {
    let folder = tempfile::tempdir().unwrap();
    let mut targets = BTreeMap::new();
    for (name, text) in [("env", ENV), ("yaml", YAML)] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        targets.insert(name.to_owned(), TargetDef::File { path: path.display().to_string() });
    }
    let gone = folder.path().join("gone").display().to_string();
    targets.insert("gone".to_owned(), TargetDef::File { path: gone });
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

fn at(target: &str, key: &str) -> Ask {
    let format = if target == "yaml" { ConfigFormat::Yaml } else { ConfigFormat::Env };
    Ask::Config { target: target.to_owned(), format, key: key.to_owned() }
}

fn judge(ask: Ask, verdict: Verdict) -> Result<Judgement, SiteError> {
    let (_folder, site) = site();
    let probe = Probe { ask, verdict, otherwise: None, help: None, within_ms: 0 };
    site.judge(&probe, &Tell::quiet())
}

fn is(target: &str, key: &str, value: Value) -> bool {
    judge(at(target, key), Verdict::Is { any: vec![value] }).unwrap().holds
}

#[test]
fn a_value_is_text_and_null_where_there_is_none() {
    assert!(is("env", "DB_NAME", json!("notes")));
    assert!(is("env", "EMPTY", json!("")));
    assert!(is("env", "BARE", Value::Null));
    assert!(is("env", "NOWHERE", Value::Null));
    assert!(is("yaml", "web.port", json!("080")), "no number that lost its zero");
    assert!(is("yaml", "list[1]", json!("b")));
    assert!(is("yaml", "none", Value::Null));
    assert!(!is("env", "EMPTY", Value::Null));
    assert!(judge(at("env", "DB_NAME"), Verdict::Matches { regex: "^n".into() }).unwrap().holds);
    assert!(judge(at("env", "NOWHERE"), Verdict::None).unwrap().holds);
    assert!(!judge(at("env", "NOWHERE"), Verdict::Holds).unwrap().holds);
}

#[test]
fn two_files_are_compared_and_a_secret_is_not_shown() {
    let same = |one: Ask, other: Ask| judge(one, Verdict::SameAs { other: Box::new(other) }).unwrap();
    assert!(same(at("env", "SECRET_KEY"), at("yaml", "web.key")).holds);
    let differs = same(at("env", "SECRET_KEY"), at("env", "DB_NAME"));
    assert!(!differs.holds);
    assert_eq!(
        (differs.seen.as_str(), differs.details),
        ("…", vec!["one says …, the other notes".to_owned()])
    );
    assert!(!same(at("env", "NOWHERE"), at("yaml", "none")).holds, "nothing proves nothing");
}

#[test]
fn what_cannot_be_told_is_an_error() {
    let wrong = |ask: Ask| judge(ask, Verdict::Holds).unwrap_err().to_string();
    assert_eq!(
        wrong(at("env", "TWICE")),
        "look into env: tell which `TWICE` counts: it stands in line 3 and in line 4"
    );
    assert!(wrong(at("gone", "A")).starts_with("find "));
}
