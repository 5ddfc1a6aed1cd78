//! PostgreSQL databases: looking without touching, names that are always qualified, work that dies with its client.

pub mod connect;

pub use connect::{Access, Database, OpenError};
pub use postgres::Client;
