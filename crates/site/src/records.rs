//! Probes over records: a jq program run over each record of an artifact, or of an answer of any size.

use crate::http;
use crate::jq_child::{IndexWriter, Question, StreamError};
use crate::probe::{AllRows, Answer, SHOWN};
use crate::site::{Site, SiteError};
use crate::tell::Tell;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use switchback_model::artifact::ArtifactFormat;
use switchback_model::digest::Digest;
use switchback_model::probe::RecordsFrom;
use switchback_model::program::{IndexOf, Named};
use switchback_model::records::Shape;

/// How long one batch of about a mebibyte may take, and how much memory a child may have.
const PATIENCE: Duration = Duration::from_secs(60);
const MEMORY: u64 = 512 << 20;
/// Children at once.
const WORKERS: usize = 2;
/// How long an answer may bring no byte.
const IDLE: Duration = Duration::from_secs(30);
/// How often a GET is tried.
const TRIES: u32 = 3;

impl Site {
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
                http::download(&ask, tell)?;
                (into, shape)
            }
            (_, None) => return Err(SiteError::Missing { what: "records in mere bytes".to_owned() }),
        };
        let mut asked = Asked { site: self, path: &path, shape, indexes: BTreeMap::new(), tell };
        for (number, index) in index.iter().enumerate() {
            let made = asked.index(index, &scratch.0.join(format!("index-{number}")))?;
            asked.indexes.insert(index.name.clone(), made);
        }
        asked.rows(program, count)
    }
}

/// Records that are asked.
struct Asked<'a> {
    site: &'a Site,
    path: &'a Path,
    shape: Shape,
    indexes: BTreeMap<String, PathBuf>,
    tell: &'a Tell,
}

impl Asked<'_> {
    fn index(&self, index: &IndexOf, path: &Path) -> Result<PathBuf, SiteError> {
        let wrong = |source| SiteError::Index { name: index.name.clone(), source };
        let mut writer = IndexWriter::create(path, index.ascending).map_err(wrong)?;
        let program = index.program();
        let mut kept = Ok(());
        let done = self.run(&program, &mut |lines| {
            kept = writer.lines(lines);
            if kept.is_ok() { Ok(()) } else { Err("the index does not take it".into()) }
        });
        kept.map_err(wrong)?;
        done?;
        writer.finish().map_err(wrong)?;
        Ok(path.to_owned())
    }

    fn rows(&self, program: &Named, count: bool) -> Result<Answer, SiteError> {
        let (mut rows, mut all, mut number) = (Vec::new(), blake3::Hasher::new(), 0_u64);
        self.run(program, &mut |lines| {
            all.update(lines);
            for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                number += 1;
                if rows.len() < SHOWN {
                    rows.push(vec![serde_json::from_slice::<Value>(line)?]);
                }
            }
            Ok(())
        })?;
        if count {
            return Ok(Answer::Json(vec![json!(number)]));
        }
        let digest = Digest(*all.finalize().as_bytes());
        Ok(Answer::Rows(rows, AllRows { count: number, digest }))
    }

    fn run(&self, program: &Named, sink: &mut crate::jq_child::Sink<'_>) -> Result<(), SiteError> {
        let question = Question {
            name: program.name.clone(),
            program: program.program.clone(),
            vars: Vec::new(),
            seed: String::new(),
            indexes: self.indexes.clone(),
            id: None,
            kind_in: None,
            kind_out: None,
            memory: MEMORY,
            patience: PATIENCE,
        };
        let mut input = File::open(self.path).map_err(StreamError::Read)?;
        let input = (self.shape, &mut input as &mut (dyn io::Read + Send));
        self.site.jq().stream(&question, input, WORKERS, sink, self.tell)?;
        Ok(())
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
