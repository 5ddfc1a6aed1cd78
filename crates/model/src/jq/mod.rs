//! jq programs: checked when a playbook is read, run over JSON values.
//!
//! The crate `jaq-core` does the work, without what would make a result depend on the place and time of
//! its computation (`env`, `$ENV`, `now`, `input`, `inputs`, `input_filename`, `localtime`), without what would end or
//! write past the program (`halt`, `debug`, `stderr`), and with Unicode regular expressions.

mod json;
mod natives;
mod program;
mod stream;
mod time;
mod value;
mod world;

pub use program::{JqError, Program, check, check_over_records};
pub use stream::{JqValue, Outputs, Values};
pub use world::World;
