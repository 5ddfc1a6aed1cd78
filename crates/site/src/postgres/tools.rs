//! The programs of PostgreSQL that dump and restore: the right version of them, and how they are called.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::connect::Database;
use super::lock::session_name;
use super::protection::Protection;
use crate::tell::{Failure, Halt, Tell};

/// The programs that are needed, all of one version.
const PROGRAMS: [&str; 3] = ["pg_dump", "pg_restore", "psql"];
/// How often a running tool is looked at.
pub(super) const TICK: Duration = Duration::from_millis(20);
/// Where no file can be.
const NOWHERE: &str = "/dev/null/none";
/// How much of a tool's complaints is kept.
const COMPLAINTS: usize = 4000;

/// Why a tool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// There is none that can dump from this server.
    #[error("back up a PostgreSQL {server} server: {}; install its client programs (Debian: postgresql-client-{server})", found(.versions))]
    NoTool {
        /// The server's major version.
        server: u32,
        /// The versions that were found.
        versions: Vec<String>,
    },
    /// A tool could not be started or watched.
    #[error("run {}: {source}", .program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A tool gave up.
    #[error("{attempt}: {}", .said.trim_end())]
    Failed {
        /// What it was to do, as a fragment ("dump the database").
        attempt: &'static str,
        /// What it wrote.
        said: String,
    },
    /// Stopped; the tool was ended.
    #[error(transparent)]
    Halt(#[from] Halt),
}

impl Failure for ToolError {
    fn halt(&self) -> Option<Halt> {
        match self {
            ToolError::Halt(halt) => Some(*halt),
            _ => None,
        }
    }
}

fn found(versions: &[String]) -> String {
    if versions.is_empty() {
        return "pg_dump, pg_restore and psql are not installed".to_owned();
    }
    format!("pg_dump {} cannot read it, as it is older", versions.join(" and "))
}

/// The programs of one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tools {
    /// Where they are.
    pub folder: PathBuf,
    /// Their version, such as `15.14`.
    pub version: String,
    /// Its first number.
    pub major: u32,
}

impl Tools {
    /// Finds the programs for a server of this major version: those of the same version, else the next newer ones. Older ones
    /// cannot dump from it.
    pub fn find(server: u32) -> Result<Tools, ToolError> {
        Tools::choose(server, places().iter().filter_map(|folder| Tools::at(folder)).collect())
    }

    fn choose(server: u32, all: Vec<Tools>) -> Result<Tools, ToolError> {
        let versions: BTreeSet<String> = all.iter().map(|tools| tools.version.clone()).collect();
        let fit = all.into_iter().filter(|tools| tools.major >= server);
        fit.min_by_key(|tools| tools.major)
            .ok_or_else(|| ToolError::NoTool { server, versions: versions.into_iter().collect() })
    }

    /// Looks into one folder, whose programs must be of one version.
    fn at(folder: &Path) -> Option<Tools> {
        let versions: BTreeSet<String> =
            PROGRAMS.iter().map(|program| version(&folder.join(program))).collect::<Option<_>>()?;
        let version = versions.first().filter(|_| versions.len() == 1)?.clone();
        let major = version.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()?;
        Some(Tools { folder: folder.to_owned(), version, major })
    }

    /// Prepares a call on a database: everything about the connection goes by the environment, the password included, and
    /// nothing of ours that libpq would read is left in it. The session is named after the run, so that it can be ended.
    pub(super) fn command(&self, program: &str, database: Option<&Database>, run: &str) -> Command {
        let mut command = Command::new(self.folder.join(program));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") || name.to_string_lossy().starts_with("SWITCHBACK_") {
                command.env_remove(name);
            }
        }
        command.env("LC_ALL", "C").env("PGCLIENTENCODING", "UTF8").env("PGAPPNAME", session_name(run));
        // No password, authority or certificate but ours: the files of the home folder are left out by a place that cannot
        // be, as a file's absence goes without a warning.
        for name in ["PGPASSFILE", "PGSSLROOTCERT", "PGSSLCRL", "PGSSLCERT", "PGSSLKEY"] {
            command.env(name, NOWHERE);
        }
        // Nor another protection than ours, where there happens to be a ticket for it.
        command.env("PGGSSENCMODE", "disable");
        if let Some(database) = database {
            environment(&mut command, database);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

fn environment(command: &mut Command, database: &Database) {
    let address = database.address();
    command.env("PGHOST", &address.host).env("PGPORT", address.port.to_string());
    command.env("PGUSER", &address.user).env("PGDATABASE", &address.dbname).env("PGCONNECT_TIMEOUT", "10");
    let mode = match address.protection {
        Protection::Disable => "disable",
        Protection::Prefer => "prefer",
        Protection::Require => "require",
        Protection::VerifyCa => "verify-ca",
        Protection::VerifyFull => "verify-full",
    };
    command.env("PGSSLMODE", mode);
    let root = address.root_cert.clone().or_else(|| {
        // libpq knows no place of its own for the machine's authorities.
        let verifies = matches!(address.protection, Protection::VerifyCa | Protection::VerifyFull);
        crate::http::bundles().into_iter().find(|path| verifies && path.is_file())
    });
    let (cert, key) = address.client_cert.clone().unzip();
    let files = [
        ("PGSSLROOTCERT", root),
        ("PGSSLCRL", address.revoked.clone()),
        ("PGSSLCERT", cert),
        ("PGSSLKEY", key),
    ];
    for (name, path) in files {
        if let Some(path) = path {
            command.env(name, path);
        }
    }
    let texts = [
        ("PGHOSTADDR", &address.hostaddr),
        ("PGPASSWORD", &address.password),
        ("PGCHANNELBINDING", &address.channel_binding),
        ("PGOPTIONS", &address.options),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            command.env(name, text);
        }
    }
}

