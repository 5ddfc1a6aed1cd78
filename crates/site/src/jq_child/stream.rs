//! The parent's side of a stream: batches to several children at once, their outputs in the order of the input.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use switchback_model::records::{RecordError, Shape, Splitter};

use super::frame::{Given, Part, Place, Refusal, Setup, Tally};
use super::parent::JqChild;
use super::worker::{Slot, Worker};
use crate::tell::{Failure, Halt, Tell, Unit};

/// Bytes of a batch: large enough that talking costs nothing, small enough that a few fit anywhere.
const BATCH: usize = 1 << 20;
/// Batches under way for each child, done ones that wait for an earlier one included.
const AHEAD: usize = 3;
/// How often the waiting side looks around.
const LOOK: Duration = Duration::from_millis(20);

/// Programs over the records of a stream. Each record is read once, and given to all of them in their order.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// The programs.
    pub parts: Vec<Part>,
    /// Values of their variables.
    pub vars: Vec<(String, Value)>,
    /// What `uuid` hashes names with.
    pub seed: String,
    /// Files of the indexes that `rank` and `known` look into.
    pub indexes: BTreeMap<String, PathBuf>,
    /// A program that gives what a record calls itself, for errors.
    pub id: Option<String>,
    /// A program that gives the kind of a record.
    pub kind_in: Option<String>,
    /// A program that gives the kind of an output that is kept.
    pub kind_out: Option<String>,
    /// Bytes of memory of each child, beside what it takes itself.
    pub memory: u64,
    /// How long one batch may take.
    pub patience: Duration,
    /// Children at once; at least one.
    pub workers: usize,
    /// Bytes of the input where they are known, so that progress can tell how much is left.
    pub bytes: Option<u64>,
}

impl Question {
    /// The name of a program, for errors.
    pub(super) fn name(&self, part: usize) -> String {
        self.parts.get(part).map_or_else(|| "the count".to_owned(), |part| part.program.name.clone())
    }

    fn doing(&self) -> String {
        match self.parts.len() {
            0 | 1 => format!("running {}", self.name(0)),
            count => format!("running {} and {} more", self.name(0), count - 1),
        }
    }
}

