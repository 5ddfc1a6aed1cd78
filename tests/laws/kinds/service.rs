//! `stop`, `start` and `restart`, of a program, of a service behind commands, and of one that a person handles.

use super::{file, probe, store};
use crate::bench::{Bench, Plan};
use crate::fixture::Fixture;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use switchback_engine::step::AnyStep;
use switchback_model::probe::Ask;
use switchback_model::target::TargetDef;
use switchback_site::service::Which;
use switchback_site::{Progress, Site, Tell};
use switchback_steps::start::Start;
use switchback_steps::stop::Stop;

pub fn stop() -> Fixture {
    Fixture {
        foreign_before: &[("the other release runs", the_new_release_runs)],
        foreign_after: &[("the other release runs", the_new_release_runs)],
        ..Fixture::of::<Stop>("stop", || bench(program, vec![stop_it()], runs))
    }
}

pub fn start() -> Fixture {
    Fixture {
        halves: &[("a torn record", a_torn_record)],
        foreign_before: &[("the old release runs", the_old_release_runs)],
        foreign_after: &[("the old release runs", the_old_release_runs)],
        ..Fixture::of::<Start>("start", || bench(program, vec![start_it()], |_| ()))
    }
}

pub fn restart() -> Fixture {
    Fixture {
        kind: "restart",
        foreign_after: &[("the old release runs", the_old_release_runs)],
        ..Fixture::of::<Start>("restart", || bench(program, vec![stop_it(), start_it()], runs))
    }
}

pub fn restart_by_command() -> Fixture {
    Fixture {
        kind: "restart",
        ..Fixture::of::<Start>("restart-command", || bench(commands, vec![stop_it(), start_it()], runs))
    }
}

pub fn restart_by_a_person() -> Fixture {
    Fixture {
        kind: "restart",
        ..Fixture::of::<Start>("restart-person", || bench(a_person, vec![stop_it(), start_it()], |_| ()))
    }
}

fn stop_it() -> Box<dyn AnyStep> {
    Box::new(Stop { service: "app".into() })
}

fn start_it() -> Box<dyn AnyStep> {
    Box::new(Start { service: "app".into() })
}

fn bench(of: fn(&Path) -> Value, steps: Vec<Box<dyn AnyStep>>, ready: fn(&Site)) -> Bench {
    Bench::new(|folder| {
        store::make(&folder.join(store::DB), false);
        let flag = folder.join("app.pid");
        let says = |release: &str| Some(probe(Ask::File { target: "flag".into() }, release));
        let spec = of(folder);
        // Only a program of ours is known without a probe, and a sleeping one answers nothing.
        let known = spec.get("process").is_some();
        let (old, new) = if known { (None, None) } else { (says("old"), says("new")) };
        if spec == json!("none") {
            std::fs::write(&flag, "old\n").unwrap();
        }
        let mut targets = store::target(folder);
        targets.insert("flag".into(), file(&flag));
        let stores = vec!["db".into()];
        targets.insert(
            "app".into(),
            TargetDef::Service { spec, stores, entrance: true, old, new, rehearse: None },
        );
        let person = move |told: Progress| {
            let release = [("stop", "off"), ("start the old", "old"), ("start the new", "new")];
            if let Some((_, state)) = release.iter().find(|(word, _)| told.doing.starts_with(word)) {
                std::fs::write(&flag, format!("{state}\n")).unwrap();
            }
        };
        Plan { targets, steps, ready, commands: true, person: Arc::new(person), ..Plan::default() }
    })
}

/// A program that sleeps for a time that no other bench uses: a twin would be taken for it.
fn program(folder: &Path) -> Value {
    let digits = folder
        .display()
        .to_string()
        .bytes()
        .fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let release = |number: u8| json!({ "argv": ["sleep", format!("3600.{number}{digits}")] });
    json!({ "process": { "old": release(0), "new": release(1), "grace": 10 } })
}

fn commands(folder: &Path) -> Value {
    let flag = folder.join("app.pid").display().to_string();
    let sh = |script: &str| json!(["/bin/sh", "-c", script, flag]);
    json!({ "command": {
        "start": sh("echo new > \"$0\""), "start_old": sh("echo old > \"$0\""), "stop": sh("rm -f \"$0\""),
        "status": sh("test -e \"$0\""), "grace": 10,
    }})
}

fn a_person(_folder: &Path) -> Value {
    json!("none")
}

fn runs(site: &Site) {
    site.service("app").unwrap().start(Which::Old, &Tell::quiet()).unwrap();
}

fn the_old_release_runs(bench: &Bench) {
    replace(bench, Which::Old);
}

fn the_new_release_runs(bench: &Bench) {
    replace(bench, Which::New);
}

fn replace(bench: &Bench, by: Which) {
    let service = bench.site.service("app").unwrap();
    service.stop(&Tell::quiet()).unwrap();
    service.start(by, &Tell::quiet()).unwrap();
}

/// What a power cut leaves of a record that was being written.
fn a_torn_record(bench: &Bench) {
    std::fs::write(bench.root().join("services/app.service"), "switchback-service 1\nwhich ne").unwrap();
}
