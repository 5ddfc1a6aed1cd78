//! Services that run privately in a rehearsal, over copies and at ports of their own, beside the real ones, which are left
//! alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use switchback_model::private::{Elsewhere, PrivateError, PrivateFile};

use super::cage::Cage;
use super::error::ServiceError;
use super::process::Process;
use super::spec::{Launch, Outcome, ProcessSpec, Service, State, Which};
use crate::command::POLL;
use crate::port;
use crate::tell::Tell;

/// How long the port of its own may still be held by the life before.
const PORT_PATIENCE: Duration = Duration::from_secs(5);
/// How long it may take to end before it is killed: it is a copy.
const GRACE_S: u64 = 5;

/// A config that a private service reads.
#[derive(Debug, Clone, PartialEq)]
pub struct PrivateRead {
    /// What is different in it.
    pub def: PrivateFile,
    /// The copy in the rehearsal, as the steps of the plan edit it.
    pub from: PathBuf,
    /// The one that the service reads.
    pub to: PathBuf,
}

/// How a service is run privately.
#[derive(Debug, Clone, PartialEq)]
pub struct PrivateSpec {
    /// How the new release is started, its command line and environment moved already.
    pub launch: Launch,
    /// The configs that it reads.
    pub reads: Vec<PrivateRead>,
    /// What it stores in, by target, and where the copy of that is: it has to be told.
    pub stores: Vec<(String, String)>,
    /// Where it is.
    pub elsewhere: Elsewhere,
    /// What holds it.
    pub cage: Cage,
}

impl PrivateSpec {
    /// Returns where it answers.
    pub fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.elsewhere.port)
    }

    /// Refuses a service that might find the real config or the real database by itself: each config has to be named by the
    /// command line or the environment, and each store by those or by one of the `configs` that were made.
    pub fn is_told(&self, configs: &[String]) -> Result<(), PrivateError> {
        let words: Vec<&String> = self.launch.argv.iter().skip(1).chain(self.launch.env.values()).collect();
        let read = |read: &PrivateRead| {
            let to = read.to.display().to_string();
            (!words.iter().any(|word| word.contains(&to))).then(|| read.def.target.clone())
        };
        let stored = |(target, copy): &(String, String)| {
            let mut texts = words.iter().copied().chain(configs);
            (!texts.any(|text| text.contains(copy))).then(|| target.clone())
        };
        let unnamed = self.reads.iter().find_map(read).or_else(|| self.stores.iter().find_map(stored));
        match unnamed {
            Some(target) => Err(PrivateError::Unnamed { target }),
            None => Ok(()),
        }
    }
}

/// Which services of a rehearsal run privately, and why the others do not.
#[derive(Debug, Clone, Default)]
pub struct Privates {
    /// How each is run.
    pub specs: BTreeMap<String, PrivateSpec>,
    /// Why each of the others is left out.
    pub left_out: BTreeMap<String, String>,
    /// Those that have been started at the point of the plan that is looked at.
    pub running: BTreeSet<String>,
}

impl Privates {
    /// Returns the service called `name`.
    pub(crate) fn service(&self, name: &str, folder: &Path, logs: &Path) -> Box<dyn Service> {
        match self.specs.get(name) {
            Some(spec) => Box::new(PrivateService::new(name, spec.clone(), folder, logs)),
            None => Box::new(Apart { name: name.to_owned() }),
        }
    }

    /// Leaves a service out after all.
    pub fn leave_out(&mut self, name: &str, why: String) {
        self.specs.remove(name);
        self.left_out.insert(name.to_owned(), why);
    }
}

/// A service that runs privately.
struct PrivateService {
    name: String,
    spec: PrivateSpec,
    process: Process,
}

impl PrivateService {
    fn new(name: &str, spec: PrivateSpec, folder: &Path, logs: &Path) -> PrivateService {
        // The old release is never started in a rehearsal: nothing says how.
        let old = Launch { argv: Vec::new(), cwd: None, env: BTreeMap::new() };
        let new = Some(spec.launch.clone());
        let process = ProcessSpec { old, new, pid_file: None, grace: GRACE_S };
        let process = Process::new(name, process, folder, logs).caged(spec.cage.clone());
        PrivateService { name: name.to_owned(), spec, process }
    }

    /// Makes its folders and its configs, and reads those back: what it starts with is what was looked through.
    fn furnish(&self) -> Result<(), ServiceError> {
        for folder in [&self.spec.cage.home, &self.spec.cage.temporary()] {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(|source| ServiceError::Io { action: "make", path: folder.clone(), source })?;
        }
        let mut configs = Vec::new();
        for read in &self.spec.reads {
            let text = read_text(&read.from)?;
            let made = self.spec.elsewhere.config(&read.def, &text).map_err(|source| self.refused(source))?;
            write_private(&read.to, &made).map_err(|source| ServiceError::Io {
                action: "write",
                path: read.to.clone(),
                source,
            })?;
            let there = read_text(&read.to)?;
            let sound = self.spec.elsewhere.look_through(&read.def, &there);
            sound.map_err(|source| self.refused(source))?;
            if there != made {
                let source = io::Error::other("it does not say what was written");
                return Err(ServiceError::Io { action: "read back", path: read.to.clone(), source });
            }
            configs.push(there);
        }
        self.spec.is_told(&configs).map_err(|source| self.refused(source))
    }

