//! A `send` of one request for each record.
//!
//! Only PUT: it may be repeated (RFC 9110, section 9.2.2), so a request whose answer was lost is made once more. What was
//! answered is noted item by item, and a later life goes on behind it.

use super::Send;
use crate::endpoint::reveal;
use crate::transform::{MEMORY, PATIENCE, VARS};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;
use switchback_engine::{StepError, Work};
use switchback_model::compile::Compile;
use switchback_model::decode::Spanned;
use switchback_model::program::Named;
use switchback_model::record;
use switchback_model::records::Shape;
use switchback_site::http::{Headers, HttpError, Url, put};
use switchback_site::jq_child::{Part, Question};
use switchback_site::{Failure, Halt, Site, Unit};

/// How many requests are under way at once, unless the playbook says otherwise.
const AT_ONCE: u64 = 4;
/// How often an item is sent.
const TRIES: u32 = 4;
/// How long is waited before an item is sent again; each time twice as long.
const PAUSE: Duration = Duration::from_millis(200);

record! {
    /// One request for each record.
    pub struct EachBody {
        /// A jq program over a record that gives `{path, body}`: the path below the endpoint's address, with what comes from
        /// the record encoded by `@uri`, and the JSON that is put there.
        pub item: Spanned<String>,
        /// How many requests are under way at once.
        pub at_once: Option<u64>,
    }
}

/// One request for each record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Items {
    /// Gives path and body of a record.
    pub item: Named,
    /// How many are under way at once.
    pub at_once: u64,
}

/// Compiles it.
pub(super) fn items(body: &EachBody, cx: &mut Compile<'_>) -> Option<Items> {
    let at_once = body.at_once.unwrap_or(AT_ONCE).clamp(1, 64);
    Some(Items { item: cx.program_over(&body.item, VARS)?, at_once })
}

/// What a program gives.
#[derive(Deserialize)]
struct Item<'a> {
    path: String,
    #[serde(borrow)]
    body: &'a RawValue,
}

type Job = (u64, String, Vec<u8>);

/// The numbers of the items that were answered, a line each. A torn last line is that of an item that is sent again.
struct Answered {
    file: File,
    known: BTreeSet<u64>,
}

impl Answered {
    fn open(path: &Path) -> io::Result<Answered> {
        let mut known = BTreeSet::new();
        match File::open(path) {
            Ok(file) => {
                for line in BufReader::new(file).split(b';') {
                    let line = line?;
                    known.extend(
                        std::str::from_utf8(&line).ok().and_then(|text| text.trim().parse::<u64>().ok()),
                    );
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        // What a torn line says may be a number that is too short.
        file.write_all(b"\n")?;
        Ok(Answered { file, known })
    }
}

impl Items {
    /// The note of what was answered.
    pub(super) fn note(work: &Work<'_>) -> PathBuf {
        work.dir.keep().join(format!("{}.items", work.step))
    }

    /// Sends every item that was not answered yet. Returns how many were sent, or what the first that failed got.
    pub(super) fn send(
        &self,
        step: &Send,
        sent: &Path,
        site: &Site,
        work: &Work<'_>,
    ) -> Result<Result<u64, String>, StepError> {
        let note = Items::note(work);
        let wrong = |e: io::Error| StepError::failed(format!("write {}: {e}", note.display()));
        let answered = Answered::open(&note).map_err(wrong)?;
        let known = answered.known.clone();
        let answered = Mutex::new(answered);
        let headers = reveal(&step.headers)?;
        let base = Url::parse(&step.url)?;
        let (jobs, taken) = sync_channel::<Job>(usize::try_from(self.at_once).unwrap_or(1) * 2);
        let taken = Mutex::new(taken);
        let failed: Mutex<Option<Failed>> = Mutex::new(None);
        let count = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.at_once)
                .map(|_| {
                    let (taken, failed, answered, headers) = (&taken, &failed, &answered, &headers);
                    scope.spawn(move || work_off(step, taken, headers, answered, failed, work))
                })
                .collect();
            let read = self.read(step, sent, &base, &known, &failed, jobs, site, work);
            for worker in workers {
                // A worker that fell over has not noted its item, so the count does not hold.
                if worker.join().is_err() {
                    fail(&failed, Failed::Said("a sender fell over".to_owned()));
                }
            }
            read
        });
        let failed = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        match failed {
            Some(Failed::Halt(halt)) => Err(halted(halt)),
            Some(Failed::Said(said)) => Ok(Err(said)),
            None => count.map(Ok),
        }
    }

