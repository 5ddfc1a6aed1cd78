//! An installation of the depot, upgraded by the real program or in process, and the only two states in which an upgrade
//! may leave it.

use super::depot::{PROGRAM as DEPOT, ask, heard_of};
use crate::lab::{PROGRAM, free_port, load, make_plan};
use crate::program::run;
use rusqlite::{Connection, OpenFlags};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use switchback_engine::run_dir::make_private;
use switchback_engine::state_dir::StateDir;
use switchback_model::compile::Files;
use switchback_model::plan::Plan;
use switchback_model::record::Record;
use switchback_site::Tell;
use switchback_site::http::{self, Url};
use switchback_site::service::{Launch, ProcessSpec, Service, ServiceSpec, State, Which};
use tempfile::TempDir;

const PLAYBOOK: &str = include_str!("playbook.yaml");
const KEY: &str = "made-up-key-of-the-depot";
/// How many requests of the step that sends record by record are under way at once, by the playbook.
const AT_ONCE: usize = 2;

const CONFIG: &str = "# What the depot reads when it starts.\n\
depot:\n\
\x20 release: \"1\"   # whoever upgrades changes this\n\
\x20 folder: '/srv/o''brien'\n\
\x20 limits:\n\
\x20   parts: 100\n\
\n\
others: [a,   b] # not ours\n";

/// One installation with its two services, which end with it.
pub struct Site {
    /// The state folder.
    pub state: StateDir,
    root: PathBuf,
    port: u16,
    _folder: TempDir,
}

/// The two legal ends.
pub struct Ends {
    after: Content,
}

/// What an application or a person can tell from another.
#[derive(Debug, Clone, PartialEq)]
struct Content {
    /// Mode and bytes of every file; without the bytes of the database.
    files: BTreeMap<String, (u32, Vec<u8>)>,
    /// What the database has, but for ids that are of the run.
    rows: Vec<String>,
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Before,
    After,
}

impl Site {
    /// Built, with the old release running.
    pub fn new() -> Site {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for name in ["etc", "var"] {
            std::fs::create_dir(root.join(name)).unwrap();
        }
        std::fs::write(root.join("etc/config.yaml"), CONFIG).unwrap();
        std::fs::set_permissions(root.join("etc/config.yaml"), PermissionsExt::from_mode(0o640)).unwrap();
        std::fs::write(root.join("key"), KEY).unwrap();
        std::fs::write(root.join("playbook.yaml"), PLAYBOOK).unwrap();
        let state = StateDir::at(root.join(".switchback"));
        state.make().unwrap();
        std::fs::create_dir_all(state.logs()).unwrap();
        let site = Site { state, root, port: free_port(), _folder: folder };
        std::fs::write(site.root.join("site.yaml"), site.site_file()).unwrap();
        for name in ["depot", "door"] {
            site.service(name).start(Which::Old, &Tell::quiet()).unwrap();
        }
        site.wait_until_it_answers();
        assert_eq!(Content::of(&site), Content::before());
        site
    }

    fn site_file(&self) -> String {
        let path = |name: &str| serde_json::json!(self.root.join(name));
        let service = |name: &str| {
            let spec = self.spec(name);
            let launch =
                |launch: &Launch| serde_json::json!({ "argv": launch.argv, "env": launch.env }).to_string();
            let (old, new) = (launch(&spec.old), launch(spec.new.as_ref().unwrap()));
            format!("  {name}:\n    process:\n      old: {old}\n      new: {new}\n      grace: 10\n")
        };
        format!(
            "playbook: playbook.yaml\ninputs:\n  url: {}\n  config: {}\n  database: {}\n  key: {{file: {}}}\n{}{}",
            self.url(""),
            path("etc/config.yaml"),
            path("var/parts.db"),
            path("key"),
            service("depot"),
            service("door"),
        )
    }

    fn spec(&self, name: &str) -> ProcessSpec {
        let launch = |release: &str| match name {
            "door" => {
                // For a time that no other one sleeps: a twin would be taken for it.
                let argv = vec!["sleep".to_owned(), format!("3600.{release}{}", self.port)];
                Launch { argv, cwd: None, env: BTreeMap::new() }
            }
            _ => {
                let program = std::env::current_exe().unwrap().display().to_string();
                // The folder is a filter that matches no test; by it the process is known from that of another test.
                let root = self.root.display().to_string();
                let words = [DEPOT, &root, "--exact", "--ignored", "--nocapture", "--test-threads=1"];
                let argv = std::iter::once(program).chain(words.map(str::to_owned)).collect();
                let env = [("RELEASE", release), ("ROOT", &root), ("PORT", &self.port.to_string())]
                    .map(|(name, value)| (format!("DEPOT_{name}"), value.to_owned()));
                Launch { argv, cwd: None, env: BTreeMap::from(env) }
            }
        };
        ProcessSpec { old: launch("1"), new: Some(launch("2")), pid_file: None, grace: 10 }
    }

