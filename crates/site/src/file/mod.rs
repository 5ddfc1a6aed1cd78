//! Files of a site: what they are, replacing them atomically, and putting them back.

mod error;
mod image;
mod place;
mod replace;

pub use error::FileError;
pub(crate) use error::shown;
pub use image::{FileImage, Image};
pub use place::Link;
pub use replace::{Before, Change, capture, put_back, read, refuse_unchangeable, remove, replace};
