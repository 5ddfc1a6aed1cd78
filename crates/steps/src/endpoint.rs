//! What `fetch` and `send` share: an endpoint, its headers, and a download to an artifact.

use crate::secrets::revealed;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use switchback_engine::{StepError, Work};
use switchback_model::artifact::{Artifact, ArtifactFacts};
use switchback_model::compile::Compile;
use switchback_model::decode::{Duration as Time, Keyed, Spanned};
use switchback_model::secret::Sealed;
use switchback_model::target::TargetDef;
use switchback_model::text::Template;
use switchback_site::Site;
use switchback_site::http::{Download, Downloaded, Url, download};

/// How long an answer may bring no byte, unless the playbook says otherwise.
pub(crate) const IDLE_MS: u64 = 60_000;
/// How often a GET is tried.
pub(crate) const TRIES: u32 = 5;

/// Headers by name, in which secrets may be.
pub(crate) type SealedHeaders = BTreeMap<String, Sealed>;

pub(crate) fn millis(time: Option<Time>, otherwise: u64) -> u64 {
    time.map_or(otherwise, |time| u64::try_from(time.get().as_millis()).unwrap_or(u64::MAX))
}

/// Returns the URL of a path below an endpoint.
pub(crate) fn url(endpoint: &str, path: &Template, cx: &mut Compile<'_>) -> Option<String> {
    let path = cx.url(path)?;
    let Some(TargetDef::Http { base, .. }) = cx.targets.get(endpoint) else { return None };
    let slash = if path.starts_with(['/', '?']) { "" } else { "/" };
    Some(format!("{base}{slash}{path}"))
}

/// Returns the name of an endpoint.
pub(crate) fn endpoint(name: &Spanned<String>, cx: &mut Compile<'_>) -> Option<String> {
    cx.target_name(&name.value, name.span, &["HTTP endpoint"])
}

/// Returns headers as a playbook writes them.
pub(crate) fn headers(written: Option<&Keyed<Template>>, cx: &mut Compile<'_>) -> Option<SealedHeaders> {
    let mut headers = SealedHeaders::new();
    for (name, value) in written.into_iter().flat_map(Keyed::iter) {
        headers.insert(name.text.clone(), cx.sealed(value)?);
    }
    Some(headers)
}

/// Puts the secrets into headers.
pub(crate) fn reveal(headers: &SealedHeaders) -> Result<Vec<(String, String)>, StepError> {
    headers.iter().map(|(name, value)| Ok((name.clone(), revealed(value)?))).collect()
}

/// Something to get into an artifact.
pub(crate) struct Get<'a> {
    pub url: &'a str,
    pub headers: &'a SealedHeaders,
    pub artifact: &'a Artifact,
    pub idle_ms: u64,
}

impl Get<'_> {
    /// Downloads to a file; every record of it has been seen whole.
    pub fn to(&self, into: &Path, work: &Work<'_>) -> Result<Downloaded, StepError> {
        let (url, headers) = (Url::parse(self.url)?, reveal(self.headers)?);
        let ask = Download {
            url: &url,
            headers: &headers,
            into,
            shape: self.artifact.format.shape(),
            idle: Duration::from_millis(self.idle_ms),
            tries: TRIES,
            status: 200,
        };
        Ok(download(&ask, work.tell)?)
    }

    /// Gives a download its name and notes what it is.
    pub fn keep(&self, got: Downloaded, site: &Site, work: &Work<'_>) -> Result<ArtifactFacts, StepError> {
        let facts = ArtifactFacts {
            bytes: got.bytes,
            blake3: got.blake3,
            records: got.records,
            step: work.step.to_owned(),
            since: work.now.to_owned(),
            secret: self.artifact.secret,
            ..ArtifactFacts::default()
        };
        site.artifacts().keep(self.artifact, &facts, work.tell)?;
        Ok(facts)
    }
}
