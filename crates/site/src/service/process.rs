//! A service that is a program which we start and stop.
//!
//! Crash-safe by construction: wherever we are killed, there is either no service, or one that the next look finds.
//! See `record` for why.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};

use super::cage::Cage;
use super::error::ServiceError;
use super::proc::{self, Seen};
use super::record::{self, Content, Pen};
use super::spec::{Launch, Outcome, ProcessSpec, Service, State, Which};
use crate::command::{POLL, close_what_we_inherited, file_name_of, give_environment, pass};
use crate::tell::{Tell, Unit};

/// How long a process may take to vanish after SIGKILL: it may be waiting for a disk.
const KILL_GRACE: Duration = Duration::from_secs(10);

/// How long a look waits for a child that is between fork and exec to write its record.
const BIRTH: Duration = Duration::from_secs(5);

/// A service that is a program.
#[derive(Debug, Clone)]
pub struct Process {
    spec: ProcessSpec,
    record: PathBuf,
    /// Names the process that was told to end, until it has.
    stopping: PathBuf,
    log: PathBuf,
    /// What holds it, if it is a private one.
    cage: Option<Cage>,
}

/// What a look found.
enum Found {
    /// Nothing runs.
    Nothing,
    /// We started it: the leader of its own process group, if that still lives, and which version it is.
    Ours { leader: Option<Seen>, which: Option<Which> },
    /// Somebody else started it.
    Theirs { process: Seen, which: Option<Which> },
    /// Something is there, and nobody can tell what.
    Unclear(String),
}

impl Process {
    pub(super) fn new(name: &str, spec: ProcessSpec, folder: &Path, logs: &Path) -> Process {
        let name = file_name_of(name);
        Process {
            spec,
            record: folder.join(format!("{name}.service")),
            log: logs.join(format!("{name}.log")),
            stopping: folder.join(format!("{name}.stopping")),
            cage: None,
        }
    }

    /// Whatever runs by a record, to be ended.
    pub(super) fn of_record(record: &Path, grace: u64) -> Process {
        let nothing = Launch { argv: Vec::new(), cwd: None, env: BTreeMap::new() };
        Process {
            spec: ProcessSpec { old: nothing, new: None, pid_file: None, grace },
            record: record.to_owned(),
            stopping: record.with_extension("stopping"),
            log: record.with_extension("log"),
            cage: None,
        }
    }

    /// Holds it in a cage from its start on; its working folder is that of the cage.
    pub(super) fn caged(self, cage: Cage) -> Process {
        Process { cage: Some(cage), ..self }
    }

    fn io(&self, action: &'static str) -> impl FnOnce(io::Error) -> ServiceError {
        let path = self.record.clone();
        move |source| ServiceError::Io { action, path, source }
    }

    /// Says whether a stop of the very process that was found has begun and not ended.
    fn is_stopping(&self, found: &Found) -> bool {
        match std::fs::read_to_string(&self.stopping) {
            // Whoever survived its leader is of the same life: a start forgets the note.
            Ok(note) => matches!(found, Found::Ours { leader: None, .. }) || note == identity(found),
            Err(_) => false,
        }
    }

    fn note_stopping(&self, found: &Found, tell: &Tell) -> Result<(), ServiceError> {
        tell.point("service: before stop")?;
        let note = std::fs::write(&self.stopping, identity(found));
        note.map_err(|source| ServiceError::Io { action: "write", path: self.stopping.clone(), source })?;
        tell.point("service: stop noted")?;
        Ok(())
    }