/// Where the programs may be: the folders of single versions first, as those on the path may be wrappers that choose one.
fn places() -> Vec<PathBuf> {
    let mut places = Vec::new();
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        places.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    if let Ok(folders) = std::fs::read_dir("/usr") {
        let named = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("pgsql-");
        places.extend(folders.flatten().filter(|at| named(&at.file_name())).map(|at| at.path().join("bin")));
    }
    places.sort();
    places.extend(
        std::env::var_os("PATH").iter().flat_map(|path| std::env::split_paths(path).collect::<Vec<_>>()),
    );
    places
}

/// Asks a program for its version: `pg_dump (PostgreSQL) 15.14 (Debian …)`.
fn version(program: &Path) -> Option<String> {
    let output = program
        .is_file()
        .then(|| Command::new(program).arg("--version").stdin(Stdio::null()).output())?
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_once("(PostgreSQL) ")?.1.split_whitespace().next()?;
    Some(version.to_owned())
}

/// A tool at work. What it complains of is read as it comes, so that it never waits for us; it is ended when the value is
/// dropped before its end.
pub(super) struct Working {
    pub(super) child: Child,
    program: PathBuf,
    complaints: Option<std::thread::JoinHandle<String>>,
    said: Mutex<String>,
}

impl Working {
    pub(super) fn start(command: &mut Command, program: PathBuf) -> Result<Working, ToolError> {
        let failed = |source| ToolError::Run { program: program.clone(), source };
        let mut child = command.spawn().map_err(failed)?;
        let complaints = child.stderr.take().map(|mut stderr| {
            std::thread::spawn(move || {
                let (mut kept, mut piece) = (Vec::new(), [0; 4096]);
                // The first complaint is the cause; the rest follows from it, but must be read.
                while let Ok(length @ 1..) = stderr.read(&mut piece) {
                    let room = COMPLAINTS.saturating_sub(kept.len()).min(length);
                    kept.extend_from_slice(&piece[..room]);
                }
                String::from_utf8_lossy(&kept).into_owned()
            })
        });
        Ok(Working { child, program, complaints, said: Mutex::default() })
    }

    /// Says whether it has ended, and how.
    pub(super) fn ended(&mut self) -> Result<Option<bool>, ToolError> {
        let status = self.child.try_wait();
        let status = status.map_err(|source| ToolError::Run { program: self.program.clone(), source })?;
        Ok(status.map(|status| status.success()))
    }

    /// Waits for its end while `look` goes on; a stop ends it. What it complained of is in the error.
    pub(super) fn wait(
        mut self,
        attempt: &'static str,
        tell: &Tell,
        mut look: impl FnMut(),
    ) -> Result<(), ToolError> {
        loop {
            match self.ended()? {
                Some(true) => return Ok(()),
                Some(false) => return Err(ToolError::Failed { attempt, said: self.complaints() }),
                None => {}
            }
            if let Err(halt) = tell.go_on() {
                self.end();
                return Err(halt.into());
            }
            look();
            std::thread::sleep(TICK);
        }
    }

    /// What it complained of, once it has ended.
    pub(super) fn complaints(&mut self) -> String {
        let said = self.complaints.take().and_then(|thread| thread.join().ok());
        let mut kept = self.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(said) = said {
            *kept = said;
        }
        if kept.trim().is_empty() { "it gave no reason".to_owned() } else { kept.clone() }
    }

    /// Asks it to end, so that it cancels its statements, and makes it after a while.
    pub(super) fn end(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid
            && matches!(self.child.try_wait(), Ok(None))
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        for _ in 0..250 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(TICK);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(version: &str) -> Tools {
        let major = version.split('.').next().unwrap().parse().unwrap();
        Tools { folder: PathBuf::from("/x"), version: version.to_owned(), major }
    }

    #[test]
    fn the_version_of_the_server_is_chosen_else_the_next_newer_and_never_an_older() {
        let all = ["13.1", "17.2", "15.4", "16.0"].map(tools).to_vec();
        assert_eq!(Tools::choose(15, all.clone()).unwrap().version, "15.4");
        assert_eq!(Tools::choose(14, all.clone()).unwrap().version, "15.4");
        let error = Tools::choose(18, all).unwrap_err().to_string();
        assert!(error.contains("pg_dump 13.1 and 15.4 and 16.0 and 17.2 cannot read it"), "{error}");
        assert!(Tools::choose(15, Vec::new()).unwrap_err().to_string().contains("postgresql-client-15"));
    }

    #[test]
    fn the_programs_of_this_machine_are_found() {
        let tools = Tools::find(13).unwrap();
        assert!(tools.major >= 13 && tools.folder.join("pg_dump").is_file());
    }
}
