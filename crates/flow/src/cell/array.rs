//! Arrays: JSON in SQLite. Integers, reals and truth values are JSON's own; everything else is a string, so that no reader of
//! JSON rounds it.

use super::decode::{fixed, has_variants, print as print_value, whole};
use super::encode::encode as encode_cell;
use super::json::{Json, print_text};
use super::kind::Kind;
use super::refuse::CellError;
use std::borrow::Cow;
use std::fmt::Write;
use switchback_model::digest::Cell;

/// PostgreSQL's own limit (src/include/c.h, MAXDIM).
const MOST_DIMENSIONS: usize = 6;
const BROKEN: CellError = CellError::Broken { wanted: "array" };

/// Reads a JSON array and appends its binary form.
pub fn encode(oid: u32, element: &Kind, text: &str, out: &mut Vec<u8>) -> Result<(), CellError> {
    let value = Json::parse(text)?;
    let mut lengths = Vec::new();
    shape(&value, &mut lengths)?;
    let (mut fields, mut nulls) = (Vec::new(), false);
    if !lengths.is_empty() {
        leaves(&value, &lengths, element, &mut fields, &mut nulls)?;
    }
    head(oid, &lengths, nulls, out)?;
    out.extend_from_slice(&fields);
    Ok(())
}

/// Appends the JSON of the binary form.
pub fn print(element: &Kind, bytes: &[u8], out: &mut String) -> Result<(), CellError> {
    let array = Binary::read(bytes)?;
    if array.lengths.is_empty() {
        out.push_str("[]");
        return Ok(());
    }
    let mut fields = array.fields;
    nested(element, &array.lengths, &mut fields, out)?;
    if fields.is_empty() { Ok(()) } else { Err(BROKEN) }
}

/// Returns the form of equal arrays: without a mark for NULLs that are not there any more, and with one NaN.
pub fn canonical<'a>(element: &Kind, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>, CellError> {
    let array = Binary::read(bytes)?;
    let (mut fields, mut out, mut nulls) = (array.fields, Vec::new(), false);
    let mut changed = false;
    while !fields.is_empty() {
        match next(&mut fields)? {
            None => {
                nulls = true;
                out.extend_from_slice(&(-1_i32).to_be_bytes());
            }
            Some(field) => {
                let value = match element {
                    Kind::Float4 if f32::from_bits(u32::from_be_bytes(fixed(element, field)?)).is_nan() => {
                        Cow::Owned(f32::NAN.to_bits().to_be_bytes().to_vec())
                    }
                    Kind::Float8 if f64::from_bits(u64::from_be_bytes(fixed(element, field)?)).is_nan() => {
                        Cow::Owned(f64::NAN.to_bits().to_be_bytes().to_vec())
                    }
                    _ if has_variants(element) => super::decode::canonical(element, field)?,
                    _ => Cow::Borrowed(field),
                };
                changed |= *value != *field;
                let length = i32::try_from(value.len()).map_err(|_| BROKEN)?;
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(&value);
            }
        }
    }
    if !changed && nulls == array.nulls {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut whole = Vec::with_capacity(bytes.len());
    head(array.oid, &array.lengths, nulls, &mut whole)?;
    whole.extend_from_slice(&out);
    Ok(Cow::Owned(whole))
}

/// Appends what stands before the elements.
fn head(oid: u32, lengths: &[usize], nulls: bool, out: &mut Vec<u8>) -> Result<(), CellError> {
    let count = |value: usize| i32::try_from(value).map_err(|_| CellError::Range { wanted: "array" });
    out.extend_from_slice(&count(lengths.len())?.to_be_bytes());
    out.extend_from_slice(&i32::from(nulls).to_be_bytes());
    out.extend_from_slice(&oid.to_be_bytes());
    for length in lengths {
        out.extend_from_slice(&count(*length)?.to_be_bytes());
        out.extend_from_slice(&1_i32.to_be_bytes());
    }
    Ok(())
}

/// Finds the lengths of all dimensions along the first elements; an empty array has no dimension.
fn shape(value: &Json, lengths: &mut Vec<usize>) -> Result<(), CellError> {
    let Json::Array(values) = value else {
        return if lengths.is_empty() { Err(CellError::Form { wanted: "a JSON array" }) } else { Ok(()) };
    };
    match values.first() {
        None if lengths.is_empty() => Ok(()),
        None => Err(CellError::Form { wanted: "an array that PostgreSQL can hold: an inner one is empty" }),
        Some(_) if lengths.len() == MOST_DIMENSIONS => {
            Err(CellError::Range { wanted: "array: it has six dimensions" })
        }
        Some(first) => {
            lengths.push(values.len());
            shape(first, lengths)
        }
    }
}

fn leaves(
    value: &Json,
    lengths: &[usize],
    element: &Kind,
    out: &mut Vec<u8>,
    nulls: &mut bool,
) -> Result<(), CellError> {
    let ragged = CellError::Form { wanted: "an array whose inner arrays are equally long" };
    match (lengths.split_first(), value) {
        (Some((length, rest)), Json::Array(values)) if values.len() == *length => {
            values.iter().try_for_each(|value| leaves(value, rest, element, out, nulls))
        }
        (None, Json::Null) => {
            *nulls = true;
            encode_cell(element, Cell::Null, out)
        }
        (None, value) => leaf(value, element, out),
        _ => Err(ragged),
    }
}

