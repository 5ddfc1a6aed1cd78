//! The small old installation, in process: built in a folder of its own, planned by the shipped playbook, moved by
//! sessions that can be cut anywhere. Include it by `#[path = "../support/lab.rs"] mod lab;`.

#![allow(dead_code)]

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use switchback_engine::planner::{PlanRequest, Planned, plan};
use switchback_engine::session::{Driver, Session, SessionError};
use switchback_engine::state_dir::StateDir;
use switchback_engine::timing::Timings;
use switchback_engine::{Bus, LoadedPlaybook, RunError};
use switchback_labs::duplistatus::{LabOptions, LabSize, build};
use switchback_model::compile::Files;
use switchback_model::diagnostic::Source;
use switchback_model::plan::Plan;
use switchback_model::record::{Outcome, Record, Turn};
use switchback_model::run::RunState;
use switchback_model::site_file::SiteFile;
use switchback_site::service::{Launch, ProcessSpec, Service, ServiceSpec, Which};
use switchback_site::{Faults, Site, SiteDirs, Tell};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_switchback");

/// What an operator accepts of this upgrade.
pub const LOSSES: [&str; 2] = ["unresolved-settings", "unresolved-notices"];

/// What an operator's command asks of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Goes on with the last run, or makes one if there is none.
    Up,
    /// Takes the last run back; without one there is nothing to do.
    Back,
}

/// How one life of a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// There was no move left.
    With(Outcome),
    /// At the chosen fault point.
    Cut,
    /// There is no run to take back.
    NoRun,
    /// Before the first record, with nothing changed; why.
    Refused(String),
}

/// An installation with a plan for it.
pub struct Lab {
    /// The database.
    pub database: PathBuf,
    /// The plan that [`Lab::live`] carries out.
    pub plan: Plan,
    /// The state folder.
    pub state: StateDir,
    /// The service, by the means that the upgrade uses.
    pub service: Box<dyn Service>,
    /// Where it answers.
    pub port: u16,
    folder: tempfile::TempDir,
}

impl Lab {
    /// Builds the small lab, starts its old release and plans its upgrade.
    pub fn small() -> Lab {
        Lab::of(LabSize::default(), |_| ())
    }

    /// The same of another size, with another way to start its service.
    pub fn of(size: LabSize, change: impl FnOnce(&mut ProcessSpec)) -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let built = build(&folder.path().join("data"), size, &LabOptions::default()).unwrap();
        let port = free_port();
        let mut spec = stand_ins(&built.database, port);
        change(&mut spec);
        let state = StateDir::at(folder.path().join("state"));
        state.make().unwrap();
        std::fs::create_dir_all(state.logs()).unwrap();
        let service = ServiceSpec::Process(spec.clone()).service("app", &state.services(), &state.logs());
        service.start(Which::Old, &Tell::quiet()).unwrap();
        wait_until_it_listens(port);
        let text = site_file(&built.database, port, &spec);
        let plan = make_plan(&shipped("duplistatus"), &text, folder.path(), &state);
        Lab { database: built.database, plan, state, service, port, folder }
    }

    /// The folder that everything of it lies in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// One life of the run: what `apply`, `resume` and `rollback` do, struck by `faults`.
    pub fn live(&self, verb: Verb, faults: Faults) -> Ended {
        self.live_told(verb, Tell::with_faults(Arc::new(faults)))
    }

    /// One life of the run with a `tell` of the caller.
    pub fn live_told(&self, verb: Verb, tell: Tell) -> Ended {
        live(&self.plan, &self.state, verb, tell)
    }

    /// What the journal of the last run says; `None` if there is no run.
    pub fn journal(&self) -> Option<RunState> {
        let (_, entries) = self.state.latest().unwrap()?;
        Some(
            RunState::fold(self.plan.steps.len(), entries.iter().map(|entry| &entry.record))
                .expect("a journal of ours is legal"),
        )
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Whatever became of the test, its service goes.
        let _ = self.service.stop(&Tell::quiet());
    }
}

/// One life of the last run of `state`, or of a new one of `plan`: what the program does, without its words.
pub fn live(plan: &Plan, state: &StateDir, verb: Verb, tell: Tell) -> Ended {
    live_seen(plan, state, verb, tell, Bus::default())
}

/// The same, with somebody who looks on.
pub fn live_seen(plan: &Plan, state: &StateDir, verb: Verb, tell: Tell, bus: Bus) -> Ended {
    let registry = switchback_steps::registry();
    let mut session = match (state.latest().unwrap(), verb) {
        (Some((dir, _)), _) => patiently(|| {
            Session::open(switchback_engine::RunDir::at(dir.root()), state, &registry, &driver())
        }),
        (None, Verb::Back) => return Ended::NoRun,
        (None, Verb::Up) => {
            let root = state.run(&format!("run-{}", count_runs(state)));
            patiently(|| Session::create(root.root(), state, plan.clone(), &registry, &driver(), None))
        }
    };
    // A run that is over is not taken up again, but for the way back of an upgrade.
    match session.state().unwrap().ended {
        Some(Outcome::Upgraded) if verb == Verb::Back => {}
        Some(outcome) => return Ended::With(outcome),
        None => {}
    }
    match moved(&mut session, verb, tell, bus) {
        Ok(ended) => ended,
        Err(RunError::Cut) => Ended::Cut,
        Err(error) => Ended::Refused(error.to_string()),
    }
}

