//! `CREATE TABLE`, read with the place of everything in it.

use std::ops::Range;

use super::ddl_columns::{
    ColumnConstraint, ColumnRule, Cursor, ForeignKeyClause, begins_constraint, column_constraint,
    column_type, references,
};
use super::ddl_token::DdlError;

/// One column of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDef {
    /// Its name, without quotes.
    pub name: String,
    /// The bytes of the name.
    pub name_span: Range<usize>,
    /// The bytes of the type, if it has one.
    pub type_span: Option<Range<usize>>,
    /// What stands behind the type, in order.
    pub constraints: Vec<ColumnConstraint>,
    /// All bytes of the definition.
    pub span: Range<usize>,
    /// The comma behind it.
    pub comma: Option<usize>,
}

/// What a table constraint demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableRule {
    /// `PRIMARY KEY (…)`.
    PrimaryKey,
    /// `UNIQUE (…)`.
    Unique,
    /// `CHECK (…)`.
    Check,
    /// `FOREIGN KEY (…) REFERENCES …`.
    ForeignKey(ForeignKeyClause),
    /// A `CONSTRAINT name` with nothing behind it.
    Empty,
}

/// One constraint of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableConstraint {
    /// The name given to it.
    pub name: Option<String>,
    /// What it demands.
    pub rule: TableRule,
    /// Its bytes, its name included.
    pub span: Range<usize>,
    /// The comma behind it; SQLite does not ask for one between table constraints.
    pub comma: Option<usize>,
}

/// A `CREATE TABLE` statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDdl {
    /// The text that was read.
    pub sql: String,
    /// The table's name, without quotes.
    pub name: String,
    /// The bytes of the name.
    pub name_span: Range<usize>,
    /// The columns in order.
    pub columns: Vec<ColumnDef>,
    /// The table constraints in order.
    pub constraints: Vec<TableConstraint>,
    /// The place of the bracket that closes the list.
    pub close: usize,
    /// Whether AUTOINCREMENT is said of the key.
    pub autoincrement: bool,
}

impl TableDdl {
    /// Reads a `CREATE TABLE` statement with a list of columns.
    pub fn parse(sql: &str) -> Result<TableDdl, DdlError> {
        let mut cursor = Cursor::new(sql)?;
        cursor.expect_word("CREATE")?;
        cursor.word(&["TEMP", "TEMPORARY"]);
        cursor.expect_word("TABLE")?;
        if cursor.word(&["IF"]) {
            cursor.expect_word("NOT")?;
            cursor.expect_word("EXISTS")?;
        }
        let (mut name, mut name_span) = cursor.name()?;
        if cursor.sign('.') {
            (name, name_span) = cursor.name()?;
        }
        cursor.expect_sign('(', "`(`")?;
        let mut ddl = TableDdl {
            sql: sql.to_owned(),
            name,
            name_span,
            columns: Vec::new(),
            constraints: Vec::new(),
            close: 0,
            autoincrement: false,
        };
        while !cursor.is_sign(')') {
            if cursor.is_end() {
                return Err(cursor.shape("`)`"));
            }
            // The five words are reserved: as a column's name they would stand in quotes.
            if cursor.is_word(0, &["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"]) {
                let (constraint, autoincrement) = table_constraint(&mut cursor)?;
                ddl.constraints.push(constraint);
                ddl.autoincrement |= autoincrement;
            } else {
                ddl.columns.push(column(&mut cursor)?);
            }
        }
        ddl.close = cursor.start();
        ddl.autoincrement |= ddl
            .columns
            .iter()
            .flat_map(|column| &column.constraints)
            .any(|constraint| matches!(constraint.rule, ColumnRule::PrimaryKey { autoincrement: true }));
        Ok(ddl)
    }

