//! docs/duplistatus.md and docs/agola.md say of every failure that was measured what is done about it, and names the test that backs it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The names of all functions in the files of a folder and of those in it.
fn functions(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, names);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let declared = text.lines().filter_map(|line| line.strip_prefix("fn ")?.split('(').next());
            names.extend(declared.map(str::to_owned));
        }
    }
}

#[test]
fn every_measured_failure_of_duplistatus_names_a_test_that_exists() {
    assert!(guarded("docs/duplistatus.md") > 50);
}

#[test]
fn every_measured_failure_of_agola_names_a_test_that_exists() {
    assert!(guarded("docs/agola.md") > 40);
}

/// Returns how many rows of a page say what becomes of a failure and name tests, all of which exist.
fn guarded(page: &str) -> usize {
    let mut known = BTreeSet::new();
    for folder in ["tests", "crates/labs/tests", "crates/site/tests"] {
        functions(&root().join(folder), &mut known);
    }
    let text = std::fs::read_to_string(root().join(page)).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.ends_with("| test |"));
    let mut guarded = 0;
    for row in rows.map(|row| row.split(" | ").collect::<Vec<_>>()).filter(|row| row.len() == 3) {
        assert!(
            ["refused", "survived", "not possible", "told", "declared loss"]
                .iter()
                .any(|word| row[1].starts_with(word)),
            "{row:?} does not say what becomes of it"
        );
        let tests: Vec<&str> = row[2].split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "{row:?} names no test");
        for test in tests {
            let name = test.rsplit("::").next().unwrap_or(test);
            assert!(known.contains(name), "{test} does not exist; it is named by {row:?}");
        }
        guarded += 1;
    }
    guarded
}
