//! A fresh site in a folder of its own, the steps that are tried on it, and everything that can be seen of it.

use serde_json::{Value, json};
use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use switchback_engine::run_dir::make_private;
use switchback_engine::step::{AnyStep, Condition, Work};
use switchback_engine::{RunDir, StepError};
use switchback_model::phase::Phase;
use switchback_model::target::TargetDef;
use switchback_site::file::Image;
use switchback_site::tell::Sink;
use switchback_site::{Faults, Site, SiteDirs, Tell};
use tempfile::TempDir;

pub const RUN: &str = "2026-11-20-laws";
const NOW: &str = "2026-11-20T22:30:00Z";

/// What can be seen of a site: a text for each target, file and endpoint.
pub type Seen = BTreeMap<String, String>;

/// One try: a site, the steps before the one that is tried (applied already), and the steps that are tried.
pub struct Bench {
    pub site: Site,
    pub steps: Vec<Box<dyn AnyStep>>,
    pub dir: RunDir,
    folder: TempDir,
    /// Steps before this one are finished, and the journal says so.
    finished: usize,
    commands: bool,
    befores: Vec<Option<Value>>,
    /// Steps from this one on are undone, and the journal says so.
    undone_from: Cell<usize>,
    person: Sink,
    beyond: Option<Box<dyn Fn() -> Value>>,
    origin: Seen,
    /// Lives as long as the bench: a server, a program.
    _company: Option<Box<dyn Any>>,
}

/// How a bench is made: targets are named first, then what lies in the site's folder is laid there.
pub struct Plan {
    pub targets: BTreeMap<String, TargetDef>,
    pub steps: Vec<Box<dyn AnyStep>>,
    /// How many of the steps belong to what was done before.
    pub done: usize,
    /// What is done to the site once it is open, before anything is seen of it.
    pub ready: fn(&Site),
    /// Commands of a step that was cut run on; the next life must find them ended, as the run's lock makes sure.
    pub commands: bool,
    /// What a person does when told what is being waited for.
    pub person: Sink,
    /// What is seen of the world beyond files, databases and services.
    pub beyond: Option<Box<dyn Fn() -> Value>>,
    pub company: Option<Box<dyn Any>>,
}

impl Default for Plan {
    fn default() -> Plan {
        let targets = BTreeMap::new();
        Plan {
            targets,
            steps: Vec::new(),
            done: 0,
            ready: |_| (),
            commands: false,
            person: Arc::new(|_| ()),
            beyond: None,
            company: None,
        }
    }
}

impl Bench {
    /// Makes the folders, lays the site out, opens it and carries out what comes before.
    pub fn new(lay_out: impl FnOnce(&Path) -> Plan) -> Bench {
        let folder = folder();
        let root = folder.path().canonicalize().unwrap();
        let dir = RunDir::at(root.join("run"));
        for made in
            [root.join("site"), root.join("services"), dir.keep(), dir.backups(), dir.logs(), dir.artifacts()]
        {
            make_private(&made).unwrap();
        }
        let plan = lay_out(&root.join("site"));
        let dirs = SiteDirs {
            services: root.join("services"),
            logs: dir.logs(),
            backups: dir.backups(),
            artifacts: dir.artifacts(),
            program: PathBuf::from(env!("CARGO_BIN_EXE_switchback")),
        };
        let mut bench = Bench {
            site: Site::open(&plan.targets, dirs).unwrap(),
            befores: vec![None; plan.steps.len()],
            undone_from: Cell::new(plan.steps.len()),
            steps: plan.steps,
            dir,
            folder,
            finished: 0,
            commands: plan.commands,
            person: plan.person,
            beyond: plan.beyond,
            origin: Seen::new(),
            _company: plan.company,
        };
        (plan.ready)(&bench.site);
        bench.origin = bench.seen();
        let before = bench.tell(calm());
        bench.walk(plan.done, &before).unwrap();
        bench.finished = plan.done;
        bench
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    /// What was seen before the first step: where the way back leads.
    pub fn origin(&self) -> &Seen {
        &self.origin
    }

    /// A path in the site's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join("site").join(name)
    }