    fn forget_stopping(&self) -> Result<(), ServiceError> {
        match std::fs::remove_file(&self.stopping) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(ServiceError::Io { action: "remove", path: self.stopping.clone(), source })
            }
            _ => Ok(()),
        }
    }

    fn find(&self) -> Result<Found, ServiceError> {
        if let Some(mut file) = record::open_existing(&self.record).map_err(self.io("read"))? {
            let found = self.find_ours(&mut file)?;
            if !matches!(found, Found::Nothing) {
                return Ok(found);
            }
        }
        Ok(self.find_theirs())
    }

    fn find_ours(&self, file: &mut File) -> Result<Found, ServiceError> {
        let began = Instant::now();
        loop {
            let held = record::is_held(file).map_err(self.io("look at the lock of"))?;
            let content = record::read(file).map_err(self.io("read"))?;
            match content {
                Content::Foreign => {
                    let record = self.record.display();
                    return Ok(Found::Unclear(format!("{record} is not a record of a service")));
                }
                Content::Record(record) => {
                    let leader = proc::see(record.pid).filter(|seen| {
                        seen.start == record.start && !seen.dead && record.boot == proc::boot()
                    });
                    // The record of an earlier life says nothing about a lock that is held now; but the file is
                    // emptied under the lock before every start, so that it cannot be one.
                    if held || leader.is_some() {
                        return Ok(Found::Ours { leader, which: Some(record.which) });
                    }
                    return Ok(Found::Nothing);
                }
                Content::Torn if !held => return Ok(Found::Nothing),
                Content::Torn if began.elapsed() > BIRTH => {
                    return Ok(Found::Ours { leader: None, which: None });
                }
                Content::Torn => std::thread::sleep(POLL),
            }
        }
    }

    fn find_theirs(&self) -> Found {
        let launches = [Which::Old, Which::New].map(|which| (which, self.spec.launch(which)));
        if let Some(path) = &self.spec.pid_file {
            let text = match std::fs::read_to_string(path) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return self.find_by_argv(&launches),
                Err(error) => return Found::Unclear(format!("cannot read {}: {error}", path.display())),
            };
            let Some(pid) = text.trim().parse::<i32>().ok().filter(|pid| *pid > 1) else {
                return Found::Unclear(format!("{} holds no process number", path.display()));
            };
            let Some(process) = proc::see(pid).filter(|seen| !seen.dead) else {
                return self.find_by_argv(&launches);
            };
            let argv = proc::argv(pid).unwrap_or_default();
            if !launches.iter().any(|(_, launch)| same_program(&argv, launch)) {
                let program = argv.first().map_or("(unknown)", String::as_str);
                let path = path.display();
                return Found::Unclear(format!(
                    "process {pid} named by {path} is another program: {program:?}"
                ));
            }
            let exact: Vec<_> = launches.iter().filter(|(_, launch)| same_argv(&argv, launch)).collect();
            let which = match exact.as_slice() {
                [(which, _)] => Some(*which),
                _ => None,
            };
            return Found::Theirs { process, which };
        }
        self.find_by_argv(&launches)
    }

    /// Without a number, a process that was started with exactly these arguments may be the service or its twin in
    /// another folder. Taking it for stopped could corrupt data, taking it for ours could kill the twin.
    fn find_by_argv(&self, launches: &[(Which, &Launch)]) -> Found {
        for seen in proc::all() {
            let argv = proc::argv(seen.pid).unwrap_or_default();
            let is_it = |launch: &Launch| {
                let here = launch.cwd.as_ref().is_none_or(|cwd| proc::works_in(seen.pid, cwd));
                same_argv(&argv, launch) && here && proc::is_of_our_world(seen.pid)
            };
            if launches.iter().any(|(_, launch)| is_it(launch)) {
                let pid = seen.pid;
                return Found::Unclear(format!(
                    "process {pid} looks like it and was not started by switchback: name its `pid_file`, or stop it"
                ));
            }
        }
        Found::Nothing
    }

    fn spawn(&self, which: Which, file: &File) -> Result<(), ServiceError> {
        let launch = self.spec.launch(which);
        let program = launch.argv.first().ok_or(ServiceError::NoLaunch(which))?;
        let start = |source| ServiceError::Start { program: program.clone(), source };
        let log = self.open_log().map_err(start)?;
        let mut process = std::process::Command::new(program);
        process.args(&launch.argv[1..]).stdin(Stdio::null());
        process.stdout(log.try_clone().map_err(start)?).stderr(log);
        if let Some(cwd) = &launch.cwd {
            process.current_dir(cwd);
        }
        if let Some(cage) = &self.cage {
            cage.close(&mut process).map_err(start)?;
        }
        give_environment(&mut process, &launch.env);
        close_what_we_inherited();
        let (pen, number) = (Pen::new(which), file.as_fd().as_raw_fd());
        let become_leader = move || {
            rustix::process::setsid()?;
            // SAFETY: the parent keeps the descriptor open until the spawn returns.
            pen.write(unsafe { BorrowedFd::borrow_raw(number) })
        };
        // SAFETY: between fork and exec the closure makes system calls and uses the stack, and nothing else.
        unsafe { process.pre_exec(become_leader) };
        pass(&mut process, &[file]);
        // The child is found by its record and not by this handle, which is dropped: a service outlives its starter.
        process.spawn().map(drop).map_err(start)
    }

    fn open_log(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits() as i32);
        options.open(&self.log)
    }

    /// Returns every process of the service that still lives: the group of `leader`, whoever holds the lock of the
    /// record, and those of `others` that are still the same processes.
    fn living(&self, leader: Option<&Seen>, others: &[Seen]) -> Result<Vec<i32>, ServiceError> {
        let all = proc::all();
        // The number of a group is not given to another one while the group has a member.
        let is_one = |seen: &&Seen| {
            let same = |other: &Seen| (other.pid, other.start) == (seen.pid, seen.start);
            leader.is_some_and(|leader| seen.group == leader.pid) || others.iter().any(same)
        };
        let mut pids: Vec<i32> = all.iter().filter(is_one).map(|seen| seen.pid).collect();
        if let Some(file) = record::open_existing(&self.record).map_err(self.io("read"))?
            && record::is_held(&file).map_err(self.io("look at the lock of"))?
        {
            // Whoever holds it descends from what we started, also in a session of its own.
            pids.extend(proc::holders(&file));
            if pids.is_empty() && record::is_held(&file).map_err(self.io("look at the lock of"))? {
                // Held by a process that we may not look into; 0 stands for "somebody".
                pids.push(0);
            }
        }
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    fn end(&self, leader: Option<&Seen>, others: &[Seen], tell: &Tell) -> Result<(), ServiceError> {
        let grace = self.spec.grace();
        let (began, mut shown_seconds, mut killed) = (Instant::now(), 0, None::<Instant>);
        let (mut told, mut others) = (Vec::new(), others.to_vec());
        tell.point("service: before SIGTERM")?;
        loop {
            if others.is_empty() {
                reap(leader.map(|leader| leader.pid));
            }
            proc::extend(&mut others);
            let living = self.living(leader, &others)?;
            if living.is_empty() {
                return Ok(());
            }
            match killed {
                Some(killed) if killed.elapsed() > KILL_GRACE => {
                    return Err(ServiceError::DoesNotEnd(living));
                }
                // Again and again, since a process may have been born between the look and the signal.
                Some(_) => living.iter().for_each(|pid| send(*pid, Signal::KILL)),
                None if told.is_empty() || began.elapsed() < grace => {
                    for pid in living.iter().filter(|pid| !told.contains(*pid)) {
                        send(*pid, Signal::TERM);
                    }
                    if told.is_empty() {
                        tell.point("service: after SIGTERM")?;
                    }
                    told.extend(living);
                    tell.go_on()?;
                }
                None => {
                    tell.point("service: before SIGKILL")?;
                    killed = Some(Instant::now());
                }
            }
            if began.elapsed().as_secs() > shown_seconds {
                shown_seconds = began.elapsed().as_secs();
                tell.progress("stopping the service", shown_seconds, Some(self.spec.grace), Unit::Seconds);
            }
            std::thread::sleep(POLL);
        }
    }
}

