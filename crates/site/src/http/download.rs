//! A download to a file: streamed, checked as it passes, and whole or not there at all.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use switchback_model::records::Shape;
use ureq::http::header::{ACCEPT_ENCODING, IF_RANGE, RANGE};
use ureq::http::{HeaderMap, HeaderValue, Version};

use super::body_file::BodyFile;
use super::client::{Headers, Method, REDIRECTS, head, texts};
use super::download_error::DownloadError;
use super::error::HttpError;
use super::line::agent;
use super::said::said;
use super::url::Url;
use super::watch::Watch;
use crate::tell::{Failure, Halt, Tell, Unit};

/// How much is taken between two fault points, however it arrives.
const BLOCK: usize = 256 * 1024;

/// The first wait before asking again; the next ones are twice as long each, up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LAST_WAIT: Duration = Duration::from_secs(10);

/// How often progress is told at most.
const TELLING: Duration = Duration::from_millis(100);

/// Headers that would change what a transfer means.
const TAKEN: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "if-range",
    "range",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// A download to a file.
#[derive(Clone, Copy)]
pub struct Download<'a> {
    /// From where.
    pub url: &'a Url,
    /// With which headers.
    pub headers: &'a Headers,
    /// The name of the file when it is whole; until then it is `into` with `.partial` behind.
    pub into: &'a Path,
    /// How the body is cut into records, each of which must be whole JSON; `None` when it is only bytes.
    pub shape: Option<Shape>,
    /// How long nothing may come. The whole may take as long as it takes.
    pub idle: Duration,
    /// How often it is asked for, at least once.
    pub tries: u32,
    /// The status that is wanted, mostly 200.
    pub status: u16,
}

/// What a download brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloaded {
    /// The size of the file, in bytes.
    pub bytes: u64,
    /// The digest of its content (BLAKE3, hexadecimal).
    pub blake3: String,
    /// How many records it holds; `None` when it is only bytes.
    pub records: Option<u64>,
}

impl std::fmt::Debug for Download<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The values of headers may be secrets.
        write!(f, "Download({} to {})", self.url, self.into.display())
    }
}

/// One page of several, which has come.
pub struct Page<'a> {
    /// Where it came from, behind redirects.
    pub url: &'a Url,
    /// The headers of its answer, with names in lower case. Values may be secrets.
    pub headers: &'a Headers,
    /// The file that holds it.
    pub path: &'a Path,
    /// Where it begins in that file, in bytes.
    pub from: u64,
    /// Where it ends.
    pub to: u64,
}

impl std::fmt::Debug for Page<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Page({}, {} bytes)", self.url, self.to - self.from)
    }
}

/// Downloads to a file in constant memory (a record is held whole).
///
/// The file appears under its name (mode 0600, synced) when all of it has come, as its length or its last chunk says, and
/// every record is whole JSON; else there is an error and no file. What broke off is asked for again, from where it broke if
/// the server can be trusted with that (a strong entity tag, and ranges of bytes), else from the start. Redirects are
/// followed on the same origin.
pub fn download(ask: &Download<'_>, tell: &Tell) -> Result<Downloaded, DownloadError> {
    download_pages(ask, tell, |_| Ok(None))
}

