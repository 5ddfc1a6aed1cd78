//! Cells that are legal in the application and hostile to whoever sends them through a decoder.
//!
//! Every text here is as PostgreSQL prints the value again, so that what was written can be compared with what is read.

use crate::draw::{Draw, civil};

/// What an ordinary text is taken from.
const TEXTS: [&str; 14] = [
    "plain",
    "O'Brien \"lab\"; DROP TABLE workflow;--",
    "Büro Süd „Lager” 倉庫 🗄️",
    "tab\there, line\nbreak, return\r",
    "back\\slash \\N \\. \\x00",
    "",
    " padded ",
    "null",
    "NULL",
    "{\"a\": 1}",
    "[]",
    "e\u{301}toile / \u{e9}toile \u{202e}rtl",
    "%s %(x)s {0} ${name} :name",
    "00123",
];

/// What ordinary JSON is taken from: what a decoder of Python or JavaScript changes is among it.
const JSON: [&str; 10] = [
    "{}",
    "[]",
    "null",
    "123",
    "\"123\"",
    "\"plain string\"",
    "0.1234567890123456789",
    "{\"log\": \"line 0 — naïve\", \"step\": 0, \"level\": \"INFO\", \"timestamp\": 1710000000.25, \"cost_units\": null}",
    "{\"a\": [1, 2, {\"b\": null}], \"x\": 12345678901234567890123, \"y\": 1.50}",
    "{\"folders\": [\"/a\", \"/b\"], \"maxFiles\": 100, \"processSubDirectories\": true}",
];

/// Metrics: the empty list is the application's own default.
const METRICS: [&str; 5] =
    ["[]", "[]", "[]", "[{\"name\": \"faithfulness\", \"score\": 0.50}]", "[[\"a\", \"b\"], 1]"];

/// Histories of indexes: the application stores a string that contains a list.
const HISTORIES: [&str; 4] =
    ["\"[\\\"15f7b004\\\", \\\"ab\\\"]\"", "\"[]\"", "[]", "\"[\\\"é\\\\\\\\\\\"]\""];

/// What the model of a challenge answered.
const CHALLENGES: [&str; 4] = [
    "{\"score\": 4, \"file_name\": \"doc0.pdf\"}",
    "{\"score\": 0.1234567890123456789}",
    "null",
    "\"a string\"",
];

const FLOATS: [&str; 7] =
    ["0", "0.1", "75.617976674602", "1e-05", "123456789.125", "0.30000000000000004", "-0.5"];

/// Returns a cell of a type.
pub(super) fn cell(draw: &mut Draw, column: &str, kind: &str) -> String {
    match kind {
        "uuid" => draw.uuid(),
        "boolean" => pick(draw, &["t", "f"]),
        "jsonb" => json(draw, column),
        "bytea" => bytes(draw),
        "timestamp with time zone" => stamp(draw),
        "double precision" => pick(draw, &FLOATS),
        "smallint" => (1 + draw.below(3)).to_string(),
        "bigint" => draw.below(200_000_000_000).to_string(),
        "integer" => draw.below(9_000).to_string(),
        kind if kind.starts_with("numeric") => format!("{}.{:06}", draw.below(90), draw.below(1_000_000)),
        _ => pick(draw, word(column).unwrap_or(&TEXTS)),
    }
}

/// Returns how many characters a type takes, if it says so.
pub(super) fn limit(kind: &str) -> Option<usize> {
    kind.strip_prefix("character varying(")?.strip_suffix(')')?.parse().ok()
}

/// Cuts a text to what a column takes, and makes it one of a kind by what is put behind it.
pub(super) fn fitted(text: &str, behind: &str, limit: Option<usize>) -> String {
    match limit {
        Some(limit) => {
            let room = limit.saturating_sub(behind.chars().count());
            text.chars().take(room).chain(behind.chars()).collect()
        }
        None => format!("{text}{behind}"),
    }
}

fn pick(draw: &mut Draw, from: &[&str]) -> String {
    from[draw.below(from.len() as u64) as usize].to_owned()
}

fn json(draw: &mut Draw, column: &str) -> String {
    match column {
        "eval_metrics" => pick(draw, &METRICS),
        "index_ids_history" => pick(draw, &HISTORIES),
        "challenge_data" => pick(draw, &CHALLENGES),
        _ => pick(draw, &JSON),
    }
}

/// Words that a column takes its text from; others may hold anything.
fn word(column: &str) -> Option<&'static [&'static str]> {
    Some(match column {
        "adapter_type" => &["LLM", "EMBEDDING", "VECTOR_DB", "X2TEXT"],
        "connector_type" => &["INPUT", "OUTPUT"],
        "cron_string" => &["0 9 * * *", "*/5 * * * *"],
        "pipeline_type" => &["ETL", "TASK"],
        "role" => &["unstract_admin", "unstract_user"],
        "period" => &["seconds"],
        "timezone" => &["UTC", "Europe/Vienna"],
        "minute" | "hour" | "day_of_week" | "day_of_month" | "month_of_year" => &["*"],
        "event" => &["sunrise", "dusk"],
        "task" => &["scheduler.tasks.execute_pipeline_task"],
        "kwargs" | "headers" => &["{}"],
        "model_name" => &["gpt-4o", "text-embedding-3"],
        _ => return None,
    })
}

fn bytes(draw: &mut Draw) -> String {
    let mut text = "\\x".to_owned();
    for _ in 0..2 + draw.below(10) {
        text.push_str(&format!("{:016x}", draw.next()));
    }
    text
}

fn stamp(draw: &mut Draw) -> String {
    let (year, month, day) = civil(draw.below(700));
    let second = draw.below(86_400);
    let micro = match draw.below(8) {
        0 => 0,
        1 => 500_000,
        _ => draw.below(1_000_000),
    };
    let fraction = format!(".{micro:06}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction}+00")
}
