//! A `fetch` of many pages: what comes is no page but the records of all of them.

use crate::endpoint::{Get, TRIES, reveal};
use crate::transform::{MEMORY, PATIENCE, VARS, scratch, workers};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;
use switchback_engine::error::chain;
use switchback_engine::{StepError, Work};
use switchback_flow::transform::{Bench, Recipe, transform};
use switchback_model::compile::Compile;
use switchback_model::decode::Spanned;
use switchback_model::diagnostic::{Diagnostic, Span};
use switchback_model::program::Named;
use switchback_model::record;
use switchback_model::records::Shape;
use switchback_site::http::{Download, DownloadError, Downloaded, Page, Url, download_pages};
use switchback_site::{Failure, Halt, Site};

/// The largest page. A page is held in memory to see where the next one is.
const PAGE_LIMIT: u64 = 64 << 20;
/// How long the programs that look at a page may take.
const LOOK: Duration = Duration::from_secs(30);

record! {
    /// An answer that comes in pages of JSON.
    pub struct PagesBody {
        /// A jq program that gives the records of a page.
        pub records: Spanned<String>,
        /// A jq program that gives the URL of the next page, whole or as a path; null or nothing behind the last one.
        pub next: Option<Spanned<String>>,
        /// `true`: the next page is the one that the header `Link` calls `next`.
        pub link: Option<bool>,
        /// A jq program that gives how many records there are in all, as a page says: so many must have come.
        pub total: Option<Spanned<String>>,
    }
}

/// How pages are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pages {
    /// Gives the records of a page.
    pub records: Named,
    /// Gives the URL of the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Named>,
    /// Whether a header gives it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub link: bool,
    /// Gives the number of records in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<Named>,
}

/// Compiles it.
pub(super) fn pages(
    body: &PagesBody,
    shape: Option<Shape>,
    span: Span,
    cx: &mut Compile<'_>,
) -> Option<Pages> {
    let link = body.link == Some(true);
    let wrong = if link == body.next.is_some() {
        Some(("pages lead on in one way", "give `pages:` one of `next:` and `link: true`"))
    } else if shape.is_none() {
        Some(("pages have records, and the artifact has none", "give the artifact a format of JSON"))
    } else {
        None
    };
    if let Some((wrong, help)) = wrong {
        cx.out.push(Diagnostic::error("P013", wrong).at(span, "fetched in pages").help(help));
        return None;
    }
    let mut optional = |program: &Option<Spanned<String>>| match program {
        Some(program) => cx.program(program).map(Some),
        None => Some(None),
    };
    let (next, total) = (optional(&body.next)?, optional(&body.total)?);
    Some(Pages { records: cx.program_over(&body.records, VARS)?, next, link, total })
}

/// Why a page is not the end of it. The text fits after "cannot".
#[derive(Debug, thiserror::Error)]
enum PageError {
    #[error(transparent)]
    Download(#[from] DownloadError),
    #[error("read a page of {url}: {wrong}")]
    Page { url: String, wrong: String },
    #[error("go on: {0}")]
    Halt(Halt),
}

impl Failure for PageError {
    fn halt(&self) -> Option<Halt> {
        match self {
            PageError::Download(error) => error.halt(),
            PageError::Halt(halt) => Some(*halt),
            PageError::Page { .. } => None,
        }
    }
}

impl Pages {
    /// Gets every page, and puts their records into a file.
    pub(super) fn to(
        &self,
        get: &Get<'_>,
        into: &Path,
        site: &Site,
        work: &Work<'_>,
    ) -> Result<Downloaded, StepError> {
        let scratch = scratch(site, get.artifact)?;
        let got = self.records_to(get, into, &scratch, site, work);
        let gone = std::fs::remove_dir_all(&scratch);
        let got = got?;
        gone.map_err(|e| StepError::failed(format!("remove {}: {e}", scratch.display())))?;
        Ok(got)
    }

