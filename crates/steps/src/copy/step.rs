//! The kind and its step.

use super::mapping::{Filling, Item, Mapped, Mapping, constant};
use super::uncovered::{Ends, misfits};
use crate::database::{enter, guard, is_begun, own, standing};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use switchback_engine::registry::Compiled;
use switchback_engine::{Condition, Kind, Overlay, Preview, Step, StepError, Work};
use switchback_flow::{ColumnMove, CursorKey, Indexes, Lookup, Options, TableMove, TableName, Take, run};
use switchback_model::compile::Compile;
use switchback_model::decode::{Keyed, Spanned};
use switchback_model::diagnostic::Diagnostic;
use switchback_model::plan::{Access, Reversal, Touch};
use switchback_model::target::{DATABASES, POSTGRES, TargetDef};
use switchback_model::text::Template;
use switchback_model::words;
use switchback_model::{choice, record};
use switchback_site::postgres::ledger;
use switchback_site::{Site, SiteError, Tell};

record! {
    /// Moves rows between databases.
    pub struct CopyBody {
        /// The database that has the rows.
        pub from: Spanned<String>,
        /// The database that gets them.
        pub to: Spanned<String>,
        /// The schema of the source to the schema of the target, where databases have schemas.
        pub schemas: Option<Keyed<Template>>,
        /// A file of the playbook that says which column becomes which.
        pub tables: Spanned<String>,
        /// When indexes and foreign keys of empty tables of a PostgreSQL target are made; else by the number of rows.
        pub indexes: Option<IndexesWord>,
        /// `true`: a table or column of the source that is neither moved nor declared as left behind is an error.
        pub everything: Option<bool>,
    }
}

choice! {
    /// When indexes and foreign keys are made.
    pub enum IndexesWord {
        /// All at once after the last row, however few rows there are.
        After = "after",
        /// With each row: they stay where they are.
        Kept = "kept",
    }
}

/// The kind.
pub struct CopyKind;

impl Kind for CopyKind {
    type Body = CopyBody;
    const NAME: &'static str = "copy";
    const SAYS: &'static str = "moves rows between databases, column by column";

    fn compile(body: CopyBody, cx: &mut Compile<'_>) -> Compiled {
        let from = cx.target_name(&body.from.value, body.from.span, &DATABASES)?;
        let to = cx.target_name(&body.to.value, body.to.span, &DATABASES)?;
        let mut item = Item::new();
        let (from_schema, to_schema) =
            match body.schemas.as_ref().map(|schemas| schemas.iter().collect::<Vec<_>>()) {
                None => (None, None),
                Some(pairs) => {
                    let [(source, target)] = pairs.as_slice() else {
                        cx.out.push(
                            Diagnostic::error("P036", "a `copy` step has one schema at each end")
                                .at(body.from.span, "of this step")
                                .help("write a step for each pair of schemas, or a loop around one"),
                        );
                        return None;
                    };
                    let source = Template::parse(&source.text).ok()?;
                    (Some(schema(&source, &mut item, cx)?), Some(schema(target, &mut item, cx)?))
                }
            };
        let (mut from_schema, mut to_schema) = (from_schema, to_schema);
        for (name, schema, span) in
            [(&from, &mut from_schema, body.from.span), (&to, &mut to_schema, body.to.span)]
        {
            let wanted = cx.targets.get(name).is_some_and(|def| def.kind() == POSTGRES);
            if wanted != schema.is_some() {
                let (message, help) = if wanted {
                    ("needs a schema", "add `schemas: {SOURCE: TARGET}`")
                } else {
                    ("has no schemas", "call its one schema `main` in `schemas:`")
                };
                let main = matches!(&*schema, Some(SchemaName::Named(name)) if name == "main");
                if wanted || !main {
                    cx.out.push(
                        Diagnostic::error("P036", format!("`{name}` {message}"))
                            .at(span, "of this step")
                            .help(help),
                    );
                    return None;
                }
                *schema = None;
            }
        }
        let mapping = Mapping::read(&body.tables.value, body.tables.span, &mut item, cx)?;
        Some(vec![Box::new(Copy {
            from: End { target: from, schema: from_schema },
            to: End { target: to, schema: to_schema },
            items: (!item.is_empty()).then(|| vec![item]),
            mapping,
            indexes: match body.indexes {
                None => Indexes::BySize,
                Some(IndexesWord::After) => Indexes::After,
                Some(IndexesWord::Kept) => Indexes::Kept,
            },
            everything: body.everything.unwrap_or(false),
        })])
    }
}

