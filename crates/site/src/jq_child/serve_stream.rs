//! The child's side of a stream: one program, batch after batch.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;

use bytes::Bytes;
use rustix::process::{Resource, Rlimit, setrlimit};
use switchback_model::jq::{JqError, JqValue, Program, Values, World};
use switchback_model::records::{Record, RecordError, Shape, Splitter};

use super::frame::{Given, Place, Refusal, Setup, Tally, Word, receive, send};
use super::index::Index;
use super::worker::NOTE;

/// More kinds than this are no kinds.
const KINDS: usize = 1000;
/// Longest name of a record in an error.
const ID: usize = 100;

/// Answers batches until there are no more.
pub(super) fn serve(mut stdin: impl Read, mut stdout: impl Write, notes: BorrowedFd<'_>) -> io::Result<()> {
    let Some((setup, _)) = receive::<Setup>(&mut stdin)? else { return Ok(()) };
    let work = Work::new(&setup, notes);
    while let Some((place, batch)) = receive::<Place>(&mut stdin)? {
        spare_seconds(setup.seconds)?;
        let (word, outputs) = match &work {
            Ok(work) => work.batch(place, batch),
            Err((part, error)) => (Word::Unusable(*part, error.clone()), Vec::new()),
        };
        let pieces: Vec<&[u8]> = outputs.iter().map(Vec::as_slice).collect();
        send(&mut stdout, &word, &pieces)?;
    }
    Ok(())
}

/// Gives the next batch its time. The limit is on the whole life of the process, so it moves on with it.
fn spare_seconds(seconds: u64) -> io::Result<()> {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime).tv_sec;
    let until = u64::try_from(used).unwrap_or(0).saturating_add(seconds).saturating_add(1);
    Ok(setrlimit(Resource::Cpu, Rlimit { current: Some(until), maximum: None })?)
}

struct Work<'a> {
    notes: BorrowedFd<'a>,
    parts: Vec<(Program, bool)>,
    values: Values,
    id: Option<Program>,
    kind_in: Option<Program>,
    kind_out: Option<Program>,
    around: Around,
}

struct Around {
    seed: Vec<u8>,
    indexes: BTreeMap<String, Index>,
}

impl Around {
    fn index(&self, name: &str) -> Result<&Index, String> {
        self.indexes.get(name).ok_or_else(|| {
            let known: Vec<_> = self.indexes.keys().map(String::as_str).collect();
            format!("there is no index `{name}` here, only: {}", known.join(", "))
        })
    }
}

impl World for Around {
    fn rank(&self, index: &str, key: &str) -> Result<Option<u64>, String> {
        let found = self.index(index)?.rank(key);
        found.map_err(|error| format!("cannot look into index `{index}`: {error}"))
    }

    fn lookup(&self, index: &str, key: &str) -> Result<Option<String>, String> {
        let found = self.index(index)?.lookup(key);
        found.map_err(|error| format!("cannot look into index `{index}`: {error}"))
    }

    fn seed(&self) -> &[u8] {
        &self.seed
    }
}

