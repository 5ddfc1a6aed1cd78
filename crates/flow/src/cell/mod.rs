//! Cells: what a value of SQLite is in PostgreSQL, and the other way. Pure: bytes in, bytes out.
//!
//! There is one form in the middle, the field of PostgreSQL's binary COPY, as the server sends it for the stored value. What
//! comes from SQLite is turned into it, what goes to SQLite is turned out of it, and both ends of a move are compared by it.

mod affinity;
mod array;
mod decode;
mod encode;
mod json;
mod kind;
mod net;
mod numeric;
mod refuse;
mod time;

pub use affinity::{Affinity, stored};
pub use decode::{canonical, decode, fits, has_variants, show, show_cell};
pub use encode::encode;
pub use kind::{Kind, TextRule};
pub use numeric::Limits;
pub use refuse::CellError;
