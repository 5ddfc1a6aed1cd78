//! Sending a request and reading its answer.

use std::io;
use std::time::Duration;

use ureq::config::ConfigBuilder;
use ureq::http;
use ureq::typestate::AgentScope;

use super::error::HttpError;
use super::tls;
use super::url::Url;
use crate::tell::Tell;

/// The most that an answer may hold: 64 MiB.
pub const BODY_LIMIT: u64 = 64 * 1024 * 1024;

/// How many redirects on the same origin a `GET` follows.
pub(super) const REDIRECTS: usize = 5;

const USER_AGENT: &str = concat!("switchback/", env!("CARGO_PKG_VERSION"));

/// Names and values of headers, in order. Values may be secrets: nothing here shows them.
pub type Headers = [(String, String)];

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "RFC 9110 says it")]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// One request.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// What is asked for.
    pub method: Method,
    /// Where.
    pub url: &'a Url,
    /// With which headers.
    pub headers: &'a Headers,
    /// With which body.
    pub body: Option<&'a [u8]>,
    /// How long the whole exchange may take.
    pub timeout: Duration,
}

/// The answer to a request, of whatever status.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers, with names in lower case; values that are not text are left out.
    pub headers: Vec<(String, String)>,
    /// The body, decompressed.
    pub body: Vec<u8>,
}

impl Method {
    /// Returns the method as a request has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Headers and body may hold secrets.
        write!(f, "Response({}, {} bytes)", self.status, self.body.len())
    }
}

impl Response {
    /// Returns the first value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(its, _)| its == name).map(|(_, value)| value.as_str())
    }
}

/// Asks for `url`. Redirects are followed on the same origin; another redirect is the answer.
pub fn get(url: &Url, headers: &Headers, timeout: Duration) -> Result<Response, HttpError> {
    let mut url = url.clone();
    for _ in 0..REDIRECTS {
        let response = exchange(Request { method: Method::Get, url: &url, headers, body: None, timeout })?;
        let moved = matches!(response.status, 301 | 302 | 303 | 307 | 308);
        match response.header("location").filter(|_| moved).and_then(|location| url.redirected(location)) {
            Some(next) => url = next,
            None => return Ok(response),
        }
    }
    exchange(Request { method: Method::Get, url: &url, headers, body: None, timeout })
}

/// Sends `body` to `url`. No redirect is followed, and nothing is sent twice.
pub fn post(
    url: &Url,
    headers: &Headers,
    body: &[u8],
    timeout: Duration,
    tell: &Tell,
) -> Result<Response, HttpError> {
    send(Request { method: Method::Post, url, headers, body: Some(body), timeout }, tell)
}

/// Puts `body` to `url`; see [`post`].
pub fn put(
    url: &Url,
    headers: &Headers,
    body: Option<&[u8]>,
    timeout: Duration,
    tell: &Tell,
) -> Result<Response, HttpError> {
    send(Request { method: Method::Put, url, headers, body, timeout }, tell)
}

/// Deletes `url`; see [`post`].
pub fn delete(
    url: &Url,
    headers: &Headers,
    body: Option<&[u8]>,
    timeout: Duration,
    tell: &Tell,
) -> Result<Response, HttpError> {
    send(Request { method: Method::Delete, url, headers, body, timeout }, tell)
}

/// Sends a request that may change something, between two fault points.
pub fn send(request: Request<'_>, tell: &Tell) -> Result<Response, HttpError> {
    tell.point("http: before request")?;
    let response = exchange(request)?;
    tell.point("http: answered")?;
    Ok(response)
}

