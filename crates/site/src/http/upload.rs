//! An upload of a file, streamed.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ureq::SendBody;
use ureq::http::HeaderValue;
use ureq::http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};

use super::client::{Headers, Method, Response, head, texts};
use super::download::refuse_taken;
use super::error::HttpError;
use super::line::agent;
use super::url::Url;
use super::watch::Watch;
use crate::tell::{Halt, Tell, Unit};

/// The most that is kept of the body of the answer: 1 MiB.
const ANSWER_LIMIT: u64 = 1024 * 1024;

/// An upload of a file's bytes.
#[derive(Clone, Copy)]
pub struct Upload<'a> {
    /// By which method.
    pub method: Method,
    /// To where.
    pub url: &'a Url,
    /// With which headers. A `Content-Type` among them comes before `content_type`.
    pub headers: &'a Headers,
    /// The file, which must not change meanwhile.
    pub from: &'a Path,
    /// What the file holds.
    pub content_type: &'a str,
    /// How long nothing may be taken by the other end, and how long nothing may come of the answer once it has begun.
    pub idle: Duration,
    /// How long the answer may take to begin, from the last byte that the system took to send.
    pub answer_within: Duration,
}

impl std::fmt::Debug for Upload<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The values of headers may be secrets.
        write!(f, "Upload({} to {})", self.from.display(), self.url)
    }
}

/// Sends a file once, with its length, in constant memory; any status is an answer, of whose body the first MiB is kept.
///
/// After every error but [`HttpError::Unreachable`], [`HttpError::BadHeader`], [`HttpError::TakenHeader`] and
/// [`HttpError::File`] before the first byte, the other end may have all, a part or nothing of the file, and may have
/// acted on it. A refusal (300 and above) that comes before all was sent is the answer; anything else that early is not.
pub fn upload(ask: &Upload<'_>, tell: &Tell) -> Result<Response, HttpError> {
    refuse_taken(ask.headers)?;
    let failed = |source| HttpError::File { path: ask.from.to_owned(), source };
    let file = File::open(ask.from).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() {
        return Err(failed(io::Error::other("it is no file")));
    }
    let mut head = head(ask.method, ask.url, ask.headers)?;
    let headers = head.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(found.len()));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if !headers.contains_key(CONTENT_TYPE) {
        let kind = HeaderValue::try_from(ask.content_type);
        let kind = kind.map_err(|_| HttpError::BadHeader { name: "Content-Type".to_owned() })?;
        headers.insert(CONTENT_TYPE, kind);
    }
    let watch = Arc::new(Watch::new(tell, ask.idle, Some(ask.answer_within)));
    let agent = agent(ask.url, &watch)?;
    tell.point("upload: before request")?;
    let trouble = Mutex::new(None);
    let mut source =
        Source { file, left: found.len(), total: found.len(), watch: &watch, tell, trouble: &trouble };
    let answer = agent.run(head.map(|()| SendBody::from_reader(&mut source)));
    let trouble = trouble.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    match trouble {
        Some(Trouble::Halt(halt)) => return Err(halt.into()),
        Some(Trouble::File(source)) => return Err(failed(source)),
        None => {}
    }
    let (parts, body) = answer.map_err(|error| watch.fail(error, ask.url))?.into_parts();
    let status = parts.status.as_u16();
    if watch.is_deaf() && status < 300 {
        let source = io::Error::other(format!("it answered {status} before it had all"));
        return Err(HttpError::Broken { url: ask.url.to_string(), source });
    }
    let mut kept = Vec::new();
    let read = body.into_reader().take(ANSWER_LIMIT).read_to_end(&mut kept);
    read.map_err(|error| watch.fail(error.into(), ask.url))?;
    tell.point("upload: answered")?;
    Ok(Response { status, headers: texts(&parts.headers), body: kept })
}

/// Why the file could not be sent on.
enum Trouble {
    Halt(Halt),
    File(io::Error),
}

/// The file as the client reads it: as long as was announced, whatever happens to it.
struct Source<'a> {
    file: File,
    left: u64,
    total: u64,
    watch: &'a Watch,
    tell: &'a Tell,
    trouble: &'a Mutex<Option<Trouble>>,
}

impl Source<'_> {
    fn fail(&self, trouble: Trouble) -> io::Error {
        *self.trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(trouble);
        io::Error::other("the upload was given up")
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if self.watch.is_deaf() {
            // Nothing is sent any more, but the client listens only after the last byte.
            self.left -= most as u64;
            return Ok(most);
        }
        if self.left < self.total {
            self.tell.point("upload: chunk").map_err(|halt| self.fail(Trouble::Halt(halt)))?;
        }
        self.tell.go_on().map_err(|halt| self.fail(Trouble::Halt(halt)))?;
        self.tell.progress("uploading", self.total - self.left, Some(self.total), Unit::Bytes);
        let read = loop {
            match self.file.read(&mut buffer[..most]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        match read {
            Ok(0) if most > 0 => {
                let shorter = io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter meanwhile");
                Err(self.fail(Trouble::File(shorter)))
            }
            Ok(read) => {
                self.left -= read as u64;
                Ok(read)
            }
            Err(error) => Err(self.fail(Trouble::File(error))),
        }
    }
}
