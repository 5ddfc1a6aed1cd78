//! One child of a stream: started when first needed, heard, and explained when it dies.

use std::fs::File;
use std::io::{self, BufReader, Seek};
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::child::Limits;
use super::frame::{Refusal, Setup, Word, receive, send};
use super::parent::{JqChild, file, help, tail};
use super::stream::{Answer, Answered, Job, Question, StreamError};
use crate::command::close_what_we_inherited;

/// Room for the child's note of the record and the program at hand, before what it may say.
pub(super) const NOTE: usize = 24;

/// The allocator of the C library, told that values come and go by thousands, and batches by the mebibyte: a quarter of the
/// child's time (measured on records of 1.5 KB). One that does not know this name passes it over.
const ALLOCATOR: (&str, &str) = (
    "GLIBC_TUNABLES",
    "glibc.malloc.tcache_count=2000:glibc.malloc.mmap_threshold=67108864:glibc.malloc.trim_threshold=67108864:\
     glibc.malloc.top_pad=4194304",
);

/// Where the thread that waits can reach the child of a thread that talks.
#[derive(Default)]
pub(super) struct Slot(Mutex<Held>);

#[derive(Default)]
struct Held {
    child: Option<Child>,
    since: Option<Instant>,
    late: bool,
    closed: bool,
}

impl Slot {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a child whose batch takes too long; its worker tells.
    pub(super) fn end_if_late(&self, patience: Duration) {
        let mut held = self.held();
        if held.since.is_some_and(|since| since.elapsed() > patience) {
            held.late = true;
            held.end();
        }
    }

    /// Ends the child, and lets no other begin.
    pub(super) fn close(&self) {
        let mut held = self.held();
        held.closed = true;
        held.end();
    }
}

impl Held {
    fn end(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
        }
    }
}

pub(super) struct Worker<'a> {
    how: &'a JqChild,
    question: &'a Question,
    setup: &'a Setup,
    slot: &'a Slot,
    talk: Option<Talk>,
}

struct Talk {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    stderr: File,
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        self.talk = None;
        let child = self.slot.held().child.take();
        if let Some(mut child) = child {
            // It ends by itself once it reads the end of its input; a killed one has to be collected too.
            let _ = child.wait();
        }
    }
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        how: &'a JqChild,
        question: &'a Question,
        setup: &'a Setup,
        slot: &'a Slot,
    ) -> Worker<'a> {
        Worker { how, question, setup, slot, talk: None }
    }

    /// Has one batch done.
    pub(super) fn ask(&mut self, job: Job) -> Answer {
        if self.talk.is_none() {
            self.talk = Some(self.start().map_err(|source| self.broken(source))?);
        }
        let Some(talk) = &mut self.talk else { return Err(self.broken(io::ErrorKind::NotConnected.into())) };
        self.slot.held().since = Some(Instant::now());
        let heard = send(&mut talk.stdin, &job.place, &[&job.bytes])
            .and_then(|()| receive::<Word>(&mut talk.stdout))
            .and_then(|heard| heard.ok_or_else(|| io::ErrorKind::UnexpectedEof.into()));
        self.slot.held().since = None;
        match heard {
            Ok((Word::Done(tally, lengths), outputs)) => Ok(Answered { tally, lengths, outputs }),
            Ok((Word::Refused(at), _)) => {
                Err(StreamError::Refused { program: self.question.name(at.part), at })
            }
            Ok((Word::Unusable(part, error), _)) => {
                Err(StreamError::Unusable { program: self.question.name(part), wrong: error.message })
            }
            Err(source) => Err(self.died(source)),
        }
    }

    fn start(&self) -> io::Result<Talk> {
        let stderr = file("err")?;
        stderr.write_all_at(&[0; NOTE], 0)?;
        let mut given = stderr.try_clone()?;
        given.seek(io::SeekFrom::Start(NOTE as u64))?;
        let mut command = Command::new(&self.how.program);
        command.args(&self.how.args).env_clear().env(ALLOCATOR.0, ALLOCATOR.1).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(given);
        close_what_we_inherited();
        let mut held = self.slot.held();
        if held.closed {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let mut child = command.spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        held.child = Some(child);
        drop(held);
        let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let limits = Limits { memory: self.question.memory, seconds: self.setup.seconds, stream: true };
        // A child that dies at once is explained by what follows, and not by this.
        let _ = serde_json::to_writer(&mut stdin, &limits)
            .map_err(io::Error::from)
            .and_then(|()| io::Write::write_all(&mut stdin, b"\n"))
            .and_then(|()| send(&mut stdin, self.setup, &[]));
        Ok(Talk { stdin, stdout: BufReader::new(stdout), stderr })
    }

    fn broken(&self, source: io::Error) -> StreamError {
        StreamError::Child { program: self.how.program.clone(), source }
    }

    /// Says which record the child died of.
    fn died(&mut self, source: io::Error) -> StreamError {
        let Some(mut talk) = self.talk.take() else { return self.broken(source) };
        drop(talk.stdin);
        let (child, late) = {
            let mut held = self.slot.held();
            (held.child.take(), std::mem::take(&mut held.late))
        };
        let Some(Ok(status)) = child.map(|mut child| child.wait()) else { return self.broken(source) };
        let mut words = [0; NOTE];
        if talk.stderr.read_exact_at(&mut words, 0).is_err() || words == [0; NOTE] {
            let said = tail(&mut talk.stderr);
            let last: String = said.chars().filter(|char| !char.is_control()).take(200).collect();
            return self.broken(io::Error::other(format!("it left without an answer ({status}) {last}")));
        }
        let [number, offset, part] = [0, 8, 16].map(|at| {
            let mut word = [0; 8];
            word.copy_from_slice(&words[at..at + 8]);
            u64::from_le_bytes(word)
        });
        let wrong = if late {
            format!("it was ended after {} s", self.question.patience.as_secs())
        } else {
            let signal = status.signal().unwrap_or(0);
            let help = help(signal, self.question.memory, &tail(&mut talk.stderr));
            format!("the program died of signal {signal}; {help}")
        };
        let part = usize::try_from(part).unwrap_or(0);
        let at = Refusal { part, number, offset, id: None, wrong };
        StreamError::Refused { program: self.question.name(part), at }
    }
}
