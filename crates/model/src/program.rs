//! jq programs as steps and probes carry them: plain data, compiled where they run.

use crate::record;
use serde::{Deserialize, Serialize};

/// A jq program and what people know it by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// The name of its file, or of what it is for.
    pub name: String,
    /// The program.
    pub program: String,
}

/// Keys that programs can look for with `known` and `rank`, and with `lookup` for what goes with them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexOf {
    /// The name that `rank` and `known` are given.
    pub name: String,
    /// Gives the keys of a record: texts.
    pub of: String,
    /// Gives what goes with each key of a record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gives: Option<String>,
    /// Whether each key must be above the one before it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ascending: bool,
}

impl IndexOf {
    /// Returns the program that is run over the records: its outputs are keys, or pairs of a key and a value as JSON text.
    pub fn program(&self) -> Named {
        let program = match &self.gives {
            Some(gives) => format!("({}) as $key | [$key, (({gives}) | tojson)]", self.of),
            None => self.of.clone(),
        };
        Named { name: format!("index `{}`", self.name), program }
    }
}

record! {
    /// An index over the records that a program runs over.
    pub struct IndexBody {
        /// A jq program that gives the keys of a record: texts.
        pub of: crate::decode::Spanned<String>,
        /// A jq program that gives what goes with a key, for `lookup`.
        pub gives: Option<crate::decode::Spanned<String>>,
        /// Whether each key must be above the one before it, so that records out of order are an error.
        pub ascending: Option<bool>,
    }
}
