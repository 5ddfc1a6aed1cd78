//! Rows as PostgreSQL streams them: the binary form of COPY, read without decoding a value, and digests of it.

use std::io::{self, BufRead};

use postgres::Client;
use switchback_model::digest::{Cell, RowHasher, TableDigest};

use super::connect::cancel_now;
use crate::tell::{Failure, Halt, Tell, Unit};

/// What a stream begins with (postgresql.org/docs/current/sql-copy.html, "Binary Format").
pub const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// What a stream ends with: a field count of -1.
pub const TRAILER: [u8; 2] = (-1i16).to_be_bytes();
/// Signature, flags and the length of the header's extension.
const HEADER: usize = SIGNATURE.len() + 8;
/// The lower half of the flags may be ignored by a reader, the upper half may not.
const CRITICAL_FLAGS: u32 = 0xffff_0000;
/// How many rows lie between two looks at the stop flag.
const BATCH: u64 = 4096;

/// Why rows could not be read. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The stream is not what COPY sends.
    #[error("read a stream of COPY: {0}")]
    Malformed(&'static str),
    /// The server failed, or the query did.
    #[error("read rows: {source}")]
    Query {
        /// What it says.
        #[from]
        source: postgres::Error,
    },
    /// The stream broke.
    #[error("read rows: {source}")]
    Stream {
        /// What the system says.
        source: io::Error,
    },
    /// Stopped on the way.
    #[error(transparent)]
    Halt(#[from] Halt),
}

impl Failure for CopyError {
    fn halt(&self) -> Option<Halt> {
        match self {
            CopyError::Halt(halt) => Some(*halt),
            _ => None,
        }
    }
}

impl From<io::Error> for CopyError {
    fn from(source: io::Error) -> CopyError {
        // The driver wraps what the server says into an error of a reader.
        match source.downcast::<postgres::Error>() {
            Ok(source) => CopyError::Query { source },
            Err(source) => CopyError::Stream { source },
        }
    }
}

/// One row of a stream, well-formed. Fields are borrowed: nothing is copied.
#[derive(Debug, Clone, Copy)]
pub struct CopyRow<'a> {
    bytes: &'a [u8],
}

impl<'a> CopyRow<'a> {
    /// The row as it came, its field count included: what a stream into another table takes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The fields; `None` is NULL.
    pub fn fields(&self) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        let mut rest = self.bytes.get(2..).unwrap_or_default();
        std::iter::from_fn(move || {
            let (length, behind) = rest.split_first_chunk::<4>()?;
            let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
                rest = behind;
                return Some(None);
            };
            let (field, behind) = behind.split_at_checked(length)?;
            rest = behind;
            Some(Some(field))
        })
    }
}

/// Reads a stream row by row. Memory: one row, and only when it lies across two pieces of the stream.
#[derive(Debug)]
pub struct CopyReader<R> {
    reader: R,
    /// How many bytes of the reader's buffer the last row took.
    taken: usize,
    /// Bytes of a row that did not come in one piece, from `start` on.
    kept: Vec<u8>,
    start: usize,
    ended: bool,
}

/// What a piece of a stream begins with.
enum Piece {
    Row(usize),
    End,
    Short,
}

impl<R: BufRead> CopyReader<R> {
    /// Reads the header of a stream.
    pub fn new(mut reader: R) -> Result<CopyReader<R>, CopyError> {
        let mut header = [0u8; HEADER];
        reader.read_exact(&mut header).map_err(short("it ends inside its header"))?;
        let (signature, rest) = header.split_at(SIGNATURE.len());
        if signature != SIGNATURE {
            return Err(CopyError::Malformed("it does not begin with the signature"));
        }
        let (flags, extension) = rest.split_at(4);
        if big_endian(flags) & CRITICAL_FLAGS != 0 {
            return Err(CopyError::Malformed("it has a flag that is not known here"));
        }
        let mut extension = u64::from(big_endian(extension));
        while extension > 0 {
            let here = reader.fill_buf()?.len().min(usize::try_from(extension).unwrap_or(usize::MAX));
            if here == 0 {
                return Err(CopyError::Malformed("it ends inside its header"));
            }
            reader.consume(here);
            extension -= here as u64;
        }
        Ok(CopyReader { reader, taken: 0, kept: Vec::new(), start: 0, ended: false })
    }

