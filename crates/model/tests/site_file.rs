//! What a site file gives, and what it leaves out.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use switchback_model::decode::{Decode, Decoder};
use switchback_model::diagnostic::{Diagnostics, Source};
use switchback_model::playbook::Playbook;
use switchback_model::site_file::SiteFile;
use switchback_model::tree;

const PLAYBOOK: &str = r#"
playbook: notes
format: 1
inputs:
  file: {type: file}
  server: {type: url, instead_of: file}
targets:
  db: {sqlite: "${file}"}
version:
  detect: [{in: db, sql: "SELECT 1", means: {"1": "1.0"}}]
upgrades: [{from: "1.0", to: "2.0"}]
"#;

/// The names of the inputs that have a value, or the codes of what is wrong.
fn resolved(inputs: &str, set: &[(&str, &str)]) -> Result<Vec<String>, Vec<String>> {
    let mut out = Diagnostics::default();
    let source = |text: &str| Source::new("file", text);
    let node = tree::parse(&source(PLAYBOOK), &mut out).unwrap();
    let mut decoder = Decoder::default();
    let playbook = Playbook::decode(&node, &mut decoder).unwrap();
    let site = SiteFile::parse(&source(&format!("playbook: notes\ninputs: {{{inputs}}}\n"))).unwrap();
    let set: BTreeMap<_, _> =
        set.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let given = site.resolve(&playbook, &set, "/srv");
    given
        .map(|values| values.into_iter().filter_map(|(name, input)| input.value.map(|_| name)).collect())
        .map_err(|wrong| wrong.iter().map(|one| one.code.to_string()).collect())
}

#[test]
fn one_of_two_inputs_is_given_in_the_place_of_the_other() {
    assert_eq!(resolved("file: a.db", &[]), Ok(vec!["file".to_owned()]));
    assert_eq!(resolved("server: \"http://a\"", &[]), Ok(vec!["server".to_owned()]));
    assert_eq!(resolved("", &[("server", "http://a")]), Ok(vec!["server".to_owned()]));
}

#[test]
fn neither_and_both_are_refused() {
    assert_eq!(resolved("", &[]), Err(vec!["S001".to_owned()]));
    assert_eq!(resolved("file: a.db, server: \"http://a\"", &[]), Err(vec!["S006".to_owned()]));
    assert_eq!(resolved("file: a.db", &[("server", "http://a")]), Err(vec!["S006".to_owned()]));
}