/// The name of a schema, which is an identifier wherever it comes from.
fn schema(template: &Template, item: &mut Item, cx: &mut Compile<'_>) -> Option<SchemaName> {
    cx.identifier(template)?;
    Some(match constant(template, item, cx)? {
        Filling::Field(field) => SchemaName::Field(field),
        Filling::Constant(name) | Filling::Column(name) | Filling::Expression(name) => {
            SchemaName::Named(name)
        }
    })
}

/// The name of a schema, or the field of a loop's thing that holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SchemaName {
    /// The same in every turn.
    Named(String),
    /// A field of a loop's thing.
    Field(String),
}

/// One end of a move, frozen in the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// Name of the target.
    pub target: String,
    /// The schema, in a database that has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<SchemaName>,
}

impl End {
    fn schema<'a>(&'a self, item: &'a Item) -> Option<&'a str> {
        match self.schema.as_ref()? {
            SchemaName::Named(name) => Some(name),
            SchemaName::Field(field) => item.get(field).map(String::as_str),
        }
    }

    fn table(&self, table: &str, item: &Item) -> TableName {
        TableName { schema: self.schema(item).map(str::to_owned), table: table.to_owned() }
    }
}

/// The step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Copy {
    /// Where the rows are.
    pub from: End,
    /// Where they go.
    pub to: End,
    /// The items of the loop that the step stood in, in order: the turns of one loop are joined into one step, so that they
    /// share connections, workers and proof. Without a loop there is one turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<Item>>,
    /// Which column becomes which.
    pub mapping: Mapping,
    /// When indexes and foreign keys of empty tables are made.
    #[serde(default, skip_serializing_if = "is_by_size")]
    pub indexes: Indexes,
    /// Whether everything must be moved or declared as left behind.
    pub everything: bool,
}

// By reference, as serde asks.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_by_size(indexes: &Indexes) -> bool {
    *indexes == Indexes::BySize
}

impl Copy {
    /// Returns every table's move, turn by turn: the same for the same step, in every life.
    pub fn moves(&self) -> Vec<TableMove> {
        let turns = self.turns();
        turns
            .iter()
            .flat_map(|item| self.mapping.tables.iter().map(|mapped| self.table_move(mapped, item)))
            .collect()
    }

    fn turns(&self) -> Vec<Item> {
        self.items.clone().unwrap_or_else(|| vec![Item::new()])
    }

    fn table_move(&self, mapped: &Mapped, item: &Item) -> TableMove {
        let column =
            |(to, filling): (&String, &Filling)| ColumnMove { to: to.clone(), take: take(filling, item) };
        TableMove {
            from: self.from.table(&mapped.from, item),
            to: self.to.table(&mapped.to, item),
            columns: mapped.columns.iter().map(|(to, filling)| column((to, filling))).collect(),
            lookups: mapped
                .lookups
                .iter()
                .map(|(to, lookup)| Lookup {
                    to: to.clone(),
                    within: self.to.table(&lookup.within, item),
                    by: lookup.by.iter().map(column).collect(),
                    take: lookup.take.clone(),
                    miss: lookup.miss,
                })
                .collect(),
            filter: mapped.only.clone(),
        }
    }

