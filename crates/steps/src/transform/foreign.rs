//! The command of a `transform`: run beside the programs or in their place, and believed no more than they are.

use super::{CommandBody, SHOWN, VARS};
use crate::endpoint::millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;
use switchback_engine::{StepError, Work};
use switchback_flow::same::Canon;
use switchback_flow::transform::Recipe;
use switchback_model::compile::Compile;
use switchback_model::diagnostic::Diagnostic;
use switchback_model::text::Template;
use switchback_site::Site;
use switchback_site::command::{Command, Exit, Output};

/// How long a command may take unless the playbook says otherwise.
const COMMAND_MS: u64 = 3_600_000;

/// A command that does what the programs do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Foreign {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Lines of its standard error that tell of a loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loses: Option<String>,
    /// The count that says how many such lines are declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<String>,
    /// How its records are compared with those of the programs.
    #[serde(default)]
    pub same: Canon,
    /// How long it may take, in milliseconds.
    pub within_ms: u64,
}

/// Compiles it.
pub(super) fn foreign(body: &CommandBody, recipe: &Recipe, cx: &mut Compile<'_>) -> Option<Foreign> {
    let argv = body.argv.iter().map(|arg| cx.text(arg)).collect::<Option<Vec<_>>>()?;
    let span = body.argv.first().map(Template::span).unwrap_or_default();
    if argv.first().is_none_or(String::is_empty) {
        cx.out
            .push(Diagnostic::error("P006", "a command is a program and its arguments").at(span, "is none"));
        return None;
    }
    if let Some(loses) = &body.loses
        && let Err(error) = regex::Regex::new(&loses.value)
    {
        let why = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
        cx.out.push(Diagnostic::error("P016", "this is not a regular expression").at(loses.span, why));
        return None;
    }
    if let Some(counted) = &body.counted
        && !recipe.counted.iter().any(|one| one.name == counted.value)
    {
        let known: Vec<String> = recipe.counted.iter().map(|one| one.name.clone()).collect();
        cx.unknown("count", &counted.value, counted.span, &known);
        return None;
    }
    let program = match &body.same {
        Some(program) => Some(cx.program_over(program, VARS)?),
        None => None,
    };
    Some(Foreign {
        argv,
        loses: body.loses.as_ref().map(|loses| loses.value.clone()),
        counted: body.counted.as_ref().map(|counted| counted.value.clone()),
        same: Canon { program, index: cx.indexes(body.index.as_ref(), VARS)? },
        within_ms: millis(body.within, COMMAND_MS),
    })
}

impl Foreign {
    /// Runs it over a file. Its temporary files go into a folder of ours, and with it: some leave what they have read.
    pub(super) fn run(
        &self,
        from: &Path,
        into: &Path,
        scratch: &Path,
        site: &Site,
        work: &Work<'_>,
    ) -> Result<Output, StepError> {
        let temporary = scratch.join("tmp");
        let make = || -> std::io::Result<()> {
            if temporary.exists() {
                std::fs::remove_dir_all(&temporary)?;
            }
            std::fs::create_dir(&temporary)
        };
        make().map_err(|e| StepError::failed(format!("make {}: {e}", temporary.display())))?;
        let command = Command {
            argv: self.argv.clone(),
            env: BTreeMap::from([("TMPDIR".to_owned(), temporary.display().to_string())]),
            stdin_from: Some(from.to_owned()),
            stdout_to: Some(into.to_owned()),
            timeout: Some(Duration::from_millis(self.within_ms)),
            inherit: site.locks().map_err(|e| StepError::failed(format!("hand the run's locks on: {e}")))?,
            ..Command::default()
        };
        let ran = switchback_site::command::run(&command, site.logs(), work.step, work.tell);
        let gone = std::fs::remove_dir_all(&temporary);
        let ran = ran?;
        gone.map_err(|e| StepError::failed(format!("remove {}: {e}", temporary.display())))?;
        if ran.exit != Exit::Code(0) {
            let ended =
                StepError::failed(format!("run `{}`: it ended with {}", self.argv.join(" "), ran.exit));
            return Err(self.blame(ended, &ran.stderr));
        }
        File::open(into)
            .and_then(|file| file.sync_all())
            .map_err(|e| StepError::failed(format!("sync {}: {e}", into.display())))?;
        Ok(ran.stderr)
    }

    /// Adds what it said to an error.
    pub(super) fn blame(&self, error: StepError, said: &Output) -> StepError {
        let text = String::from_utf8_lossy(&said.tail).into_owned();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let first = lines.len().saturating_sub(SHOWN);
        match &error {
            StepError::Failed(trouble) if trouble.details.is_empty() => error
                .details(lines[first..].to_vec())
                .help(format!("what `{}` said is in {}", self.argv.join(" "), said.file.display())),
            _ => error,
        }
    }

    /// Reads what it said, all of it, for what it left out.
    pub(super) fn lost(&self, said: &Output) -> Result<Lost, StepError> {
        let mut lost = Lost::default();
        let Some(loses) = &self.loses else { return Ok(lost) };
        let wrong = |e: String| StepError::failed(format!("read {}: {e}", said.file.display()));
        let regex = regex::bytes::Regex::new(loses).map_err(|e| wrong(e.to_string()))?;
        let mut file = File::open(&said.file).map_err(|e| wrong(e.to_string()))?;
        file.seek(SeekFrom::Start(said.from)).map_err(|e| wrong(e.to_string()))?;
        for line in BufReader::new(file.take(said.len)).split(b'\n') {
            let line = line.map_err(|e| wrong(e.to_string()))?;
            if regex.is_match(&line) {
                lost.count += 1;
                if lost.shown.len() < SHOWN {
                    lost.shown.push(String::from_utf8_lossy(&line).into_owned());
                }
            }
        }
        Ok(lost)
    }
}

/// What a command says that it left out.
#[derive(Default)]
pub(super) struct Lost {
    pub count: u64,
    pub shown: Vec<String>,
}
