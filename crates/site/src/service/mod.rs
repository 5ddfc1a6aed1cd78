//! Services: what runs over the stores of a site, started and stopped so that both can be repeated.

mod command;
mod error;
mod none;
mod proc;
mod process;
mod record;
mod spec;

pub use command::CommandService;
pub use error::ServiceError;
pub use none::NoService;
pub use process::Process;
pub use spec::{CommandSpec, Launch, Outcome, ProcessSpec, Service, ServiceSpec, State, Which};
