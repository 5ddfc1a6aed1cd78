//! What was taken down, with everything that brings it back as it was.

use serde::{Deserialize, Serialize};
use switchback_site::postgres::names::{NameError, literal, qualified, quote};

use crate::job::TableName;

/// An index or a foreign key, as the catalog describes it. Kept in our ledger while the object is away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Definition {
    /// An index, with the constraint that it stands behind.
    Index(Index),
    /// A foreign key.
    Foreign(Foreign),
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Index {
    pub table: TableName,
    pub name: String,
    /// As `pg_get_indexdef` prints it: every name in full.
    pub text: String,
    /// `None` for that of the database.
    pub tablespace: Option<String>,
    pub comment: Option<String>,
    /// The mark that CLUSTER goes by.
    pub clustered: bool,
    /// Whether rows are told apart by it in logical replication.
    pub identity: bool,
    /// Statistics targets of its expressions, by the number of the column.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statistics: Vec<(i32, i32)>,
    pub key: Option<Key>,
}

/// A primary key or a unique constraint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    pub primary: bool,
    pub deferrable: bool,
    pub deferred: bool,
    pub comment: Option<String>,
    /// Its columns, in order.
    pub columns: Vec<String>,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Foreign {
    pub table: TableName,
    pub name: String,
    /// The table that it refers to.
    pub to: TableName,
    /// As `pg_get_constraintdef` prints it.
    pub text: String,
    /// Whether the rows were looked at.
    pub validated: bool,
    pub comment: Option<String>,
}

/// When something is done: a stage begins when the one before is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Indexes are built: the long part. Two on one table do not disturb each other.
    Build,
    /// Indexes become keys, and get their marks. Instants, each alone with its table.
    Mark,
    /// Foreign keys are made, and hold for what is written from then on. Instants, in the order that they were made in.
    Refer,
    /// Foreign keys are compared with the rows, by one join each.
    Validate,
}

impl Stage {
    pub const ALL: [Stage; 4] = [Stage::Build, Stage::Mark, Stage::Refer, Stage::Validate];
}

impl Definition {
    /// The table that it is of.
    pub fn table(&self) -> &TableName {
        match self {
            Definition::Index(index) => &index.table,
            Definition::Foreign(foreign) => &foreign.table,
        }
    }

    /// Its own name.
    pub fn name(&self) -> &str {
        match self {
            Definition::Index(index) => &index.name,
            Definition::Foreign(foreign) => &foreign.name,
        }
    }

    /// Names it for people.
    pub fn describe(&self) -> String {
        let what = match self {
            Definition::Index(Index { key: Some(Key { primary: true, .. }), .. }) => "primary key",
            Definition::Index(Index { key: Some(_), .. }) => "unique constraint",
            Definition::Index(_) => "index",
            Definition::Foreign(_) => "foreign key",
        };
        format!("{what} {} of {}", self.name(), self.table().describe())
    }

    /// Takes it down. Never CASCADE: what leans on it is not ours to drop.
    pub fn drop_sql(&self) -> Result<String, NameError> {
        Ok(match self {
            Definition::Index(Index { key: None, table, name, .. }) => {
                format!("DROP INDEX {}", qualified(schema(table), name)?)
            }
            other => {
                format!("ALTER TABLE ONLY {} DROP CONSTRAINT {}", full(other.table())?, quote(other.name())?)
            }
        })
    }

    /// What brings it back: transactions one after the other, each with its stage.
    pub fn back_sql(&self) -> Result<Vec<(Stage, String)>, NameError> {
        match self {
            Definition::Index(index) => index.back_sql(),
            Definition::Foreign(foreign) => foreign.back_sql(),
        }
    }
}

impl Index {
    fn back_sql(&self) -> Result<Vec<(Stage, String)>, NameError> {
        let (table, name) = (full(&self.table)?, quote(&self.name)?);
        let place = qualified(schema(&self.table), &self.name)?;
        let space = self.tablespace.as_deref().map_or(Ok("''".to_owned()), quote)?;
        // The text does not name it (`pg_get_indexdef`), and an index goes where this points when nothing is said.
        let mut build = format!("SET LOCAL default_tablespace = {space}; {}", self.text);
        for (column, target) in &self.statistics {
            build.push_str(&format!("; ALTER INDEX {place} ALTER COLUMN {column} SET STATISTICS {target}"));
        }
        if let Some(comment) = &self.comment {
            build.push_str(&format!("; COMMENT ON INDEX {place} IS {}", literal(comment)?));
        }
        let mut mark = Vec::new();
        if let Some(key) = &self.key {
            // The index keeps its own options, which the text of the constraint would not have.
            mark.push(format!(
                "ALTER TABLE ONLY {table} ADD CONSTRAINT {name} {} USING INDEX {name}{}{}",
                if key.primary { "PRIMARY KEY" } else { "UNIQUE" },
                if key.deferrable { " DEFERRABLE" } else { "" },
                if key.deferred { " INITIALLY DEFERRED" } else { "" },
            ));
            if let Some(comment) = &key.comment {
                mark.push(format!("COMMENT ON CONSTRAINT {name} ON {table} IS {}", literal(comment)?));
            }
        }
        if self.clustered {
            mark.push(format!("ALTER TABLE ONLY {table} CLUSTER ON {name}"));
        }
        if self.identity {
            mark.push(format!("ALTER TABLE ONLY {table} REPLICA IDENTITY USING INDEX {name}"));
        }
        let mut back = vec![(Stage::Build, build)];
        if !mark.is_empty() {
            back.push((Stage::Mark, mark.join("; ")));
        }
        Ok(back)
    }
}