fn moved(session: &mut Session, verb: Verb, tell: Tell, bus: Bus) -> Result<Ended, RunError> {
    let accepted = LOSSES.map(str::to_owned).to_vec();
    let mut runner = session.begin(accepted, bus, tell, false)?;
    if verb == Verb::Back && runner.state().turn.is_none() {
        runner.note(Record::RollbackStarted { turn: Turn::Asked { losing: Vec::new() } })?;
    }
    match runner.run() {
        Err(RunError::Mark(_)) => Ok(Ended::With(Outcome::RolledBack)),
        other => other.map(Ended::With),
    }
}

/// A child of this process holds a copy of every descriptor, locks included, until its exec: then a lock is asked again.
fn patiently(mut take: impl FnMut() -> Result<Session, SessionError>) -> Session {
    let began = Instant::now();
    loop {
        match take() {
            Err(SessionError::RunHeld { .. } | SessionError::SiteHeld { .. })
                if began.elapsed() < Duration::from_secs(5) =>
            {
                std::thread::sleep(Duration::from_millis(2));
            }
            other => return other.unwrap(),
        }
    }
}

fn count_runs(state: &StateDir) -> usize {
    state.run("any").root().parent().map_or(0, |runs| std::fs::read_dir(runs).unwrap().count())
}

/// Who drives these sessions.
pub fn driver() -> Driver {
    Driver {
        user: "test".into(),
        host: "here".into(),
        engine: env!("CARGO_PKG_VERSION").into(),
        program: PROGRAM.into(),
    }
}

/// Plans for a site file, as the program does.
pub fn make_plan(playbook: &LoadedPlaybook, site_file: &str, folder: &Path, state: &StateDir) -> Plan {
    let source = Source::new("site.yaml".to_owned(), site_file.to_owned());
    let file = SiteFile::parse(&source).expect("the site file is sound");
    let inputs = file
        .resolve(&playbook.playbook, &BTreeMap::new(), &folder.to_string_lossy())
        .expect("the inputs are sound");
    let (registry, own_steps) = (switchback_steps::registry(), switchback_steps::own_steps());
    let now = jiff::Timestamp::now().to_string();
    let request = PlanRequest {
        playbook,
        inputs: &inputs,
        wanted: None,
        registry: &registry,
        own_steps: &own_steps,
        state_dir: state.root(),
        timings: &Timings::default(),
        engine: env!("CARGO_PKG_VERSION"),
        now: &now,
    };
    let site = switchback_engine::planner::open_site(&request, &|targets| {
        let dirs = SiteDirs {
            services: state.services(),
            logs: state.logs(),
            backups: state.root().join("none"),
            artifacts: state.root().join("none"),
            program: PROGRAM.into(),
        };
        Site::open(targets, dirs)
    })
    .expect("the site opens");
    match plan(&request, &site, &Tell::quiet()).expect("the site can be upgraded") {
        Planned::Plan(plan) => *plan,
        Planned::Nothing(_) => panic!("the site is upgraded already"),
    }
}

/// Loads a shipped playbook from the source tree.
pub fn shipped(name: &str) -> LoadedPlaybook {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../playbooks").join(name);
    let (mut files, mut text) = (Files::new(), String::new());
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let (content, file) = (std::fs::read_to_string(&path).unwrap(), path.file_name().unwrap());
        match file.to_str().unwrap() {
            "playbook.yaml" => text = content,
            other => drop(files.insert(other.to_owned(), content)),
        }
    }
    load(name, text, files)
}

/// Loads a playbook that a test wrote.
pub fn load(name: &str, text: String, files: Files) -> LoadedPlaybook {
    LoadedPlaybook::load(Source::new(name.to_owned(), text), files, &switchback_steps::registry())
        .unwrap_or_else(|wrong| panic!("the playbook is sound: {wrong:?}"))
}

/// The stand-in for the service, in its old release and in its new one.
pub fn stand_ins(database: &Path, port: u16) -> ProcessSpec {
    let launch = |version: &str| {
        let (database, port) = (database.display().to_string(), port.to_string());
        let words =
            ["lab-service", "duplistatus", "--version", version, "--database", &database, "--port", &port];
        let argv = [PROGRAM].iter().chain(&words).map(|word| (*word).to_owned()).collect();
        Launch { argv, cwd: None, env: BTreeMap::new() }
    };
    ProcessSpec { old: launch("0.6"), new: Some(launch("0.7")), pid_file: None, grace: 10 }
}

/// The site file of such an installation.
pub fn site_file(database: &Path, port: u16, spec: &ProcessSpec) -> String {
    let argv = |launch: &Launch| serde_json::to_string(&launch.argv).unwrap();
    let new = spec.new.as_ref().map(argv).unwrap();
    format!(
        "playbook: duplistatus\ninputs:\n  database: {}\n  url: http://127.0.0.1:{port}\n  release: v0.7.27\n  \
         service:\n    process:\n      old: {{argv: {}}}\n      new: {{argv: {new}}}\n      grace: 10\n",
        serde_json::to_string(&database.display().to_string()).unwrap(),
        argv(&spec.old),
    )
}

/// A port that nobody listens on, and that nobody is given meanwhile: a service that is stopped for a moment must find it
/// free again. So it is none of those that the system hands out by itself, and no other one of this process.
pub fn free_port() -> u16 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    const FIRST: u64 = 11_000;
    const COUNT: u64 = 20_000;
    let offset = u64::from(std::process::id()).wrapping_mul(7919);
    loop {
        let number = offset + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(FIRST + number % COUNT).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Waits until somebody listens on the port.
pub fn wait_until_it_listens(port: u16) {
    let began = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "nobody listens on port {port}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
