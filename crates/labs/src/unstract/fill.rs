//! Rows for any described table: keys that are one of a kind, references that lead somewhere.

use std::collections::BTreeMap;

use switchback_model::schema_file::{SchemaDescription, TableDescription};

use super::build::Tenant;
use super::values;
use crate::draw::Draw;

/// Keys of the rows of a schema's tables, for those that refer to them.
pub(super) type Keys = BTreeMap<String, Vec<String>>;

/// A row: cells as PostgreSQL prints them, in the order of the description; `None` is NULL.
pub(super) type Row = Vec<Option<String>>;

/// Makes the rows of one schema.
pub(super) struct Fill<'a> {
    /// What everything is drawn from.
    pub draw: Draw,
    /// Number of the schema: 0 is what all tenants share.
    pub number: u32,
    /// The tenants; what is shared names them.
    pub tenants: &'a [Tenant],
    /// Keys of what all tenants share.
    pub shared: &'a Keys,
    /// Keys of this schema so far.
    pub keys: Keys,
}

/// A column with everything that decides about its cells.
struct Column<'a> {
    name: &'a str,
    kind: &'a str,
    limit: Option<usize>,
    not_null: bool,
    numbered: bool,
    /// Its text has to be one of a kind.
    single: bool,
    parents: Option<&'a [String]>,
    /// Position and number of choices in a unique set that consists of references.
    combined: Option<(u64, u64)>,
}

impl Fill<'_> {
    /// Makes up to `rows` rows of a table, as many as its unique sets allow, and remembers their keys.
    pub(super) fn table<E>(
        &mut self,
        name: &str,
        table: &TableDescription,
        rows: u64,
        mut each: impl FnMut(Row) -> Result<(), E>,
    ) -> Result<(), E> {
        // Rows of a table that refers to itself lead to rows before them: it starts without any.
        let mut keys: Vec<String> = Vec::new();
        let known = std::mem::take(&mut self.keys);
        let columns = columns(table, name, self.shared, &known);
        let most = columns.iter().filter_map(|column| column.combined).map(|(_, choices)| choices);
        let most = most.reduce(|a, b| a.saturating_mul(b)).unwrap_or(u64::MAX);
        let without_parent =
            columns.iter().any(|column| column.not_null && column.parents.is_some_and(<[String]>::is_empty));
        let rows = if without_parent { 0 } else { rows.min(most) };
        let key = (table.key.len() == 1)
            .then(|| table.columns.iter().position(|c| c.name == table.key[0]))
            .flatten();
        for row in 0..rows {
            let cells: Row =
                columns.iter().map(|column| self.cell(name, column, row, &keys, table)).collect();
            if let Some(Some(key)) = key.map(|at| cells[at].clone()) {
                keys.push(key);
            }
            each(cells)?;
        }
        self.keys = known;
        self.keys.insert(name.to_owned(), keys);
        Ok(())
    }

    fn cell(
        &mut self,
        table: &str,
        column: &Column<'_>,
        row: u64,
        own: &[String],
        described: &TableDescription,
    ) -> Option<String> {
        if column.numbered || column.name == "ident" {
            return Some((row + 1).to_string());
        }
        if let Some(special) = self.special(table, column.name, row) {
            return special;
        }
        if let Some((step, choices)) = column.combined {
            let at = (row / step) % choices;
            return Some(match column.parents {
                Some(parents) => parents[at as usize].clone(),
                None => if at == 0 { "f" } else { "t" }.to_owned(),
            });
        }
        if !column.not_null && self.draw.below(4) == 0 {
            return None;
        }
        if described.references.get(column.name).is_some_and(|parent| parent == table) {
            return (!own.is_empty()).then(|| own[self.draw.below(own.len() as u64) as usize].clone());
        }
        if let Some(parents) = column.parents {
            return (!parents.is_empty())
                .then(|| parents[self.draw.below(parents.len() as u64) as usize].clone());
        }
        let text = values::cell(&mut self.draw, column.name, column.kind);
        let is_text = column.kind == "text" || column.kind.starts_with("character varying");
        let behind = if column.single && is_text { format!(" {}-{row}", self.number) } else { String::new() };
        Some(if is_text { values::fitted(&text, &behind, column.limit) } else { text })
    }

    /// Cells that are not for chance to decide.
    #[allow(clippy::option_option)]
    fn special(&mut self, table: &str, column: &str, row: u64) -> Option<Option<String>> {
        let tenant = (self.number as usize).checked_sub(1).and_then(|at| self.tenants.get(at));
        let user = |at: u64| {
            let users = &self.shared["public.account_user"];
            users[((u64::from(self.number) * 3 + at) % users.len() as u64) as usize].clone()
        };
        Some(Some(match (table, column) {
            // Members are six users in a row; the last default adapter is of the user behind them, who is no member.
            ("tenant_account_organizationmember", "user_id") => user(row),
            ("adapter_processor_userdefaultadapter", "user_id") => user(row + 4),
            ("api_apideployment", "api_endpoint") => {
                format!("deployment/api/{}/{row}/", tenant?.schema)
            }
            ("page_usage", "organization_id") => {
                self.tenants[self.draw.below(self.tenants.len() as u64) as usize].schema.clone()
            }
            ("django_celery_beat_periodictask", "name") if row == 0 => "workflow_log_history".to_owned(),
            ("django_celery_beat_periodictask", "name") => self.draw.uuid(),
            ("django_celery_beat_periodictask", "args") if row > 0 => {
                let tenant = &self.tenants[(row - 1) as usize % self.tenants.len()];
                format!("[\"{}\", {:?}, \"\", \"\", false]", self.draw.uuid(), tenant.schema)
            }
            ("django_celery_beat_periodictask", "solar_id" | "clocked_id") => return Some(None),
            ("django_celery_beat_periodictask", "crontab_id") if row == 0 => return Some(None),
            ("django_celery_beat_periodictask", "interval_id") if row > 0 => return Some(None),
            ("django_celery_beat_intervalschedule", "every") => "60".to_owned(),
            ("connector_connectorinstance", "connector_metadata") => "{\"legacy\": \"plain\"}".to_owned(),
            ("connector_connectorinstance", "connector_metadata_b") => {
                values::cell(&mut self.draw, column, "bytea")
            }
            _ => return None,
        }))
    }
}

