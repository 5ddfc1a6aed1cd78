//! `demo`: builds an old installation in a scratch folder and upgrades it, with nothing but this binary.

mod agola;
mod duplistatus;
mod unstract;

use crate::complaint::{Complaint, exit};
use crate::context::driver;
use crate::output::Output;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use switchback_model::suggest::closest;
use switchback_site::service::{ProcessSpec, Service, ServiceSpec};

/// The applications that there is a demo of; the first needs nothing.
const APPS: [&str; 3] = [duplistatus::APP, unstract::APP, agola::APP];

/// How the old installation is built.
pub struct Wanted<'a> {
    /// The folder.
    pub folder: PathBuf,
    /// How many machines and backups, where it has such.
    pub size: (u32, u32),
    /// Only the installation and its site file.
    pub build_only: bool,
    /// With `build_only`: the old release is started, and left running.
    pub running: bool,
    /// Faults by their names in the lab.
    pub faults: &'a [String],
}

/// Builds the lab, then plans, rehearses, applies and shows what came of it, each by the verb that an operator types.
pub fn run(
    app: Option<&str>,
    dir: Option<&Path>,
    size: (u32, u32),
    (build_only, running): (bool, bool),
    faults: &[String],
    output: &Output,
) -> Result<u8, Complaint> {
    let demo = match app.unwrap_or(APPS[0]) {
        duplistatus::APP => duplistatus::run,
        unstract::APP => unstract::run,
        agola::APP => agola::run,
        unknown => {
            let help = match closest(unknown, APPS) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there is one of: {}", APPS.join(", ")),
            };
            return Err(Complaint::usage(format!("there is no demo of `{unknown}`")).help(help));
        }
    };
    let folder = match dir {
        Some(dir) => std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()),
        None => scratch()?,
    };
    std::fs::create_dir_all(&folder).map_err(|e| Complaint::io("make", &folder, &e))?;
    demo(Wanted { folder, size, build_only, running, faults }, output)
}

/// The faults of a lab by their names.
fn faults<F>(names: &[String], named: impl Fn(&str) -> Option<F>) -> Result<Vec<F>, Complaint> {
    let fault =
        |name: &String| named(name).ok_or_else(|| Complaint::usage(format!("the lab has no fault `{name}`")));
    names.iter().map(fault).collect()
}

fn cannot_build(error: &dyn std::error::Error) -> Complaint {
    let message = format!("cannot build the lab: {}", switchback_engine::error::chain(error));
    Complaint::new(exit::USAGE, "U010", message)
        .help("name an empty folder with `--dir DIR`, or leave it out for a new one")
}

fn cannot(error: &dyn std::error::Error) -> Complaint {
    Complaint::new(exit::USAGE, "U012", format!("cannot {}", switchback_engine::error::chain(error)))
}

/// Writes a verb that was typed, and what came of it.
fn walk_through(site: &Path, accepted: &[&str], output: &Output) -> Result<u8, Complaint> {
    let mut apply = vec!["apply", "--yes"];
    apply.extend(accepted.iter().flat_map(|name| ["--accept", name]));
    let verbs: [&[&str]; 4] = [&["plan"], &["rehearse"], &apply, &["status"]];
    for verb in verbs {
        output.say(&format!("$ switchback {}\n", verb.join(" ")));
        let mut command = Command::new(driver().program);
        command.args(verb).arg("--site").arg(site);
        if output.json {
            command.arg("--json");
        }
        let status = command.status().map_err(|e| Complaint::io("run", &driver().program, &e))?;
        output.say("");
        if !status.success() {
            let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(exit::BUG);
            return Ok(code);
        }
    }
    Ok(exit::DONE)
}

fn scratch() -> Result<PathBuf, Complaint> {
    let name = format!("switchback-demo-{}", jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%3f"));
    Ok(std::env::temp_dir().join(name))
}

fn free_port() -> Result<u16, Complaint> {
    let listener = TcpListener::bind(("127.0.0.1", 0));
    listener
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|e| Complaint::new(exit::USAGE, "U011", format!("cannot find a free port: {e}")))
}

/// The service as the upgrade will find it: under the same name, in the same state folder.
fn open_service(folder: &Path, name: &str, spec: &ProcessSpec) -> Result<Box<dyn Service>, Complaint> {
    let state = folder.join(".switchback");
    let (services, logs) = (state.join("services"), state.join("logs"));
    for folder in [&state, &services, &logs] {
        switchback_engine::run_dir::make_private(folder).map_err(|e| Complaint::io("make", folder, &e))?;
    }
    Ok(ServiceSpec::Process(spec.clone()).service(name, &services, &logs))
}
