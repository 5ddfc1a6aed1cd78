//! Indexes and foreign keys of tables that are empty when a move begins: taken down before the first row and made again
//! after the last, because a sorted load is a multiple faster than an index entry and a look at another table for each row.

mod away;
mod back;
mod choose;
mod definition;

pub(crate) use away::{is_away, keys, set_aside, would_go};
pub(crate) use back::{FEW, analyze, put_back};
pub(crate) use choose::Filled;

/// What the names of our rows begin with, so that no part of a move is called so.
pub(crate) const ASIDE: &str = "aside ";
