//! The upgrade of the real v1 by the binary: the result is the correct one, a second time there is nothing to do, and the way
//! back leaves no trace.

use crate::support::BINARY;
use crate::unstract::{JSON, cluster, differences, differing_from_v1, load, real_data};
use std::path::Path;
use std::process::{Command, Output};
use switchback_labs::unstract::write_site;

const ACCEPTED: [&str; 8] = [
    "--accept",
    "adapters-of-non-members",
    "--accept",
    "tables-left-behind",
    "--accept",
    "encryption-key",
    "--yes",
    "--json",
];

fn switchback(folder: &Path, args: &[&str]) -> Output {
    Command::new("timeout").arg("300").arg(BINARY).args(args).current_dir(folder).output().unwrap()
}

fn must(folder: &Path, args: &[&str]) -> String {
    let output = switchback(folder, args);
    let said =
        format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{args:?}: {}\n{said}", output.status);
    said
}

/// Everything of a database but what `without` names, as `pg_dump` writes it.
fn dump(url: &str, without: &str) -> String {
    let output = Command::new("pg_dump").args(["-d", url, "-N", without]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // Newer tools guard a dump with a word that is another each time.
    text.lines()
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Puts the real empty schema in the place of the command that makes it.
fn real_schema(python: &Path, data: &Path, url: &str) {
    let schema = std::fs::read_to_string(data.join("v2_empty_unstract_schema.sql")).unwrap();
    let beside = python.with_extension("sql");
    std::fs::write(&beside, schema.replace("CREATE SCHEMA unstract;", "")).unwrap();
    let script =
        format!("#!/bin/sh\nexec psql -qX -v ON_ERROR_STOP=1 -d '{url}' -f '{}'\n", beside.display());
    std::fs::write(python, script).unwrap();
}

#[test]
fn the_binary_makes_the_correct_result_of_the_real_v1_and_takes_it_back() {
    let Some(data) = real_data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let cluster = cluster(folder.path());
    // Whoever has a session when the writers are out is refused: ours ends here.
    drop(load(&cluster, "site", &data, &["v1.sql"]));
    let mut correct = load(&cluster, "correct", &data, &["v2_correct.sql"]);
    let url = cluster.url("site");
    let before = dump(&url, "none");
    let files = folder.path().join("site");
    write_site(&files, &url, None, Path::new(BINARY)).unwrap();
    real_schema(&files.join("backend/.venv/bin/python"), &data, &url);
    let env = std::fs::read(files.join("backend/.env")).unwrap();

    must(&files, &[&["apply"][..], &ACCEPTED].concat());
    must(&files, &["resume", "--if-open"]);
    // What the new release plants when it starts is its own.
    let mut site = cluster.connect("site").unwrap();
    site.batch_execute(
        "DELETE FROM unstract.django_celery_beat_periodictask WHERE name = 'workflow_log_history_v2'",
    )
    .unwrap();
    let found = differences(&mut site, &mut correct);
    let planted = |line: &&String| {
        !line.contains("django_celery_beat_interval")
            && !line.starts_with("django_celery_beat_periodictasks:")
            && !line.starts_with("sequence \"django_celery_beat_")
    };
    assert_eq!(found.iter().filter(planted).collect::<Vec<_>>(), [""; 0]);
    for (old, new) in JSON {
        assert_eq!(differing_from_v1(&mut site, old, new), 0, "{new:?}");
    }
    assert_eq!(dump(&url, "unstract"), before, "v1 is as it was, and nothing of ours is left");

    drop(site);
    let again = switchback(&files, &["apply", "--yes"]);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));

    must(&files, &["rollback", "--yes", "--losing-writes"]);
    assert_eq!(dump(&url, "none"), before);
    assert_eq!(std::fs::read(files.join("backend/.env")).unwrap(), env);
}