    /// Reads the records and gives their requests away.
    #[expect(clippy::too_many_arguments, reason = "the parts of one loop")]
    fn read(
        &self,
        step: &Send,
        sent: &Path,
        base: &Url,
        known: &BTreeSet<u64>,
        failed: &Mutex<Option<Failed>>,
        jobs: std::sync::mpsc::SyncSender<Job>,
        site: &Site,
        work: &Work<'_>,
    ) -> Result<u64, StepError> {
        let question = Question {
            parts: vec![Part::kept(self.item.clone())],
            vars: vec![("now".to_owned(), work.now.into())],
            seed: work.run.to_owned(),
            memory: MEMORY,
            patience: PATIENCE,
            ..Question::default()
        };
        let mut input =
            File::open(sent).map_err(|e| StepError::failed(format!("read {}: {e}", sent.display())))?;
        let shape = step.from.format.shape().unwrap_or(Shape::Values);
        let mut number = 0;
        let mut sink = |_: usize, lines: &[u8]| {
            for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                number += 1;
                if known.contains(&number) {
                    continue;
                }
                if failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_some() {
                    return Err("another item failed".into());
                }
                let item: Item<'_> = serde_json::from_slice(line)
                    .map_err(|_| format!("item {number} is no map with `path` and `body`"))?;
                let url =
                    format!("{}/{}", base.as_str().trim_end_matches('/'), item.path.trim_start_matches('/'));
                jobs.send((number, url, item.body.get().as_bytes().to_vec()))
                    .map_err(|_| "nobody sends any more")?;
            }
            Ok(())
        };
        let streamed =
            site.jq().stream(&question, (shape, &mut input), &mut sink, work.tell).map_err(StepError::from);
        // The others end when there is no more to take.
        drop(jobs);
        streamed?;
        Ok(number)
    }
}

/// Why not all items were sent.
enum Failed {
    Halt(Halt),
    Said(String),
}

fn halted(halt: Halt) -> StepError {
    match halt {
        Halt::Cut => StepError::Cut,
        Halt::Interrupted => StepError::Interrupted,
        Halt::Full => StepError::failed(format!("go on: {halt}")),
    }
}

/// Keeps the first failure; the end from outside goes before all others.
fn fail(failed: &Mutex<Option<Failed>>, by: Failed) {
    let mut known = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if known.is_none() || matches!(by, Failed::Halt(_)) {
        *known = Some(by);
    }
}

fn work_off(
    step: &Send,
    taken: &Mutex<Receiver<Job>>,
    headers: &Headers,
    answered: &Mutex<Answered>,
    failed: &Mutex<Option<Failed>>,
    work: &Work<'_>,
) {
    loop {
        let job = taken.lock().unwrap_or_else(std::sync::PoisonError::into_inner).recv();
        let Ok((number, url, body)) = job else { return };
        let over = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_some();
        if over {
            // What is taken and not sent is sent by the next try.
            continue;
        }
        match put_one(step, &url, headers, &body, work) {
            Ok(()) => {
                let mut answered = answered.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let noted = write!(answered.file, "{number};");
                answered.known.insert(number);
                let done = answered.known.len() as u64;
                drop(answered);
                if let Err(error) = noted {
                    fail(failed, Failed::Said(format!("note item {number}: {error}")));
                }
                work.tell.progress("sending records", done, None, Unit::Rows);
            }
            Err(Failed::Said(said)) => fail(failed, Failed::Said(format!("item {number}: {said}"))),
            Err(halt) => fail(failed, halt),
        }
    }
}

/// Sends one item until it is answered with success.
fn put_one(step: &Send, url: &str, headers: &Headers, body: &[u8], work: &Work<'_>) -> Result<(), Failed> {
    let said = |error: HttpError| match error.halt() {
        Some(halt) => Failed::Halt(halt),
        None => Failed::Said(error.to_string()),
    };
    let url = Url::parse(url).map_err(said)?;
    let mut all = headers.to_vec();
    if !all.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        all.push(("Content-Type".to_owned(), step.content_type.clone()));
    }
    let (mut pause, mut last) = (PAUSE, String::new());
    for attempt in 0..TRIES {
        if attempt > 0 {
            work.tell.go_on().map_err(Failed::Halt)?;
            std::thread::sleep(pause);
            pause *= 2;
        }
        match put(&url, &all, Some(body), Duration::from_millis(step.within_ms), work.tell) {
            Ok(response) if (200..300).contains(&response.status) => return Ok(()),
            Ok(response) => {
                last = format!("it answered {}", response.status);
                if !matches!(response.status, 429 | 500..=599) {
                    return Err(Failed::Said(last));
                }
            }
            Err(error) if error.is_not_yet() => last = error.to_string(),
            Err(error) => return Err(said(error)),
        }
    }
    Err(Failed::Said(last))
}
