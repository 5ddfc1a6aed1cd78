//! The indexes that programs look into, made before they run.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use switchback_model::program::IndexOf;
use switchback_model::records::Shape;

use super::frame::Part;
use super::index::{IndexError, IndexWriter};
use super::parent::JqChild;
use super::stream::{Question, StreamError};
use crate::tell::Tell;

/// Why indexes could not be made. What there is of them is scratch. The text fits after "cannot".
#[derive(Debug, thiserror::Error)]
pub enum MakeIndexError {
    /// A program or a record stopped it.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// An index does not take its keys.
    #[error("make index `{name}`: {source}")]
    Index {
        /// Name of the index.
        name: String,
        /// What is wrong.
        source: IndexError,
    },
}

impl JqChild {
    /// Makes indexes over the records of `input`, which is read once, and returns their files in `folder` by their names.
    ///
    /// `like` says with what the programs run; its programs and indexes are not used, since no index sees another.
    pub fn indexes(
        &self,
        wanted: &[IndexOf],
        like: &Question,
        input: (Shape, &mut (dyn Read + Send)),
        folder: &Path,
        tell: &Tell,
    ) -> Result<BTreeMap<String, PathBuf>, MakeIndexError> {
        if wanted.is_empty() {
            return Ok(BTreeMap::new());
        }
        let wrong = |number: usize| {
            let name = wanted.get(number).map(|index| index.name.clone()).unwrap_or_default();
            move |source| MakeIndexError::Index { name, source }
        };
        let (mut files, mut writers) = (BTreeMap::new(), Vec::new());
        for (number, index) in wanted.iter().enumerate() {
            // By number: a name of a playbook is no file name.
            let path = folder.join(format!("index-{number}"));
            writers.push(IndexWriter::create(&path, index.ascending).map_err(wrong(number))?);
            files.insert(index.name.clone(), path);
        }
        let question = Question {
            parts: wanted.iter().map(|index| Part::kept(index.program())).collect(),
            indexes: BTreeMap::new(),
            kind_in: None,
            kind_out: None,
            ..like.clone()
        };
        let mut refused = None;
        let mut sink = |part: usize, lines: &[u8]| {
            let taken = writers.get_mut(part).map_or(Ok(()), |writer| writer.lines(lines));
            taken.map_err(|error| {
                refused = Some((part, error));
                "the index does not take it".into()
            })
        };
        let streamed = self.stream(&question, input, &mut sink, tell);
        if let Some((number, error)) = refused {
            return Err(wrong(number)(error));
        }
        streamed?;
        for (number, writer) in writers.into_iter().enumerate() {
            writer.finish().map_err(wrong(number))?;
        }
        Ok(files)
    }
}
