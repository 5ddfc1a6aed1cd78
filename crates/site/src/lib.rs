#![cfg_attr(test, allow(clippy::unwrap_used))]
//! The world: files, databases, services, commands and endpoints of one installation.
//!
//! This is the only crate that touches what an application owns. Everything with an effect takes a [`Tell`] and
//! passes a fault point before and after each effect.

pub mod artifacts;
pub mod columns;
pub mod command;
pub mod disk;
pub mod file;
pub mod http;
pub mod jq_child;
pub mod ledger_row;
pub mod lock;
pub mod marker;
pub mod port;
pub mod postgres;
pub mod probe;
mod records;
pub mod secret;
pub mod service;
pub mod site;
pub mod sqlite;
pub mod tell;

pub use probe::{Answer, Judgement};
pub use site::{Site, SiteDirs, SiteError};
pub use tell::{Failure, Faults, Halt, Progress, Tell, Unit};
