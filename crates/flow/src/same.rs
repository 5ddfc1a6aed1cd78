//! Whether two streams of records say the same, whatever the order of their records and of the keys in them.

use crate::transform::{Bench, Recipe, TransformError, Work};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use switchback_model::digest::{Digest, TableDigest};
use switchback_model::program::{IndexOf, Named};
use switchback_model::records::{Record, RecordError, Shape, Splitter};
use switchback_site::jq_child::StreamError;
use switchback_site::{Tell, Unit};

/// How many records of one side are held in memory while differences are named.
const HELD: u64 = 1 << 20;
/// How many differences are named.
const NAMED: usize = 20;

/// One of the two.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// Its file.
    pub path: &'a Path,
    /// How its records follow each other.
    pub shape: Shape,
}

/// How records are made comparable: what differs by right, such as times and random ids, is taken out.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canon {
    /// Run over each record of both sides; the outputs are compared. Without it, the records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<Named>,
    /// Made over each side for itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub index: Vec<IndexOf>,
}

/// What the comparison came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sameness {
    /// How many there are on each side.
    pub records: (u64, u64),
    /// Whether every one of a side has its equal on the other.
    pub equal: bool,
    /// Numbers, from 1, of some outputs of the first side that have no equal on the other.
    pub only_first: Vec<u64>,
    /// Numbers of some outputs of the other side that have no equal on the first.
    pub only_second: Vec<u64>,
}

/// Compares two streams in constant memory. `bench` says how programs are run; its input and output are not used.
pub fn same(
    canon: &Canon,
    first: Side<'_>,
    second: Side<'_>,
    bench: &Bench<'_>,
    tell: &Tell,
) -> Result<Sameness, TransformError> {
    let (one, other) = (sum(canon, first, bench, tell)?, sum(canon, second, bench, tell)?);
    let (mut only_first, mut only_second) = (Vec::new(), Vec::new());
    let equal = one == other;
    if !equal {
        // Part after part, so that memory is constant however many there are.
        let parts = one.rows.max(other.rows) / HELD + 1;
        for part in 0..parts {
            let mut held: HashMap<Digest, Vec<u64>> = HashMap::new();
            let of_part =
                |digest: &Digest| u64::from(u16::from_le_bytes([digest.0[0], digest.0[1]])) % parts == part;
            each(canon, first, bench, tell, &mut |number, digest| {
                if of_part(&digest) {
                    held.entry(digest).or_default().push(number);
                }
            })?;
            each(canon, second, bench, tell, &mut |number, digest| {
                if of_part(&digest) && held.get_mut(&digest).and_then(Vec::pop).is_none() {
                    only_second.push(number);
                    only_second.truncate(NAMED);
                }
            })?;
            only_first.extend(held.into_values().flatten());
            if !(only_first.is_empty() && only_second.is_empty()) {
                break;
            }
        }
        only_first.sort_unstable();
        only_first.truncate(NAMED);
    }
    Ok(Sameness { records: (one.rows, other.rows), equal, only_first, only_second })
}

fn sum(canon: &Canon, side: Side<'_>, bench: &Bench<'_>, tell: &Tell) -> Result<TableDigest, TransformError> {
    let mut total = TableDigest::default();
    each(canon, side, bench, tell, &mut |_, digest| total.add_row(&digest))?;
    Ok(total)
}

fn each(
    canon: &Canon,
    side: Side<'_>,
    bench: &Bench<'_>,
    tell: &Tell,
    part: &mut dyn FnMut(u64, Digest),
) -> Result<(), TransformError> {
    let Some(program) = &canon.program else { return each_as_it_is(side, tell, part) };
    let recipe = Recipe { indexes: canon.index.clone(), ..Recipe::default() };
    let bench = Bench { from: side.path, shape: side.shape, ..*bench };
    let (mut number, mut sorted) = (0, Vec::new());
    Work::new(&recipe, &bench, tell).over_indexes(|work| {
        work.pass(program, &mut |_, lines| {
            for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                number += 1;
                sorted.clear();
                let mut rest = line;
                sort_keys(&mut rest, &mut sorted).ok_or(StreamError::Sink("it is no JSON".into()))?;
                part(number, Digest::of(&sorted));
            }
            Ok(())
        })?;
        Ok(())
    })
}

