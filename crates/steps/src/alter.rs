//! `alter`: brings tables to a declared shape, in place where SQLite can, else by a safe rebuild.

use crate::database::sqlite::take_counted;
use crate::database::{guard, is_in, ledger_row, standing};
use crate::sql::check_script;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use switchback_engine::registry::Compiled;
use switchback_engine::{Condition, Kind, Overlay, Preview, Step, StepError, Work};
use switchback_model::compile::{Compile, plain_value};
use switchback_model::decode::{Keyed, Spanned};
use switchback_model::diagnostic::Diagnostic;
use switchback_model::plan::{Access, Reversal, Touch};
use switchback_model::target::{DATABASES, TargetDef};
use switchback_model::tree::Node;
use switchback_model::{choice, record};
use switchback_site::sqlite::alter::{
    Action, AlterSpec, Catalog, DefaultChange, ForeignKey, Generated, IndexChange, Literal, NewColumn,
    TableChange,
};
use switchback_site::sqlite::run_alter;
use switchback_site::{Site, SiteError};

/// Rows that a rebuild copies in a millisecond, by a rule of thumb.
const BYTES_A_MS: u64 = 30_000;

record! {
    /// Brings tables of a database to a declared shape.
    pub struct AlterBody {
        /// The database.
        pub r#in: Spanned<String>,
        /// The tables by their present name.
        pub tables: Keyed<TableBody>,
        /// A script in the same transaction.
        pub and: Option<AndBody>,
    }
}

record! {
    /// A script that runs in the same transaction. `:now` is the time of the step.
    pub struct AndBody {
        /// The statements, or a file of the playbook.
        pub sql: Spanned<String>,
    }
}

record! {
    /// The declared changes of one table. All names but those that are renamed are the names afterwards.
    pub struct TableBody {
        /// Its name afterwards.
        pub rename: Option<String>,
        /// New columns.
        pub add: Option<Keyed<ColumnBody>>,
        /// Columns that go.
        pub drop: Vec<String>,
        /// Columns that get another name.
        pub rename_columns: Option<Keyed<String>>,
        /// Columns that get another type.
        pub retype: Option<Keyed<String>>,
        /// Columns that get another default; `null` takes it away.
        pub defaults: Option<Keyed<Node>>,
        /// Columns that must have a value (`true`) or need none (`false`).
        pub not_null: Option<Keyed<bool>>,
        /// Table constraints to add, as SQL.
        pub add_constraints: Vec<String>,
        /// Constraints to drop, by name.
        pub drop_constraints: Vec<String>,
        /// All foreign keys of the table afterwards.
        pub foreign_keys: Option<Vec<ForeignKeyBody>>,
        /// Indexes by their present name.
        pub indexes: Option<Keyed<IndexBody>>,
        /// Copies the table even where it could be changed in place.
        pub rebuild: Option<bool>,
    }
}

record! {
    /// A column to add.
    pub struct ColumnBody {
        /// Its type.
        pub r#type: String,
        /// Its default, which is also its value in the rows that exist.
        pub default: Option<Node>,
        /// Its default as an expression, such as CURRENT_TIMESTAMP.
        pub default_expression: Option<String>,
        /// Whether it must have a value.
        pub not_null: Option<bool>,
        /// The expression of a CHECK.
        pub check: Option<String>,
        /// Its collation.
        pub collate: Option<String>,
        /// The expression that it is computed from.
        pub generated: Option<String>,
        /// Whether a computed value is stored.
        pub stored: Option<bool>,
        /// The column that it comes behind; else it comes last.
        pub after: Option<String>,
    }
}

record! {
    /// A foreign key.
    pub struct ForeignKeyBody {
        /// The columns that refer.
        pub columns: Vec<String>,
        /// The table referred to, with its columns.
        pub references: Keyed<Vec<String>>,
        /// What happens when the row referred to goes.
        pub on_delete: Option<ActionBody>,
        /// What happens when its key changes.
        pub on_update: Option<ActionBody>,
        /// Whether it is checked at the commit.
        pub deferrable: Option<bool>,
    }
}

choice! {
    /// What a foreign key does.
    pub enum ActionBody {
        /// It fails.
        NoAction = "no-action",
        /// It fails at once.
        Restrict = "restrict",
        /// The columns become NULL.
        SetNull = "set-null",
        /// The columns get their defaults.
        SetDefault = "set-default",
        /// The row follows.
        Cascade = "cascade",
    }
}