impl<'a> Work<'a> {
    /// Compiles everything; an error says of which part it is.
    fn new(setup: &Setup, notes: BorrowedFd<'a>) -> Result<Work<'a>, (usize, JqError)> {
        let (names, values): (Vec<_>, Vec<_>) = setup.vars.iter().cloned().unzip();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let beside = |text: &Option<String>| {
            text.as_deref().map(|text| Program::compile(text, &[])).transpose().map_err(|error| (0, error))
        };
        let mut indexes = BTreeMap::new();
        for (name, path) in &setup.indexes {
            let index = Index::open(path).map_err(|error| {
                (0, JqError { message: format!("cannot open index `{name}`: {error}"), offset: None })
            })?;
            indexes.insert(name.clone(), index);
        }
        let mut parts = Vec::new();
        for (number, part) in setup.parts.iter().enumerate() {
            let program = Program::over_records(&part.program.program, &names);
            parts.push((program.map_err(|error| (number, error))?, part.kept));
        }
        Ok(Work {
            notes,
            parts,
            values: Values::new(values),
            id: beside(&setup.id)?,
            kind_in: beside(&setup.kind_in)?,
            kind_out: beside(&setup.kind_out)?,
            around: Around { seed: setup.seed.clone().into_bytes(), indexes },
        })
    }

    fn batch(&self, place: Place, batch: Vec<u8>) -> (Word, Vec<Vec<u8>>) {
        let batch = Bytes::from(batch);
        let mut tally = Tally { given: vec![Given::default(); self.parts.len()], ..Tally::default() };
        let mut outputs = vec![Vec::new(); self.parts.len()];
        let mut splitter = Splitter::resume(Shape::Values, place.number, place.offset);
        let mut each = |record: Record<'_>| self.record(&batch, record, &mut tally, &mut outputs);
        let done = splitter.push(&batch, &mut each).and_then(|()| splitter.finish(&mut each));
        match done {
            Ok(()) => (Word::Done(tally, outputs.iter().map(Vec::len).collect()), outputs),
            Err(refusal) => (Word::Refused(refusal), Vec::new()),
        }
    }

    fn record(
        &self,
        batch: &Bytes,
        record: Record<'_>,
        tally: &mut Tally,
        outputs: &mut [Vec<u8>],
    ) -> Result<(), Refusal> {
        let refusal =
            |part, id, wrong| Refusal { part, number: record.number, offset: record.offset, id, wrong };
        note(self.notes, &record, 0);
        // A record at the very end was held back by the splitter, so it may lie elsewhere.
        let shared = batch.as_ptr_range().contains(&record.bytes.as_ptr());
        let bytes = if shared { batch.slice_ref(record.bytes) } else { Bytes::copy_from_slice(record.bytes) };
        let value = JqValue::read(&bytes).map_err(|error| refusal(0, None, error.message))?;
        let wrong = |part| {
            let value = &value;
            move |error: JqError| refusal(part, self.name(value), error.message)
        };
        count(&self.kind_in, &value, &mut tally.kinds).map_err(wrong(0))?;
        tally.records += 1;
        for (part, (program, kept)) in self.parts.iter().enumerate() {
            if part > 0 {
                note(self.notes, &record, part);
            }
            let (given, lines) = (&mut tally.given[part], &mut outputs[part]);
            for output in program.outputs(&value, &self.values, Some(&self.around)) {
                let output = output.map_err(wrong(part))?;
                given.outputs += 1;
                if *kept {
                    count(&self.kind_out, &output, &mut given.kinds).map_err(wrong(part))?;
                    output.write(lines).map_err(wrong(part))?;
                    lines.push(b'\n');
                }
            }
        }
        Ok(())
    }

    fn name(&self, value: &JqValue) -> Option<String> {
        let id = self.id.as_ref()?.outputs(value, &Values::default(), None).next()?.ok()?;
        let id = id.as_text()?.chars().filter(|char| !char.is_control()).take(ID).collect::<String>();
        (!id.is_empty()).then_some(id)
    }
}

fn count(
    program: &Option<Program>,
    value: &JqValue,
    kinds: &mut BTreeMap<String, u64>,
) -> Result<(), JqError> {
    let Some(program) = program else { return Ok(()) };
    let wrong = |message: &str| JqError { message: message.to_owned(), offset: None };
    let kind = program.outputs(value, &Values::default(), None).next();
    let kind =
        kind.transpose().map_err(|error| wrong(&format!("its kind cannot be told: {}", error.message)))?;
    let kind = kind.as_ref().and_then(JqValue::as_text).ok_or_else(|| wrong("its kind is not a text"))?;
    if let Some(count) = kinds.get_mut(kind) {
        *count += 1;
        return Ok(());
    }
    if kinds.len() >= KINDS {
        return Err(wrong("there are more than 1000 kinds"));
    }
    kinds.insert(kind.to_owned(), 1);
    Ok(())
}

/// Leaves word of the record and the program at hand where the parent finds it after our death: at the beginning of our stderr,
/// which is a file.
fn note(notes: BorrowedFd<'_>, record: &Record<'_>, part: usize) {
    let mut words = [0; NOTE];
    for (to, word) in words.chunks_exact_mut(8).zip([record.number, record.offset, part as u64]) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    let _ = rustix::io::pwrite(notes, &words, 0);
}

impl From<RecordError> for Refusal {
    fn from(error: RecordError) -> Refusal {
        Refusal { part: 0, number: error.number, offset: error.offset, id: None, wrong: error.wrong }
    }
}