/// Downloads one page after the other to one file, as one stream; see [`download`], which holds for each page.
///
/// `next` says from a page that has come where the next one is. A record cannot go on in the next page; where a page does
/// not end with white space a line feed is put behind its last record. A page elsewhere than on the same origin is an error,
/// and so is one that was there already.
pub fn download_pages<E: From<DownloadError> + Failure>(
    ask: &Download<'_>,
    tell: &Tell,
    next: impl FnMut(&Page<'_>) -> Result<Option<Url>, E>,
) -> Result<Downloaded, E> {
    refuse_taken(ask.headers).map_err(|source| DownloadError::Http { source, came: 0, asked: 0 })?;
    tell.point("download: before partial").map_err(DownloadError::Halt)?;
    let body = BodyFile::create(ask.into, ask.shape)?;
    let url = ask.url.clone();
    let mut course = Course { ask, tell, url, body, tag: None, total: None, asked: 0, told: None };
    let result = course.run(next);
    match &result {
        Err(error) if error.halt() != Some(Halt::Cut) => course.body.discard(),
        // After a cut nothing more is written, not even a clean-up.
        _ => {}
    }
    result
}

/// Refuses headers that the transfer has to set, or that would change what comes.
pub(super) fn refuse_taken(headers: &Headers) -> Result<(), HttpError> {
    let taken = |name: &str| TAKEN.iter().any(|taken| taken.eq_ignore_ascii_case(name));
    match headers.iter().find(|(name, _)| taken(name)) {
        Some((name, _)) => Err(HttpError::TakenHeader { name: name.clone() }),
        None => Ok(()),
    }
}

/// One download in its course.
struct Course<'a> {
    ask: &'a Download<'a>,
    tell: &'a Tell,
    /// Where the page at hand is.
    url: Url,
    body: BodyFile<'a>,
    /// The entity tag by which the rest can be asked for.
    tag: Option<HeaderValue>,
    /// The size of the whole page, where the server said so.
    total: Option<u64>,
    /// How often the page was asked for.
    asked: u32,
    /// When progress was told.
    told: Option<Instant>,
}

type Answer = ureq::http::Response<ureq::Body>;

