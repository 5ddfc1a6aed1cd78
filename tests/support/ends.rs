//! The only two states in which an upgrade may leave a site, and how one tells them from all others.

#![allow(dead_code)]

use std::path::Path;
use std::time::Duration;
use switchback_site::Tell;
use switchback_site::http;
use switchback_site::service::{Service, State, Which};
use switchback_site::sqlite::{Database, Fingerprint, LEDGER};

/// The content of a database, so that two are equal if no application can tell them apart, but for one value: the time
/// at which the upgrade was stamped (`db_version.applied_at`), which is that of the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    fingerprint: Fingerprint,
    stamps: Vec<String>,
}

impl Content {
    /// Reads it.
    pub fn of(database: &Path) -> Content {
        let mut fingerprint = exact(database);
        fingerprint.tables.remove("db_version").expect("there is a table db_version");
        let connection = Database::new(database).open_read().unwrap();
        let mut stamps = connection
            .prepare("SELECT rowid || ' ' || version || ' ' || typeof(applied_at) FROM db_version")
            .unwrap();
        let stamps = stamps.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        Content { fingerprint, stamps }
    }

    /// What differs, a line each.
    pub fn differences(&self, other: &Content) -> Vec<String> {
        let mut lines = self.fingerprint.differences(&other.fingerprint);
        if self.stamps != other.stamps {
            lines.push(format!("db_version: {:?} there, {:?} here", other.stamps, self.stamps));
        }
        lines
    }
}

/// Reads the whole fingerprint, the time of the stamp included.
pub fn exact(database: &Path) -> Fingerprint {
    Fingerprint::of(&Database::new(database), &Tell::quiet()).unwrap()
}

/// The two legal ends of one lab.
#[derive(Debug, Clone)]
pub struct Ends {
    /// As before the run.
    pub before: Fingerprint,
    /// As an upgrade leaves it that nothing disturbed.
    pub after: Content,
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As before, with the old release running.
    Before,
    /// Upgraded, with the new release running.
    After,
}

impl Ends {
    /// Says everything that speaks against `wanted`; nothing if the site is in that state.
    pub fn complaints(&self, wanted: End, database: &Path, service: &dyn Service, port: u16) -> Vec<String> {
        let mut complaints = match wanted {
            End::Before => exact(database).differences(&self.before),
            End::After => Content::of(database).differences(&self.after),
        };
        complaints.extend(left_behind(database));
        let which = if wanted == End::Before { Which::Old } else { Which::New };
        match service.state().unwrap() {
            State::Running(Some(runs)) if runs == which => complaints.extend(answers_badly(which, port)),
            other => complaints.push(format!("the service is {other}, and the {which} one should run")),
        }
        complaints
    }

    /// Fails unless the site is in that state.
    pub fn assert(&self, wanted: End, database: &Path, service: &dyn Service, port: u16, how: &str) {
        let complaints = self.complaints(wanted, database, service, port);
        assert!(complaints.is_empty(), "{how}: the site is not as {wanted:?} wants it: {complaints:#?}");
    }
}

/// Our rows, our marks and any other file that the application did not put there.
fn left_behind(database: &Path) -> Vec<String> {
    let mut left = Vec::new();
    let connection = Database::new(database).open_read().unwrap();
    let sql = "SELECT count(*) FROM sqlite_schema WHERE tbl_name = ?1";
    if connection.query_row(sql, [LEDGER], |row| row.get::<_, i64>(0)).unwrap() != 0 {
        left.push("our ledger is in the database".to_owned());
    }
    drop(connection);
    let own = database.file_name().unwrap().to_str().unwrap();
    for entry in std::fs::read_dir(database.parent().unwrap()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !["", "-wal", "-shm"].iter().any(|end| name == format!("{own}{end}")) {
            left.push(format!("{name} lies beside the database"));
        }
    }
    left
}

/// Asks the service itself which release it is; the catalog that it names tells.
fn answers_badly(which: Which, port: u16) -> Option<String> {
    let url = http::Url::parse(&format!("http://127.0.0.1:{port}/api/health")).unwrap();
    let wanted = if which == Which::Old { "\"machines\"" } else { "\"servers\"" };
    match http::get(&url, &[], Duration::from_secs(10)) {
        Ok(answer) if answer.status == 200 && String::from_utf8_lossy(&answer.body).contains(wanted) => None,
        Ok(answer) => Some(format!("the service answers {} without {wanted}", answer.status)),
        Err(error) => Some(format!("the service does not answer: cannot {error}")),
    }
}