record! {
    /// What happens to an index: one of these.
    pub struct IndexBody {
        /// It gets this name.
        pub rename: Option<String>,
        /// It goes.
        pub drop: Option<bool>,
        /// It is created by this statement.
        pub create: Option<String>,
    }
}

/// The kind.
pub struct AlterKind;

impl Kind for AlterKind {
    type Body = AlterBody;
    const NAME: &'static str = "alter";
    const SAYS: &'static str = "brings tables to a declared shape";

    fn compile(body: AlterBody, cx: &mut Compile<'_>) -> Compiled {
        let target = cx.target_name(&body.r#in.value, body.r#in.span, &DATABASES)?;
        if matches!(cx.targets.get(&target), Some(TargetDef::Postgres { .. })) {
            cx.out.push(
                Diagnostic::error("P026", format!("`alter` brings tables of SQLite to a shape, and {target} is PostgreSQL"))
                    .at(body.r#in.span, "is altered")
                    .help("write the ALTER statements into an `sql` step: PostgreSQL runs them in its one transaction"),
            );
            return None;
        }
        let and = match &body.and {
            Some(and) => {
                let script = cx.sql(&and.sql.value, and.sql.span)?;
                check_script(&script, &target, and.sql.span, cx)?;
                Some(script)
            }
            None => None,
        };
        let params = and.as_deref().map(|script| cx.parameters(script)).unwrap_or_default();
        let tables = body.tables.into_iter().map(|(key, table)| (key.text, table_change(table))).collect();
        Some(vec![Box::new(Alter { target, spec: AlterSpec { tables, and }, params })])
    }
}

fn pairs<T, U>(keyed: Option<Keyed<T>>, map: impl Fn(T) -> U) -> Vec<(String, U)> {
    keyed.into_iter().flatten().map(|(key, value)| (key.text, map(value))).collect()
}

fn table_change(body: TableBody) -> TableChange {
    TableChange {
        rename: body.rename,
        add: pairs(body.add, |column| column)
            .into_iter()
            .map(|(name, column)| new_column(name, column))
            .collect(),
        drop: body.drop,
        rename_columns: pairs(body.rename_columns, |to| to),
        retype: pairs(body.retype, |to| to),
        defaults: pairs(body.defaults, |node| match plain_value(&node) {
            Value::Null => DefaultChange::Drop,
            value => DefaultChange::Set(literal(&value)),
        }),
        not_null: pairs(body.not_null, |must| must),
        add_constraints: body.add_constraints,
        drop_constraints: body.drop_constraints,
        foreign_keys: body.foreign_keys.map(|keys| keys.into_iter().map(foreign_key).collect()),
        indexes: pairs(body.indexes, index_change),
        rebuild: body.rebuild.unwrap_or(false),
    }
}

fn new_column(name: String, body: ColumnBody) -> NewColumn {
    let default = body.default_expression.map(Literal::Expression);
    NewColumn {
        name,
        definition: body.r#type,
        default: default.or_else(|| body.default.map(|node| literal(&plain_value(&node)))),
        not_null: body.not_null.unwrap_or(false),
        check: body.check,
        collate: body.collate,
        generated: body
            .generated
            .map(|expression| Generated { expression, stored: body.stored.unwrap_or(false) }),
        after: body.after,
    }
}

fn literal(value: &Value) -> Literal {
    match value {
        Value::Null => Literal::Null,
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Literal::Integer(whole),
            None => Literal::Real(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => Literal::Text(text.clone()),
        Value::Bool(truth) => Literal::Integer(i64::from(*truth)),
        other => Literal::Text(other.to_string()),
    }
}

fn foreign_key(body: ForeignKeyBody) -> ForeignKey {
    let action = |action: Option<ActionBody>| match action.unwrap_or(ActionBody::NoAction) {
        ActionBody::NoAction => Action::NoAction,
        ActionBody::Restrict => Action::Restrict,
        ActionBody::SetNull => Action::SetNull,
        ActionBody::SetDefault => Action::SetDefault,
        ActionBody::Cascade => Action::Cascade,
    };
    let (table, references) =
        body.references.into_iter().next().map(|(key, columns)| (key.text, columns)).unwrap_or_default();
    ForeignKey {
        columns: body.columns,
        table,
        references,
        on_delete: action(body.on_delete),
        on_update: action(body.on_update),
        deferrable: body.deferrable.unwrap_or(false),
    }
}

fn index_change(body: IndexBody) -> IndexChange {
    match (body.rename, body.create) {
        (Some(name), _) => IndexChange::Rename(name),
        (None, Some(sql)) => IndexChange::Create(sql),
        (None, None) => IndexChange::Drop,
    }
}

/// The step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alter {
    /// Name of the target.
    pub target: String,
    /// The wanted shape.
    pub spec: AlterSpec,
    /// Values of the script's parameters, beside `:now`.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
}

/// The aspect of a database under which its catalog is left in the overlay.
pub(crate) const CATALOG: &str = "catalog";

impl Step for Alter {
    const KIND: &'static str = "alter";
    type Before = ();

    fn describe(&self) -> String {
        let tables: Vec<_> = self.spec.tables.iter().map(|(name, _)| name.as_str()).collect();
        format!("alter {} in {}", tables.join(", "), self.target)
    }

    fn subject(&self) -> String {
        self.target.clone()
    }

    fn touches(&self) -> Vec<Touch> {
        vec![Touch::new(&self.target, Access::Writes)]
    }

    fn reversal(&self) -> Reversal {
        Reversal::ByRestore
    }

    fn preview(&self, world: &mut Overlay<'_>) -> Result<Preview, StepError> {
        let left = world.left(&self.target, CATALOG).cloned();
        let catalog = match left.and_then(|value| serde_json::from_value(value).ok()) {
            Some(catalog) => catalog,
            None => Catalog::read(&world.site.database(&self.target)?.open_read()?)?,
        };
        let plan = switchback_site::sqlite::alter::plan(&catalog, &self.spec)?;
        world.leave(&self.target, CATALOG, serde_json::to_value(&plan.expectation).unwrap_or_default());
        let grows = rebuilt_bytes(world.site, &self.target, &plan.rebuilt())?;
        let lines = plan.lines().into_iter().map(str::to_owned).collect::<Vec<_>>();
        // The new table beside the old one, and as much again for the journal of the pages that move.
        Ok(Preview {
            grows: vec![(self.target.clone(), grows * 2)],
            ..Preview::of(lines, 20 + grows / BYTES_A_MS)
        })
    }

    fn check(&self, site: &Site, work: &Work<'_>) -> Result<Condition, StepError> {
        standing(site, &self.target, work)
    }

    fn prepare(&self, site: &Site, work: &Work<'_>) -> Result<(), StepError> {
        guard(site, &self.target, work)
    }

    fn apply(&self, site: &Site, (): &(), work: &Work<'_>) -> Result<Value, StepError> {
        if is_in(site, &self.target, work)? {
            return Ok(Value::Null);
        }
        let mut exclusive = take_counted(site, &self.target, work)?;
        let row = ledger_row(work);
        let outcome = run_alter(exclusive.connection(), &self.spec, &self.params, work.now, &row, work.tell)?;
        Ok(json!({ "copied": outcome.copied, "old_violations": outcome.old_violations }))
    }

    /// The restore of the backup takes the effect back; here it is only made sure that nobody else's work goes with it.
    fn undo(&self, site: &Site, (): &(), work: &Work<'_>) -> Result<(), StepError> {
        guard(site, &self.target, work)
    }
}

/// Bytes of the tables that will be copied: their share of the database by rows is not known, so each is taken to be
/// what its rows weigh on a sample.
fn rebuilt_bytes(site: &Site, target: &str, tables: &[&str]) -> Result<u64, StepError> {
    if tables.is_empty() {
        return Ok(0);
    }
    let connection = site.database(target)?.open_read()?;
    let whole = site.size(target)?.unwrap_or(0);
    let rows = |table: &str| -> Result<u64, SiteError> {
        let sql = format!("SELECT count(*) FROM {}", switchback_site::sqlite::ddl::quote_identifier(table));
        match connection.query_row(&sql, [], |row| row.get::<_, i64>(0)) {
            Ok(count) => Ok(count.unsigned_abs()),
            // A table that an earlier step renames or makes is not there yet.
            Err(_) => Ok(0),
        }
    };
    let mut copied = 0;
    for table in tables {
        copied += rows(table)?;
    }
    let mut statement = connection
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
        )
        .map_err(SiteError::from)?;
    let names = statement.query_map([], |row| row.get::<_, String>(0)).map_err(SiteError::from)?;
    let mut all = 0;
    for name in names {
        all += rows(&name.map_err(SiteError::from)?)?;
    }
    // At most the whole database; a share by rows, doubled, because rows differ in size.
    Ok(whole.min((whole / all.max(1)).saturating_mul(copied).saturating_mul(2)))
}