/// Why a stream did not go through. The text fits after "cannot"; no content of a record is in it.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The operation was ended from outside; the children were ended with it.
    #[error("go on: {0}")]
    Halt(#[from] Halt),
    /// The input is not a stream of records.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The program cannot do it to a record.
    #[error("run {program} on record {} at byte {}{}: {}", at.number, at.offset, id(at), at.wrong)]
    Refused {
        /// Name of the program.
        program: String,
        /// The record, and what is wrong.
        at: Refusal,
    },
    /// The program cannot be used at all.
    #[error("use {program}: {wrong}")]
    Unusable {
        /// Name of the program.
        program: String,
        /// What is wrong.
        wrong: String,
    },
    /// The input cannot be read.
    #[error("read the records: {0}")]
    Read(io::Error),
    /// A child could not be started or heard.
    #[error("run {}: {source}", program.display())]
    Child {
        /// Our binary.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What takes the outputs did not.
    #[error("{0}")]
    Sink(Box<dyn std::error::Error + Send + Sync>),
}

fn id(at: &Refusal) -> String {
    at.id.as_ref().map(|id| format!(" (`{id}`)")).unwrap_or_default()
}

impl Failure for StreamError {
    fn halt(&self) -> Option<Halt> {
        match self {
            StreamError::Halt(halt) => Some(*halt),
            StreamError::Sink(error) => error.downcast_ref::<Halt>().copied(),
            _ => None,
        }
    }
}

/// What takes the kept outputs of the program with that number, from 0: JSON Lines, in the order of the input.
pub type Sink<'a> = dyn FnMut(usize, &[u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + 'a;

pub(super) struct Job {
    seq: u64,
    pub(super) place: Place,
    pub(super) bytes: Vec<u8>,
}

pub(super) struct Answered {
    pub(super) tally: Tally,
    /// How many bytes of the outputs are of which program.
    pub(super) lengths: Vec<usize>,
    pub(super) outputs: Vec<u8>,
}

pub(super) type Answer = Result<Answered, StreamError>;

struct Done {
    seq: u64,
    input: u64,
    answer: Answer,
}

impl JqChild {
    /// Runs programs over every record of `input` in several children, and gives the outputs to `sink` in the order of the
    /// input. Memory is that of a few batches and of the largest record, whatever the size of the stream.
    ///
    /// The error is that of the first record with one, however many children there are.
    pub fn stream(
        &self,
        question: &Question,
        (shape, input): (Shape, &mut (dyn Read + Send)),
        sink: &mut Sink<'_>,
        tell: &Tell,
    ) -> Result<Tally, StreamError> {
        let workers = question.workers.max(1);
        let setup = Setup {
            parts: question.parts.clone(),
            vars: question.vars.clone(),
            seed: question.seed.clone(),
            indexes: question.indexes.clone(),
            id: question.id.clone(),
            kind_in: question.kind_in.clone(),
            kind_out: question.kind_out.clone(),
            seconds: question.patience.as_secs(),
        };
        let slots: Vec<Slot> = (0..workers).map(|_| Slot::default()).collect();
        let (jobs_in, jobs) = channel::<Job>();
        let (results_in, results) = channel::<Done>();
        let (tokens_in, tokens) = channel::<()>();
        for _ in 0..workers * AHEAD {
            let _ = tokens_in.send(());
        }
        let jobs = Mutex::new(jobs);
        std::thread::scope(|scope| {
            let to_reader = results_in.clone();
            scope.spawn(move || read(shape, input, &jobs_in, &to_reader, &tokens));
            for slot in &slots {
                let (jobs, results, setup) = (&jobs, results_in.clone(), &setup);
                scope.spawn(move || {
                    let mut worker = Worker::new(self, question, setup, slot);
                    loop {
                        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        let Ok(job) = job else { break };
                        let (seq, input) = (job.seq, job.bytes.len() as u64);
                        let answer = worker.ask(job);
                        if results.send(Done { seq, input, answer }).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(results_in);
            let tally = collect(&results, tokens_in, sink, question, &slots, tell);
            // Whatever the end: nobody has to wait for a child that computes for nothing.
            drop(results);
            slots.iter().for_each(Slot::close);
            tally
        })
    }
}

/// Takes results in the order of the input, and looks after the children meanwhile.
fn collect(
    results: &Receiver<Done>,
    tokens: Sender<()>,
    sink: &mut Sink<'_>,
    question: &Question,
    slots: &[Slot],
    tell: &Tell,
) -> Result<Tally, StreamError> {
    let (mut waiting, mut next, mut bytes) = (BTreeMap::new(), 0_u64, 0_u64);
    let mut total = Tally { given: vec![Given::default(); question.parts.len()], ..Tally::default() };
    let doing = question.doing();
    loop {
        match results.recv_timeout(LOOK) {
            Ok(result) => drop(waiting.insert(result.seq, result)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(total),
        }
        tell.go_on()?;
        slots.iter().for_each(|slot| slot.end_if_late(question.patience));
        while let Some(result) = waiting.remove(&next) {
            let answered = result.answer?;
            let mut rest = answered.outputs.as_slice();
            for (part, length) in answered.lengths.iter().enumerate() {
                let (outputs, after) = rest.split_at_checked(*length).unwrap_or((rest, &[]));
                rest = after;
                if !outputs.is_empty() {
                    sink(part, outputs).map_err(StreamError::Sink)?;
                }
            }
            total.add(&answered.tally);
            next += 1;
            bytes += result.input;
            tell.progress(&doing, bytes, question.bytes, Unit::Bytes);
            let _ = tokens.send(());
        }
    }
}

/// Cuts the input into batches of whole records. What is wrong with it takes its turn behind the batches before it.
fn read(
    shape: Shape,
    input: &mut (dyn Read + Send),
    jobs: &Sender<Job>,
    results: &Sender<Done>,
    tokens: &Receiver<()>,
) {
    let mut seq = 0;
    let mut give = |place: Place, bytes: Vec<u8>| {
        let given = tokens.recv().is_ok() && jobs.send(Job { seq, place, bytes }).is_ok();
        seq += u64::from(given);
        given
    };
    let error = batches(shape, input, &mut give).err();
    if let Some(error) = error {
        let _ = results.send(Done { seq, input: 0, answer: Err(error) });
    }
}

fn batches(
    shape: Shape,
    input: &mut (dyn Read + Send),
    give: &mut impl FnMut(Place, Vec<u8>) -> bool,
) -> Result<(), StreamError> {
    let mut splitter = Splitter::new(shape);
    // Bytes that were read and not given away, from where on, and how much of them is whole records.
    let (mut held, mut from, mut whole) = (Vec::new(), Place { number: 0, offset: 0 }, from_start());
    let mut chunk = vec![0; BATCH / 4];
    loop {
        let count = loop {
            match input.read(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other.map_err(StreamError::Read)?,
            }
        };
        let mut end = |record: switchback_model::records::Record<'_>| {
            whole = Place { number: record.number, offset: record.offset + record.bytes.len() as u64 };
            Ok::<_, RecordError>(())
        };
        held.extend_from_slice(&chunk[..count]);
        let pushed =
            if count == 0 { splitter.finish(&mut end) } else { splitter.push(&chunk[..count], &mut end) };
        let length = usize::try_from(whole.offset - from.offset).unwrap_or(held.len());
        if length > 0 && (length >= BATCH || count == 0 || pushed.is_err()) {
            let rest = held.split_off(length);
            if !give(from, std::mem::replace(&mut held, rest)) {
                return Ok(());
            }
            from = whole;
        }
        pushed?;
        if count == 0 {
            return Ok(());
        }
    }
}

fn from_start() -> Place {
    Place { number: 0, offset: 0 }
}
