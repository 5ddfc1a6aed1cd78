//! Rights: what may not be read or written is found before anything is stopped.

use crate::support::{BINARY, Options, Ran, Site};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

/// Somebody who owns nothing here.
const NOBODY: u32 = 65_534;

/// Runs the binary as somebody who is not root; nothing where the tests are not root themselves, as then they are.
fn as_nobody(site: &Site, args: &[&str]) -> Option<Ran> {
    let may = Command::new("setpriv").args(["--reuid=65534", "--clear-groups", BINARY, "--version"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        return None;
    }
    let command = site.command(args);
    let mut other = Command::new("setpriv");
    other.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(BINARY).args(command.get_args());
    Some(crate::support::ran(&mut other))
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A site whose folder and state belong to somebody else; its database is root's.
fn site_of_nobody() -> Site {
    given_to_nobody(Site::new())
}

fn given_to_nobody(site: Site) -> Site {
    let root = site.path("");
    mode(&root, 0o755);
    std::fs::create_dir_all(site.state()).unwrap();
    for path in [site.state(), root] {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    site.sql("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE");
    site
}

#[test]
fn a_database_that_may_not_be_read_is_refused() {
    if !is_root() {
        return;
    }
    let site = site_of_nobody();
    mode(&site.database, 0o600);
    let Some(ran) = as_nobody(&site, &["plan"]) else { return };
    ran.expect(11, &["permission denied; run as the owner of the file or as root", "nothing was changed"]);
}

#[test]
fn a_folder_that_may_not_be_written_changes_nothing() {
    if !is_root() {
        return;
    }
    let site = site_of_nobody();
    let before = site.fingerprint();
    let apply = [&["apply"], &crate::support::ACCEPTED[..]].concat();
    let Some(ran) = as_nobody(&site, &apply) else { return };
    ran.expect(11, &["D011", &site.path("data").display().to_string(), "help: ", "nothing was changed"]);
    site.expect_no_run();
    assert_eq!(site.fingerprint(), before);
}

#[test]
fn a_file_that_may_not_be_written_changes_nothing() {
    if !is_root() {
        return;
    }
    let site = site_of_nobody();
    chown(site.path("data"), Some(NOBODY), Some(NOBODY)).unwrap();
    let before = site.fingerprint();
    let apply = [&["apply"], &crate::support::ACCEPTED[..]].concat();
    let Some(ran) = as_nobody(&site, &apply) else { return };
    ran.expect(11, &["D011", &site.database.display().to_string(), "help: ", "nothing was changed"]);
    site.expect_no_run();
    assert_eq!(site.fingerprint(), before);
    assert_eq!(site.beside(), ["backups.db"]);
}

/// A person stops and starts the service, and nothing in the playbook asks whether it runs.
fn by_hand_without_a_probe() -> Site {
    let old = r#"    old:
      is: {get: "${url}/api/health", jq: '.tables | index("machines") != null'}
"#;
    let new = r#"    new:
      is: {get: "${url}/api/health", jq: '.preparedStatements and (.tables | index("servers") != null)'}
"#;
    let site = Site::with(&Options { playbook: &[(old, ""), (new, "")], ..Options::default() });
    let text = std::fs::read_to_string(site.path("site.yaml")).unwrap();
    let head = text.split("  service:").next().unwrap();
    std::fs::write(site.path("site.yaml"), format!("{head}  service: none\n")).unwrap();
    site
}

const NOTHING_SHOWS_THE_START: &str =
    "cannot tell whether the new release of app runs: a person starts it, and it has no `new:` probe";

#[test]
fn nobody_is_believed_to_have_stopped_what_may_not_be_looked_into() {
    if !is_root() {
        return;
    }
    let site = given_to_nobody(by_hand_without_a_probe());
    let Some(ran) = as_nobody(&site, &["plan"]) else { return };
    let ran = ran.expect(
        11,
        &[
            "cannot tell whether app is stopped: it has no probe, and ",
            " of other users cannot be looked into",
            "help: give `app` an `old:` probe in the playbook, or run as root",
            NOTHING_SHOWS_THE_START,
            "nothing was changed",
        ],
    );
    assert!(ran.said().contains("playbook.yaml:"), "it names the line: {}", ran.said());
}

#[test]
fn who_may_look_into_every_process_sees_that_nobody_is_in_the_stores() {
    if !is_root() {
        return;
    }
    let ran = by_hand_without_a_probe().run(&["plan"]).expect(11, &[NOTHING_SHOWS_THE_START]);
    assert!(!ran.said().contains("cannot tell whether app is stopped"), "{}", ran.said());
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0)
}
