//! The real program, killed at random moments, those between the fault points included.

use crate::chance::{Chance, cases, seed};
use crate::ends::{Content, End, Ends, exact};
use crate::kill_points::{AT_A_TIME, reference};
use crate::program::{Installation, run, start};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[test]
fn killed_at_any_moment_it_is_resumed_or_rolled_back() {
    let (ends, seed) = (reference(), seed("killed at random moments"));
    let span = time_of(&mut Installation::small().apply());
    each(cases(450), AT_A_TIME, |case| {
        let lab = Installation::small();
        kill_and_finish(&lab, &ends, span, &mut Chance::of(seed, case), &format!("seed {seed}, case {case}"));
    });
}

#[test]
fn killed_at_any_moment_over_200000_rows_it_is_resumed_or_rolled_back() {
    let seed = seed("killed at random moments over 200,000 rows");
    let folder = tempfile::tempdir().unwrap();
    let large = ["--machines", "200", "--backups", "200000", "--dir"];
    let built =
        run(Command::new(crate::lab::PROGRAM).args(["demo", "--build-only"]).args(large).arg(folder.path()));
    assert!(built.status.success(), "{}", built.text);

    let lab = Installation::copy_of(folder.path());
    let before = exact(&lab.database);
    let began = Instant::now();
    let ran = run(&mut lab.apply());
    let span = began.elapsed();
    assert_eq!(ran.code(), Some(0), "{}", ran.text);
    let ends = Ends { before, after: Content::of(&lab.database) };
    lab.assert(&ends, End::After, "a large run that nothing disturbs");
    drop(lab);
    // One for each core: here a run is work, not waiting.
    each(cases(50), 2, |case| {
        let lab = Installation::copy_of(folder.path());
        kill_and_finish(
            &lab,
            &ends,
            span,
            &mut Chance::of(seed, case),
            &format!("seed {seed}, large case {case}"),
        );
    });
}

/// Kills an upgrade at a random moment, now and then what takes it up as well, and looks where it ends.
fn kill_and_finish(lab: &Installation, ends: &Ends, span: Duration, chance: &mut Chance, how: &str) {
    let verb = if chance.below(2) == 0 { "resume" } else { "rollback" };
    let mut how = format!("{how}: {}", kill_at(&mut lab.apply(), "apply", chance.moment(span)));
    while chance.below(4) == 0 {
        let words: &[&str] = if verb == "rollback" { &["rollback", "--yes"] } else { &["resume"] };
        how = format!("{how}, {}", kill_at(&mut lab.verb(words), verb, chance.moment(span / 2)));
    }
    lab.finish(ends, verb, &format!("{how}, then {verb}"));
}

/// Starts a command and kills it after this time, unless it was faster. Returns what was done, for whoever has to know.
pub fn kill_at(command: &mut Command, verb: &str, moment: Duration) -> String {
    let mut child = start(command);
    std::thread::sleep(moment);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    format!("{verb} killed after {moment:?} ({status})")
}

/// Does the cases, so many at a time.
pub fn each(cases: u64, at_a_time: usize, case: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(|| {
                loop {
                    match next.fetch_add(1, Ordering::Relaxed) {
                        number if number < cases => case(number),
                        _ => return,
                    }
                }
            });
        }
    });
}

fn time_of(command: &mut Command) -> Duration {
    let began = Instant::now();
    let ran = run(command);
    assert_eq!(ran.code(), Some(0), "{}", ran.text);
    began.elapsed()
}

impl Installation {
    /// Copies an installation that is not running, and starts its old release there.
    fn copy_of(built: &Path) -> Installation {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        for name in ["backups.db", "backups.db-wal"] {
            let file = Path::new("data").join(name);
            std::fs::copy(built.join(&file), folder.path().join(&file)).unwrap();
        }
        Installation::started_in(folder)
    }
}
