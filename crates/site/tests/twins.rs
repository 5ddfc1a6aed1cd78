//! Targets that are one file are found by whatever way leads to it.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use switchback_model::target::TargetDef;
use switchback_site::{Site, SiteDirs};

fn site(paths: &[(&str, &Path)]) -> Site {
    let target = |path: &Path| TargetDef::File { path: path.display().to_string() };
    let targets: BTreeMap<_, _> =
        paths.iter().map(|(name, path)| ((*name).to_owned(), target(path))).collect();
    let folder = PathBuf::from("unused");
    let dirs = SiteDirs {
        services: folder.clone(),
        logs: folder.clone(),
        backups: folder.clone(),
        artifacts: folder.clone(),
        program: folder,
    };
    Site::open(&targets, dirs).unwrap()
}

#[test]
fn one_file_under_two_names_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("one"), "").unwrap();
    std::fs::write(path("other"), "").unwrap();
    std::os::unix::fs::symlink(path("one"), path("link")).unwrap();
    std::fs::hard_link(path("one"), path("hard")).unwrap();
    let around = path("x/../one");
    std::fs::create_dir(path("x")).unwrap();
    assert_eq!(site(&[("a", &path("one")), ("b", &path("other")), ("c", &path("absent"))]).twins(), None);
    std::os::unix::fs::symlink(path("absent"), path("leads-nowhere")).unwrap();
    assert_eq!(site(&[("a", &path("absent")), ("b", &path("leads-nowhere"))]).twins(), Some(("a", "b")));
    assert_eq!(site(&[("a", &path("absent")), ("b", &path("missing"))]).twins(), None);
    for twin in [path("link"), path("hard"), around] {
        assert_eq!(
            site(&[("a", &path("one")), ("b", &twin)]).twins(),
            Some(("a", "b")),
            "{}",
            twin.display()
        );
    }
}