    /// Returns the column called `name`, in any case.
    pub fn column(&self, name: &str) -> Option<&ColumnDef> {
        self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// Returns the foreign keys in the order of the text.
    pub fn foreign_keys(&self) -> Vec<ForeignKeyClause> {
        let of_columns =
            self.columns.iter().flat_map(|column| &column.constraints).filter_map(|constraint| {
                match &constraint.rule {
                    ColumnRule::References(clause) => Some(clause.clone()),
                    _ => None,
                }
            });
        let of_table = self.constraints.iter().filter_map(|constraint| match &constraint.rule {
            TableRule::ForeignKey(clause) => Some(clause.clone()),
            _ => None,
        });
        of_columns.chain(of_table).collect()
    }
}

impl ColumnDef {
    /// Returns the collation that is declared.
    pub fn collation(&self) -> Option<&str> {
        self.constraints.iter().rev().find_map(|constraint| match &constraint.rule {
            ColumnRule::Collate(name) => Some(name.as_str()),
            _ => None,
        })
    }
}

fn comma(cursor: &mut Cursor<'_>) -> Option<usize> {
    let at = cursor.start();
    cursor.sign(',').then_some(at)
}

fn column(cursor: &mut Cursor<'_>) -> Result<ColumnDef, DdlError> {
    let (name, name_span) = cursor.name()?;
    let type_span = column_type(cursor)?;
    let mut constraints = Vec::new();
    while begins_constraint(cursor) {
        constraints.push(column_constraint(cursor, &name)?);
    }
    let span = name_span.start..cursor.end();
    let comma = comma(cursor);
    if comma.is_none() && !cursor.is_sign(')') {
        return Err(cursor.shape("`,` or `)`"));
    }
    Ok(ColumnDef { name, name_span, type_span, constraints, span, comma })
}

/// Takes one table constraint; says also whether it holds AUTOINCREMENT.
fn table_constraint(cursor: &mut Cursor<'_>) -> Result<(TableConstraint, bool), DdlError> {
    let start = cursor.start();
    let name = if cursor.word(&["CONSTRAINT"]) { Some(cursor.name()?.0) } else { None };
    let mut autoincrement = false;
    let rule = if cursor.word(&["PRIMARY"]) {
        cursor.expect_word("KEY")?;
        let list = cursor.brackets()?;
        // `AUTOINCREMENT` stands inside these brackets (`tcons` in src/parse.y).
        let inside = Cursor::new(&cursor.sql[list])?;
        autoincrement = (0..).map_while(|at| inside.peek(at)).any(|t| t.is_word(inside.sql, "AUTOINCREMENT"));
        cursor.conflict();
        TableRule::PrimaryKey
    } else if cursor.word(&["UNIQUE"]) {
        cursor.brackets()?;
        cursor.conflict();
        TableRule::Unique
    } else if cursor.word(&["CHECK"]) {
        cursor.brackets()?;
        cursor.conflict();
        TableRule::Check
    } else if cursor.word(&["FOREIGN"]) {
        cursor.expect_word("KEY")?;
        let columns = cursor.names()?;
        TableRule::ForeignKey(references(cursor, columns)?)
    } else if name.is_some() {
        TableRule::Empty
    } else {
        return Err(cursor.shape("a table constraint"));
    };
    let span = start..cursor.end();
    Ok((TableConstraint { name, rule, span, comma: comma(cursor) }, autoincrement))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_and_brackets_in_comments_and_texts_do_not_split() {
        let sql = "CREATE TABLE IF NOT EXISTS main.\"a b\" ( -- the (first\n  id INTEGER PRIMARY KEY AUTOINCREMENT, /* ), */\n  \
                   n DECIMAL(10, 2) DEFAULT -1 CHECK (n > 0 -- a, b)\n ),\n  'odd' DEFAULT ('),') COLLATE NOCASE,\n  \
                   g INT GENERATED ALWAYS AS (n + 1) STORED,\n CONSTRAINT u UNIQUE (n, g) CHECK (id > 0)\n) STRICT";
        let ddl = TableDdl::parse(sql).unwrap();
        assert_eq!(ddl.name, "a b");
        let names: Vec<&str> = ddl.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["id", "n", "odd", "g"]);
        assert!(ddl.autoincrement);
        assert_eq!(ddl.columns[1].type_span.clone().map(|span| &sql[span]), Some("DECIMAL(10, 2)"));
        assert_eq!(ddl.columns[2].collation(), Some("NOCASE"));
        assert_eq!(ddl.columns[3].type_span.clone().map(|span| &sql[span]), Some("INT"));
        assert_eq!(ddl.constraints.len(), 2);
        assert_eq!(&sql[ddl.close..], ") STRICT");
    }

    #[test]
    fn foreign_keys_are_read_from_columns_and_table() {
        let sql = "CREATE TABLE c(a REFERENCES p ON DELETE SET NULL NOT NULL, b, FOREIGN KEY (a, [b]) REFERENCES \"q\"\"r\"(x, y) \
                   ON UPDATE CASCADE MATCH FULL DEFERRABLE INITIALLY DEFERRED)";
        let keys = TableDdl::parse(sql).unwrap().foreign_keys();
        assert_eq!((keys[0].table.as_str(), keys[0].on_delete.as_deref()), ("p", Some("SET NULL")));
        assert_eq!(keys[1].table, "q\"r");
        assert_eq!(keys[1].columns, ["a", "b"]);
        assert_eq!(keys[1].references, ["x", "y"]);
        assert!(keys[1].deferred && !keys[0].deferred);
    }

    #[test]
    fn what_is_no_table_is_an_error() {
        for sql in [
            "",
            "CREATE TABLE t",
            "CREATE TABLE t AS SELECT 1",
            "CREATE TABLE t(a, b",
            "CREATE VIEW v AS SELECT 1",
        ] {
            assert!(TableDdl::parse(sql).is_err(), "{sql}");
        }
    }
}
