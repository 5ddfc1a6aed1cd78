//! The child's side: limits first, then one document in and one out.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use switchback_model::jq::{JqError, Program};

/// What the child needs beside the memory of the program: its own code, and the stack of the compiler.
const OVERHEAD: u64 = 192 * 1024 * 1024;

/// What the child may use. The first line of its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory, beside what the child itself takes.
    pub memory: u64,
    /// Seconds of computing, of a stream for each batch.
    pub seconds: u64,
    /// Whether batches of records follow, and not one question.
    #[serde(default)]
    pub stream: bool,
}

/// The second line of the child's input, up to the end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Question {
    pub(super) program: String,
    pub(super) vars: Vec<(String, Value)>,
    pub(super) input: Value,
}

/// The child's output.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    Outputs(Vec<Value>),
    Error(JqError),
}

impl Limits {
    /// Limits the calling process for good.
    fn apply(&self) -> io::Result<()> {
        let limit =
            |resource, value| setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) });
        // No core file: it would hold the operator's data.
        limit(Resource::Core, 0)?;
        limit(Resource::As, self.memory.saturating_add(OVERHEAD))?;
        if !self.stream {
            limit(Resource::Cpu, self.seconds.saturating_add(1))?;
        }
        limit(Resource::Fsize, self.memory)?;
        Ok(())
    }
}

/// Serves one question, or the batches of a stream, and returns; for the binary's hidden subcommand and nothing else, since the limits stay.
///
/// `notes` is the process's stderr: in a stream it is a file, and word of the record at hand is left at its beginning.
pub fn serve(mut stdin: impl Read, mut stdout: impl Write, notes: impl AsFd) -> io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while stdin.read(&mut byte)? == 1 && byte[0] != b'\n' && head.len() < 4096 {
        head.push(byte[0]);
    }
    let limits: Limits = serde_json::from_slice(&head)?;
    // Before the question is parsed, since parsing takes memory too.
    limits.apply()?;
    if limits.stream {
        return super::serve_stream::serve(io::BufReader::new(stdin), stdout, notes.as_fd());
    }
    let mut question = Vec::new();
    stdin.read_to_end(&mut question)?;
    stdout.write_all(&answer(&question)?)?;
    stdout.flush()
}

/// Answers a question (the input of the child after its first line) without limits.
pub fn answer(question: &[u8]) -> io::Result<Vec<u8>> {
    let question: Question = serde_json::from_slice(question)?;
    let (names, values): (Vec<_>, Vec<_>) = question.vars.into_iter().unzip();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let outputs = Program::compile(&question.program, &names).and_then(|it| it.run(question.input, values));
    let answer = outputs.map_or_else(Answer::Error, Answer::Outputs);
    Ok(serde_json::to_vec(&answer)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ask(program: &str, input: Value) -> Value {
        let question = Question { program: program.into(), vars: vec![("n".into(), json!(2))], input };
        serde_json::from_slice(&answer(&serde_json::to_vec(&question).unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn a_question_is_answered_with_outputs_or_the_error_and_its_place() {
        assert_eq!(ask(".[] * $n", json!([1, 2])), json!({"outputs": [2, 4]}));
        assert_eq!(
            ask(". | nosuch", Value::Null),
            json!({"error": {"message": "there is no function `nosuch/0`", "offset": 4}})
        );
    }

    #[test]
    fn nonsense_is_an_error_and_not_a_panic() {
        assert!(answer(b"").is_err());
        assert!(answer(b"{}").is_err());
        // The limits are not read, so that this process is not limited.
        assert!(serve(&b"nonsense\n{}"[..], Vec::new(), io::stdin()).is_err());
    }
}
