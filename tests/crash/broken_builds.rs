//! The suite proves itself: three builds that are wrong on purpose must each fail it, by the test that is there for what
//! they do wrong.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// The builds share a target folder, and cargo lets one in at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn an_effect_before_its_journal_line_is_noticed() {
    assert_fails(
        "broken-effect-before-journal",
        "cuts::a_cut_at_any_point_of_the_run_can_be_rolled_back",
        "the site is not as Before wants it",
    );
}

#[test]
fn an_undo_that_skips_the_failed_step_is_noticed() {
    assert_fails(
        "broken-undo-skips-failed",
        "cuts::a_cut_at_any_point_of_the_run_can_be_rolled_back",
        "the site is not as Before wants it",
    );
}

#[test]
fn trust_in_an_exit_code_is_noticed() {
    assert_fails(
        "broken-trust-the-exit-code",
        "lies::a_command_that_only_says_it_did_it_is_not_believed",
        "left: With(Upgraded)",
    );
    assert_fails(
        "broken-trust-the-exit-code",
        "lies::a_command_that_is_killed_in_the_middle_is_not_believed",
        "left: With(Upgraded)",
    );
    assert_fails(
        "broken-trust-the-exit-code",
        "postgres::lies::a_command_that_only_says_it_changed_the_server_is_not_believed",
        "left: With(Upgraded)",
    );
}

/// Builds with `feature`, runs the test called `name`, and fails unless that one fails for this reason.
fn assert_fails(feature: &str, name: &str, reason: &str) {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).env("CARGO_TARGET_DIR", target_folder());
    cargo.args([
        "test",
        "--offline",
        "--locked",
        "--test",
        "crash",
        "--features",
        feature,
        "--",
        "--exact",
        name,
    ]);
    let output = cargo.output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{feature} passes: {text}");
    assert!(text.contains(&format!("test {name} ... FAILED")), "{feature} does not fail by {name}: {text}");
    assert!(text.contains(reason), "{feature} fails for another reason than `{reason}`: {text}");
}

/// A target folder beside the one in use: a build in that one would replace the program under test while tests run it.
/// It begins as links to what is built there, so that only what the feature changes is compiled.
fn target_folder() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_switchback")).parent().unwrap();
    let folder = built.parent().unwrap().join("broken");
    let profile = folder.join(built.file_name().unwrap());
    if !profile.exists() {
        let beside = folder.join("begun");
        let _ = std::fs::remove_dir_all(&beside);
        // What cargo writes in place is copied, with its times, which say what is fresh; the rest is linked.
        copy_all(&built.join("build"), &beside.join("build"), &copy);
        copy_all(&built.join(".fingerprint"), &beside.join(".fingerprint"), &copy);
        copy_all(&built.join("deps"), &beside.join("deps"), &|from, to| std::fs::hard_link(from, to));
        std::fs::rename(&beside, &profile).unwrap();
    }
    folder
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::copy(from, to)?;
    std::fs::File::options().append(true).open(to)?.set_modified(std::fs::metadata(from)?.modified()?)
}

fn copy_all(from: &Path, to: &Path, one: &dyn Fn(&Path, &Path) -> io::Result<()>) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (entry, target) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).unwrap();
        if entry.is_dir() {
            copy_all(&entry, &target, one);
        } else {
            one(&entry, &target).unwrap();
        }
    }
}
