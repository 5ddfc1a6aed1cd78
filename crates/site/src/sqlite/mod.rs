//! SQLite databases: looking without touching, copies that are proven, the way back, our rows inside, and the schema
//! from one shape to another.

pub mod alter;
mod alter_apply;
mod alter_catalog;
mod alter_copy;
mod alter_error;
mod alter_expect;
mod alter_in_place;
mod alter_plan;
mod alter_rebuild;
mod alter_run;
mod alter_shadow;
mod alter_spec;
mod alter_statistics;
mod alter_violations;
pub mod backup;
mod collation;
pub mod compare;
pub mod connect;
pub mod ddl;
mod ddl_columns;
mod ddl_edit;
mod ddl_keyword;
mod ddl_split;
mod ddl_table;
mod ddl_token;
pub mod exclusive;
pub mod fingerprint;
pub mod holders;
pub mod ledger;
pub mod restore;
pub(crate) mod scan;
pub mod script;
pub mod stamp;
pub mod traits;

pub use backup::{BackupError, BackupReport, backup, partial_of, read_backup, scratch_copy};
pub use compare::{CompareError, Comparison, RowDifference, compare_tables};
pub use connect::{Database, OpenError, open_immutable};
pub use exclusive::{Exclusive, ExclusiveError, JournalMode, set_journal_mode, take};
pub use fingerprint::{Fingerprint, FingerprintError, schema_fingerprint};
pub use holders::{Holder, Holders, holders};
pub use ledger::{LEDGER, LedgerError, LedgerRow, Swept};
pub use restore::{RestoreError, Restored, restore};
pub use rusqlite::Connection;
pub use script::{ScriptError, run_alter, run_script};
pub use traits::{FileTraits, TraitsError};
