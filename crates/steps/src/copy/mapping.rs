//! Which column becomes which: the tables file of a playbook, read and checked.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use switchback_flow::Miss;
use switchback_model::compile::Compile;
use switchback_model::decode::{Decode, Decoder, Keyed, Spanned};
use switchback_model::diagnostic::{Diagnostic, Diagnostics, Source, Span, line_column};
use switchback_model::text::{Part, Template};
use switchback_model::{choice, record, tree};

record! {
    /// The tables of a `copy` step, column by column.
    pub struct TablesFile {
        /// Every table that is moved.
        pub tables: Vec<TableEntry>,
        /// Tables of the source that have no place in the target, each with the reason.
        pub left_behind: Option<Keyed<String>>,
    }
}

record! {
    /// One table and where its columns go.
    pub struct TableEntry {
        /// The table of the source.
        pub from: Spanned<String>,
        /// The table of the target; else the same name.
        pub to: Option<Spanned<String>>,
        /// Columns that keep their names.
        pub columns: Vec<Spanned<String>>,
        /// Column of the target to column of the source.
        pub rename: Option<Keyed<String>>,
        /// Column of the target to an SQL expression over the source row `s`.
        pub expr: Option<Keyed<String>>,
        /// Column of the target to a constant.
        pub set: Option<Keyed<Template>>,
        /// Column of the target to where in the target its value is found.
        pub lookup: Option<Keyed<LookupEntry>>,
        /// A condition over the source row `s`; what does not meet it must be a declared loss.
        pub only: Option<String>,
        /// Columns of the source that have no place in the target, each with the reason.
        pub leave: Option<Keyed<String>>,
        /// Columns of the target that stay at their default although the source has them, each with the reason.
        pub unfilled: Option<Keyed<String>>,
    }
}

record! {
    /// A value that is found in a table of the target.
    pub struct LookupEntry {
        /// The table of the target that is searched.
        pub r#in: String,
        /// Column of that table to what it must equal: a column of the source, or a reference.
        pub by: Keyed<Template>,
        /// The column of that table that is taken.
        pub take: String,
        /// What becomes of a row that finds nothing.
        pub miss: MissWord,
        /// The loss that dropped rows are declared as.
        pub loss: Option<String>,
    }
}

choice! {
    /// What becomes of a row that finds nothing.
    pub enum MissWord {
        /// The step fails and names the row.
        Fail = "fail",
        /// The column becomes NULL.
        Null = "empty",
        /// The row stays behind.
        Drop = "drop",
    }
}

/// The fields that a step takes from the thing that its loop has reached, by `thing.field`.
pub type Item = BTreeMap<String, String>;

/// What fills a column, frozen in the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filling {
    /// A column of the source.
    Column(String),
    /// An expression over the source row `s`.
    Expression(String),
    /// A constant, the same in every turn of the loop.
    Constant(String),
    /// A field of a loop's thing, as `thing.field`.
    Field(String),
}

/// A lookup, frozen in the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MappedLookup {
    /// The table of the target that is searched.
    pub within: String,
    /// Its columns and what each must equal.
    pub by: BTreeMap<String, Filling>,
    /// The column that is taken.
    pub take: String,
    /// What becomes of a row that finds nothing.
    pub miss: Miss,
    /// The loss that dropped rows are declared as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<String>,
}

/// One table's mapping, frozen in the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapped {
    /// The table of the source.
    pub from: String,
    /// The table of the target.
    pub to: String,
    /// Columns of the target and what fills them, in the order of the file.
    pub columns: Vec<(String, Filling)>,
    /// Columns of the target that are found in it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lookups: BTreeMap<String, MappedLookup>,
    /// A condition over the source row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<String>,
    /// Columns of the source that have no place, with the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub leave: BTreeMap<String, String>,
    /// Columns of the target that stay at their default, with the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unfilled: BTreeMap<String, String>,
}

/// The whole file, frozen in the plan.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// The tables that are moved.
    pub tables: Vec<Mapped>,
    /// Tables of the source that have no place, with the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_behind: BTreeMap<String, String>,
}

impl Mapping {
    /// Reads a tables file of the playbook; everything that is wrong with it is said at the place that names it.
    /// Fields of a loop's thing stay references until the moves are made; their values are put into `fields`.
    pub(crate) fn read(file: &str, span: Span, fields: &mut Item, cx: &mut Compile<'_>) -> Option<Mapping> {
        let text = cx.file(file, span)?;
        let source = Source::new(file, text.as_str());
        let mut wrong = Diagnostics::default();
        let mut decoder = Decoder::default();
        let entries =
            tree::parse(&source, &mut wrong).and_then(|node| TablesFile::decode(&node, &mut decoder));
        wrong.extend(decoder.into_diagnostics());
        let mut mapping = Mapping::default();
        for entry in entries.iter().flat_map(|file| &file.tables) {
            mapping.tables.extend(mapped(entry, fields, cx, &mut wrong));
        }
        let left = entries.as_ref().and_then(|file| file.left_behind.as_ref());
        mapping.left_behind = reasons(left);
        for found in wrong.iter() {
            cx.out.push(relocated(found, &source, span));
        }
        (!wrong.has_errors() && entries.is_some()).then_some(mapping)
    }
}

