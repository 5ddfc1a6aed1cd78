//! Cutting a stream of bytes into JSON records, in constant memory and without parsing them.
//!
//! Exports are streams of JSON values, one a line or with nothing between them. What is cut here is known to be a value as a
//! whole: its brackets and strings are closed. What is inside is looked at where the record is parsed, or by [`check`].

use memchr::memchr2;

/// Deepest nesting of a record: what `serde_json` reads too.
const DEPTH_LIMIT: usize = 127;

/// Largest record, in bytes. A record is held in memory, and there is no use in one of a gigabyte.
pub const RECORD_LIMIT: usize = 256 * 1024 * 1024;

/// How records follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// JSON values with or without white space between them.
    Values,
    /// One JSON value a line. Empty lines are passed over, and the last line may lack its end.
    Lines,
}

/// One record of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Where it stands, from 1.
    pub number: u64,
    /// Where its first byte is in the stream, from 0.
    pub offset: u64,
    /// Its bytes, without the white space around.
    pub bytes: &'a [u8],
}

/// Why a stream cannot be cut into records. The text fits after "cannot".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("read record {number} at byte {offset}: {wrong}")]
pub struct RecordError {
    /// Number of the record, from 1.
    pub number: u64,
    /// Where the record begins in the stream, from 0.
    pub offset: u64,
    /// What is wrong with it; no content of it.
    pub wrong: String,
}

/// Cuts a stream that comes in chunks of any size.
///
/// [`Splitter::push`] takes the chunks in their order and hands every record over as soon as its last byte was seen;
/// [`Splitter::finish`] says that there is no more. After an error it is of no use.
#[derive(Debug)]
pub struct Splitter {
    shape: Shape,
    /// Bytes of the stream before the chunk at hand.
    base: u64,
    /// Number of the record at hand, or of the last one.
    number: u64,
    /// First byte of the record at hand.
    start: u64,
    /// The part of the record at hand that came in earlier chunks.
    carry: Vec<u8>,
    state: State,
    /// Closing brackets that are still to come: one bit each, set for `}`.
    open: u128,
    depth: usize,
    /// Whether a record ended on this line.
    filled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Between,
    /// In an object or an array, outside strings.
    Open,
    /// In a string.
    Text,
    /// In a string, behind a backslash.
    Escape,
    /// In a number, `true`, `false` or `null` that is a record.
    Word,
}

impl Splitter {
    /// Starts at the beginning of a stream.
    pub fn new(shape: Shape) -> Splitter {
        Splitter::resume(shape, 0, 0)
    }

    /// Starts behind `number` records, `offset` bytes from the beginning of a stream.
    pub fn resume(shape: Shape, number: u64, offset: u64) -> Splitter {
        Splitter {
            shape,
            base: offset,
            number,
            start: offset,
            carry: Vec::new(),
            state: State::Between,
            open: 0,
            depth: 0,
            filled: false,
        }
    }

    /// Returns how many records have begun.
    pub fn begun(&self) -> u64 {
        self.number
    }

    /// Returns how many bytes of the stream were taken.
    pub fn taken(&self) -> u64 {
        self.base
    }

