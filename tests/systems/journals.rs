//! The journal is the run's truth: a torn tail is cut, damage is never guessed over, a lost directory is asked for.

use crate::support::{Site, TABLES_CHANGED};
use std::path::PathBuf;

fn journal(site: &Site) -> PathBuf {
    site.run_dir().join("journal.jsonl")
}

#[test]
fn a_torn_tail_is_cut_and_the_run_goes_on() {
    for verb in [&["resume"][..], &["rollback", "--yes"]] {
        let (site, before) = Site::killed_at(TABLES_CHANGED);
        let whole = std::fs::read(journal(&site)).unwrap();
        let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap();
        std::fs::write(journal(&site), &whole[..last + (whole.len() - last) / 2]).unwrap();
        site.run(&["status"]).expect(30, &[]);
        site.run(verb).expect(0, &[]);
        if verb == ["resume"] {
            assert!(site.run(&["status"]).said().contains("upgraded"));
        } else {
            assert_eq!(site.fingerprint(), before);
        }
    }
}

#[test]
fn a_journal_damaged_in_the_middle_is_not_guessed_over() {
    let (site, _) = Site::killed_at(TABLES_CHANGED);
    let now = site.fingerprint();
    let whole = std::fs::read(journal(&site)).unwrap();
    let mut damaged = whole.clone();
    let middle = whole.len() / 2;
    damaged[middle] = if damaged[middle] == b'x' { b'y' } else { b'x' };
    std::fs::write(journal(&site), &damaged).unwrap();
    for verb in [&["resume"][..], &["rollback", "--yes"], &["status"]] {
        site.run(verb).expect(21, &["cannot trust the journal", "line ", "was changed or lost", "help: "]);
    }
    site.apply().expect(21, &["cannot trust the journal"]);
    assert_eq!(site.fingerprint(), now);
    // Put back as it was, it is believed again.
    std::fs::write(journal(&site), whole).unwrap();
    site.run(&["resume"]).expect(0, &["upgraded"]);
}

#[test]
fn a_line_that_is_missing_is_damage() {
    let (site, _) = Site::killed_at(TABLES_CHANGED);
    let whole = std::fs::read_to_string(journal(&site)).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let without: Vec<&str> =
        lines.iter().enumerate().filter(|(i, _)| *i != 4).map(|(_, line)| *line).collect();
    std::fs::write(journal(&site), without.join("\n") + "\n").unwrap();
    site.run(&["resume"]).expect(21, &["line 5 was changed or lost"]);
}

#[test]
fn a_lost_run_directory_is_asked_for_by_name() {
    let (site, before) = Site::killed_at(TABLES_CHANGED);
    let run = site.run_dir();
    let name = run.file_name().unwrap().to_string_lossy().into_owned();
    let (state, away) = (site.state().display().to_string(), site.path("away"));
    std::fs::rename(&run, &away).unwrap();
    for state_dir in [site.state(), site.path("another")] {
        let state_dir = state_dir.display().to_string();
        site.run(&["plan", "--state", &state_dir])
            .expect(11, &["D002", &name, &state, "is gone: bring it back"]);
        site.run(&["apply", "--yes", "--state", &state_dir]).expect(11, &["D002", &name, &state]);
    }
    site.run(&["detect"]).expect(0, &[&name, "is open on this site", &state]);
    // Brought back, the run goes back as if nothing had been.
    std::fs::rename(&away, &run).unwrap();
    site.run(&["rollback", "--yes"]).expect(0, &["rolled back: as before"]);
    assert_eq!(site.fingerprint(), before);
}

#[test]
fn an_open_run_is_known_by_its_rows_when_its_mark_is_lost_too() {
    let (site, _) = Site::killed_at(TABLES_CHANGED);
    let run = site.run_dir();
    let name = run.file_name().unwrap().to_string_lossy().into_owned();
    std::fs::remove_file(site.path("data/.backups.db.switchback")).unwrap();
    std::fs::rename(&run, site.path("away")).unwrap();
    site.run(&["plan"]).expect(11, &["D002", &name, &site.state().display().to_string()]);
}
