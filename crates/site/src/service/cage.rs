//! What the kernel forbids a private service, whatever its config says: it may write nowhere but in its own folders, listen
//! and connect nowhere but at its own ports, and signal nobody outside; and it ends with us.
//!
//! The rules are those of Landlock (docs.kernel.org/userspace-api/landlock.html), which needs no rights: files since
//! Linux 5.13, ports since 6.7, signals since 6.12. An older kernel enforces less, and whoever starts the service says so.

use std::ffi::{CString, c_long};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

/// What a program may need of its surroundings, and what leads nowhere.
const VARIABLES: [&str; 10] = [
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "USER",
    "LOGNAME",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];
/// Devices that everybody writes to.
const DEVICES: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/tty"];

const WRITE_FILE: u64 = 1 << 1;
/// Remove folders and files; make devices, folders, files, sockets, pipes, links.
const CHANGE_FOLDER: u64 = 0b1_1111_1111 << 4;
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;
const BIND_TCP: u64 = 1;
const CONNECT_TCP: u64 = 1 << 1;
/// Abstract sockets and signals.
const SCOPES: u64 = 0b11;
const ONE: libc::c_ulong = 1;
const RULE_PATH: u32 = 1;
const RULE_PORT: u32 = 2;

#[repr(C)]
struct Ruleset {
    fs: u64,
    net: u64,
    scoped: u64,
}

#[repr(C, packed)]
struct PathRule {
    allowed: u64,
    parent: i32,
}

#[repr(C)]
struct PortRule {
    allowed: u64,
    port: u64,
}

/// What a private service may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cage {
    /// Its home: its working folder, with a folder for what is temporary in it.
    pub home: PathBuf,
    /// Folders that it may write in, beside its home.
    pub folders: Vec<PathBuf>,
    /// Ports that it may listen on and connect to.
    pub ports: Vec<u16>,
}

/// How much of a cage this kernel enforces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// Nothing.
    None,
    /// Where it writes.
    Files,
    /// Where it writes, and which ports it uses.
    FilesAndPorts,
}

impl Strength {
    /// Asks the kernel.
    pub fn of_this_kernel() -> Strength {
        match version() {
            0 => Strength::None,
            1..=3 => Strength::Files,
            _ => Strength::FilesAndPorts,
        }
    }
}

impl Cage {
    /// Returns the folder for what is temporary.
    pub fn temporary(&self) -> PathBuf {
        self.home.join("tmp")
    }

    /// Puts a command into the cage that is about to be started by this thread, with whose end it ends as well.
    pub(super) fn close(&self, process: &mut Command) -> io::Result<()> {
        process.env_clear().current_dir(&self.home).env("HOME", &self.home).env("TMPDIR", self.temporary());
        process.envs(VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        let (rules, starter) = (self.rules()?, rustix::process::getpid());
        let enter = move || {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            // Whoever died before that sends nothing any more.
            if rustix::process::getppid() != Some(starter) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            let Some(rules) = &rules else { return Ok(()) };
            // SAFETY: both calls take numbers only.
            let ret = unsafe {
                match libc::prctl(libc::PR_SET_NO_NEW_PRIVS, ONE, 0, 0, 0) {
                    0 => libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0),
                    _ => -1,
                }
            };
            if ret == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
        };
        // SAFETY: the closure makes system calls and allocates nothing.
        unsafe { process.pre_exec(enter) };
        Ok(())
    }

    /// Returns the rules, as far as this kernel knows such; none where it does not.
    fn rules(&self) -> io::Result<Option<OwnedFd>> {
        let version = version();
        if version == 0 {
            return Ok(None);
        }
        let fs = WRITE_FILE
            | CHANGE_FOLDER
            | if version >= 2 { REFER } else { 0 }
            | if version >= 3 { TRUNCATE } else { 0 };
        let net = if version >= 4 { BIND_TCP | CONNECT_TCP } else { 0 };
        let scoped = if version >= 6 { SCOPES } else { 0 };
        let ruleset = Ruleset { fs, net, scoped };
        // An older kernel knows fewer fields, and refuses a longer struct unless the rest is zero.
        // SAFETY: the struct lives through the call, and its size is its own.
        let fd = called(unsafe {
            libc::syscall(libc::SYS_landlock_create_ruleset, &raw const ruleset, size_of::<Ruleset>(), 0)
        })?;
        // SAFETY: the descriptor is new and nobody else's. The kernel opens it close-on-exec.
        let rules = unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?) };
        for folder in self.folders.iter().chain([&self.home]) {
            allow(&rules, folder, fs)?;
        }
        for device in DEVICES.map(Path::new).into_iter().filter(|device| device.exists()) {
            allow(&rules, device, fs & (WRITE_FILE | TRUNCATE))?;
        }
        for port in self.ports.iter().filter(|_| net != 0) {
            let rule = PortRule { allowed: net, port: u64::from(*port) };
            // SAFETY: as above.
            called(unsafe {
                libc::syscall(libc::SYS_landlock_add_rule, rules.as_raw_fd(), RULE_PORT, &raw const rule, 0)
            })?;
        }
        Ok(Some(rules))
    }
}

