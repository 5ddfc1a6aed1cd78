//! JSON values crossing between serde_json and jaq.

use jaq_json::{Map, Num, Val};
use serde_json::{Number, Value};

/// How deep an output may be nested: what serde_json itself reads back, so that every output can be stored and read.
const DEPTH_LIMIT: usize = 127;

/// Turns a JSON value into one of jaq's; integers stay integers.
pub(super) fn to_val(value: Value) -> Val {
    match value {
        Value::Null => Val::Null,
        Value::Bool(it) => Val::Bool(it),
        Value::Number(it) => Val::Num(to_num(&it)),
        Value::String(it) => Val::utf8_str(it),
        Value::Array(items) => items.into_iter().map(to_val).collect(),
        Value::Object(fields) => Val::obj(
            fields.into_iter().map(|(key, value)| (Val::utf8_str(key), to_val(value))).collect::<Map>(),
        ),
    }
}

fn to_num(number: &Number) -> Num {
    if let Some(it) = number.as_i64() {
        Num::from_integral(it)
    } else if let Some(it) = number.as_u64() {
        Num::from_integral(it)
    } else {
        Num::Float(number.as_f64().unwrap_or(f64::NAN))
    }
}

/// Turns a value of jaq into a JSON value, or says why JSON has no such value.
///
/// jaq's values are a superset of JSON. What would lose something on the way is an error and not a guess.
pub(super) fn from_val(val: &Val) -> Result<Value, String> {
    from_val_at(val, 0)
}

fn from_val_at(val: &Val, depth: usize) -> Result<Value, String> {
    if depth > DEPTH_LIMIT {
        return Err(format!("an output is nested deeper than {DEPTH_LIMIT} levels"));
    }
    Ok(match val {
        Val::Null => Value::Null,
        Val::Bool(it) => Value::Bool(*it),
        Val::Num(it) => Value::Number(from_num(it)?),
        Val::TStr(it) => Value::String(text_of(it)?),
        Val::BStr(_) => return Err("an output holds bytes, which JSON cannot hold".to_owned()),
        Val::Arr(items) => {
            Value::Array(items.iter().map(|it| from_val_at(it, depth + 1)).collect::<Result<_, _>>()?)
        }
        Val::Obj(fields) => {
            let mut object = serde_json::Map::new();
            for (key, value) in fields.iter() {
                let Val::TStr(key) = key else {
                    return Err("an output has a key that is not text".to_owned());
                };
                object.insert(text_of(key)?, from_val_at(value, depth + 1)?);
            }
            Value::Object(object)
        }
    })
}

fn text_of(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "an output holds text that is not UTF-8".to_owned())
}

fn from_num(num: &Num) -> Result<Number, String> {
    match num {
        Num::Int(it) => Ok(Number::from(*it)),
        Num::BigInt(it) => {
            let text = it.to_string();
            let number =
                text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from));
            number.map_err(|_| format!("the integer {text} does not fit into 64 bits"))
        }
        Num::Float(it) => from_float(*it),
        Num::Dec(it) => from_float(it.parse().map_err(|_| format!("{it} is not a number"))?),
    }
}

fn from_float(float: f64) -> Result<Number, String> {
    Number::from_f64(float).ok_or_else(|| "an output holds a number that is not finite".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn integers_of_64_bits_survive_the_crossing() {
        for value in [json!(i64::MIN), json!(i64::MAX), json!(u64::MAX), json!(9_007_199_254_740_993_i64)] {
            assert_eq!(from_val(&to_val(value.clone())), Ok(value));
        }
    }

    #[test]
    fn order_text_and_nesting_survive_the_crossing() {
        let value = json!({"z": [1, 2.5, null, true], "a": {"O'Brien \"lab\"": "\u{0}é😀"}});
        let back = from_val(&to_val(value.clone())).unwrap();
        assert_eq!(back.to_string(), value.to_string());
    }

    #[test]
    fn what_json_cannot_hold_is_an_error() {
        assert!(from_val(&Val::from(f64::NAN)).is_err());
        assert!(from_val(&Val::byte_str(vec![0xff])).is_err());
        assert!(from_val(&Val::utf8_str(vec![0xff])).is_err());
        let deep = (0..500).fold(Val::Null, |inner, _| [inner].into_iter().collect());
        assert!(from_val(&deep).unwrap_err().contains("deeper"));
    }
}
