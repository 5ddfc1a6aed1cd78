//! SQLite databases: looking without touching, copies that are proven, the way back, and our rows inside.

pub mod backup;
pub mod compare;
pub mod connect;
pub mod exclusive;
pub mod fingerprint;
pub mod holders;
pub mod ledger;
pub mod restore;
pub mod traits;

pub use backup::{BackupError, BackupReport, backup, read_backup, scratch_copy};
pub use compare::{CompareError, Comparison, RowDifference, compare_tables};
pub use connect::{Database, OpenError, open_immutable};
pub use exclusive::{Exclusive, ExclusiveError, JournalMode, set_journal_mode, take};
pub use fingerprint::{Fingerprint, FingerprintError, schema_fingerprint};
pub use holders::{Holder, Holders, holders};
pub use ledger::{LEDGER, LedgerError, LedgerRow, Swept};
pub use restore::{RestoreError, Restored, restore};
pub use traits::{FileTraits, TraitsError};
