//! jq programs in a limited child of our own binary.
//!
//! A program can recurse or eat memory without end, and then the process dies (`def f: 1+f; f`). So what a playbook
//! brings runs in a child whose death is an error message.

mod child;
mod parent;

pub use child::{Limits, answer, serve};
pub use parent::{JqChild, JqChildError};