    /// Returns the next row, or `None` behind the last one. The trailer must be there: a stream that merely stops is an
    /// error, as rows may be missing.
    pub fn next_row(&mut self) -> Result<Option<CopyRow<'_>>, CopyError> {
        self.reader.consume(std::mem::take(&mut self.taken));
        if self.ended {
            return Ok(None);
        }
        loop {
            if self.start == self.kept.len() {
                self.kept.clear();
                self.start = 0;
                // The server sends a row in a piece of its own, so this is the way of nearly all rows.
                match piece(self.reader.fill_buf()?)? {
                    Piece::Row(length) => {
                        self.taken = length;
                        let bytes = self.reader.fill_buf()?.get(..length).unwrap_or_default();
                        return Ok(Some(CopyRow { bytes }));
                    }
                    Piece::End => return self.end(TRAILER.len()),
                    Piece::Short => {}
                }
            } else {
                match piece(self.kept.get(self.start..).unwrap_or_default())? {
                    Piece::Row(length) => {
                        let start = self.start;
                        self.start += length;
                        let bytes = self.kept.get(start..self.start).unwrap_or_default();
                        return Ok(Some(CopyRow { bytes }));
                    }
                    Piece::End => return self.end(0),
                    Piece::Short => {}
                }
            }
            self.kept.drain(..self.start);
            self.start = 0;
            let more = self.reader.fill_buf()?;
            if more.is_empty() {
                return Err(CopyError::Malformed("it ends without its trailer"));
            }
            self.kept.extend_from_slice(more);
            let length = more.len();
            self.reader.consume(length);
        }
    }

    /// Reads to the end of the stream, where the driver would still tell of an error of the server.
    fn end(&mut self, taken: usize) -> Result<Option<CopyRow<'_>>, CopyError> {
        self.ended = true;
        self.reader.consume(taken);
        let kept = self.kept.len().saturating_sub(self.start);
        if kept > TRAILER.len() || !self.reader.fill_buf()?.is_empty() {
            return Err(CopyError::Malformed("it goes on behind its trailer"));
        }
        Ok(None)
    }
}

fn short(what: &'static str) -> impl Fn(io::Error) -> CopyError {
    move |error| match error.kind() {
        io::ErrorKind::UnexpectedEof => CopyError::Malformed(what),
        _ => error.into(),
    }
}

