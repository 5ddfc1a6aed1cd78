//! The fixtures, by kind.

pub mod backup;
pub mod file;
pub mod sql;
mod store;
