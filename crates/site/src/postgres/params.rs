//! Values for SQL: bound by name, never spliced into the text.

use std::collections::BTreeMap;
use std::error::Error;

use postgres::types::private::BytesMut;
use postgres::types::{Format, IsNull, ToSql, Type};
use serde_json::Value;

use super::lexer::{LexError, Token, TokenKind, line_of, tokenize};

/// Why values cannot be bound. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// A parameter has no value. Bound as NULL, a question that compares with it would find nothing wrong.
    #[error(
        "run line {line} of the SQL: nothing is known of its parameter :{name} (an array slice is written [1 : n])"
    )]
    Unknown {
        /// The line, from 1.
        line: usize,
        /// The parameter.
        name: String,
    },
    /// A parameter by number.
    #[error("run line {line} of the SQL: {text} has no value; parameters have names here, such as :name")]
    Positional {
        /// The line, from 1.
        line: usize,
        /// What stands there.
        text: String,
    },
    /// A value that no text of PostgreSQL can hold.
    #[error("use the value of :{name}: it contains a NUL byte, which no text in PostgreSQL can hold")]
    Nul {
        /// The parameter.
        name: String,
    },
    /// The text cannot be taken apart.
    #[error(transparent)]
    Lex(#[from] LexError),
}

/// A statement with its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// The text, with `$1`, `$2` … in the place of the names.
    pub text: String,
    /// The values, in that order.
    pub values: Vec<Param>,
}

/// Binds the parameters of one statement.
pub fn bind(sql: &str, params: &BTreeMap<String, Value>) -> Result<Bound, BindError> {
    bind_tokens(sql, &tokenize(sql)?, params)
}

/// Binds the parameters among these tokens of `sql`; the text begins with the first of them and ends with the last.
pub(super) fn bind_tokens(
    sql: &str,
    tokens: &[Token],
    params: &BTreeMap<String, Value>,
) -> Result<Bound, BindError> {
    let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else {
        return Ok(Bound { text: String::new(), values: Vec::new() });
    };
    let (mut text, mut names, mut values) = (String::new(), Vec::new(), Vec::new());
    let mut from = first.span.start;
    for token in tokens {
        let line = || line_of(sql, token.span.start);
        match token.kind {
            TokenKind::Positional => {
                return Err(BindError::Positional { line: line(), text: token.text(sql).to_owned() });
            }
            TokenKind::Parameter => {
                let name = &token.text(sql)[1..];
                let at = match names.iter().position(|known| *known == name) {
                    Some(at) => at,
                    None => {
                        let value = params
                            .get(name)
                            .ok_or_else(|| BindError::Unknown { line: line(), name: name.to_owned() })?;
                        values.push(Param::of(name, value)?);
                        names.push(name);
                        names.len() - 1
                    }
                };
                text.push_str(&sql[from..token.span.start]);
                text.push_str(&format!("${}", at + 1));
                from = token.span.end;
            }
            _ => {}
        }
    }
    text.push_str(&sql[from..last.span.end]);
    Ok(Bound { text, values })
}

/// A value in its text form, whatever type the server takes it for: the type's own input function reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param(pub Option<String>);

impl Param {
    fn of(name: &str, value: &Value) -> Result<Param, BindError> {
        let text = match value {
            Value::Null => None,
            Value::String(text) if text.contains('\0') => {
                return Err(BindError::Nul { name: name.to_owned() });
            }
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        Ok(Param(text))
    }
}

impl ToSql for Param {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let Some(text) = &self.0 else { return Ok(IsNull::Yes) };
        out.extend_from_slice(text.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    postgres::types::to_sql_checked!();
}

/// The values as the driver takes them.
pub fn refs(values: &[Param]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_name_is_bound_once_and_texts_are_left_alone() {
        let params = [("a", json!("O'Brien")), ("b", json!(7))].map(|(name, value)| (name.to_owned(), value));
        let found = bind("SELECT :a, ':a', :b::int, :a -- end", &params.into()).unwrap();
        assert_eq!(found.text, "SELECT $1, ':a', $2::int, $1");
        assert_eq!(found.values, [Param(Some("O'Brien".into())), Param(Some("7".into()))]);
    }

    #[test]
    fn what_cannot_be_bound_is_named() {
        let none = BTreeMap::new();
        let said = |sql: &str| bind(sql, &none).unwrap_err().to_string();
        assert!(said("SELECT 1,\n :a").contains("line 2 of the SQL: nothing is known of its parameter :a"));
        assert!(said("SELECT $1").contains("$1 has no value"));
        let nul = BTreeMap::from([("a".to_owned(), json!("x\0"))]);
        assert!(matches!(bind("SELECT :a", &nul), Err(BindError::Nul { .. })));
    }
}
