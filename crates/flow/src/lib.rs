#![cfg_attr(test, allow(clippy::unwrap_used))]
//! Moving records between databases: at the databases' own speed, resumable at any cut, proven at both ends.

pub mod job;

pub use job::{ColumnMove, Lookup, Miss, TableMove, TableName, Take};
