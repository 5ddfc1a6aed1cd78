//! Records through jq programs: indexes first, then pass after pass over the input, into one file.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use switchback_model::equation::{Counts, Equation};
use switchback_model::program::{IndexOf, Named};
use switchback_model::records::Shape;
use switchback_site::jq_child::{IndexError, IndexWriter, JqChild, Question, StreamError, Tally};
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
    /// A folder for indexes; they are gone afterwards.
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
pub fn transform(recipe: &Recipe, bench: &Bench<'_>, tell: &Tell) -> Result<Made, TransformError> {
    Work::new(recipe, bench, tell).over_indexes(|work| {
        let counted = work.counted()?;
        work.adds_up(Made { counted, ..work.passes()? })
    })
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
        let mut counted = work.counted()?;
        counted.extend(lost);
        let nothing = Named { name: "the count".to_owned(), program: "empty".to_owned() };
        let input = work.pass(&nothing, true, &mut |_| Ok(()))?;
        // What goes in there has come out here.
        let made = Bench { from: bench.into, shape: Shape::Lines, ..*bench };
        let kinds = Recipe { kind_in: recipe.kind_out.clone(), ..Recipe::default() };
        let output = Work::new(&kinds, &made, tell).pass(&nothing, true, &mut |_| Ok(()))?;
        let tally = Tally { outputs: output.records, kinds_out: output.kinds_in, ..input };
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
    /// Files to take away at the end.
    scratch: Vec<PathBuf>,
    tell: &'a Tell,
}

impl<'a> Work<'a> {
    pub(crate) fn new(recipe: &'a Recipe, bench: &'a Bench<'a>, tell: &'a Tell) -> Work<'a> {
        Work { recipe, bench, indexes: BTreeMap::new(), scratch: Vec::new(), tell }
    }

    /// Does a part of the work between the making of the indexes and their end.
    pub(crate) fn over_indexes<T>(
        mut self,
        part: impl FnOnce(&Work<'_>) -> Result<T, TransformError>,
    ) -> Result<T, TransformError> {
        let done = self.make_indexes().and_then(|()| part(&self));
        // Scratch, whatever the end; what cannot be taken away is written over next time.
        self.scratch.iter().for_each(|path| drop(std::fs::remove_file(path)));
        done
    }

    fn make_indexes(&mut self) -> Result<(), TransformError> {
        let mut indexes = BTreeMap::new();
        for (number, index) in self.recipe.indexes.iter().enumerate() {
            // By number: a name of a playbook is no file name.
            let path = self.bench.scratch.join(format!("index-{number}"));
            self.scratch.push(path.clone());
            self.index(index, &path)?;
            indexes.insert(index.name.clone(), path);
        }
        self.indexes = indexes;
        Ok(())
    }

    /// Counts the outputs of the programs that only measure.
    fn counted(&self) -> Result<BTreeMap<String, u64>, TransformError> {
        let mut counted = BTreeMap::new();
        for program in &self.recipe.counted {
            let tally = self.pass(program, false, &mut |_| Ok(()))?;
            counted.insert(program.name.clone(), tally.outputs);
        }
        Ok(counted)
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

    fn index(&self, index: &IndexOf, path: &Path) -> Result<(), TransformError> {
        let wrong = |source| TransformError::Index { name: index.name.clone(), source };
        let mut writer = IndexWriter::create(path, index.ascending).map_err(wrong)?;
        let program = index.program();
        let done = self.pass(&program, false, &mut |lines| writer.lines(lines).map_err(Into::into));
        match done {
            Err(TransformError::Stream(StreamError::Sink(error))) => match error.downcast::<IndexError>() {
                Ok(error) => return Err(wrong(*error)),
                Err(error) => return Err(StreamError::Sink(error).into()),
            },
            other => other?,
        };
        writer.finish().map_err(wrong)?;
        Ok(())
    }

    fn passes(&self) -> Result<Made, TransformError> {
        let path = self.bench.into;
        let fail = |doing| move |source| TransformError::File { doing, path: path.to_owned(), source };
        self.tell.point("before the output").map_err(StreamError::Halt)?;
        let mut options = OpenOptions::new();
        // Readable by us alone: nobody has said yet that there is no secret in it.
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(path).map_err(fail("write"))?;
        let (mut hasher, mut bytes, mut tally) = (blake3::Hasher::new(), 0, Tally::default());
        for program in &self.recipe.passes {
            let mut sink = |lines: &[u8]| {
                hasher.update(lines);
                bytes += lines.len() as u64;
                Ok(file.write_all(lines)?)
            };
            let mut passed = match self.pass(program, true, &mut sink) {
                Err(TransformError::Stream(StreamError::Sink(error))) => {
                    return Err(fail("write")(io::Error::other(error)));
                }
                other => other?,
            };
            if tally.records > 0 {
                // Each pass sees all of the input; it is counted once.
                passed.records = 0;
                passed.kinds_in.clear();
            }
            tally.add(&passed);
            self.tell.point("between passes").map_err(StreamError::Halt)?;
        }
        file.sync_all().map_err(fail("sync"))?;
        let blake3 = hasher.finalize().to_hex().to_string();
        Ok(Made { bytes, blake3, tally, counted: BTreeMap::new() })
    }

    pub(crate) fn pass(
        &self,
        program: &Named,
        with_kinds: bool,
        sink: &mut switchback_site::jq_child::Sink<'_>,
    ) -> Result<Tally, TransformError> {
        let kind = |kind: &Option<String>| kind.clone().filter(|_| with_kinds);
        let question = Question {
            name: program.name.clone(),
            program: program.program.clone(),
            vars: vec![("now".to_owned(), Value::from(self.bench.now))],
            seed: self.bench.seed.to_owned(),
            indexes: self.indexes.clone(),
            id: self.recipe.id.clone(),
            kind_in: kind(&self.recipe.kind_in),
            kind_out: kind(&self.recipe.kind_out),
            memory: self.bench.memory,
            patience: self.bench.patience,
        };
        let path = self.bench.from;
        let mut input = File::open(path).map_err(|source| TransformError::File {
            doing: "read",
            path: path.to_owned(),
            source,
        })?;
        let input = (self.bench.shape, &mut input as &mut (dyn io::Read + Send));
        Ok(self.bench.child.stream(&question, input, self.bench.workers, sink, self.tell)?)
    }
}
