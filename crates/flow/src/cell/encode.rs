//! From a cell of SQLite to a field of binary COPY. What has no exact place is refused.

use super::array;
use super::json::Json;
use super::kind::{Kind, TextRule};
use super::net;
use super::numeric::Decimal;
use super::refuse::CellError;
use super::time::{self, Interval};
use switchback_model::digest::Cell;

/// Appends the field of `cell` as a value of `kind`: four bytes of length, then the value, exactly as the server would send
/// it after it was stored. After an error `out` holds a half field, which the caller cuts off.
pub fn encode(kind: &Kind, cell: Cell<'_>, out: &mut Vec<u8>) -> Result<(), CellError> {
    if matches!(cell, Cell::Null) {
        out.extend_from_slice(&(-1_i32).to_be_bytes());
        return Ok(());
    }
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    value(kind, cell, out)?;
    let length =
        i32::try_from(out.len() - at - 4).map_err(|_| CellError::Range { wanted: "a field of 2 GiB" })?;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

fn value(kind: &Kind, cell: Cell<'_>, out: &mut Vec<u8>) -> Result<(), CellError> {
    match kind {
        Kind::Raw => raw(cell, out),
        Kind::Bool => out.push(u8::from(boolean(cell)?)),
        Kind::Int2 => put(out, i16::try_from(integer(cell)?).map_err(|_| range(kind))?.to_be_bytes()),
        Kind::Int4 => put(out, i32::try_from(integer(cell)?).map_err(|_| range(kind))?.to_be_bytes()),
        Kind::Int8 => put(out, integer(cell)?.to_be_bytes()),
        Kind::Oid => put(out, u32::try_from(integer(cell)?).map_err(|_| range(kind))?.to_be_bytes()),
        Kind::Float4 => put(out, single(real(cell)?)?.to_bits().to_be_bytes()),
        Kind::Float8 => put(out, real(cell)?.to_bits().to_be_bytes()),
        Kind::Numeric { limits, free } => {
            let number = match cell {
                Cell::Integer(value) => Decimal::integer(value),
                Cell::Real(value) => Decimal::real(value)?,
                Cell::Text(text) => Decimal::parse(text)?,
                other => return Err(class(other, "a number")),
            };
            let number = number.fit(*limits)?;
            if *free { number.shortest().encode(out) } else { number.encode(out) }
        }
        Kind::Text(rule) => text(rule, cell, out)?,
        Kind::Json => {
            let text = utf8(cell, "a JSON text")?;
            out.extend_from_slice(text.as_bytes());
        }
        Kind::Jsonb => {
            let mut shown = String::new();
            Json::parse(utf8(cell, "a JSON text")?)?.print_canonical(&mut shown)?;
            // The version of the form (src/backend/utils/adt/jsonb.c, jsonb_send).
            out.push(1);
            out.extend_from_slice(shown.as_bytes());
        }
        Kind::Bytea => match cell {
            Cell::Blob(bytes) => out.extend_from_slice(bytes),
            other => return Err(class(other, "a blob")),
        },
        Kind::Uuid => match cell {
            Cell::Blob(bytes) if bytes.len() == 16 => out.extend_from_slice(bytes),
            _ => out.extend_from_slice(&net::parse_uuid(utf8(cell, "a UUID")?)?),
        },
        Kind::Date => put(out, time::parse_date(utf8(cell, "a date as text")?)?.to_be_bytes()),
        Kind::Time(digits) => {
            let micros = time::parse_time(utf8(cell, "a time as text")?)?;
            time::fits(micros, *digits)?;
            put(out, micros.to_be_bytes());
        }
        Kind::TimeTz(digits) => {
            let (micros, west) = time::parse_zoned_time(utf8(cell, "a time as text")?)?;
            time::fits(micros, *digits)?;
            put(out, micros.to_be_bytes());
            put(out, west.to_be_bytes());
        }
        Kind::Timestamp(digits) | Kind::TimestampTz(digits) => {
            let zoned = matches!(kind, Kind::TimestampTz(_));
            let stamp = time::parse_stamp(utf8(cell, "a time stamp as text")?, zoned)?;
            time::fits(stamp, *digits)?;
            put(out, stamp.to_be_bytes());
        }
        Kind::Interval(digits) => {
            let span = Interval::parse(utf8(cell, "a duration as text")?)?;
            time::fits(span.micros, *digits)?;
            put(out, span.micros.to_be_bytes());
            put(out, span.days.to_be_bytes());
            put(out, span.months.to_be_bytes());
        }
        Kind::Inet => net::encode_address(utf8(cell, "an address")?, false, out)?,
        Kind::Cidr => net::encode_address(utf8(cell, "an address")?, true, out)?,
        Kind::Array { oid, element } => array::encode(*oid, element, utf8(cell, "a JSON array")?, out)?,
    }
    Ok(())
}

fn put<const N: usize>(out: &mut Vec<u8>, bytes: [u8; N]) {
    out.extend_from_slice(&bytes);
}

/// The storage class in one byte, then the value, as the row digest has them.
fn raw(cell: Cell<'_>, out: &mut Vec<u8>) {
    match cell {
        Cell::Null => {}
        Cell::Integer(value) => {
            out.push(1);
            put(out, value.to_be_bytes());
        }
        Cell::Real(value) => {
            out.push(2);
            put(out, value.to_bits().to_be_bytes());
        }
        Cell::Text(bytes) => {
            out.push(3);
            out.extend_from_slice(bytes);
        }
        Cell::Blob(bytes) => {
            out.push(4);
            out.extend_from_slice(bytes);
        }
    }
}

fn boolean(cell: Cell<'_>) -> Result<bool, CellError> {
    match cell {
        Cell::Integer(0) => Ok(false),
        Cell::Integer(1) => Ok(true),
        Cell::Integer(_) => Err(CellError::Form { wanted: "a truth value: 0 or 1" }),
        Cell::Text(text) if is_one_of(text, &["t", "true"]) => Ok(true),
        Cell::Text(text) if is_one_of(text, &["f", "false"]) => Ok(false),
        other => Err(class(other, "0 or 1")),
    }
}

fn is_one_of(text: &[u8], words: &[&str]) -> bool {
    words.iter().any(|word| text.eq_ignore_ascii_case(word.as_bytes()))
}

fn integer(cell: Cell<'_>) -> Result<i64, CellError> {
    match cell {
        Cell::Integer(value) => Ok(value),
        other => Err(class(other, "an integer")),
    }
}

/// Takes reals, and integers that a real holds exactly: a REAL column stores whole numbers as integers here and there.
fn real(cell: Cell<'_>) -> Result<f64, CellError> {
    match cell {
        Cell::Real(value) => Ok(value),
        Cell::Integer(value) => {
            let real = value as f64;
            // The saturating way back makes i64::MAX look exact, which it is not.
            let exact = real as i64 == value && value != i64::MAX;
            exact.then_some(real).ok_or(CellError::Digits { wanted: "double precision" })
        }
        other => Err(class(other, "a real")),
    }
}

/// Returns the four-byte real that is, or prints as, the eight-byte one.
fn single(value: f64) -> Result<f32, CellError> {
    let single = value as f32;
    let same = f64::from(single) == value || value.is_nan();
    if single.is_infinite() && !value.is_infinite() {
        Err(CellError::Range { wanted: "real" })
    } else if same || single.to_string() == value.to_string() {
        Ok(single)
    } else {
        Err(CellError::Digits { wanted: "real" })
    }
}

fn text(rule: &TextRule, cell: Cell<'_>, out: &mut Vec<u8>) -> Result<(), CellError> {
    let text = utf8(cell, "a text")?;
    out.extend_from_slice(text.as_bytes());
    let long = |length, limit, unit| Err(CellError::Long { length, limit, unit });
    match rule {
        TextRule::Free => {}
        TextRule::Most(limit) => {
            // No text has more characters than bytes.
            if text.len() > *limit && text.chars().count() > *limit {
                return long(text.chars().count(), *limit, "characters");
            }
        }
        TextRule::Padded(limit) => {
            let length = text.chars().count();
            if length > *limit {
                return long(length, *limit, "characters");
            }
            out.extend(std::iter::repeat_n(b' ', limit - length));
        }
        TextRule::Name => {
            if text.len() > 63 {
                return long(text.len(), 63, "bytes");
            }
        }
        TextRule::Label { name, labels } => {
            if !labels.iter().any(|label| label == text) {
                return Err(CellError::Label { name: name.clone() });
            }
        }
    }
    Ok(())
}

/// Returns the text, if it is one that PostgreSQL stores.
fn utf8<'a>(cell: Cell<'a>, wanted: &'static str) -> Result<&'a str, CellError> {
    let Cell::Text(bytes) = cell else { return Err(class(cell, wanted)) };
    let text = std::str::from_utf8(bytes).map_err(|error| CellError::NotUtf8 { at: error.valid_up_to() })?;
    match bytes.iter().position(|byte| *byte == 0) {
        Some(at) => Err(CellError::Nul { at }),
        None => Ok(text),
    }
}

fn class(cell: Cell<'_>, wanted: &'static str) -> CellError {
    let found = match cell {
        Cell::Null => "NULL",
        Cell::Integer(_) => "an integer",
        Cell::Real(_) => "a real",
        Cell::Text(_) => "a text",
        Cell::Blob(_) => "a blob",
    };
    CellError::Class { found, wanted }
}

fn range(kind: &Kind) -> CellError {
    CellError::Range { wanted: kind.name() }
}