    fn tell(&self, faults: Arc<Faults>) -> Tell {
        Tell::new(self.person.clone(), Arc::new(AtomicBool::new(false)), faults)
    }

    fn with_work<T>(&self, step: usize, tell: &Tell, act: impl FnOnce(&Work<'_>) -> T) -> T {
        let id = format!("{}-{}", self.steps[step].kind(), step + 1);
        let (phase, dir) = (Phase::Change, &self.dir);
        act(&Work { tell, run: RUN, step: &id, phase, now: NOW, dir, committed: false, losing_writes: false })
    }

    /// The step that the laws are about: the last one.
    pub fn last(&self) -> &dyn AnyStep {
        self.steps[self.steps.len() - 1].as_ref()
    }

    pub fn before(&self) -> Option<&Value> {
        self.befores[self.steps.len() - 1].as_ref()
    }

    /// Where the last step stands.
    pub fn condition(&self) -> Condition {
        let tell = self.tell(calm());
        self.with_work(self.steps.len() - 1, &tell, |work| self.last().check(&self.site, work)).unwrap()
    }

    /// Makes the before-images that are missing, as the journal would keep them.
    pub fn prepare(&mut self) {
        let tell = self.tell(calm());
        for step in self.finished..self.steps.len() {
            self.prepare_one(step, &tell).unwrap();
        }
    }

    fn prepare_one(&mut self, step: usize, tell: &Tell) -> Result<(), StepError> {
        if self.befores[step].is_none() {
            let before = self.with_work(step, tell, |work| self.steps[step].prepare(&self.site, work))?;
            self.befores[step] = Some(before);
        }
        Ok(())
    }

    /// One life of a run that goes on: what is applied is left alone, what is not is brought to its end.
    pub fn forward(&mut self, faults: Arc<Faults>) -> Result<(), StepError> {
        self.wait_for_commands();
        self.walk(self.steps.len(), &self.tell(faults))
    }

    fn walk(&mut self, to: usize, tell: &Tell) -> Result<(), StepError> {
        while self.finished < to {
            let step = self.finished;
            self.prepare_one(step, tell)?;
            if !self.with_work(step, tell, |work| self.steps[step].check(&self.site, work))?.is_applied() {
                self.apply_one(step, tell)?;
            }
            if step + 1 == self.steps.len() {
                break;
            }
            self.finished = step + 1;
        }
        Ok(())
    }

    fn apply_one(&self, step: usize, tell: &Tell) -> Result<(), StepError> {
        let before = self.befores[step].as_ref().unwrap();
        self.with_work(step, tell, |work| self.steps[step].apply(&self.site, before, work)).map(drop)
    }

    /// Applies the last step whether or not that is needed.
    pub fn apply(&self) -> Result<(), StepError> {
        self.apply_one(self.steps.len() - 1, &self.tell(calm()))
    }

    /// One life of a run that goes back, over the steps before as well: the undo of a backup is a restore. It begins where
    /// the life before it, that also went back, ended.
    pub fn back(&self, faults: Arc<Faults>) -> Result<(), StepError> {
        self.wait_for_commands();
        let tell = self.tell(faults);
        while self.undone_from.get() > 0 {
            let step = self.undone_from.get() - 1;
            self.undo_one(step, &tell)?;
            self.undone_from.set(step);
        }
        Ok(())
    }

    /// Goes back and undoes every step twice, as a life does whose last record was lost; `twice` sees each repeat.
    pub fn back_twice(&self, twice: impl Fn(&Bench, &dyn Fn())) {
        let tell = self.tell(calm());
        for step in (0..self.steps.len()).rev() {
            self.undo_one(step, &tell).unwrap();
            twice(self, &|| self.undo_one(step, &tell).unwrap());
        }
    }

    fn undo_one(&self, step: usize, tell: &Tell) -> Result<(), StepError> {
        let Some(before) = &self.befores[step] else { return Ok(()) };
        self.with_work(step, tell, |work| self.steps[step].undo(&self.site, before, work))
    }

    /// Waits until no command that names the bench's folder runs. A killed run's commands hold its lock, so that no other
    /// life begins before they end.
    pub fn wait_for_commands(&self) {
        let place = self.root().display().to_string();
        let runs = || {
            std::fs::read_dir("/proc").unwrap().flatten().any(|process| {
                let argv = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
                let named = String::from_utf8_lossy(&argv).contains(&place);
                process.file_name() != *std::process::id().to_string()
                    && (named || argv.is_empty() && is_beginning(&process.path()))
            })
        };
        while self.commands && runs() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Everything that makes two states of the site equal, and every file that lies about.
    pub fn seen(&self) -> Seen {
        let mut seen = Seen::new();
        let mut stores = Vec::new();
        for (name, def) in self.site.targets() {
            let value = match def {
                TargetDef::Service { .. } => {
                    json!(self.site.service(name).unwrap().state().unwrap().to_string())
                }
                _ => self.site.fingerprint(name, &Tell::quiet()).unwrap(),
            };
            seen.insert(format!("target {name}"), self.placeless(&value));
            if let TargetDef::Sqlite { path, .. } = def {
                stores.push(PathBuf::from(path));
            }
        }
        for path in files(&self.path("")).into_iter().filter(|path| !stores.contains(path)) {
            // SQLite makes and removes an index and an empty log as it likes; what is in them is in the fingerprint.
            if !["-wal", "-shm"].iter().any(|side| path.to_string_lossy().ends_with(side)) {
                let image = serde_json::to_value(Image::read(&path).unwrap()).unwrap();
                seen.insert(self.placeless(&json!(path)), self.placeless(&image));
            }
        }
        if let Some(beyond) = &self.beyond {
            seen.insert("beyond".into(), beyond().to_string());
        }
        seen
    }

    /// What the run holds: backups, kept copies and artifacts, by name.
    pub fn held(&self) -> Vec<String> {
        let held = [self.dir.keep(), self.dir.backups(), self.dir.artifacts()];
        held.iter().flat_map(|folder| files(folder)).map(|path| self.placeless(&json!(path))).collect()
    }

    /// The identity of every file of the site: a write that changes nothing shows here all the same.
    pub fn stamps(&self) -> Seen {
        let mut stamps = Seen::new();
        for path in [self.path(""), self.root().join("services")].iter().flat_map(|folder| files(folder)) {
            if !["-wal", "-shm"].iter().any(|side| path.to_string_lossy().ends_with(side)) {
                let meta = std::fs::symlink_metadata(&path).unwrap();
                let stamp = (meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec());
                stamps.insert(path.display().to_string(), format!("{stamp:?}"));
            }
        }
        stamps
    }

    /// A value with the site's folder taken out, so that two benches can be compared.
    pub fn placeless(&self, value: &Value) -> String {
        let program = std::env::current_exe().unwrap().display().to_string();
        value
            .to_string()
            .replace(&self.root().display().to_string(), "/lab")
            .replace(&program, "/lab/program")
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for (name, def) in self.site.targets() {
            if matches!(def, TargetDef::Service { .. }) {
                let _ = self.site.service(name).map(|service| service.stop(&Tell::quiet()));
            }
        }
    }
}

/// Whether this is a child of ours in the moment of its exec, when it has no arguments yet.
fn is_beginning(process: &Path) -> bool {
    let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
    let says = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let ours = says("PPid:") == Some(std::process::id().to_string().as_str());
    ours && says("State:").is_some_and(|state| !state.starts_with('Z'))
}

/// A folder in memory where there is one: a step syncs each of its effects, and on a disk that is most of the time.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// No fault anywhere.
pub fn calm() -> Arc<Faults> {
    Arc::new(Faults::none())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if std::fs::symlink_metadata(&path).unwrap().is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}
