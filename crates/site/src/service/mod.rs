//! Services: what runs over the stores of a site, started and stopped so that both can be repeated.

mod cage;
mod command;
mod error;
mod none;
mod private;
mod proc;
mod process;
mod record;
mod spec;

pub use cage::{Cage, Strength};
pub use command::CommandService;
pub use error::ServiceError;
pub use none::NoService;
pub use private::{PrivateRead, PrivateSpec, Privates, end_all};
pub use process::Process;
pub use spec::{CommandSpec, Launch, Outcome, ProcessSpec, Service, ServiceSpec, State, Which};