fn big_endian(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn piece(bytes: &[u8]) -> Result<Piece, CopyError> {
    let Some((fields, mut rest)) = bytes.split_first_chunk::<2>() else { return Ok(Piece::Short) };
    let fields = i16::from_be_bytes(*fields);
    if fields == -1 {
        return Ok(Piece::End);
    }
    if fields < 0 {
        return Err(CopyError::Malformed("a row has a negative number of fields"));
    }
    for _ in 0..fields {
        let Some((length, behind)) = rest.split_first_chunk::<4>() else { return Ok(Piece::Short) };
        rest = match i32::from_be_bytes(*length) {
            -1 => behind,
            length => {
                let Ok(length) = usize::try_from(length) else {
                    return Err(CopyError::Malformed("a field has a negative length"));
                };
                let Some(behind) = behind.get(length..) else { return Ok(Piece::Short) };
                behind
            }
        };
    }
    Ok(Piece::Row(bytes.len() - rest.len()))
}

/// Adds a row to a digest: every field by its bytes, NULL told apart from no bytes.
pub fn add_row(digest: &mut TableDigest, hasher: &mut RowHasher, row: CopyRow<'_>) {
    for field in row.fields() {
        hasher.cell(field.map_or(Cell::Null, Cell::Blob));
    }
    digest.add_row(&hasher.finish());
}

/// Digests the rows of a query, in whatever order they come. Memory does not depend on their number.
///
/// Values count by the bytes that their type sends (`typsend`), so `1.0` and `1.00` differ. A stop cancels the query on
/// the server and waits for its end; the session can be used afterwards.
pub fn digest_query(client: &mut Client, select: &str, tell: &Tell) -> Result<TableDigest, CopyError> {
    let cancel = client.cancel_token();
    let stream = client.copy_out(&format!("COPY ({select}) TO STDOUT (FORMAT binary)"))?;
    digest_stream(stream, tell, || {
        // Otherwise the rest of the table would have to be read before the session closes.
        cancel_now(&cancel);
    })
}

/// Digests the rows of a stream that was begun elsewhere. `stopped` is called when a stop is asked for, before the stream is
/// given up.
pub fn digest_stream(
    stream: impl BufRead,
    tell: &Tell,
    stopped: impl FnOnce(),
) -> Result<TableDigest, CopyError> {
    let mut rows = CopyReader::new(stream)?;
    let (mut digest, mut hasher) = (TableDigest::default(), RowHasher::new());
    while let Some(row) = rows.next_row()? {
        add_row(&mut digest, &mut hasher, row);
        if digest.rows % BATCH == 0 {
            if let Err(halt) = tell.go_on() {
                stopped();
                return Err(halt.into());
            }
            tell.progress("reading", digest.rows, None, Unit::Rows);
        }
    }
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;

    type Rows = Vec<Vec<Option<Vec<u8>>>>;

    fn stream(rows: &Rows) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3]);
        for row in rows {
            bytes.extend_from_slice(&i16::try_from(row.len()).unwrap().to_be_bytes());
            for field in row {
                let length = field.as_ref().map_or(-1, |field| i32::try_from(field.len()).unwrap());
                bytes.extend_from_slice(&length.to_be_bytes());
                bytes.extend_from_slice(field.as_deref().unwrap_or_default());
            }
        }
        bytes.extend_from_slice(&TRAILER);
        bytes
    }

    fn read(bytes: &[u8], piece: usize) -> Result<Rows, CopyError> {
        let mut reader = CopyReader::new(BufReader::with_capacity(piece, bytes))?;
        let mut rows = Rows::new();
        while let Some(row) = reader.next_row()? {
            rows.push(row.fields().map(|field| field.map(<[u8]>::to_vec)).collect());
        }
        Ok(rows)
    }

    fn rows() -> impl Strategy<Value = Rows> {
        let field = prop::option::of(prop::collection::vec(any::<u8>(), 0..9));
        prop::collection::vec(prop::collection::vec(field, 0..4), 0..8)
    }

    proptest! {
        #[test]
        fn rows_come_out_as_they_went_in_however_the_stream_is_cut(rows in rows(), piece in 1usize..40) {
            prop_assert_eq!(read(&stream(&rows), piece).unwrap(), rows);
        }

        #[test]
        fn a_stream_that_stops_early_is_an_error(rows in rows(), piece in 1usize..40, cut in 0usize..400) {
            let whole = stream(&rows);
            let cut = cut % whole.len();
            prop_assert!(matches!(read(&whole[..cut], piece), Err(CopyError::Malformed(_))));
        }

        #[test]
        fn garbage_is_an_error_or_rows_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = read(&[stream(&vec![])[..22].to_vec(), bytes].concat(), 7);
        }
    }

    #[test]
    fn damage_is_named() {
        let whole = stream(&vec![vec![Some(b"a".to_vec())]]);
        let damaged = |at: usize, byte: u8| {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            read(&bytes, 64).unwrap_err().to_string()
        };
        assert_eq!(damaged(0, b'p'), "read a stream of COPY: it does not begin with the signature");
        assert_eq!(damaged(11, 1), "read a stream of COPY: it has a flag that is not known here");
        assert_eq!(damaged(22, 0x80), "read a stream of COPY: a row has a negative number of fields");
        assert_eq!(damaged(24, 0x80), "read a stream of COPY: a field has a negative length");
        let long = [whole.clone(), vec![0]].concat();
        let error = "read a stream of COPY: it goes on behind its trailer";
        assert_eq!(read(&long, 64).unwrap_err().to_string(), error);
        assert_eq!(read(&long, 1).unwrap_err().to_string(), error);
    }
}
