//! Names in SQL text: always quoted, always qualified, never cut short by the server.

/// The longest name that the server keeps, in bytes (NAMEDATALEN - 1); it cuts longer ones silently.
pub const LONGEST: usize = 63;

/// Why a text cannot be the name of anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No server has such a name.
    #[error("use an empty name")]
    Empty,
    /// A NUL ends the text on its way to the server.
    #[error("use the name {name:?}: it contains a NUL byte")]
    Nul {
        /// The name.
        name: String,
    },
    /// The server would cut it, and then mean another object.
    #[error("use the name `{name}`: it has {bytes} bytes, and PostgreSQL keeps 63")]
    Long {
        /// The name.
        name: String,
        /// Its length.
        bytes: usize,
    },
}

/// Quotes one name for SQL text: `a"b` becomes `"a""b"`.
pub fn quote(name: &str) -> Result<String, NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.contains('\0') {
        return Err(NameError::Nul { name: name.to_owned() });
    }
    if name.len() > LONGEST {
        return Err(NameError::Long { name: name.to_owned(), bytes: name.len() });
    }
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

/// Quotes a name with its schema: `"schema"."table"`.
pub fn qualified(schema: &str, name: &str) -> Result<String, NameError> {
    Ok(format!("{}.{}", quote(schema)?, quote(name)?))
}

/// Quotes a text for places where SQL takes no parameter, such as COMMENT and SET. A NUL is refused.
///
/// Sessions of ours have `standard_conforming_strings` on, so a backslash is a backslash.
pub fn literal(text: &str) -> Result<String, NameError> {
    if text.contains('\0') {
        return Err(NameError::Nul { name: text.to_owned() });
    }
    Ok(format!("'{}'", text.replace('\'', "''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_one_name() {
        assert_eq!(quote("plain").unwrap(), "\"plain\"");
        assert_eq!(quote("O'Brien \"lab\"; DROP--").unwrap(), "\"O'Brien \"\"lab\"\"; DROP--\"");
        assert_eq!(qualified("a b", "ü").unwrap(), "\"a b\".\"ü\"");
        assert_eq!(literal("it's \\").unwrap(), "'it''s \\'");
    }

    #[test]
    fn what_the_server_would_change_is_refused() {
        assert_eq!(quote(""), Err(NameError::Empty));
        assert!(matches!(quote("a\0b"), Err(NameError::Nul { .. })));
        assert!(matches!(literal("a\0b"), Err(NameError::Nul { .. })));
        assert!(quote(&"x".repeat(63)).is_ok());
        // 32 letters, 64 bytes.
        assert_eq!(quote(&"ü".repeat(32)), Err(NameError::Long { name: "ü".repeat(32), bytes: 64 }));
    }
}
