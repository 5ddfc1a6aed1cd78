//! Single values: text, yes or no, numbers, times.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value as Json, json};

use super::{Decode, Decoder, Schemas};
use crate::suggest::quoted;
use crate::tree::{Node, Value};

impl Decode for String {
    fn decode(node: &Node, cx: &mut Decoder) -> Option<Self> {
        match node.as_text() {
            Some(text) => Some(text.to_owned()),
            None => cx.wrong_type(node, "text"),
        }
    }

    fn schema(_: &mut Schemas) -> Json {
        text_schema()
    }
}

/// Returns the schema of text: an editor takes `1.10` for a number and `true` for a boolean, and we for their text.
pub(crate) fn text_schema() -> Json {
    json!({ "type": ["string", "number", "boolean"] })
}

impl Decode for bool {
    fn decode(node: &Node, cx: &mut Decoder) -> Option<Self> {
        match &node.value {
            Value::Scalar { text, plain: true } if text == "true" => Some(true),
            Value::Scalar { text, plain: true } if text == "false" => Some(false),
            Value::Scalar { text, plain } => {
                let meant = match text.to_ascii_lowercase().as_str() {
                    "true" | "yes" | "on" | "y" | "1" => "write `true`",
                    "false" | "no" | "off" | "n" | "0" => "write `false`",
                    _ => "write `true` or `false`",
                };
                let help = if *plain { meant.to_owned() } else { format!("{meant}, without quotes") };
                cx.bad_value(node, format!("{} is neither `true` nor `false`", quoted(text)), help)
            }
            _ => cx.wrong_type(node, "`true` or `false`"),
        }
    }

    fn schema(_: &mut Schemas) -> Json {
        json!({ "type": "boolean" })
    }
}

/// Reads a whole number of a range; only plain digits are one.
fn integer<T: TryFrom<i128>>(node: &Node, least: i128, most: i128, cx: &mut Decoder) -> Option<T> {
    let Value::Scalar { text, plain } = &node.value else {
        return cx.wrong_type(node, "a whole number");
    };
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return cx.bad_value(
            node,
            format!("{} is not a whole number", quoted(text)),
            "write digits alone, such as `5432`",
        );
    }
    if !plain {
        return cx.bad_value(node, format!("{} is text, not a number", quoted(text)), "remove the quotes");
    }
    if digits.len() > 1 && digits.starts_with('0') {
        // YAML 1.1 reads 0644 as octal, YAML 1.2 as decimal.
        return cx.bad_value(
            node,
            format!("{} begins with a zero", quoted(text)),
            "write the number without it",
        );
    }
    let number = text.parse::<i128>().ok().filter(|number| (least..=most).contains(number));
    match number.and_then(|number| T::try_from(number).ok()) {
        Some(number) => Some(number),
        None => {
            let message = format!("{} is out of range", quoted(text));
            cx.bad_value(node, message, format!("possible are {least} to {most}"))
        }
    }
}

macro_rules! integers {
    ($($ty:ident),*) => {$(
        impl Decode for $ty {
            fn decode(node: &Node, cx: &mut Decoder) -> Option<Self> {
                integer(node, $ty::MIN.into(), $ty::MAX.into(), cx)
            }

            fn schema(_: &mut Schemas) -> Json {
                json!({ "type": "integer", "minimum": $ty::MIN, "maximum": $ty::MAX })
            }
        }
    )*};
}

integers!(u64, i64, u32, u16);

impl Decode for f64 {
    fn decode(node: &Node, cx: &mut Decoder) -> Option<Self> {
        let Value::Scalar { text, plain } = &node.value else {
            return cx.wrong_type(node, "a number");
        };
        // `inf` and `nan` parse in Rust; neither is a setting.
        let shaped = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
        match text.parse::<f64>() {
            Ok(_) if !plain => {
                cx.bad_value(node, format!("{} is text, not a number", quoted(text)), "remove the quotes")
            }
            Ok(number) if shaped && number.is_finite() => Some(number),
            Ok(_) if shaped => {
                cx.bad_value(node, format!("{} is out of range", quoted(text)), "write a smaller number")
            }
            _ => cx.bad_value(
                node,
                format!("{} is not a number", quoted(text)),
                "write a number such as `1.5`",
            ),
        }
    }

    fn schema(_: &mut Schemas) -> Json {
        json!({ "type": "number" })
    }
}

/// A span of time as a playbook writes it: `500ms`, `120s`, `10m`, `2h`; at most a year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(std::time::Duration);

/// The units, the largest first, in milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The longest time that a playbook can say, so that no sum with a clock can overflow.
const LONGEST_MS: u64 = 366 * 24 * 3_600_000;

impl Duration {
    /// Returns this many seconds, at most a year.
    pub const fn seconds(seconds: u64) -> Self {
        let most = LONGEST_MS / 1_000;
        Self(std::time::Duration::from_secs(if seconds > most { most } else { seconds }))
    }

    /// Returns the standard library's form.
    pub const fn get(self) -> std::time::Duration {
        self.0
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

/// Why a text is no span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// The text is not a whole number followed by a unit.
    #[error("take {} for a span of time: it is a whole number with a unit, such as 500ms, 120s, 10m or 2h", quoted(.0))]
    Shape(String),
    /// The text says more than a year.
    #[error("take {} for a span of time: it is longer than a year", quoted(.0))]
    TooLong(String),
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shape = || DurationError::Shape(text.to_owned());
        let unit_at = text.find(|char: char| !char.is_ascii_digit()).ok_or_else(shape)?;
        let (digits, unit) = text.split_at(unit_at);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(shape)?;
        if digits.is_empty() {
            return Err(shape());
        }
        // Digits alone fail to parse only when they are too many.
        let total = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(*factor));
        match total {
            Some(ms) if ms <= LONGEST_MS => Ok(Self(std::time::Duration::from_millis(ms))),
            _ => Err(DurationError::TooLong(text.to_owned())),
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = u64::try_from(self.0.as_millis()).unwrap_or(LONGEST_MS);
        let (unit, factor) = match ms {
            0 => ("s", 1_000),
            _ => UNITS.into_iter().find(|(_, factor)| ms.is_multiple_of(*factor)).unwrap_or(("ms", 1)),
        };
        write!(f, "{}{unit}", ms / factor)
    }
}

impl Decode for Duration {
    fn decode(node: &Node, cx: &mut Decoder) -> Option<Self> {
        let Some(text) = node.as_text() else {
            return cx.wrong_type(node, "a span of time");
        };
        match text.parse() {
            Ok(duration) => Some(duration),
            Err(DurationError::Shape(_)) => {
                let message = format!("{} is not a span of time", quoted(text));
                cx.bad_value(
                    node,
                    message,
                    "write a whole number with its unit, such as `500ms`, `120s`, `10m` or `2h`",
                )
            }
            Err(DurationError::TooLong(_)) => {
                cx.bad_value(node, format!("{} is longer than a year", quoted(text)), "write a shorter time")
            }
        }
    }

    fn schema(_: &mut Schemas) -> Json {
        json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h)$" })
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| serde::de::Error::custom(format!("cannot {error}")))
    }
}
