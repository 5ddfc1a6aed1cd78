//! An installation in a folder of its own, and the real binary at work on it.
#![allow(dead_code)]

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use switchback_labs::duplistatus::{Fault, LabOptions, LabSize, build};
use switchback_site::Tell;
use switchback_site::http::{self, Url};
use switchback_site::service::{Launch, ProcessSpec, Service, ServiceSpec, Which};
use switchback_site::sqlite::{Database, Fingerprint};
use tempfile::TempDir;

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_switchback");
/// What the lab's settings and notices lose, accepted.
pub const ACCEPTED: [&str; 5] =
    ["--yes", "--accept", "unresolved-settings", "--accept", "unresolved-notices"];

/// Places of the playbook before which an upgrade can be made to wait: all runs yet, the settings are moved, the tables are new, the
/// new release is let in.
pub const STILL_RUNNING: &str = "      - stop: app";
pub const SETTINGS_MOVED: &str = "      - sql:\n          says: \"rename {machine_name}";
pub const TABLES_CHANGED: &str = "      - ensure:\n          says: \"prove that every machine is";
pub const LET_IN: &str = "      - ensure:\n          says: \"look whether the new release answers";

/// What one call of the binary came to.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(output: &Output) -> Ran {
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Returns everything that was said.
    pub fn said(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// Checks the exit code and that each of `words` was said.
    #[track_caller]
    pub fn expect(self, code: i32, words: &[&str]) -> Ran {
        assert_eq!(self.code, code, "exit code; it said:\n{}", self.said());
        for word in words {
            assert!(self.said().contains(word), "it does not say {word:?}, but:\n{}", self.said());
        }
        self
    }
}

/// How the installation differs from the small lab on its shipped playbook.
#[derive(Default)]
pub struct Options<'a> {
    pub faults: &'a [Fault],
    pub size: Option<LabSize>,
    /// More arguments for the old release of the stand-in, and for the new one.
    pub old: &'a [&'a str],
    pub new: &'a [&'a str],
    /// Replacements in the playbook: text that must be there, and what it becomes.
    pub playbook: &'a [(&'a str, &'a str)],
    /// A folder to build in, on another filesystem; it must exist.
    pub data: Option<&'a Path>,
    /// No lab: somebody puts the database there.
    pub bare: bool,
}

/// One installation. Its services end with it.
pub struct Site {
    folder: TempDir,
    pub database: PathBuf,
    pub port: u16,
    spec: ProcessSpec,
    /// The fingerprint from before an upgrade that waits.
    pub before: Option<Fingerprint>,
}

impl Site {
    /// The small lab.
    pub fn new() -> Site {
        Site::with(&Options::default())
    }

    /// The small lab with these faults.
    pub fn faulty(faults: &[Fault]) -> Site {
        Site::with(&Options { faults, ..Options::default() })
    }

    pub fn with(options: &Options<'_>) -> Site {
        let folder = TempDir::new().unwrap();
        let data = options.data.map_or_else(|| folder.path().join("data"), Path::to_owned);
        std::fs::create_dir_all(&data).unwrap();
        if !options.bare {
            let lab = LabOptions { faults: options.faults.to_vec() };
            build(&data, options.size.unwrap_or_default(), &lab).unwrap();
        }
        let (database, port) = (data.join("backups.db"), free_port());
        let spec = ProcessSpec {
            old: launch("0.6", &database, port, options.old),
            new: Some(launch("0.7", &database, port, options.new)),
            pid_file: None,
            grace: 2,
        };
        let site = Site { folder, database, port, spec, before: None };
        let playbook = if options.playbook.is_empty() { "duplistatus" } else { "playbook" };
        copy_playbook("duplistatus", &site.path("playbook"), options.playbook);
        site.write_site_file(playbook, "v0.7.27");
        site
    }

    /// The small lab with an upgrade on its way that waits at a place of the playbook for [`Site::go_on`].
    pub fn waiting_at(place: &str, running: bool) -> (Site, Child) {
        Site::waiting_in(place, running, Options::default())
    }

