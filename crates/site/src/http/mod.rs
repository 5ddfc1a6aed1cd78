//! Talking to the endpoints of a site.

mod client;
mod error;
mod tls;
mod url;

pub use client::{BODY_LIMIT, Headers, Method, Request, Response, delete, get, post, put, send};
pub use error::HttpError;
pub(crate) use tls::bundles;
pub use url::{Part, Url};
