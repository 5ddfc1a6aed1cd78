//! The upgrade path: shortest, through required stops, in stretches.
#![allow(clippy::unwrap_used)]

use switchback_model::decode::{Decode, Decoder};
use switchback_model::diagnostic::{Diagnostics, Source};
use switchback_model::path::{PathError, find, stretches};
use switchback_model::playbook::Playbook;
use switchback_model::tree;
use switchback_model::version::Version;

/// A playbook of nothing but edges and releases.
fn playbook(edges: &[(&str, &str)], releases: &str) -> Playbook {
    let upgrades: String =
        edges.iter().map(|(from, to)| format!("  - {{from: \"{from}\", to: \"{to}\"}}\n")).collect();
    let text = format!(
        "playbook: sample\nformat: 1\ninputs: {{}}\ntargets: {{}}\nversion: {{detect: []}}\n{releases}upgrades:\n{upgrades}"
    );
    let source = Source::new("playbook.yaml", text);
    let mut out = Diagnostics::default();
    let node = tree::parse(&source, &mut out).unwrap();
    let mut decoder = Decoder::default();
    let playbook = Playbook::decode(&node, &mut decoder);
    let wrong = decoder.into_diagnostics();
    assert!(!wrong.has_errors(), "{}", wrong.render_all(Some(&source)));
    playbook.unwrap()
}

fn hops(playbook: &Playbook, from: &str, to: Option<&str>) -> Result<Vec<String>, PathError> {
    let to = to.map(|to| to.parse().unwrap());
    let path = find(playbook, &from.parse().unwrap(), to.as_ref())?;
    Ok(path.hops.iter().map(|hop| format!("{}-{}", hop.from, hop.to)).collect())
}

#[test]
fn the_shortest_chain_to_the_newest_release_is_taken() {
    let playbook = playbook(&[("1", "2"), ("2", "3"), ("1", "3"), ("3", "4")], "");
    assert_eq!(hops(&playbook, "1", None).unwrap(), ["1-3", "3-4"]);
    assert_eq!(hops(&playbook, "1", Some("3")).unwrap(), ["1-3"]);
}

#[test]
fn no_edge_jumps_over_a_required_stop() {
    let playbook =
        playbook(&[("1", "2"), ("2", "3"), ("1", "3")], "releases:\n  - {version: \"2\", stop: true}\n");
    assert_eq!(hops(&playbook, "1", None).unwrap(), ["1-2", "2-3"]);
    assert_eq!(hops(&playbook, "2", None).unwrap(), ["2-3"], "a stop that is passed is no stop");
}

#[test]
fn a_wanted_series_is_reached_by_any_release_of_it() {
    let playbook = playbook(&[("0.6", "0.7")], "");
    assert!(hops(&playbook, "0.7.27", None).unwrap().is_empty());
    assert!(hops(&playbook, "0.7", Some("0.7")).unwrap().is_empty());
    assert_eq!(hops(&playbook, "0.6.1", None).unwrap(), ["0.6.1-0.7"]);
}

#[test]
fn what_cannot_be_reached_is_an_error() {
    let playbook = playbook(&[("1", "2")], "");
    let error = hops(&playbook, "1", Some("9")).unwrap_err();
    assert_eq!(error.to_string(), "get from 1 to 9: no chain of upgrades leads there");
    let error = hops(&playbook, "2.5", Some("2")).is_ok();
    assert!(error, "2.5 is of the series 2");
    assert!(matches!(hops(&playbook, "3", Some("2")), Err(PathError::Backwards { .. })));
}

#[test]
fn a_release_that_rests_ends_its_stretch() {
    let releases =
        "releases:\n  - {version: \"2\", stop: true, rests: true, why: it migrates in the background}\n";
    let playbook = playbook(&[("1", "2"), ("2", "3"), ("3", "4")], releases);
    let path = find(&playbook, &"1".parse::<Version>().unwrap(), None).unwrap();
    let stretches = stretches(&playbook, &path);
    assert_eq!(stretches.iter().map(|stretch| stretch.hops.len()).collect::<Vec<_>>(), [1, 2]);
    assert!(stretches[0].ends_because.as_ref().unwrap().contains("migrates in the background"));
    assert_eq!(stretches[1].ends_because, None);
}

#[test]
fn edges_in_a_ring_do_not_keep_the_search_going() {
    let playbook = playbook(&[("1", "2"), ("2", "3"), ("3", "3.1"), ("1", "2")], "");
    assert!(hops(&playbook, "1", Some("7")).is_err());
}