    /// The same on another installation.
    pub fn waiting_in(place: &str, running: bool, options: Options<'_>) -> (Site, Child) {
        let wait = r#"      - ensure: {id: wait, run: [sh, -c, "touch FLAG.waits; while [ -e FLAG.waits ] && [ ! -e FLAG ]; do sleep 0.05; done; cat FLAG; exit $(cat FLAG)"], else: "somebody does not like it"}"#;
        let waits = format!("{wait}\n{place}");
        let playbook = [options.playbook, &[(place, waits.as_str())]].concat();
        let mut site = Site::with(&Options { playbook: &playbook, ..options });
        let playbook = site.path("playbook/playbook.yaml");
        let text = std::fs::read_to_string(&playbook).unwrap();
        std::fs::write(&playbook, text.replace("FLAG", &site.path("go-on").display().to_string())).unwrap();
        site.before = Some(site.fingerprint());
        site.run(&["plan"]).expect(0, &[]);
        if running {
            site.start_old();
        }
        let mut command = site.command(&[&["apply"], &ACCEPTED[..]].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while !site.path("go-on.waits").exists() {
            assert!(child.try_wait().unwrap().is_none(), "the upgrade ended before {place:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        (site, child)
    }

    /// Lets an upgrade that waits go on: by 0 what it waited for is as wanted, by 1 it is not.
    pub fn go_on(&self, exit: &str) {
        std::fs::write(self.path("answer"), exit).unwrap();
        std::fs::rename(self.path("answer"), self.path("go-on")).unwrap();
    }

    /// An upgrade that was killed at a place of the playbook, and the fingerprint from before it.
    pub fn killed_at(place: &str) -> (Site, Fingerprint) {
        let (site, mut child) = Site::waiting_at(place, false);
        child.kill().unwrap();
        child.wait().unwrap();
        site.go_on("0");
        let before = site.before.clone().unwrap();
        (site, before)
    }

    /// Writes the site file for a playbook and a release.
    pub fn write_site_file(&self, playbook: &str, release: &str) {
        let argv = |launch: &Launch| serde_json::to_string(&launch.argv).unwrap();
        let text = format!(
            "playbook: {playbook}\ninputs:\n  database: {}\n  url: http://127.0.0.1:{}\n  release: {release}\n  \
             service:\n    process:\n      old: {{argv: {}}}\n      new: {{argv: {}}}\n      grace: {}\n",
            Value::from(self.database.display().to_string()),
            self.port,
            argv(&self.spec.old),
            argv(self.spec.new.as_ref().unwrap()),
            self.spec.grace,
        );
        std::fs::write(self.path("site.yaml"), text).unwrap();
    }

    /// A path in the folder of this installation.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The state folder.
    pub fn state(&self) -> PathBuf {
        self.path(".switchback")
    }

    /// A command of the binary on this site.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .args(args)
            .arg("--site")
            .arg(self.path("site.yaml"))
            .env("NO_COLOR", "1")
            .env("USER", "tester");
        command
    }

    /// Runs the binary on this site.
    pub fn run(&self, args: &[&str]) -> Ran {
        ran(&mut self.command(args))
    }

    /// Runs the binary with a fault, such as `kill@7`.
    pub fn run_with_fault(&self, fault: &str, args: &[&str]) -> Ran {
        ran(self.command(args).env("SWITCHBACK_FAULT", fault))
    }

    /// Applies, with everything accepted that the lab loses.
    pub fn apply(&self) -> Ran {
        self.run(&[&["apply"], &ACCEPTED[..]].concat())
    }

    pub fn apply_with_fault(&self, fault: &str) -> Ran {
        self.run_with_fault(fault, &[&["apply"], &ACCEPTED[..]].concat())
    }

    /// Opens the database as another program would.
    pub fn open(&self) -> Connection {
        let connection = Connection::open(&self.database).unwrap();
        connection.busy_timeout(Duration::from_secs(5)).unwrap();
        connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        connection
    }

    /// Changes the database as another program would.
    pub fn sql(&self, script: &str) {
        self.open().execute_batch(script).unwrap();
    }

    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&Database::new(&self.database), &Tell::quiet()).unwrap()
    }

