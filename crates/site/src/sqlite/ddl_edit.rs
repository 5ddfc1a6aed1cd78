//! Edits of `CREATE TABLE` that splice bytes: what is not edited keeps its comments, its layout and its quotes.

use std::ops::Range;

use super::ddl_columns::{ColumnRule, Cursor, ForeignKeyClause};
use super::ddl_table::{ColumnDef, TableDdl, TableRule};
use super::ddl_token::{DdlError, TokenKind, quote_identifier, tokenize};

impl TableDdl {
    /// Returns the definition under another name; references to the old name inside it stay.
    pub fn renamed(&self, name: &str) -> Result<TableDdl, DdlError> {
        self.spliced(&[(self.name_span.clone(), quote_identifier(name))])
    }

    /// Puts the column `definition` behind the column `after`, in the layout of its neighbours.
    pub fn with_column(&self, definition: &str, after: &str) -> Result<TableDdl, DdlError> {
        let at = self.columns.iter().position(|column| column.name.eq_ignore_ascii_case(after));
        let Some(at) = at else { return Err(missing("column", after)) };
        let column = &self.columns[at];
        let gap = self.gap_before(column.span.start);
        let Some(comma) = column.comma else {
            let end = column.span.end;
            return self.spliced(&[(end..end, format!(",{gap}{definition}"))]);
        };
        // A comment on the rest of the line speaks of the column before it and stays there.
        let place = if gap.contains('\n') { self.end_of_remark(comma + 1) } else { comma + 1 };
        self.spliced(&[(place..place, format!("{gap}{definition},"))])
    }

    /// Puts the column `definition` in front of all others.
    pub fn with_first_column(&self, definition: &str) -> Result<TableDdl, DdlError> {
        let first = self.columns.first().ok_or_else(|| missing("column", "at all"))?.span.start;
        self.spliced(&[(first..first, format!("{definition},{}", self.gap_before(first)))])
    }

