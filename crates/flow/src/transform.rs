//! Records through jq programs: indexes first, then pass after pass over the input, into one file.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use switchback_model::equation::{Counts, Equation};
use switchback_model::program::{IndexOf, Named};
use switchback_model::records::Shape;
use switchback_site::jq_child::{
    IndexError, JqChild, MakeIndexError, Part, Question, Sink, StreamError, Tally as Ran,
};
use switchback_site::tell::{Failure, Halt, Tell};

/// What is done to the records. Plain data, without the places.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// Made in this order; none sees another.
    pub indexes: Vec<IndexOf>,
    /// Run in this order, each over the whole input; the outputs follow each other.
    pub passes: Vec<Named>,
    /// Gives the kind of a record that goes in.
    pub kind_in: Option<String>,
    /// Gives the kind of a record that comes out.
    pub kind_out: Option<String>,
    /// Gives what a record calls itself, for errors.
    pub id: Option<String>,
    /// Programs whose outputs over the input are counted: what is given up, measured apart from the passes.
    pub counted: Vec<Named>,
    /// What must hold of the counts.
    pub equations: Vec<Equation>,
}

/// Where and with what.
#[derive(Debug, Clone, Copy)]
pub struct Bench<'a> {
    /// How the children are started.
    pub child: &'a JqChild,
    /// The input.
    pub from: &'a Path,
    /// How its records follow each other.
    pub shape: Shape,
    /// The output, JSON Lines: not there, or a half of an earlier life that is written over. The caller gives it its name.
    pub into: &'a Path,
    /// A folder for indexes and what later passes make; they are gone afterwards.
    pub scratch: &'a Path,
    /// What `uuid` hashes names with: the same in each life of a run.
    pub seed: &'a str,
    /// The value of `$now`.
    pub now: &'a str,
    /// Children at once.
    pub workers: usize,
    /// Bytes of memory of each.
    pub memory: u64,
    /// How long one batch of about a mebibyte may take.
    pub patience: Duration,
}

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Records that went in.
    pub records: u64,
    /// Records that came out.
    pub outputs: u64,
    /// Records that went in, by kind where the recipe says kinds.
    pub kinds_in: BTreeMap<String, u64>,
    /// Records that came out, likewise.
    pub kinds_out: BTreeMap<String, u64>,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Bytes of the output.
    pub bytes: u64,
    /// BLAKE3 of the output, hexadecimal.
    pub blake3: String,
    /// Records in and out, by kind where the recipe says kinds.
    pub tally: Tally,
    /// The measured counts, by name.
    pub counted: BTreeMap<String, u64>,
}

/// Why a transform did not come to its end. The output is a half then; the input is untouched. The text fits after "cannot".
#[derive(Debug, thiserror::Error)]
pub enum TransformError {
    /// A program or a record stopped it.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// An index could not be made.
    #[error("make index `{name}`: {source}")]
    Index {
        /// Name of the index.
        name: String,
        /// What is wrong.
        source: IndexError,
    },
    /// A file of ours could not be read or written.
    #[error("{doing} {}: {source}", path.display())]
    File {
        /// What was attempted.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The counts are not as the playbook says.
    #[error("trust what came out: {}", .0.join("; "))]
    Unequal(Vec<String>),
}

impl From<MakeIndexError> for TransformError {
    fn from(error: MakeIndexError) -> TransformError {
        match error {
            MakeIndexError::Stream(error) => error.into(),
            MakeIndexError::Index { name, source } => TransformError::Index { name, source },
        }
    }
}

impl Failure for TransformError {
    fn halt(&self) -> Option<Halt> {
        match self {
            TransformError::Stream(error) => error.halt(),
            _ => None,
        }
    }
}

/// Carries it out. After `Ok` the output and its counts are whole, and the output is synced; giving it its name is the
/// caller's. A repeat over the same input gives the same bytes.
///
/// The input is read twice, however many programs there are: once for the indexes, and once for all passes and counts. What
/// the second and later passes make waits in files without names in the scratch folder, and is then put behind the first's.
pub fn transform(recipe: &Recipe, bench: &Bench<'_>, tell: &Tell) -> Result<Made, TransformError> {
    Work::new(recipe, bench, tell).over_indexes(|work| work.adds_up(work.make()?))
}

/// Weighs what a command made of the same records: its records and kinds are counted, and the equations must hold. `lost` are
/// counts that the command has told itself.
pub fn weigh(
    recipe: &Recipe,
    bench: &Bench<'_>,
    lost: BTreeMap<String, u64>,
    tell: &Tell,
) -> Result<Made, TransformError> {
    Work::new(recipe, bench, tell).over_indexes(|work| {
        let input = work.run(work.counts(), true, &mut |_, _| Ok(()))?;
        let mut counted = work.counted(&input);
        counted.extend(lost);
        // What goes in there has come out here.
        let made = Bench { from: bench.into, shape: Shape::Lines, ..*bench };
        let kinds = Recipe { kind_in: recipe.kind_out.clone(), ..Recipe::default() };
        let output = Work::new(&kinds, &made, tell).run(Vec::new(), true, &mut |_, _| Ok(()))?;
        let tally = Tally {
            records: input.records,
            outputs: output.records,
            kinds_in: input.kinds,
            kinds_out: output.kinds,
        };
        let (bytes, blake3) = switchback_site::artifacts::digest(bench.into, tell).map_err(|error| {
            let wrong = io::Error::other(error);
            TransformError::File { doing: "read", path: bench.into.to_owned(), source: wrong }
        })?;
        work.adds_up(Made { bytes, blake3, tally, counted })
    })
}

pub(crate) struct Work<'a> {
    recipe: &'a Recipe,
    bench: &'a Bench<'a>,
    indexes: BTreeMap<String, PathBuf>,
    tell: &'a Tell,
}

