//! What two states are compared by: the digest of bytes, of a row of typed values, and of a table.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A BLAKE3 digest, written as 64 lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Returns the digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(*blake3::hash(bytes).as_bytes())
    }

    /// Returns the first 12 digits, enough for a person to tell two apart.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }

    /// Adds `other` as a 256-bit little-endian number; what overflows is dropped.
    fn add(&mut self, other: &Digest) {
        let mut carry = false;
        for (mine, theirs) in self.0.chunks_exact_mut(8).zip(other.0.chunks_exact(8)) {
            let (mut left, mut right) = ([0u8; 8], [0u8; 8]);
            left.copy_from_slice(mine);
            right.copy_from_slice(theirs);
            let (sum, over) = u64::from_le_bytes(left).overflowing_add(u64::from_le_bytes(right));
            let (sum, over_again) = sum.overflowing_add(u64::from(carry));
            carry = over || over_again;
            mine.copy_from_slice(&sum.to_le_bytes());
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// The reason why a text is no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("read a digest: it must be 64 lowercase hexadecimal digits")]
pub struct NotADigest;

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Digest, NotADigest> {
        // One spelling only: a digest is also a name, and two spellings would be two names for one thing.
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(NotADigest),
        };
        let text = text.as_bytes();
        if text.len() != 64 {
            return Err(NotADigest);
        }
        let mut bytes = [0u8; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Digest(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// One value with its storage class. Text is bytes: what a database holds as text need not be UTF-8.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// No value.
    Null,
    /// A whole number.
    Integer(i64),
    /// A floating-point number, compared by its bits.
    Real(f64),
    /// Text, NUL bytes and invalid UTF-8 included.
    Text(&'a [u8]),
    /// Bytes.
    Blob(&'a [u8]),
}

/// What gathers beyond this many bytes goes to the hasher, so that neither a row of gigabytes nor a long run of rows costs
/// more memory than this.
const SPILL: usize = 64 * 1024;

/// Encodes rows canonically and hashes them, one after the other, in one reused buffer.
///
/// Every cell is a tag byte and a payload. NULL is `00`. A whole number is `10` + n and its n low bytes, little-endian; n
/// is the least that keeps its value and sign, 0 for zero. A real is `20` and its eight bytes. A text of up to 62 bytes is
/// `40` + its length, a longer one `7f` and its length in eight bytes; then come the bytes. A blob is the same from `80`
/// on. `ff` ends a row of a run. Each cell says where it ends and has one encoding only, so that no two different rows
/// share one (`'ab','c'` is not `'a','bc'`), and two storage classes never do (`1`, `1.0`, `'1'` and `x'31'` differ).
#[derive(Debug, Default)]
pub struct RowHasher {
    buffer: Vec<u8>,
    long: Option<blake3::Hasher>,
}

impl RowHasher {
    /// Starts with an empty row.
    pub fn new() -> RowHasher {
        RowHasher::default()
    }

    /// Appends one value to the row.
    #[inline]
    pub fn cell(&mut self, cell: Cell<'_>) {
        match cell {
            Cell::Null => self.buffer.push(0),
            Cell::Integer(value) => self.fixed(0x10, value.to_le_bytes(), width(value)),
            Cell::Real(value) => self.fixed(0x20, value.to_bits().to_le_bytes(), 8),
            Cell::Text(bytes) => self.bytes(0x40, bytes),
            Cell::Blob(bytes) => self.bytes(0x80, bytes),
        }
    }

    /// Ends a row without taking its digest: [`RowHasher::finish`] then returns that of a run of rows in their order.
    ///
    /// BLAKE3 takes many chunks at once where it has them, and a single row is rarely more than one.
    pub fn end_row(&mut self) {
        self.buffer.push(0xff);
        if self.buffer.len() >= SPILL {
            self.long.get_or_insert_default().update(&self.buffer);
            self.buffer.clear();
        }
    }

    /// Returns the digest of the row, or of the run of rows, and starts the next one.
    pub fn finish(&mut self) -> Digest {
        let digest = match self.long.take() {
            Some(mut hasher) => *hasher.update(&self.buffer).finalize().as_bytes(),
            None => *blake3::hash(&self.buffer).as_bytes(),
        };
        self.buffer.clear();
        Digest(digest)
    }

    /// Returns the digest of one whole row.
    pub fn row<'a>(&mut self, cells: impl IntoIterator<Item = Cell<'a>>) -> Digest {
        cells.into_iter().for_each(|cell| self.cell(cell));
        self.finish()
    }

    /// Appends a tag that says how many bytes of the payload follow, and those.
    #[inline]
    fn fixed(&mut self, tag: u8, payload: [u8; 8], len: u8) {
        let tag = if tag == 0x10 { tag + len } else { tag };
        let mut cell = [tag; 9];
        cell[1..].copy_from_slice(&payload);
        // All nine bytes and then a cut: a copy of fixed length costs a fraction of one that is not.
        let end = self.buffer.len() + 1 + usize::from(len);
        self.buffer.extend_from_slice(&cell);
        self.buffer.truncate(end);
    }

    fn bytes(&mut self, tag: u8, bytes: &[u8]) {
        match u8::try_from(bytes.len()) {
            Ok(len) if len < 63 => self.buffer.push(tag + len),
            _ => self.fixed(tag + 63, (bytes.len() as u64).to_le_bytes(), 8),
        }
        if bytes.len() <= SPILL {
            self.buffer.extend_from_slice(bytes);
            return;
        }
        let hasher = self.long.get_or_insert_default();
        hasher.update(&self.buffer).update(bytes);
        self.buffer.clear();
    }
}

/// Returns the least number of bytes that keep a whole number and its sign; none for zero.
fn width(value: i64) -> u8 {
    // A negative number has as many bits as its complement, and each needs one more for the sign.
    let bits = (64 - (value ^ (value >> 63)).leading_zeros()) as u8;
    if value == 0 { 0 } else { bits / 8 + 1 }
}

/// The digest of a set of rows, whatever order they are read in.
///
/// It is the number of rows and the sum of their digests modulo 2^256, or of the digests of runs of rows, where something
/// in the rows themselves says which belong to a run and in which order. A sum and not an exclusive or: two equal rows
/// would cancel each other there, and a table with every row doubled would equal an empty one. It finds every loss,
/// change and doubling that happens by accident; it is no signature against somebody who chooses the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TableDigest {
    /// How many rows were added.
    pub rows: u64,
    /// The sum of the digests of the rows.
    pub digest: Digest,
}

impl TableDigest {
    /// Adds one row by its digest.
    pub fn add_row(&mut self, row: &Digest) {
        self.rows += 1;
        self.digest.add(row);
    }

    /// Adds a run of `rows` rows by its digest.
    pub fn add_run(&mut self, rows: u64, run: &Digest) {
        self.rows += rows;
        self.digest.add(run);
    }

    /// Adds the rows of `other`, a disjoint part of the same table.
    pub fn merge(&mut self, other: &TableDigest) {
        self.rows += other.rows;
        self.digest.add(&other.digest);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Owned {
        Null,
        Integer(i64),
        Real(f64),
        Text(Vec<u8>),
        Blob(Vec<u8>),
    }

    impl Owned {
        fn cell(&self) -> Cell<'_> {
            match self {
                Owned::Null => Cell::Null,
                Owned::Integer(value) => Cell::Integer(*value),
                Owned::Real(value) => Cell::Real(*value),
                Owned::Text(bytes) => Cell::Text(bytes),
                Owned::Blob(bytes) => Cell::Blob(bytes),
            }
        }
    }

    fn cells() -> impl Strategy<Value = Vec<Owned>> {
        let cell = prop_oneof![
            Just(Owned::Null),
            any::<i64>().prop_map(Owned::Integer),
            any::<f64>().prop_map(Owned::Real),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(Owned::Text),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(Owned::Blob),
        ];
        prop::collection::vec(cell, 0..6)
    }

    fn digest(row: &[Owned]) -> Digest {
        RowHasher::new().row(row.iter().map(Owned::cell))
    }

    fn table(rows: &[Vec<Owned>]) -> TableDigest {
        let mut table = TableDigest::default();
        rows.iter().for_each(|row| table.add_row(&digest(row)));
        table
    }

    proptest! {
        #[test]
        fn the_order_of_rows_does_not_matter(rows in prop::collection::vec(cells(), 0..20), turn in 0usize..20) {
            let mut turned = rows.clone();
            if !turned.is_empty() {
                let turn = turn % turned.len();
                turned.rotate_left(turn);
            }
            prop_assert_eq!(table(&rows), table(&turned));
        }

        #[test]
        fn a_doubled_row_shows(rows in prop::collection::vec(cells(), 1..20)) {
            let doubled: Vec<_> = rows.iter().chain(rows.iter()).cloned().collect();
            let mut same_count = table(&rows);
            same_count.rows *= 2;
            prop_assert_ne!(table(&doubled), same_count);
        }

        #[test]
        fn parts_merge_to_the_whole(rows in prop::collection::vec(cells(), 0..20), cut in 0usize..20) {
            let (left, right) = rows.split_at(cut.min(rows.len()));
            let mut merged = table(left);
            merged.merge(&table(right));
            prop_assert_eq!(merged, table(&rows));
        }

        #[test]
        fn hex_round_trips(bytes in any::<[u8; 32]>()) {
            let digest = Digest(bytes);
            prop_assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
            let json = serde_json::to_string(&digest).unwrap();
            prop_assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
        }

        #[test]
        fn a_reused_hasher_forgets_the_row_before(first in cells(), second in cells()) {
            let mut hasher = RowHasher::new();
            hasher.row(first.iter().map(Owned::cell));
            prop_assert_eq!(hasher.row(second.iter().map(Owned::cell)), digest(&second));
        }
    }

    #[test]
    fn storage_classes_are_told_apart() {
        let rows = [
            vec![Cell::Integer(1)],
            vec![Cell::Real(1.0)],
            vec![Cell::Text(b"1")],
            vec![Cell::Blob(b"1")],
            vec![Cell::Null],
            vec![Cell::Text(b"")],
            vec![],
            vec![Cell::Null, Cell::Null],
            vec![Cell::Real(0.0)],
            vec![Cell::Real(-0.0)],
        ];
        let digests: std::collections::BTreeSet<_> =
            rows.iter().map(|row| RowHasher::new().row(row.iter().copied())).collect();
        assert_eq!(digests.len(), rows.len());
    }

    #[test]
    fn a_border_between_values_cannot_move() {
        let hash = |row: &[Cell<'_>]| RowHasher::new().row(row.iter().copied());
        assert_ne!(
            hash(&[Cell::Text(b"ab"), Cell::Text(b"c")]),
            hash(&[Cell::Text(b"a"), Cell::Text(b"bc")])
        );
        // A text that looks like the encoding of what follows it stays one text.
        assert_ne!(hash(&[Cell::Text(b"\0"), Cell::Null]), hash(&[Cell::Text(b""), Cell::Null, Cell::Null]));
    }

    #[test]
    fn large_values_hash_like_their_encoding() {
        let large = vec![7u8; 5 * SPILL];
        let mut encoded = vec![0x11, 9, 0x7f];
        encoded.extend_from_slice(&(large.len() as u64).to_le_bytes());
        encoded.extend_from_slice(&large);
        encoded.push(0);
        let row = [Cell::Integer(9), Cell::Text(&large), Cell::Null];
        assert_eq!(RowHasher::new().row(row), Digest::of(&encoded));
    }

    #[test]
    fn whole_numbers_take_the_bytes_they_need() {
        let sizes =
            [(0, 0), (1, 1), (-1, 1), (127, 1), (-128, 1), (128, 2), (-129, 2), (32_767, 2), (32_768, 3)];
        for (value, wanted) in
            sizes.into_iter().chain([(i64::MAX, 8), (i64::MIN, 8), (-(1 << 55), 7), (1 << 55, 8)])
        {
            assert_eq!(width(value), wanted, "{value}");
            let mut encoded = vec![0x10 + wanted];
            encoded.extend_from_slice(&value.to_le_bytes()[..usize::from(wanted)]);
            assert_eq!(RowHasher::new().row([Cell::Integer(value)]), Digest::of(&encoded), "{value}");
        }
    }

    #[test]
    fn the_length_of_a_text_has_one_spelling() {
        for len in [0usize, 62, 63, 255, 256] {
            let text = vec![b'x'; len];
            let mut encoded = match len {
                0..63 => vec![0x40 + len as u8],
                _ => [&[0x7f], (len as u64).to_le_bytes().as_slice()].concat(),
            };
            encoded.extend_from_slice(&text);
            assert_eq!(RowHasher::new().row([Cell::Text(&text)]), Digest::of(&encoded), "{len}");
        }
    }

    #[test]
    fn a_run_is_told_from_one_row_and_from_other_rows() {
        let run = |rows: &[&[Cell<'_>]]| {
            let mut hasher = RowHasher::new();
            for row in rows {
                row.iter().for_each(|cell| hasher.cell(*cell));
                hasher.end_row();
            }
            hasher.finish()
        };
        let (one, two) = (Cell::Integer(1), Cell::Text(b"2"));
        let digests = [
            run(&[&[one, two]]),
            run(&[&[one], &[two]]),
            run(&[&[two], &[one]]),
            run(&[&[], &[one, two]]),
            RowHasher::new().row([one, two]),
        ];
        let different: std::collections::BTreeSet<_> = digests.iter().collect();
        assert_eq!(different.len(), digests.len());
    }

    #[test]
    fn a_long_run_hashes_like_its_encoding() {
        let (mut hasher, mut encoded) = (RowHasher::new(), Vec::new());
        for _ in 0..5000 {
            hasher.cell(Cell::Blob(&[7; 40]));
            hasher.end_row();
            encoded.push(0x80 + 40);
            encoded.extend_from_slice(&[7; 40]);
            encoded.push(0xff);
        }
        assert_eq!(hasher.finish(), Digest::of(&encoded));
    }

    #[test]
    fn the_sum_carries_over_all_bytes() {
        let mut sum = TableDigest { rows: 0, digest: Digest([0xff; 32]) };
        let mut one = [0u8; 32];
        one[0] = 1;
        sum.add_row(&Digest(one));
        assert_eq!(sum.digest, Digest([0; 32]));
    }

    #[test]
    fn another_spelling_is_no_digest() {
        assert_eq!("AB".repeat(32).parse::<Digest>(), Err(NotADigest));
        assert_eq!("ab".repeat(31).parse::<Digest>(), Err(NotADigest));
        assert_eq!("é".repeat(32).parse::<Digest>(), Err(NotADigest));
    }
}
