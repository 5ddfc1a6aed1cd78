//! Unstract 0.92: an installation with a schema per tenant, the empty schema that 0.93 makes, and what must be in it after.

pub mod build;
pub mod expect;
pub mod faults;
mod fill;
pub mod schema;
pub mod site;
mod sizes;
pub mod stand_in;
pub mod v2;
mod values;

pub use build::{Lab, LabError, Tenant, build};
pub use expect::{Difference, compare};
pub use faults::Fault;
pub use site::{services, write_site};
pub use sizes::Size;
pub use stand_in::{StandInError, stand_in, stand_in_main};
pub use v2::{create_v2, plant_seeds};