    /// Compares the mapping with both ends as they are now. An end that is not there yet says so as one misfit.
    /// Without `both` the source alone is looked at.
    fn misfits(&self, site: &Site, both: bool) -> Result<Vec<String>, StepError> {
        let turns = self.turns();
        let schemas = |end: &End| -> Vec<String> {
            turns.iter().filter_map(|item| end.schema(item).map(str::to_owned)).collect()
        };
        let sources = site.tables_of(&self.from.target, &schemas(&self.from))?;
        let targets = match both {
            true => Some(site.tables_of(&self.to.target, &schemas(&self.to))?),
            false => None,
        };
        let mut found = Vec::new();
        for item in &turns {
            let (from, to) =
                (self.from.schema(item).unwrap_or("main"), self.to.schema(item).unwrap_or("main"));
            match (sources.get(from), targets.as_ref().map(|targets| targets.get(to))) {
                (Some(_), Some(None)) => found.push(format!("schema {to} is not in {}", self.to.target)),
                (Some(source), target) => {
                    let target = target.flatten();
                    let ends = Ends { from, source, to, target };
                    found.extend(misfits(&self.mapping, &ends, self.everything));
                }
                (None, _) => found.push(format!("schema {from} is not in {}", self.from.target)),
            }
        }
        found.dedup();
        Ok(found)
    }

    /// The two databases.
    pub(crate) fn ends(
        &self,
        site: &Site,
    ) -> Result<(switchback_flow::End, switchback_flow::End), StepError> {
        let end = |target: &str| -> Result<switchback_flow::End, StepError> {
            Ok(match site.targets().get(target).map(TargetDef::kind) {
                Some(POSTGRES) => switchback_flow::End::Postgres(site.postgres(target)?),
                _ => switchback_flow::End::Sqlite(site.database(target)?),
            })
        };
        Ok((end(&self.from.target)?, end(&self.to.target)?))
    }

    fn refuse_misfits(&self, site: &Site, both: bool, tell: &Tell) -> Result<(), StepError> {
        let found = self.misfits(site, both)?;
        if found.is_empty() {
            if both {
                // Types, triggers, expressions: the databases themselves say whether they fit.
                let (from, to) = self.ends(site)?;
                switchback_flow::check(&self.moves(), &from, &to, tell)?;
            }
            return Ok(());
        }
        let message = format!(
            "move {} from {} to {}: the mapping does not fit them",
            words::count(self.mapping.tables.len() as u64, "table"),
            self.from.target,
            self.to.target
        );
        Err(StepError::failed(message).details(found).help(
            "this site differs from what the playbook knows: nothing was moved; a table or column of your own has to be taken out, or declared in the playbook's tables file",
        ))
    }
}

/// Why nobody can know yet how a database will stand, if earlier steps will have changed its tables.
fn unseen(world: &Overlay<'_>, target: &str) -> Option<String> {
    let altered = || {
        let tables = world.left(target, crate::alter::CATALOG).map(|_| "its tables will have been altered");
        let script = world.left(target, crate::sql::SCRIPT).and_then(Value::as_str);
        script.map(|name| format!("{name} will have run")).or(tables.map(str::to_owned))
    };
    world.unknown(target).map(str::to_owned).or_else(altered)
}

fn take(filling: &Filling, item: &Item) -> Take {
    match filling {
        Filling::Column(name) => Take::Column(name.clone()),
        Filling::Expression(text) => Take::Expression(text.clone()),
        Filling::Constant(text) => Take::Constant(Some(text.clone())),
        Filling::Field(field) => Take::Constant(item.get(field).cloned()),
    }
}

impl Step for Copy {
    const KIND: &'static str = "copy";
    type Before = ();

    fn describe(&self) -> String {
        let tables = words::count(self.mapping.tables.len() as u64, "table");
        let each = match &self.items {
            Some(items) => format!(" of each of {}", words::count(items.len() as u64, "schema")),
            None => String::new(),
        };
        format!("copy {tables}{each} from {} to {}", self.from.target, self.to.target)
    }