fn identity(found: &Found) -> String {
    let process = match found {
        Found::Ours { leader, .. } => leader.as_ref(),
        Found::Theirs { process, .. } => Some(process),
        Found::Nothing | Found::Unclear(_) => None,
    };
    let (pid, start) = process.map_or((0, 0), |seen| (seen.pid, seen.start));
    format!("{pid} {start} {}", proc::boot())
}

/// Compares the programs by name: the number of a dead service may have been given to anything.
fn same_program(argv: &[String], launch: &Launch) -> bool {
    let base = |word: &String| Path::new(word).file_name().map(ToOwned::to_owned);
    let wanted = launch.argv.first().and_then(base);
    // A script runs as its interpreter, with its own name as the second word.
    wanted.is_some() && argv.iter().take(2).any(|word| base(word) == wanted)
}

fn same_argv(argv: &[String], launch: &Launch) -> bool {
    !launch.argv.is_empty() && (argv == launch.argv || argv.get(1..).is_some_and(|rest| rest == launch.argv))
}

/// Signals through a descriptor of the process, and only if it is not ourselves.
fn send(pid: i32, signal: Signal) {
    let Some(pid) = Pid::from_raw(pid).filter(|pid| *pid != rustix::process::getpid()) else { return };
    match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(fd) => drop(rustix::process::pidfd_send_signal(fd, signal)),
        // Before Linux 5.3 there is no such descriptor.
        Err(rustix::io::Errno::NOSYS) => drop(rustix::process::kill_process(pid, signal)),
        Err(_) => {}
    }
}

