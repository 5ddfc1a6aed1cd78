//! Programs over the records of a stream: bytes in, bytes out, nothing in between but jaq's values.

use std::fmt;

use bytes::Bytes;
use jaq_core::{Ctx, Exn, Vars};
use jaq_json::Val;
use serde_json::Value;

use super::program::{JqError, Program, message_of, shorten};
use super::value::to_val;
use super::world::{Around, Data, World};
use super::{json, natives};

/// A record, or what a program made of it. Its text is never printed by accident.
#[derive(Clone)]
pub struct JqValue(Val);

/// Values of a program's variables, in their order.
#[derive(Clone, Default)]
pub struct Values(Vec<Val>);

/// The outputs of a program for one record.
pub type Outputs<'a> = Box<dyn Iterator<Item = Result<JqValue, JqError>> + 'a>;

impl fmt::Debug for JqValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JqValue(…)")
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Values({})", self.0.len())
    }
}

impl Values {
    /// Takes values in the order of [`Program::vars`].
    pub fn new(values: impl IntoIterator<Item = Value>) -> Values {
        Values(values.into_iter().map(to_val).collect())
    }
}

impl JqValue {
    /// Reads one JSON value; its texts share the memory of `source`. The error holds no content.
    pub fn read(source: &Bytes) -> Result<JqValue, JqError> {
        json::read(source).map(JqValue).map_err(|error| JqError::new(format!("it is not JSON: {error}")))
    }

    /// Writes it as JSON without white space, numbers as they were read.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), JqError> {
        json::write(&self.0, out).map_err(JqError::new)
    }

    /// Returns a text as it is.
    pub fn as_text(&self) -> Option<&str> {
        natives::text(&self.0).ok()
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self.0, Val::Null)
    }
}

impl Program {
    /// Runs the program on one record. Errors hold none of its content but what the program puts into them itself.
    ///
    /// A missing value of a variable is an error at the first output.
    pub fn outputs<'a>(
        &'a self,
        record: &JqValue,
        values: &Values,
        world: Option<&'a dyn World>,
    ) -> Outputs<'a> {
        if values.0.len() != self.vars().len() {
            let (given, wanted) = (values.0.len(), self.vars().len());
            let message = format!("{given} values were given for {wanted} variables");
            return Box::new(std::iter::once(Err(JqError::new(message))));
        }
        let around = Around { lut: &self.filter.lut, world };
        let ctx = Ctx::<Data>::new(around, Vars::new(values.0.iter().cloned()));
        let outputs = self.filter.id.run((ctx, record.0.clone()));
        Box::new(outputs.map(|output| output.map(JqValue).map_err(error_of)))
    }
}

fn error_of(exception: Exn<'_, Val>) -> JqError {
    match exception.get_err() {
        Ok(error) if is_said(&error) => JqError::new(shorten(&message_of(error))),
        Ok(error) => JqError::new(without_content(&message_of(error))),
        Err(_) => JqError::new("the program left its own bounds"),
    }
}

/// Whether the error was said by the program or one of our functions, and not by jaq about values. jaq does not tell, but its
/// debug text begins with the name of the variant.
fn is_said(error: &jaq_json::Error) -> bool {
    struct Head(String);
    impl fmt::Write for Head {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.push_str(text);
            // Enough was seen: the rest may be a megabyte.
            if self.0.len() > 16 { Err(fmt::Error) } else { Ok(()) }
        }
    }
    let mut head = Head(String::new());
    let _ = fmt::write(&mut head, format_args!("{error:?}"));
    head.0.starts_with("Error(Val(")
}

