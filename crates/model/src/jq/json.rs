//! JSON straight into jaq's values and out of them: strict, without copying texts, with numbers as they were written.
//!
//! The road over `serde_json` would lose decimals and integers beyond 64 bits, and take three times as long.

use bytes::Bytes;
use jaq_json::{Map, Num, Val};
use memchr::memchr2;

/// How deep a value may be nested: what `serde_json` reads back.
const DEPTH_LIMIT: usize = 127;

/// Room for fields of an object that costs nothing: one block for seven, and no table that grows twice on the way there.
const FIELDS: usize = 7;

/// Reads exactly one JSON value (RFC 8259, and nothing that jaq adds to it). Texts without escapes share the memory of
/// `source`. The error says what is wrong and at which byte, without any content.
pub(super) fn read(source: &Bytes) -> Result<Val, String> {
    std::str::from_utf8(source).map_err(|error| format!("byte {} is not UTF-8", error.valid_up_to()))?;
    let mut reader = Reader { source, bytes: source, at: 0 };
    let value = reader.value(0).and_then(|value| {
        reader.skip_white();
        if reader.at == source.len() { Ok(value) } else { Err("something follows the value") }
    });
    value.map_err(|what| format!("{what} at its byte {}", reader.at))
}

struct Reader<'a> {
    source: &'a Bytes,
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn skip_white(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    fn peek(&mut self) -> Option<u8> {
        self.skip_white();
        self.bytes.get(self.at).copied()
    }

    fn value(&mut self, depth: usize) -> Result<Val, &'static str> {
        if depth > DEPTH_LIMIT {
            return Err("the nesting is too deep");
        }
        match self.peek() {
            Some(b'"') => Ok(Val::utf8_str(self.text()?)),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true", Val::Bool(true)),
            Some(b'f') => self.word(b"false", Val::Bool(false)),
            Some(b'n') => self.word(b"null", Val::Null),
            Some(_) => Err("a value is expected"),
            None => Err("the end comes too early"),
        }
    }

    fn word(&mut self, word: &[u8], value: Val) -> Result<Val, &'static str> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err("a value is expected");
        }
        self.at += word.len();
        Ok(value)
    }

    fn array(&mut self, depth: usize) -> Result<Val, &'static str> {
        self.at += 1;
        let mut items = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Val::Arr(items.into()));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.goes_on(b']')? {
                continue;
            }
            return Ok(Val::Arr(items.into()));
        }
    }

    fn object(&mut self, depth: usize) -> Result<Val, &'static str> {
        self.at += 1;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Val::obj(Map::default()));
        }
        let mut fields = Map::with_capacity_and_hasher(FIELDS, Default::default());
        loop {
            if self.peek() != Some(b'"') {
                return Err("a key is expected");
            }
            let key = Val::utf8_str(self.text()?);
            if self.peek() != Some(b':') {
                return Err("a colon is expected");
            }
            self.at += 1;
            let value = self.value(depth + 1)?;
            // The last of several equal keys counts, as everywhere.
            fields.insert(key, value);
            if !self.goes_on(b'}')? {
                return Ok(Val::obj(fields));
            }
        }
    }

    fn goes_on(&mut self, end: u8) -> Result<bool, &'static str> {
        let next = self.peek();
        if next != Some(b',') && next != Some(end) {
            return Err("a comma is expected");
        }
        self.at += 1;
        Ok(next == Some(b','))
    }

    fn number(&mut self) -> Result<Val, &'static str> {
        let start = self.at;
        self.at += usize::from(self.bytes[self.at] == b'-');
        let digits = self.digits()?;
        if digits > 1 && self.bytes[self.at - digits] == b'0' {
            return Err("a number does not begin with 0");
        }
        let mut whole = true;
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
            whole = false;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
            whole = false;
        }
        let text = std::str::from_utf8(&self.bytes[start..self.at]).map_err(|_| "a number is expected")?;
        // A zero below zero exists only as a decimal.
        let integer = if whole && text != "-0" { Num::from_str_radix(text, 10) } else { None };
        Ok(Val::Num(integer.unwrap_or_else(|| Num::Dec(text.to_owned().into()))))
    }

    fn digits(&mut self) -> Result<usize, &'static str> {
        let count = self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err("a digit is expected") } else { Ok(count) }
    }

    /// Reads a text whose opening quote is next.
    fn text(&mut self) -> Result<Bytes, &'static str> {
        self.at += 1;
        let start = self.at;
        let end = self.plain()?;
        if self.bytes[end] == b'"' {
            self.at = end + 1;
            return Ok(self.source.slice(start..end));
        }
        let mut text = Vec::with_capacity(end - start + 32);
        text.extend_from_slice(&self.bytes[start..end]);
        self.at = end;
        loop {
            if self.bytes[self.at] == b'"' {
                self.at += 1;
                return Ok(Bytes::from(text));
            }
            self.at += 1;
            self.escape(&mut text)?;
            let start = self.at;
            let end = self.plain()?;
            text.extend_from_slice(&self.bytes[start..end]);
            self.at = end;
        }
    }

    /// Returns where the quote or backslash is that ends plain text; control characters are not plain.
    fn plain(&mut self) -> Result<usize, &'static str> {
        let rest = &self.bytes[self.at..];
        let length = memchr2(b'"', b'\\', rest).ok_or("the end comes too early")?;
        // Without a branch in the loop it becomes a few vector instructions.
        if rest[..length].iter().fold(false, |found, byte| found | (*byte < 0x20)) {
            return Err("a text holds a control character");
        }
        Ok(self.at + length)
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> Result<(), &'static str> {
        let byte = *self.bytes.get(self.at).ok_or("the end comes too early")?;
        self.at += 1;
        text.push(match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let char = self.unicode()?;
                text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err("an escape is not known"),
        });
        Ok(())
    }

    fn unicode(&mut self) -> Result<char, &'static str> {
        let unit = self.hex()?;
        if !(0xd800..0xe000).contains(&unit) {
            return char::from_u32(unit).ok_or("a surrogate stands alone");
        }
        if unit >= 0xdc00 || !self.bytes[self.at..].starts_with(b"\\u") {
            return Err("a surrogate stands alone");
        }
        self.at += 2;
        let low = self.hex()?;
        if !(0xdc00..0xe000).contains(&low) {
            return Err("a surrogate stands alone");
        }
        char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)).ok_or("a surrogate stands alone")
    }

    fn hex(&mut self) -> Result<u32, &'static str> {
        let digits = self.bytes.get(self.at..self.at + 4).ok_or("the end comes too early")?;
        self.at += 4;
        digits.iter().try_fold(0, |unit, digit| {
            Ok(unit << 4 | char::from(*digit).to_digit(16).ok_or("a hexadecimal digit is expected")?)
        })
    }
}