    /// Takes the next chunk and hands over the records that end in it.
    pub fn push<E: From<RecordError>>(
        &mut self,
        chunk: &[u8],
        mut each: impl FnMut(Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        // Where the record at hand begins in this chunk.
        let (mut at, mut from) = (0, 0);
        while at < chunk.len() {
            let ended = match self.state {
                State::Between => {
                    at = self.skip_white(chunk, at);
                    from = at;
                    self.begin(chunk, &mut at)?
                }
                State::Open => self.through_brackets(chunk, &mut at)?,
                State::Text => self.through_text(chunk, &mut at),
                State::Escape => {
                    at += 1;
                    self.state = State::Text;
                    false
                }
                State::Word => {
                    at += chunk[at..].iter().take_while(|byte| is_word(**byte)).count();
                    at < chunk.len()
                }
            };
            if ended {
                self.hand_over(&chunk[from..at], &mut each)?;
                from = at;
            }
        }
        if self.state != State::Between {
            self.carry.extend_from_slice(&chunk[from..]);
            if self.carry.len() > RECORD_LIMIT {
                return Err(self.wrong(format!("it is longer than {} MiB", RECORD_LIMIT >> 20)).into());
            }
        }
        self.base += chunk.len() as u64;
        Ok(())
    }

    /// Says that the stream has ended. A record that has not is an error: the stream was cut.
    pub fn finish<E: From<RecordError>>(
        &mut self,
        mut each: impl FnMut(Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.state {
            State::Between => Ok(()),
            State::Word => self.hand_over(&[], &mut each),
            _ => Err(self.wrong(format!("the stream ends at byte {} in the middle of it", self.base)).into()),
        }
    }

    fn hand_over<E: From<RecordError>>(
        &mut self,
        last: &[u8],
        each: &mut impl FnMut(Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let was_word = self.state == State::Word;
        self.state = State::Between;
        self.filled = true;
        let (number, offset) = (self.number, self.start);
        let carry = std::mem::take(&mut self.carry);
        let whole;
        let bytes = if carry.is_empty() {
            last
        } else {
            whole = [&carry, last].concat();
            &whole
        };
        if was_word {
            check(bytes).map_err(|wrong| self.wrong(wrong))?;
        }
        each(Record { number, offset, bytes })
    }

    fn skip_white(&mut self, chunk: &[u8], mut at: usize) -> usize {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = chunk.get(at) {
            self.filled &= chunk[at] != b'\n';
            at += 1;
        }
        at
    }

    /// Begins a record at `at`; a record of one byte is a word that may go on.
    fn begin(&mut self, chunk: &[u8], at: &mut usize) -> Result<bool, RecordError> {
        let Some(byte) = chunk.get(*at) else { return Ok(false) };
        self.number += 1;
        self.start = self.base + *at as u64;
        if self.filled && self.shape == Shape::Lines {
            return Err(self.wrong("it begins on the line of the record before it".to_owned()));
        }
        self.state = match byte {
            b'{' | b'[' => {
                (self.open, self.depth) = (0, 0);
                self.state = State::Open;
                return self.through_brackets(chunk, at);
            }
            b'"' => State::Text,
            byte if is_word(*byte) => State::Word,
            _ => return Err(self.wrong("a JSON value does not begin so".to_owned())),
        };
        (self.open, self.depth) = (0, 0);
        *at += 1;
        Ok(false)
    }

    /// Goes on outside strings until a string begins, the record ends, or the chunk does.
    fn through_brackets(&mut self, chunk: &[u8], at: &mut usize) -> Result<bool, RecordError> {
        while let Some(byte) = chunk.get(*at) {
            *at += 1;
            match byte {
                b'"' => {
                    self.state = State::Text;
                    if self.through_text(chunk, at) {
                        return Ok(true);
                    }
                    if self.state != State::Open {
                        return Ok(false);
                    }
                }
                b'{' | b'[' => {
                    if self.depth == DEPTH_LIMIT {
                        return Err(self.wrong(format!("it is nested deeper than {DEPTH_LIMIT} levels")));
                    }
                    self.open = self.open << 1 | u128::from(*byte == b'{');
                    self.depth += 1;
                }
                b'}' | b']' => {
                    if (self.open & 1 == 1) != (*byte == b'}') {
                        let place = self.base + *at as u64 - 1;
                        return Err(
                            self.wrong(format!("at byte {place} a bracket is closed by another kind"))
                        );
                    }
                    self.open >>= 1;
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Ok(true);
                    }
                }
                b'\n' if self.shape == Shape::Lines => {
                    let place = self.base + *at as u64 - 1;
                    return Err(self.wrong(format!("its line ends at byte {place} in the middle of it")));
                }
                _ => {}
            }
        }
        Ok(false)
    }

    /// Goes on in a string; `true` when the string is the record and has ended.
    fn through_text(&mut self, chunk: &[u8], at: &mut usize) -> bool {
        while let Some(found) = memchr2(b'"', b'\\', &chunk[*at..]) {
            *at += found + 1;
            if chunk[*at - 1] == b'"' {
                self.state = State::Open;
                return self.depth == 0;
            }
            if *at == chunk.len() {
                self.state = State::Escape;
                return false;
            }
            *at += 1;
        }
        *at = chunk.len();
        false
    }

    fn wrong(&self, wrong: String) -> RecordError {
        RecordError { number: self.number, offset: self.start, wrong }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}

/// Says what is wrong with the inside of a record, without any of its content; strict JSON and nothing beyond it.
pub fn check(record: &[u8]) -> Result<(), String> {
    match serde_json::from_slice::<serde::de::IgnoredAny>(record) {
        Ok(_) => std::str::from_utf8(record).map(drop).map_err(|_| "it is not UTF-8".to_owned()),
        Err(error) => {
            let lines = record.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1));
            let byte = lines.map(<[u8]>::len).sum::<usize>() + error.column().saturating_sub(1);
            let what = error.to_string();
            let what = what.split(" at line ").next().unwrap_or_default();
            Err(format!("it is not JSON at its byte {byte}: {what}"))
        }
    }
}