    /// Takes a column out, with the comment on its line.
    pub fn without_column(&self, name: &str) -> Result<TableDdl, DdlError> {
        let at = self.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name));
        let Some(at) = at else { return Err(missing("column", name)) };
        let before = at.checked_sub(1).and_then(|at| self.columns[at].comma);
        self.without_item(&self.columns[at].span, self.columns[at].comma, before)
    }

    /// Puts a table constraint at the end of the list.
    pub fn with_constraint(&self, constraint: &str) -> Result<TableDdl, DdlError> {
        let last = self.constraints.last().map(|constraint| &constraint.span);
        let last = last.or(self.columns.last().map(|column| &column.span));
        let Some(last) = last else { return Err(missing("column", "at all")) };
        self.spliced(&[(last.end..last.end, format!(",{}{constraint}", self.gap_before(last.start)))])
    }

    /// Takes out the constraint called `name`, of the table or of a column.
    pub fn without_constraint(&self, name: &str) -> Result<TableDdl, DdlError> {
        let is =
            |found: &Option<String>| found.as_ref().is_some_and(|found| found.eq_ignore_ascii_case(name));
        if let Some(at) = self.constraints.iter().position(|constraint| is(&constraint.name)) {
            return self.without_table_constraint(at);
        }
        let constraint = self
            .columns
            .iter()
            .flat_map(|column| &column.constraints)
            .find(|constraint| is(&constraint.name));
        match constraint {
            Some(constraint) => self.without_part(&constraint.span),
            None => Err(missing("constraint", name)),
        }
    }

    /// Takes out the first foreign key that `unwanted` chooses; `None` when it chooses none.
    pub fn without_foreign_key(
        &self,
        unwanted: impl Fn(&ForeignKeyClause) -> bool,
    ) -> Result<Option<TableDdl>, DdlError> {
        for constraint in self.columns.iter().flat_map(|column| &column.constraints) {
            if matches!(&constraint.rule, ColumnRule::References(clause) if unwanted(clause)) {
                return self.without_part(&constraint.span).map(Some);
            }
        }
        let chosen = self.constraints.iter().position(
            |constraint| matches!(&constraint.rule, TableRule::ForeignKey(clause) if unwanted(clause)),
        );
        chosen.map(|at| self.without_table_constraint(at)).transpose()
    }

    /// Gives a column another type.
    pub fn with_type(&self, column: &str, new: &str) -> Result<TableDdl, DdlError> {
        let column = self.need(column)?;
        match &column.type_span {
            Some(span) => self.spliced(&[(span.clone(), new.to_owned())]),
            None => {
                let end = column.name_span.end;
                self.spliced(&[(end..end, format!(" {new}"))])
            }
        }
    }

    /// Gives a column another default, or none; `default` is what stands behind the word `DEFAULT`.
    pub fn with_default(&self, column: &str, default: Option<&str>) -> Result<TableDdl, DdlError> {
        let clause = default.map(|default| format!("DEFAULT {default}"));
        self.with_rule(column, &|rule| matches!(rule, ColumnRule::Default), clause)
    }

    /// Says or unsays `NOT NULL` of a column.
    pub fn with_not_null(&self, column: &str, not_null: bool) -> Result<TableDdl, DdlError> {
        let is_rule = |rule: &ColumnRule| matches!(rule, ColumnRule::NotNull | ColumnRule::Null);
        self.with_rule(column, &is_rule, not_null.then(|| "NOT NULL".to_owned()))
    }

    /// Replaces all constraints of one sort of a column by `clause`, or takes them out.
    fn with_rule(
        &self,
        column: &str,
        is_rule: &dyn Fn(&ColumnRule) -> bool,
        mut clause: Option<String>,
    ) -> Result<TableDdl, DdlError> {
        let column = self.need(column)?;
        let mut splices = Vec::new();
        for constraint in column.constraints.iter().filter(|constraint| is_rule(&constraint.rule)) {
            match clause.take() {
                Some(clause) => splices.push((constraint.span.clone(), clause)),
                None => splices.push((self.with_space_before(&constraint.span), String::new())),
            }
        }
        if let Some(clause) = clause {
            let end = column.type_span.as_ref().unwrap_or(&column.name_span).end;
            splices.push((end..end, format!(" {clause}")));
        }
        self.spliced(&splices)
    }

    fn need(&self, column: &str) -> Result<&ColumnDef, DdlError> {
        self.column(column).ok_or_else(|| missing("column", column))
    }

    fn without_table_constraint(&self, at: usize) -> Result<TableDdl, DdlError> {
        let before = match at.checked_sub(1) {
            Some(at) => self.constraints[at].comma,
            None => self.columns.last().and_then(|column| column.comma),
        };
        // Without a comma behind it the one in front would be left over only at the end of the list.
        let is_last = at + 1 == self.constraints.len();
        let constraint = &self.constraints[at];
        self.without_item(&constraint.span, constraint.comma, if is_last { before } else { None })
    }

    /// Takes one item out of the list: with the comma behind it or else with the one in front.
    fn without_item(
        &self,
        span: &Range<usize>,
        comma: Option<usize>,
        before: Option<usize>,
    ) -> Result<TableDdl, DdlError> {
        let mut start = span.start;
        let mut end = self.end_of_remark(comma.map_or(span.end, |comma| comma + 1));
        let line = &self.sql[..start];
        let indent = line.len() - line.trim_end_matches([' ', '\t']).len();
        let rest = &self.sql[end..];
        if line[..line.len() - indent].ends_with('\n') && (rest.starts_with('\n') || rest.starts_with("\r\n"))
        {
            // The line holds nothing else, so it goes with its line end.
            start -= indent;
            end += if rest.starts_with('\n') { 1 } else { 2 };
        } else if comma.is_some() && rest.starts_with(' ') {
            end += 1;
        }
        let mut splices = vec![(start..end, String::new())];
        if comma.is_none() {
            splices.extend(before.map(|before| (before..before + 1, String::new())));
        }
        self.spliced(&splices)
    }

    fn without_part(&self, span: &Range<usize>) -> Result<TableDdl, DdlError> {
        self.spliced(&[(self.with_space_before(span), String::new())])
    }

    /// Widens a span over the blanks in front of it, but leaves a line end: it may end a comment.
    fn with_space_before(&self, span: &Range<usize>) -> Range<usize> {
        self.sql[..span.start].trim_end_matches([' ', '\t']).len().max(self.name_span.end)..span.end
    }

    /// Returns the white space with which an item is set off from what is before it.
    fn gap_before(&self, at: usize) -> String {
        let before = &self.sql[..at];
        let blank = &before[before.trim_end_matches([' ', '\t']).len()..];
        let newline = if before[..before.len() - blank.len()].ends_with("\r\n") { "\r\n" } else { "\n" };
        if before[..before.len() - blank.len()].ends_with('\n') {
            format!("{newline}{blank}")
        } else {
            " ".to_owned()
        }
    }

    /// Returns the end of the line of `at` when only blanks and comments follow there, else `at`.
    fn end_of_remark(&self, at: usize) -> usize {
        for token in tokenize(&self.sql[at..]).unwrap_or_default() {
            let text = token.text(&self.sql[at..]);
            match (token.kind, text.find('\n')) {
                (TokenKind::Space, Some(newline)) => {
                    let end = at + token.span.start + newline;
                    return end - usize::from(self.sql[..end].ends_with('\r'));
                }
                (TokenKind::Space | TokenKind::Comment, None) => {}
                _ => return at,
            }
        }
        at
    }

    /// Replaces the given spans and reads the result anew, so that a bad edit is found here.
    fn spliced(&self, splices: &[(Range<usize>, String)]) -> Result<TableDdl, DdlError> {
        let mut splices: Vec<_> = splices.iter().collect();
        splices.sort_by_key(|(span, _)| span.start);
        let mut sql = self.sql.clone();
        for (span, text) in splices.into_iter().rev() {
            sql.replace_range(span.clone(), text);
        }
        TableDdl::parse(&sql)
    }
}

