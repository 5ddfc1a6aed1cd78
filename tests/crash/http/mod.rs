//! The same of an upgrade over HTTP: export, transform, import, a service in maintenance, a config with a secret.

mod depot;
mod faults;
mod site;
mod window;