fn columns<'a>(table: &'a TableDescription, name: &str, shared: &'a Keys, keys: &'a Keys) -> Vec<Column<'a>> {
    let parents = |column: &str| -> Option<&'a [String]> {
        let parent = table.references.get(column).filter(|parent| *parent != name)?;
        let found = if parent.contains('.') { shared.get(parent) } else { keys.get(parent) };
        Some(found.map_or(&[], Vec::as_slice))
    };
    let is_boolean = |name: &str| table.column(name).is_some_and(|column| column.r#type == "boolean");
    let of_references = table
        .unique
        .iter()
        .find(|set| set.iter().all(|name| table.references.contains_key(name) || is_boolean(name)));
    let mut combined = BTreeMap::new();
    let mut step = 1;
    for name in of_references.into_iter().flatten() {
        let choices = parents(name).map_or(2, |parents| parents.len().max(1) as u64);
        combined.insert(name.as_str(), (step, choices));
        step *= choices;
    }
    table
        .columns
        .iter()
        .map(|column| Column {
            name: &column.name,
            kind: &column.r#type,
            limit: values::limit(&column.r#type),
            not_null: column.not_null,
            numbered: column.identity,
            single: table.key.contains(&column.name)
                || table.unique.iter().any(|set| set.contains(&column.name)),
            parents: parents(&column.name),
            combined: combined.get(column.name.as_str()).copied(),
        })
        .collect()
}

/// Returns the tables of a schema, each behind those that it refers to.
pub(super) fn in_order(described: &SchemaDescription) -> Vec<&str> {
    let mut order: Vec<&str> = Vec::new();
    while order.len() < described.tables.len() {
        let before = order.len();
        // Members go first: whether a default adapter has one is known then.
        let members = described.tables.iter().filter(|(name, _)| name.ends_with("organizationmember"));
        for (name, table) in members.chain(&described.tables) {
            let ready = table
                .references
                .values()
                .all(|parent| parent == name || parent.contains('.') || order.contains(&parent.as_str()));
            if ready && !order.contains(&name.as_str()) {
                order.push(name);
            }
        }
        assert!(order.len() > before, "tables that refer to one another in a circle");
    }
    order
}