/// Writes a value as one line of JSON, or says why JSON has no such value.
///
/// jaq's values are a superset of JSON. What would lose something on the way is an error and not a guess.
pub(super) fn write(value: &Val, out: &mut Vec<u8>) -> Result<(), String> {
    write_at(value, out, 0)
}

fn write_at(value: &Val, out: &mut Vec<u8>, depth: usize) -> Result<(), String> {
    if depth > DEPTH_LIMIT {
        return Err(format!("an output is nested deeper than {DEPTH_LIMIT} levels"));
    }
    match value {
        Val::Null => out.extend_from_slice(b"null"),
        Val::Bool(it) => out.extend_from_slice(if *it { b"true" } else { b"false" }),
        Val::Num(it) => write_number(it, out)?,
        Val::TStr(it) => write_text(it, out)?,
        Val::BStr(_) => return Err("an output holds bytes, which JSON cannot hold".to_owned()),
        Val::Arr(items) => {
            let mut before = b'[';
            for item in items.iter() {
                out.push(before);
                before = b',';
                write_at(item, out, depth + 1)?;
            }
            if before == b'[' {
                out.push(before);
            }
            out.push(b']');
        }
        Val::Obj(fields) => {
            let mut before = b'{';
            for (key, value) in fields.iter() {
                let Val::TStr(key) = key else {
                    return Err("an output has a key that is not text".to_owned());
                };
                out.push(before);
                before = b',';
                write_text(key, out)?;
                out.push(b':');
                write_at(value, out, depth + 1)?;
            }
            if before == b'{' {
                out.push(before);
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_number(number: &Num, out: &mut Vec<u8>) -> Result<(), String> {
    use std::io::Write as _;
    let written = match number {
        Num::Int(it) => write!(out, "{it}"),
        Num::BigInt(it) => write!(out, "{it}"),
        // The text that was read, digit by digit.
        Num::Dec(it) => {
            if serde_json::from_str::<serde_json::Number>(it).is_err() {
                return Err("an output holds a number that JSON cannot hold".to_owned());
            }
            out.extend_from_slice(it.as_bytes());
            Ok(())
        }
        Num::Float(it) => {
            let number = serde_json::Number::from_f64(*it)
                .ok_or_else(|| "an output holds a number that is not finite".to_owned())?;
            write!(out, "{number}")
        }
    };
    written.map_err(|error| error.to_string())
}

fn write_text(text: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    std::str::from_utf8(text).map_err(|_| "an output holds text that is not UTF-8".to_owned())?;
    out.reserve(text.len() + 2);
    out.push(b'"');
    // Nearly all texts have nothing to escape. Without a branch in the loop it becomes a few vector instructions.
    if !text.iter().fold(false, |found, byte| found | needs_escape(*byte)) {
        out.extend_from_slice(text);
        out.push(b'"');
        return Ok(());
    }
    let mut from = 0;
    for (at, byte) in text.iter().enumerate() {
        if !needs_escape(*byte) {
            continue;
        }
        out.extend_from_slice(&text[from..at]);
        from = at + 1;
        let short = match byte {
            b'"' | b'\\' => *byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            _ => {
                out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
    out.extend_from_slice(&text[from..]);
    out.push(b'"');
    Ok(())
}

fn needs_escape(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round(text: &str) -> Result<String, String> {
        let mut out = Vec::new();
        write(&read(&Bytes::copy_from_slice(text.as_bytes()))?, &mut out)?;
        String::from_utf8(out).map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_stay_as_they_were_written() {
        for text in [
            "0",
            "-0",
            "1.50",
            "1e3",
            "-12.0E+5",
            "123456789012345678901234567890",
            "0.1000",
            "18446744073709551615",
        ] {
            assert_eq!(round(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn escapes_are_read_and_written_in_their_shortest_form() {
        assert_eq!(round(r#""\u0041\/\ud83d\ude00\n\u001f\"\\é""#).unwrap(), "\"A/😀\\n\\u001f\\\"\\\\é\"");
        assert_eq!(round(" { \"a\" : [ 1 , { } , [ ] ] } ").unwrap(), r#"{"a":[1,{},[]]}"#);
        assert_eq!(round(r#"{"a":1,"b":2,"a":3}"#).unwrap(), r#"{"a":3,"b":2}"#);
    }

    #[test]
    fn what_is_not_strict_json_is_an_error() {
        let wrong = [
            "",
            "nul",
            "NaN",
            "+1",
            "01",
            "1.",
            ".5",
            "1e",
            "[1,]",
            "{,}",
            "{\"a\"}",
            "{1:2}",
            "'a'",
            "[1 2]",
            "{} {}",
            "# x\n1",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\udc00\\ud800\"",
            "\"a",
            "\"a\\",
            "\"\u{1}\"",
            "\"\n\"",
            "b\"a\"",
        ];
        for text in wrong {
            assert!(round(text).is_err(), "{text}");
        }
        assert!(round(&format!("{}{}", "[".repeat(200), "]".repeat(200))).is_err());
        assert_eq!(read(&Bytes::from_static(b"[\xff]")).unwrap_err(), "byte 1 is not UTF-8");
    }

    proptest! {
        #[test]
        fn it_reads_what_serde_json_reads_and_nothing_else(text in r#"[\[\]{}:, \\"a0-9.eEu+tfn-]{0,24}"#) {
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            match round(&text) {
                Ok(ours) => {
                    let again: serde_json::Value = serde_json::from_str(&ours).unwrap();
                    prop_assert_eq!(again, theirs.unwrap());
                }
                // A number beyond a float is one here.
                Err(_) => prop_assert!(theirs.is_err()),
            }
        }

        #[test]
        fn every_text_round_trips(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(&round(&json).unwrap()).unwrap(), text);
        }
    }
}