    fn refused(&self, source: PrivateError) -> ServiceError {
        ServiceError::Private { name: self.name.clone(), source }
    }

    /// Waits until its port is free: whoever else listens there would be taken for it.
    fn wait_for_port(&self) -> Result<(), ServiceError> {
        let (port, clock) = (self.spec.elsewhere.port, Instant::now());
        while !port::is_free(port) {
            if clock.elapsed() > PORT_PATIENCE {
                return Err(ServiceError::Port { name: self.name.clone(), port });
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Service for PrivateService {
    fn state(&self) -> Result<State, ServiceError> {
        self.process.state()
    }

    fn start(&self, which: Which, tell: &Tell) -> Result<Outcome, ServiceError> {
        if which == Which::New && self.state()? == State::Stopped {
            self.furnish()?;
            self.wait_for_port()?;
        }
        self.process.start(which, tell)
    }

    fn stop(&self, tell: &Tell) -> Result<Outcome, ServiceError> {
        self.process.stop(tell)
    }
}

/// A real service, in a rehearsal: it runs on, and nobody touches it.
struct Apart {
    name: String,
}

impl Service for Apart {
    fn state(&self) -> Result<State, ServiceError> {
        Ok(State::Unknown(format!("`{}` is no part of the rehearsal", self.name)))
    }

    fn start(&self, _which: Which, _tell: &Tell) -> Result<Outcome, ServiceError> {
        Err(ServiceError::Apart { action: "start", name: self.name.clone() })
    }

    fn stop(&self, _tell: &Tell) -> Result<Outcome, ServiceError> {
        Err(ServiceError::Apart { action: "stop", name: self.name.clone() })
    }
}

/// Ends every service whose record lies in `folder`: those of a rehearsal, by whatever process it was begun. Returns how many
/// were found running. After `Ok` none of their processes is left.
pub fn end_all(folder: &Path, tell: &Tell) -> Result<usize, ServiceError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        other => {
            other.map_err(|source| ServiceError::Io { action: "read", path: folder.to_owned(), source })?
        }
    };
    let mut ended = 0;
    for entry in entries {
        let entry =
            entry.map_err(|source| ServiceError::Io { action: "read", path: folder.to_owned(), source })?;
        let path = entry.path();
        if path.extension().is_some_and(|end| end == "service") {
            ended += usize::from(Process::of_record(&path, GRACE_S).stop(tell)? == Outcome::Done);
        }
    }
    Ok(ended)
}

fn read_text(path: &Path) -> Result<String, ServiceError> {
    fs::read_to_string(path).map_err(|source| ServiceError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })
}

/// Writes a file that only we may read: there may be secrets in it.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    io::Write::write_all(&mut file, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchback_model::config::{ConfigFormat, Edits};

    #[test]
    fn a_service_that_is_not_told_where_its_copies_are_is_refused() {
        let edits =
            Edits { format: ConfigFormat::Yaml, rename: Vec::new(), set: Vec::new(), delete: Vec::new() };
        let def = PrivateFile { target: "config".to_owned(), edits, keep: Vec::new() };
        let read =
            PrivateRead { def, from: "/r/copies/config".into(), to: "/r/private/app/config.yml".into() };
        let spec = |argv: &[&str], env: &[(&str, &str)]| PrivateSpec {
            launch: Launch {
                argv: argv.iter().map(|word| (*word).to_owned()).collect(),
                cwd: None,
                env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            },
            reads: vec![read.clone()],
            stores: vec![("db".to_owned(), "postgres://u@h/switchback_1".to_owned())],
            elsewhere: Elsewhere {
                root: "/r".to_owned(),
                folder: "/r/private/app".to_owned(),
                port: 28_001,
                real_port: None,
                ports: vec![28_001],
                moves: Vec::new(),
            },
            cage: Cage { home: "/r/private/app".into(), folders: Vec::new(), ports: vec![28_001] },
        };
        let unnamed = |target: &str| Err(PrivateError::Unnamed { target: target.to_owned() });
        let config = ["db: postgres://u@h/switchback_1\n".to_owned()];
        // Without its flag it would read the config of the real one, wherever that lies by default.
        assert_eq!(spec(&["/opt/app"], &[]).is_told(&config), unnamed("config"));
        assert_eq!(spec(&["/opt/app"], &[("CONFIG", "/r/private/app/config.yml")]).is_told(&config), Ok(()));
        let told = spec(&["/opt/app", "--config=/r/private/app/config.yml"], &[]);
        assert_eq!(told.is_told(&config), Ok(()));
        // One that names no database finds the one that is there by default.
        assert_eq!(told.is_told(&["db: {name: app}\n".to_owned()]), unnamed("db"));
    }
}
