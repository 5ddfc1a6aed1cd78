//! What a component of 0.8 and later keeps in SQL: a table a kind, and imports that drop before they load.

use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::codec::{go_json, go_text, now, round_times, values};
use super::config::Component;
use super::database::{Db, DbError, Place};
use super::release::Release;

/// The kinds of each component in the order of an export, with their tables.
const RUNSERVICE: [(&str, &str); 3] =
    [("RunConfig", "runconfig"), ("Run", "run"), ("RunCounter", "runcounter")];
const CONFIGSTORE: [(&str, &str); 10] = [
    ("RemoteSource", "remotesource"),
    ("User", "user_t"),
    ("UserToken", "usertoken"),
    ("LinkedAccount", "linkedaccount"),
    ("Organization", "organization"),
    ("OrganizationMember", "orgmember"),
    ("ProjectGroup", "projectgroup"),
    ("Project", "project"),
    ("Secret", "secret"),
    ("Variable", "variable"),
];

/// What is deleted without a word because what it refers to is gone (systems/agola.md §4): table, field, other table.
const ORPHANS: [(&str, &str, &str); 5] = [
    ("usertoken", "user_id", "user_t"),
    ("linkedaccount", "user_id", "user_t"),
    ("linkedaccount", "remote_source_id", "remotesource"),
    ("orgmember", "user_id", "user_t"),
    ("orgmember", "organization_id", "organization"),
];

/// The database of one component.
#[derive(Clone)]
pub struct NewStore {
    place: Place,
    /// Open for as long as the service lives, as that of the real one: a killed service leaves a log beside its database.
    held: Arc<Mutex<Option<Db>>>,
    kinds: &'static [(&'static str, &'static str)],
}

/// How an import ended that did not load everything.
#[derive(Debug)]
pub enum ImportError {
    /// The handler fell over: there is no reply. What was there is gone.
    Panics(String),
    /// It answers 500. What was there is gone.
    Fails(String),
}

impl From<DbError> for ImportError {
    fn from(error: DbError) -> ImportError {
        ImportError::Fails(error.to_string())
    }
}

/// How an import goes wrong or takes its time.
#[derive(Debug, Clone, Copy, Default)]
pub struct ImportManner {
    /// Stops, and says nothing, after this many bytes of records.
    pub stop_at: Option<u64>,
    /// Ends the process after this many records, in the middle of the transaction.
    pub die_at: Option<u64>,
    /// Waits so long with each record.
    pub pause: Duration,
    /// Rounds times as PostgreSQL does.
    pub microseconds: bool,
}

impl NewStore {
    /// Opens a SQLite database of the runservice or the configstore, as [`NewStore::open_in`].
    pub fn open(path: &Path, component: Component, release: &Release) -> Result<NewStore, String> {
        NewStore::open_in(&Place::Sqlite(path.to_owned()), component, release)
    }

    /// Opens the database of the runservice or the configstore, a file being made where it is not there, and brings its
    /// schema up to date. The error is what the application says.
    pub(super) fn open_in(
        place: &Place,
        component: Component,
        release: &Release,
    ) -> Result<NewStore, String> {
        let kinds: &[(&str, &str)] =
            if component == Component::Runservice { &RUNSERVICE } else { &CONFIGSTORE };
        let mut db = place.connect().map_err(|error| format!("new db error: {error}"))?;
        set_up(&mut db, kinds, release.schema(component))?;
        Ok(NewStore { place: place.clone(), held: Arc::new(Mutex::new(Some(db))), kinds })
    }

    fn connect(&self) -> Result<Db, DbError> {
        self.place.connect()
    }