fn allow(rules: &OwnedFd, below: &Path, allowed: u64) -> io::Result<()> {
    let path = CString::new(below.as_os_str().as_bytes())?;
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    let parent = rustix::fs::open(path.as_c_str(), flags, rustix::fs::Mode::empty())?;
    let rule = PathRule { allowed, parent: parent.as_raw_fd() };
    // SAFETY: the struct and the descriptor live through the call.
    called(unsafe {
        libc::syscall(libc::SYS_landlock_add_rule, rules.as_raw_fd(), RULE_PATH, &raw const rule, 0)
    })
    .map(drop)
}

/// The version of the rules that this kernel knows; 0 where it knows none, or was told not to.
fn version() -> c_long {
    // SAFETY: with this flag nothing is read.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<Ruleset>(), 0, 1) };
    version.max(0)
}

fn called(ret: c_long) -> io::Result<c_long> {
    if ret < 0 { Err(io::Error::last_os_error()) } else { Ok(ret) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn run(cage: &Cage, script: &str) -> String {
        let mut process = Command::new("/bin/bash");
        process.args(["-c", script]);
        std::fs::create_dir_all(cage.temporary()).unwrap();
        cage.close(&mut process).unwrap();
        let out = process.output().unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    #[test]
    fn a_caged_program_writes_and_connects_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let [home, copies, outside] = ["home", "copies", "outside"].map(|name| dir.path().join(name));
        for folder in [&copies, &outside] {
            std::fs::create_dir_all(folder).unwrap();
        }
        std::fs::write(outside.join("file"), "kept").unwrap();
        let [own, foreign] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let cage = Cage { home, folders: vec![copies.clone()], ports: vec![port(&own)] };
        std::fs::create_dir_all(&cage.home).unwrap();
        let script = format!(
            "try() {{ if eval \"$1\" 2>/dev/null; then echo \"$2 yes\"; else echo \"$2 no\"; fi; }}\n\
             try 'echo x > {c}/new' copy; try 'echo x > $TMPDIR/new' temporary; try 'echo x > /dev/null' nothing\n\
             try 'cat {o}/file >/dev/null' read\n\
             try 'echo x >> {o}/file' append; try '(: > {o}/file)' truncate; try 'rm {o}/file' remove; try 'echo x > {o}/new' make\n\
             try 'exec 3<>/dev/tcp/127.0.0.1/{own}' own; try 'exec 4<>/dev/tcp/127.0.0.1/{foreign}' foreign\n\
             try 'kill -0 {pid}' signal\n",
            c = copies.display(),
            o = outside.display(),
            own = port(&own),
            foreign = port(&foreign),
            pid = std::process::id(),
        );
        let said = run(&cage, &script);
        let allowed = ["copy", "temporary", "nothing", "read", "own"];
        let strength = Strength::of_this_kernel();
        let mut wanted: Vec<String> = Vec::new();
        for what in "copy temporary nothing read append truncate remove make own foreign signal".split(' ') {
            let enforced = match what {
                "own" | "foreign" => strength == Strength::FilesAndPorts,
                "signal" => version() >= 6,
                "truncate" => version() >= 3,
                _ => strength >= Strength::Files,
            };
            let may = allowed.contains(&what) || !enforced;
            wanted.push(format!("{what} {}", if may { "yes" } else { "no" }));
        }
        assert_eq!(said.lines().collect::<Vec<_>>(), wanted);
        if strength >= Strength::Files {
            assert_eq!(std::fs::read_to_string(outside.join("file")).unwrap(), "kept");
        }
    }

    #[test]
    fn a_caged_program_knows_nothing_of_our_environment() {
        let dir = tempfile::tempdir().unwrap();
        let cage = Cage { home: dir.path().to_owned(), folders: Vec::new(), ports: Vec::new() };
        let said = run(&cage, "echo ${CARGO_MANIFEST_DIR-none} $HOME; pwd");
        let home = dir.path().display();
        assert_eq!(said, format!("none {home}\n{home}\n"));
    }
}
