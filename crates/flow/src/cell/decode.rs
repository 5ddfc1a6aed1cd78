//! From a field of binary COPY to a cell of SQLite. What SQLite would change is refused.

use super::affinity::{Affinity, looks_numeric};
use super::array;
use super::kind::Kind;
use super::net;
use super::numeric::Decimal;
use super::refuse::CellError;
use super::time::{self, Interval};
use std::borrow::Cow;
use switchback_model::digest::Cell;

/// Returns the cell of a field of `kind`, as a column of this affinity keeps it. Texts that must be made are made in
/// `scratch`, which is emptied first.
pub fn decode<'a>(
    kind: &Kind,
    field: Option<&'a [u8]>,
    affinity: Affinity,
    scratch: &'a mut String,
) -> Result<Cell<'a>, CellError> {
    let Some(bytes) = field else { return Ok(Cell::Null) };
    scratch.clear();
    match kind {
        Kind::Raw => {
            let cell = raw(bytes)?;
            affinity.keeps(cell)?;
            Ok(cell)
        }
        Kind::Float4 | Kind::Float8 => {
            let value = match kind {
                Kind::Float4 => f64::from(f32::from_bits(u32::from_be_bytes(fixed(kind, bytes)?))),
                _ => f64::from_bits(u64::from_be_bytes(fixed(kind, bytes)?)),
            };
            if value.is_nan() {
                return Err(CellError::NotANumber);
            }
            match affinity.keeps(Cell::Real(value)) {
                // An integer is the same number, and reads back as the same real; but there is no negative zero.
                Err(_) if affinity == Affinity::Numeric && value.to_bits() != (-0.0_f64).to_bits() => {}
                verdict => verdict?,
            }
            Ok(Cell::Real(value))
        }
        Kind::Numeric { free, .. } => {
            let number = Decimal::decode(bytes)?;
            if *free {
                return rounded(&number, affinity);
            }
            number.print(scratch);
            keep_text(affinity, scratch)
        }
        _ => match whole(kind, bytes)? {
            Some(value) => {
                affinity.keeps(Cell::Integer(value))?;
                Ok(Cell::Integer(value))
            }
            None if matches!(kind, Kind::Bytea) => Ok(Cell::Blob(bytes)),
            None => {
                if let Some(text) = plain(kind, bytes)? {
                    return keep_text(affinity, text);
                }
                print(kind, bytes, scratch)?;
                keep_text(affinity, scratch)
            }
        },
    }
}

/// Says whether every value of `kind` has a place in a column of this affinity, or with `Err` what to declare instead.
pub fn fits(kind: &Kind, affinity: Affinity) -> Result<(), &'static str> {
    let integers = matches!(kind, Kind::Bool | Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid);
    let floats = matches!(kind, Kind::Float4 | Kind::Float8);
    match affinity {
        Affinity::Text if integers => Err("INTEGER"),
        Affinity::Real if integers => Err("INTEGER"),
        Affinity::Text if floats => Err("REAL"),
        _ => Ok(()),
    }
}

/// Returns the field as equal values have it: what may differ without a difference of value is made one.
pub fn canonical<'a>(kind: &Kind, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>, CellError> {
    match kind {
        Kind::Numeric { free: true, .. } => {
            let mut out = Vec::new();
            Decimal::decode(bytes)?.shortest().encode(&mut out);
            Ok(Cow::Owned(out))
        }
        // Infinities come with a scale, which is a part of how they are stored and means nothing.
        Kind::Numeric { .. } if bytes.len() == 8 && bytes[4] & 0xC0 == 0xC0 => {
            let mut out = bytes.to_vec();
            out[6..].fill(0);
            Ok(Cow::Owned(out))
        }
        Kind::Array { element, .. } => array::canonical(element, bytes),
        _ => Ok(Cow::Borrowed(bytes)),
    }
}

/// Says whether [`canonical`] can change a field of this kind.
pub fn has_variants(kind: &Kind) -> bool {
    matches!(kind, Kind::Numeric { .. } | Kind::Array { .. })
}

/// Returns the integer of the kinds that are integers in SQLite.
pub(super) fn whole(kind: &Kind, bytes: &[u8]) -> Result<Option<i64>, CellError> {
    Ok(Some(match kind {
        Kind::Bool => i64::from(u8::from_be_bytes(fixed(kind, bytes)?) != 0),
        Kind::Int2 => i64::from(i16::from_be_bytes(fixed(kind, bytes)?)),
        Kind::Int4 => i64::from(i32::from_be_bytes(fixed(kind, bytes)?)),
        Kind::Int8 => i64::from_be_bytes(fixed(kind, bytes)?),
        Kind::Oid => i64::from(u32::from_be_bytes(fixed(kind, bytes)?)),
        _ => return Ok(None),
    }))
}

/// Returns the text of the kinds whose bytes are their text.
fn plain<'a>(kind: &Kind, bytes: &'a [u8]) -> Result<Option<&'a str>, CellError> {
    let bytes = match (kind, bytes.split_first()) {
        (Kind::Text(_) | Kind::Json, _) => bytes,
        (Kind::Jsonb, Some((1, rest))) => rest,
        (Kind::Jsonb, _) => return Err(CellError::Broken { wanted: "jsonb" }),
        _ => return Ok(None),
    };
    std::str::from_utf8(bytes).map(Some).map_err(|error| CellError::NotUtf8 { at: error.valid_up_to() })
}

