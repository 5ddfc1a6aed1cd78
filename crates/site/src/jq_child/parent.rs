//! The parent's side: start the child, wait for its answer, explain its death.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::fs::MemfdFlags;
use serde_json::Value;
use switchback_model::jq::JqError;

use super::child::{Answer, Limits, Question};
use crate::command::{POLL, close_what_we_inherited};
use crate::file::shown;
use crate::tell::{Failure, Halt, Tell, Unit};

/// Why a program gave no outputs. The text fits after "cannot".
#[derive(Debug, thiserror::Error)]
pub enum JqChildError {
    /// The operation was ended from outside; the child was ended with it.
    #[error("go on: {0}")]
    Halt(#[from] Halt),
    /// The program is wrong, or its input is not what it expects.
    #[error("run the jq program: {0}")]
    Program(#[from] JqError),
    /// The child could not be started or heard.
    #[error("run {}: {source}", shown(program))]
    Io {
        /// Our binary.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The program did not end in time.
    #[error("wait longer for the jq program: it was ended after {} s", after.as_secs())]
    TooSlow {
        /// The time that was allowed.
        after: Duration,
    },
    /// The child died of the program.
    #[error("run the jq program: it died of signal {signal}; {help}")]
    Died {
        /// The number of the signal; 0 if it left without an answer.
        signal: i32,
        /// What is likely wrong with the program.
        help: String,
    },
}

impl Failure for JqChildError {
    fn halt(&self) -> Option<Halt> {
        match self {
            JqChildError::Halt(halt) => Some(*halt),
            _ => None,
        }
    }
}

/// How the child is started.
#[derive(Debug, Clone)]
pub struct JqChild {
    /// Our own binary.
    pub program: PathBuf,
    /// The arguments that make it serve.
    pub args: Vec<String>,
}

impl JqChild {
    /// Uses the hidden subcommand `jq-child` of the binary `program`.
    pub fn new(program: PathBuf) -> JqChild {
        JqChild { program, args: vec!["jq-child".to_owned()] }
    }

    /// Runs a program over one input, with at most `memory` bytes and until `deadline` has passed.
    pub fn eval(
        &self,
        text: &str,
        vars: &[(String, Value)],
        input: &Value,
        deadline: Duration,
        memory: u64,
        tell: &Tell,
    ) -> Result<Vec<Value>, JqChildError> {
        let fail = |source| JqChildError::Io { program: self.program.clone(), source };
        let limits = Limits { memory, seconds: deadline.as_secs(), stream: false };
        let question = Question { program: text.to_owned(), vars: vars.to_vec(), input: input.clone() };
        let stdin = question_file(&limits, &question).map_err(fail)?;
        let (mut stdout, mut stderr) = (file("out").map_err(fail)?, file("err").map_err(fail)?);
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear().process_group(0).stdin(stdin);
        command.stdout(stdout.try_clone().map_err(fail)?).stderr(stderr.try_clone().map_err(fail)?);
        close_what_we_inherited();
        let mut child = command.spawn().map_err(fail)?;
        let status = match self.wait(&mut child, deadline, tell) {
            Ok(status) => status,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        if !status.success() {
            let signal = status.signal().unwrap_or(0);
            return Err(JqChildError::Died { signal, help: help(signal, memory, &tail(&mut stderr)) });
        }
        stdout.rewind().map_err(fail)?;
        let mut answer = Vec::new();
        stdout.read_to_end(&mut answer).map_err(fail)?;
        match serde_json::from_slice(&answer).map_err(|error| fail(error.into()))? {
            Answer::Outputs(outputs) => Ok(outputs),
            Answer::Error(error) => Err(error.into()),
        }
    }

    fn wait(&self, child: &mut Child, deadline: Duration, tell: &Tell) -> Result<ExitStatus, JqChildError> {
        let (began, mut shown_seconds) = (Instant::now(), 0);
        let mut pause = Duration::from_micros(500);
        loop {
            let status = child.try_wait();
            let status =
                status.map_err(|source| JqChildError::Io { program: self.program.clone(), source })?;
            if let Some(status) = status {
                return Ok(status);
            }
            tell.go_on()?;
            if began.elapsed() >= deadline {
                return Err(JqChildError::TooSlow { after: deadline });
            }
            if began.elapsed().as_secs() > shown_seconds {
                shown_seconds = began.elapsed().as_secs();
                tell.progress("running a jq program", shown_seconds, Some(deadline.as_secs()), Unit::Seconds);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(POLL);
        }
    }
}

/// Files in memory: neither side can block the other, and no data touches a disk.
pub(super) fn file(name: &str) -> io::Result<File> {
    Ok(File::from(rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?))
}

fn question_file(limits: &Limits, question: &Question) -> io::Result<File> {
    let file = file("in")?;
    let mut writer = io::BufWriter::new(file);
    serde_json::to_writer(&mut writer, limits)?;
    writer.write_all(b"\n")?;
    serde_json::to_writer(&mut writer, question)?;
    let mut file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.rewind()?;
    Ok(file)
}

pub(super) fn tail(stderr: &mut File) -> String {
    let mut text = Vec::new();
    let _ = stderr.rewind();
    let _ = stderr.take(64 * 1024).read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

pub(super) fn help(signal: i32, memory: u64, stderr: &str) -> String {
    use rustix::process::Signal;
    let is = |which: Signal| which.as_raw() == signal;
    let mebibytes = memory / (1024 * 1024);
    if stderr.contains("overflowed its stack") || is(Signal::SEGV) {
        "it calls itself without end, or builds a value that is nested too deeply".to_owned()
    } else if stderr.contains("memory allocation") || stderr.contains("capacity overflow") {
        format!("it wanted more than {mebibytes} MiB of memory")
    } else if is(Signal::XCPU) {
        "it computed without end".to_owned()
    } else if is(Signal::XFSZ) {
        format!("its output is more than {mebibytes} MiB")
    } else if is(Signal::KILL) {
        "something else ended it, perhaps because the machine ran out of memory".to_owned()
    } else {
        let last = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        let last: String = last.chars().filter(|char| !char.is_control()).take(200).collect();
        format!("its last words: {last}")
    }
}
