//! What the application says to each request, in the shapes that were measured (systems/duplistatus.md §3, §5).

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};
use serde_json::{Value, json};

use super::schema::Layout;
use super::stand_in::Version;
use super::upload;
use crate::http::{Request, Response};

/// How long 0.6 lets a caller of its health wait on a database that is not its own.
const HANG: Duration = Duration::from_secs(30);

const NOT_FOUND: &str = "<!DOCTYPE html><html lang=\"en\"><head><title>404</title></head>\
                         <body><h1>404</h1><p>This page could not be found.</p></body></html>";

/// The application: a version and its one connection, which stays open as the real one's does.
#[derive(Debug)]
pub(super) struct Application {
    version: Version,
    db: Mutex<Connection>,
}

impl Application {
    /// Opens the database, which must exist.
    pub(super) fn open(version: Version, database: &Path) -> rusqlite::Result<Application> {
        let db = Connection::open_with_flags(
            database,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        db.busy_timeout(Duration::from_secs(5))?;
        db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON")?;
        Ok(Application { version, db: Mutex::new(db) })
    }

    fn layout(&self) -> Layout {
        match self.version {
            Version::V06 => Layout::Machines,
            Version::V07 => Layout::Servers,
        }
    }

    /// Answers one request.
    pub(super) fn answer(&self, request: &Request) -> Response {
        // A handler that panicked has left nothing in the connection but an open transaction, which rolled back.
        let db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        let ready = match is_ready(&db, self.layout()) {
            Ok(ready) => ready,
            Err(error) => return failed(&error),
        };
        let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
        let get = matches!(request.method.as_str(), "GET" | "HEAD");
        let answer = match (path.as_slice(), self.version) {
            (["api", "health"], Version::V06) if get && !ready => {
                drop(db);
                std::thread::sleep(HANG);
                return Response::json(500, &json!({"status": "unhealthy"}));
            }
            (["api", "health"], _) if get => health(&db, ready),
            (["api", "upload"], _) if request.method == "POST" => {
                if ready {
                    upload::receive(&db, self.version, self.layout(), &request.body)
                } else {
                    return Response::json(500, &json!({"error": "Failed to process backup data"}));
                }
            }
            (["api", "machines"], Version::V06) if get => {
                list(&db, "SELECT id, name FROM machines ORDER BY name")
            }
            (["api", "servers"], Version::V07) if get && !ready => return Response::json(200, &json!([])),
            (["api", "servers"], Version::V07) if get => {
                list(&db, "SELECT id, name, alias, note FROM servers ORDER BY name")
            }
            (["api", "servers", id], Version::V07) if get => one_server(&db, id),
            (["api", "summary"], _) if get => summary(&db, self.version, ready),
            (["api", "lastbackup", who], _) if get => last_backup(&db, self.version, self.layout(), who),
            (["api", "health" | "upload" | "summary"], _) | (["api", "lastbackup", _], _) => {
                return not_allowed();
            }
            (["api", "machines"], Version::V06) => return not_allowed(),
            (["api", "servers"] | ["api", "servers", _], Version::V07) => return not_allowed(),
            _ => return Response::html(404, NOT_FOUND),
        };
        answer.unwrap_or_else(|error| failed(&error))
    }
}

fn failed(error: &rusqlite::Error) -> Response {
    Response::json(500, &json!({"error": error.to_string()}))
}

fn not_allowed() -> Response {
    Response { status: 405, content_type: "text/plain", body: Vec::new() }
}

/// Whether the statements of this version could be prepared: its tables are there.
fn is_ready(db: &Connection, layout: Layout) -> rusqlite::Result<bool> {
    let wanted = db.prepare_cached(
        "SELECT count(*) = 2 FROM sqlite_schema AS s WHERE s.type = 'table' AND (s.name = ?1 OR (s.name = 'backups' \
         AND EXISTS (SELECT 1 FROM pragma_table_info('backups') WHERE name = ?2)))",
    );
    wanted?.query_row([layout.owners(), layout.owner_id()], |row| row.get(0))
}

/// The body says healthy whatever the status says: so the real one was measured.
fn health(db: &Connection, ready: bool) -> rusqlite::Result<Response> {
    let mut select =
        db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")?;
    let tables = select.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    let (seconds, millis) = now();
    let stamp: String =
        db.query_row("SELECT strftime('%Y-%m-%dT%H:%M:%S', ?1, 'unixepoch')", [seconds], |row| row.get(0))?;
    let body = json!({
        "status": "healthy",
        "database": "connected",
        "basicConnection": true,
        "tablesFound": tables.len(),
        "tables": tables,
        "preparedStatements": ready,
        "timestamp": format!("{stamp}.{millis:03}Z"),
    });
    Ok(Response::json(if ready { 200 } else { 503 }, &body))
}

fn now() -> (i64, u32) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_millis())
}

