//! `transform`: makes one artifact of another, by jq programs, by a command, or by both, compared.

mod foreign;

use foreign::{Foreign, foreign};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use switchback_engine::registry::Compiled;
use switchback_engine::{Condition, Kind, Overlay, Preview, Step, StepError, Work};
use switchback_flow::same::{Side, same};
use switchback_flow::transform::{Bench, Made, Recipe, transform, weigh};
use switchback_model::artifact::{Artifact, ArtifactFacts};
use switchback_model::compile::Compile;
use switchback_model::decode::{Duration as Time, Keyed, Spanned};
use switchback_model::diagnostic::Diagnostic;
use switchback_model::equation::Equation;
use switchback_model::plan::{Reversal, Touch};
use switchback_model::program::{IndexBody, Named};
use switchback_model::records::Shape;
use switchback_model::text::Template;
use switchback_model::{choice, record};
use switchback_site::Site;
use switchback_site::artifacts::digest;
use switchback_site::command::exists;

/// What programs have beside their record.
pub(crate) const VARS: &[&str] = &["now"];
/// How long one batch of about a mebibyte may take in a child.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of memory of a child: far more than one needs, and less than what would hurt the machine.
pub(crate) const MEMORY: u64 = 512 << 20;
/// Children at once: more would take the machine from those who still work on it.
const WORKERS: usize = 4;
/// How many lines of what a command said are shown.
const SHOWN: usize = 20;

record! {
    /// Makes one artifact of another.
    pub struct TransformBody {
        /// The artifact that is read.
        pub from: Template,
        /// The artifact that is made.
        pub into: Template,
        /// Indexes over what is read; programs look into them with `known`, `rank` and `lookup`.
        pub index: Option<Keyed<IndexBody>>,
        /// jq programs, each run over every record. What they give follows each other.
        pub passes: Vec<Spanned<String>>,
        /// What kinds of records there are, for counts.
        pub kinds: Option<KindsBody>,
        /// A program that gives what a record is known by, for errors.
        pub known_by: Option<Spanned<String>>,
        /// Programs whose outputs are counted, by name: what is left out, measured apart from what does it.
        pub counted: Option<Keyed<Spanned<String>>>,
        /// What must hold of the counts, such as `out.Run = in.run - dropped`.
        pub equations: Vec<Spanned<String>>,
        /// A command that does the same.
        pub command: Option<CommandBody>,
        /// Who does it, where there are both: `programs`, `command`, or `auto`, which is the programs, compared with the
        /// command where that is there.
        pub by: Option<Template>,
    }
}

record! {
    /// Programs that give the kind of a record.
    pub struct KindsBody {
        /// Of one that is read.
        pub r#in: Spanned<String>,
        /// Of one that is made.
        pub out: Spanned<String>,
    }
}

record! {
    /// A command that reads the records on its standard input and writes others to its standard output.
    pub struct CommandBody {
        /// The program and its arguments.
        pub argv: Vec<Template>,
        /// A regular expression: each line of its standard error that matches is a record that it left out.
        pub loses: Option<Spanned<String>>,
        /// The name under `counted` that tells how many such lines are declared; without it, none is.
        pub counted: Option<Spanned<String>>,
        /// A jq program that takes out of a record what differs by right, to compare with what the programs make.
        pub same: Option<Spanned<String>>,
        /// Indexes for that program, over what was made.
        pub index: Option<Keyed<IndexBody>>,
        /// How long it may take.
        pub within: Option<Time>,
    }
}

choice! {
    /// Who does it.
    pub enum By {
        /// The programs.
        Programs = "programs",
        /// The command.
        Command = "command",
        /// The programs, compared with the command where that is there.
        Auto = "auto",
    }
}

/// The kind.
pub struct TransformKind;

impl Kind for TransformKind {
    type Body = TransformBody;
    const NAME: &'static str = "transform";
    const SAYS: &'static str = "makes one artifact of another, by jq programs or a command, and counts";

