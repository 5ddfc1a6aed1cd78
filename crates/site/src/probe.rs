//! Probes: asking the site and weighing the answer.

use crate::postgres as pg;
use crate::site::{Site, SiteError, pg_rows};
use crate::sqlite::{Database, open_immutable};
use crate::tell::{Tell, Unit};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use switchback_model::config::{ConfigFormat, looks_secret};
use switchback_model::digest::{Digest, RowHasher};
use switchback_model::probe::{Ask, Probe, Store, Verdict};
use switchback_model::suggest::one_line;

/// How many rows of an answer are kept for people; the count is always of all.
pub(crate) const SHOWN: usize = 1000;
/// How many characters of an answer are kept as what was seen.
const SEEN: usize = 200;
/// What people see of a secret.
const HIDDEN: &str = "…";
/// How long one command or one HTTP request may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Virtual-machine instructions between two looks at the stop flag: about a millisecond.
const TICK: i32 = 100_000;
/// How long a probe waits before it asks again.
const PAUSE: Duration = Duration::from_millis(100);

/// What the site answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Rows of a query as people see them, up to a page.
    Rows(Vec<Vec<Value>>, AllRows),
    /// Outputs of a jq program, or the one JSON document.
    Json(Vec<Value>),
    /// Text.
    Text(String),
    /// Text that is compared and never shown.
    Secret(String),
}

/// What is known of every row of an answer, shown or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllRows {
    /// How many there are.
    pub count: u64,
    /// Their digest, in their order, with storage classes.
    pub digest: Digest,
}

/// An answer, weighed.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// Whether it is the wanted one.
    pub holds: bool,
    /// What was seen, in a few words.
    pub seen: String,
    /// What was seen, line by line, where there is more to it.
    pub details: Vec<String>,
}

impl Answer {
    /// The one value as text; `None` when there is none, it is null, or there are several.
    pub fn scalar(&self) -> Option<String> {
        self.one().flatten()
    }

    /// Whether there is more than one row or value.
    pub fn is_several(&self) -> bool {
        match self {
            Answer::Rows(_, all) => all.count > 1,
            Answer::Json(values) => values.len() > 1,
            Answer::Text(_) | Answer::Secret(_) => false,
        }
    }

    /// The one value, which may be null; `None` when there is none, or there are several.
    fn one(&self) -> Option<Option<String>> {
        match self {
            Answer::Rows(rows, AllRows { count: 1, .. }) => rows.first()?.first().map(plain),
            Answer::Json(values) if values.len() == 1 => values.first().map(plain),
            Answer::Rows(..) | Answer::Json(_) => None,
            Answer::Text(text) => Some(Some(text.trim_end_matches('\n').to_owned())),
            Answer::Secret(text) => Some(Some(text.clone())),
        }
    }

    /// A line for each row or value; what is more than a page is counted.
    pub fn lines(&self) -> Vec<String> {
        let (mut lines, more) = self.page();
        lines.extend((more > 0).then(|| format!("… and {more} more")));
        lines
    }

    /// A line for each row or value of the first page, and how many there are beyond it.
    pub fn page(&self) -> (Vec<String>, u64) {
        match self {
            Answer::Rows(rows, all) => {
                let lines = rows.iter().map(|row| one_line(&line(row))).collect();
                (lines, all.count.saturating_sub(rows.len() as u64))
            }
            Answer::Json(values) => (values.iter().map(|value| one_line(&show(value))).collect(), 0),
            Answer::Text(text) => (text.lines().map(str::to_owned).collect(), 0),
            Answer::Secret(_) => (vec![HIDDEN.to_owned()], 0),
        }
    }

    /// The digest of all of it.
    pub fn digest(&self) -> Digest {
        match self {
            Answer::Rows(_, all) => all.digest,
            Answer::Secret(text) => Digest::of(text.as_bytes()),
            Answer::Json(values) => {
                Digest::of(values.iter().map(show).collect::<Vec<_>>().join("\n").as_bytes())
            }
            other => Digest::of(other.lines().join("\n").as_bytes()),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Answer::Rows(_, all) => all.count == 0,
            Answer::Json(values) => values.iter().all(|value| match value {
                Value::Array(items) => items.is_empty(),
                other => other.is_null(),
            }),
            Answer::Text(text) | Answer::Secret(text) => text.trim().is_empty(),
        }
    }

    fn seen(&self) -> String {
        match self {
            Answer::Rows(rows, AllRows { count: 1, .. })
                if rows.first().is_some_and(|row| row.len() == 1) =>
            {
                rows.iter().map(|row| line(row)).collect()
            }
            Answer::Rows(_, all) => switchback_model::words::count(all.count, "row"),
            Answer::Json(values) => values.iter().map(show).collect::<Vec<_>>().join(", "),
            Answer::Text(text) => text.trim().to_owned(),
            Answer::Secret(_) => HIDDEN.to_owned(),
        }
    }
}

