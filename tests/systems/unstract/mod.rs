//! Unstract 0.92 → 0.93 by the real binary, on labs of our own in a private PostgreSQL server.

mod faults;
mod rights;
mod ways;

use crate::server::Server;
use crate::support::{BINARY, Ran};
use postgres::Client;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use switchback_labs::unstract::{Fault, Lab, Size, build, compare, write_site};
use tempfile::TempDir;

/// Every loss and risk that a lab has, accepted.
const ACCEPTED: [&str; 12] = [
    "--yes",
    "--accept",
    "adapters-of-non-members",
    "--accept",
    "tables-left-behind",
    "--accept",
    "encryption-key",
    "--accept",
    "plain-connectors",
    "--accept",
    "unknown-schemas",
    "--json",
];

/// One installation in a database of its own. Its services end with it.
struct Installation {
    server: Arc<Server>,
    database: String,
    folder: TempDir,
    lab: Lab,
}

impl Installation {
    fn small() -> Installation {
        Installation::with(&Size::SMALL, &[])
    }

    fn faulty(fault: Fault) -> Installation {
        Installation::with(&Size::SMALL, &[fault])
    }

    fn with(size: &Size, faults: &[Fault]) -> Installation {
        let server = Server::shared();
        let database = server.database("");
        let folder = tempfile::tempdir().unwrap();
        let url = server.cluster.url(&database);
        let lab = build(&url, size).unwrap();
        // Sessions of ours would keep the upgrade waiting: each ends where it is used.
        let mut client = server.cluster.connect(&database).unwrap();
        faults.iter().for_each(|fault| fault.plant(&mut client, &lab.tenants, "unstract").unwrap());
        write_site(folder.path(), &url, None, Path::new(BINARY)).unwrap();
        Installation { server, database, folder, lab }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn client(&self) -> Client {
        self.server.cluster.connect(&self.database).unwrap()
    }

    fn sql(&self, sql: &str) {
        self.client().batch_execute(sql).unwrap();
    }

    fn value(&self, sql: &str) -> String {
        self.server.value(&self.database, sql)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(args).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&self.command(args).output().unwrap())
    }

    fn plan(&self) -> Ran {
        self.run(&["plan"])
    }

    /// Applies with everything accepted that this plan asks for.
    fn apply(&self) -> Ran {
        self.run(&self.words_of_apply())
    }

    fn words_of_apply(&self) -> Vec<&'static str> {
        let plan = self.plan().expect(0, &[]);
        let asked = |name: &str| plan.said().contains(&format!("`--accept {name}`"));
        let mut words = vec!["apply"];
        let mut at = ACCEPTED.iter();
        while let Some(word) = at.next() {
            match (*word, word.starts_with("--accept")) {
                (_, true) => {
                    let name = at.next().unwrap();
                    if asked(name) {
                        words.extend([word, name]);
                    }
                }
                ("--json", _) => {}
                (word, _) => words.push(word),
            }
        }
        words
    }

    fn spawn(&self, args: &[&str], env: &[(&str, &str)]) -> Child {
        let mut command = self.command(args);
        command.envs(env.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// What `pg_dump` writes of the whole database: equal dumps are equal databases.
    fn dump(&self) -> String {
        dump(&self.server.cluster.url(&self.database), &[])
    }

    /// Every file of the installation that an upgrade may change.
    fn files(&self) -> BTreeMap<&'static str, Vec<u8>> {
        let names = ["backend/.env", "platform-service/.env", "prompt-service/.env"];
        names.into_iter().map(|name| (name, std::fs::read(self.path(name)).unwrap())).collect()
    }

    /// Where the new schema is not as it has to be.
    fn differences(&self) -> Vec<String> {
        let found = compare(&mut self.client(), "unstract", &self.lab.expected).unwrap();
        found.iter().map(|one| format!("{}: {}", one.table, one.says)).collect()
    }

    /// A dump of v1 alone.
    fn v1(&self) -> String {
        dump(&self.server.cluster.url(&self.database), &["-N", "unstract"])
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        let state = self.path(".switchback");
        if state.join("services/app.service").exists() {
            let spec = switchback_labs::unstract::services(self.folder.path(), Path::new(BINARY));
            let spec = switchback_site::service::ServiceSpec::Process(spec);
            let service = spec.service("app", &state.join("services"), &state.join("logs"));
            let _ = service.stop(&switchback_site::Tell::quiet());
        }
    }
}

fn dump(url: &str, more: &[&str]) -> String {
    let output = Command::new("pg_dump").args(["-d", url]).args(more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // Newer tools guard a dump with a word that is another each time.
    let lines =
        text.lines().filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"));
    lines.collect::<Vec<_>>().join("\n")
}