/// Does `part` for each record as it is, which takes no program.
fn each_as_it_is(
    side: Side<'_>,
    tell: &Tell,
    part: &mut dyn FnMut(u64, Digest),
) -> Result<(), TransformError> {
    let wrong = |source| TransformError::File { doing: "read", path: side.path.to_owned(), source };
    let mut file = File::open(side.path).map_err(wrong)?;
    let total = file.metadata().map_err(wrong)?.len();
    let (mut splitter, mut chunk, mut sorted) = (Splitter::new(side.shape), vec![0; 1 << 18], Vec::new());
    let mut take = |record: Record<'_>| {
        sorted.clear();
        let mut rest = record.bytes;
        let whole = sort_keys(&mut rest, &mut sorted).filter(|()| rest.trim_ascii().is_empty());
        whole.ok_or_else(|| RecordError {
            number: record.number,
            offset: record.offset,
            wrong: "it is no JSON".to_owned(),
        })?;
        part(record.number, Digest::of(&sorted));
        Ok::<_, RecordError>(())
    };
    loop {
        tell.go_on().map_err(StreamError::Halt)?;
        let count = file.read(&mut chunk).map_err(wrong)?;
        let cut =
            if count == 0 { splitter.finish(&mut take) } else { splitter.push(&chunk[..count], &mut take) };
        cut.map_err(StreamError::Record)?;
        if count == 0 {
            return Ok(());
        }
        tell.progress("comparing records", splitter.taken(), Some(total), Unit::Bytes);
    }
}

/// Takes one JSON value off `rest`, and appends it with the keys of every object in order. Numbers
/// and texts stay as they are written. `None` if there is no value.
fn sort_keys(rest: &mut &[u8], out: &mut Vec<u8>) -> Option<()> {
    skip(rest);
    match rest.first()? {
        b'{' => {
            let mut members: BTreeMap<&[u8], Vec<u8>> = BTreeMap::new();
            *rest = &rest[1..];
            skip(rest);
            while *rest.first()? != b'}' {
                *rest = rest.strip_prefix(b",").unwrap_or(rest);
                skip(rest);
                let key = text(rest)?;
                skip(rest);
                *rest = rest.strip_prefix(b":")?;
                let mut value = Vec::new();
                sort_keys(rest, &mut value)?;
                members.insert(key, value);
                skip(rest);
            }
            *rest = &rest[1..];
            out.push(b'{');
            for (at, (key, value)) in members.iter().enumerate() {
                out.extend((at > 0).then_some(b','));
                out.extend_from_slice(key);
                out.push(b':');
                out.extend_from_slice(value);
            }
            out.push(b'}');
        }
        b'[' => {
            out.push(b'[');
            *rest = &rest[1..];
            skip(rest);
            while *rest.first()? != b']' {
                if let Some(behind) = rest.strip_prefix(b",") {
                    *rest = behind;
                    out.push(b',');
                }
                sort_keys(rest, out)?;
                skip(rest);
            }
            *rest = &rest[1..];
            out.push(b']');
        }
        b'"' => out.extend_from_slice(text(rest)?),
        _ => {
            let end = rest.iter().position(|byte| b",]} \t\r\n".contains(byte)).unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            if word.is_empty() {
                return None;
            }
            out.extend_from_slice(word);
            *rest = behind;
        }
    }
    Some(())
}

fn skip(rest: &mut &[u8]) {
    *rest = rest.trim_ascii_start();
}

/// Takes a text with its quotes off `rest`.
fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    rest.strip_prefix(b"\"")?;
    let mut at = 1;
    while *rest.get(at)? != b'"' {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    let (text, behind) = rest.split_at(at + 1);
    *rest = behind;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(json: &str) -> Option<String> {
        let (mut rest, mut out) = (json.as_bytes(), Vec::new());
        sort_keys(&mut rest, &mut out)?;
        rest.is_empty().then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn keys_come_in_order_and_everything_else_stays() {
        for (json, wanted) in [
            (r#"{"b":[{"d":1,"c":"}\"{"}],"a":1.50}"#, r#"{"a":1.50,"b":[{"c":"}\"{","d":1}]}"#),
            ("[]", "[]"),
            ("{}", "{}"),
            ("[1,[2],\"\\\\\"]", "[1,[2],\"\\\\\"]"),
            ("12345678901234567890123", "12345678901234567890123"),
            ("null", "null"),
            (" { \"b\" : [ 1 , 2 ] ,\n\"a\" : { } }", r#"{"a":{},"b":[1,2]}"#),
        ] {
            assert_eq!(sorted(json).as_deref(), Some(wanted), "{json}");
        }
        for wrong in ["{", "[1", "\"a", "{\"a\"}", ""] {
            assert_eq!(sorted(wrong), None, "{wrong}");
        }
    }
}
