//! Agola: an installation of 0.7 with its services, and stand-ins for the programs of both generations.

pub mod broken;
pub mod build;
mod codec;
mod config;
mod database;
pub mod faults;
pub mod large;
mod migrate;
mod mode;
mod new;
mod new_store;
mod old;
mod old_store;
mod plain;
pub mod records;
mod release;
pub mod site;
mod stand_in;
pub mod switches;
mod tool;
mod wire;

pub use broken::broken_inputs;
pub use build::{Lab, LabOptions, SERVED, build};
pub use config::Component;
pub use faults::Fault;
pub use large::{Written, write_large_export};
pub use migrate::{Migrated, migrate};
pub use new_store::{ImportError, ImportManner, NewStore};
pub use old_store::{OldStore, Record, sequence_id};
pub use records::{Content, Log, Size, Token};
pub use release::Release;
pub use site::{site_text, write_site};
pub use stand_in::{StandInError, stand_in_main};
