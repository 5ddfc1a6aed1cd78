//! Services of six kinds, in stand-ins of both generations: what they export is transformed and imported.

use super::{Wanted, cannot, cannot_build, faults, open_service, walk_through};
use crate::complaint::{Complaint, exit};
use crate::context::driver;
use crate::output::Output;
use switchback_labs::agola::{Component, Fault, LabOptions, SERVED, build, site_text};
use switchback_site::Tell;
use switchback_site::service::Which;

pub const APP: &str = "agola";

/// The inputs of the playbook that are this demo's own choice.
const COOKIE_KEY: &str = "made-up-cookie-key-of-the-demo\n";

pub fn run(wanted: Wanted<'_>, output: &Output) -> Result<u8, Complaint> {
    let options = LabOptions {
        new: "v0.10.0".to_owned(),
        faults: faults(wanted.faults, Fault::named)?,
        ..LabOptions::default()
    };
    let (folder, program) = (wanted.folder, driver().program);
    let lab = build(&folder, &program, &options).map_err(|e| cannot_build(&e))?;
    let key = folder.join("lab/cookie-key");
    let site = folder.join("site.yaml");
    let more = format!(
        "  runservice_url: {}\n  configstore_url: {}\n  cookie_key: {{file: {}}}\n",
        lab.url(Component::Runservice),
        lab.url(Component::Configstore),
        serde_json::Value::from(key.display().to_string()),
    );
    for (path, text) in [(&key, COOKIE_KEY.to_owned()), (&site, site_text(&lab, &more))] {
        std::fs::write(path, text).map_err(|e| Complaint::io("write", path, &e))?;
    }
    output.say(&format!(
        "an installation of agola 0.7.1 with {} records of its runservice and {} of its configstore: {}",
        lab.content.runservice.len(),
        lab.content.configstore.len(),
        folder.display()
    ));
    if wanted.build_only && !wanted.running {
        return Ok(exit::DONE);
    }
    let tell = Tell::quiet();
    let mut services = Vec::new();
    for component in SERVED {
        let service = open_service(&folder, component.name(), &lab.service(component))?;
        // As an operator's supervisor would have started it, by the same means that the upgrade will use.
        service.start(Which::Old, &tell).map_err(|e| cannot(&e))?;
        services.push(service);
    }
    output.say(&format!("its {} services run in their old release\n", services.len()));
    if wanted.build_only {
        return Ok(exit::DONE);
    }
    let code = walk_through(&site, &["creation-dates", "orphans"], output);
    for service in &services {
        service.stop(&tell).map_err(|e| cannot(&e))?;
    }
    output.say(&format!(
        "\nthe demo's services are stopped\nlook around: switchback report --site {0}\ngo back:     switchback rollback --yes --site {0}",
        site.display(),
    ));
    code
}
