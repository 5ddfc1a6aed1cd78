//! JSON as far as cells need it: numbers keep their digits, and `jsonb` is written as PostgreSQL writes it.

use super::numeric::Decimal;
use super::refuse::CellError;

/// Deeper nesting is refused, so that no document can exhaust the stack.
const DEEPEST: usize = 500;

/// A JSON value whose numbers are the texts that they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as written.
    Number(String),
    /// A string, its escapes resolved.
    Text(String),
    /// An array.
    Array(Vec<Json>),
    /// An object; keys in order, doubles included.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads one document. What PostgreSQL refuses in `jsonb` is refused: `\u0000`, half surrogates, control characters.
    pub fn parse(text: &str) -> Result<Json, CellError> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(0)?;
        reader.space();
        if reader.at == text.len() { Ok(value) } else { Err(odd()) }
    }

    /// Appends it as `jsonb` is printed: keys by length and bytes, the last of two equal ones kept, numbers in full.
    pub fn print_canonical(&self, out: &mut String) -> Result<(), CellError> {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Json::Number(number) => Decimal::parse(number.as_bytes())?.print(out),
            Json::Text(text) => print_text(out, text),
            Json::Array(values) => {
                out.push('[');
                for (at, value) in values.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { ", " });
                    value.print_canonical(out)?;
                }
                out.push(']');
            }
            Json::Object(members) => {
                let mut order: Vec<usize> = (0..members.len()).collect();
                // Stable, so that of equal keys the last written comes last.
                order.sort_by_key(|at| (members[*at].0.len(), members[*at].0.as_bytes()));
                out.push('{');
                let mut first = true;
                for (at, member) in order.iter().enumerate() {
                    let (key, value) = &members[*member];
                    if order.get(at + 1).is_some_and(|next| members[*next].0 == *key) {
                        continue;
                    }
                    out.push_str(if first { "" } else { ", " });
                    first = false;
                    print_text(out, key);
                    out.push_str(": ");
                    value.print_canonical(out)?;
                }
                out.push('}');
            }
        }
        Ok(())
    }
}

/// Appends a JSON string as PostgreSQL escapes it (src/backend/utils/adt/json.c, escape_json).
pub fn print_text(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            letter if letter < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(letter))),
            letter => out.push(letter),
        }
    }
    out.push('"');
}

fn odd() -> CellError {
    CellError::Form { wanted: "JSON that PostgreSQL takes" }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, word: &str) -> bool {
        let found = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn value(&mut self, depth: usize) -> Result<Json, CellError> {
        if depth > DEEPEST {
            return Err(CellError::Form { wanted: "JSON of at most 500 levels" });
        }
        self.space();
        match self.peek().ok_or_else(odd)? {
            b'n' if self.eat("null") => Ok(Json::Null),
            b't' if self.eat("true") => Ok(Json::Bool(true)),
            b'f' if self.eat("false") => Ok(Json::Bool(false)),
            b'"' => Ok(Json::Text(self.string()?)),
            b'[' => {
                let mut values = Vec::new();
                self.members(b']', |reader| {
                    values.push(reader.value(depth + 1)?);
                    Ok(())
                })?;
                Ok(Json::Array(values))
            }
            b'{' => {
                let mut members = Vec::new();
                self.members(b'}', |reader| {
                    reader.space();
                    let key = reader.string()?;
                    reader.space();
                    if !reader.eat(":") {
                        return Err(odd());
                    }
                    members.push((key, reader.value(depth + 1)?));
                    Ok(())
                })?;
                Ok(Json::Object(members))
            }
            _ => self.number(),
        }
    }

    fn members(
        &mut self,
        end: u8,
        mut member: impl FnMut(&mut Self) -> Result<(), CellError>,
    ) -> Result<(), CellError> {
        self.at += 1;
        self.space();
        if self.peek() == Some(end) {
            self.at += 1;
            return Ok(());
        }
        loop {
            member(self)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(byte) if byte == end => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(odd()),
            }
        }
    }

    fn number(&mut self) -> Result<Json, CellError> {
        let from = self.at;
        let digits = |reader: &mut Self| {
            let from = reader.at;
            while reader.peek().is_some_and(|byte| byte.is_ascii_digit()) {
                reader.at += 1;
            }
            reader.at - from
        };
        self.eat("-");
        let zero = self.peek() == Some(b'0');
        let whole = digits(self);
        let mut sound = whole == 1 || whole > 1 && !zero;
        if self.eat(".") {
            sound &= digits(self) > 0;
        }
        if self.eat("e") || self.eat("E") {
            let _ = self.eat("+") || self.eat("-");
            sound &= digits(self) > 0;
        }
        if sound { Ok(Json::Number(self.text[from..self.at].to_owned())) } else { Err(odd()) }
    }

    fn string(&mut self) -> Result<String, CellError> {
        if !self.eat("\"") {
            return Err(odd());
        }
        let mut out = String::new();
        loop {
            let from = self.at;
            while self.peek().is_some_and(|byte| byte != b'"' && byte != b'\\' && byte >= b' ') {
                self.at += 1;
            }
            out.push_str(&self.text[from..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                _ => return Err(odd()),
            }
        }
    }

    fn escape(&mut self) -> Result<char, CellError> {
        let letter = self.peek().ok_or_else(odd)?;
        self.at += 1;
        Ok(match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let mut code = self.hex()?;
                if (0xD800..0xDC00).contains(&code) {
                    let low = if self.eat("\\u") { self.hex()? } else { 0 };
                    if !(0xDC00..0xE000).contains(&low) {
                        return Err(odd());
                    }
                    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                }
                char::from_u32(code).filter(|letter| *letter != '\0').ok_or_else(odd)?
            }
            _ => return Err(odd()),
        })
    }

    fn hex(&mut self) -> Result<u32, CellError> {
        let digits =
            self.text.get(self.at..self.at + 4).filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
        self.at += 4;
        digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or_else(odd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> Result<String, CellError> {
        let mut out = String::new();
        Json::parse(text)?.print_canonical(&mut out)?;
        Ok(out)
    }

    #[test]
    fn jsonb_is_written_as_the_server_writes_it() {
        for (given, wanted) in [
            (r#" {"bb":1,"a":2,"bb":3,"c":[ ]} "#, r#"{"a": 2, "c": [], "bb": 3}"#),
            (
                r#"[1.50,1e3,-0,-0.0,1E-2,0.1234567890123456789]"#,
                "[1.50, 1000, 0, 0.0, 0.01, 0.1234567890123456789]",
            ),
            (r#""\u00e9\ud83d\ude00\/\u001f\u007f\b""#, "\"é😀/\\u001f\u{7f}\\b\""),
            ("null", "null"),
            ("[true,false,{}]", "[true, false, {}]"),
        ] {
            assert_eq!(canonical(given).unwrap(), wanted);
            assert_eq!(canonical(wanted).unwrap(), wanted);
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for odd in [
            "",
            "nul",
            "01",
            "1.",
            ".5",
            "+1",
            "[1,]",
            "{\"a\"}",
            "{a:1}",
            "'a'",
            "\"\t\"",
            r#""\u0000""#,
            r#""\ud800""#,
            r#""\udc00""#,
            r#""\x""#,
            "[",
            "1 2",
            "NaN",
            r#""\u00"#,
            r#""\u00é0""#,
        ] {
            assert!(Json::parse(odd).is_err(), "{odd}");
        }
        assert!(Json::parse(&"[".repeat(100_000)).is_err());
    }
}
