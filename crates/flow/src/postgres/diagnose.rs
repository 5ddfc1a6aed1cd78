//! Which value it was: an error of a whole statement is led back to a row and a column.

use postgres::{Client, Transaction};

use super::execute::Sessions;
use super::parts::{Blocks, Part};
use super::resolve::{Filled, Plan, Resolved, Value};
use super::text::{self, Cast, Constants};
use crate::error::FlowError;

/// Adds what can be found out about an error of a part. Whatever fails on the way, the error itself is not lost.
pub(super) fn explain(plan: &Plan, sessions: &mut Sessions, part: &Part, error: FlowError) -> FlowError {
    let Some(job) = plan.moves.get(part.number) else { return error };
    let Some(server) = error.database() else { return error };
    // Class 22 is "data exception": a value that does not fit. Others name their row themselves.
    let bad_value = server.code().code().starts_with("22");
    let (reason, line) = (server.message().to_owned(), server.where_().and_then(line));
    let found = match &mut sessions.source {
        None if bad_value => search(&mut sessions.target, job, part, &reason),
        Some((source, snapshot)) => {
            // A failed statement of the source ended its transaction.
            let _ = super::execute::read_from(source, snapshot);
            line.and_then(|(line, column)| at_line(source, job, part, line, column, &reason))
        }
        None => None,
    };
    found.unwrap_or(error)
}

fn cell(job: &Resolved, row: String, column: &str, value: Option<String>, reason: &str) -> FlowError {
    FlowError::Cell {
        from: job.from.name.describe(),
        to: job.to.name.describe(),
        row,
        column: column.to_owned(),
        value,
        reason: reason.to_owned(),
    }
}

/// Searches within one database: the column by inserting each alone, the row by halving.
fn search(client: &mut Client, job: &Resolved, part: &Part, reason: &str) -> Option<FlowError> {
    // Never committed.
    let mut transaction = client.transaction().ok()?;
    for filled in job.columns.iter().filter(|filled| !matches!(filled.value, Value::Lookup(_))) {
        let mut alone = Alone { transaction: &mut transaction, job, filled, number: 0 };
        alone.prepare()?;
        if !alone.fails(part.blocks, None) {
            continue;
        }
        let row = alone.row(part.blocks);
        let (key, value) = row.map_or((String::new(), None), |row| alone.show(&row));
        return Some(cell(job, key, &filled.column.name, value, reason));
    }
    None
}

/// One column, put into a temporary table that has only this column.
struct Alone<'a, 'b> {
    transaction: &'a mut Transaction<'b>,
    job: &'a Resolved,
    filled: &'a Filled,
    number: usize,
}

impl Alone<'_, '_> {
    fn prepare(&mut self) -> Option<()> {
        self.number = self.job.columns.iter().position(|filled| std::ptr::eq(filled, self.filled))?;
        let sql = format!(
            "CREATE TEMPORARY TABLE switchback_cell_{} (v {}) ON COMMIT DROP",
            self.number, self.filled.column.full_type
        );
        self.transaction.batch_execute(&sql).ok()
    }

    fn rows(&self, blocks: Option<Blocks>, row: Option<&str>) -> Option<String> {
        let mut conditions: Vec<String> =
            self.job.filter.iter().map(|filter| format!("({filter}\n)")).collect();
        conditions.extend(text::within(blocks));
        conditions.extend(row.map(|row| format!("s.ctid = '{row}'::tid")));
        let condition =
            if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
        Some(format!("FROM {} s {condition}", text::only(&self.job.from).ok()?))
    }

    fn fails(&mut self, blocks: Option<Blocks>, row: Option<&str>) -> bool {
        let Some(rows) = self.rows(blocks, row) else { return false };
        let Ok(value) = text::value(self.filled, Cast::Assignment, &mut Constants::Literal) else {
            return false;
        };
        let sql = format!("INSERT INTO pg_temp.switchback_cell_{} SELECT {value} {rows}", self.number);
        let Ok(mut inner) = self.transaction.transaction() else { return false };
        let failed = inner.batch_execute(&sql).is_err();
        let _ = inner.rollback();
        failed
    }

