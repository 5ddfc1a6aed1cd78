//! What most commands begin with: the site file, its playbook, its inputs, the state folder.

use crate::cli::Global;
use crate::complaint::{Complaint, exit, io_words};
use crate::output::Output;
use crate::{shipped, signals};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use switchback_engine::planner::{OpenSite, OwnSteps, PlanRequest, Planned};
use switchback_engine::session::Driver;
use switchback_engine::state_dir::StateDir;
use switchback_engine::timing::Timings;
use switchback_engine::{LoadedPlaybook, Registry, planner};
use switchback_model::compile::InputValue;
use switchback_model::diagnostic::{Diagnostic, Diagnostics, Source, line_column};
use switchback_model::plan::Place;
use switchback_model::playbook::InputType;
use switchback_model::site_file::SiteFile;
use switchback_model::version::Version;
use switchback_site::service::ServiceSpec;
use switchback_site::{Faults, Site, SiteDirs, Tell};

/// Version of the engine, as plans and journals carry it.
pub const ENGINE: &str = env!("CARGO_PKG_VERSION");

/// A site with its playbook, ready for a verb.
pub struct Context {
    /// The playbook.
    pub playbook: LoadedPlaybook,
    /// Its inputs.
    pub inputs: BTreeMap<String, InputValue>,
    /// The state folder.
    pub state: StateDir,
    /// Every step kind.
    pub registry: Registry,
    own_steps: OwnSteps,
    timings: Timings,
}

/// The state folder of a site.
pub fn state_dir(global: &Global) -> StateDir {
    let beside = || folder_of(&global.site).join(".switchback");
    StateDir::at(absolute(&global.state.clone().unwrap_or_else(beside)))
}

/// Who drives.
pub fn driver() -> Driver {
    let user =
        std::env::var("USER").unwrap_or_else(|_| format!("uid {}", rustix::process::getuid().as_raw()));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("switchback"));
    Driver { user, host, engine: ENGINE.to_owned(), program }
}

/// Progress to `sink`, a stop on signals; debug builds read where to be cut, so that tests can kill at an exact place.
pub fn tell(sink: switchback_site::tell::Sink) -> Tell {
    let faults = match std::env::var("SWITCHBACK_FAULT") {
        Ok(text) if cfg!(debug_assertions) => Faults::parse(&text),
        _ => Faults::none(),
    };
    Tell::new(sink, signals::stop_flag(), Arc::new(faults))
}

impl Context {
    /// Reads the site file and everything that it names.
    pub fn load(global: &Global) -> Result<Context, Complaint> {
        let text = std::fs::read_to_string(&global.site).map_err(|error| {
            Complaint::new(
                exit::USAGE,
                "U003",
                format!("cannot read the site file {}: {}", global.site.display(), io_words(&error)),
            )
            .help("write one with `switchback init APP > site.yaml`, or name it with `--site FILE`")
        })?;
        let source = Source::new(global.site.display().to_string(), text);
        let wrong = |diagnostics| Complaint::diagnostics(exit::USAGE, &diagnostics, &source);
        let file = SiteFile::parse(&source).map_err(wrong)?;
        let registry = switchback_steps::registry();
        let folder = absolute(&folder_of(&global.site));
        let (line, _) = line_column(&source.text, file.playbook.span.start);
        let place = Place { file: source.name.clone(), line };
        let playbook = shipped::load(&file.playbook.value, &folder, &registry)
            .map_err(|complaint| complaint.asked_at(&place))?;
        let set = global.set.iter().cloned().collect();
        let inputs = file.resolve(&playbook.playbook, &set, &folder.to_string_lossy()).map_err(wrong)?;
        misread_services(&file, &inputs).map_or(Ok(()), Err).map_err(wrong)?;
        let state = state_dir(global);
        let timings = state.timings();
        Ok(Context { playbook, inputs, state, registry, own_steps: switchback_steps::own_steps(), timings })
    }

    fn request<'a>(&'a self, wanted: Option<Version>, now: &'a str) -> PlanRequest<'a> {
        PlanRequest {
            playbook: &self.playbook,
            inputs: &self.inputs,
            wanted,
            registry: &self.registry,
            own_steps: &self.own_steps,
            state_dir: self.state.root(),
            timings: &self.timings,
            engine: ENGINE,
            now,
        }
    }

    /// Opens the site for looking.
    pub fn site(&self) -> Result<Site, Complaint> {
        let open: OpenSite<'_> = &|targets| {
            let dirs = SiteDirs {
                services: self.state.services(),
                logs: self.state.logs(),
                backups: self.state.root().join("none"),
                artifacts: self.state.root().join("none"),
                program: driver().program,
            };
            Site::open(targets, dirs)
        };
        planner::open_site(&self.request(None, ""), open)
            .map_err(|e| Complaint::plan(e, &self.playbook.source))
    }

    /// Finds the installed release.
    pub fn detect(&self, site: &Site) -> Result<switchback_engine::detect::Installed, Complaint> {
        // A command that is asked for the release leaves what it prints there.
        self.make_state()?;
        planner::detect_installed(&self.request(None, ""), site, &Tell::quiet())
            .map_err(|e| Complaint::plan(e, &self.playbook.source))
    }

    /// Makes a plan. It looks at the site and changes nothing.
    pub fn plan(&self, wanted: Option<&str>, site: &Site) -> Result<Planned, Complaint> {
        let wanted = match wanted {
            Some(text) => Some(text.parse::<Version>().map_err(|e| {
                Complaint::usage(format!("cannot {e}"))
                    .help("give `--to` a release such as 0.7; without it the newest that the playbook leads to is taken")
            })?),
            None => None,
        };
        self.make_state()?;
        let now = jiff::Timestamp::now().to_string();
        planner::plan(&self.request(wanted, &now), site, &Tell::quiet())
            .map_err(|e| Complaint::plan(e, &self.playbook.source))
    }

    /// Makes the state folder.
    pub fn make_state(&self) -> Result<(), Complaint> {
        self.state.make().map_err(|error| {
            Complaint::io("make the state folder", self.state.root(), &error)
                .help("name a folder that you can write to, with `--state DIR`")
                .state("nothing was changed")
        })
    }

    /// Says what a plan's own readers need to know about the site file.
    pub fn say_verbose(&self, output: &Output, verbose: bool) {
        if verbose {
            output.say(&format!("playbook {} ({})", self.playbook.source.name, self.playbook.digest));
            output.say(&format!("state folder {}", self.state.root().display()));
        }
    }
}

/// How a service is stopped and started has a shape of its own, which the model does not know.
fn misread_services(file: &SiteFile, inputs: &BTreeMap<String, InputValue>) -> Option<Diagnostics> {
    let mut out = Diagnostics::default();
    for (name, input) in inputs.iter().filter(|(_, input)| input.kind == InputType::Service) {
        let Some(value) = &input.value else { continue };
        let Err(error) = serde_json::from_value::<ServiceSpec>(value.clone()) else { continue };
        let diagnostic =
            Diagnostic::error("S004", format!("cannot understand how `{name}` is started: {error}"))
                .help(SERVICE_HELP);
        out.push(match file.inputs.get(name) {
            Some(node) => diagnostic.at(node.span, ""),
            None => diagnostic,
        });
    }
    out.has_errors().then_some(out)
}

const SERVICE_HELP: &str = "write `none`, or `command:` with lists for `stop`, `start`, `start_old` and `status`, \
     or `process:` with `old` and `new`; `switchback init` shows each";

fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
