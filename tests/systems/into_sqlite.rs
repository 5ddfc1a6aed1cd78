//! Rows into a SQLite file, from PostgreSQL and from another SQLite file, by the real binary.

use crate::server::Server;
use crate::support::{BINARY, Ran, rows};
use rusqlite::Connection;
use std::process::Command;
use switchback_site::Tell;
use switchback_site::sqlite::{Database, Fingerprint};
use tempfile::TempDir;

const PLAYBOOK: &str = r#"
playbook: notes
format: 1
inputs:
  database: {type: file}
  old: {type: OLD_TYPE}
targets:
  db: {sqlite: "${database}"}
  old: OLD_TARGET
version:
  detect:
    - {in: db, sql: "SELECT version FROM meta", means: {"1": "1.0", "2": "2.0"}}
upgrades:
  - from: "1.0"
    to: "2.0"
    change:
      - sql: {in: db, text: "CREATE TABLE note (id INTEGER PRIMARY KEY, title TEXT NOT NULL, cost TEXT, read INTEGER); CREATE INDEX title ON note (title); UPDATE meta SET version = 2"}
      - copy: {from: old, to: db, schemas: {OLD_SCHEMA: main}, tables: tables.yaml, everything: true}
    prove:
      - ensure: {in: db, sql: "SELECT count(*) FROM note", is: "301"}
"#;
const TABLES: &str =
    "tables:\n  - {from: notes, to: note, columns: [id, cost, read], rename: {title: name}}\n";
const OLD: &str = "(id bigint PRIMARY KEY, name text, cost numeric, read boolean)";

/// A file that gets rows, and where they come from.
struct Notes {
    folder: TempDir,
}

impl Notes {
    fn open(old: &str, kind: &str, schema: &str) -> Notes {
        let folder = tempfile::tempdir().unwrap();
        let target = match kind {
            "file" => r#"{sqlite: "${old}"}"#,
            _ => r#"{postgres: "${old}", schemas: [public], read_only: true}"#,
        };
        let playbook =
            PLAYBOOK.replace("OLD_TYPE", kind).replace("OLD_TARGET", target).replace("OLD_SCHEMA", schema);
        let site = format!("playbook: playbook.yaml\ninputs: {{database: notes.db, old: \"{old}\"}}\n");
        for (name, text) in
            [("playbook.yaml", playbook.as_str()), ("tables.yaml", TABLES), ("site.yaml", &site)]
        {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let made = "PRAGMA journal_mode = WAL; CREATE TABLE meta (version INT); INSERT INTO meta VALUES (1)";
        Connection::open(folder.path().join("notes.db")).unwrap().execute_batch(made).unwrap();
        Notes { folder }
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&Command::new(BINARY).args(args).current_dir(self.folder.path()).output().unwrap())
    }

    fn rows(&self, sql: &str) -> Vec<String> {
        rows(&Connection::open(self.folder.path().join("notes.db")).unwrap(), sql)
    }

    fn fingerprint(&self) -> String {
        let database = Database::new(self.folder.path().join("notes.db"));
        let found = Fingerprint::of(&database, &Tell::quiet()).unwrap();
        serde_json::to_string(&found).unwrap()
    }

    /// Up and down.
    fn goes_both_ways(&self, odd: &str) {
        let before = self.fingerprint();
        self.run(&["plan"])
            .expect(0, &["copy 1 table from old to db", "the columns fit is looked at before the first row"]);
        assert_eq!(self.fingerprint(), before);
        self.run(&["apply", "--yes"]).expect(0, &["301 rows equal"]);
        assert_eq!(
            self.rows(
                "SELECT title || ' ' || typeof(cost) || ' ' || cost || ' ' || read FROM note WHERE id = 7"
            ),
            [odd]
        );
        assert_eq!(
            self.rows("SELECT name FROM sqlite_schema WHERE name LIKE 'switchback%'"),
            Vec::<String>::new()
        );
        self.run(&["apply", "--yes"]).expect(0, &["nothing to do"]);
        self.run(&["rollback", "--yes"]).expect(0, &[]);
        assert_eq!(self.fingerprint(), before);
    }
}

fn in_postgres(more: &str) -> (std::sync::Arc<Server>, Notes) {
    let server = Server::shared();
    let database = server.database(&format!(
        "CREATE TABLE public.notes {OLD}; INSERT INTO public.notes SELECT i, 'note ' || i, i * 1.10, i % 2 = 0 FROM generate_series(1, 301) i; {more}"
    ));
    let notes = Notes::open(&server.cluster.url(&database), "url", "public");
    (server, notes)
}

#[test]
fn rows_of_postgresql_go_into_a_file_and_back() {
    let (_server, notes) = in_postgres("");
    notes.goes_both_ways("note 7 text 7.70 0");
}

#[test]
fn rows_of_a_file_go_into_another_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("old.db");
    let made = "CREATE TABLE notes (id INTEGER PRIMARY KEY, name TEXT, cost TEXT, read INTEGER); \
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 301) \
        INSERT INTO notes SELECT i, 'note ' || i, i || '.10', i % 2 FROM n";
    Connection::open(&old).unwrap().execute_batch(made).unwrap();
    let bytes = std::fs::read(&old).unwrap();
    Notes::open(&old.display().to_string(), "file", "main").goes_both_ways("note 7 text 7.10 1");
    assert_eq!(std::fs::read(&old).unwrap(), bytes, "the source is only read");
}

#[test]
fn a_cell_that_does_not_fit_stops_the_upgrade_and_is_named() {
    let (_server, notes) = in_postgres("UPDATE public.notes SET name = NULL WHERE id = 200");
    let before = notes.fingerprint();
    notes.run(&["apply", "--yes"]).expect(20, &["public.notes", "id = '200'", "column title of note"]);
    assert_eq!(notes.fingerprint(), before);
}

#[test]
fn a_trigger_that_would_run_for_every_row_is_refused() {
    let (_server, notes) = in_postgres("");
    let text = std::fs::read_to_string(notes.folder.path().join("playbook.yaml")).unwrap();
    let script = "CREATE TRIGGER hears AFTER INSERT ON note BEGIN DELETE FROM meta; END; UPDATE meta";
    std::fs::write(notes.folder.path().join("playbook.yaml"), text.replace("UPDATE meta", script)).unwrap();
    let before = notes.fingerprint();
    notes.run(&["apply", "--yes"]).expect(20, &["a trigger of note would run for every row"]);
    assert_eq!(notes.fingerprint(), before);
}
