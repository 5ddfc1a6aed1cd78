//! The one request that writes: a report of a backup that has run.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value, json};

use super::schema::Layout;
use super::stand_in::Version;
use super::store::{Backup, insert_backup};
use crate::http::Response;

/// Stores the report as one row of `backups`, with a row for its machine where it is new.
pub(super) fn receive(
    db: &Connection,
    version: Version,
    layout: Layout,
    body: &[u8],
) -> rusqlite::Result<Response> {
    let Ok(report) = serde_json::from_slice::<Value>(body) else {
        return Ok(Response::json(400, &json!({"error": "Invalid JSON in request body"})));
    };
    let extra = &report["Extra"];
    let part = |key: &str| extra[key].as_str().filter(|text| !text.is_empty());
    let (Some(id), Some(name), Some(job)) = (part("machine-id"), part("machine-name"), part("backup-name"))
    else {
        return Ok(incomplete(version, extra));
    };
    let transaction = db.unchecked_transaction()?;
    add_owner(&transaction, version, layout, id, name)?;
    let next: i64 = transaction
        .query_row("SELECT coalesce(max(rowid), 0) + 1 FROM backups", [], |row| row.get(0))
        .optional()?
        .unwrap_or(1);
    let data = &report["Data"];
    let moment = |key: &str| data[key].as_str().unwrap_or("2025-12-01T00:00:00.000Z").to_owned();
    let number = |key: &str| data[key].as_i64().unwrap_or(0);
    let status = data["ParsedResult"].as_str().unwrap_or("Success");
    let backup = Backup {
        // Drawn by SQLite, whose generator no two processes share.
        id: transaction.query_row("SELECT 'upload-' || hex(randomblob(16))", [], |row| row.get(0))?,
        owner: id,
        job,
        job_id: part("backup-id").unwrap_or("DB-0"),
        begun: moment("BeginTime"),
        ended: moment("EndTime"),
        previous: rusqlite::types::Value::Null,
        created: transaction.query_row("SELECT CURRENT_TIMESTAMP", [], |row| row.get(0))?,
        status,
        seconds: rusqlite::types::Value::Integer(0),
        size: rusqlite::types::Value::Integer(number("SizeOfExaminedFiles")),
        uploaded: number("BytesUploaded"),
        files: rusqlite::types::Value::Integer(number("ExaminedFiles")),
        messages: data
            .get("Messages")
            .filter(|list| list.is_array())
            .map_or("[]".to_owned(), Value::to_string),
        message_count: number("MessagesActualLength"),
        warnings: number("WarningsActualLength"),
        known_size: number("KnownFileSize"),
        turn: next,
    };
    transaction.execute(&insert_backup(layout), rusqlite::params_from_iter(backup.row()))?;
    transaction.commit()?;
    Ok(Response::json(200, &json!({"success": true})))
}

/// 0.6 takes over a changed name, 0.7 leaves the old one.
fn add_owner(
    db: &Connection,
    version: Version,
    layout: Layout,
    id: &str,
    name: &str,
) -> rusqlite::Result<()> {
    let conflict = match version {
        Version::V06 => "DO UPDATE SET name = excluded.name",
        Version::V07 => "DO NOTHING",
    };
    let sql =
        format!("INSERT INTO {} (id, name) VALUES (?1, ?2) ON CONFLICT (id) {conflict}", layout.owners());
    db.execute(&sql, params![id, name]).map(drop)
}

fn incomplete(version: Version, extra: &Value) -> Response {
    let body = match version {
        Version::V06 => json!({"error": "Missing required machine or backup information"}),
        Version::V07 => {
            let missing: Vec<&str> = ["machine-id", "machine-name", "backup-name"]
                .into_iter()
                .filter(|key| extra[*key].as_str().is_none_or(str::is_empty))
                .collect();
            json!({
                "error": "Missing required server or backup information",
                "missingFields": missing,
                "extraSection": extra,
            })
        }
    };
    Response::json(400, &body)
}