/// Appends the text of a kind that is a text in SQLite.
pub(super) fn print(kind: &Kind, bytes: &[u8], out: &mut String) -> Result<(), CellError> {
    match kind {
        Kind::Uuid => net::print_uuid(out, &fixed(kind, bytes)?),
        Kind::Date => time::print_date(out, i32::from_be_bytes(fixed(kind, bytes)?)),
        Kind::Time(_) => time::print_time(out, i64::from_be_bytes(fixed(kind, bytes)?)),
        Kind::TimeTz(_) => {
            let bytes: [u8; 12] = fixed(kind, bytes)?;
            let (micros, west) = bytes.split_at(8);
            let micros = i64::from_be_bytes(fixed(kind, micros)?);
            time::print_zoned_time(out, micros, i32::from_be_bytes(fixed(kind, west)?));
        }
        Kind::Timestamp(_) => time::print_stamp(out, i64::from_be_bytes(fixed(kind, bytes)?), false),
        Kind::TimestampTz(_) => time::print_stamp(out, i64::from_be_bytes(fixed(kind, bytes)?), true),
        Kind::Interval(_) => {
            let bytes: [u8; 16] = fixed(kind, bytes)?;
            let span = Interval {
                micros: i64::from_be_bytes(fixed(kind, &bytes[..8])?),
                days: i32::from_be_bytes(fixed(kind, &bytes[8..12])?),
                months: i32::from_be_bytes(fixed(kind, &bytes[12..])?),
            };
            span.print(out);
        }
        Kind::Inet => net::print_address(out, bytes, false)?,
        Kind::Cidr => net::print_address(out, bytes, true)?,
        Kind::Numeric { .. } => Decimal::decode(bytes)?.print(out),
        Kind::Array { element, .. } => array::print(element, bytes, out)?,
        _ => match plain(kind, bytes)? {
            Some(text) => out.push_str(text),
            None => return Err(CellError::Broken { wanted: kind.name() }),
        },
    }
    Ok(())
}

/// A number for a column that turns number-like texts into numbers: exactly, or not at all.
fn rounded(number: &Decimal, affinity: Affinity) -> Result<Cell<'static>, CellError> {
    let integer = number.to_integer().filter(|_| affinity != Affinity::Real);
    let cell = integer.map(Cell::Integer).or_else(|| number.to_real().map(Cell::Real));
    cell.ok_or(CellError::Affinity {
        affinity: affinity.name(),
        becomes: "a rounded number",
        declare: "TEXT",
    })
}

/// Texts that look like numbers do not survive in a column for numbers.
fn keep_text(affinity: Affinity, text: &str) -> Result<Cell<'_>, CellError> {
    if matches!(affinity, Affinity::Numeric | Affinity::Real) && looks_numeric(text.as_bytes()) {
        affinity.keeps(Cell::Text(text.as_bytes()))?;
    }
    Ok(Cell::Text(text.as_bytes()))
}

fn raw(bytes: &[u8]) -> Result<Cell<'_>, CellError> {
    let broken = CellError::Broken { wanted: "a SQLite value" };
    let (tag, rest) = bytes.split_first().ok_or(broken.clone())?;
    Ok(match tag {
        1 => Cell::Integer(i64::from_be_bytes(fixed(&Kind::Raw, rest)?)),
        2 => Cell::Real(f64::from_bits(u64::from_be_bytes(fixed(&Kind::Raw, rest)?))),
        3 => Cell::Text(rest),
        4 => Cell::Blob(rest),
        _ => return Err(broken),
    })
}

pub(super) fn fixed<const N: usize>(kind: &Kind, bytes: &[u8]) -> Result<[u8; N], CellError> {
    bytes.try_into().map_err(|_| CellError::Broken { wanted: kind.name() })
}

/// Returns the value of a field as people read it; `None` for NULL and for what cannot be shown.
pub fn show(kind: &Kind, field: Option<&[u8]>) -> Option<String> {
    let bytes = field?;
    let real = |value: f64| Some(value.to_string());
    match kind {
        Kind::Raw => Some(show_cell(raw(bytes).ok()?)),
        Kind::Float4 => real(f64::from(f32::from_bits(u32::from_be_bytes(fixed(kind, bytes).ok()?)))),
        Kind::Float8 => real(f64::from_bits(u64::from_be_bytes(fixed(kind, bytes).ok()?))),
        Kind::Bytea => Some(show_cell(Cell::Blob(bytes))),
        _ => match whole(kind, bytes).ok()? {
            Some(value) => Some(value.to_string()),
            None => {
                let mut text = String::new();
                print(kind, bytes, &mut text).ok()?;
                Some(text)
            }
        },
    }
}

/// Returns a cell of SQLite as people read it.
pub fn show_cell(cell: Cell<'_>) -> String {
    match cell {
        Cell::Null => "NULL".to_owned(),
        Cell::Integer(value) => value.to_string(),
        Cell::Real(value) => format!("{value:?}"),
        Cell::Text(bytes) => String::from_utf8_lossy(bytes).replace('\0', "\\0"),
        Cell::Blob(bytes) => {
            let digits: String = bytes.iter().take(32).map(|byte| format!("{byte:02x}")).collect();
            format!("x'{digits}{}'", if bytes.len() > 32 { "…" } else { "" })
        }
    }
}
