//! The empty schema of 0.93, and what its commands plant in it.

use postgres::{Client, Transaction};

use super::build::{finish, line, migrations};
use super::fill::{Fill, Keys, Row};
use super::schema::{self, Layout, full_name, quoted};
use crate::draw::Draw;
use std::io::Write as _;

/// What the framework records about the schema of 0.93, as far as somebody asks for it.
const MIGRATIONS: [(&str, &str); 4] = [
    ("account_v2", "0001_initial"),
    ("contenttypes", "0002_remove_content_type_name"),
    ("pipeline_v2", "0002_remove_pipeline_unique_pipeline_and_more"),
    ("prompt_studio_output_manager_v2", "0001_initial"),
];

/// Makes the schema and its tables, without rows but for what the framework keeps about itself. All or nothing.
pub fn create_v2(client: &mut Client, schema: &str) -> Result<(), postgres::Error> {
    let mut transaction = client.transaction()?;
    transaction.batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema)))?;
    fill_schema(&mut transaction, schema)?;
    transaction.commit()
}

/// Makes the tables in a schema that is there.
pub(super) fn fill_schema(transaction: &mut Transaction<'_>, schema: &str) -> Result<(), postgres::Error> {
    let described = Layout::V2.describe();
    transaction.batch_execute(&schema::tables(schema, &described))?;
    let shared = Keys::new();
    let mut fill = Fill { draw: Draw(93), number: 0, tenants: &[], shared: &shared, keys: Keys::new() };
    for (name, rows) in [("django_content_type", 43), ("auth_permission", 172), ("django_migrations", 0)] {
        let table = &described.tables[name];
        let mut text = String::new();
        let mut each = |row: Row| -> Result<(), postgres::Error> {
            line(&row, &mut text);
            Ok(())
        };
        match name {
            "django_migrations" => migrations(&MIGRATIONS).into_iter().try_for_each(&mut each)?,
            _ => fill.table(name, table, rows, &mut each)?,
        }
        let columns: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
        let copy = format!("COPY {} ({}) FROM STDIN", full_name(schema, name), schema::list(&columns));
        let mut writer = transaction.copy_in(&copy)?;
        // A broken connection is told by `finish`.
        let _ = writer.write_all(text.as_bytes());
        writer.finish()?;
    }
    finish(transaction, schema, &described)
}

/// Plants what every command of 0.93 plants: an interval, the task that consumes its logs, and the mark of a change. What is
/// there already stays.
pub fn plant_seeds(client: &mut Client, schema: &str) -> Result<(), postgres::Error> {
    let [intervals, tasks, changes] = ["intervalschedule", "periodictask", "periodictasks"]
        .map(|table| full_name(schema, &format!("django_celery_beat_{table}")));
    client.batch_execute(&format!(
        "INSERT INTO {intervals} (every, period) SELECT 60, 'seconds' \
          WHERE NOT EXISTS (SELECT FROM {intervals} WHERE every = 60 AND period = 'seconds'); \
         INSERT INTO {tasks} (name, task, args, kwargs, enabled, total_run_count, date_changed, description, one_off, headers, interval_id) \
         SELECT 'workflow_log_history_v2', 'consume_log_history', '[]', '{{}}', true, 0, now(), '', false, '{{}}', min(id) \
           FROM {intervals} WHERE every = 60 AND period = 'seconds' \
         ON CONFLICT (name) DO NOTHING; \
         INSERT INTO {changes} (ident, last_update) VALUES (1, now()) ON CONFLICT (ident) DO UPDATE SET last_update = now()"
    ))
}
