//! PostgreSQL databases: looking without touching, names that are always qualified, work that dies with its client.

pub mod address;
pub mod connect;
pub mod copy_stream;
pub mod names;
mod passfile;
mod pooler;
pub mod rights;
mod said;
mod trust;

pub use address::{Address, AddressError, Protection, Surroundings};
pub use connect::{Access, Database, OpenError, watched};
pub use copy_stream::{CopyError, CopyReader, CopyRow, digest_query};
pub use names::{NameError, literal, qualified, quote};
pub use postgres::Client;
pub use rights::{Rights, SchemaRights};
pub use said::{code, said};
pub use trust::TrustError;
