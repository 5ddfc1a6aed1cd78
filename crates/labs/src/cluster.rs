//! A private PostgreSQL cluster: made in a folder of its own, reached over a socket there, gone with the process.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a server may take to come up.
const PATIENCE: Duration = Duration::from_secs(60);

/// How careful a cluster is with its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// As in production: what it says is committed survives a crash of the server.
    Full,
    /// Nothing is synced, for tests that never kill the server.
    None,
}

/// A running server. It is stopped when the value is dropped, and dies with this process in any case.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    port: u16,
    durability: Durability,
    server: Option<Child>,
}

impl Cluster {
    /// Makes a cluster in `folder`, which must not exist, and starts it. Takes about a second.
    ///
    /// The server refuses to run as root, so root hands it to the user `postgres`, or `nobody` where there is none.
    pub fn start(folder: &Path, durability: Durability) -> io::Result<Cluster> {
        fs::create_dir_all(folder)?;
        let folder = fs::canonicalize(folder)?;
        if let Some((uid, gid)) = stranger()? {
            std::os::unix::fs::chown(&folder, Some(uid), Some(gid))?;
        }
        let port = free_port()?;
        let mut init = Command::new(program("initdb")?);
        init.arg("-D").arg(folder.join("data"));
        init.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]);
        let output = as_stranger(&mut init)?.current_dir(&folder).output()?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        let mut cluster = Cluster { folder, port, durability, server: None };
        cluster.restart()?;
        Ok(cluster)
    }

    /// Starts the server, after it was stopped or killed.
    pub fn restart(&mut self) -> io::Result<()> {
        let mut command = Command::new(program("postgres")?);
        command.arg("-D").arg(self.folder.join("data")).arg("-k").arg(&self.folder);
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        command.args([
            "-c",
            "max_connections=60",
            "-c",
            "shared_buffers=128MB",
            "-c",
            "logging_collector=off",
        ]);
        if self.durability == Durability::None {
            command.args(["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]);
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).current_dir(&self.folder);
        as_stranger(&mut command)?;
        self.server = Some(spawn_for_life(command)?);
        self.wait_until_ready()
    }

    /// Stops the server as a restart by its package does: sessions are ended, data is written.
    pub fn stop(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        let pid = i32::try_from(server.id()).ok().and_then(rustix::process::Pid::from_raw);
        let asked = pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::INT));
        if !matches!(asked, Some(Ok(()))) {
            let _ = server.kill();
        }
        let _ = server.wait();
    }

    /// Kills the server with all its processes at once, as a power cut would. What it said is committed is on the disk, as far
    /// as its [`Durability`] goes.
    pub fn kill(&mut self) -> io::Result<()> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        // Stopped first, so that it neither forks nor tells its children to end in order. They would notice by themselves that
        // it is gone, but only when they next wait for something: until then they go on, and may commit.
        signal(server.id(), rustix::process::Signal::STOP);
        let children = children_of(server.id())?;
        for child in &children {
            signal(*child, rustix::process::Signal::KILL);
        }
        server.kill()?;
        server.wait()?;
        // A new server refuses to start while one of them still lives on the shared memory.
        let clock = Instant::now();
        while children.iter().any(|child| lives(*child)) {
            if clock.elapsed() > PATIENCE {
                return Err(io::Error::other("a process of the server does not end"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// The URL of a database of this cluster, for its superuser.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The command that starts the server by hand, for the user that owns its folder.
    pub fn command_line(&self) -> String {
        let program = program("postgres").unwrap_or_else(|_| PathBuf::from("postgres"));
        let folder = self.folder.display();
        format!("{} -D '{folder}/data' -k '{folder}' -h 127.0.0.1 -p {}", program.display(), self.port)
    }

    /// The folder of data, socket and log.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Connects to a database as superuser.
    pub fn connect(&self, database: &str) -> Result<postgres::Client, postgres::Error> {
        postgres::Client::connect(&self.url(database), postgres::NoTls)
    }

    /// Makes an empty database.
    pub fn create(&self, database: &str) -> Result<(), postgres::Error> {
        self.connect("postgres")?.batch_execute(&format!("CREATE DATABASE \"{database}\""))
    }

    fn wait_until_ready(&mut self) -> io::Result<()> {
        let clock = Instant::now();
        loop {
            let error = match self.connect("postgres") {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let ended = self.server.as_mut().and_then(|server| server.try_wait().ok().flatten());
            if ended.is_some() || clock.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                return Err(io::Error::other(format!("the server does not answer: {error}\n{log}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

fn signal(process: u32, signal: rustix::process::Signal) {
    let process = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(process) = process {
        let _ = rustix::process::kill_process(process, signal);
    }
}

/// The fields of a process from its state on: the name before them may hold anything (proc_pid_stat(5)).
fn state_of(process: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

fn lives(process: u32) -> bool {
    state_of(process).is_some_and(|fields| !matches!(fields.first().map(String::as_str), Some("Z" | "X")))
}

fn children_of(parent: u32) -> io::Result<Vec<u32>> {
    let parent = parent.to_string();
    let numbers =
        fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(numbers
        .filter(|process| state_of(*process).is_some_and(|fields| fields.get(1) == Some(&parent)))
        .collect())
}

/// Spawns from a thread that never ends: a parent-death signal is sent when the *thread* that forked ends (prctl(2)).
fn spawn_for_life(mut command: Command) -> io::Result<Child> {
    // SAFETY: only an async-signal-safe system call is made between fork and exec.
    unsafe {
        command.pre_exec(|| {
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::QUIT))?;
            Ok(())
        });
    }
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = tell.send(command.spawn());
        loop {
            std::thread::park();
        }
    });
    told.recv().map_err(io::Error::other)?
}

fn as_stranger(command: &mut Command) -> io::Result<&mut Command> {
    if let Some((uid, gid)) = stranger()? {
        command.uid(uid).gid(gid);
    }
    Ok(command)
}

/// The user that root hands the server to; `None` for everybody else.
fn stranger() -> io::Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    let found = ids("postgres").or_else(|| ids("nobody"));
    found
        .map(Some)
        .ok_or_else(|| io::Error::other("PostgreSQL does not run as root, and there is no other user"))
}

/// Finds a server program: on the path, or where Debian keeps the newest version.
fn program(name: &str) -> io::Result<PathBuf> {
    let mut places: Vec<PathBuf> = std::env::var_os("PATH")
        .iter()
        .flat_map(|path| std::env::split_paths(path).collect::<Vec<_>>())
        .collect();
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        let mut versions: Vec<PathBuf> =
            versions.flatten().map(|version| version.path().join("bin")).collect();
        versions.sort();
        versions.reverse();
        places.extend(versions);
    }
    let found = places.into_iter().map(|place| place.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| {
        io::Error::other(format!("{name} is not installed: install PostgreSQL (Debian: postgresql)"))
    })
}

fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
