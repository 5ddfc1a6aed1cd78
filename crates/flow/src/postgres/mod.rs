//! Between PostgreSQL databases.

pub(crate) mod aside;
pub(crate) mod catalog;
mod cursor;
mod diagnose;
mod differ;
mod execute;
mod lookup;
mod may;
mod order;
mod parts;
mod pipe;
mod prove;
mod queue;
mod resolve;
mod run;
mod sequences;
mod server;
pub(crate) mod session;
mod text;

pub use differ::differing;
pub use prove::prove;
pub use run::{check, run};
