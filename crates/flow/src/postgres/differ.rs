//! Which rows differ: both ends sorted by key, and merged.

use std::cmp::Ordering;
use std::io::BufRead;

use switchback_site::postgres::{Access, CopyReader, Database};
use switchback_site::tell::Tell;

use super::resolve::{Resolved, resolve};
use super::session::{Watch, open, same_database};
use super::{pipe, text};
use crate::end::{Difference, Differs};
use crate::error::FlowError;
use crate::job::{TableMove, TableName};

type Row = Vec<Option<Vec<u8>>>;

/// See [`crate::run::differing`].
pub fn differing(
    table: &TableName,
    moves: &[TableMove],
    from: &Database,
    to: &Database,
    limit: usize,
    tell: &Tell,
) -> Result<Vec<Difference>, FlowError> {
    let name = "switchback comparison";
    let mut held = open(to, name, Access::ReadOnly)?;
    let mut source = open(from, name, Access::ReadOnly)?;
    let same = same_database(&mut source, &mut held)?;
    let moves: Vec<TableMove> = moves.iter().filter(|job| job.to == *table).cloned().collect();
    let plan = resolve(&moves, &mut source, &mut held, same)?;
    let Some(first) = plan.moves.first() else { return Ok(Vec::new()) };
    let order = Order::of(first);
    let watch = Watch::default();
    let reading = || format!("compare {}", table.describe());
    let doing = || FlowError::server(reading());
    // What the sources say is put together where it can be sorted: in the target when rows are looked up there.
    let staging = !same && plan.moves.iter().any(|job| !job.lookups.is_empty());
    let mut stage = if staging { Some(open(to, name, Access::ReadWrite)?) } else { None };
    [&held, &source].into_iter().chain(stage.as_ref()).for_each(|client| watch.add(client));
    watch.over(tell, || {
        let right = order.sorted(&text::held(first, None, as_text)?);
        let mut selects = Vec::new();
        let result = match &mut stage {
            None => {
                for job in &plan.moves {
                    selects.push(text::expected(job, &text::only(&job.from)?, None, (true, !same), as_text)?);
                }
                let left = source.copy_out(&order.sorted(&selects.join(" UNION ALL "))).map_err(doing())?;
                let right = held.copy_out(&right).map_err(doing())?;
                order.merge(left, right, limit, &reading(), tell)
            }
            Some(client) => {
                let mut transaction = client.transaction().map_err(doing())?;
                for (number, job) in plan.moves.iter().enumerate() {
                    let name = format!("switchback_{number}");
                    let staged = pipe::stage_rows(&mut transaction, &mut source, job, None, &name, tell)?;
                    selects.push(text::expected(
                        &staged,
                        &format!("pg_temp.{name}"),
                        None,
                        (false, false),
                        as_text,
                    )?);
                }
                let left =
                    transaction.copy_out(&order.sorted(&selects.join(" UNION ALL "))).map_err(doing())?;
                let right = held.copy_out(&right).map_err(doing())?;
                order.merge(left, right, limit, &reading(), tell)
            }
        };
        // The rest of the streams is of no interest.
        if result.as_ref().is_ok_and(|found| found.len() >= limit) {
            watch.cancel();
        }
        result
    })
}

fn as_text(_: &super::resolve::Filled, sql: String) -> String {
    format!("({sql})::text")
}

/// The columns, and which of them are the key.
struct Order {
    table: TableName,
    names: Vec<String>,
    key: Vec<usize>,
}

impl Order {
    fn of(job: &Resolved) -> Order {
        let names: Vec<String> = job.columns.iter().map(|filled| filled.column.name.clone()).collect();
        let place = |name: &String| names.iter().position(|other| other == name);
        // A key that the database gave by itself says nothing about the source.
        let key: Option<Vec<usize>> = job.to.primary.iter().map(place).collect();
        let key = key.filter(|key| !key.is_empty()).unwrap_or_else(|| (0..names.len()).collect());
        Order { table: job.to.name.clone(), names, key }
    }

    /// Sorts by the bytes of the key as text, which is one order everywhere.
    fn sorted(&self, select: &str) -> String {
        let names: Vec<String> = (0..self.names.len()).map(|number| format!("c{number}")).collect();
        let key: Vec<String> = self.key.iter().map(|number| format!("c{number} COLLATE \"C\"")).collect();
        format!(
            "COPY (SELECT * FROM ({select}) q({}) ORDER BY {}) TO STDOUT (FORMAT binary)",
            names.join(", "),
            key.join(", ")
        )
    }

    fn merge(
        &self,
        left: impl BufRead,
        right: impl BufRead,
        limit: usize,
        doing: &str,
        tell: &Tell,
    ) -> Result<Vec<Difference>, FlowError> {
        let read = || FlowError::read(doing.to_owned());
        let mut left = CopyReader::new(left).map_err(read())?;
        let mut right = CopyReader::new(right).map_err(read())?;
        let (mut here, mut there) = (next(&mut left, doing)?, next(&mut right, doing)?);
        let mut found = Vec::new();
        while found.len() < limit {
            tell.go_on()?;
            let order = match (&here, &there) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(here), Some(there)) => self.compare(here, there),
            };
            let how = match order {
                Ordering::Less => here.as_ref().map(|row| (row, Differs::Missing)),
                Ordering::Greater => there.as_ref().map(|row| (row, Differs::Unexpected)),
                Ordering::Equal => here.as_ref().zip(there.as_ref()).and_then(|(here, there)| {
                    let changed = self.changed(here, there);
                    (!changed.is_empty()).then_some((here, Differs::Changed(changed)))
                }),
            };
            if let Some((row, how)) = how {
                found.push(Difference { table: self.table.clone(), key: self.key_of(row), how });
            }
            if order != Ordering::Greater {
                here = next(&mut left, doing)?;
            }
            if order != Ordering::Less {
                there = next(&mut right, doing)?;
            }
        }
        Ok(found)
    }

    fn compare(&self, here: &Row, there: &Row) -> Ordering {
        let mut pairs = self.key.iter().map(|number| match (&here[*number], &there[*number]) {
            // As the server sorts: NULL last.
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(here), Some(there)) => here.cmp(there),
        });
        pairs.find(|order| *order != Ordering::Equal).unwrap_or(Ordering::Equal)
    }

    fn changed(&self, here: &Row, there: &Row) -> Vec<(String, Option<String>, Option<String>)> {
        let pairs = self.names.iter().zip(here.iter().zip(there));
        pairs
            .filter(|(_, (here, there))| here != there)
            .map(|(name, (here, there))| (name.clone(), shown(here), shown(there)))
            .collect()
    }

    fn key_of(&self, row: &Row) -> Vec<(String, Option<String>)> {
        self.key.iter().map(|number| (self.names[*number].clone(), shown(&row[*number]))).collect()
    }
}

fn shown(value: &Option<Vec<u8>>) -> Option<String> {
    value.as_ref().map(|value| String::from_utf8_lossy(value).into_owned())
}

fn next<R: BufRead>(reader: &mut CopyReader<R>, doing: &str) -> Result<Option<Row>, FlowError> {
    let row = reader.next_row().map_err(FlowError::read(doing.to_owned()))?;
    Ok(row.map(|row| row.fields().map(|field| field.map(<[u8]>::to_vec)).collect()))
}
