//! The upgrade on data that the real application wrote, where this machine has it: a folder `shared/data` beside the
//! checkout, or in the folder that SWITCHBACK_SHARED names. Elsewhere these tests pass and say so by their output.
#![allow(clippy::unwrap_used)]

mod agola_programs;
mod agola_tool;
#[path = "../support/plain_copy.rs"]
mod plain_copy;
#[path = "../systems/support.rs"]
mod support;
mod unstract;
mod unstract_run;
mod upgrade;