fn list(db: &Connection, sql: &str) -> rusqlite::Result<Response> {
    let mut select = db.prepare(sql)?;
    let rows = select.query_map([], object)?.collect::<rusqlite::Result<Vec<Value>>>()?;
    Ok(Response::json(200, &Value::Array(rows)))
}

fn one_server(db: &Connection, id: &str) -> rusqlite::Result<Response> {
    let row = db
        .query_row("SELECT id, name, alias, note, server_url FROM servers WHERE id = ?1", [id], object)
        .optional()?;
    Ok(match row {
        Some(server) => Response::json(200, &server),
        None => Response::json(404, &json!({"error": "Server not found"})),
    })
}

/// `totalBackups` counts rows in 0.6 and jobs in 0.7, under one name.
fn summary(db: &Connection, version: Version, ready: bool) -> rusqlite::Result<Response> {
    if version == Version::V07 && !ready {
        return Ok(Response::json(
            200,
            &json!({
                "totalServers": 0, "totalBackupsRuns": 0, "totalBackups": 0, "totalUploadedSize": 0,
                "totalStorageUsed": 0, "totalBackupSize": 0, "overdueBackupsCount": 0, "secondsSinceLastBackup": 0,
            }),
        ));
    }
    // total() and not sum(): the latter fails on a sum past 2^63.
    let sizes = "CAST(total(uploaded_size) AS INTEGER) AS totalUploadedSize, \
                 CAST(total(known_file_size) AS INTEGER) AS totalStorageUsed, \
                 CAST(total(size) AS INTEGER) AS totalBackupSize, 0 AS overdueBackupsCount, \
                 max(0, ?1 - coalesce(CAST(strftime('%s', max(date)) AS INTEGER), ?1)) AS secondsSinceLastBackup";
    let sql = match version {
        Version::V06 => format!(
            "SELECT (SELECT count(*) FROM machines) AS totalMachines, count(*) AS totalBackups, {sizes} FROM backups"
        ),
        Version::V07 => format!(
            "SELECT (SELECT count(*) FROM servers) AS totalServers, count(*) AS totalBackupsRuns, \
             count(DISTINCT server_id || ':' || backup_name) AS totalBackups, {sizes} FROM backups"
        ),
    };
    db.query_row(&sql, [now().0], object).map(|body| Response::json(200, &body))
}

fn last_backup(db: &Connection, version: Version, layout: Layout, who: &str) -> rusqlite::Result<Response> {
    let (owners, owner_id) = (layout.owners(), layout.owner_id());
    let kind = if version == Version::V06 { "machine" } else { "server" };
    let mut select = db.prepare(&format!(
        "SELECT id, name, created_at FROM {owners} WHERE id = ?1 OR name = ?1 ORDER BY id = ?1 DESC, rowid"
    ))?;
    let found = select.query_map([who], object)?.collect::<rusqlite::Result<Vec<Value>>>()?;
    let Some(owner) = found.first() else {
        return Ok(Response::json(404, &json!({"error": format!("{kind} not found")})));
    };
    if version == Version::V07 && found.len() > 1 && owner["id"] != who {
        return Ok(Response::json(400, &json!({"error": "more than one server has this name"})));
    }
    let latest = db
        .query_row(
            &format!(
                "SELECT id, {owner_id}, backup_name AS name, date, status, warnings, errors, \
                 messages_actual_length AS messages, examined_files AS fileCount, size AS fileSize, \
                 uploaded_size AS uploadedSize, duration_seconds, known_file_size AS knownFileSize, backup_list_count, \
                 messages_array, warnings_array, errors_array, available_backups \
                 FROM backups WHERE {owner_id} = ?1 ORDER BY date DESC, rowid DESC LIMIT 1"
            ),
            [owner["id"].as_str()],
            object,
        )
        .optional()?;
    Ok(Response::json(200, &json!({kind: owner, "latest_backup": latest, "status": 200})))
}

/// Returns a row as an object: columns by name, values as the storage class says, bytes as text where they must be.
fn object(row: &Row<'_>) -> rusqlite::Result<Value> {
    let names = row.as_ref().column_names();
    let mut members = serde_json::Map::new();
    for (index, name) in names.into_iter().enumerate() {
        let value = match row.get_ref(index)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => number.into(),
            ValueRef::Real(number) => number.into(),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into(),
        };
        members.insert(name.to_owned(), value);
    }
    Ok(Value::Object(members))
}
