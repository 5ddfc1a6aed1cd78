//! `fetch`: gets an answer of any size from an endpoint, and keeps it as an artifact.

mod pages;

use pages::{Pages, PagesBody, pages};

use crate::endpoint::{Get, IDLE_MS, SealedHeaders, endpoint, headers, millis, url};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use switchback_engine::registry::Compiled;
use switchback_engine::{Condition, Kind, Overlay, Preview, Step, StepError, Work};
use switchback_model::artifact::Artifact;
use switchback_model::compile::Compile;
use switchback_model::decode::{Duration as Time, Keyed, Spanned};
use switchback_model::diagnostic::Diagnostic;
use switchback_model::plan::{Access, Reversal, Touch};
use switchback_model::records::{RecordError, Shape, Splitter};
use switchback_model::text::Template;
use switchback_model::{choice, record};
use switchback_site::Site;

record! {
    /// Gets an answer of any size, and keeps it as an artifact.
    pub struct FetchBody {
        /// The endpoint.
        pub from: Spanned<String>,
        /// The path below its address.
        pub get: Template,
        /// The artifact: `NAME`, or `NAME[COMPONENT]`.
        pub into: Template,
        /// `true`: it is got once more, and must be the same byte for byte.
        pub twice: Option<bool>,
        /// Whether an answer without a record, or without a byte, is believed: `refused` or `allowed`.
        pub empty: Option<Template>,
        /// For an answer that comes in pages: how they lead on, and what of them is kept.
        pub pages: Option<PagesBody>,
        /// For how long no byte may come. The whole may take as long as it takes.
        pub idle: Option<Time>,
        /// Headers to send. A secret in one is neither in the plan nor in a log.
        pub headers: Option<Keyed<Template>>,
    }
}

choice! {
    /// What is made of an answer with nothing in it.
    pub enum Emptiness {
        /// It is an error: a service answers 200 to many a question that it did not understand.
        Refused = "refused",
        /// It is what there is.
        Allowed = "allowed",
    }
}

/// The kind.
pub struct FetchKind;

impl Kind for FetchKind {
    type Body = FetchBody;
    const NAME: &'static str = "fetch";
    const SAYS: &'static str = "gets an answer of any size from an endpoint, and keeps it as an artifact";

    fn compile(body: FetchBody, cx: &mut Compile<'_>) -> Compiled {
        let from = endpoint(&body.from, cx);
        let into = cx.artifact(&body.into);
        let (from, into) = (from?, into?);
        cx.fits(&into, &from, false, body.into.span())?;
        let pages = match &body.pages {
            Some(of) => Some(pages(of, into.format.shape(), body.into.span(), cx)?),
            None => None,
        };
        let empty = match &body.empty {
            Some(empty) => emptiness(empty, cx)? == Emptiness::Allowed,
            None => false,
        };
        Some(vec![Box::new(Fetch {
            pages,
            url: url(&from, &body.get, cx)?,
            headers: headers(body.headers.as_ref(), cx)?,
            from,
            into,
            twice: body.twice == Some(true),
            empty,
            idle_ms: millis(body.idle, IDLE_MS),
        })])
    }
}

/// Reads what is made of an answer with nothing in it, which an input may say.
fn emptiness(text: &Template, cx: &mut Compile<'_>) -> Option<Emptiness> {
    let said = cx.text(text)?;
    let known = Emptiness::ALL.iter().copied().find(|one| one.as_str() == said);
    if known.is_none() {
        cx.out.push(
            Diagnostic::error(
                "P006",
                format!("`{said}` is not what can be made of an answer without a record"),
            )
            .at(text.span(), "said here")
            .help("`empty:` is `refused` or `allowed`"),
        );
    }
    known
}

/// The step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fetch {
    /// The endpoint.
    pub from: String,
    /// What is got.
    pub url: String,
    /// Sent with it.
    #[serde(default, skip_serializing_if = "SealedHeaders::is_empty")]
    pub headers: SealedHeaders,
    /// How its pages are read, where it has pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<Pages>,
    /// Where it is kept.
    pub into: Artifact,
    /// Whether it is got once more and compared.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub twice: bool,
    /// Whether nothing is an answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty: bool,
    /// For how long no byte may come, in milliseconds.
    pub idle_ms: u64,
}

