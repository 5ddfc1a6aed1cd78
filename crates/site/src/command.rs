//! Running a foreign program to its end.
//!
//! What comes back are facts: how it ended, what it wrote, whether it left something running. An exit code of 0 is
//! one of them and no proof; whoever runs a command looks at what it should have done.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, OFlags};
use rustix::io::FdFlags;
use rustix::process::{Pid, Signal};

use crate::artifacts::create_private;
use crate::file::shown;
use crate::tell::{Failure, Halt, Tell, Unit};

/// How much of the end of an output is held in memory.
pub const TAIL_LIMIT: u64 = 64 * 1024;

/// How much a command may write before it is taken to have gone wild: 1 GiB.
const OUTPUT_LIMIT: u64 = 1024 * 1024 * 1024;

/// How long a command may take to end after SIGTERM.
const TERM_GRACE: Duration = Duration::from_secs(5);

/// How often a child is looked at.
pub(crate) const POLL: Duration = Duration::from_millis(20);

/// Why a command could not be run to its end. The text fits after "cannot".
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The operation was ended from outside; the command was ended with it.
    #[error("go on: {0}")]
    Halt(#[from] Halt),
    /// There is no program to run.
    #[error("run a command: its list of arguments is empty")]
    Empty,
    /// The program could not be started.
    #[error("start {}: {source}", shown(Path::new(program)))]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// The output could not be kept.
    #[error("keep the output of a command in {}: {source}", shown(path))]
    Log {
        /// The log file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The command took too long and was ended.
    #[error("wait longer for {}: it was ended after {} s", shown(Path::new(program)), after.as_secs())]
    Timeout {
        /// The program.
        program: String,
        /// The time that was allowed.
        after: Duration,
    },
    /// The command wrote more than a log can hold and was ended.
    #[error("keep the output of {}: it is more than 1 GiB", shown(Path::new(program)))]
    TooMuchOutput {
        /// The program.
        program: String,
    },
    /// The system could not say how the command fares.
    #[error("watch {}: {source}", shown(Path::new(program)))]
    Watch {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
}

impl Failure for CommandError {
    fn halt(&self) -> Option<Halt> {
        match self {
            CommandError::Halt(halt) => Some(*halt),
            _ => None,
        }
    }
}

/// A program with its arguments, and what it gets to see. There is no shell.
///
/// Secrets go into `env` or `stdin`, which nothing here shows or logs, and never into `argv`, which every process of
/// the machine can read. The environment is ours without `SWITCHBACK_*`, and `env` on top.
#[derive(Default)]
pub struct Command {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Where it runs; ours if `None`.
    pub cwd: Option<PathBuf>,
    /// Variables added to the environment.
    pub env: BTreeMap<String, String>,
    /// What it reads; nothing if `None`.
    pub stdin: Option<Vec<u8>>,
    /// A file that it reads, in place of `stdin`.
    pub stdin_from: Option<PathBuf>,
    /// A file that its standard output goes to, in place of a log; readable by us alone, and of any size.
    pub stdout_to: Option<PathBuf>,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Descriptors it inherits besides 0, 1 and 2: locks that must be held as long as it lives.
    pub inherit: Vec<OwnedFd>,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let env: Vec<_> = self.env.keys().collect();
        let stdin = self.stdin.as_ref().map(Vec::len);
        f.debug_struct("Command")
            .field("argv", &self.argv)
            .field("cwd", &self.cwd)
            .field("env (names)", &env)
            .field("stdin (bytes)", &stdin)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Exit {
        match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, signal) => Exit::Signal(signal.unwrap_or(0)),
        }
    }
}

/// What a command wrote to one of its outputs.
#[derive(Debug, Clone)]
pub struct Output {
    /// The log file; what this run wrote begins at `from`.
    pub file: PathBuf,
    /// Where it begins, in bytes.
    pub from: u64,
    /// How much it is, in bytes.
    pub len: u64,
    /// Its end, at most [`TAIL_LIMIT`] bytes.
    pub tail: Vec<u8>,
}

impl Output {
    /// Reads at most `limit` bytes from the beginning of the output.
    pub fn read(&self, limit: u64) -> io::Result<Vec<u8>> {
        read_at(&self.file, self.from, self.len.min(limit))
    }
}

