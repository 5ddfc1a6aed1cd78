//! Proof: what the sources say against what the target holds, and which rows differ.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use switchback_model::digest::{Digest, TableDigest};
use switchback_site::tell::{Tell, Unit};

use super::hand::Hand;
use super::lane::{Fill, Lane, Order};
use super::plan::lanes;
use super::run::{begin, cursor_of, each_piece};
use super::wire::{fields, rows};
use super::{postgres_shape, sqlite_shape};
use crate::cell::{Affinity, show};
use crate::end::{CursorKey, Difference, Differs, End, Options, TableProof};
use crate::error::FlowError;
use crate::job::{TableMove, TableName};

/// Into how many parts rows are divided by their keys when the differing ones are looked for.
const PARTS: usize = 4096;
/// How many bytes of rows are held while the differing ones are named.
const HELD: usize = 32 * 1024 * 1024;

/// Compares both ends, which are read at the same time; see [`crate::prove`].
pub fn prove(
    moves: &[TableMove],
    from: &End,
    to: &End,
    _options: Options,
    tell: &Tell,
) -> Result<Vec<TableProof>, FlowError> {
    let (mut source, mut target) = (Hand::reader(from, "switchback")?, Hand::reader(to, "switchback")?);
    let lanes = lanes(moves, &mut source, &mut target)?;
    begin(&mut source)?;
    begin(&mut target)?;
    let (said, held) = std::thread::scope(|scope| {
        let said = scope.spawn(|| sums(&mut source, &lanes, tell));
        let held = holds(&mut target, &lanes, tell);
        let said = said.join().unwrap_or_else(|_| Err(FlowError::Bug("a reader died".to_owned())));
        Ok::<_, FlowError>((said?, held?))
    })?;
    Ok(verdicts(&said, &held))
}

/// Compares what passed through [`super::run()`] with what the target holds: one scan of the target. Tells nothing of a
/// source that changed since.
pub fn read_back(
    moves: &[TableMove],
    from: &End,
    to: &End,
    key: &CursorKey,
    tell: &Tell,
) -> Result<Vec<TableProof>, FlowError> {
    let (mut source, mut target) = (Hand::reader(from, "switchback")?, Hand::reader(to, "switchback")?);
    let lanes = lanes(moves, &mut source, &mut target)?;
    let mut said: BTreeMap<TableName, TableDigest> = BTreeMap::new();
    for lane in &lanes {
        said.entry(lane.to.clone()).or_default().merge(&cursor_of(&mut target, lane, key)?.moved);
    }
    begin(&mut target)?;
    let held = holds(&mut target, &lanes, tell)?;
    Ok(verdicts(&said, &held))
}

/// Names up to `limit` differing rows of a table; see [`crate::differing`]. Memory does not depend on the number of rows:
/// digests of 4,096 parts are compared first, then the rows of parts that differ.
pub fn differing(
    table: &TableName,
    moves: &[TableMove],
    from: &End,
    to: &End,
    limit: usize,
    tell: &Tell,
) -> Result<Vec<Difference>, FlowError> {
    let (mut source, mut target) = (Hand::reader(from, "switchback")?, Hand::reader(to, "switchback")?);
    let lanes: Vec<Lane> =
        lanes(moves, &mut source, &mut target)?.into_iter().filter(|lane| lane.to == *table).collect();
    let Some(first) = lanes.first() else { return Ok(Vec::new()) };
    begin(&mut source)?;
    begin(&mut target)?;
    let back = inverted(&mut target, first)?;
    let (mut here, mut there) = (vec![TableDigest::default(); PARTS], vec![TableDigest::default(); PARTS]);
    for lane in &lanes {
        each_row(&mut source, lane, tell, &mut |row| here[part(lane, row)].add_row(&Digest::of(row)))?;
    }
    each_row(&mut target, &back, tell, &mut |row| there[part(&back, row)].add_row(&Digest::of(row)))?;
    let differing: BTreeSet<usize> = (0..PARTS).filter(|at| here[*at] != there[*at]).take(limit).collect();
    if differing.is_empty() {
        return Ok(Vec::new());
    }
    let mut held: HashMap<Vec<u8>, Vec<Vec<u8>>> = HashMap::new();
    let mut size = 0;
    for lane in &lanes {
        each_row(&mut source, lane, tell, &mut |row| {
            if differing.contains(&part(lane, row)) && size < HELD {
                size += row.len();
                held.entry(key(lane, row)).or_default().push(row.to_vec());
            }
        })?;
    }
    let mut found = Vec::new();
    let whole = size < HELD;
    each_row(&mut target, &back, tell, &mut |row| {
        if found.len() >= limit || !differing.contains(&part(&back, row)) {
            return;
        }
        let wanted = held.entry(key(&back, row)).or_default();
        if let Some(at) = wanted.iter().position(|wanted| wanted == row) {
            wanted.swap_remove(at);
        } else if let Some(wanted) = wanted.pop() {
            found.push(Difference { how: changed(first, &wanted, row), ..named(first, row) });
        } else if whole {
            found.push(named(first, row));
        }
    })?;
    let missing =
        held.values().flatten().map(|row| Difference { how: Differs::Missing, ..named(first, row) });
    let room = limit.saturating_sub(found.len());
    found.extend(missing.take(room));
    Ok(found)
}

