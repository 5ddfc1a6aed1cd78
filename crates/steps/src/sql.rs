//! `sql`: runs a script of the playbook in one transaction, together with the row that says it is in.

use crate::database::sqlite::take_counted;
use crate::database::{guard, is_in, ledger_row, postgres, standing};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use switchback_engine::registry::Compiled;
use switchback_engine::{Condition, Kind, Overlay, Preview, Step, StepError, Work};
use switchback_model::compile::Compile;
use switchback_model::decode::Spanned;
use switchback_model::diagnostic::Diagnostic;
use switchback_model::plan::{Access, Reversal, Touch};
use switchback_model::record;
use switchback_model::target::{DATABASES, TargetDef};
use switchback_site::Site;
use switchback_site::sqlite::ddl::has_transaction_control;
use switchback_site::sqlite::{ScriptError, run_script};

record! {
    /// Runs SQL in one transaction.
    pub struct SqlBody {
        /// The database.
        pub r#in: Spanned<String>,
        /// A file of the playbook.
        pub file: Option<Spanned<String>>,
        /// The statements themselves.
        pub text: Option<Spanned<String>>,
        /// A query that shows, row by row, what will be changed; for the plan.
        pub shows: Option<Spanned<String>>,
    }
}

/// The kind.
pub struct SqlKind;

impl Kind for SqlKind {
    type Body = SqlBody;
    const NAME: &'static str = "sql";
    const SAYS: &'static str = "runs SQL in one transaction";

    fn compile(body: SqlBody, cx: &mut Compile<'_>) -> Compiled {
        let target = cx.target_name(&body.r#in.value, body.r#in.span, &DATABASES)?;
        let (name, script) = match (&body.file, &body.text) {
            (Some(file), None) => {
                (file.value.trim_end_matches(".sql").to_owned(), cx.sql(&file.value, file.span)?)
            }
            (None, Some(text)) => (target.clone(), cx.sql(&text.value, text.span)?),
            _ => {
                cx.out.push(
                    Diagnostic::error("P013", "an `sql` step runs one script")
                        .at(body.r#in.span, "in this database")
                        .help("give it one of `file:` (a file of the playbook) or `text:` (the statements)"),
                );
                return None;
            }
        };
        let span = body.file.as_ref().or(body.text.as_ref()).map(|text| text.span).unwrap_or_default();
        check_script(&script, &target, span, cx)?;
        let shows = match &body.shows {
            Some(shows) => Some(cx.sql(&shows.value, shows.span)?),
            None => None,
        };
        let params = cx.parameters(&[script.as_str(), shows.as_deref().unwrap_or_default()].join("\n"));
        Some(vec![Box::new(Sql { target, name, script, params, shows })])
    }
}

/// Says what a script must not hold: the transaction is ours, so that the ledger row commits with it.
pub(crate) fn check_script(
    script: &str,
    target: &str,
    span: switchback_model::diagnostic::Span,
    cx: &mut Compile<'_>,
) -> Option<()> {
    if matches!(cx.targets.get(target), Some(TargetDef::Postgres { .. })) {
        return postgres::check_script(script, span, cx);
    }
    let Some((_, keyword)) = has_transaction_control(script) else { return Some(()) };
    if keyword == "UNREADABLE" {
        cx.out.push(
            Diagnostic::error("P024", "this script cannot be told apart into statements")
                .at(span, "ends inside a quote, a comment or a trigger")
                .help("close every quote, every `/*`, and every `BEGIN` of a trigger with `END;`"),
        );
        return None;
    }
    cx.out.push(
        Diagnostic::error("P021", format!("this script has a {keyword} of its own"))
            .at(span, "runs inside one transaction, with the row that says it is in")
            .help(format!(
                "take the {keyword} out; split the script into several steps if parts must stand alone"
            )),
    );
    None
}

/// The step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sql {
    /// Name of the target.
    pub target: String,
    /// What the script is called.
    pub name: String,
    /// The script.
    pub script: String,
    /// Values of its parameters, beside `:now`.
    pub params: BTreeMap<String, Value>,
    /// A query that shows what will be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shows: Option<String>,
}

/// What is left in the overlay of a SQLite database: the name of the last script that will have run.
pub(crate) const SCRIPT: &str = "script";

impl Step for Sql {
    const KIND: &'static str = "sql";
    type Before = ();

    fn describe(&self) -> String {
        // Statements without a file have no name of their own.
        if self.name == self.target {
            return format!("run SQL in {}", self.target);
        }
        format!("run {} in {}", self.name, self.target)
    }

    fn subject(&self) -> String {
        self.name.clone()
    }

    fn touches(&self) -> Vec<Touch> {
        vec![Touch::new(&self.target, Access::Writes)]
    }

    fn reversal(&self) -> Reversal {
        Reversal::ByRestore
    }

    fn preview(&self, world: &mut Overlay<'_>) -> Result<Preview, StepError> {
        let mut lines = Vec::new();
        if let Some(shows) = &self.shows {
            let ask = switchback_model::probe::Ask::Sql {
                store: switchback_model::probe::Store { target: self.target.clone(), backup: false },
                sql: shows.clone(),
                params: self.params.clone(),
            };
            lines = world.site.ask(&ask, &switchback_site::Tell::quiet())?.lines();
        }
        nothing_to_change(&self.target, world)?;
        if world.site.is_postgres(&self.target) {
            // There is no copy of its catalog to run the script on.
            world.lose_sight(&self.target, format!("{} will have run", self.name));
        } else {
            world.leave(&self.target, SCRIPT, Value::from(self.name.clone()));
        }
        Ok(Preview::of(lines, 20))
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
        if site.is_postgres(&self.target) {
            let changed = postgres::run_script(site, &self.target, &self.script, &self.params, work)?;
            return Ok(json!({ "rows": changed }));
        }
        let mut exclusive = take_counted(site, &self.target, work)?;
        let row = ledger_row(work);
        let changed =
            run_script(exclusive.connection(), &self.script, &self.params, work.now, &row, work.tell)
                .map_err(worded)?;
        Ok(json!({ "rows": changed }))
    }

    /// The restore of the backup takes the effect back; here it is only made sure that nobody else's work goes with it.
    fn undo(&self, site: &Site, (): &(), work: &Work<'_>) -> Result<(), StepError> {
        guard(site, &self.target, work)
    }
}

/// Refuses to change a database that nobody will have made by then: whose file it were to be, only its maker knows.
fn nothing_to_change(target: &str, world: &Overlay<'_>) -> Result<(), StepError> {
    if world.unknown(target).is_some() || world.site.vacancy(target)?.is_none() {
        return Ok(());
    }
    Err(StepError::failed(format!("change {target}: nothing before this step makes it")).help(format!(
        "start the service that makes {target}, or run its program, and stop it again before this step"
    )))
}

/// Shows the statement that failed.
fn worded(error: ScriptError) -> StepError {
    let statement = match &error {
        ScriptError::Statement { text, .. } => text.lines().take(8).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    StepError::from(error).details(statement)
}
