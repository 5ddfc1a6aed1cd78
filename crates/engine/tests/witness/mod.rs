//! A plan of steps that do nothing but remember, on a site with one settings file.
#![allow(dead_code)]

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use switchback_engine::session::{Driver, Session, SessionError};
use switchback_engine::state_dir::StateDir;
use switchback_engine::{Condition, Overlay, Preview, Registry, Step, StepError, Work};
use switchback_model::digest::Digest;
use switchback_model::phase::Phase;
use switchback_model::plan::{
    Estimate, Origin, PLAN_FORMAT, Plan, PlannedStep, PlaybookRef, Reversal, Touch,
};
use switchback_model::target::TargetDef;
use switchback_site::Site;

/// A step that writes down what it was allowed on its way back.
#[derive(Debug, Serialize, Deserialize)]
pub struct Witness {
    fails: bool,
}

fn note(work: &Work<'_>, what: &str) -> PathBuf {
    work.dir.keep().join(format!("{}.{what}", work.step))
}

impl Step for Witness {
    const KIND: &'static str = "witness";
    type Before = ();

    fn describe(&self) -> String {
        "watch".into()
    }
    fn subject(&self) -> String {
        "it".into()
    }
    fn touches(&self) -> Vec<Touch> {
        Vec::new()
    }
    fn reversal(&self) -> Reversal {
        Reversal::ByUndo
    }
    fn preview(&self, _: &mut Overlay<'_>) -> Result<Preview, StepError> {
        Ok(Preview::default())
    }
    fn check(&self, _: &Site, work: &Work<'_>) -> Result<Condition, StepError> {
        Ok(if note(work, "done").exists() { Condition::applied() } else { Condition::Pending })
    }
    fn prepare(&self, _: &Site, _: &Work<'_>) -> Result<(), StepError> {
        Ok(())
    }
    fn apply(&self, _: &Site, (): &(), work: &Work<'_>) -> Result<Value, StepError> {
        if self.fails {
            return Err(StepError::failed("do it"));
        }
        std::fs::write(note(work, "done"), work.now).unwrap();
        Ok(json!({}))
    }
    fn undo(&self, _: &Site, (): &(), work: &Work<'_>) -> Result<(), StepError> {
        std::fs::write(note(work, "undone"), work.losing_writes.to_string()).unwrap();
        Ok(())
    }
}

/// A plan of steps by name, phase and whether they fail.
pub fn plan(targets: BTreeMap<String, TargetDef>, steps: &[(&str, Phase, bool)]) -> Plan {
    let steps = steps.iter().map(|(id, phase, fails)| PlannedStep {
        id: (*id).to_owned(),
        phase: *phase,
        kind: "witness".into(),
        body: json!({ "fails": fails }),
        says: "watch".into(),
        why: None,
        place: None,
        reversal: Reversal::ByUndo,
        touches: Vec::new(),
        switches: None,
        only_live: false,
        preview: Vec::new(),
        estimate: Estimate { ms: 0, origin: Origin::Guessed },
    });
    let plan = Plan {
        format: PLAN_FORMAT,
        digest: Digest::of(b""),
        engine: "0".into(),
        made_at: "2026-01-02T03:04:05Z".into(),
        playbook: PlaybookRef { name: "sample".into(), digest: Digest::of(b"") },
        installed: "1".into(),
        evidence: Vec::new(),
        wanted: "2".into(),
        stretches: Vec::new(),
        targets,
        steps: steps.collect(),
        facts: Vec::new(),
        losses: Vec::new(),
        risks: Vec::new(),
        notes: Vec::new(),
        disk: Vec::new(),
        disk_unseen: Vec::new(),
    };
    plan.seal()
}

/// Makes a run of a plan in a state folder of its own.
pub fn session(folder: &Path, plan: Plan) -> Session {
    try_session(&folder.join("state"), plan).unwrap()
}

/// Makes a run of a plan in this state folder.
pub fn try_session(state: &Path, plan: Plan) -> Result<Session, SessionError> {
    let mut registry = Registry::default();
    registry.add_step::<Witness>();
    let driver =
        Driver { user: "u".into(), host: "h".into(), engine: "0".into(), program: PathBuf::from("none") };
    let name = format!("run-of-{}", state.file_name().unwrap().display());
    let state = StateDir::at(state);
    state.make().unwrap();
    let root = state.run(&name).root().to_owned();
    Session::create(&root, &state, plan, &registry, &driver, None)
}

/// A settings file as the one target.
pub fn settings(folder: &Path) -> (PathBuf, BTreeMap<String, TargetDef>) {
    let path = folder.join("app.conf");
    std::fs::write(&path, "a = 1\n").unwrap();
    let def = TargetDef::File { path: path.display().to_string() };
    (path, BTreeMap::from([("settings".to_owned(), def)]))
}

/// What the step was allowed on its way back, if it went back.
pub fn undone(session: &Session, id: &str) -> Option<String> {
    std::fs::read_to_string(session.dir.keep().join(format!("{id}.undone"))).ok()
}
