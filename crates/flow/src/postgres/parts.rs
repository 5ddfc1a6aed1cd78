//! How a move is cut into parts: small tables whole, large ones by ranges of blocks.

use std::collections::BTreeMap;

use super::catalog::Table;
use super::cursor::Done;

/// Blocks of a part: 32 MiB of heap where a block is 8 KiB. Small enough to be lost without pain, large enough for the
/// cost of a transaction not to show.
const STRIDE: u64 = 4096;

/// A range of blocks: from the first to before the second, or to the end.
pub(super) type Blocks = (u64, Option<u64>);

/// A part of a move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// The number of the move.
    pub number: usize,
    /// `None` for the whole table.
    pub blocks: Option<Blocks>,
    /// About how many bytes it is.
    pub bytes: u64,
}

impl Part {
    /// The name under which its cursor stands.
    pub fn name(&self) -> String {
        match self.blocks {
            None => self.number.to_string(),
            Some((from, Some(to))) => format!("{} {from}-{to}", self.number),
            Some((from, None)) => format!("{} {from}-", self.number),
        }
    }
}

/// Cuts a move into the parts that are not `done`, whatever the length of the parts of an earlier life was. `whole`: it
/// must not be cut.
pub(super) fn parts(
    number: usize,
    table: &Table,
    whole: bool,
    ranges: bool,
    done: &BTreeMap<String, Done>,
) -> Vec<Part> {
    if done.contains_key(&number.to_string()) {
        return Vec::new();
    }
    let earlier = earlier(number, done);
    let cut = !whole && ranges && table.has_blocks() && table.blocks > STRIDE;
    if !cut && earlier.is_empty() {
        return vec![Part { number, blocks: None, bytes: table.bytes }];
    }
    let bytes =
        |blocks: u64| (u128::from(table.bytes) * u128::from(blocks) / u128::from(table.blocks.max(1))) as u64;
    let mut parts = Vec::new();
    for (mut from, to) in gaps(&earlier) {
        // The last part has no end: rows in blocks that came after the size was read are in it.
        let end = to.unwrap_or(table.blocks);
        while end.saturating_sub(from) > STRIDE {
            parts.push(Part { number, blocks: Some((from, Some(from + STRIDE))), bytes: bytes(STRIDE) });
            from += STRIDE;
        }
        parts.push(Part { number, blocks: Some((from, to)), bytes: bytes(end.saturating_sub(from)) });
    }
    parts
}

/// The ranges of a move that are in.
fn earlier(number: usize, done: &BTreeMap<String, Done>) -> Vec<Blocks> {
    let prefix = format!("{number} ");
    let range = |name: &String| {
        let (from, to) = name.strip_prefix(&prefix)?.split_once('-')?;
        let to = if to.is_empty() { None } else { Some(to.parse().ok()?) };
        Some((from.parse().ok()?, to))
    };
    let mut ranges: Vec<Blocks> = done.keys().filter_map(range).collect();
    ranges.sort_unstable();
    ranges
}

/// What lies between ranges, which are in order.
fn gaps(ranges: &[Blocks]) -> Vec<Blocks> {
    let (mut at, mut gaps) = (0, Vec::new());
    for (from, to) in ranges {
        if *from > at {
            gaps.push((at, Some(*from)));
        }
        match to {
            Some(to) => at = at.max(*to),
            None => return gaps,
        }
    }
    gaps.push((at, None));
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::TableName;

    fn table(blocks: u64) -> Table {
        Table {
            oid: 1,
            name: TableName { schema: None, table: "t".to_owned() },
            kind: 'r',
            blocks,
            bytes: blocks * 8192,
            rows: None,
            columns: vec![],
            primary: vec![],
            reactions: vec![],
            foreign: vec![],
        }
    }

    fn names(table: &Table, done: &[&str]) -> Vec<String> {
        let done = done.iter().map(|name| ((*name).to_owned(), Done { rows: 0, dropped: 0 })).collect();
        parts(7, table, false, true, &done).iter().map(Part::name).collect()
    }

    #[test]
    fn small_tables_are_whole_and_large_ones_cut() {
        assert_eq!(names(&table(0), &[]), ["7"]);
        assert_eq!(names(&table(4096), &[]), ["7"]);
        assert_eq!(names(&table(10_000), &[]), ["7 0-4096", "7 4096-8192", "7 8192-"]);
        assert!(names(&table(10_000), &["7"]).is_empty());
    }

    #[test]
    fn what_is_done_is_left_out_however_it_was_cut() {
        let done = ["7 0-3", "7 5-4096", "7 9000-", "17 0-", "70 0-"];
        assert_eq!(names(&table(10_000), &done), ["7 3-5", "7 4096-8192", "7 8192-9000"]);
        assert!(names(&table(5), &["7 0-3", "7 3-"]).is_empty());
        assert_eq!(names(&table(5), &["7 0-3"]), ["7 3-"]);
    }
}
