//! `copy`: moves rows from the tables of one database into those of another, column by column, at the databases' own
//! speed; and `reconcile`, which proves every table that was moved.

pub mod mapping;
pub mod reconcile;
mod step;
mod uncovered;

pub use step::{Copy, CopyKind, End, SchemaName};