fn line(row: &[Value]) -> String {
    row.iter().map(show).collect::<Vec<_>>().join(" · ")
}

fn show(value: &Value) -> String {
    plain(value).unwrap_or_else(|| "null".to_owned())
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

impl Site {
    /// Asks once.
    pub fn ask(&self, ask: &Ask, tell: &Tell) -> Result<Answer, SiteError> {
        match ask {
            Ask::Sql { store, sql, params } if self.is_postgres(&store.target) => {
                Ok(pg::query(&mut self.reader(&store.target)?, sql, params, tell)?)
            }
            Ask::Sql { store, sql, params } => query(self.connect(store)?, sql, params, tell),
            Ask::Table { store, schema: Some(schema), table, .. } => {
                let sql = format!("SELECT count(*) FROM {}", pg::qualified(schema, table)?);
                Ok(pg::query(&mut self.reader(&store.target)?, &sql, &BTreeMap::new(), tell)?)
            }
            Ask::Table { store, table, .. } => {
                let sql = format!("SELECT count(*) FROM {}", crate::sqlite::ddl::quote_identifier(table));
                query(self.connect(store)?, &sql, &BTreeMap::new(), tell)
            }
            Ask::Get { url, jq, status } => self.get(url, jq.as_deref(), *status, tell),
            Ask::Records { from, format, program, index, count } => {
                self.ask_records(from, *format, program, index, *count, tell)
            }
            Ask::Text { text } => Ok(Answer::Text(text.clone())),
            Ask::File { target } => Ok(Answer::Text(self.read_file(target)?)),
            Ask::Schema { store, schema, expected, .. } => {
                Ok(Answer::Text(self.undescribed(&store.target, schema, expected)?.join("\n")))
            }
            Ask::Config { target, format, key } => self.config(target, *format, key),
            Ask::Unchanged { target } => {
                Ok(Answer::Text(self.changed_since_freeze(target, tell)?.join("\n")))
            }
            Ask::Run { argv, exit } => self.run_probe(argv, *exit, PATIENCE, tell).map(Answer::Text),
        }
    }

    /// Returns every row of a query by the names of its columns: a list that a plan is made for.
    pub fn list(&self, ask: &Ask, tell: &Tell) -> Result<Vec<BTreeMap<String, Value>>, SiteError> {
        let Ask::Sql { store, sql, params } = ask else {
            return Err(SiteError::Missing { what: "a list in what is no query".to_owned() });
        };
        if self.is_postgres(&store.target) {
            return pg_rows(&mut self.reader(&store.target)?, sql, params, tell);
        }
        let (answer, columns) = query_columns(self.connect(store)?, sql, params, tell)?;
        let Answer::Rows(rows, all) = answer else { return Ok(Vec::new()) };
        if all.count > rows.len() as u64 {
            return Err(SiteError::TooMany { count: all.count, most: SHOWN });
        }
        Ok(rows.into_iter().map(|row| columns.iter().cloned().zip(row).collect()).collect())
    }

    /// Asks and weighs; a probe with `within` asks again until it holds or the time is over. An error that stays is
    /// returned; one that goes away while waiting was none.
    pub fn judge(&self, probe: &Probe, tell: &Tell) -> Result<Judgement, SiteError> {
        let (clock, patience) = (Instant::now(), Duration::from_millis(probe.within_ms));
        loop {
            let judgement = self.judge_once(probe, tell);
            if matches!(&judgement, Ok(Judgement { holds: true, .. })) || clock.elapsed() >= patience {
                return judgement;
            }
            tell.go_on()?;
            let doing = format!("waiting until {}", probe.describe());
            tell.progress(&doing, clock.elapsed().as_secs(), Some(patience.as_secs()), Unit::Seconds);
            std::thread::sleep(PAUSE.min(patience.saturating_sub(clock.elapsed())));
        }
    }

    /// Asks once and weighs.
    pub fn judge_once(&self, probe: &Probe, tell: &Tell) -> Result<Judgement, SiteError> {
        if let (Ask::Table { .. }, Verdict::SameAs { other }) = (&probe.ask, &probe.verdict)
            && let Ask::Table { .. } = other.as_ref()
        {
            return self.compare_tables(&probe.ask, other, tell);
        }
        let answer = self.ask(&probe.ask, tell)?;
        let (one, mut details) = (answer.one(), Vec::new());
        let text = one.as_ref().and_then(Option::as_deref);
        let holds = match &probe.verdict {
            Verdict::Holds => match &answer {
                Answer::Json(values) => {
                    values.last().is_some_and(|value| !matches!(value, Value::Null | Value::Bool(false)))
                }
                other => !other.is_empty(),
            },
            Verdict::Is { any } => any.iter().any(|wanted| Some(plain(wanted)) == one),
            Verdict::None => {
                details = answer.lines();
                answer.is_empty()
            }
            Verdict::SameAs { other } => {
                let other = self.ask(other, tell)?;
                details = vec![format!("one says {}, the other {}", answer.seen(), other.seen())];
                same(&answer, &other)
            }
            Verdict::Matches { regex } => matches(regex, text)? == Some(true),
            // Where there is no text, nothing is proven of it.
            Verdict::Lacks { regex } => matches(regex, text)? == Some(false),
        };
        if holds {
            details.clear();
        }
        Ok(Judgement { holds, seen: brief(answer.seen()), details })
    }

    /// Reads a key of a config file. The value of a key that looks secret is an answer that is never shown.
    fn config(&self, target: &str, format: ConfigFormat, key: &str) -> Result<Answer, SiteError> {
        let wrong = |source| SiteError::Config { target: target.to_owned(), source };
        let value = format.editor().get(&self.read_file(target)?, key).map_err(wrong)?;
        Ok(match value {
            Some(value) if !value.is_null() && looks_secret(key) => {
                Answer::Secret(plain(&value).unwrap_or_default())
            }
            value => Answer::Json(vec![value.unwrap_or(Value::Null)]),
        })
    }

    /// Opens a store to look into it.
    pub fn connect(&self, store: &Store) -> Result<Connection, SiteError> {
        let database = self.database(&store.target)?;
        if store.backup {
            return Ok(open_immutable(&self.backup_of(&store.target))?);
        }
        Ok(database.open_read()?)
    }

    fn compare_tables(&self, here: &Ask, there: &Ask, tell: &Tell) -> Result<Judgement, SiteError> {
        match (here, there) {
            (
                Ask::Table { store: a, schema: None, table: table_a, columns },
                Ask::Table { store: b, schema: None, table: table_b, .. },
            ) => self.compare((a, table_a), (b, table_b), columns, tell),
            (
                Ask::Table { store: a, schema: Some(schema_a), table: table_a, columns },
                Ask::Table { store: b, schema: Some(schema_b), table: table_b, .. },
            ) => {
                let (here, there) =
                    ((a, schema_a.as_str(), table_a.as_str()), (b, schema_b.as_str(), table_b.as_str()));
                self.compare_schemas_tables(here, there, columns, tell)
            }
            _ => Err(SiteError::Missing {
                what: "a way to compare tables of two kinds of databases".to_owned(),
            }),
        }
    }

    fn compare(
        &self,
        (store_a, table_a): (&Store, &str),
        (store_b, table_b): (&Store, &str),
        columns: &BTreeMap<String, String>,
        tell: &Tell,
    ) -> Result<Judgement, SiteError> {
        let (a, b) = (self.connect(store_a)?, self.connect(store_b)?);
        let pairs = pairs(&a, table_a, &b, table_b, columns)?;
        let comparison = crate::sqlite::compare_tables(&a, table_a, &b, table_b, &pairs, None, tell)?;
        let rows = switchback_model::words::count(comparison.rows_a, "row");
        let seen = if comparison.equal {
            format!("{rows} equal")
        } else {
            format!("{rows} here, {} there", comparison.rows_b)
        };
        let details = comparison.samples.iter().map(ToString::to_string).collect();
        Ok(Judgement { holds: comparison.equal, seen, details })
    }
}

/// Columns of one table paired with those of the other: the named ones, and with `*` every other by its own name.
fn pairs(
    a: &Connection,
    table_a: &str,
    b: &Connection,
    table_b: &str,
    columns: &BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, SiteError> {
    let names = |connection: &Connection, table: &str| -> Result<Vec<String>, SiteError> {
        let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1) ORDER BY cid")?;
        let rows = statement.query_map([table], |row| row.get(0))?;
        Ok(rows.collect::<Result<Vec<String>, _>>()?)
    };
    paired((table_a, &names(a, table_a)?), (table_b, &names(b, table_b)?), columns)
}

/// What was seen goes into the journal and onto a line: of a whole document the beginning is enough.
fn brief(seen: String) -> String {
    match seen.char_indices().nth(SEEN) {
        Some((end, _)) => format!("{}…", &seen[..end]),
        None => seen,
    }
}

/// Pairs the named columns, and with `*` every other by its own name.
pub(crate) fn paired(
    (table_a, here): (&str, &[String]),
    (table_b, there): (&str, &[String]),
    columns: &BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, SiteError> {
    for (table, found) in [(table_a, here), (table_b, there)] {
        if found.is_empty() {
            return Err(SiteError::Missing { what: format!("table `{table}`") });
        }
    }
    let mut pairs: Vec<(String, String)> = columns
        .iter()
        .filter(|(name, _)| *name != "*")
        .map(|(name, other)| (name.clone(), other.clone()))
        .collect();
    if columns.contains_key("*") {
        let rest: Vec<_> =
            here.iter().filter(|name| !pairs.iter().any(|(a, _)| a == *name)).cloned().collect();
        pairs.extend(rest.into_iter().map(|name| (name.clone(), name)));
        // `*` claims the whole table: a column that is on one side only is a difference, not an omission.
        if let Some(only) = there.iter().find(|name| !pairs.iter().any(|(_, b)| b == *name)) {
            return Err(SiteError::Missing {
                what: format!("column `{only}` of `{table_b}` in `{table_a}`"),
            });
        }
    }
    Ok(pairs)
}

/// Two answers that say nothing are not the same: an equality must rest on something.
fn same(one: &Answer, other: &Answer) -> bool {
    match (one, other) {
        (Answer::Rows(_, a), Answer::Rows(_, b)) => a == b,
        (Answer::Json(a), Answer::Json(b)) if a.len() > 1 => a == b,
        (a, b) => a.scalar().is_some_and(|text| Some(text) == b.scalar()),
    }
}

fn matches(regex: &str, text: Option<&str>) -> Result<Option<bool>, SiteError> {
    let regex = regex::Regex::new(regex).map_err(|e| SiteError::Missing { what: e.to_string() })?;
    Ok(text.map(|text| regex.is_match(text)))
}

/// Runs one statement that reads, until a stop is asked for.
fn query(
    connection: Connection,
    sql: &str,
    params: &BTreeMap<String, Value>,
    tell: &Tell,
) -> Result<Answer, SiteError> {
    query_columns(connection, sql, params, tell).map(|(answer, _)| answer)
}

/// Runs one statement that reads, and returns the names of its columns beside the answer.
fn query_columns(
    mut connection: Connection,
    sql: &str,
    params: &BTreeMap<String, Value>,
    tell: &Tell,
) -> Result<(Answer, Vec<String>), SiteError> {
    let stop = tell.stop_flag();
    connection.progress_handler(TICK, Some(move || stop.load(Ordering::Relaxed)))?;
    let answer = read(&connection, sql, params);
    match (&answer, tell.go_on()) {
        (Err(SiteError::Sql(_)), Err(halt)) => Err(halt.into()),
        _ => answer,
    }
}

fn read(
    connection: &Connection,
    sql: &str,
    params: &BTreeMap<String, Value>,
) -> Result<(Answer, Vec<String>), SiteError> {
    let mut statement = connection.prepare(sql)?;
    if !statement.readonly() {
        return Err(SiteError::NotReadOnly { sql: sql.to_owned() });
    }
    let columns = statement.column_count();
    let names = statement.column_names().map(str::to_owned).collect();
    for index in 1..=statement.parameter_count() {
        let name = statement.parameter_name(index).and_then(|name| name.get(1..)).unwrap_or("?").to_owned();
        // An unbound parameter would be NULL, and a question that compares with NULL finds nothing wrong.
        let value = params.get(&name).ok_or(SiteError::Parameter { name })?;
        statement.raw_bind_parameter(index, crate::sqlite::script::cell(value))?;
    }
    let mut rows = statement.raw_query();
    let (mut kept, mut count) = (Vec::new(), 0);
    let (mut all, mut hasher) = (blake3::Hasher::new(), RowHasher::new());
    while let Some(row) = rows.next()? {
        count += 1;
        for i in 0..columns {
            hasher.cell(crate::sqlite::scan::cell(row.get_ref(i)?));
        }
        all.update(&hasher.finish().0);
        if kept.len() < SHOWN {
            let cells = (0..columns).map(|i| Ok(cell(row.get_ref(i)?)));
            kept.push(cells.collect::<Result<Vec<Value>, rusqlite::Error>>()?);
        }
    }
    let digest = Digest(*all.finalize().as_bytes());
    Ok((Answer::Rows(kept, AllRows { count, digest }), names))
}

fn cell(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => json!(number),
        ValueRef::Real(number) => json!(number),
        ValueRef::Text(text) => Value::String(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => {
            Value::String(format!("a blob of {}", switchback_model::words::bytes(bytes.len() as u64)))
        }
    }
}

/// The database behind a path, with the patience that probes have.
pub(crate) fn patient(path: &str) -> Database {
    Database::new(path).busy_timeout(Duration::from_secs(5))
}
