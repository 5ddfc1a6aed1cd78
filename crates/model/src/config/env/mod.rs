//! `.env` files.
//!
//! There is no one standard. What is written here is read alike by compose, by the dotenv libraries and by shells, or
//! it is refused.

mod edit;
mod parse;
mod quote;

pub(super) use edit::Env;