impl Course<'_> {
    fn run<E: From<DownloadError>>(
        &mut self,
        mut next: impl FnMut(&Page<'_>) -> Result<Option<Url>, E>,
    ) -> Result<Downloaded, E> {
        let mut seen = BTreeSet::from([self.url.as_str().to_owned()]);
        loop {
            let (url, headers) = self.page()?;
            self.body.end_page(&url)?;
            let to = self.body.bytes();
            let from = to - self.body.page_bytes();
            let page = Page { url: &url, headers: &headers, path: self.body.partial(), from, to };
            let Some(next) = next(&page)? else {
                return Ok(self.body.finish(self.tell)?);
            };
            if !next.origin().eq_ignore_ascii_case(self.url.origin()) {
                let to = next.origin().to_owned();
                return Err(DownloadError::PageElsewhere { url: url.to_string(), to }.into());
            }
            if !seen.insert(next.as_str().to_owned()) {
                return Err(DownloadError::Circle { url: url.to_string(), pages: seen.len() }.into());
            }
            self.body.turn()?;
            (self.url, self.tag, self.asked) = (next, None, 0);
        }
    }

    /// Fetches the page at hand, and returns where it was and the headers of its answer.
    fn page(&mut self) -> Result<(Url, Vec<(String, String)>), DownloadError> {
        let mut wait = FIRST_WAIT;
        loop {
            self.asked += 1;
            match self.once() {
                Ok(answered) => return Ok(answered),
                Err(error) if error.is_passing() && self.asked < self.ask.tries => self.rest(wait)?,
                Err(error) => return Err(error),
            }
            wait = (wait * 2).min(LAST_WAIT);
        }
    }

    /// Asks once, from where it broke if that can be.
    fn once(&mut self) -> Result<(Url, Vec<(String, String)>), DownloadError> {
        let tag = self.tag.clone();
        if tag.is_none() {
            self.body.restart()?;
            self.total = None;
        }
        let watch = Arc::new(Watch::new(self.tell, self.ask.idle, None));
        let (url, answer) = self.find(&watch, tag.as_ref())?;
        let (parts, body) = answer.into_parts();
        let mut reader = body.into_reader();
        let status = parts.status.as_u16();
        match (&tag, status) {
            (Some(tag), 206) => self.check_rest(&url, tag, &parts.headers)?,
            // More than is there: it became shorter, or only its end was missing.
            (Some(_), 416) => return Err(self.changed(&url, "it has no such part")),
            _ if status == self.ask.status => {
                // Also what a server gives that has something else there now, or no parts after all.
                self.tag = None;
                self.body.restart()?;
                self.total = content_length(&parts.headers);
            }
            _ => {
                watch.hurry(Duration::from_secs(1));
                let said = said(&mut reader, self.ask.headers, &[&self.url, &url]);
                self.tell.go_on()?;
                let wanted = self.ask.status;
                return Err(DownloadError::Status { url: url.to_string(), status, wanted, said });
            }
        }
        match watch.head() {
            Some(head) => {
                if let Some(encoding) = head.encoding {
                    return Err(DownloadError::Encoded { url: url.to_string(), encoding });
                }
            }
            None => {
                let source = io::Error::other("the beginning of the answer cannot be read");
                return Err(self.broken(HttpError::Broken { url: url.to_string(), source }));
            }
        }
        if !has_end(parts.version, status, &parts.headers) {
            return Err(DownloadError::NoEnd { url: url.to_string() });
        }
        // From here on what has come is good for a part of the whole.
        if self.tag.is_none() {
            self.tag = strong_tag(&parts.headers);
        }
        self.stream(&watch, &url, &mut reader)?;
        Ok((url, texts(&parts.headers)))
    }

    /// Asks, and follows redirects on the same origin.
    fn find(&self, watch: &Arc<Watch>, tag: Option<&HeaderValue>) -> Result<(Url, Answer), DownloadError> {
        let mut url = self.url.clone();
        for _ in 0..=REDIRECTS {
            let mut head = head(Method::Get, &url, self.ask.headers).map_err(|error| self.broken(error))?;
            head.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            if let Some(tag) = tag {
                let range = HeaderValue::try_from(format!("bytes={}-", self.body.page_bytes()));
                let range = range.unwrap_or_else(|_| HeaderValue::from_static("bytes=0-"));
                head.headers_mut().insert(RANGE, range);
                head.headers_mut().insert(IF_RANGE, tag.clone());
            }
            self.tell.point("download: before request")?;
            let watch = watch.clone();
            let agent = agent(&url, &watch).map_err(|error| self.broken(error))?;
            let answer = agent.run(head).map_err(|error| self.broken(watch.fail(error, &url)))?;
            self.tell.point("download: answered")?;
            let status = answer.status().as_u16();
            let location = answer.headers().get("location").and_then(|location| location.to_str().ok());
            let Some(location) = location.filter(|_| matches!(status, 301 | 302 | 303 | 307 | 308)) else {
                return Ok((url, answer));
            };
            match url.redirected(location) {
                Some(next) => url = next,
                None => {
                    let to = Url::parse(location).map(|to| to.origin().to_owned());
                    let to = to.unwrap_or_else(|_| "another place".to_owned());
                    return Err(DownloadError::Elsewhere { url: url.to_string(), status, to });
                }
            }
        }
        Err(DownloadError::TooManyRedirects { url: self.url.to_string(), limit: REDIRECTS })
    }

    /// Looks whether a part is the rest of what has come (RFC 9110, section 15.3.7).
    fn check_rest(&mut self, url: &Url, tag: &HeaderValue, headers: &HeaderMap) -> Result<(), DownloadError> {
        if headers.get("etag").is_some_and(|its| its != tag) {
            return Err(self.changed(url, "it has another entity tag now"));
        }
        let range =
            headers.get("content-range").and_then(|range| range.to_str().ok()).and_then(content_range);
        let Some((first, last, total)) = range else {
            return Err(self.changed(url, "the server does not say which part it gives"));
        };
        let same_size = self.total.is_none_or(|known| known == total);
        if first != self.body.page_bytes() || last.checked_add(1) != Some(total) || !same_size {
            return Err(self.changed(url, "the server gives another part than the rest"));
        }
        self.total = Some(total);
        Ok(())
    }

    fn stream(&mut self, watch: &Watch, url: &Url, reader: &mut dyn Read) -> Result<(), DownloadError> {
        let mut block = vec![0; BLOCK];
        loop {
            let (filled, end) = self.fill(reader, &mut block);
            self.body.take(&block[..filled], url)?;
            match end {
                End::Full => {
                    self.tell.point("download: chunk")?;
                    self.tell.go_on()?;
                }
                End::Whole => break,
                End::Broken(error) => return Err(self.broken(watch.fail(error.into(), url))),
            }
        }
        match self.total {
            Some(total) if total != self.body.page_bytes() => {
                let source = io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("{} of {total} bytes came", self.body.page_bytes()),
                );
                Err(self.broken(HttpError::Broken { url: url.to_string(), source }))
            }
            _ => Ok(()),
        }
    }

    /// Fills a block, so that the fault points between blocks do not depend on how the bytes arrive.
    fn fill(&mut self, reader: &mut dyn Read, block: &mut [u8]) -> (usize, End) {
        let mut filled = 0;
        while filled < block.len() {
            match reader.read(&mut block[filled..]) {
                Ok(0) => return (filled, End::Whole),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (filled, End::Broken(error)),
            }
            self.progress(self.body.bytes() + filled as u64);
        }
        (filled, End::Full)
    }

    /// A body may come in very many pieces.
    fn progress(&mut self, done: u64) {
        if self.told.is_none_or(|told| told.elapsed() >= TELLING) {
            self.told = Some(Instant::now());
            let before = self.body.bytes() - self.body.page_bytes();
            // How large the pages behind the first one are is not known.
            let total = self.total.filter(|total| before == 0 && *total >= done);
            self.tell.progress("downloading", done, total, Unit::Bytes);
        }
    }

    /// Waits before asking again.
    fn rest(&self, wait: Duration) -> Result<(), Halt> {
        let started = Instant::now();
        while started.elapsed() < wait {
            self.tell.go_on()?;
            std::thread::sleep(wait.saturating_sub(started.elapsed()).min(Duration::from_millis(50)));
        }
        self.tell.go_on()
    }

    fn broken(&self, source: HttpError) -> DownloadError {
        match source {
            HttpError::Halt(halt) => halt.into(),
            source => DownloadError::Http { source, came: self.body.bytes(), asked: self.asked },
        }
    }

    /// What comes from now on is another whole.
    fn changed(&mut self, url: &Url, what: &'static str) -> DownloadError {
        self.tag = None;
        DownloadError::Changed { url: url.to_string(), what }
    }
}