/// Takes note of the end of a service that is our own child, so that no zombie is left of it.
fn reap(pid: Option<i32>) {
    if let Some(pid) = pid.and_then(Pid::from_raw) {
        let _ = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

impl Service for Process {
    fn state(&self) -> Result<State, ServiceError> {
        Ok(match self.find()? {
            Found::Nothing => State::Stopped,
            Found::Ours { which, .. } | Found::Theirs { which, .. } => State::Running(which),
            Found::Unclear(why) => State::Unknown(why),
        })
    }

    fn start(&self, which: Which, tell: &Tell) -> Result<Outcome, ServiceError> {
        let found = self.find()?;
        match &found {
            Found::Unclear(why) => return Err(ServiceError::Unknown(why.clone())),
            // It was told to end and only has not done so yet: it must not be taken for one that stays.
            Found::Ours { .. } | Found::Theirs { .. } if self.is_stopping(&found) => {
                self.stop(tell)?;
            }
            Found::Ours { which: running, .. } | Found::Theirs { which: running, .. } => {
                return match *running {
                    Some(running) if running != which => {
                        Err(ServiceError::OtherRuns { wanted: which, running })
                    }
                    _ => Ok(Outcome::Already),
                };
            }
            Found::Nothing => {}
        }
        tell.point("service: before start")?;
        let file = record::open(&self.record).map_err(self.io("open"))?;
        let began = Instant::now();
        // Another look holds the lock for a moment; another start holds it for good, and then this one is over.
        while !record::lock(&file).map_err(self.io("lock"))? {
            if began.elapsed() > Duration::from_secs(1) {
                return match self.state()? {
                    State::Running(Some(running)) if running != which => {
                        Err(ServiceError::OtherRuns { wanted: which, running })
                    }
                    State::Running(_) => Ok(Outcome::Already),
                    other => Err(ServiceError::Unknown(format!("{other}, and its record is locked"))),
                };
            }
            std::thread::sleep(POLL);
        }
        file.set_len(0).map_err(self.io("empty"))?;
        self.forget_stopping()?;
        tell.point("service: record locked")?;
        if let Err(error) = self.spawn(which, &file) {
            // The child wrote its record before it failed to become the service. The lock is given up by name, since
            // a child that another thread has just forked may hold a copy of the descriptor until its exec.
            file.set_len(0).and_then(|()| record::unlock(&file)).map_err(self.io("empty"))?;
            return Err(error);
        }
        drop(file);
        tell.point("service: started")?;
        Ok(Outcome::Done)
    }

    fn stop(&self, tell: &Tell) -> Result<Outcome, ServiceError> {
        let found = self.find()?;
        match &found {
            Found::Nothing => return Ok(Outcome::Already),
            Found::Unclear(why) => return Err(ServiceError::Unknown(why.clone())),
            Found::Ours { leader, .. } => {
                self.note_stopping(&found, tell)?;
                self.end(leader.as_ref(), &[], tell)?;
            }
            Found::Theirs { process, .. } => {
                self.note_stopping(&found, tell)?;
                // Its group may be that of the script which started it, and only counts if it leads it; its
                // descendants are its own.
                let leader = (process.group == process.pid).then_some(process);
                self.end(leader, std::slice::from_ref(process), tell)?;
            }
        }
        self.forget_stopping()?;
        tell.point("service: stopped")?;
        match self.state()? {
            State::Stopped => Ok(Outcome::Done),
            other => Err(ServiceError::Unknown(format!("it was ended, and is {other}"))),
        }
    }
}
