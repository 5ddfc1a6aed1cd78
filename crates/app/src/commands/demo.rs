//! `demo`: builds an old installation in a scratch folder and upgrades it, with nothing but this binary.

use crate::complaint::{Complaint, exit};
use crate::context::driver;
use crate::output::Output;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use switchback_labs::duplistatus::{Fault, LabOptions, LabSize, build};
use switchback_site::Tell;
use switchback_site::service::{Launch, ProcessSpec, Service, ServiceSpec, Which};

/// The application that there is a demo of.
const APP: &str = "duplistatus";

/// Builds the lab, then plans, rehearses, applies and shows what came of it, each by the verb that an operator types.
pub fn run(
    app: Option<&str>,
    dir: Option<&Path>,
    (machines, backups): (u32, u32),
    (build_only, running): (bool, bool),
    faults: &[String],
    output: &Output,
) -> Result<u8, Complaint> {
    if let Some(app) = app.filter(|app| *app != APP) {
        return Err(
            Complaint::usage(format!("there is no demo of `{app}`")).help(format!("there is one of: {APP}"))
        );
    }
    let folder = match dir {
        Some(dir) => std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()),
        None => scratch()?,
    };
    let faults = faults
        .iter()
        .map(|name| {
            Fault::named(name).ok_or_else(|| Complaint::usage(format!("the lab has no fault `{name}`")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    std::fs::create_dir_all(&folder).map_err(|e| Complaint::io("make", &folder, &e))?;
    let data = folder.join("data");
    let size = LabSize { machines, backups, ..LabSize::default() };
    let lab = build(&data, size, &LabOptions { faults }).map_err(|e| {
        Complaint::new(
            exit::USAGE,
            "U010",
            format!("cannot build the lab: {}", switchback_engine::error::chain(&e)),
        )
        .help("name an empty folder with `--dir DIR`, or leave it out for a new one")
    })?;
    let port = free_port()?;
    let spec = launches(&lab.database, port);
    let site = write_site(&folder, &lab.database, &spec, port)?;
    output.say(&format!(
        "an installation of duplistatus 0.6 with {} machines and {} backups: {}",
        lab.machines,
        lab.backups,
        folder.display()
    ));
    if build_only && !running {
        return Ok(exit::DONE);
    }
    let (service, tell) = (open_service(&folder, &spec)?, Tell::quiet());
    let failed = |error| {
        Complaint::new(exit::USAGE, "U012", format!("cannot {}", switchback_engine::error::chain(&error)))
    };
    // As an operator's supervisor would have started it, by the same means that the upgrade will use.
    service.start(Which::Old, &tell).map_err(failed)?;
    wait_for(port);
    if build_only {
        return Ok(exit::DONE);
    }
    output.say(&format!("its old release runs at http://127.0.0.1:{port}\n"));
    let code = walk_through(&site, output);
    service.stop(&tell).map_err(failed)?;
    output.say(&format!(
        "\nlook around: switchback report --site {0}\ngo back:     switchback rollback --yes --site {0}\nthe demo's service is stopped",
        site.display(),
    ));
    code
}

/// Waits until somebody listens, for a few seconds; who does not come up is found by what follows.
fn wait_for(port: u16) {
    for _ in 0..100 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What an operator would type, one after the other.
fn walk_through(site: &Path, output: &Output) -> Result<u8, Complaint> {
    let verbs: [&[&str]; 4] = [
        &["plan"],
        &["rehearse"],
        &["apply", "--yes", "--accept", "unresolved-settings", "--accept", "unresolved-notices"],
        &["status"],
    ];
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

/// The stand-in, old and new: this binary under a hidden name.
fn launches(database: &Path, port: u16) -> ProcessSpec {
    let launch = |version: &str| Launch {
        argv: vec![
            driver().program.display().to_string(),
            "lab-service".to_owned(),
            "duplistatus".to_owned(),
            "--version".to_owned(),
            version.to_owned(),
            "--database".to_owned(),
            database.display().to_string(),
            "--port".to_owned(),
            port.to_string(),
        ],
        cwd: None,
        env: std::collections::BTreeMap::new(),
    };
    ProcessSpec { old: launch("0.6"), new: Some(launch("0.7")), pid_file: None, grace: 10 }
}

fn write_site(folder: &Path, database: &Path, spec: &ProcessSpec, port: u16) -> Result<PathBuf, Complaint> {
    let launch = |launch: &Launch| serde_json::to_string(&launch.argv).unwrap_or_default();
    let new = spec.new.as_ref().map(launch).unwrap_or_default();
    let text = format!(
        "playbook: duplistatus\ninputs:\n  database: {}\n  url: http://127.0.0.1:{port}\n  release: v0.7.27\n  service:\n    process:\n      old: {{argv: {}}}\n      new: {{argv: {new}}}\n      grace: 10\n",
        serde_json::Value::from(database.display().to_string()),
        launch(&spec.old),
    );
    let path = folder.join("site.yaml");
    std::fs::write(&path, text).map_err(|e| Complaint::io("write", &path, &e))?;
    Ok(path)
}

fn open_service(folder: &Path, spec: &ProcessSpec) -> Result<Box<dyn Service>, Complaint> {
    let state = folder.join(".switchback");
    let (services, logs) = (state.join("services"), state.join("logs"));
    for folder in [&state, &services, &logs] {
        switchback_engine::run_dir::make_private(folder).map_err(|e| Complaint::io("make", folder, &e))?;
    }
    Ok(ServiceSpec::Process(spec.clone()).service("app", &services, &logs))
}
