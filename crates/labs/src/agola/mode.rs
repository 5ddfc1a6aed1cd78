//! Maintenance as both generations do it: asked for first, reached later, with a port that refuses in between.

use std::io::{self, Read, Seek as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::switches::{Switches, trap};
use super::wire::{Exchange, Gate};

/// How often a service looks whether it is to switch.
const LOOK: Duration = Duration::from_millis(5);
/// From the request to the closed port, as measured (systems/agola.md §3), where no switch says otherwise.
const DELAY_MS: u64 = 700;
/// How long the port refuses, as measured.
const REFUSED_MS: u64 = 1000;

/// The mode that a service is in.
#[derive(Debug, Default)]
pub(super) struct Mode(AtomicBool);

impl Mode {
    /// Begins in a mode: a service that is started while maintenance is wanted is in it at once.
    pub(super) fn new(maintenance: bool) -> Arc<Mode> {
        Arc::new(Mode(AtomicBool::new(maintenance)))
    }

    /// Says whether it is in maintenance.
    pub(super) fn is_maintenance(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Switches the mode whenever something else is wanted, for as long as the process lives. `entered` is called with each
/// new mode before the port is open again.
pub(super) fn follow(
    (gate, mode, switches): (Arc<Gate>, Arc<Mode>, Switches),
    wanted: impl Fn() -> bool + Send + 'static,
    entered: impl Fn(bool) + Send + 'static,
) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(LOOK);
            let (want, is) = (wanted(), mode.is_maintenance());
            let stuck = if want { trap::NEVER_ENTERS } else { trap::NEVER_LEAVES };
            if want == is || switches.is_armed(stuck) {
                continue;
            }
            std::thread::sleep(switches.time("delay_ms", DELAY_MS));
            if wanted() == is {
                continue;
            }
            gate.close();
            std::thread::sleep(switches.time("refused_ms", REFUSED_MS));
            let want = wanted();
            mode.0.store(want, Ordering::SeqCst);
            entered(want);
            gate.open();
        }
    });
}

/// Answers PUT and DELETE of `/maintenance` after the wish was written: 200, or 400 where it was so already, or nothing.
pub(super) fn acknowledge(
    exchange: Exchange,
    changed: io::Result<bool>,
    body: &[u8],
    switches: &Switches,
) -> io::Result<()> {
    let lost = if exchange.method == "PUT" { trap::LOST_ENTER } else { trap::LOST_LEAVE };
    match changed {
        Ok(true) if switches.spring(lost) => {
            exchange.hang_up();
            Ok(())
        }
        Ok(true) => exchange.empty(200),
        Ok(false) => exchange.answer(400, "application/json", body),
        Err(_) => exchange.answer(500, "application/json", body),
    }
}

/// Sends parts one behind the other as an export: in chunks, and cut where a trap says so.
pub(super) fn send_export(
    exchange: Exchange,
    parts: impl IntoIterator<Item = io::Result<Vec<u8>>>,
    length: u64,
    switches: &Switches,
) -> io::Result<()> {
    let cut_at = switches.spring(trap::EXPORT_CUT).then_some(length / 2);
    let pause = switches.time("export_chunk_ms", 0);
    let mut sent = 0;
    let mut chunks = exchange.chunks(200)?;
    for part in parts {
        // An error in the middle has no status any more: the connection is closed.
        let Ok(part) = part else {
            chunks.abort();
            return Ok(());
        };
        if let Some(cut_at) = cut_at
            && sent + part.len() as u64 > cut_at
        {
            let keep = usize::try_from(cut_at - sent).unwrap_or(0);
            chunks.write_all(&part[..keep])?;
            chunks.abort();
            return Ok(());
        }
        sent += part.len() as u64;
        chunks.write_all(&part)?;
        if !pause.is_zero() {
            chunks.flush()?;
            std::thread::sleep(pause);
        }
    }
    chunks.end()
}

/// Reads a file in parts, to a length and not further.
pub(super) fn parts_of(mut file: std::fs::File, length: u64) -> impl Iterator<Item = io::Result<Vec<u8>>> {
    let mut left = length;
    let begun = file.rewind();
    let mut begun = Some(begun);
    std::iter::from_fn(move || {
        if let Some(Err(error)) = begun.take() {
            return Some(Err(error));
        }
        if left == 0 {
            return None;
        }
        let mut part = Vec::new();
        let read = Read::by_ref(&mut file).take(left.min(1 << 16)).read_to_end(&mut part);
        left = if part.is_empty() { 0 } else { left - part.len() as u64 };
        Some(read.map(|_| part))
    })
}

/// Answers `/logs` from the object storage, where the log of a task lies under the task's id, whatever its run is called.
/// `run` is the run that was asked for, if there is one.
pub(super) fn send_log(
    exchange: Exchange,
    run: Option<&serde_json::Value>,
    objects: Option<&Path>,
) -> io::Result<()> {
    let (task, step) = (exchange.one("taskid").unwrap_or_default().to_owned(), exchange.one("step"));
    let setup = exchange.one("setup").is_some();
    if exchange.one("runid").unwrap_or_default().is_empty() || task.is_empty() || setup == step.is_some() {
        return exchange.empty(400);
    }
    let known = run.and_then(|run| run["tasks"].get(&task));
    let (Some(known), false) = (known, task.contains('/')) else { return exchange.empty(500) };
    let name = match step.map(str::parse::<usize>) {
        None => "setup.log".to_owned(),
        Some(Ok(step)) if known["steps"].get(step).is_some() => format!("steps/{step}.log"),
        Some(Ok(_)) => return exchange.empty(500),
        Some(Err(_)) => return exchange.empty(400),
    };
    let path = objects.map(|objects| objects.join("data/logs").join(&task).join(name));
    match path.and_then(|path| std::fs::read(path).ok()) {
        Some(log) => exchange.answer(200, "text/plain", &log),
        None => exchange.answer(404, "text/plain", b"object doesn't exist\n"),
    }
}