impl Foreign {
    fn back_sql(&self) -> Result<Vec<(Stage, String)>, NameError> {
        let (table, name) = (full(&self.table)?, quote(&self.name)?);
        // One that was never compared with the rows says so in its own text.
        let later = if self.validated { " NOT VALID" } else { "" };
        let mut refer = format!("ALTER TABLE ONLY {table} ADD CONSTRAINT {name} {}{later}", self.text);
        if let Some(comment) = &self.comment {
            refer.push_str(&format!("; COMMENT ON CONSTRAINT {name} ON {table} IS {}", literal(comment)?));
        }
        let mut back = vec![(Stage::Refer, refer)];
        if self.validated {
            back.push((Stage::Validate, format!("ALTER TABLE ONLY {table} VALIDATE CONSTRAINT {name}")));
        }
        Ok(back)
    }
}

pub(super) fn schema(table: &TableName) -> &str {
    table.schema.as_deref().unwrap_or_default()
}

/// A table's name in SQL text.
pub(super) fn full(table: &TableName) -> Result<String, NameError> {
    qualified(schema(table), &table.table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> TableName {
        TableName { schema: Some("a b".to_owned()), table: name.to_owned() }
    }

    fn index(key: Option<Key>) -> Definition {
        Definition::Index(Index {
            table: table("t"),
            name: "t\"x".to_owned(),
            text: "CREATE UNIQUE INDEX …".to_owned(),
            tablespace: Some("fast".to_owned()),
            comment: Some("it's".to_owned()),
            clustered: true,
            identity: true,
            statistics: vec![(2, 500)],
            key,
        })
    }

    #[test]
    fn an_index_comes_back_with_its_marks() {
        let plain = index(None);
        assert_eq!(plain.drop_sql().unwrap(), "DROP INDEX \"a b\".\"t\"\"x\"");
        let back = plain.back_sql().unwrap();
        assert_eq!(
            back,
            [
                (
                    Stage::Build,
                    "SET LOCAL default_tablespace = \"fast\"; CREATE UNIQUE INDEX …; \
                     ALTER INDEX \"a b\".\"t\"\"x\" ALTER COLUMN 2 SET STATISTICS 500; \
                     COMMENT ON INDEX \"a b\".\"t\"\"x\" IS 'it''s'"
                        .to_owned()
                ),
                (
                    Stage::Mark,
                    "ALTER TABLE ONLY \"a b\".\"t\" CLUSTER ON \"t\"\"x\"; \
                     ALTER TABLE ONLY \"a b\".\"t\" REPLICA IDENTITY USING INDEX \"t\"\"x\""
                        .to_owned()
                ),
            ]
        );
    }

    #[test]
    fn a_key_is_an_index_that_becomes_one() {
        let key = Key {
            primary: false,
            deferrable: true,
            deferred: true,
            comment: Some("who".to_owned()),
            columns: vec!["id".to_owned()],
        };
        let key = index(Some(key));
        assert_eq!(key.drop_sql().unwrap(), "ALTER TABLE ONLY \"a b\".\"t\" DROP CONSTRAINT \"t\"\"x\"");
        let back = key.back_sql().unwrap();
        assert!(back[1].1.starts_with(
            "ALTER TABLE ONLY \"a b\".\"t\" ADD CONSTRAINT \"t\"\"x\" UNIQUE USING INDEX \"t\"\"x\" DEFERRABLE INITIALLY DEFERRED; \
             COMMENT ON CONSTRAINT"
        ));
        assert_eq!(key.describe(), "unique constraint t\"x of a b.t");
    }

    #[test]
    fn a_foreign_key_is_compared_with_the_rows_if_it_was() {
        let foreign = |validated| {
            Definition::Foreign(Foreign {
                table: table("t"),
                name: "f".to_owned(),
                to: table("u"),
                text: "FOREIGN KEY …".to_owned(),
                validated,
                comment: None,
            })
        };
        let stages = |validated| -> Vec<Stage> {
            foreign(validated).back_sql().unwrap().into_iter().map(|(stage, _)| stage).collect()
        };
        assert_eq!(stages(true), [Stage::Refer, Stage::Validate]);
        assert_eq!(stages(false), [Stage::Refer]);
    }
}