    fn subject(&self) -> String {
        self.to.target.clone()
    }

    fn touches(&self) -> Vec<Touch> {
        vec![Touch::new(&self.from.target, Access::Reads), Touch::new(&self.to.target, Access::Writes)]
    }

    fn reversal(&self) -> Reversal {
        Reversal::ByRestore
    }

    fn preview(&self, world: &mut Overlay<'_>) -> Result<Preview, StepError> {
        let mut lines = Vec::new();
        let (from, to) = (unseen(world, &self.from.target), unseen(world, &self.to.target));
        match (from, to) {
            (None, None) => self.refuse_misfits(world.site, true, &Tell::quiet())?,
            (from, to) => {
                // What the source has is known already, and what is forgotten there is found now.
                if from.is_none() {
                    self.refuse_misfits(world.site, false, &Tell::quiet())?;
                }
                let why = to.or(from).unwrap_or_default();
                lines.push(format!("whether the columns fit is looked at before the first row: {why}"));
            }
        }
        for mapped in &self.mapping.tables {
            lines.push(format!(
                "{} → {} ({})",
                mapped.from,
                mapped.to,
                words::count((mapped.columns.len() + mapped.lookups.len()) as u64, "column")
            ));
        }
        let bytes = world.site.size(&self.from.target)?.unwrap_or(0);
        let grows = vec![(self.to.target.clone(), bytes)];
        Ok(Preview { grows, ..Preview::of(lines, 50 + bytes / BYTES_A_MS) })
    }

    fn check(&self, site: &Site, work: &Work<'_>) -> Result<Condition, StepError> {
        let standing = standing(site, &self.to.target, work)?;
        if standing != Condition::Pending {
            return Ok(standing);
        }
        let begun = match site.is_postgres(&self.to.target) {
            true => !ledger::cursors(&mut site.reader(&self.to.target)?, work.run, work.step)
                .map_err(SiteError::from)?
                .is_empty(),
            false => is_begun(site, &self.to.target, work)?,
        };
        Ok(if begun { Condition::Partial } else { Condition::Pending })
    }

    fn prepare(&self, site: &Site, work: &Work<'_>) -> Result<(), StepError> {
        guard(site, &self.to.target, work)?;
        self.refuse_misfits(site, true, work.tell)
    }

    fn apply(&self, site: &Site, (): &(), work: &Work<'_>) -> Result<Value, StepError> {
        if self.check(site, work)?.is_applied() {
            return Ok(Value::Null);
        }
        own(site, &self.to.target, work)?;
        let (from, to) = self.ends(site)?;
        let key = CursorKey { run: work.run.to_owned(), step: work.step.to_owned() };
        let options = Options { indexes: self.indexes, ..Options::default() };
        let report = run(&self.moves(), &from, &to, &key, options, work.tell)?;
        enter(site, &self.to.target, work)?;
        let dropped: u64 = report.dropped.iter().map(|(_, rows)| rows).sum();
        Ok(json!({ "rows": report.rows, "dropped": dropped, "sequences": report.sequences.len() }))
    }

    fn join(&self, next: &Copy) -> Option<Copy> {
        let alike = (&self.from, &self.to, &self.mapping, self.indexes, self.everything)
            == (&next.from, &next.to, &next.mapping, next.indexes, next.everything);
        let (mine, theirs) = (self.items.as_ref()?, next.items.as_ref()?);
        let items = mine.iter().chain(theirs).cloned().collect();
        alike.then(|| Copy { items: Some(items), ..self.clone() })
    }

    /// The restore of the backup takes the rows out; here it is only made sure that nobody else's work goes with them.
    fn undo(&self, site: &Site, (): &(), work: &Work<'_>) -> Result<(), StepError> {
        guard(site, &self.to.target, work)
    }
}

/// Bytes that a copy moves in a millisecond, by a rule of thumb: a slow disk, with indexes.
const BYTES_A_MS: u64 = 20_000;
