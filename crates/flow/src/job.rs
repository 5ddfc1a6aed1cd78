//! What is moved: tables of one database into tables of another, column by column. Plain data, frozen in a plan.

use serde::{Deserialize, Serialize};

/// A table by its full name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableName {
    /// The schema; `None` in SQLite, which has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The table.
    pub table: String,
}

/// What a column of the target is filled with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Take {
    /// A column of the source table.
    Column(String),
    /// An SQL expression in the source's dialect, over the source row `s`.
    Expression(String),
    /// A constant, as text that the target column's type reads; `None` is NULL.
    Constant(Option<String>),
}

/// A column of the target and what fills it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnMove {
    /// The column of the target.
    pub to: String,
    /// What fills it.
    pub take: Take,
}

/// What becomes of a row whose lookup finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Miss {
    /// The move fails and names the row.
    Fail,
    /// The column becomes NULL.
    Null,
    /// The row stays behind and is counted: a declared loss.
    Drop,
}

/// A column that is found in a table of the *target*: how ids that the target made are given to rows that refer to them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    /// The column of the target that is filled.
    pub to: String,
    /// The table of the target that is searched.
    pub within: TableName,
    /// Columns of the searched table, and what each must equal.
    pub by: Vec<ColumnMove>,
    /// The column of the searched table that is taken.
    pub take: String,
    /// What becomes of a row that finds nothing.
    pub miss: Miss,
}

/// One table's move.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableMove {
    /// The table that is read.
    pub from: TableName,
    /// The table that is filled.
    pub to: TableName,
    /// Every column that is filled from the row or a constant, in order.
    pub columns: Vec<ColumnMove>,
    /// Columns that are found in the target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lookups: Vec<Lookup>,
    /// A condition over the source row `s`; rows that do not meet it are not moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

impl TableName {
    /// Names it for people: `schema.table`.
    pub fn describe(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{schema}.{}", self.table),
            None => self.table.clone(),
        }
    }
}