    fn records_to(
        &self,
        get: &Get<'_>,
        into: &Path,
        scratch: &Path,
        site: &Site,
        work: &Work<'_>,
    ) -> Result<Downloaded, StepError> {
        let (url, headers) = (Url::parse(get.url)?, reveal(get.headers)?);
        let all = scratch.join("pages");
        let ask = Download {
            url: &url,
            headers: &headers,
            into: &all,
            shape: Some(Shape::Values),
            idle: Duration::from_millis(get.idle_ms),
            tries: TRIES,
            status: 200,
        };
        let mut total = None;
        download_pages(&ask, work.tell, |page| self.next(page, &mut total, site, work))?;
        let recipe = Recipe { passes: vec![self.records.clone()], ..Recipe::default() };
        let bench = Bench {
            child: site.jq(),
            from: &all,
            shape: Shape::Values,
            into,
            scratch,
            seed: work.run,
            now: work.now,
            workers: workers(),
            memory: MEMORY,
            patience: PATIENCE,
        };
        let made = transform(&recipe, &bench, work.tell)?;
        let records = made.tally.outputs;
        if let Some(total) = total.filter(|total| *total != records) {
            return Err(StepError::failed(format!(
                "believe that these are all records: the pages hold {records}, and say that there are {total}"
            ))
            .help("somebody wrote meanwhile, or the pages do not lead on as the playbook says"));
        }
        Ok(Downloaded { bytes: made.bytes, blake3: made.blake3, records: Some(records) })
    }

    /// Looks into a page for where the next one is, and how many records there are in all.
    fn next(
        &self,
        page: &Page<'_>,
        total: &mut Option<u64>,
        site: &Site,
        work: &Work<'_>,
    ) -> Result<Option<Url>, PageError> {
        let wrong = |wrong: String| PageError::Page { url: page.url.to_string(), wrong };
        let header = page.headers.iter().find(|(name, _)| name == "link").map(|(_, value)| value.as_str());
        let linked = header.filter(|_| self.link).and_then(next_of).map(str::to_owned);
        let mut next = linked;
        if self.next.is_some() || self.total.is_some() {
            let json = read(page).map_err(|e| wrong(e.to_string()))?;
            let ask = |program: &Named| {
                let outputs = site.jq().eval(&program.program, &[], &json, LOOK, MEMORY, work.tell);
                let outputs = outputs.map_err(|error| match error.halt() {
                    Some(halt) => PageError::Halt(halt),
                    None => wrong(chain(&error)),
                })?;
                Ok::<_, PageError>(outputs.into_iter().next().unwrap_or(Value::Null))
            };
            if let Some(program) = &self.total {
                *total = ask(program)?.as_u64().or(*total);
            }
            if let Some(program) = &self.next {
                next = match ask(program)? {
                    Value::Null => None,
                    Value::String(text) => Some(text),
                    _ => return Err(wrong("where the next page is, is no text".to_owned())),
                };
            }
        }
        let Some(next) = next else { return Ok(None) };
        let whole = if next.starts_with('/') && !next.starts_with("//") {
            format!("{}{next}", page.url.origin())
        } else {
            next
        };
        Url::parse(&whole).map(Some).map_err(|error| wrong(error.to_string()))
    }
}

/// Reads a page that has come.
fn read(page: &Page<'_>) -> std::io::Result<Value> {
    let length = page.to - page.from;
    if length > PAGE_LIMIT {
        return Err(std::io::Error::other("it is larger than 64 MiB"));
    }
    let mut file = File::open(page.path)?;
    file.seek(SeekFrom::Start(page.from))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Returns the target of `rel="next"` in a header `Link` (RFC 8288, section 3).
fn next_of(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>')?;
        let (target, behind) = (&rest[start + 1..end], &rest[end + 1..]);
        // A comma ends a link, unless it is inside quotes.
        let (mut quoted, mut stop) = (false, behind.len());
        for (at, byte) in behind.bytes().enumerate() {
            match byte {
                b'"' => quoted = !quoted,
                b',' if !quoted => {
                    stop = at;
                    break;
                }
                _ => {}
            }
        }
        // A semicolon inside quotes is text.
        let mut inside = false;
        let parameters = behind[..stop].split(|char| {
            inside ^= char == '"';
            char == ';' && !inside
        });
        let is_next = { parameters }.any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel")
                && value.split(' ').any(|rel| rel.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(target);
        }
        rest = &behind[stop..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_links() {
        for (header, next) in [
            (
                r#"<https://a/?page=2>; rel="next", <https://a/?page=9>; rel="last""#,
                Some("https://a/?page=2"),
            ),
            (r#"</x,y>; title="a, b; rel=next"; rel=prev, </z>; rel="last next""#, Some("/z")),
            (r#"<https://a/?page=9>; rel="last""#, None),
            ("", None),
            ("<", None),
        ] {
            assert_eq!(next_of(header), next, "{header}");
        }
    }
}
