//! Texts as the application writes them: base64, JSON in the manner of Go, times rounded as PostgreSQL does.

use std::io::{self, Read};

use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Returns bytes in base64 with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let number =
            group.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = ALPHABET[(number >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// Returns what base64 stands for; `None` if it is none.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    if !text.len().is_multiple_of(4) || digits.len() % 4 == 1 || text.len() - digits.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let mut number = 0;
        for digit in group {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            number = number << 6 | u32::from(value);
        }
        number <<= 6 * (4 - group.len());
        bytes.extend_from_slice(&number.to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}

/// Returns a value as Go's `encoding/json` writes it: no white space, and `<`, `>`, `&` escaped.
pub(super) fn go_json(value: &Value) -> String {
    go_text(&value.to_string())
}

/// Writes JSON anew as Go does, numbers and the order of keys left as they are.
pub(super) fn go_text(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('"') {
        out.extend(rest[..at].chars().filter(|c| !c.is_ascii_whitespace()));
        let end = string_end(&rest[at..]);
        let text: String = serde_json::from_str(&rest[at..at + end]).unwrap_or_default();
        go_string(&text, &mut out);
        rest = &rest[at + end..];
    }
    out.extend(rest.chars().filter(|c| !c.is_ascii_whitespace()));
    out
}

/// Returns the length of the string that a text begins with, both quotes counted.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn go_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\x1f' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Rounds every time among the fields of a record to microseconds, as a column of PostgreSQL does. What is nested is JSON
/// there too and stays.
pub(super) fn round_times(record: &mut Map<String, Value>) {
    for value in record.values_mut() {
        if let Some(rounded) = value.as_str().and_then(rounded) {
            *value = Value::String(rounded);
        }
    }
}

/// Returns a time as PostgreSQL keeps it; `None` for what is no time with a fraction. It takes the fraction for a double
/// and rounds that to even (src/backend/utils/adt/datetime.c, ParseFractionalSecond): `.9347525` becomes `.934752`.
fn rounded(text: &str) -> Option<String> {
    let (whole, fraction) = text.strip_suffix('Z')?.split_once('.')?;
    let time: Timestamp = format!("{whole}Z").parse().ok()?;
    let seconds: f64 = format!("0.{fraction}").parse().ok()?;
    let micros = format!("{:06}", (seconds * 1e6).round_ties_even());
    if micros.len() > 6 {
        return Some((time + SignedDuration::from_secs(1)).to_string());
    }
    let micros = micros.trim_end_matches('0');
    Some(if micros.is_empty() { format!("{whole}Z") } else { format!("{whole}.{micros}Z") })
}

/// Returns now as Go writes a time in JSON.
pub(super) fn now() -> String {
    Timestamp::now().to_string()
}

/// Reads JSON values one behind the other, with or without white space between them, each as it is written.
pub(super) fn values(from: impl Read) -> impl Iterator<Item = serde_json::Result<Box<RawValue>>> {
    // Ends with the first error: what is behind it cannot be found.
    let mut broken = false;
    let stream = serde_json::Deserializer::from_reader(io::BufReader::with_capacity(1 << 16, from));
    stream
        .into_iter::<Box<RawValue>>()
        .take_while(move |value| !std::mem::replace(&mut broken, value.is_err()))
}

/// Returns a random id of version 4.
pub(super) fn random_uuid() -> io::Result<String> {
    let mut bytes = [0; 16];
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_goes_there_and_back() {
        for text in ["", "f", "fo", "foo", "foob", "fooba", "foobar", "é\0\u{ff}"] {
            assert_eq!(from_base64(&base64(text.as_bytes())).unwrap(), text.as_bytes());
        }
        assert_eq!(base64(b"foob"), "Zm9vYg==");
        for text in ["Zg", "Z===", "====", "Zm9v Zg=", "Zm9-"] {
            assert_eq!(from_base64(text), None, "{text}");
        }
    }

    #[test]
    fn json_is_written_as_by_go() {
        let text = "{ \"a\\/b\": \"<&>\\u00e9 \\u2028\\b\", \"n\" : 12345678901234567890123 , \"q\": \"\\\"\\\\ {\" }";
        assert_eq!(
            go_text(text),
            "{\"a/b\":\"\\u003c\\u0026\\u003eé \\u2028\\u0008\",\"n\":12345678901234567890123,\"q\":\"\\\"\\\\ {\"}"
        );
        assert_eq!(go_text(&go_text(text)), go_text(text));
    }

    #[test]
    fn times_are_rounded_and_carry() {
        let text = r#"{"a":"2026-11-20T11:29:27.15666515Z","b":"2026-11-20T23:59:59.9999996Z","c":"0001-01-01T00:00:00Z",
            "d":{"t":"2026-11-20T11:29:27.156727576Z"},"e":"2026-11-20T11:29:27.155189855Z","g":"2026-11-20T11:29:26.9347525Z","f":"nothing TZ"}"#;
        let mut record: Map<String, Value> = serde_json::from_str(text).unwrap();
        round_times(&mut record);
        assert_eq!(
            go_json(&Value::Object(record)),
            r#"{"a":"2026-11-20T11:29:27.156665Z","b":"2026-11-21T00:00:00Z","c":"0001-01-01T00:00:00Z","d":{"t":"2026-11-20T11:29:27.156727576Z"},"e":"2026-11-20T11:29:27.15519Z","g":"2026-11-20T11:29:26.934752Z","f":"nothing TZ"}"#
        );
    }

    #[test]
    fn values_need_nothing_between_them() {
        let read =
            |text: &'static str| -> Vec<bool> { values(text.as_bytes()).map(|it| it.is_ok()).collect() };
        assert_eq!(read("{}{}\n 1 \"x\"null"), [true; 5]);
        assert_eq!(read("{}{\"a\":"), [true, false]);
        assert!(read("").is_empty());
    }
}