    fn service(&self, name: &str) -> Box<dyn Service> {
        ServiceSpec::Process(self.spec(name)).service(name, &self.state.services(), &self.state.logs())
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// A plan, for sessions in process.
    pub fn plan(&self) -> Plan {
        let playbook = load("depot", PLAYBOOK.to_owned(), Files::new());
        make_plan(&playbook, &self.site_file(), &self.root, &self.state)
    }

    /// A verb, ready to be run on this site.
    pub fn verb(&self, words: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(words).current_dir(&self.root).env_remove("SWITCHBACK_FAULT").env("NO_COLOR", "1");
        command
    }

    /// Takes the run up, or back, in one undisturbed life, and looks whether that is the end that was asked for. A program
    /// that was killed before its run was on record leaves nothing to take up: then the site must be open for another `apply`.
    pub fn finish(&self, ends: &Ends, verb: &str, how: &str) -> End {
        let was_over = self.is_over();
        let words: &[&str] = if verb == "rollback" { &["rollback", "--yes"] } else { &["resume"] };
        let ran = run(&mut self.verb(words));
        let none = ran.text.contains("[R040]") || ran.text.contains("[R041]");
        let wanted = match (ran.code(), verb) {
            (Some(0), "rollback") => End::Before,
            (Some(0), _) => End::After,
            (Some(2), _) if none && was_over => End::After,
            (Some(2), _) if none => {
                let again = run(&mut self.verb(&["apply", "--yes"]));
                assert_eq!(again.code(), Some(0), "{how}: nothing stands in the way: {}", again.text);
                End::After
            }
            _ => panic!("{how}: {:?}: {}", ran.status, ran.text),
        };
        self.assert(ends, wanted, &format!("{how}: {}", ran.text));
        wanted
    }

    /// Leaves what a life leaves that is killed while it looks at an endpoint, before its step is on record.
    pub fn leave_scratch(&self) {
        let (run, _) = self.state.latest().unwrap().unwrap();
        let scratch = run.artifacts().join("labels_back.scratch");
        make_private(&scratch).unwrap();
        std::fs::write(scratch.join("back"), "made-up-secret").unwrap();
        std::fs::set_permissions(scratch.join("back"), PermissionsExt::from_mode(0o600)).unwrap();
    }

    /// Whether the last run has ended.
    pub fn is_over(&self) -> bool {
        let last = self.state.latest().unwrap().and_then(|(_, mut entries)| entries.pop());
        matches!(last.map(|entry| entry.record), Some(Record::RunEnded { .. }))
    }

    /// Fails unless the site is in that state.
    pub fn assert(&self, ends: &Ends, wanted: End, how: &str) {
        let complaints = self.complaints(ends, wanted);
        assert!(complaints.is_empty(), "{how}: the site is not as {wanted:?} wants it: {complaints:#?}");
    }

    fn complaints(&self, ends: &Ends, wanted: End) -> Vec<String> {
        let (which, release) = if wanted == End::Before { (Which::Old, "1") } else { (Which::New, "2") };
        let mut complaints = self.unguarded(wanted);
        for name in ["depot", "door"] {
            match self.service(name).state().unwrap() {
                State::Running(Some(runs)) if runs == which => {}
                other => complaints.push(format!("{name} is {other}, and the {which} one should run")),
            }
        }
        self.wait_until_it_answers();
        for (path, wanted) in
            [("/release", format!("{{\"release\":\"{release}\"}}")), ("/mode", "{\"on\":false}".to_owned())]
        {
            match self.get(path) {
                Some(answer) if answer == wanted => {}
                answer => complaints.push(format!("{path} answers {answer:?}, and not {wanted}")),
            }
        }
        let now = Content::of(self);
        let wanted = if wanted == End::Before { Content::before() } else { ends.after.clone() };
        if now != wanted {
            complaints.push(format!("there is {now:#?}, and not {wanted:#?}"));
        }
        complaints
    }

    /// What the run keeps, and who may read it: records and the key are where they have to be, for the owner alone; what was
    /// there only while a step worked is gone, and after the way back all records are.
    fn unguarded(&self, end: End) -> Vec<String> {
        let mut complaints = Vec::new();
        walk(self.state.root(), &mut |path| {
            let mode = path.symlink_metadata().unwrap().permissions().mode() & 0o777;
            let name = path.strip_prefix(self.state.root()).unwrap().display().to_string();
            if path.is_dir() {
                if mode != 0o700 {
                    complaints.push(format!("the folder {name} has mode {mode:o}"));
                }
                return;
            }
            let bytes = std::fs::read(path).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            let records = name.contains("/artifacts/");
            if records && (end == End::Before || name.contains(".scratch/")) {
                complaints.push(format!("{name} is still there"));
            }
            let kept = records || name.contains("/keep/edit-");
            let secret = text.contains("made-up-secret") || text.contains(KEY);
            if secret && !kept || (secret || records) && mode != 0o600 {
                complaints.push(format!(
                    "{name}, which {} secret, has mode {mode:o}",
                    if secret { "says a" } else { "may say a" }
                ));
            }
        });
        complaints
    }

    /// What was sent twice although it had been taken, or was answered: the import ever, records more often than they could
    /// be under way when a run was struck so often.
    pub fn sent_twice(&self, strikes: usize) -> Vec<String> {
        let (heard, mut seen) = (heard_of(&self.root), BTreeSet::new());
        let again: Vec<String> = heard.into_iter().filter(|what| !seen.insert(what.clone())).collect();
        let imports = again.contains(&"import".to_owned());
        if imports || again.len() > strikes * AT_ONCE { again } else { Vec::new() }
    }

    fn get(&self, path: &str) -> Option<String> {
        let url = Url::parse(&self.url(path)).unwrap();
        let answer = http::get(&url, &[], Duration::from_secs(10)).ok()?;
        Some(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// A service that was just started, or that has just left maintenance, takes a moment.
    fn wait_until_it_answers(&self) {
        let began = Instant::now();
        while self.get("/mode").is_none() {
            assert!(began.elapsed() < Duration::from_secs(20), "the depot does not answer");
            std::thread::sleep(Duration::from_millis(3));
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for name in ["door", "depot"] {
            let _ = self.service(name).stop(&Tell::quiet());
        }
    }
}

impl Ends {
    /// From a run of the program that nothing disturbs.
    pub fn reference() -> &'static Ends {
        static REFERENCE: OnceLock<Ends> = OnceLock::new();
        REFERENCE.get_or_init(|| {
            let site = Site::new();
            let ran = run(&mut site.verb(&["apply", "--yes"]));
            assert_eq!(ran.code(), Some(0), "{}", ran.text);
            Ends::of(&site)
        })
    }

    /// From a site whose run nothing disturbed, which also shows that everything was sent once.
    pub fn of(site: &Site) -> Ends {
        let ends = Ends { after: Content::of(site) };
        assert_eq!(ends.after.rows.len(), 3 + 3 + 4, "{:#?}", ends.after);
        site.assert(&ends, End::After, "a run that nothing disturbs");
        assert_eq!(heard_of(&site.root).len(), 4);
        ends
    }
}

impl Content {
    fn before() -> Content {
        let config = ("etc/config.yaml".to_owned(), (0o640, CONFIG.as_bytes().to_vec()));
        Content { files: BTreeMap::from([config]), rows: Vec::new() }
    }

    fn of(site: &Site) -> Content {
        let mut files = BTreeMap::new();
        for part in ["etc", "var"] {
            walk(&site.root.join(part), &mut |path| {
                let name = path.strip_prefix(&site.root).unwrap().display().to_string();
                let mode = path.metadata().unwrap().permissions().mode() & 0o777;
                let database = name == "var/parts.db";
                let bytes = if database { Vec::new() } else { std::fs::read(path).unwrap() };
                // Where it lies is not what it is.
                let text = String::from_utf8_lossy(&bytes).replace(&site.root.display().to_string(), "ROOT");
                files.insert(name, (mode, text.into_bytes()));
            });
        }
        Content { files, rows: rows(&site.root.join("var/parts.db")) }
    }
}

/// Schema, records and labels; ids that are of the run are left out where those of records and labels agree.
fn rows(database: &Path) -> Vec<String> {
    if !database.exists() {
        return Vec::new();
    }
    let kept = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let sql = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL UNION ALL SELECT 'in maintenance' FROM mode \
               UNION ALL SELECT json_remove(line, '$.uid', '$.at') FROM records \
               UNION ALL SELECT id || json_remove(line, '$.of') FROM labels \
               WHERE EXISTS (SELECT 1 FROM records WHERE records.line ->> 'uid' = labels.line ->> 'of') ORDER BY 1";
    ask(&kept, sql)
}

fn walk(folder: &Path, see: &mut dyn FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        see(&path);
        if path.is_dir() {
            walk(&path, see);
        }
    }
}
