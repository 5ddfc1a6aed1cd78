//! Secrets: a plan names where one lies, and never holds it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// What stands for a secret wherever a text is shown.
pub const MASK: &str = "…";

/// Where a secret lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum SecretPlace {
    /// A variable of the environment that switchback runs in.
    Env(String),
    /// A file; one line end at its end is not part of the secret.
    File(String),
}

impl fmt::Display for SecretPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretPlace::Env(name) => write!(f, "the environment variable {name}"),
            SecretPlace::File(path) => write!(f, "the file {path}"),
        }
    }
}

/// A secret, by name and place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRef {
    /// The input's name.
    pub secret: String,
    /// Where it lies.
    pub lies: SecretPlace,
}

/// A text of which parts may be secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Sealed {
    /// No secret is in it.
    Plain(String),
    /// Pieces, in order.
    Parts(Vec<SealedPart>),
}

/// A piece of a [`Sealed`] text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SealedPart {
    /// Text as it stands.
    Text(String),
    /// A secret.
    Secret(SecretRef),
}

impl Sealed {
    /// Joins pieces; without a secret among them it is plain.
    pub fn of(parts: Vec<SealedPart>) -> Sealed {
        let plain = parts.iter().map(|part| match part {
            SealedPart::Text(text) => Some(text.as_str()),
            SealedPart::Secret(_) => None,
        });
        match plain.collect::<Option<String>>() {
            Some(text) => Sealed::Plain(text),
            None => Sealed::Parts(parts),
        }
    }

    /// The secrets in it.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretRef> {
        let parts = match self {
            Sealed::Plain(_) => &[][..],
            Sealed::Parts(parts) => parts,
        };
        parts.iter().filter_map(|part| match part {
            SealedPart::Text(_) => None,
            SealedPart::Secret(secret) => Some(secret),
        })
    }

    /// Puts the secrets in. The result is for the one place that needs it, and is never shown or kept.
    pub fn reveal<E>(&self, look: impl Fn(&SecretRef) -> Result<String, E>) -> Result<String, E> {
        match self {
            Sealed::Plain(text) => Ok(text.clone()),
            Sealed::Parts(parts) => parts
                .iter()
                .map(|part| match part {
                    SealedPart::Text(text) => Ok(text.clone()),
                    SealedPart::Secret(secret) => look(secret),
                })
                .collect(),
        }
    }
}

impl fmt::Display for Sealed {
    /// Shows the text with a mask for each secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sealed::Plain(text) => f.write_str(text),
            Sealed::Parts(parts) => parts.iter().try_for_each(|part| match part {
                SealedPart::Text(text) => f.write_str(text),
                SealedPart::Secret(_) => f.write_str(MASK),
            }),
        }
    }
}

/// Reads where a secret lies, as a site file (`{env: NAME}`, `{file: PATH}`) or a command line (`env:NAME`, `file:PATH`)
/// says it; else says what is wrong, without what was given: it may be the secret itself.
pub fn place_of(value: &Value, absolute: impl Fn(&str) -> String) -> Result<SecretPlace, &'static str> {
    const SHAPE: &str = "must say where it lies: `{env: NAME}` or `{file: PATH}`";
    let (kind, place) = match value {
        Value::String(text) => text.split_once(':').ok_or(SHAPE)?,
        Value::Object(map) => match map.iter().next() {
            Some((kind, Value::String(place))) if map.len() == 1 => (kind.as_str(), place.as_str()),
            _ => return Err(SHAPE),
        },
        _ => return Err(SHAPE),
    };
    match kind {
        "env" if place.is_empty() || place.contains(['=', '\0']) => Err("names no variable"),
        "env" => Ok(SecretPlace::Env(place.to_owned())),
        "file" if place.is_empty() || place.contains('\0') => Err("names no file"),
        "file" => Ok(SecretPlace::File(absolute(place))),
        _ => Err(SHAPE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn secret() -> SecretRef {
        SecretRef { secret: "token".to_owned(), lies: SecretPlace::Env("TOKEN".to_owned()) }
    }

    #[test]
    fn a_text_with_a_secret_is_kept_by_name_and_shown_with_a_mask() {
        let sealed = Sealed::of(vec![SealedPart::Text("Token ".to_owned()), SealedPart::Secret(secret())]);
        assert_eq!(sealed.to_string(), "Token …");
        assert_eq!(sealed.reveal(|_| Ok::<_, ()>("x".to_owned())), Ok("Token x".to_owned()));
        let kept = serde_json::to_value(&sealed).unwrap();
        assert_eq!(kept, json!(["Token ", { "secret": "token", "lies": { "env": "TOKEN" } }]));
        assert_eq!(serde_json::from_value::<Sealed>(kept).unwrap(), sealed);
        assert_eq!(Sealed::of(vec![SealedPart::Text("a".to_owned())]), Sealed::Plain("a".to_owned()));
        assert_eq!(serde_json::from_value::<Sealed>(json!("a")).unwrap(), Sealed::Plain("a".to_owned()));
    }

    #[test]
    fn a_place_is_read_and_a_secret_in_its_stead_is_refused_without_showing_it() {
        let place = |value| place_of(&value, |path| format!("/srv/{path}"));
        assert_eq!(place(json!({ "env": "A" })), Ok(SecretPlace::Env("A".to_owned())));
        assert_eq!(place(json!("file:key")), Ok(SecretPlace::File("/srv/key".to_owned())));
        for wrong in [json!("hunter2"), json!("x:y"), json!({}), json!({ "env": "A", "file": "b" }), json!(7)]
        {
            let said = place(wrong).unwrap_err();
            assert!(said.contains("where it lies"), "{said}");
        }
        assert!(place(json!({ "env": "" })).is_err() && place(json!({ "env": "A=B" })).is_err());
    }
}
