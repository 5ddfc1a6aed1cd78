//! Talking to the endpoints of a site.

mod body_file;
mod client;
mod download;
mod download_error;
mod error;
mod line;
mod said;
mod tls;
mod upload;
mod url;
mod watch;

pub use client::{BODY_LIMIT, Headers, Method, Request, Response, delete, get, post, put, send};
pub use download::{Download, Downloaded, Page, download, download_pages};
pub use download_error::DownloadError;
pub use error::HttpError;
pub(crate) use tls::bundles;
pub use upload::{Upload, upload};
pub use url::{Part, Url};
