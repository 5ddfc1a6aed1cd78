//! The site file of an installation.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use switchback_site::service::Launch;

use super::build::{Lab, SERVED};

/// Writes `site.yaml` into the folder of an installation. `more` is put among the inputs, in YAML, indented by two.
pub fn write_site(lab: &Lab, more: &str) -> io::Result<PathBuf> {
    let site = lab.dir.join("site.yaml");
    std::fs::write(&site, site_text(lab, more))?;
    Ok(site)
}

/// Returns the text of the site file: programs, configs, databases, and how each service is started.
pub fn site_text(lab: &Lab, more: &str) -> String {
    let text = |path: &Path| Value::from(path.display().to_string()).to_string();
    let argv = |launch: &Launch| Value::from(launch.argv.clone()).to_string();
    let mut lines = format!(
        "playbook: agola\ninputs:\n  old_agola: {}\n  new_agola: {}\n",
        text(&lab.old),
        text(&lab.new)
    );
    let mut known: Vec<&PathBuf> = lab.configs.values().collect();
    known.dedup();
    if let [one] = known[..] {
        lines += &format!("  config: {}\n", text(one));
    } else {
        for (component, path) in &lab.configs {
            lines += &format!("  {}_config: {}\n", component.name(), text(path));
        }
    }
    for (component, database) in &lab.databases {
        let of = if lab.database_type(*component) == "postgres" { "postgres" } else { "database" };
        lines += &format!("  {}_{of}: {}\n", component.name(), Value::from(database.clone()));
    }
    lines += more;
    for component in SERVED {
        let spec = lab.service(component);
        let new = spec.new.as_ref().map(argv).unwrap_or_default();
        lines += &format!(
            "  {}:\n    process:\n      old: {{argv: {}}}\n      new: {{argv: {new}}}\n      grace: {}\n",
            component.name(),
            argv(&spec.old),
            spec.grace
        );
    }
    lines
}
