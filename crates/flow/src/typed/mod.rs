//! Between SQLite and PostgreSQL, and between two SQLite files: typed cell by cell, nothing rounded, nothing skipped.
//!
//! What travels is binary COPY in every direction, so both ends are compared by the same bytes ([`crate::cell`]).

mod hand;
mod lane;
mod plan;
mod postgres_finish;
mod postgres_shape;
mod postgres_sink;
mod postgres_source;
mod proof;
mod reactions;
mod run;
mod sqlite_finish;
mod sqlite_shape;
mod sqlite_sink;
mod sqlite_source;
mod track;
mod wire;

pub use proof::{differing, prove, read_back};
pub use run::{check, run, run_in, run_with};
pub use wire::Portions;