/// The digests of what the sources say, by table of the target.
fn sums(
    source: &mut Hand,
    lanes: &[Lane],
    tell: &Tell,
) -> Result<BTreeMap<TableName, TableDigest>, FlowError> {
    let mut sums: BTreeMap<TableName, TableDigest> = BTreeMap::new();
    for lane in lanes {
        let digest = digest(source, lane, tell)?;
        sums.entry(lane.to.clone()).or_default().merge(&digest);
    }
    Ok(sums)
}

/// The digests of what the target holds; every table is read once, however many moves fill it.
fn holds(
    target: &mut Hand,
    lanes: &[Lane],
    tell: &Tell,
) -> Result<BTreeMap<TableName, TableDigest>, FlowError> {
    let mut held = BTreeMap::new();
    for lane in lanes {
        if !held.contains_key(&lane.to) {
            let back = inverted(target, lane)?;
            held.insert(lane.to.clone(), digest(target, &back, tell)?);
        }
    }
    Ok(held)
}

fn verdicts(
    said: &BTreeMap<TableName, TableDigest>,
    held: &BTreeMap<TableName, TableDigest>,
) -> Vec<TableProof> {
    let verdict = |(table, source): (&TableName, &TableDigest)| {
        let target = held.get(table).copied().unwrap_or_default();
        TableProof { table: table.clone(), source: *source, target, dropped: 0, equal: *source == target }
    };
    said.iter().map(verdict).collect()
}

fn digest(hand: &mut Hand, lane: &Lane, tell: &Tell) -> Result<TableDigest, FlowError> {
    let mut sum = TableDigest::default();
    let doing = format!("proving {}", lane.from.describe());
    each_piece(hand, lane, None, tell, &mut |piece| {
        sum.merge(&piece.digest);
        let total = piece.share.filter(|share| *share > 0.0).map(|share| (sum.rows as f64 / share) as u64);
        tell.progress(&doing, sum.rows, total, Unit::Rows);
        Ok(true)
    })?;
    Ok(sum)
}

fn each_row(
    hand: &mut Hand,
    lane: &Lane,
    tell: &Tell,
    visit: &mut dyn FnMut(&[u8]),
) -> Result<(), FlowError> {
    each_piece(hand, lane, None, tell, &mut |piece| {
        rows(&piece.bytes).for_each(&mut *visit);
        Ok(true)
    })
}

/// The lane that reads the target's table as the lane fills it.
fn inverted(target: &mut Hand, lane: &Lane) -> Result<Lane, FlowError> {
    let mut back = lane.clone();
    back.from = lane.to.clone();
    back.filter = None;
    back.lenient = true;
    for column in &mut back.columns {
        column.fill = Fill::Sql(format!("s.{}", target.quote(&column.name)?));
        column.not_null = false;
        column.affinity = Affinity::Blob;
    }
    let gone = || FlowError::Refused(vec![format!("{} is gone", lane.to.describe())]);
    (back.order, back.reads) = match target {
        Hand::Sqlite(connection) => {
            let shape = sqlite_shape::shape(connection, &lane.to)?.ok_or_else(gone)?;
            let order = if shape.order.is_empty() { Order::None } else { Order::Key(shape.order) };
            (order, format!("{} AS s", lane.writes))
        }
        Hand::Postgres(client) => {
            let shape = postgres_shape::shape(client, &lane.to)?.ok_or_else(gone)?;
            match shape.heap {
                Some((blocks, file)) => {
                    (Order::Blocks { blocks, file }, format!("ONLY {} AS s", lane.writes))
                }
                None => (Order::None, format!("{} AS s", lane.writes)),
            }
        }
    };
    Ok(back)
}

/// The columns that name a row: the primary key, or all of them.
fn naming(lane: &Lane) -> Vec<usize> {
    if lane.key.is_empty() { (0..lane.columns.len()).collect() } else { lane.key.clone() }
}

fn key(lane: &Lane, row: &[u8]) -> Vec<u8> {
    let all: Vec<Option<&[u8]>> = fields(row).collect();
    let mut key = Vec::new();
    for at in naming(lane) {
        super::wire::put_field(&mut key, all.get(at).copied().flatten());
    }
    key
}

fn part(lane: &Lane, row: &[u8]) -> usize {
    let digest = Digest::of(&key(lane, row));
    usize::from(u16::from_le_bytes([digest.0[0], digest.0[1]])) % PARTS
}

/// A row of the target that no source has, until somebody says otherwise.
fn named(lane: &Lane, row: &[u8]) -> Difference {
    let all: Vec<Option<&[u8]>> = fields(row).collect();
    let value = |at: usize| {
        let column = &lane.columns[at];
        (column.name.clone(), show(&column.kind, all.get(at).copied().flatten()))
    };
    Difference {
        table: lane.to.clone(),
        key: naming(lane).into_iter().map(value).collect(),
        how: Differs::Unexpected,
    }
}

fn changed(lane: &Lane, wanted: &[u8], found: &[u8]) -> Differs {
    let pairs = lane.columns.iter().zip(fields(wanted).zip(fields(found)));
    let differing = pairs.filter(|(_, (one, other))| one != other);
    let shown = differing.map(|(column, (one, other))| {
        (column.name.clone(), show(&column.kind, one), show(&column.kind, other))
    });
    Differs::Changed(shown.collect())
}
