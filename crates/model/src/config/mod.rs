//! Config files, edited byte by byte: what an edit does not name stays as it is, comments, order and quoting included.
//!
//! A format is one implementation of [`Format`]. Every edit is proven before it is returned: the result is read again
//! and must mean what the old text meant, with that one change.

mod edits;
mod env;
mod error;
mod format;
mod secret;
mod value;
mod yaml;

pub use edits::{Edits, Outcome};
pub use error::EditError;
pub use format::{ConfigFormat, Format, Leaf};
pub use secret::{looks_secret, masked_lines};
pub use value::{Wanted, reads_as_text};
