//! The components that keep nothing: a process that reads its config and, where it has one, listens on its port.

use std::time::Duration;

use serde_json::json;

use super::config::{Component, Config};
use super::release::Release;
use super::wire::Gate;

/// Serves until the process ends; returns why it cannot.
pub(super) fn serve(config: &Config, component: Component, release: &Release) -> String {
    if component == Component::Notification && release.is_new() {
        // Its database is never validated, and has to be one all the same. 0.8 only locks in it and makes no table.
        if let Err(error) = config.database(component) {
            return error;
        }
    }
    let Some(address) = config.address(component) else {
        loop {
            std::thread::sleep(Duration::from_secs(3600));
        }
    };
    let version = release.text().to_owned();
    let gate = Gate::new(address);
    let error = gate.run(move |exchange| {
        let path: Vec<&str> = exchange.path.iter().map(String::as_str).collect();
        match (component, path.as_slice()) {
            (Component::Gateway, ["api", "v1alpha", "version"]) => {
                exchange.json(200, &json!({"version": version}))
            }
            _ => exchange.empty(404),
        }
    });
    error.to_string()
}
