//! A SQLite database in one file, and a service over it.

use super::{Wanted, cannot, cannot_build, faults, free_port, open_service, walk_through};
use crate::complaint::{Complaint, exit};
use crate::context::driver;
use crate::output::Output;
use std::path::{Path, PathBuf};
use std::time::Duration;
use switchback_labs::duplistatus::{Fault, LabOptions, LabSize, build};
use switchback_site::Tell;
use switchback_site::service::{Launch, ProcessSpec, Which};

pub const APP: &str = "duplistatus";

pub fn run(wanted: Wanted<'_>, output: &Output) -> Result<u8, Complaint> {
    let faults = faults(wanted.faults, Fault::named)?;
    let (folder, (machines, backups)) = (wanted.folder, wanted.size);
    let size = LabSize { machines, backups, ..LabSize::default() };
    let lab = build(&folder.join("data"), size, &LabOptions { faults }).map_err(|e| cannot_build(&e))?;
    let port = free_port()?;
    let spec = launches(&lab.database, port);
    let site = write_site(&folder, &lab.database, &spec, port)?;
    output.say(&format!(
        "an installation of duplistatus 0.6 with {} machines and {} backups: {}",
        lab.machines,
        lab.backups,
        folder.display()
    ));
    if wanted.build_only && !wanted.running {
        return Ok(exit::DONE);
    }
    let (service, tell) = (open_service(&folder, "app", &spec)?, Tell::quiet());
    // As an operator's supervisor would have started it, by the same means that the upgrade will use.
    service.start(Which::Old, &tell).map_err(|e| cannot(&e))?;
    wait_for(port);
    if wanted.build_only {
        return Ok(exit::DONE);
    }
    output.say(&format!("its old release runs at http://127.0.0.1:{port}\n"));
    let code = walk_through(&site, &["unresolved-settings", "unresolved-notices"], output);
    service.stop(&tell).map_err(|e| cannot(&e))?;
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
