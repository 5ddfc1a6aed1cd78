//! What the kernel forbids a private service, whatever its config says: it may write nowhere but in its own folders, listen
//! and connect at no TCP port but those it is given, and signal nobody outside; and it ends with us.
//!
//! The rules are those of Landlock (docs.kernel.org/userspace-api/landlock.html), which needs no rights: files since
//! Linux 5.13, ports since 6.7, signals since 6.12, sockets of other folders since later. An older kernel enforces less, and
//! whoever rehearses says so.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
};
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
/// The newest rules that are known here. What the kernel does not know of them it does not enforce.
const NEWEST: ABI = ABI::V9;
/// Devices that everybody writes to.
const DEVICES: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/tty"];

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
        match abi() {
            ABI::Unsupported => Strength::None,
            abi if abi < ABI::V4 => Strength::Files,
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
        let starter = rustix::process::getpid();
        let mut rules = Some(self.rules()?);
        let enter = move || {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            // Whoever died before that sends nothing any more.
            if rustix::process::getppid() != Some(starter) {
                return Err(io::ErrorKind::NotFound.into());
            }
            match rules.take().map(RulesetCreated::restrict_self) {
                Some(Err(_)) => Err(io::Error::last_os_error()),
                _ => Ok(()),
            }
        };
        // SAFETY: the closure makes system calls, and allocates only where one of them fails, which ends the new process.
        unsafe { process.pre_exec(enter) };
        Ok(())
    }

    /// Returns the rules, as far as this kernel knows such.
    fn rules(&self) -> io::Result<RulesetCreated> {
        let (write, net) = (AccessFs::from_write(NEWEST), AccessNet::from_all(NEWEST));
        let mut rules = empty(write, net).map_err(io::Error::other)?;
        for folder in self.folders.iter().chain([&self.home]) {
            rules = allow(rules, folder, write)?;
        }
        let to_device = AccessFs::WriteFile | AccessFs::Truncate;
        for device in DEVICES.map(Path::new).into_iter().filter(|device| device.exists()) {
            rules = allow(rules, device, to_device)?;
        }
        for port in &self.ports {
            rules = rules.add_rule(NetPort::new(*port, net)).map_err(io::Error::other)?;
        }
        Ok(rules)
    }
}

/// Returns rules that allow nothing of this.
fn empty(write: BitFlags<AccessFs>, net: BitFlags<AccessNet>) -> Result<RulesetCreated, RulesetError> {
    let rules = Ruleset::default().handle_access(write)?.handle_access(net)?;
    rules.scope(Scope::from_all(NEWEST))?.create()
}

fn allow(rules: RulesetCreated, below: &Path, allowed: BitFlags<AccessFs>) -> io::Result<RulesetCreated> {
    let parent = PathFd::new(below).map_err(io::Error::other)?;
    rules.add_rule(PathBeneath::new(parent, allowed)).map_err(io::Error::other)
}

/// The version of the rules that this kernel and we know.
fn abi() -> ABI {
    // Only who is restricted is told; so it is a thread that does nothing else.
    let asked = std::thread::spawn(|| {
        let rules = Ruleset::default().handle_access(AccessFs::MakeChar)?.create()?;
        Ok::<_, RulesetError>(rules.restrict_self()?.landlock)
    });
    match asked.join() {
        Ok(Ok(LandlockStatus::Available { effective_abi, .. })) => effective_abi,
        _ => ABI::Unsupported,
    }
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
                "signal" => abi() >= ABI::V6,
                "truncate" => abi() >= ABI::V3,
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