impl<'a> Work<'a> {
    pub(crate) fn new(recipe: &'a Recipe, bench: &'a Bench<'a>, tell: &'a Tell) -> Work<'a> {
        Work { recipe, bench, indexes: BTreeMap::new(), tell }
    }

    /// Does a part of the work between the making of the indexes and their end.
    pub(crate) fn over_indexes<T>(
        mut self,
        part: impl FnOnce(&Work<'_>) -> Result<T, TransformError>,
    ) -> Result<T, TransformError> {
        let folder =
            tempfile::Builder::new().prefix("indexes-").tempdir_in(self.bench.scratch).map_err(|source| {
                TransformError::File {
                    doing: "make a folder in",
                    path: self.bench.scratch.to_owned(),
                    source,
                }
            })?;
        if !self.recipe.indexes.is_empty() {
            let (question, mut input) = self.question(Vec::new(), false)?;
            let input = (self.bench.shape, &mut input as &mut (dyn io::Read + Send));
            let wanted = &self.recipe.indexes;
            self.indexes = self.bench.child.indexes(wanted, &question, input, folder.path(), self.tell)?;
        }
        part(&self)
    }

    /// Runs the passes and the counts, and writes what the passes make.
    fn make(&self) -> Result<Made, TransformError> {
        self.tell.point("before the output").map_err(StreamError::Halt)?;
        let mut output = Output::create(self.bench.into)?;
        let mut parts = self.counts();
        let first = parts.len();
        parts.extend(self.recipe.passes.iter().cloned().map(Part::kept));
        let spool = || {
            tempfile::tempfile_in(self.bench.scratch).map_err(|source| TransformError::File {
                doing: "make a file in",
                path: self.bench.scratch.to_owned(),
                source,
            })
        };
        let mut later: Vec<File> =
            self.recipe.passes.iter().skip(1).map(|_| spool()).collect::<Result<_, _>>()?;
        let mut sink = |part: usize, lines: &[u8]| match part.checked_sub(first + 1) {
            None => Ok(output.write(lines)?),
            Some(number) => Ok(later.get_mut(number).map_or(Ok(()), |file| file.write_all(lines))?),
        };
        let fail =
            |doing| move |source| TransformError::File { doing, path: self.bench.into.to_owned(), source };
        let ran = match self.run(parts, true, &mut sink) {
            Err(TransformError::Stream(StreamError::Sink(error))) => {
                return Err(fail("write")(io::Error::other(error)));
            }
            other => other?,
        };
        for spool in later {
            self.tell.point("between passes").map_err(StreamError::Halt)?;
            output.append(spool, self.tell).map_err(|error| match error {
                Appending::Halt(halt) => StreamError::Halt(halt).into(),
                Appending::Io(source) => fail("write")(source),
            })?;
        }
        self.tell.point("before the sync of the output").map_err(StreamError::Halt)?;
        output.file.sync_all().map_err(fail("sync"))?;
        let mut tally = Tally { records: ran.records, kinds_in: ran.kinds.clone(), ..Tally::default() };
        for given in ran.given.iter().skip(first) {
            tally.outputs += given.outputs;
            for (kind, count) in &given.kinds {
                *tally.kinds_out.entry(kind.clone()).or_default() += count;
            }
        }
        let blake3 = output.hasher.finalize().to_hex().to_string();
        Ok(Made { bytes: output.bytes, blake3, tally, counted: self.counted(&ran) })
    }

    /// The programs that only measure.
    fn counts(&self) -> Vec<Part> {
        self.recipe.counted.iter().cloned().map(Part::counted).collect()
    }

    /// What they have counted: they ran before all others.
    fn counted(&self, ran: &Ran) -> BTreeMap<String, u64> {
        let outputs = ran.given.iter().map(|given| given.outputs);
        self.recipe.counted.iter().map(|program| program.name.clone()).zip(outputs).collect()
    }

    /// Returns what was made if its counts are as the playbook says.
    fn adds_up(&self, made: Made) -> Result<Made, TransformError> {
        let counts = Counts {
            input: (made.tally.records, made.tally.kinds_in.clone()),
            output: (made.tally.outputs, made.tally.kinds_out.clone()),
            named: made.counted.clone(),
        };
        let wrong: Vec<String> =
            self.recipe.equations.iter().filter_map(|equation| equation.check(&counts).err()).collect();
        if wrong.is_empty() { Ok(made) } else { Err(TransformError::Unequal(wrong)) }
    }

    /// Runs one program over all records and gives its outputs to `sink`.
    pub(crate) fn pass(&self, program: &Named, sink: &mut Sink<'_>) -> Result<(), TransformError> {
        self.run(vec![Part::kept(program.clone())], false, sink).map(drop)
    }

    fn run(&self, parts: Vec<Part>, with_kinds: bool, sink: &mut Sink<'_>) -> Result<Ran, TransformError> {
        let (question, mut input) = self.question(parts, with_kinds)?;
        let input = (self.bench.shape, &mut input as &mut (dyn io::Read + Send));
        Ok(self.bench.child.stream(&question, input, sink, self.tell)?)
    }

    fn question(&self, parts: Vec<Part>, with_kinds: bool) -> Result<(Question, File), TransformError> {
        let path = self.bench.from;
        let fail = |source| TransformError::File { doing: "read", path: path.to_owned(), source };
        let input = File::open(path).map_err(fail)?;
        let kind = |kind: &Option<String>| kind.clone().filter(|_| with_kinds);
        let question = Question {
            parts,
            vars: vec![("now".to_owned(), Value::from(self.bench.now))],
            seed: self.bench.seed.to_owned(),
            indexes: self.indexes.clone(),
            id: self.recipe.id.clone(),
            kind_in: kind(&self.recipe.kind_in),
            kind_out: kind(&self.recipe.kind_out),
            memory: self.bench.memory,
            patience: self.bench.patience,
            workers: self.bench.workers,
            bytes: Some(input.metadata().map_err(fail)?.len()),
        };
        Ok((question, input))
    }
}

/// The output on its way: written, hashed and counted together.
struct Output {
    file: File,
    hasher: blake3::Hasher,
    bytes: u64,
}

enum Appending {
    Halt(Halt),
    Io(io::Error),
}

impl Output {
    fn create(path: &Path) -> Result<Output, TransformError> {
        let mut options = OpenOptions::new();
        // Readable by us alone: nobody has said yet that there is no secret in it.
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
        let file =
            file.map_err(|source| TransformError::File { doing: "write", path: path.to_owned(), source })?;
        Ok(Output { file, hasher: blake3::Hasher::new(), bytes: 0 })
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.hasher.update(lines);
        self.bytes += lines.len() as u64;
        self.file.write_all(lines)
    }

    /// Puts a file behind what there is.
    fn append(&mut self, mut from: File, tell: &Tell) -> Result<(), Appending> {
        from.rewind().map_err(Appending::Io)?;
        let mut chunk = vec![0; 1 << 20];
        loop {
            tell.go_on().map_err(Appending::Halt)?;
            match from.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(count) => self.write(&chunk[..count]).map_err(Appending::Io)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Appending::Io(error)),
            }
        }
    }
}