    /// The names of the files beside the database, without its log and index.
    pub fn beside(&self) -> Vec<String> {
        let folder = std::fs::read_dir(self.database.parent().unwrap()).unwrap();
        let mut names: Vec<String> =
            folder.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| !name.ends_with("-wal") && !name.ends_with("-shm"));
        names.sort();
        names
    }

    /// The directory of the only run.
    pub fn run_dir(&self) -> PathBuf {
        let mut runs: Vec<_> = std::fs::read_dir(self.state().join("runs")).unwrap().flatten().collect();
        assert_eq!(runs.len(), 1, "not one run");
        runs.remove(0).path()
    }

    /// The state folder has no run: nothing was begun.
    #[track_caller]
    pub fn expect_no_run(&self) {
        let runs = std::fs::read_dir(self.state().join("runs")).map_or(0, Iterator::count);
        assert_eq!(runs, 0, "a run was begun");
    }

    /// The backup that the only run made.
    pub fn backup(&self) -> PathBuf {
        self.run_dir().join("backup/db.backup")
    }

    fn service(&self) -> Box<dyn Service> {
        let (services, logs) = (self.state().join("services"), self.state().join("logs"));
        std::fs::create_dir_all(&services).unwrap();
        std::fs::create_dir_all(&logs).unwrap();
        ServiceSpec::Process(self.spec.clone()).service("app", &services, &logs)
    }

    /// Starts the old release, as an operator's supervisor would have, and waits until it answers.
    pub fn start_old(&mut self) {
        self.service().start(Which::Old, &Tell::quiet()).unwrap();
        self.wait_for_answer();
    }

    pub fn wait_for_answer(&self) {
        let clock = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(clock.elapsed() < Duration::from_secs(30), "the service does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What runs, in a word.
    pub fn running(&self) -> String {
        self.service().state().unwrap().to_string()
    }

    /// Whether the new release answers as itself.
    pub fn is_new(&self) -> bool {
        let url = Url::parse(&format!("http://127.0.0.1:{}/api/servers", self.port)).unwrap();
        http::get(&url, &[], Duration::from_secs(10)).is_ok_and(|response| response.status == 200)
    }

    /// The number of the process that the service runs as.
    pub fn pid(&self) -> i32 {
        let text = std::fs::read_to_string(self.state().join("services/app.service")).unwrap();
        text.lines().find_map(|line| line.strip_prefix("pid ")).unwrap().parse().unwrap()
    }

    /// Kills the service with SIGKILL, as an operating system out of memory would.
    pub fn kill_service(&self) {
        kill(self.pid());
        let clock = Instant::now();
        while self.running() != "stopped" {
            assert!(clock.elapsed() < Duration::from_secs(10), "the service does not die");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks the service, and returns status and body.
    pub fn get(&self, path: &str) -> (u16, Value) {
        let url = Url::parse(&format!("http://127.0.0.1:{}{path}", self.port)).unwrap();
        let response = http::get(&url, &[], Duration::from_secs(10)).unwrap();
        (response.status, serde_json::from_slice(&response.body).unwrap_or_default())
    }

    /// Uploads one report to the service, which writes a row.
    pub fn upload(&self, machine: &str) {
        let body = serde_json::json!({
            "Data": {"ParsedResult": "Success", "BeginTime": "2026-01-01T00:00:00.000Z"},
            "Extra": {"machine-id": machine, "machine-name": machine, "backup-name": "Late"},
        });
        let url = Url::parse(&format!("http://127.0.0.1:{}/api/upload", self.port)).unwrap();
        let bytes = body.to_string();
        let response =
            http::post(&url, &[], bytes.as_bytes(), Duration::from_secs(10), &Tell::quiet()).unwrap();
        assert_eq!(response.status, 200, "the upload is not taken");
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // Whatever runs here was started by this test or by the binary that it ran.
        if self.state().join("services/app.service").exists() {
            let _ = self.service().stop(&Tell::quiet());
        }
    }
}

/// Tells a writer to stop at the end of a scope, also when a check in it fails.
pub struct StopAtEnd<'a>(pub &'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Copies the shipped playbook of this name with changes.
pub fn copy_playbook(name: &str, into: &Path, changes: &[(&str, &str)]) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../playbooks").join(name);
    std::fs::create_dir(into).unwrap();
    for entry in std::fs::read_dir(shipped).unwrap() {
        let entry = entry.unwrap();
        let mut text = std::fs::read_to_string(entry.path()).unwrap();
        if entry.file_name() == "playbook.yaml" {
            for (from, to) in changes {
                assert!(text.contains(from), "the playbook does not contain {from:?}");
                text = text.replace(from, to);
            }
        }
        std::fs::write(into.join(entry.file_name()), text).unwrap();
    }
}

/// Kills one process that a test started.
pub fn kill(pid: i32) {
    let status = Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    assert!(status.success());
}

pub fn ran(command: &mut Command) -> Ran {
    Ran::of(&command.output().unwrap())
}

fn launch(version: &str, database: &Path, port: u16, more: &[&str]) -> Launch {
    let argv = [BINARY, "lab-service", "duplistatus", "--version", version, "--database"].map(str::to_owned);
    let mut argv = argv.to_vec();
    argv.extend([database.display().to_string(), "--port".to_owned(), port.to_string()]);
    argv.extend(more.iter().map(|word| (*word).to_owned()));
    Launch { argv, cwd: None, env: BTreeMap::new() }
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// The rows of a query, a line each; columns joined by `|`, with their storage class where it is not text.
pub fn rows(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap();
    let width = statement.column_count();
    let rows = statement.query_map([], |row| {
        let cells: Vec<String> = (0..width).map(|i| cell(row.get_ref(i).unwrap())).collect();
        Ok(cells.join("|"))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

fn cell(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "null".to_owned(),
        ValueRef::Integer(number) => format!("integer {number}"),
        ValueRef::Real(number) => format!("real {number:?}"),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => format!("blob {bytes:02x?}"),
    }
}

/// A row of `configurations` as JSON.
pub fn setting(connection: &Connection, key: &str) -> Value {
    let sql = "SELECT value FROM configurations WHERE key = ?1";
    let text: String = connection.query_row(sql, [key], |row| row.get(0)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// What the schema is, in SQLite's own words: texts may differ in quotes and spaces.
pub fn shape(connection: &Connection) -> Vec<String> {
    let sql = "SELECT t.name, x.cid, x.name, upper(x.type), x.\"notnull\", x.dflt_value, x.pk, x.hidden \
               FROM pragma_table_list AS t, pragma_table_xinfo(t.name) AS x \
               WHERE t.schema = 'main' AND t.name NOT LIKE 'sqlite%' \
               UNION ALL \
               SELECT t.name, i.name, i.\"unique\", i.origin, i.partial, c.seqno, c.name, 0 \
               FROM pragma_table_list AS t, pragma_index_list(t.name) AS i, pragma_index_info(i.name) AS c \
               WHERE t.schema = 'main' AND t.name NOT LIKE 'sqlite%' \
               UNION ALL \
               SELECT t.name, f.id, f.\"table\", f.\"from\", f.\"to\", f.on_update, f.on_delete, f.match \
               FROM pragma_table_list AS t, pragma_foreign_key_list(t.name) AS f \
               WHERE t.schema = 'main' AND t.name NOT LIKE 'sqlite%' ORDER BY 1, 2, 3";
    rows(connection, sql)
}
