//! What a long operation carries with it: where to report progress, when to stop, and where it may be cut.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What is counted by a [`Progress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Bytes of a file or a stream.
    Bytes,
    /// Rows of a table.
    Rows,
    /// Seconds of a wait.
    Seconds,
}

/// How far a long operation has come. Disposable: it is shown and never stored.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Progress {
    /// What is being done, as a short present participle ("copying", "proving backups").
    pub doing: String,
    /// How much is done, in `unit`.
    pub done: u64,
    /// How much there is, in `unit`; `None` when nobody can know.
    pub total: Option<u64>,
    /// What `done` and `total` count.
    pub unit: Unit,
}

/// Where a [`Progress`] goes. It must not block and cannot fail.
pub type Sink = Arc<dyn Fn(Progress) + Send + Sync>;

/// Why an operation ended early although nothing was wrong with its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// The process is taken to be dead here: the caller must write nothing more, not even a journal line.
    #[error("cut off at a fault point")]
    Cut,
    /// A simulated full disk.
    #[error("no space left on device (simulated)")]
    Full,
    /// A signal asked for a stop; the operation left a state that can be continued or undone.
    #[error("interrupted")]
    Interrupted,
}

/// Says whether an error is a [`Halt`] in disguise; every error enum of this crate implements it.
pub trait Failure: std::error::Error {
    /// Returns the halt that this error carries, if it carries one.
    fn halt(&self) -> Option<Halt>;
}

impl Failure for Halt {
    fn halt(&self) -> Option<Halt> {
        Some(*self)
    }
}

/// What happens at the chosen fault point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Cut,
    Full,
    Kill,
}

/// Counts fault points and strikes at a chosen one. Without a choice it only counts, and release builds never strike.
///
/// A fault point stands before and after every effect. The crash suite cuts at each of them in turn.
#[derive(Default)]
pub struct Faults {
    passed: AtomicU64,
    at: AtomicU64,
    blow: std::sync::Mutex<Option<Blow>>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faults({} passed)", self.passed())
    }
}

impl Faults {
    /// Strikes nowhere.
    pub fn none() -> Faults {
        Faults::default()
    }

    /// Simulates a power cut at the `at`-th fault point (from 1), once.
    pub fn cut(at: u64) -> Faults {
        Faults::with(Blow::Cut, at)
    }

    /// Simulates a full disk at the `at`-th fault point (from 1), once.
    pub fn full(at: u64) -> Faults {
        Faults::with(Blow::Full, at)
    }

    fn with(blow: Blow, at: u64) -> Faults {
        Faults { passed: AtomicU64::new(0), at: AtomicU64::new(at), blow: std::sync::Mutex::new(Some(blow)) }
    }

    /// Reads `kill@N`, `full@N` or `cut@N`; anything else strikes nowhere. The binary feeds it a variable in debug builds,
    /// so that tests can kill the real process at an exact place.
    pub fn parse(text: &str) -> Faults {
        let Some((word, at)) = text.split_once('@') else { return Faults::none() };
        let Ok(at) = at.parse() else { return Faults::none() };
        match word {
            "kill" => Faults::with(Blow::Kill, at),
            "full" => Faults::with(Blow::Full, at),
            "cut" => Faults::with(Blow::Cut, at),
            _ => Faults::none(),
        }
    }

    /// Returns how many fault points were passed so far.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// Passes one fault point; `_name` is for the reader and for debuggers.
    pub fn point(&self, _name: &'static str) -> Result<(), Halt> {
        let passed = self.passed.fetch_add(1, Ordering::Relaxed) + 1;
        if !cfg!(debug_assertions) || passed != self.at.load(Ordering::Relaxed) {
            return Ok(());
        }
        let blow = self.blow.lock().ok().and_then(|mut blow| blow.take());
        match blow {
            Some(Blow::Cut) => Err(Halt::Cut),
            Some(Blow::Full) => Err(Halt::Full),
            Some(Blow::Kill) => {
                let _ =
                    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
                Err(Halt::Cut)
            }
            None => Ok(()),
        }
    }
}

/// The companion of every operation that has effects or takes time. Cheap to clone.
#[derive(Clone)]
pub struct Tell {
    sink: Sink,
    stop: Arc<AtomicBool>,
    abandoned: Option<Arc<AtomicBool>>,
    faults: Arc<Faults>,
}

impl fmt::Debug for Tell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tell({:?})", self.faults)
    }
}

impl Tell {
    /// Reports to `sink`, stops when `stop` turns true, and is cut where `faults` says.
    pub fn new(sink: Sink, stop: Arc<AtomicBool>, faults: Arc<Faults>) -> Tell {
        Tell { sink, stop, abandoned: None, faults }
    }

    /// Reports to nobody, is never stopped and never cut.
    pub fn quiet() -> Tell {
        Tell::new(Arc::new(|_| ()), Arc::new(AtomicBool::new(false)), Arc::new(Faults::none()))
    }

    /// Reports to nobody and is cut where `faults` says.
    pub fn with_faults(faults: Arc<Faults>) -> Tell {
        Tell::new(Arc::new(|_| ()), Arc::new(AtomicBool::new(false)), faults)
    }

    /// Returns the companion of a part of the work that nobody hears of: two voices about one thing would garble the
    /// progress. It stops when the whole does, and passes no fault points.
    pub fn unheard(&self) -> Tell {
        Tell { sink: Arc::new(|_| ()), faults: Arc::new(Faults::none()), ..self.clone() }
    }

    /// The same, for a part of the work that is also of no use once `abandoned` turns true.
    pub fn unheard_until(&self, abandoned: Arc<AtomicBool>) -> Tell {
        Tell { abandoned: Some(abandoned), ..self.unheard() }
    }

    /// Shows how far the work has come.
    pub fn progress(&self, doing: &str, done: u64, total: Option<u64>, unit: Unit) {
        (self.sink)(Progress { doing: doing.to_owned(), done, total, unit });
    }

    /// Passes a fault point: one stands before and one after every effect.
    pub fn point(&self, name: &'static str) -> Result<(), Halt> {
        self.faults.point(name)
    }

    /// Returns `Err(Halt::Interrupted)` once a stop was asked for. Called between batches, never inside one.
    pub fn go_on(&self) -> Result<(), Halt> {
        let abandoned = self.abandoned.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed));
        if abandoned || self.stop.load(Ordering::Relaxed) { Err(Halt::Interrupted) } else { Ok(()) }
    }

    /// The flag behind [`Tell::go_on`], for drivers that poll it themselves.
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }
}