    /// Halves the blocks until one is left, then tries its rows.
    fn row(&mut self, blocks: Option<Blocks>) -> Option<String> {
        if !self.job.from.has_blocks() {
            return None;
        }
        let (mut low, end) = blocks.unwrap_or((0, None));
        let mut high = end.unwrap_or(self.job.from.blocks.max(low + 1));
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.fails(Some((low, Some(middle))), None) { high = middle } else { low = middle }
        }
        let sql = format!("SELECT s.ctid::text {}", self.rows(Some((low, Some(low + 1))), None)?);
        let rows: Vec<String> =
            self.transaction.query(&sql, &[]).ok()?.iter().map(|row| row.get(0)).collect();
        rows.into_iter().find(|row| self.fails(None, Some(row)))
    }

    /// The row's key and the value as text.
    fn show(&mut self, row: &str) -> (String, Option<String>) {
        let rows = self.rows(None, Some(row)).unwrap_or_default();
        let mut ask = |sql: String| -> Option<String> {
            let mut inner = self.transaction.transaction().ok()?;
            let answer = inner.query_opt(&sql, &[]).ok().flatten().and_then(|row| row.get(0));
            let _ = inner.rollback();
            answer
        };
        let key = key(self.job).and_then(|key| ask(format!("SELECT {key} {rows}")));
        let value = match &self.filled.value {
            // The expression itself may be what fails; what it was made from is not known.
            Value::Column(_) | Value::Expression(_) => {
                text::value(self.filled, Cast::Assignment, &mut Constants::Literal).ok()
            }
            _ => None,
        };
        let value = value.and_then(|value| ask(format!("SELECT ({value})::text {rows}")));
        (key.unwrap_or_default(), value)
    }
}

/// The primary key of a source row as one text.
fn key(job: &Resolved) -> Option<String> {
    let mut parts = Vec::new();
    for name in &job.from.primary {
        let label = switchback_site::postgres::names::literal(&format!("{name} = ")).ok()?;
        parts.push(format!("{label}, s.{}::text", text::column(name).ok()?));
    }
    if parts.is_empty() {
        Some("'ctid = ' || s.ctid::text".to_owned())
    } else {
        Some(format!("concat({})", parts.join(", ', ', ")))
    }
}

/// Reads `COPY table, line 12, column x` (the column is not always there).
fn line(place: &str) -> Option<(u64, Option<String>)> {
    let rest = &place[place.rfind(", line ")? + ", line ".len()..];
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let column = rest
        .split_once(", column ")
        .map(|(_, column)| column.split(':').next().unwrap_or_default().to_owned());
    Some((digits.parse().ok()?, column))
}

/// Finds the row of a stream again: the same statement on the same snapshot gives the same order.
fn at_line(
    source: &mut Client,
    job: &Resolved,
    part: &Part,
    line: u64,
    column: Option<String>,
    reason: &str,
) -> Option<FlowError> {
    let column = column?;
    let filled = job.columns.iter().find(|filled| filled.column.name == column)?;
    let value = text::value(filled, Cast::Assignment, &mut Constants::Literal).ok()?;
    let mut conditions: Vec<String> = job.filter.iter().map(|filter| format!("({filter}\n)")).collect();
    conditions.extend(text::within(part.blocks));
    let condition =
        if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
    let sql = format!(
        "SELECT {}, ({value})::text FROM {} s {condition} OFFSET {} LIMIT 1",
        key(job)?,
        text::only(&job.from).ok()?,
        line.saturating_sub(1)
    );
    let row = source.query_opt(&sql, &[]).ok().flatten()?;
    let key: Option<String> = row.get(0);
    Some(cell(job, key.unwrap_or_default(), &column, row.get(1), reason))
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn the_place_in_a_stream_is_read() {
        assert_eq!(line("COPY t, line 12, column x"), Some((12, Some("x".to_owned()))));
        assert_eq!(line("COPY a, line b, line 3"), Some((3, None)));
        assert_eq!(line("COPY t, line 1, column x: \"abc\""), Some((1, Some("x".to_owned()))));
        assert_eq!(line("SQL function f"), None);
    }
}