fn missing(what: &str, name: &str) -> DdlError {
    DdlError::Missing { what: format!("{what} {name}") }
}

/// Returns a `CREATE INDEX` statement with another name for the index.
pub fn rename_index(sql: &str, name: &str) -> Result<String, DdlError> {
    let mut cursor = Cursor::new(sql)?;
    cursor.expect_word("CREATE")?;
    cursor.word(&["UNIQUE"]);
    cursor.expect_word("INDEX")?;
    if cursor.word(&["IF"]) {
        cursor.expect_word("NOT")?;
        cursor.expect_word("EXISTS")?;
    }
    let mut span = cursor.name()?.1;
    if cursor.sign('.') {
        span = cursor.name()?.1;
    }
    let mut sql = sql.to_owned();
    sql.replace_range(span, &quote_identifier(name));
    Ok(sql)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "CREATE TABLE t (\n  a INTEGER, -- about a, and (more\n  -- above b\n  b TEXT NOT NULL DEFAULT 'x', /* b */\n  c\n    REFERENCES p(id) -- about c\n)";

    fn parse(sql: &str) -> TableDdl {
        TableDdl::parse(sql).unwrap()
    }

    #[test]
    fn a_column_goes_behind_the_comment_of_its_neighbour() {
        let edited = parse(TABLE).with_column("n INT", "a").unwrap().sql;
        assert!(edited.contains("(more\n  n INT,\n  -- above b\n  b TEXT"), "{edited}");
        let edited = parse(TABLE).with_column("n INT", "c").unwrap().sql;
        assert!(edited.contains("REFERENCES p(id),\n  n INT -- about c\n)"), "{edited}");
        assert_eq!(
            parse("CREATE TABLE t(a, b)").with_column("n", "A").unwrap().sql,
            "CREATE TABLE t(a, n, b)"
        );
    }

    #[test]
    fn a_column_leaves_with_its_line() {
        let edited = parse(TABLE).without_column("a").unwrap().sql;
        assert!(edited.starts_with("CREATE TABLE t (\n  -- above b\n  b TEXT"), "{edited}");
        let edited = parse(TABLE).without_column("c").unwrap().sql;
        assert!(edited.ends_with("DEFAULT 'x' /* b */\n)"), "{edited}");
        assert_eq!(parse("CREATE TABLE t(a, b, c)").without_column("b").unwrap().sql, "CREATE TABLE t(a, c)");
        assert_eq!(parse("CREATE TABLE t(a, b)").without_column("b").unwrap().sql, "CREATE TABLE t(a )");
    }

    #[test]
    fn types_defaults_and_not_null_are_replaced_where_they_stand() {
        let table = parse(TABLE);
        assert!(table.with_type("b", "BLOB").unwrap().sql.contains("b BLOB NOT NULL DEFAULT 'x', /* b */"));
        assert!(table.with_type("c", "INT").unwrap().sql.contains("c INT\n    REFERENCES"));
        assert!(
            table.with_default("b", Some("(1 + 1)")).unwrap().sql.contains("NOT NULL DEFAULT (1 + 1), /*")
        );
        assert!(table.with_default("b", None).unwrap().sql.contains("b TEXT NOT NULL, /* b */"));
        assert!(table.with_not_null("b", false).unwrap().sql.contains("b TEXT DEFAULT 'x', /* b */"));
        assert!(table.with_not_null("a", true).unwrap().sql.contains("a INTEGER NOT NULL, -- about"));
    }

    #[test]
    fn constraints_come_and_go() {
        let table =
            parse("CREATE TABLE t(a, b CONSTRAINT cb CHECK (b > 0), CONSTRAINT u UNIQUE (a), CHECK (a))");
        assert_eq!(
            table.without_constraint("U").unwrap().sql,
            "CREATE TABLE t(a, b CONSTRAINT cb CHECK (b > 0), CHECK (a))"
        );
        assert_eq!(
            table.without_constraint("cb").unwrap().sql,
            "CREATE TABLE t(a, b, CONSTRAINT u UNIQUE (a), CHECK (a))"
        );
        assert!(table.with_constraint("CHECK (b)").unwrap().sql.ends_with("CHECK (a), CHECK (b))"));
        assert!(table.without_constraint("none").is_err());
        let without = parse(TABLE).without_foreign_key(|_| true).unwrap().unwrap();
        assert!(without.foreign_keys().is_empty());
        let bare = parse("CREATE TABLE t(a, CONSTRAINT x CHECK (a) CONSTRAINT y UNIQUE (a))");
        assert_eq!(bare.without_constraint("x").unwrap().constraints.len(), 1);
        assert_eq!(bare.without_constraint("y").unwrap().constraints.len(), 1);
    }

    #[test]
    fn windows_line_ends_stay() {
        let edited =
            parse("CREATE TABLE t (\r\n  a INT, -- a\r\n  b INT\r\n)").with_column("n", "a").unwrap().sql;
        assert_eq!(edited, "CREATE TABLE t (\r\n  a INT, -- a\r\n  n,\r\n  b INT\r\n)");
        let edited =
            parse("CREATE TABLE t (\r\n  a INT, -- a\r\n  b INT\r\n)").without_column("a").unwrap().sql;
        assert_eq!(edited, "CREATE TABLE t (\r\n  b INT\r\n)");
    }

    #[test]
    fn an_index_is_renamed_in_its_text() {
        let sql = "CREATE UNIQUE INDEX [old] ON t(\"old\") WHERE a > 0 -- old";
        let edited = rename_index(sql, "new \"one\"").unwrap();
        assert_eq!(edited, "CREATE UNIQUE INDEX \"new \"\"one\"\"\" ON t(\"old\") WHERE a > 0 -- old");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_or_an_edit_fall_over(parts in proptest::collection::vec(
            proptest::sample::select(&[
                "CREATE", "TABLE", "t", "(", ")", ",", "a", "\"b\"\"\"", "[c]", "'d'", "INT", "DEFAULT", "-1", "NOT", "NULL",
                "UNIQUE", "PRIMARY KEY", "ON CONFLICT", "CHECK (", "REFERENCES p", "ON DELETE SET", "FOREIGN KEY (a)",
                "CONSTRAINT", "AS (a)", "DEFERRABLE INITIALLY", "-- c\n", "/* , */", "\r\n", "  ", "é", "GENERATED ALWAYS",
            ][..]),
            0..24,
        )) {
            let sql = format!("CREATE TABLE t(a INT, {}", parts.join(" "));
            for sql in [sql.clone(), format!("{sql})"), parts.join(" ")] {
                let Ok(table) = TableDdl::parse(&sql) else { continue };
                for column in &table.columns {
                    let _ = table.without_column(&column.name);
                    let _ = table.with_default(&column.name, Some("1"));
                    let _ = table.with_not_null(&column.name, false);
                    let _ = table.with_type(&column.name, "BLOB");
                    // A column that comes and goes leaves the others as they were.
                    let with = table.with_column("zz INT", &column.name).unwrap();
                    let without = with.without_column("zz").unwrap();
                    let names = |table: &TableDdl| table.columns.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
                    assert_eq!(names(&without), names(&table), "{}", sql);
                    assert_eq!(without.foreign_keys(), table.foreign_keys());
                }
                let _ = table.with_constraint("CHECK (a)");
                let _ = table.without_foreign_key(|_| true);
                let _ = table.renamed("x");
            }
        }
    }
}