/// The facts about a command that has ended.
#[derive(Debug, Clone)]
pub struct Ran {
    /// How it ended.
    pub exit: Exit,
    /// Its standard output.
    pub stdout: Output,
    /// Its standard error.
    pub stderr: Output,
    /// How long it took.
    pub took: Duration,
    /// It ended, but other processes of its group still run.
    pub left_running: bool,
}

/// Runs a command to its end, with its outputs in `{logs}/{name}.out` and `{logs}/{name}.err` (mode 0600, appended).
///
/// On a timeout, an interruption or wild output its whole process group is ended, SIGTERM first. When *we* are
/// killed it runs on, with the locks it inherited: a resume finds them held and waits.
pub fn run(command: &Command, logs: &Path, name: &str, tell: &Tell) -> Result<Ran, CommandError> {
    let program = command.argv.first().ok_or(CommandError::Empty)?.clone();
    let start = |source| CommandError::Start { program: program.clone(), source };
    let mut stdout = Log::open(logs, name, "out")?;
    let mut stderr = Log::open(logs, name, "err")?;
    let mut process = std::process::Command::new(&program);
    process.args(&command.argv[1..]).process_group(0);
    let out = match &command.stdout_to {
        Some(path) => create_private(path),
        None => stdout.file.try_clone(),
    };
    process.stdout(out.map_err(start)?).stderr(stderr.file.try_clone().map_err(start)?);
    match &command.stdin_from {
        Some(path) => process.stdin(File::open(path).map_err(start)?),
        None => process.stdin(stdin_of(command.stdin.as_deref()).map_err(start)?),
    };
    if let Some(cwd) = &command.cwd {
        process.current_dir(cwd);
    }
    give_environment(&mut process, &command.env);
    close_what_we_inherited();
    pass(&mut process, &command.inherit);
    tell.point("command: before start")?;
    let began = Instant::now();
    let mut child = process.spawn().map_err(start)?;
    let ended = wait(&mut child, &program, command.timeout, [&stdout, &stderr], tell);
    let exit = match ended {
        Ok(status) => Exit::from(status),
        Err(error) => {
            // Cut means that we are taken to be dead: a dead process ends nobody.
            if error.halt() != Some(Halt::Cut) {
                end(&mut child);
            }
            return Err(error);
        }
    };
    let took = began.elapsed();
    let left_running = group_lives(&child);
    let ran = Ran { exit, stdout: stdout.close()?, stderr: stderr.close()?, took, left_running };
    tell.point("command: ended")?;
    Ok(ran)
}

fn wait(
    child: &mut Child,
    program: &str,
    timeout: Option<Duration>,
    logs: [&Log; 2],
    tell: &Tell,
) -> Result<ExitStatus, CommandError> {
    let watch = |source| CommandError::Watch { program: program.to_owned(), source };
    let (began, mut shown_seconds) = (Instant::now(), 0);
    // Short commands must not wait for a long poll, long ones must not be looked at all the time.
    let mut pause = Duration::from_millis(1);
    tell.point("command: started")?;
    loop {
        if let Some(status) = child.try_wait().map_err(watch)? {
            return Ok(status);
        }
        tell.go_on()?;
        let elapsed = began.elapsed();
        if timeout.is_some_and(|timeout| elapsed >= timeout) {
            let after = timeout.unwrap_or_default();
            return Err(CommandError::Timeout { program: program.to_owned(), after });
        }
        if elapsed.as_secs() > shown_seconds {
            shown_seconds = elapsed.as_secs();
            tell.progress("running a command", shown_seconds, timeout.map(|it| it.as_secs()), Unit::Seconds);
            if logs.iter().any(|log| log.len() > OUTPUT_LIMIT) {
                return Err(CommandError::TooMuchOutput { program: program.to_owned() });
            }
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(POLL);
    }
}

/// Ends the process group of `child`, politely first, and reaps the child.
pub(crate) fn end(child: &mut Child) {
    let Ok(group) = i32::try_from(child.id()) else { return };
    let Some(group) = Pid::from_raw(group) else { return };
    let _ = rustix::process::kill_process_group(group, Signal::TERM);
    let began = Instant::now();
    while began.elapsed() < TERM_GRACE {
        // The child is reaped as soon as it ends; its group number stays taken while the group has members.
        if !matches!(child.try_wait(), Ok(None)) && !group_lives(child) {
            return;
        }
        std::thread::sleep(POLL);
    }
    let _ = rustix::process::kill_process_group(group, Signal::KILL);
    let _ = child.wait();
}

fn group_lives(child: &Child) -> bool {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    group.is_some_and(|group| rustix::process::test_kill_process_group(group).is_ok())
}

/// Gives a child our environment without what is only meant for us, and `env` on top.
pub(crate) fn give_environment(process: &mut std::process::Command, env: &BTreeMap<String, String>) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SWITCHBACK_") {
            process.env_remove(name);
        }
    }
    process.envs(env);
}

