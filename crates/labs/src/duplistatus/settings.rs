//! The rows of `configurations`: what both versions keep, and what is keyed by machine or server.

use serde_json::{Map, Value, json};

use super::schema::Layout;

/// A machine and a job of it that has at least one backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The id of the machine.
    pub id: String,
    /// The name of the machine.
    pub machine: String,
    /// The name of the job.
    pub job: String,
}

/// Settings of jobs that no (machine, job) pair spells. Legal: the application keeps what is deleted elsewhere.
pub const LOST_SETTINGS: [&str; 4] = ["retired-pc:Files", "attic:Never run", "no colon at all", ":"];

/// Overdue notices that begin with the name of no machine.
pub const LOST_NOTICES: [&str; 2] = ["no colon at all", "retired-pc:Files"];

/// A notice of a job without a backup, which the application nevertheless carries over.
const GHOST_JOB: &str = "Ghost job";

/// When the lab's application last looked for overdue backups.
const LAST_CHECK: &str = "2025-11-20T08:20:00.000Z";

/// Returns the rows that hold no name of a machine as a key, equal in both versions but for the templates.
pub fn plain(layout: Layout) -> Vec<(&'static str, String)> {
    let name = match layout {
        Layout::Machines => "{machine_name}",
        Layout::Servers => "{server_name}",
    };
    let template = |title: &str, priority: &str| {
        json!({
            "title": format!("{title} {{backup_name}} @ {name}"),
            "message": format!("{{backup_name}} on {name}:\n\t\"{{status}}\" at {{backup_date}} ✔ \\ {{duration}}\n"),
            "priority": priority,
            "tags": "lab, backup",
        })
    };
    let notifications = json!({
        // An address that spells the variable is not a template and must stay as it is.
        "ntfy": {"url": "http://127.0.0.1:9/", "topic": "lab-{machine_name}-topic", "accessToken": ""},
        "backupSettings": {},
        "templates": {
            "success": template("✅ {status}", "default"),
            "warning": template("⚠️ {status}", "high"),
            "overdueBackup": template("🕑 overdue", "default"),
        },
    });
    vec![
        (
            "cron_service",
            json!({"port": 9667, "tasks": {"overdue-backup-check": {"cronExpression": "*/20 * * * *", "enabled": true}}})
                .to_string(),
        ),
        ("overdue_tolerance", "4h".to_owned()),
        ("notification_frequency", "every_week".to_owned()),
        ("last_overdue_check", LAST_CHECK.to_owned()),
        ("notifications", notifications.to_string()),
    ]
}

/// Returns the rows whose keys name machines (0.6) or carry the ids of servers (0.7).
pub fn keyed(layout: Layout, pairs: &[Pair]) -> Vec<(&'static str, String)> {
    match layout {
        Layout::Machines => by_name(pairs),
        Layout::Servers => by_id(pairs),
    }
}

fn setting(turn: usize) -> Value {
    json!({
        "notificationEvent": if turn.is_multiple_of(3) { "all" } else { "warnings" },
        "overdueBackupCheckEnabled": turn % 4 != 1,
        "expectedInterval": 1 + turn % 5,
        "intervalUnit": if turn.is_multiple_of(2) { "day" } else { "hour" },
    })
}

fn by_name(pairs: &[Pair]) -> Vec<(&'static str, String)> {
    let mut settings = Map::new();
    let mut notices = Map::new();
    for (turn, pair) in pairs.iter().enumerate() {
        let key = format!("{}:{}", pair.machine, pair.job);
        settings.entry(key.clone()).or_insert_with(|| setting(turn));
        if turn % 2 == 0 {
            notices.entry(key).or_insert_with(|| notice(turn));
        }
    }
    for (turn, key) in LOST_SETTINGS.iter().enumerate() {
        settings.insert((*key).to_owned(), setting(turn));
    }
    for (turn, key) in LOST_NOTICES.iter().enumerate() {
        notices.insert((*key).to_owned(), notice(turn));
    }
    if let Some(pair) = pairs.first() {
        notices.insert(format!("{}:{GHOST_JOB}", pair.machine), notice(0));
    }
    vec![
        ("backup_settings", Value::Object(settings).to_string()),
        ("overdue_backup_notifications", Value::Object(notices).to_string()),
    ]
}

fn notice(turn: usize) -> Value {
    json!({"lastNotificationSent": LAST_CHECK, "lastBackupDate": format!("2025-01-{:02}T01:00:00.000Z", 1 + turn % 28)})
}

fn by_id(pairs: &[Pair]) -> Vec<(&'static str, String)> {
    let mut settings = Map::new();
    let mut notices = Map::new();
    for (turn, pair) in pairs.iter().enumerate() {
        let key = format!("{}:{}", pair.id, pair.job);
        let mut value = setting(turn);
        if let Some(members) = value.as_object_mut() {
            members.insert("machineName".to_owned(), pair.machine.clone().into());
        }
        settings.insert(key.clone(), value);
        if turn % 2 == 0 {
            notices.insert(key, json!({"lastNotificationSent": LAST_CHECK, "serverName": pair.machine}));
        }
    }
    vec![
        ("backup_settings", Value::Object(settings).to_string()),
        ("overdue_notifications", Value::Object(notices).to_string()),
    ]
}
