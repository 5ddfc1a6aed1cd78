//! PostgreSQL databases: looking without touching, names that are always qualified, work that dies with its client.

pub mod address;
pub mod ask;
pub mod connect;
pub mod copy_stream;
mod hands;
pub mod ledger;
pub mod lexer;
pub mod lock;
pub mod names;
pub mod params;
mod passfile;
mod pooler;
pub mod rights;
mod said;
pub mod script;
mod trust;
pub mod wait;

pub use address::{Address, AddressError, Protection, Surroundings};
pub use ask::{AskError, query};
pub use connect::{Access, Database, OpenError, watched};
pub use copy_stream::{CopyError, CopyReader, CopyRow, digest_query};
pub use ledger::{CursorRow, LedgerError, LedgerRow, Swept};
pub use lock::{Lock, LockError, session_name, take, writer};
pub use names::{NameError, literal, qualified, quote};
pub use params::{BindError, Param, bind};
pub use postgres::Client;
pub use rights::{Rights, SchemaRights};
pub use said::{code, said};
pub use script::{ScriptError, has_transaction_control, run_script};
pub use trust::TrustError;
pub use wait::{Patience, WaitError};
