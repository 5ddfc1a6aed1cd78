//! An installation of shops in two databases of one server, upgraded by the real program, and the only two states in which an
//! upgrade may leave it.

use crate::lab::{PROGRAM, load, make_plan};
use crate::program::run;
use crate::server::Server;
use std::fmt::Write as _;
use std::process::{Child, Command};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};
use switchback_engine::state_dir::StateDir;
use switchback_model::plan::Plan;
use switchback_model::record::Record;
use switchback_model::run::{RunState, StepState};
use switchback_site::Tell;
use switchback_site::postgres::{Database, Fingerprint};
use tempfile::TempDir;

const FILES: [(&str, &str); 5] = [
    ("playbook.yaml", include_str!("playbook.yaml")),
    ("shop.tables.yaml", include_str!("shop.tables.yaml")),
    ("tables.sql", include_str!("tables.sql")),
    ("archive.sql", include_str!("archive.sql")),
    ("schemas.sql", "SELECT name FROM public.shops"),
];

const CONFIG: &str =
    "# Read at start.\nshop:\n  schemas: [east,  north] # and others\n  old: 'yes'\nothers: 1\n";

/// What every installation is copied from: as many rows a shop, on one server.
pub struct Template {
    server: RwLock<Server>,
    shops: String,
    archive: String,
}

impl Template {
    /// Fills two databases.
    pub fn of(server: Server, rows: u32) -> Template {
        let (shops, archive) = (server.database(&old(rows)), server.database(ARCHIVE));
        Template { server: RwLock::new(server), shops, archive }
    }

    /// The server.
    pub fn server(&self) -> RwLockReadGuard<'_, Server> {
        self.server.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kills the server and all its processes, or stops it in order, and leaves it away for this long.
    pub fn restart_server(&self, in_order: bool, away: Duration) {
        match in_order {
            true => self.server.write().unwrap_or_else(PoisonError::into_inner).cluster.stop(),
            false => self.kill_server(),
        }
        std::thread::sleep(away);
        self.start_server();
    }

    /// Kills the server and all its processes.
    pub fn kill_server(&self) {
        self.server.write().unwrap_or_else(PoisonError::into_inner).cluster.kill().unwrap();
    }

    /// Starts it again.
    pub fn start_server(&self) {
        self.server.write().unwrap_or_else(PoisonError::into_inner).cluster.restart().unwrap();
    }

    /// An installation of its own.
    pub fn copy(&self) -> Shops<'_> {
        let copy = |of: &str| {
            let name = self.server().database("");
            let mut client = self.server().cluster.connect("postgres").unwrap();
            client.batch_execute(&format!("DROP DATABASE {name}")).unwrap();
            client.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {of}")).unwrap();
            name
        };
        let (shops, archive) = (copy(&self.shops), copy(&self.archive));
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in FILES {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        std::fs::write(folder.path().join("config.yaml"), CONFIG).unwrap();
        let url = |name: &str| self.server().cluster.url(name);
        let site = format!(
            "playbook: playbook.yaml\ninputs:\n  database: \"{}\"\n  archive: \"{}\"\n  config: {}\n",
            url(&shops),
            url(&archive),
            folder.path().join("config.yaml").display(),
        );
        std::fs::write(folder.path().join("site.yaml"), site).unwrap();
        let state = StateDir::at(folder.path().join(".switchback"));
        Shops { template: self, shops, archive, state, folder }
    }

    /// The legal ends, from a run that nothing disturbs, and how long that took.
    pub fn reference(&self) -> (Ends, Duration) {
        let lab = self.copy();
        let before = lab.content();
        let began = Instant::now();
        let ran = run(&mut lab.apply());
        let span = began.elapsed();
        assert_eq!(ran.code(), Some(0), "{}", ran.text);
        let ends = Ends { before, after: lab.content() };
        lab.assert(&ends, End::After, "a run that nothing disturbs");
        (ends, span)
    }
}

