//! `each`: steps that are there once for every thing of a list, expanded when the plan is made.

use crate::decode::Spanned;
use crate::playbook::StepEntry;
use crate::record;
use crate::text::Template;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The key of a loop among the steps of a phase.
pub const EACH: &str = "each";

record! {
    /// The steps below `do:`, once for every row of a query or every thing of a list input. `${NAME.FIELD}` is a value of it.
    pub struct EachBody {
        /// What one thing is called inside.
        pub r#as: Spanned<String>,
        /// The database to ask.
        pub r#in: Option<Spanned<String>>,
        /// One statement that lists the things, a row each. A name that ends in `.sql` is a file of the playbook.
        pub sql: Option<Spanned<String>>,
        /// Instead of a query: a list input.
        pub of: Option<Template>,
        /// The field that tells them apart; their order is its order.
        pub key: Spanned<String>,
        /// Fields that may name things inside a database, such as a schema.
        pub identifier: Vec<Spanned<String>>,
        /// A list input: only these, by their key. All, where it is not given.
        pub only: Option<Template>,
        /// The steps.
        pub r#do: Vec<StepEntry>,
    }
}

/// The thing that a loop has reached.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Item {
    /// What tells it from the others.
    pub key: String,
    /// Its fields; `null` is a value too.
    pub fields: BTreeMap<String, Value>,
    /// Fields that may name things inside a database.
    pub identifiers: BTreeSet<String>,
    /// Whether it stands for one that nobody has seen yet: it has every field.
    pub sample: bool,
}

impl Item {
    /// Returns a thing to check a playbook with.
    pub fn sample(body: &EachBody) -> Item {
        Item {
            key: "sample".to_owned(),
            fields: BTreeMap::new(),
            identifiers: body.identifier.iter().map(|name| name.value.clone()).collect(),
            sample: true,
        }
    }

    /// Returns the value of a field.
    pub fn field(&self, name: &str) -> Option<Value> {
        if self.sample { Some(Value::from("sample")) } else { self.fields.get(name).cloned() }
    }

    /// Returns its key as a part of a step's name, which is also a file's: what fits into neither becomes `_`.
    pub fn slug(&self) -> String {
        let fits = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
        self.key.chars().map(fits).take(63).collect()
    }
}