fn exchange(request: Request<'_>) -> Result<Response, HttpError> {
    let url = request.url;
    let agent = agent(url, request.timeout)?;
    let head = head(request.method, url, request.headers)?;
    // PUT and POST announce an empty body too: a server may refuse one without a length.
    let empty = matches!(request.method, Method::Put | Method::Post | Method::Patch).then_some(&b""[..]);
    let answer = match request.body.or(empty) {
        Some(body) => agent.run(head.map(|()| body)),
        None => agent.run(head),
    };
    let fail = |error| classify(error, url, request.timeout);
    let (parts, mut body) = answer.map_err(fail)?.into_parts();
    // One more byte than allowed, to tell "as much as allowed" from "more".
    let body = body.with_config().limit(BODY_LIMIT + 1).read_to_vec().map_err(fail)?;
    if body.len() as u64 > BODY_LIMIT {
        return Err(HttpError::TooLarge { url: url.to_string(), limit: BODY_LIMIT });
    }
    Ok(Response { status: parts.status.as_u16(), headers: texts(&parts.headers), body })
}

/// Returns headers as a [`Response`] holds them.
pub(super) fn texts(headers: &http::HeaderMap) -> Vec<(String, String)> {
    let text = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    headers.iter().filter_map(text).collect()
}

/// A new agent for every request: a connection kept from before a restart would be dead, and whether a request on it
/// was heard could not be told.
fn agent(url: &Url, timeout: Duration) -> Result<ureq::Agent, HttpError> {
    Ok(config(url)?.timeout_global(Some(timeout)).build().new_agent())
}

/// What every exchange with `url` has in common: no redirects, no connection used twice, our trust.
pub(super) fn config(url: &Url) -> Result<ConfigBuilder<AgentScope>, HttpError> {
    let mut config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_idle_connections(0)
        .allow_non_standard_methods(true)
        .user_agent(USER_AGENT);
    if url.is_loopback() {
        config = config.proxy(None);
    }
    if url.is_https() {
        let tls = tls::config().map_err(|looked| HttpError::NoRoots { url: url.to_string(), looked })?;
        config = config.tls_config(tls);
    }
    Ok(config)
}

pub(super) fn head(method: Method, url: &Url, headers: &Headers) -> Result<http::Request<()>, HttpError> {
    let method = match method {
        Method::Get => http::Method::GET,
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
        Method::Patch => http::Method::PATCH,
        Method::Delete => http::Method::DELETE,
    };
    let head = http::Request::builder().method(method).uri(url.as_str());
    let mut head = head.body(()).map_err(|_| HttpError::BadUrl {
        shown: url.to_string(),
        why: "the HTTP library does not take it",
    })?;
    for (name, value) in headers {
        let bad = || HttpError::BadHeader { name: name.clone() };
        let key = http::HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        let value = http::HeaderValue::from_bytes(value.as_bytes()).map_err(|_| bad())?;
        head.headers_mut().append(key, value);
    }
    Ok(head)
}

pub(super) fn classify(error: ureq::Error, url: &Url, after: Duration) -> HttpError {
    use io::ErrorKind::{
        AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkDown, NetworkUnreachable, NotFound,
    };
    let url = url.to_string();
    match error {
        ureq::Error::HostNotFound => {
            HttpError::Unreachable { url, source: io::Error::new(NotFound, "its host is not known") }
        }
        ureq::Error::ConnectionFailed => HttpError::Unreachable {
            url,
            source: io::Error::new(ConnectionRefused, "no connection could be made"),
        },
        ureq::Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect) => {
            HttpError::Unreachable { url, source: io::ErrorKind::TimedOut.into() }
        }
        ureq::Error::Timeout(_) => HttpError::Timeout { url, after },
        // The connection ended in the middle of what marks a chunk.
        ureq::Error::BodyStalled => {
            HttpError::Broken { url, source: io::Error::new(io::ErrorKind::UnexpectedEof, "it hung up") }
        }
        ureq::Error::BodyExceedsLimit(_) => HttpError::TooLarge { url, limit: BODY_LIMIT },
        ureq::Error::Io(source) => match source.kind() {
            ConnectionRefused | HostUnreachable | NetworkUnreachable | NetworkDown | AddrNotAvailable => {
                HttpError::Unreachable { url, source }
            }
            _ => HttpError::Broken { url, source },
        },
        other => HttpError::Protocol { url, source: Box::new(other) },
    }
}