/// Two databases and a folder with playbook, site file and state.
pub struct Shops<'a> {
    pub template: &'a Template,
    pub shops: String,
    pub archive: String,
    pub state: StateDir,
    pub folder: TempDir,
}

/// The content of all schemas, of v1, of v2, of the archive; and the config.
#[derive(Debug, Clone, PartialEq)]
pub struct Content([Fingerprint; 3], String);

/// The two legal ends.
#[derive(Debug, Clone)]
pub struct Ends {
    before: Content,
    after: Content,
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Before,
    After,
}

impl Shops<'_> {
    /// A verb, ready to be run on this site.
    pub fn verb(&self, words: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(words).current_dir(self.folder.path()).env_remove("SWITCHBACK_FAULT");
        command
    }

    pub fn apply(&self) -> Command {
        self.verb(&["apply", "--yes"])
    }

    /// A plan, for sessions in process.
    pub fn plan(&self) -> Plan {
        let text = |name: &str| std::fs::read_to_string(self.folder.path().join(name)).unwrap();
        let files = FILES.iter().skip(1).map(|(name, _)| ((*name).to_owned(), text(name))).collect();
        self.state.make().unwrap();
        make_plan(
            &load("shops", text(FILES[0].0), files),
            &text("site.yaml"),
            self.folder.path(),
            &self.state,
        )
    }

    /// Changes a file of the playbook.
    pub fn change(&self, file: &str, from: &str, to: &str) {
        let path = self.folder.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from));
        std::fs::write(path, text.replace(from, to)).unwrap();
    }

    /// Adds to a file of the playbook.
    pub fn after(&self, file: &str, more: &str) {
        let path = self.folder.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, text + more).unwrap();
    }

    /// The one value of a query to the server.
    pub fn value(&self, sql: &str) -> String {
        self.template.server().value("postgres", sql)
    }

    /// Reads everything that the upgrade could have changed.
    pub fn content(&self) -> Content {
        let read = |database: &str, schemas: &[&str]| {
            let place = Database::parse(&self.template.server().cluster.url(database)).unwrap();
            let schemas: Vec<String> = schemas.iter().map(|&schema| schema.to_owned()).collect();
            Fingerprint::read(&place, &schemas, &Tell::quiet()).unwrap()
        };
        let v1 = ["east", "north", "O'Brien \"lab\"; DROP", "public", "south"];
        let databases =
            [read(&self.shops, &v1), read(&self.shops, &["shop"]), read(&self.archive, &["archive"])];
        Content(databases, std::fs::read_to_string(self.folder.path().join("config.yaml")).unwrap())
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
                let again = run(&mut self.apply());
                assert_eq!(again.code(), Some(0), "{how}: nothing stands in the way: {}", again.text);
                End::After
            }
            _ => panic!("{how}: {:?}: {}", ran.status, ran.text),
        };
        self.assert(ends, wanted, how);
        wanted
    }

    /// The kind of the step that the last life was at, as the journal has it.
    pub fn in_flight(&self) -> Option<String> {
        // While the program writes, a line may be half there.
        let (dir, entries) = self.state.latest().ok().flatten()?;
        let plan = dir.plan().unwrap();
        let run = RunState::fold(plan.steps.len(), entries.iter().map(|entry| &entry.record)).unwrap();
        let at = run.steps.iter().position(|step| matches!(step, StepState::Started(_)))?;
        Some(plan.steps[at].kind.clone())
    }

    /// Waits until a copy is at work, or the program has ended.
    pub fn wait_for_a_copy(&self, child: &mut Child) {
        while self.in_flight().as_deref() != Some("copy") && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    fn is_over(&self) -> bool {
        let last = self.state.latest().unwrap().and_then(|(_, mut entries)| entries.pop());
        matches!(last.map(|entry| entry.record), Some(Record::RunEnded { .. }))
    }

    /// Fails unless the site is in that state, and nothing of ours is left on the server.
    pub fn assert(&self, ends: &Ends, wanted: End, how: &str) {
        let wanted_content = if wanted == End::Before { &ends.before } else { &ends.after };
        let now = self.content();
        let pairs = wanted_content.0.iter().zip(&now.0);
        let mut complaints: Vec<String> = pairs.flat_map(|(wanted, now)| wanted.differences(now)).collect();
        if wanted_content.1 != now.1 {
            complaints.push(format!("the config is {}, and not {}", now.1, wanted_content.1));
        }
        complaints.extend(self.left_behind());
        assert!(complaints.is_empty(), "{how}: the site is not as {wanted:?} wants it: {complaints:#?}");
    }

    /// Our schema, our sessions, and databases of ours.
    fn left_behind(&self) -> Vec<String> {
        let mut left = Vec::new();
        for database in [&self.shops, &self.archive] {
            let sql = "SELECT to_regnamespace('switchback') IS NOT NULL";
            if self.template.server().value(database, sql) == "true" {
                left.push(format!("our ledger is in {database}"));
            }
            let sql = format!(
                "SELECT coalesce(string_agg(application_name || ': ' || query, '; '), '') FROM pg_stat_activity \
                 WHERE datname = '{database}' AND pid <> pg_backend_pid()"
            );
            // A session ends a moment after its client.
            let (began, mut sessions) = (Instant::now(), String::new());
            while began.elapsed() < Duration::from_secs(5) {
                sessions = self.template.server().value("postgres", &sql);
                if sessions.is_empty() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            if !sessions.is_empty() {
                left.push(format!("sessions are open in {database}: {sessions}"));
            }
        }
        let sql = format!(
            "SELECT coalesce(string_agg(datname, ' '), '') FROM pg_database WHERE strpos(shobj_description(oid, 'pg_database'), '{}') > 0",
            self.folder.path().display()
        );
        let scratch = self.template.server().value("postgres", &sql);
        if !scratch.is_empty() {
            left.push(format!("scratch databases: {scratch}"));
        }
        left
    }
}

impl Drop for Shops<'_> {
    fn drop(&mut self) {
        if let Ok(mut client) = self.template.server().cluster.connect("postgres") {
            for database in [&self.shops, &self.archive] {
                let _ = client.batch_execute(&format!("DROP DATABASE {database} WITH (FORCE)"));
            }
        }
    }
}