/// jaq's own errors are a few words around values; what is left of a value is what kind of value it is.
fn without_content(message: &str) -> String {
    let kind = |text: &str| match text.bytes().next() {
        Some(b'"') => "a text",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'n') => "null",
        Some(b't' | b'f') => "a boolean",
        _ => "a number",
    };
    if let Some(rest) = message.strip_prefix("cannot use ") {
        let wanted = rest.rsplit(" as ").next().unwrap_or("what is needed");
        return format!("cannot use {} as {wanted}", kind(rest));
    }
    for verb in ["cannot index ", "cannot calculate with ", "cannot calculate "] {
        if let Some(rest) = message.strip_prefix(verb) {
            return format!("{verb}{}", kind(rest));
        }
    }
    "the program does not fit the record".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl World for Fixed {
        fn rank(&self, index: &str, key: &str) -> Result<Option<u64>, String> {
            if index != "runs" {
                return Err(format!("there is no index `{index}`"));
            }
            Ok(["a", "b"].iter().position(|it| *it == key).map(|it| it as u64))
        }

        fn lookup(&self, _index: &str, key: &str) -> Result<Option<String>, String> {
            Ok((key == "a").then(|| r#"{"n":1.50}"#.to_owned()))
        }

        fn seed(&self) -> &[u8] {
            b"run"
        }
    }

    fn each(program: &str, record: &str) -> Result<Vec<String>, String> {
        let program = Program::over_records(program, &["now"]).map_err(|error| error.to_string())?;
        let record =
            JqValue::read(&Bytes::copy_from_slice(record.as_bytes())).map_err(|it| it.to_string())?;
        let values = Values::new([Value::from("2026-01-01T00:00:00Z")]);
        let outputs = program.outputs(&record, &values, Some(&Fixed)).map(|output| {
            let mut text = Vec::new();
            output.and_then(|it| it.write(&mut text)).map_err(|error| error.to_string())?;
            Ok(String::from_utf8_lossy(&text).into_owned())
        });
        outputs.collect()
    }

    #[test]
    fn a_record_goes_through_with_every_digit() {
        assert_eq!(
            each(".", r#"{"b":1.50,"a":12345678901234567890123}"#).unwrap(),
            [r#"{"b":1.50,"a":12345678901234567890123}"#]
        );
        assert_eq!(each("$now, .a.b", r#"{"a":{"b":[]}}"#).unwrap(), ["\"2026-01-01T00:00:00Z\"", "[]"]);
        assert_eq!(
            each(".data | @base64d | fromjson", r#"{"data":"eyJhIjoxLjB9"}"#).unwrap(),
            [r#"{"a":1.0}"#]
        );
    }

    #[test]
    fn keys_are_looked_up_in_an_index() {
        assert_eq!(each(r#"rank("runs"; .), known("runs"; .)"#, "\"b\"").unwrap(), ["1", "true"]);
        assert_eq!(each(r#"rank("runs"; .), known("runs"; .)"#, "\"c\"").unwrap(), ["null", "false"]);
        assert_eq!(each(r#"known("users"; .)"#, "\"b\"").unwrap_err(), "there is no index `users`");
        assert_eq!(each(r#"lookup("runs"; "a").n, lookup("runs"; "c")"#, "1").unwrap(), ["1.50", "null"]);
        assert!(Program::compile("uuid(.)", &[]).is_err(), "only programs over records have `uuid`");
    }

    #[test]
    fn a_name_has_one_uuid() {
        let two = each(r#"uuid("a"), uuid("b"), uuid("a")"#, "null").unwrap();
        assert!(two[0] == two[2] && two[0] != two[1]);
        assert_eq!(two[0], "\"3543dfff-65ef-898c-91b6-e919c3ae4158\"");
    }

    #[test]
    fn errors_hold_no_content() {
        let secret = r#"{"token":"hunter2","n":1}"#;
        assert_eq!(each(".token.x", secret).unwrap_err(), "cannot index a text");
        assert_eq!(each(".token + 1", secret).unwrap_err(), "cannot calculate a text");
        assert_eq!(each(".n | ascii_downcase", secret).unwrap_err(), "cannot use a number as string");
        assert_eq!(each("error(\"no \" + (.n | tostring))", secret).unwrap_err(), "no 1");
        assert_eq!(
            each(".token | fromjson", secret).unwrap_err(),
            "cannot parse as JSON: a value is expected at its byte 0"
        );
    }
}