fn leaf(value: &Json, element: &Kind, out: &mut Vec<u8>) -> Result<(), CellError> {
    let wrong = CellError::Form { wanted: "an array of such elements" };
    let floats = matches!(element, Kind::Float4 | Kind::Float8);
    match value {
        Json::Bool(value) if *element == Kind::Bool => {
            encode_cell(element, Cell::Integer(i64::from(*value)), out)
        }
        Json::Number(number) if floats => {
            let value: f64 = number.parse().map_err(|_| wrong)?;
            encode_cell(element, Cell::Real(value), out)
        }
        Json::Number(number) if matches!(element, Kind::Numeric { .. }) => {
            encode_cell(element, Cell::Text(number.as_bytes()), out)
        }
        Json::Number(number) => match number.parse() {
            Ok(value) if *element != Kind::Bool => encode_cell(element, Cell::Integer(value), out),
            _ => Err(wrong),
        },
        // JSON has no numbers for these.
        Json::Text(text) if floats => {
            let value = match text.as_str() {
                "NaN" => f64::NAN,
                "Infinity" => f64::INFINITY,
                "-Infinity" => f64::NEG_INFINITY,
                _ => return Err(wrong),
            };
            encode_cell(element, Cell::Real(value), out)
        }
        Json::Text(text) if *element == Kind::Bytea => {
            encode_cell(element, Cell::Blob(&unhex(text).ok_or(wrong)?), out)
        }
        Json::Text(text) => encode_cell(element, Cell::Text(text.as_bytes()), out),
        _ => Err(wrong),
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits =
        text.strip_prefix("\\x").filter(|digits| digits.len().is_multiple_of(2) && digits.is_ascii())?;
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

/// The parts of the binary form.
struct Binary<'a> {
    oid: u32,
    nulls: bool,
    lengths: Vec<usize>,
    fields: &'a [u8],
}

impl Binary<'_> {
    fn read(bytes: &[u8]) -> Result<Binary<'_>, CellError> {
        let mut rest = bytes;
        let mut word = || -> Result<[u8; 4], CellError> {
            let (word, after) = rest.split_first_chunk().ok_or(BROKEN)?;
            rest = after;
            Ok(*word)
        };
        let dimensions = usize::try_from(i32::from_be_bytes(word()?)).map_err(|_| BROKEN)?;
        let nulls = i32::from_be_bytes(word()?) != 0;
        let oid = u32::from_be_bytes(word()?);
        if dimensions > MOST_DIMENSIONS {
            return Err(BROKEN);
        }
        let mut lengths = Vec::with_capacity(dimensions);
        for _ in 0..dimensions {
            lengths.push(usize::try_from(i32::from_be_bytes(word()?)).map_err(|_| BROKEN)?);
            let first = i32::from_be_bytes(word()?);
            if first != 1 {
                return Err(CellError::Bounds { first });
            }
        }
        Ok(Binary { oid, nulls, lengths, fields: rest })
    }
}

fn next<'a>(fields: &mut &'a [u8]) -> Result<Option<&'a [u8]>, CellError> {
    let (length, rest) = fields.split_first_chunk().ok_or(BROKEN)?;
    let length = i32::from_be_bytes(*length);
    if length == -1 {
        *fields = rest;
        return Ok(None);
    }
    let length = usize::try_from(length).map_err(|_| BROKEN)?;
    let field = rest.get(..length).ok_or(BROKEN)?;
    *fields = &rest[length..];
    Ok(Some(field))
}

fn nested(element: &Kind, lengths: &[usize], fields: &mut &[u8], out: &mut String) -> Result<(), CellError> {
    let Some((length, rest)) = lengths.split_first() else {
        return match next(fields)? {
            None => {
                out.push_str("null");
                Ok(())
            }
            Some(field) => show(element, field, out),
        };
    };
    out.push('[');
    for at in 0..*length {
        out.push_str(if at == 0 { "" } else { "," });
        nested(element, rest, fields, out)?;
    }
    out.push(']');
    Ok(())
}

fn show(element: &Kind, field: &[u8], out: &mut String) -> Result<(), CellError> {
    match element {
        Kind::Bool => out.push_str(if whole(element, field)? == Some(0) { "false" } else { "true" }),
        Kind::Float4 => real(f64::from(f32::from_bits(u32::from_be_bytes(fixed(element, field)?))), out),
        Kind::Float8 => real(f64::from_bits(u64::from_be_bytes(fixed(element, field)?)), out),
        Kind::Bytea => {
            out.push_str("\"\\\\x");
            field.iter().for_each(|byte| {
                let _ = write!(out, "{byte:02x}");
            });
            out.push('"');
        }
        _ => match whole(element, field)? {
            Some(value) => {
                let _ = write!(out, "{value}");
            }
            None => {
                let mut text = String::new();
                print_value(element, field, &mut text)?;
                print_text(out, &text);
            }
        },
    }
    Ok(())
}

fn real(value: f64, out: &mut String) {
    let word = if value.is_nan() {
        "\"NaN\""
    } else if value == f64::INFINITY {
        "\"Infinity\""
    } else if value == f64::NEG_INFINITY {
        "\"-Infinity\""
    } else {
        let _ = write!(out, "{value:?}");
        return;
    };
    out.push_str(word);
}