const ARCHIVE: &str = r#"
CREATE SCHEMA archive;
CREATE TABLE archive.stamp (version text); INSERT INTO archive.stamp VALUES ('1');
CREATE TABLE archive.note (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text text);
INSERT INTO archive.note (text) SELECT repeat('x', i % 50) FROM generate_series(1, 500) i;
CREATE VIEW archive.long AS SELECT id FROM archive.note WHERE length(text) > 40;
"#;

/// Four shops; the last has twice as many rows as the first.
fn old(rows: u32) -> String {
    let mut sql = "CREATE TABLE public.shops (name text PRIMARY KEY);".to_owned();
    for (number, shop) in ["east", "north", "O'Brien \"lab\"; DROP", "south"].into_iter().enumerate() {
        let schema = format!("\"{}\"", shop.replace('"', "\"\""));
        let rows = rows + rows * u32::try_from(number).unwrap() / 3;
        write!(
            sql,
            "INSERT INTO public.shops VALUES ('{}'); CREATE SCHEMA {schema}; \
             CREATE TABLE {schema}.customer (id bigint PRIMARY KEY, name text NOT NULL, data jsonb); \
             CREATE TABLE {schema}.sale (id bigint PRIMARY KEY, customer bigint, amount numeric, at timestamptz, raw bytea); \
             INSERT INTO {schema}.customer SELECT i, 'customer ' || i, '{{\"a\": [1.0, null]}}' FROM generate_series(1, {rows} / 4 + 1) i; \
             INSERT INTO {schema}.sale SELECT i, 1 + i % ({rows} / 4), i * 1.10, '2025-01-01'::timestamptz + i * interval '1 min', '\\x00ff' \
             FROM generate_series(1, {rows}) i;",
            shop.replace('\'', "''")
        )
        .unwrap();
    }
    sql
}