impl Fetch {
    fn get(&self) -> Get<'_> {
        Get { url: &self.url, headers: &self.headers, artifact: &self.into, idle_ms: self.idle_ms }
    }

    /// Gets it, in one piece or page by page.
    fn bring(
        &self,
        into: &Path,
        site: &Site,
        work: &Work<'_>,
    ) -> Result<switchback_site::http::Downloaded, StepError> {
        match &self.pages {
            Some(pages) => pages.to(&self.get(), into, site, work),
            None => self.get().to(into, work),
        }
    }

    /// Gets it once more and compares. Whoever still writes is found here, and not when the difference is lost.
    fn compare(&self, first: &Path, digest: &str, site: &Site, work: &Work<'_>) -> Result<(), StepError> {
        let second = site.artifacts().second(&self.into);
        let got = self.bring(&second, site, work)?;
        let same = got.blake3 == digest;
        let place =
            if same { Ok(String::new()) } else { differs_at(first, &second, self.into.format.shape()) };
        let gone = std::fs::remove_file(&second);
        let wrong =
            |e: std::io::Error| StepError::failed(format!("compare two answers of {}: {e}", self.from));
        let place = place.map_err(wrong)?;
        gone.map_err(wrong)?;
        if same {
            return Ok(());
        }
        Err(StepError::failed(format!(
            "believe {}: {} changed between two answers, {place}",
            self.into.label(),
            self.from
        ))
        .help("keep out whoever still writes there, with `stop` or `maintenance`, before it is fetched"))
    }
}

/// Says where two files begin to differ.
fn differs_at(first: &Path, second: &Path, shape: Option<Shape>) -> std::io::Result<String> {
    let (mut one, mut other) = (File::open(first)?, File::open(second)?);
    let mut splitter = shape.map(Splitter::new);
    let (mut a, mut b, mut at) = (vec![0; 1 << 16], vec![0; 1 << 16], 0);
    loop {
        let (n, m) = (fill(&mut one, &mut a)?, fill(&mut other, &mut b)?);
        let same = a[..n].iter().zip(&b[..m]).take_while(|(a, b)| a == b).count();
        if let Some(splitter) = &mut splitter {
            // Both were cut into records when they came: nothing is wrong with them.
            let _ = splitter.push::<RecordError>(&a[..same], |_| Ok(()));
        }
        at += same;
        if same < n.max(m) || n == 0 {
            return Ok(match splitter {
                Some(splitter) => format!("at record {} (byte {at})", splitter.begun().max(1)),
                None => format!("at byte {at}"),
            });
        }
    }
}

fn fill(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

impl Step for Fetch {
    const KIND: &'static str = "fetch";
    type Before = ();

    fn describe(&self) -> String {
        let twice = if self.twice { ", twice and the same" } else { "" };
        format!("fetch {} from {}{twice}", self.into.label(), self.from)
    }

    fn subject(&self) -> String {
        self.into.file_name()
    }

    fn touches(&self) -> Vec<Touch> {
        vec![Touch::new(&self.from, Access::Reads)]
    }

    fn makes(&self) -> Vec<Artifact> {
        vec![self.into.clone()]
    }

    fn reversal(&self) -> Reversal {
        Reversal::ByUndo
    }

    fn preview(&self, world: &mut Overlay<'_>) -> Result<Preview, StepError> {
        // A page says nothing of how many follow it.
        let brings = world.site.answered_bytes(&self.url).filter(|_| self.pages.is_none());
        let copies = u64::from(self.twice);
        Ok(Preview { brings, copies, ..Preview::of([format!("GET {}", shown(&self.url))], 2000) })
    }

    fn check(&self, site: &Site, work: &Work<'_>) -> Result<Condition, StepError> {
        Ok(match site.artifacts().standing(&self.into, work.step, work.tell)? {
            Some(true) => Condition::applied(),
            Some(false) => Condition::Partial,
            None => Condition::Pending,
        })
    }

    fn prepare(&self, _site: &Site, _work: &Work<'_>) -> Result<(), StepError> {
        Ok(())
    }

    fn apply(&self, site: &Site, (): &(), work: &Work<'_>) -> Result<Value, StepError> {
        if self.check(site, work)?.is_applied() {
            return Ok(Value::Null);
        }
        let (partial, get) = (site.artifacts().partial(&self.into), self.get());
        let got = self.bring(&partial, site, work)?;
        if !self.empty && (got.bytes == 0 || got.records == Some(0)) {
            return Err(StepError::failed(format!(
                "believe {}: {} answered without a record",
                self.into.label(),
                self.from
            ))
            .help("look whether this is the right endpoint; `empty: allowed` believes an answer with nothing in it"));
        }
        // A rehearsal runs beside those who write.
        if self.twice && !site.is_rehearsal() {
            self.compare(&partial, &got.blake3, site, work)?;
        }
        let facts = get.keep(got, site, work)?;
        Ok(json!({ "bytes": facts.bytes, "records": facts.records, "blake3": facts.blake3 }))
    }

    fn undo(&self, site: &Site, (): &(), work: &Work<'_>) -> Result<(), StepError> {
        Ok(site.artifacts().remove(&self.into, work.tell)?)
    }
}

/// A URL without its query, which may hold a secret.
pub(crate) fn shown(url: &str) -> &str {
    url.split('?').next().unwrap_or(url)
}