/// Says in the playbook what is wrong in a file beside it: with the place there, at the name here.
fn relocated(found: &Diagnostic, source: &Source, span: Span) -> Diagnostic {
    let (line, column) = line_column(&source.text, found.span.map_or(0, |span| span.start));
    let message = format!("{}:{line}:{column}: {}", source.name, found.message);
    let moved = Diagnostic::error(found.code, message).at(span, "in this file");
    match &found.help {
        Some(help) => moved.help(help.clone()),
        None => moved,
    }
}

fn mapped(
    entry: &TableEntry,
    fields: &mut Item,
    cx: &mut Compile<'_>,
    wrong: &mut Diagnostics,
) -> Option<Mapped> {
    let mut columns: Vec<(String, Filling)> = Vec::new();
    for column in &entry.columns {
        columns.push((column.value.clone(), Filling::Column(column.value.clone())));
    }
    for (to, from) in entry.rename.iter().flat_map(Keyed::iter) {
        columns.push((to.text.clone(), Filling::Column(from.clone())));
    }
    for (to, expression) in entry.expr.iter().flat_map(Keyed::iter) {
        columns.push((to.text.clone(), Filling::Expression(expression.clone())));
    }
    for (to, template) in entry.set.iter().flat_map(Keyed::iter) {
        columns.push((to.text.clone(), constant(template, fields, cx)?));
    }
    let mut lookups = BTreeMap::new();
    for (to, lookup) in entry.lookup.iter().flat_map(Keyed::iter) {
        if lookup.miss == MissWord::Drop && lookup.loss.is_none() {
            wrong.push(
                Diagnostic::error(
                    "P033",
                    format!("rows that find no `{}` would be dropped in silence", to.text),
                )
                .at(to.span, "drops rows")
                .help("name the loss that they are declared as: `loss: NAME`"),
            );
        }
        lookups.insert(to.text.clone(), mapped_lookup(lookup, fields, cx)?);
    }
    let mut seen = std::collections::BTreeSet::new();
    for to in columns.iter().map(|(to, _)| to).chain(lookups.keys()) {
        if !seen.insert(to.clone()) {
            wrong.push(
                Diagnostic::error("P034", format!("column `{to}` of `{}` is filled twice", entry.from.value))
                    .at(entry.from.span, "in this table")
                    .help("leave one of `columns:`, `rename:`, `expr:`, `set:`, `lookup:` for it"),
            );
        }
    }
    if seen.is_empty() {
        wrong.push(
            Diagnostic::error("P035", format!("nothing of `{}` is moved", entry.from.value))
                .at(entry.from.span, "no column of it")
                .help("list its columns, or put the table below `left_behind:`"),
        );
    }
    Some(Mapped {
        from: entry.from.value.clone(),
        to: entry.to.as_ref().unwrap_or(&entry.from).value.clone(),
        columns,
        lookups,
        only: entry.only.clone(),
        leave: reasons(entry.leave.as_ref()),
        unfilled: reasons(entry.unfilled.as_ref()),
    })
}

fn mapped_lookup(lookup: &LookupEntry, fields: &mut Item, cx: &mut Compile<'_>) -> Option<MappedLookup> {
    let mut by = BTreeMap::new();
    for (column, template) in lookup.by.iter() {
        let filling = match template.parts() {
            // A plain word is a column: a constant to search by comes from a reference.
            [Part::Lit(name)] => Filling::Column(name.clone()),
            _ => constant(template, fields, cx)?,
        };
        by.insert(column.text.clone(), filling);
    }
    Some(MappedLookup {
        within: lookup.r#in.clone(),
        by,
        take: lookup.take.clone(),
        miss: match lookup.miss {
            MissWord::Fail => Miss::Fail,
            MissWord::Null => Miss::Null,
            MissWord::Drop => Miss::Drop,
        },
        loss: lookup.loss.clone(),
    })
}

/// A constant: a field of a loop's thing, or the text that a template makes.
pub(crate) fn constant(template: &Template, fields: &mut Item, cx: &mut Compile<'_>) -> Option<Filling> {
    if let Some(reference) = template.as_reference()
        && cx.items.contains_key(&reference.name)
    {
        let value = cx.text(template)?;
        fields.insert(reference.to_string(), value);
        return Some(Filling::Field(reference.to_string()));
    }
    cx.text(template).map(Filling::Constant)
}

fn reasons(keyed: Option<&Keyed<String>>) -> BTreeMap<String, String> {
    keyed.into_iter().flat_map(Keyed::iter).map(|(key, why)| (key.text.clone(), why.clone())).collect()
}
