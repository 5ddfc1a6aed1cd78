//! What a playbook declares of tables: the shape that is wanted, not the way there.

use serde::{Deserialize, Serialize};

use super::alter_error::AlterError;
use super::ddl::{quote_text, tokenize};

/// The declared changes of one database.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AlterSpec {
    /// The tables by their present name, in the order of the declaration.
    pub tables: Vec<(String, TableChange)>,
    /// A script that runs in the same transaction, after the changes. It runs while foreign keys are not enforced;
    /// what it violates is found before the commit.
    pub and: Option<String>,
}

/// The declared changes of one table. All names but those in `rename_columns` are the names afterwards.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TableChange {
    /// The name afterwards.
    pub rename: Option<String>,
    /// New columns, in order.
    pub add: Vec<NewColumn>,
    /// Columns that go.
    pub drop: Vec<String>,
    /// Columns that get another name: from, to.
    pub rename_columns: Vec<(String, String)>,
    /// Columns that get another type. SQLite then converts values as the new type asks.
    pub retype: Vec<(String, String)>,
    /// Columns that get another default, or lose it. Rows that exist keep their values.
    pub defaults: Vec<(String, DefaultChange)>,
    /// Columns that may or may not be NULL from now on.
    pub not_null: Vec<(String, bool)>,
    /// Table constraints to add, as SQL.
    pub add_constraints: Vec<String>,
    /// Constraints to drop, by name.
    pub drop_constraints: Vec<String>,
    /// All foreign keys of the table; `None` leaves them as they are.
    pub foreign_keys: Option<Vec<ForeignKey>>,
    /// Indexes by their present name.
    pub indexes: Vec<(String, IndexChange)>,
    /// Copies the table even where it could be changed in place.
    pub rebuild: bool,
}

/// A column to add.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct NewColumn {
    /// Its name.
    pub name: String,
    /// Its type; may be empty.
    pub definition: String,
    /// Its default, which is also its value in the rows that exist.
    pub default: Option<Literal>,
    /// Whether it must have a value.
    pub not_null: bool,
    /// The expression of a CHECK.
    pub check: Option<String>,
    /// The collation.
    pub collate: Option<String>,
    /// The expression it is generated from.
    pub generated: Option<Generated>,
    /// The column it comes behind; `None` puts it at the end.
    pub after: Option<String>,
}

/// How a column is generated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generated {
    /// The expression.
    pub expression: String,
    /// Whether its value is stored rather than computed when read.
    #[serde(default)]
    pub stored: bool,
}

/// A value in a definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Literal {
    /// NULL.
    Null,
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Real(f64),
    /// A text.
    Text(String),
    /// An SQL expression, such as `CURRENT_TIMESTAMP`.
    Expression(String),
}

/// What happens to a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DefaultChange {
    /// It becomes this.
    Set(Literal),
    /// It goes.
    Drop,
}

/// What happens to an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IndexChange {
    /// It gets another name.
    Rename(String),
    /// It goes.
    Drop,
    /// It is created by this statement.
    Create(String),
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ForeignKey {
    /// The columns that refer.
    pub columns: Vec<String>,
    /// The table referred to.
    pub table: String,
    /// Its columns; empty means its primary key.
    #[serde(default)]
    pub references: Vec<String>,
    /// What happens when the row referred to is deleted.
    #[serde(default)]
    pub on_delete: Action,
    /// What happens when its key is changed.
    #[serde(default)]
    pub on_update: Action,
    /// Whether it is checked at the commit rather than at each statement.
    #[serde(default)]
    pub deferrable: bool,
}

/// What a foreign key does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Nothing; the constraint fails.
    #[default]
    NoAction,
    /// It fails at once.
    Restrict,
    /// The columns become NULL.
    SetNull,
    /// The columns get their defaults.
    SetDefault,
    /// The row follows.
    Cascade,
}

impl Action {
    /// Returns the SQL words.
    pub fn sql(self) -> &'static str {
        match self {
            Action::NoAction => "NO ACTION",
            Action::Restrict => "RESTRICT",
            Action::SetNull => "SET NULL",
            Action::SetDefault => "SET DEFAULT",
            Action::Cascade => "CASCADE",
        }
    }

    /// Reads the SQL words; what is unknown does nothing, as in SQLite.
    pub(super) fn parse(words: &str) -> Action {
        [Action::Restrict, Action::SetNull, Action::SetDefault, Action::Cascade]
            .into_iter()
            .find(|action| action.sql().eq_ignore_ascii_case(words))
            .unwrap_or_default()
    }
}

impl ForeignKey {
    /// Returns whether two foreign keys demand the same; names are compared as SQLite does, without case.
    pub fn is_same(&self, other: &ForeignKey) -> bool {
        same_names(&self.columns, &other.columns)
            && self.table.eq_ignore_ascii_case(&other.table)
            && same_names(&self.references, &other.references)
            && (self.on_delete, self.on_update, self.deferrable)
                == (other.on_delete, other.on_update, other.deferrable)
    }
}

