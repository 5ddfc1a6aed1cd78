//! duplistatus 0.6: an installation as a killed application leaves it, and stand-ins for its service.

mod answers;
pub mod build;
pub mod faults;
pub mod names;
pub mod schema;
pub mod settings;
pub mod stand_in;
mod store;
mod upload;

pub use build::{Lab, LabError, LabOptions, LabSize, build};
pub use faults::Fault;
pub use schema::Layout;
pub use stand_in::{Behaviour, StandIn, StandInError, Version, serve, stand_in_main};