/// Why a block is not filled further.
enum End {
    Full,
    Whole,
    Broken(io::Error),
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get("content-length")?.to_str().ok()?.trim().parse().ok()
}

/// Reads `bytes FIRST-LAST/TOTAL`.
fn content_range(text: &str) -> Option<(u64, u64, u64)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.trim().split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?, total.trim().parse().ok()?))
}

/// Says whether the answer shows where its body ends. HTTP/1.0 knows no chunks, and a coding beside them would be decoded
/// by nobody.
fn has_end(version: Version, status: u16, headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all("transfer-encoding").iter();
    let chunked = match (codings.next(), codings.next()) {
        (None, _) => false,
        (Some(coding), None) if version == Version::HTTP_11 => {
            coding.to_str().is_ok_and(|coding| coding.trim().eq_ignore_ascii_case("chunked"))
        }
        _ => return false,
    };
    chunked || content_length(headers).is_some() || matches!(status, 204 | 304)
}

/// Returns the entity tag if it stands for the same bytes, and the server gives parts by it (RFC 9110, sections 8.8.1
/// and 14.3).
fn strong_tag(headers: &HeaderMap) -> Option<HeaderValue> {
    let ranges = headers.get("accept-ranges")?.to_str().ok()?;
    let tag = headers.get("etag")?;
    let strong = tag.as_bytes().starts_with(b"\"");
    (strong && ranges.trim().eq_ignore_ascii_case("bytes")).then(|| tag.clone())
}
