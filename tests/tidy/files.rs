//! Files stay small, and nothing that the world can cause ends the program.

use crate::source::{files, sightings};

/// Lines that a file may have.
const LONGEST: usize = 600;

#[test]
fn no_source_is_longer_than_one_can_read() {
    let all = files("crates", ".rs").into_iter().chain(files("tests", ".rs"));
    let long: Vec<_> = all.filter(|(_, text)| text.lines().count() > LONGEST).map(|(name, _)| name).collect();
    assert_eq!(long, Vec::<String>::new());
}

#[test]
fn nothing_unwraps_outside_of_tests() {
    let sources: Vec<_> =
        files("crates", ".rs").into_iter().filter(|(name, _)| name.contains("/src/")).collect();
    assert!(sources.len() > 100, "{} files", sources.len());
    assert_eq!(sightings(&sources, &[".unwrap()"]), Vec::<String>::new());
}
