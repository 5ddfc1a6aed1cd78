//! Versions as the world writes them, and ranges of them.

mod number;
mod range;

pub use number::{Version, VersionError};
pub use range::{Range, RangeError};
