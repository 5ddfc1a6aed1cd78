#![cfg_attr(test, allow(clippy::unwrap_used))]
//! Moving records: between databases at the databases' own speed, resumable at any cut, proven at both ends; and
//! through jq programs.

pub mod cell;
pub mod end;
pub mod error;
pub mod job;
pub mod postgres;
pub mod run;
pub mod same;
pub mod transform;
pub mod typed;

pub use end::{CursorKey, Difference, Differs, End, Indexes, Options, Report, TableProof};
pub use error::FlowError;
pub use job::{ColumnMove, Lookup, Miss, TableMove, TableName, Take};
pub use run::{check, differing, prove, run};
