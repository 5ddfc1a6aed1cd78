//! Each shipped playbook end to end on its lab, through the real binary. Every row of docs/duplistatus.md names a test
//! of this suite that fails when its guard is taken away.
#![allow(clippy::unwrap_used)]

mod agola;
#[path = "../support/chance.rs"]
mod chance;
mod copies;
mod disk;
mod documented;
mod drift;
mod ends;
mod hands;
mod held;
mod into_sqlite;
mod journals;
mod locks;
mod made;
mod odd;
#[path = "../support/own_service.rs"]
mod own_service;
mod postgres;
mod refused;
mod rights;
mod secrets;
#[path = "../support/server.rs"]
mod server;
mod services;
mod support;
mod unstract;
mod versions;
