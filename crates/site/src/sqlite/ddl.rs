//! The text of SQL as SQLite reads it: tokens, statements, and `CREATE TABLE` with the place of everything in it.
//!
//! Nothing here asks a database. Edits splice bytes, so that comments, layout and quoting of what is not edited stay.

pub use super::ddl_columns::{ColumnConstraint, ColumnRule, ForeignKeyClause};
pub use super::ddl_edit::rename_index;
pub use super::ddl_keyword::name_in_text;
pub use super::ddl_split::{Statement, has_transaction_control, split_statements, statement_keyword};
pub use super::ddl_table::{ColumnDef, TableConstraint, TableDdl, TableRule};
pub use super::ddl_token::{DdlError, Token, TokenKind, quote_identifier, quote_text, tokenize, unquote};