    /// Says whether maintenance is wanted.
    pub(super) fn wants_maintenance(&self) -> Result<bool, DbError> {
        // Asked many times a second.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut db = match held.take() {
            Some(db) => db,
            None => self.connect()?,
        };
        // A connection that fails is not kept: its server may be back.
        let wanted = db.one("SELECT CAST(count(*) AS text) FROM maintenance", &[])?;
        *held = Some(db);
        Ok(wanted.is_some_and(|count| count != "0"))
    }

    /// Asks for maintenance or gives it up. Returns whether it was not so before.
    pub(super) fn want_maintenance(&self, wanted: bool) -> Result<bool, DbError> {
        let sql = if wanted {
            "INSERT INTO maintenance SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM maintenance)"
        } else {
            "DELETE FROM maintenance"
        };
        Ok(self.connect()?.execute(sql, &[])? > 0)
    }

    /// Drops what is there, then loads what comes: two transactions, so that what fails in the second leaves nothing.
    /// Returns how many records were loaded.
    pub fn import(&self, body: impl Read, manner: ImportManner) -> Result<u64, ImportError> {
        let mut db = self.connect()?;
        db.batch("BEGIN")?;
        for (_, table) in self.kinds {
            db.batch(&format!("DROP TABLE IF EXISTS {table}"))?;
        }
        create_tables(&mut db, self.kinds)?;
        db.batch("COMMIT; BEGIN")?;
        let (mut count, mut bytes) = (0, 0);
        for value in values(body) {
            let value = value.map_err(|error| ImportError::Fails(error.to_string()))?;
            bytes += value.get().len() as u64 + 1;
            if manner.stop_at.is_some_and(|stop| bytes > stop) {
                break;
            }
            self.load(&mut db, value.get(), manner.microseconds || self.place.is_postgres())?;
            count += 1;
            if manner.die_at.is_some_and(|die| count >= die) {
                std::process::exit(137);
            }
            if !manner.pause.is_zero() {
                std::thread::sleep(manner.pause);
            }
        }
        if self.kinds.len() == CONFIGSTORE.len() {
            for (table, field, other) in ORPHANS {
                db.batch(&format!(
                    "DELETE FROM {table} WHERE json ->> '{field}' NOT IN (SELECT id FROM {other})"
                ))?;
            }
        }
        db.batch("COMMIT")?;
        Ok(count)
    }

    fn load(&self, db: &mut Db, text: &str, microseconds: bool) -> Result<(), ImportError> {
        let panics = |what: &str| ImportError::Panics(what.to_owned());
        let mut record: Map<String, Value> =
            serde_json::from_str(text).map_err(|_| panics("json: cannot unmarshal into Go value"))?;
        let kind = record.get("exportMeta").and_then(|meta| meta["kind"].as_str());
        let table = kind.and_then(|kind| self.kinds.iter().find(|(known, _)| *known == kind));
        let (kind, table) = *table
            .ok_or_else(|| panics("runtime error: invalid memory address or nil pointer dereference"))?;
        let id = record.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        if kind == "Run" {
            let config = record.get("run_config_id").and_then(Value::as_str).unwrap_or_default();
            let there = db.one("SELECT id FROM runconfig WHERE id = $1", &[config])?;
            there.ok_or_else(|| ImportError::Fails("FOREIGN KEY constraint failed".to_owned()))?;
        }
        // A record is read into columns and written from them: its fields come out in the order of the program.
        let ordered = in_order(kind, &record);
        if microseconds {
            round_times(&mut record);
        }
        let text = match ordered {
            Some(names) => {
                let fields = names.into_iter().filter_map(|name| record.remove_entry(&name));
                go_json(&Value::Object(fields.collect()))
            }
            None if microseconds => go_json(&Value::Object(record)),
            None => go_text(text),
        };
        let sql = format!("INSERT INTO {table} VALUES ($1, {})", db.json_value());
        db.execute(&sql, &[&id, &text])?;
        Ok(())
    }

    /// Gives every record to `take`, by kind and then by id, in one view of the database.
    pub fn export(&self, mut take: impl FnMut(&str) -> io::Result<()>) -> io::Result<()> {
        let mut db = self.connect().map_err(io::Error::other)?;
        self.read_all(&mut db, &mut take).map_err(io::Error::other)
    }

    fn read_all(&self, db: &mut Db, take: &mut dyn FnMut(&str) -> io::Result<()>) -> Result<(), DbError> {
        db.batch(if self.place.is_postgres() { "BEGIN ISOLATION LEVEL REPEATABLE READ" } else { "BEGIN" })?;
        for (_, table) in self.kinds {
            let sql = format!("SELECT {} FROM {table} ORDER BY id", db.json_text());
            db.each(&sql, &[], &mut *take)?;
        }
        db.batch("COMMIT")
    }

    /// Returns how many bytes an export has, roughly enough to cut it in the middle.
    pub(super) fn size(&self) -> Result<u64, DbError> {
        let mut db = self.connect()?;
        let mut sum = 0;
        for (_, table) in self.kinds {
            let text = db.json_text();
            let sql = format!("SELECT CAST(coalesce(sum(length({text}) + 1), 0) AS text) FROM {table}");
            sum += db.one(&sql, &[])?.and_then(|sum| sum.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(sum)
    }

    /// Returns the records of a table, without what is only for exports. `rest` is what stands behind the name of the table,
    /// with `$1`, `$2` for values.
    pub(super) fn select(&self, table: &str, rest: &str, values: &[&str]) -> Result<Vec<Value>, DbError> {
        let mut db = self.connect()?;
        let sql = format!("SELECT {} FROM {table} {rest}", db.json_text());
        let mut found = Vec::new();
        db.each(&sql, values, |text| {
            let mut value: Value = serde_json::from_str(text)?;
            if let Some(fields) = value.as_object_mut() {
                fields.shift_remove("exportMeta");
            }
            found.push(value);
            Ok(())
        })?;
        Ok(found)
    }

    /// Adds records as the service does when somebody works with it, those of a kind and an id that are there being
    /// replaced, in one transaction.
    pub(super) fn put(&self, records: &[(&str, Value)]) -> Result<(), DbError> {
        let mut db = self.connect()?;
        db.batch("BEGIN")?;
        for (kind, fields) in records {
            let Some((_, table)) = self.kinds.iter().find(|(known, _)| known == kind) else { continue };
            let id = fields["id"].as_str().unwrap_or_default();
            let time = now();
            let mut record =
                json!({"exportMeta": {"kind": kind}, "id": id, "creationTime": time, "updateTime": time});
            if let (Some(record), Some(fields)) = (record.as_object_mut(), fields.as_object()) {
                record.extend(fields.clone());
                if self.place.is_postgres() {
                    round_times(record);
                }
            }
            db.execute(&format!("DELETE FROM {table} WHERE id = $1"), &[id])?;
            let sql = format!("INSERT INTO {table} VALUES ($1, {})", db.json_value());
            db.execute(&sql, &[id, &go_json(&record)])?;
        }
        db.batch("COMMIT")
    }
}

/// Brings the schema up to date, as every new version does when it starts.
fn set_up(db: &mut Db, kinds: &[(&str, &str)], supported: i64) -> Result<(), String> {
    let say = |error: DbError| format!("setup db error: {error}");
    let begin = if matches!(db, Db::Sqlite(_)) { "BEGIN IMMEDIATE" } else { "BEGIN" };
    db.batch(begin).map_err(say)?;
    db.batch(
        "CREATE TABLE IF NOT EXISTS dbversion (version bigint PRIMARY KEY, time timestamp);
         CREATE TABLE IF NOT EXISTS maintenance (wanted int NOT NULL);",
    )
    .map_err(say)?;
    let known = db.one("SELECT CAST(coalesce(max(version), 0) AS text) FROM dbversion", &[]).map_err(say)?;
    let known: i64 = known.and_then(|known| known.parse().ok()).unwrap_or(0);
    if known > supported {
        return Err(format!(
            "setup db error: current db schema version {known} is greater than the supported db schema version {supported}"
        ));
    }
    if known < supported {
        db.batch(&format!("INSERT INTO dbversion VALUES ({supported}, CURRENT_TIMESTAMP)")).map_err(say)?;
    }
    create_tables(db, kinds).map_err(say)?;
    db.batch("COMMIT").map_err(say)
}

fn create_tables(db: &mut Db, kinds: &[(&str, &str)]) -> Result<(), DbError> {
    for (_, table) in kinds {
        let json = db.json_type();
        db.batch(&format!(
            "CREATE TABLE IF NOT EXISTS {table} (id text NOT NULL PRIMARY KEY, json {json} NOT NULL)"
        ))?;
    }
    Ok(())
}

/// Returns the names of a record's fields in the order of the program, if they are in another one.
fn in_order(kind: &str, record: &Map<String, Value>) -> Option<Vec<String>> {
    let first: &[&str] = match kind {
        "Run" => &["sequence", "name", "run_config_id", "counter", "group"],
        "LinkedAccount" => &["user_id"],
        "UserToken" => &["name", "value", "user_id"],
        "Project" => &["name", "parent", "secret"],
        "Secret" | "Variable" | "ProjectGroup" => &["name", "parent"],
        _ => &["name"],
    };
    let order = ["exportMeta", "id", "creationTime", "updateTime"].into_iter().chain(first.iter().copied());
    let order: Vec<&str> = order.collect();
    let mut names: Vec<String> = record.keys().cloned().collect();
    names.sort_by_key(|name| order.iter().position(|known| known == name).unwrap_or(order.len()));
    names.iter().ne(record.keys()).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(dir: &Path, component: Component) -> NewStore {
        NewStore::open(&dir.join("db"), component, &Release::of("v0.8.0")).unwrap()
    }

    fn export(store: &NewStore) -> String {
        let mut text = String::new();
        store
            .export(|line| {
                text += line;
                text.push('\n');
                Ok(())
            })
            .unwrap();
        text
    }

    const USERS: &str = concat!(
        r#"{"exportMeta":{"kind":"User"},"id":"a","creationTime":"2026-11-20T11:29:27.15666515Z","name":"\u003cx\u003e"}"#,
        "\n",
        r#"{"exportMeta":{"kind":"User"},"id":"b","creationTime":"2026-11-20T11:29:27.15666515Z","name":"y"}"#,
        "\n",
    );
    const MEMBERS: &str = concat!(
        r#"{"exportMeta":{"kind":"UserToken"},"id":"t","name":"ci","value":"v","user_id":"a"}"#,
        "\n",
        r#"{"exportMeta":{"kind":"OrganizationMember"},"id":"m","user_id":"gone","organization_id":"o"}"#,
        "\n",
    );

    #[test]
    fn an_export_is_the_import_byte_by_byte_without_the_orphans() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), Component::Configstore);
        let text = [USERS, MEMBERS].concat();
        assert_eq!(store.import(text.as_bytes(), ImportManner::default()).unwrap(), 4);
        assert_eq!(export(&store), [USERS, MEMBERS.lines().next().unwrap(), "\n"].concat());
        assert_eq!(store.import(text.as_bytes(), ImportManner::default()).unwrap(), 4, "repeatable");
        let rounded = ImportManner { microseconds: true, ..ImportManner::default() };
        store.import(USERS.as_bytes(), rounded).unwrap();
        assert_eq!(export(&store), USERS.replace("27.15666515Z", "27.156665Z"));
    }

    #[test]
    fn what_does_not_load_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), Component::Configstore);
        let full = || store.import(USERS.as_bytes(), ImportManner::default()).unwrap();
        let raw = r#"{"id":"0","data_type":"user","data":"e30="}"#;
        let other = r#"{"exportMeta":{"kind":"RunConfig"},"id":"x"}"#;
        for (body, panics) in [(raw, true), (other, true), (&USERS[..150], false), ("null", true)] {
            full();
            let ended = store.import(body.as_bytes(), ImportManner::default()).unwrap_err();
            assert_eq!(matches!(ended, ImportError::Panics(_)), panics, "{body}: {ended:?}");
            assert_eq!(export(&store), "", "{body}");
        }
        full();
        assert_eq!(store.import(&b""[..], ImportManner::default()).unwrap(), 0);
        assert_eq!(export(&store), "");
        let first = USERS.split_inclusive('\n').next().unwrap();
        assert_eq!(store.import(first.as_bytes(), ImportManner::default()).unwrap(), 1);
        let half = ImportManner { stop_at: Some(USERS.len() as u64 / 2 + 10), ..ImportManner::default() };
        assert_eq!(store.import(USERS.as_bytes(), half).unwrap(), 1);
    }

    #[test]
    fn a_run_without_its_config_and_a_record_that_is_there_twice_do_not_load() {
        let dir = tempfile::tempdir().unwrap();
        let runs = store(dir.path(), Component::Runservice);
        let run = r#"{"exportMeta":{"kind":"Run"},"id":"r","run_config_id":"c"}"#;
        assert!(matches!(runs.import(run.as_bytes(), ImportManner::default()), Err(ImportError::Fails(_))));
        let config = r#"{"exportMeta":{"kind":"RunConfig"},"id":"c"}"#;
        let both = [config, "\n", run, "\n"].concat();
        runs.import(both.as_bytes(), ImportManner::default()).unwrap();
        let twice = [config, config].concat();
        assert!(matches!(runs.import(twice.as_bytes(), ImportManner::default()), Err(ImportError::Fails(_))));
    }

    #[test]
    fn one_database_for_both_is_refused_by_the_second() {
        let dir = tempfile::tempdir().unwrap();
        store(dir.path(), Component::Configstore);
        let refused = NewStore::open(&dir.path().join("db"), Component::Runservice, &Release::of("v0.8.0"))
            .err()
            .unwrap();
        assert!(
            refused
                .ends_with("current db schema version 2 is greater than the supported db schema version 1")
        );
    }

    #[test]
    fn maintenance_is_wanted_once_and_given_up_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), Component::Runservice);
        let wishes = [true, true, false, false].map(|wanted| store.want_maintenance(wanted).unwrap());
        assert_eq!(wishes, [true, false, true, false]);
    }
}
