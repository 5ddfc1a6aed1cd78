//! Agola: an installation of 0.7 with its services, and stand-ins for the programs of both generations.

mod codec;
mod config;
mod migrate;
mod mode;
mod new;
mod new_store;
mod old;
mod old_store;
mod plain;
mod release;
mod stand_in;
pub mod switches;
mod tool;
mod wire;

pub use config::Component;
pub use migrate::{Migrated, migrate};
pub use new_store::{ImportError, ImportManner, NewStore};
pub use old_store::{OldStore, Record, sequence_id};
pub use release::Release;
pub use stand_in::{StandInError, stand_in_main};