/// Marks every descriptor above 2 that we got from whoever started us as closed at exec. Ours are opened so.
pub(crate) fn close_what_we_inherited() {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return };
    for entry in entries.flatten() {
        let number = entry.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok());
        let Some(number) = number.filter(|number| *number > 2) else { continue };
        // SAFETY: the descriptor is only used for two calls of fcntl, which answer EBADF if it was closed meanwhile.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        if let Ok(flags) = rustix::io::fcntl_getfd(fd)
            && !flags.contains(FdFlags::CLOEXEC)
        {
            let _ = rustix::io::fcntl_setfd(fd, flags | FdFlags::CLOEXEC);
        }
    }
}

/// Lets the child of `process`, and no other, inherit `fds`.
pub(crate) fn pass<Fd: AsFd>(process: &mut std::process::Command, fds: &[Fd]) {
    let numbers: Vec<RawFd> = fds.iter().map(|fd| fd.as_fd().as_raw_fd()).collect();
    if numbers.is_empty() {
        return;
    }
    let clear = move || {
        for number in &numbers {
            // SAFETY: the caller keeps the descriptors open until after the spawn, and this runs in the child.
            let fd = unsafe { BorrowedFd::borrow_raw(*number) };
            rustix::io::fcntl_setfd(fd, FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: the closure only makes system calls, which is all that may be done between fork and exec.
    unsafe { process.pre_exec(clear) };
}

/// A file in memory: the child can read at its own pace, nothing can block, and no secret touches a disk.
pub(crate) fn stdin_of(bytes: Option<&[u8]>) -> io::Result<Stdio> {
    let Some(bytes) = bytes else { return Ok(Stdio::null()) };
    let mut file = File::from(rustix::fs::memfd_create("stdin", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}

struct Log {
    file: File,
    path: PathBuf,
    from: u64,
}

impl Log {
    fn open(folder: &Path, name: &str, kind: &str) -> Result<Log, CommandError> {
        let path = folder.join(format!("{}.{kind}", file_name_of(name)));
        let open = || {
            let mut options = OpenOptions::new();
            options.append(true).create(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits() as i32);
            let file = options.open(&path)?;
            let from = file.metadata()?.len();
            Ok((file, from))
        };
        let (file, from) = open().map_err(|source| CommandError::Log { path: path.clone(), source })?;
        Ok(Log { file, path, from })
    }

    fn len(&self) -> u64 {
        self.file.metadata().map_or(0, |found| found.len().saturating_sub(self.from))
    }

    fn close(&mut self) -> Result<Output, CommandError> {
        let len = self.len();
        let tail = len.min(TAIL_LIMIT);
        let tail = read_at(&self.path, self.from + len - tail, tail)
            .map_err(|source| CommandError::Log { path: self.path.clone(), source })?;
        Ok(Output { file: self.path.clone(), from: self.from, len, tail })
    }
}

/// Turns any name into one that is a single, visible, short path component.
pub(crate) fn file_name_of(name: &str) -> String {
    let keep = |char: char| if char.is_ascii_alphanumeric() || "-_.[]".contains(char) { char } else { '_' };
    let clean: String = name.chars().take(120).map(keep).collect();
    let clean = clean.trim_start_matches('.');
    if clean == name {
        return clean.to_owned();
    }
    // Two names must not share a log because they differ in what was replaced.
    format!("{clean}~{}", &blake3::hash(name.as_bytes()).to_hex()[..8])
}

fn read_at(path: &Path, from: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Says whether `program` can be found as a command would find it.
pub fn exists(program: &str) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let runs =
        |path: &Path| path.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0);
    if program.contains('/') {
        return runs(Path::new(program));
    }
    let path = std::env::var_os("PATH");
    let folders = path.as_deref().unwrap_or(OsStr::new("/usr/bin:/bin"));
    !program.is_empty() && std::env::split_paths(folders).any(|folder| runs(&folder.join(program)))
}
