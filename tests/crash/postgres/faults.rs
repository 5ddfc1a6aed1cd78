//! What a server does to a run while both live: a statement that outlives its client, a session that is ended in the middle of
//! a COPY, a disk that is full.

use super::shops::{End, Ends, Template};
use crate::program::{run, start};
use crate::server::Server;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use switchback_labs::cluster::Durability;

/// Installations that copy for a while, and their ends.
pub fn template() -> &'static (Template, Ends) {
    static TEMPLATE: OnceLock<(Template, Ends)> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let template = Template::of(Server::start(Durability::None), 2_000);
        let (ends, _) = template.reference();
        (template, ends)
    })
}

#[test]
fn a_statement_that_outlives_its_client_is_over_before_the_run_goes_on() {
    for verb in ["resume", "rollback"] {
        let (template, ends) = template();
        let lab = template.copy();
        lab.change("playbook.yaml", "UPDATE archive.stamp", "SELECT pg_sleep(2); UPDATE archive.stamp");
        let mut child = start(&mut lab.apply());
        let asleep = format!(
            "SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE datname = '{}' AND wait_event = 'PgSleep'",
            lab.archive
        );
        let sleeper = wait_for(|| Some(lab.value(&asleep)).filter(|pid| pid != "0"));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(lab.value(&asleep), sleeper, "a killed client does not stop its statement");
        let began = Instant::now();
        lab.finish(ends, verb, &format!("killed in the middle of a statement, then {verb}"));
        let left = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {sleeper}");
        assert_eq!(lab.value(&left), "0", "after {:?}", began.elapsed());
    }
}

#[test]
fn a_session_that_is_ended_in_a_copy_takes_the_run_back() {
    let (template, ends) = template();
    let lab = template.copy();
    // Slow enough for somebody to come between. A trigger would be refused: it could change rows.
    lab.after("archive.sql", SLOW);
    let mut child = start(&mut lab.apply());
    let end = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{}' AND query LIKE 'COPY %FROM STDIN%' \
         AND application_name LIKE 'switchback _%' AND state = 'active'",
        lab.archive
    );
    wait_for(|| (lab.value(&end) != "0").then_some(()));
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(20), "as before, by itself");
    lab.assert(ends, End::Before, "a session was ended in a COPY");
}

#[test]
fn a_server_without_space_is_said_and_nothing_is_half_done() {
    let (template, ends) = template();
    let lab = template.copy();
    lab.after("archive.sql", FULL);
    let ran = run(&mut lab.apply());
    assert_eq!(ran.code(), Some(20), "{}", ran.text);
    for words in ["could not extend file", "No space left on device", "copy-archive", "as it was before"] {
        assert!(ran.text.contains(words), "{words}: {}", ran.text);
    }
    lab.assert(ends, End::Before, "the server had no space left");
}

const SLOW: &str = "CREATE FUNCTION archive.slow(id bigint) RETURNS boolean LANGUAGE plpgsql AS \
    'BEGIN IF id % 100 = 0 THEN PERFORM pg_sleep(0.05); END IF; RETURN true; END';\n\
    ALTER TABLE archive.sale ADD CHECK (archive.slow(id));\n";

/// What the server says where a tablespace is full (53100, disk_full).
const FULL: &str = "CREATE FUNCTION archive.has_room(id bigint) RETURNS boolean LANGUAGE plpgsql AS \
    'BEGIN IF id < 1500 THEN RETURN true; END IF; \
     RAISE EXCEPTION ''could not extend file \"base/1/2\": No space left on device'' \
     USING ERRCODE = ''53100'', HINT = ''Check free disk space.''; END';\n\
    ALTER TABLE archive.sale ADD CHECK (archive.has_room(id));\n";

fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "it does not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}
