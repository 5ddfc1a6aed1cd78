//! What the two sides of a stream of records say to each other.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use switchback_model::jq::JqError;
use switchback_model::program::Named;

/// A frame larger than this was not sent by our other side.
const LIMIT: u64 = 4 << 30;

/// What the child of a stream is told once, before the first batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Setup {
    pub(super) parts: Vec<Part>,
    pub(super) vars: Vec<(String, Value)>,
    pub(super) seed: String,
    pub(super) indexes: BTreeMap<String, PathBuf>,
    pub(super) id: Option<String>,
    pub(super) kind_in: Option<String>,
    pub(super) kind_out: Option<String>,
    pub(super) seconds: u64,
}

/// One of the programs that are run over the same records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The program; its name is what people know it by, such as that of its file.
    pub program: Named,
    /// Whether the outputs are kept, and their kinds counted; else only their number is.
    pub kept: bool,
}

impl Part {
    /// A program whose outputs are kept.
    pub fn kept(program: Named) -> Part {
        Part { program, kept: true }
    }

    /// A program whose outputs are only counted.
    pub fn counted(program: Named) -> Part {
        Part { program, kept: false }
    }
}

/// Where a batch stands in its stream, before its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// How many records are before it.
    pub(super) number: u64,
    /// How many bytes are before it.
    pub(super) offset: u64,
}

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Records that went in.
    pub records: u64,
    /// The same, by kind, where the question names kinds.
    pub kinds: BTreeMap<String, u64>,
    /// What each program gave, in their order.
    pub given: Vec<Given>,
}

/// What one program gave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// Outputs that came out.
    pub outputs: u64,
    /// Kept outputs, by kind, where the question names kinds.
    pub kinds: BTreeMap<String, u64>,
}

/// What a program could not do to one record. It holds no content of the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which of the programs, from 0; the first where it was none's.
    pub part: usize,
    /// Number of the record, from 1.
    pub number: u64,
    /// Its first byte in the stream, from 0.
    pub offset: u64,
    /// What the record calls itself, where the question says how to find that.
    pub id: Option<String>,
    /// What is wrong.
    pub wrong: String,
}

/// The child's word about one batch; the outputs follow as bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Word {
    /// The counts, and how many bytes of the body are whose outputs.
    Done(Tally, Vec<usize>),
    Refused(Refusal),
    /// A program or one beside it does not compile, or an index cannot be opened.
    Unusable(usize, JqError),
}

impl Tally {
    /// Adds what was counted elsewhere.
    pub fn add(&mut self, other: &Tally) {
        self.records += other.records;
        add(&mut self.kinds, &other.kinds);
        for (to, from) in self.given.iter_mut().zip(&other.given) {
            to.outputs += from.outputs;
            add(&mut to.kinds, &from.kinds);
        }
    }
}

fn add(to: &mut BTreeMap<String, u64>, from: &BTreeMap<String, u64>) {
    for (kind, count) in from {
        *to.entry(kind.clone()).or_default() += count;
    }
}

/// Writes a head as JSON and a body as bytes, each behind its length. The body may lie in several pieces.
pub(super) fn send(mut to: impl Write, head: &impl Serialize, body: &[&[u8]]) -> io::Result<()> {
    let head = serde_json::to_vec(head)?;
    let length: usize = body.iter().map(|piece| piece.len()).sum();
    to.write_all(&(head.len() as u64).to_le_bytes())?;
    to.write_all(&(length as u64).to_le_bytes())?;
    to.write_all(&head)?;
    for piece in body {
        to.write_all(piece)?;
    }
    to.flush()
}

/// Reads what [`send`] wrote; `None` when the other side is done.
pub(super) fn receive<H: for<'a> Deserialize<'a>>(mut from: impl Read) -> io::Result<Option<(H, Vec<u8>)>> {
    let mut lengths = [0; 16];
    if from.read(&mut lengths[..1])? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut lengths[1..])?;
    let [head, body] = [0, 8].map(|at| {
        let mut length = [0; 8];
        length.copy_from_slice(&lengths[at..at + 8]);
        u64::from_le_bytes(length)
    });
    if head > LIMIT || body > LIMIT {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is longer than any of ours"));
    }
    let head = serde_json::from_slice(&exactly(&mut from, head)?)?;
    Ok(Some((head, exactly(&mut from, body)?)))
}

fn exactly(from: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    if from.take(length).read_to_end(&mut bytes)? as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}