/// Compares lists of names as SQLite does, without the case of ASCII letters.
pub(super) fn same_names(one: &[String], other: &[String]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.eq_ignore_ascii_case(other))
}

impl Literal {
    /// Returns the value as it stands behind `DEFAULT`.
    pub(super) fn sql(&self) -> Result<String, AlterError> {
        Ok(match self {
            Literal::Null => "NULL".to_owned(),
            Literal::Integer(number) => number.to_string(),
            Literal::Real(number) if number.is_finite() => format!("{number:?}"),
            Literal::Real(number) => return Err(bad(&number.to_string(), "it is not a finite number")),
            Literal::Text(text) if text.contains('\0') => return Err(bad(text, "it holds a NUL")),
            Literal::Text(text) => quote_text(text),
            Literal::Expression(sql) if sql.trim().to_ascii_uppercase().starts_with("CURRENT_") => {
                closed(sql)?.trim().to_owned()
            }
            Literal::Expression(sql) => format!("({})", closed(sql)?),
        })
    }

    /// Returns whether `ADD COLUMN` takes it: it refuses CURRENT_… and expressions (sqlite.org/lang_altertable.html).
    pub(super) fn is_constant(&self) -> bool {
        !matches!(self, Literal::Expression(_))
    }
}

impl Generated {
    pub(super) fn sql(&self) -> Result<String, AlterError> {
        let kind = if self.stored { "STORED" } else { "VIRTUAL" };
        Ok(format!("GENERATED ALWAYS AS ({}) {kind}", closed(&self.expression)?))
    }
}

impl NewColumn {
    /// Returns the definition of the column.
    pub(super) fn sql(&self) -> Result<String, AlterError> {
        let mut sql = super::ddl::name_in_text(&self.name);
        let definition = self.definition.trim();
        if !definition.is_empty() {
            sql.push_str(&format!(" {}", closed(definition)?));
        }
        if self.not_null {
            sql.push_str(" NOT NULL");
        }
        if let Some(default) = &self.default {
            sql.push_str(&format!(" DEFAULT {}", default.sql()?));
        }
        if let Some(collate) = &self.collate {
            sql.push_str(&format!(" COLLATE {}", super::ddl::quote_identifier(collate)));
        }
        if let Some(check) = &self.check {
            sql.push_str(&format!(" CHECK ({})", closed(check)?));
        }
        if let Some(generated) = &self.generated {
            sql.push_str(&format!(" {}", generated.sql()?));
        }
        Ok(sql)
    }
}

/// Returns a fragment of SQL that cannot reach out of the place it is put in; a line comment at its end is closed.
pub(super) fn closed(sql: &str) -> Result<String, AlterError> {
    let tokens = tokenize(sql).map_err(|error| bad(sql, &error.to_string()))?;
    let mut depth = 0_i64;
    for token in &tokens {
        depth += i64::from(token.is_sign(sql, '(')) - i64::from(token.is_sign(sql, ')'));
        if depth < 0 || token.is_sign(sql, ';') {
            return Err(bad(sql, "it reaches beyond its own end"));
        }
    }
    if depth != 0 {
        return Err(bad(sql, "a bracket is left open"));
    }
    let comment = tokens.last().filter(|last| !last.is_significant()).map(|last| last.text(sql));
    match comment {
        Some(comment) if comment.starts_with("--") => Ok(format!("{sql}\n")),
        Some(comment) if comment.starts_with("/*") && (comment.len() < 4 || !comment.ends_with("*/")) => {
            Err(bad(sql, "a comment is left open"))
        }
        _ => Ok(sql.to_owned()),
    }
}

fn bad(sql: &str, why: &str) -> AlterError {
    AlterError::Fragment { sql: sql.chars().take(120).collect(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_that_reach_out_are_refused() {
        for sql in ["a) --", "(a", "a; DROP TABLE b", "a /* open", "'open", ")("] {
            assert!(closed(sql).is_err(), "{sql}");
        }
        assert_eq!(closed("a -- b").unwrap(), "a -- b\n");
        assert_eq!(closed("f(a, ')')").unwrap(), "f(a, ')')");
    }

    #[test]
    fn values_are_written_as_sql_reads_them() {
        assert_eq!(Literal::Text("O'Brien".into()).sql().unwrap(), "'O''Brien'");
        assert_eq!(Literal::Real(1.0).sql().unwrap(), "1.0");
        assert_eq!(Literal::Expression("current_timestamp".into()).sql().unwrap(), "current_timestamp");
        assert!(Literal::Text("a\0b".into()).sql().is_err());
        assert!(Literal::Real(f64::NAN).sql().is_err());
    }
}
