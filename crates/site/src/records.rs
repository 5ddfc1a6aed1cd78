//! Probes over records: a jq program run over each record of an artifact, or of an answer of any size.

use crate::http;
use crate::jq_child::{MakeIndexError, Part, Question, StreamError};
use crate::probe::{AllRows, Answer, SHOWN};
use crate::site::{Site, SiteError};
use crate::tell::Tell;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use switchback_model::artifact::ArtifactFormat;
use switchback_model::digest::Digest;
use switchback_model::probe::RecordsFrom;
use switchback_model::program::{IndexOf, Named};

/// How long one batch of about a mebibyte may take, and how much memory a child may have.
const PATIENCE: Duration = Duration::from_secs(60);
const MEMORY: u64 = 512 << 20;
/// Children at once.
const WORKERS: usize = 2;
/// How long an answer may bring no byte.
const IDLE: Duration = Duration::from_secs(30);
/// How often a GET is tried.
const TRIES: u32 = 3;

/// How large the answers of any size were that probes have read, by URL: what is fetched from there later is about as large.
#[derive(Debug, Default)]
pub(crate) struct Answered(Mutex<BTreeMap<String, u64>>);

impl Answered {
    fn note(&self, url: &str, bytes: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(url.to_owned(), bytes);
    }
}

impl Site {
    /// Returns how many bytes a GET of this URL answered with when a probe last read it in whole; `None` if none has.
    pub fn answered_bytes(&self, url: &str) -> Option<u64> {
        let url = http::Url::parse(url).ok()?;
        self.answered.0.lock().unwrap_or_else(PoisonError::into_inner).get(url.as_str()).copied()
    }

    /// Runs a program over records. Each output is a row; with `count` the answer is their number.
    pub(crate) fn ask_records(
        &self,
        from: &RecordsFrom,
        format: ArtifactFormat,
        program: &Named,
        index: &[IndexOf],
        count: bool,
        tell: &Tell,
    ) -> Result<Answer, SiteError> {
        let scratch = Scratch::new(&self.scratch())?;
        let (path, shape) = match (from, format.shape()) {
            (RecordsFrom::Artifact(artifact), Some(shape)) => {
                (self.artifacts().whole(artifact, tell)?.0, shape)
            }
            (RecordsFrom::Url(url), Some(shape)) => {
                let (into, url) = (scratch.0.join("answer"), http::Url::parse(url)?);
                let ask = http::Download {
                    url: &url,
                    headers: &[],
                    into: &into,
                    shape: Some(shape),
                    idle: IDLE,
                    tries: TRIES,
                    status: 200,
                };
                let got = http::download(&ask, tell)?;
                self.answered.note(url.as_str(), got.bytes);
                (into, shape)
            }
            (_, None) => return Err(SiteError::Missing { what: "records in mere bytes".to_owned() }),
        };
        let mut question = Question {
            memory: MEMORY,
            patience: PATIENCE,
            workers: WORKERS,
            bytes: std::fs::metadata(&path).ok().map(|metadata| metadata.len()),
            ..Question::default()
        };
        let open = || File::open(&path).map_err(StreamError::Read);
        let made = self.jq().indexes(index, &question, (shape, &mut open()?), &scratch.0, tell);
        question.indexes = made.map_err(|error| match error {
            MakeIndexError::Index { name, source } => SiteError::Index { name, source },
            MakeIndexError::Stream(error) => error.into(),
        })?;
        question.parts = vec![Part::kept(program.clone())];
        let mut rows = Rows::default();
        self.jq().stream(&question, (shape, &mut open()?), &mut |_, lines| rows.add(lines), tell)?;
        Ok(if count { Answer::Json(vec![json!(rows.count)]) } else { rows.answer() })
    }
}

/// What a program gives for all records: how many, a digest, and the first of them.
#[derive(Default)]
struct Rows {
    shown: Vec<Vec<Value>>,
    all: blake3::Hasher,
    count: u64,
}

impl Rows {
    fn add(&mut self, lines: &[u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.all.update(lines);
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            self.count += 1;
            if self.shown.len() < SHOWN {
                self.shown.push(vec![serde_json::from_slice::<Value>(line)?]);
            }
        }
        Ok(())
    }

    fn answer(self) -> Answer {
        let digest = Digest(*self.all.finalize().as_bytes());
        Answer::Rows(self.shown, AllRows { count: self.count, digest })
    }
}

/// A folder that only its owner can read, gone with the value. Those of processes that were killed go with the next one.
struct Scratch(PathBuf);

impl Scratch {
    fn new(below: &Path) -> Result<Scratch, SiteError> {
        let wrong = |source| SiteError::Scratch { path: below.to_owned(), source };
        for entry in std::fs::read_dir(below).map_err(wrong)?.flatten() {
            let name = entry.file_name();
            let owner = name.to_str().and_then(|name| name.strip_prefix("probe-"));
            let owner = owner.and_then(|rest| rest.split_once('.')).map(|(pid, _)| pid);
            if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                // What stays is tried again by the next one.
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let prefix = format!("probe-{}.", std::process::id());
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir_in(below).map_err(wrong)?;
        Ok(Scratch(folder.keep()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