    fn compile(body: TransformBody, cx: &mut Compile<'_>) -> Compiled {
        let (from, into) = (cx.artifact(&body.from), cx.artifact(&body.into));
        let (from, into) = (from?, into?);
        let shape = from.format.shape();
        let wrong = if shape.is_none() || into.format.shape() != Some(Shape::Lines) {
            Some((
                "records are read, and JSON Lines are made",
                "give `from` a format of JSON, and `into` `json-lines`",
            ))
        } else if from.member != into.member {
            Some(("one component's records would become another's", "take the same component on both sides"))
        } else if from.label() == into.label() {
            Some(("an artifact cannot be made of itself", "give what is made a name of its own"))
        } else {
            None
        };
        if let Some((wrong, help)) = wrong {
            cx.out.push(Diagnostic::error("P045", wrong).at(body.into.span(), "made here").help(help));
            return None;
        }
        let recipe = recipe(&body, cx)?;
        let command = match &body.command {
            Some(command) => Some(foreign(command, &recipe, cx)?),
            None => None,
        };
        let by = by(&body, &recipe, command.as_ref(), cx)?;
        Some(vec![Box::new(Transform { from, into, recipe, command, by })])
    }
}

fn recipe(body: &TransformBody, cx: &mut Compile<'_>) -> Option<Recipe> {
    let mut passes = Vec::new();
    for pass in &body.passes {
        passes.push(cx.program_over(pass, VARS)?);
    }
    let mut counted = Vec::new();
    for (name, program) in body.counted.iter().flat_map(Keyed::iter) {
        counted.push(Named { name: name.text.clone(), program: cx.program_over(program, VARS)?.program });
    }
    let mut equations = Vec::new();
    for text in &body.equations {
        let unknown = |equation: &Equation| {
            equation.names().find(|name| !counted.iter().any(|one| one.name == *name)).map(str::to_owned)
        };
        let wrong = match Equation::parse(&text.value) {
            Ok(equation) => match unknown(&equation) {
                Some(name) => format!("nothing counts `{name}`: name it under `counted:`"),
                None => {
                    equations.push(equation);
                    continue;
                }
            },
            Err(error) => format!("cannot {error}"),
        };
        cx.out.push(
            Diagnostic::error("P047", wrong)
                .at(text.span, "of this equation")
                .help("write sums such as `out.Run = in.run - dropped`, with `in` and `out` for all records"),
        );
        return None;
    }
    let mut optional = |program: Option<&Spanned<String>>| match program {
        Some(program) => cx.program(program).map(|named| Some(named.program)),
        None => Some(None),
    };
    let kind_in = optional(body.kinds.as_ref().map(|kinds| &kinds.r#in))?;
    let kind_out = optional(body.kinds.as_ref().map(|kinds| &kinds.out))?;
    let id = optional(body.known_by.as_ref())?;
    let indexes = cx.indexes(body.index.as_ref(), VARS)?;
    Some(Recipe { indexes, passes, kind_in, kind_out, id, counted, equations })
}

/// Decides who does it, or says why nobody can.
fn by(body: &TransformBody, recipe: &Recipe, command: Option<&Foreign>, cx: &mut Compile<'_>) -> Option<By> {
    let (asked, span) = match &body.by {
        Some(by) => (cx.text(by)?, by.span()),
        None if command.is_none() => (By::Programs.as_str().to_owned(), body.into.span()),
        None => (By::Auto.as_str().to_owned(), body.into.span()),
    };
    let known = By::ALL.iter().copied().find(|by| by.as_str() == asked);
    let able = match known {
        Some(By::Programs) => !recipe.passes.is_empty(),
        Some(By::Command) => command.is_some(),
        Some(By::Auto) => !recipe.passes.is_empty() && command.is_some(),
        None => false,
    };
    if able {
        return known;
    }
    cx.out.push(
        Diagnostic::error("P006", format!("nobody makes this by `{asked}`"))
            .at(span, "chosen here")
            .help("give it `passes:`, `command:` or both; `by:` is `programs`, `command` or `auto`"),
    );
    None
}

/// The step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transform {
    /// What is read.
    pub from: Artifact,
    /// What is made.
    pub into: Artifact,
    /// Programs, counts and equations.
    pub recipe: Recipe,
    /// The command that does it, or does it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Foreign>,
    /// Who does it.
    pub by: By,
}

impl Transform {
    /// The command that has a part in it on this machine.
    fn foreign(&self) -> Option<&Foreign> {
        let there = |foreign: &&Foreign| exists(foreign.argv.first().map_or("", String::as_str));
        self.command.as_ref().filter(|foreign| match self.by {
            By::Programs => false,
            By::Command => true,
            By::Auto => there(foreign),
        })
    }

    fn make(
        &self,
        from: &Path,
        scratch: &Path,
        site: &Site,
        work: &Work<'_>,
    ) -> Result<(Made, Vec<String>), StepError> {
        let artifacts = site.artifacts();
        let (into, second) = (artifacts.partial(&self.into), artifacts.second(&self.into));
        let bench = Bench {
            child: site.jq(),
            from,
            shape: self.from.format.shape().unwrap_or(Shape::Values),
            into: &into,
            scratch,
            seed: work.run,
            now: work.now,
            workers: workers(),
            memory: MEMORY,
            patience: PATIENCE,
        };
        let by_programs = match self.by {
            By::Command => None,
            By::Programs | By::Auto => Some(transform(&self.recipe, &bench, work.tell)?),
        };
        let Some(foreign) = self.foreign() else {
            return Ok((by_programs.unwrap_or_default(), vec!["programs".to_owned()]));
        };
        let theirs = if by_programs.is_some() { &second } else { &into };
        let said = foreign.run(from, theirs, scratch, site, work)?;
        let lost = foreign.lost(&said)?;
        let weighed = weigh(&self.recipe, &Bench { into: theirs, ..bench }, BTreeMap::new(), work.tell)
            .map_err(|error| foreign.blame(StepError::from(error), &said))?;
        let declared =
            foreign.counted.as_ref().and_then(|name| weighed.counted.get(name)).copied().unwrap_or(0);
        if lost.count != declared {
            return Err(StepError::failed(format!(
                "believe `{}`: it says that it left {} out, and {declared} are declared",
                foreign.argv.join(" "),
                lost.count
            ))
            .details(lost.shown)
            .help(format!("its whole output is in {}", said.file.display())));
        }
        let Some(ours) = by_programs else { return Ok((weighed, vec!["command".to_owned()])) };
        let (one, other) =
            (Side { path: &into, shape: Shape::Lines }, Side { path: theirs, shape: Shape::Lines });
        let compared = same(&foreign.same, one, other, &bench, work.tell)?;
        if !compared.equal {
            return Err(StepError::failed(format!(
                "believe either: the programs made {} and `{}` made {} that are to be the same, and are not",
                compared.records.0,
                foreign.argv.join(" "),
                compared.records.1
            ))
            .details(vec![
                format!("only of the programs: records {}", numbers(&compared.only_first)),
                format!("only of the command: records {}", numbers(&compared.only_second)),
            ])
            .help("choose one of them by the input that chooses, once it is known which of them is right"));
        }
        std::fs::remove_file(&second)
            .map_err(|e| StepError::failed(format!("remove {}: {e}", second.display())))?;
        Ok((ours, vec!["programs".to_owned(), "command".to_owned()]))
    }
}

fn numbers(numbers: &[u64]) -> String {
    match numbers {
        [] => "none".to_owned(),
        some => some.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

pub(crate) fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(WORKERS)
}

/// A folder beside the artifacts for what is there only while a step works, as private as they are.
pub(crate) fn scratch(site: &Site, artifact: &Artifact) -> Result<PathBuf, StepError> {
    let folder = site.artifacts().scratch(artifact);
    let make = || -> std::io::Result<()> {
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        switchback_engine::run_dir::make_private(&folder)
    };
    make().map_err(|e| StepError::failed(format!("make {}: {e}", folder.display())))?;
    Ok(folder)
}

impl Step for Transform {
    const KIND: &'static str = "transform";
    type Before = ();

    fn describe(&self) -> String {
        format!("make {} of {}", self.into.label(), self.from.label())
    }

    fn subject(&self) -> String {
        self.into.file_name()
    }

    fn touches(&self) -> Vec<Touch> {
        Vec::new()
    }

    fn makes(&self) -> Vec<Artifact> {
        vec![self.into.clone()]
    }

    fn takes(&self) -> Vec<Artifact> {
        vec![self.from.clone()]
    }

    fn reversal(&self) -> Reversal {
        Reversal::ByUndo
    }

    fn preview(&self, _world: &mut Overlay<'_>) -> Result<Preview, StepError> {
        let mut lines = Vec::new();
        if let (By::Command, Some(foreign)) = (self.by, &self.command) {
            let program = &foreign.argv[0];
            if !exists(program) {
                return Err(StepError::failed(format!("find the program `{program}`"))
                    .help("install it, or name it by its whole path"));
            }
        }
        if self.by != By::Command {
            let names: Vec<&str> = self.recipe.passes.iter().map(|pass| pass.name.as_str()).collect();
            lines.push(format!("by {}", names.join(", ")));
        }
        match (self.by, self.foreign(), &self.command) {
            (By::Command, Some(foreign), _) => lines.push(format!("by `{}`", foreign.argv.join(" "))),
            (_, Some(foreign), _) => lines.push(format!("compared with `{}`", foreign.argv.join(" "))),
            (By::Auto, None, Some(foreign)) => {
                lines.push(format!("`{}` is not there to compare with", foreign.argv[0]));
            }
            _ => {}
        }
        lines.extend(self.recipe.equations.iter().map(|equation| format!("must hold: {}", equation)));
        // Its indexes; what later passes make, until it is put behind the first's; and what a command makes, beside whatever it
        // keeps meanwhile in the folder it is given.
        let later = u64::from(self.recipe.passes.len() > 1 && self.by != By::Command);
        let copies = later + if self.foreign().is_some() { 3 } else { 1 };
        Ok(Preview { copies, ..Preview::of(lines, 2000) })
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
        let artifacts = site.artifacts();
        let (from, _) = artifacts.whole(&self.from, work.tell)?;
        let scratch = scratch(site, &self.into)?;
        let made = self.make(&from, &scratch, site, work);
        let gone = std::fs::remove_dir_all(&scratch);
        let (made, by) = made?;
        gone.map_err(|e| StepError::failed(format!("remove {}: {e}", scratch.display())))?;
        // Read back: what is noted is what the disk holds.
        let (bytes, blake3) = digest(&artifacts.partial(&self.into), work.tell)?;
        if (bytes, &blake3) != (made.bytes, &made.blake3) {
            return Err(StepError::failed(format!(
                "believe {}: the disk gives back other bytes",
                self.into.label()
            )));
        }
        let facts = ArtifactFacts {
            bytes,
            blake3,
            records: Some(made.tally.outputs),
            kinds: made.tally.kinds_out.clone(),
            step: work.step.to_owned(),
            since: work.now.to_owned(),
            secret: self.into.secret,
        };
        artifacts.keep(&self.into, &facts, work.tell)?;
        Ok(json!({
            "bytes": facts.bytes, "in": made.tally.kinds_in, "out": made.tally.kinds_out, "counted": made.counted,
            "records": made.tally.outputs, "by": by,
        }))
    }

    fn undo(&self, site: &Site, (): &(), work: &Work<'_>) -> Result<(), StepError> {
        Ok(site.artifacts().remove(&self.into, work.tell)?)
    }
}
