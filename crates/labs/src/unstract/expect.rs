//! What a right upgrade makes of a lab's rows, known from the rows themselves: nothing of the playbook is read here.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead as _;

use postgres::Client;
use switchback_model::digest::{Digest, TableDigest};
use switchback_model::schema_file::{SchemaDescription, TableDescription};

use super::build::{Tenant, line};
use super::schema::{Layout, full_name, quoted};

/// Which table of v2 the rows of a table belong into. What is not here has no place there.
const MOVES: [(&str, &str); 42] = [
    ("account_organization", "organization"),
    ("account_user", "user"),
    ("account_platformkey", "platform_key"),
    ("connector_auth_connectorauth", "connector_auth"),
    ("page_usage", "page_usage"),
    ("django_session", "django_session"),
    ("social_auth_usersocialauth", "social_auth_usersocialauth"),
    ("social_auth_nonce", "social_auth_nonce"),
    ("social_auth_association", "social_auth_association"),
    ("social_auth_code", "social_auth_code"),
    ("social_auth_partial", "social_auth_partial"),
    ("django_celery_beat_crontabschedule", "django_celery_beat_crontabschedule"),
    ("django_celery_beat_intervalschedule", "django_celery_beat_intervalschedule"),
    ("django_celery_beat_clockedschedule", "django_celery_beat_clockedschedule"),
    ("django_celery_beat_solarschedule", "django_celery_beat_solarschedule"),
    ("django_celery_beat_periodictask", "django_celery_beat_periodictask"),
    ("django_celery_beat_periodictasks", "django_celery_beat_periodictasks"),
    ("tenant_account_organizationmember", "organization_member"),
    ("adapter_adapterinstance", "adapter_instance"),
    ("adapter_adapterinstance_shared_users", "adapter_instance_shared_users"),
    ("workflow_workflow", "workflow"),
    ("connector_connectorinstance", "connector_instance"),
    ("tool_instance_toolinstance", "tool_instance"),
    ("workflow_endpoints", "workflow_endpoints"),
    ("api_apideployment", "api_deployment"),
    ("pipeline_pipeline", "pipeline"),
    ("api_apikey", "api_deployment_key"),
    ("token_usage", "usage"),
    ("workflow_workflowexecution", "workflow_execution"),
    ("workflow_filehistory", "file_history"),
    ("workflow_executionlog", "execution_log"),
    ("adapter_processor_userdefaultadapter", DEFAULTS),
    ("prompt_studio_core_customtool", "custom_tool"),
    ("prompt_studio_core_customtool_shared_users", "custom_tool_shared_users"),
    ("prompt_profile_manager_profilemanager", "profile_manager"),
    ("prompt_studio_document_manager_documentmanager", "document_manager"),
    ("prompt_studio_index_manager_indexmanager", "index_manager"),
    ("prompt_studio_toolstudioprompt", "tool_studio_prompt"),
    ("prompt_studio_output_manager_promptstudiooutputmanager", "prompt_studio_output_manager"),
    ("prompt_studio_registry_promptstudioregistry", "prompt_studio_registry"),
    ("prompt_studio_registry_promptstudioregistry_shared_users", "prompt_studio_registry_shared_users"),
    ("notification_notification", "notification"),
];

/// The one table whose rows refer to numbers that v2 gives out.
const DEFAULTS: &str = "default_organization_user_adapter";
/// Tables of v2 that the release fills for itself.
const OF_THE_RELEASE: [&str; 3] = ["auth_permission", "django_content_type", "django_migrations"];

/// What has to be in the schema of v2, as a count and a digest of each table that no order of reading changes.
#[derive(Debug, Clone)]
pub struct Expected {
    v2: SchemaDescription,
    tables: BTreeMap<&'static str, TableDigest>,
    /// Members of each tenant, by the number of its organization: (organization, user).
    members: BTreeSet<(i64, String)>,
    /// Default adapters of users who are no members, which stay behind.
    pub dropped: u64,
}

/// How the rows of one table are taken over.
pub(super) struct Scope {
    target: &'static str,
    cells: Vec<Filled>,
    tenant: i64,
    /// The source's column with the user, where the row needs a member.
    user: Option<usize>,
    is_member: bool,
}

/// What fills a column of v2.
enum Filled {
    Column(usize),
    Tenant,
}

/// Where the schema of v2 is not as it has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The table.
    pub table: String,
    /// What is expected, and what is there.
    pub says: String,
}

impl Expected {
    pub(super) fn new() -> Expected {
        let tables = MOVES.iter().map(|(_, target)| (*target, TableDigest::default())).collect();
        Expected { v2: Layout::V2.describe(), tables, members: BTreeSet::new(), dropped: 0 }
    }

    /// Returns how the rows of a table are taken over, or `None` when they have no place in v2.
    pub(super) fn scope(
        &self,
        source: &str,
        from: &TableDescription,
        tenant: Option<&Tenant>,
    ) -> Option<Scope> {
        let (_, target) = MOVES.iter().find(|(name, _)| *name == source)?;
        let position = |name: &str| from.columns.iter().position(|column| column.name == name);
        let to = &self.v2.tables[*target];
        let cells = compared(target, to, tenant.is_some()).into_iter().map(|column| {
            let old = match (*target, column) {
                ("connector_instance", "connector_metadata") => "connector_metadata_b",
                ("file_history", "metadata") => "meta_data",
                (_, column) => column,
            };
            position(old).map_or(Filled::Tenant, Filled::Column)
        });
        Some(Scope {
            target,
            cells: cells.collect(),
            tenant: tenant.map_or(0, |tenant| tenant.id),
            user: (*target == DEFAULTS).then(|| position("user_id")).flatten(),
            is_member: *target == "organization_member",
        })
    }

    pub(super) fn add(&mut self, scope: &Scope, row: &[Option<String>]) {
        let cell = |from: &Filled| match from {
            Filled::Column(at) => row[*at].clone(),
            Filled::Tenant => Some(scope.tenant.to_string()),
        };
        let mut cells: Vec<Option<String>> = scope.cells.iter().map(cell).collect();
        if let Some(user) = scope.user.and_then(|at| row[at].clone()) {
            let member = (scope.tenant, user);
            if !self.members.contains(&member) {
                self.dropped += 1;
                return;
            }
            cells.extend([Some(member.1), Some(member.0.to_string())]);
        }
        if scope.is_member {
            // The only columns of the table that are references are its user and its tenant.
            let user = self.v2.tables[scope.target].columns.iter().filter(|column| !column.identity);
            let at = user.map(|column| column.name.as_str()).position(|name| name == "user_id");
            if let Some(user) = at.and_then(|at| cells[at].clone()) {
                self.members.insert((scope.tenant, user));
            }
        }
        let mut text = String::new();
        line(&cells, &mut text);
        let table = self.tables.entry(scope.target).or_default();
        table.add_row(&Digest::of(text.trim_end_matches('\n').as_bytes()));
    }

    /// Returns how many rows a table of v2 has to have.
    pub fn rows(&self, table: &str) -> u64 {
        self.tables.get(table).map_or(0, |digest| digest.rows)
    }
}

/// Columns that say the same in both releases, by their names in v2, in its order.
fn compared<'a>(target: &str, table: &'a TableDescription, of_tenant: bool) -> Vec<&'a str> {
    // Rows of tenants are numbered anew; what all tenants share keeps its numbers.
    let numbered = |name: &str| of_tenant && table.column(name).is_some_and(|column| column.identity);
    let skipped = |name: &str| match target {
        DEFAULTS => name == "organization_member_id",
        // The service writes the time of its start there.
        "django_celery_beat_periodictasks" => name == "last_update",
        _ => false,
    };
    table.columns.iter().map(|c| c.name.as_str()).filter(|name| !numbered(name) && !skipped(name)).collect()
}

fn question(target: &str, table: &TableDescription, schema: &str) -> String {
    let of_tenant = Layout::V1Tenant.describe();
    let of_tenant = MOVES.iter().any(|(source, to)| *to == target && of_tenant.tables.contains_key(*source));
    let columns: Vec<String> =
        compared(target, table, of_tenant).iter().map(|name| format!("t.{}", quoted(name))).collect();
    let (columns, name) = (columns.join(", "), full_name(schema, target));
    match target {
        DEFAULTS => format!(
            "SELECT {columns}, m.user_id, m.organization_id FROM {name} AS t \
             LEFT JOIN {} AS m ON m.member_id = t.organization_member_id",
            full_name(schema, "organization_member")
        ),
        // What the service plants when it starts.
        "django_celery_beat_periodictask" => {
            format!("SELECT {columns} FROM {name} AS t WHERE t.name <> 'workflow_log_history_v2'")
        }
        _ => format!("SELECT {columns} FROM {name} AS t"),
    }
}

/// Compares the schema of v2 with what is expected: every row of every table, and every number that is given out next.
/// Sets how the session prints values.
pub fn compare(
    client: &mut Client,
    schema: &str,
    expected: &Expected,
) -> Result<Vec<Difference>, postgres::Error> {
    client.batch_execute(
        "SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET extra_float_digits = 1; SET bytea_output = 'hex'",
    )?;
    let mut differences = Vec::new();
    for (name, table) in &expected.v2.tables {
        let mut differs = |says: String| differences.push(Difference { table: name.clone(), says });
        if OF_THE_RELEASE.contains(&name.as_str()) {
            continue;
        }
        let wanted = expected.tables.get(name.as_str()).cloned().unwrap_or_default();
        let mut found = TableDigest::default();
        let copy = format!("COPY ({}) TO STDOUT", question(name, table, schema));
        let lines = std::io::BufReader::new(client.copy_out(&copy)?).split(b'\n');
        for line in lines.map_while(Result::ok) {
            found.add_row(&Digest::of(&line));
        }
        if found.rows != wanted.rows {
            differs(format!("{} rows, {} are expected", found.rows, wanted.rows));
        } else if found != wanted {
            differs(format!("{} rows, of which some are not as they were", found.rows));
        }
        for column in table.columns.iter().filter(|column| column.identity) {
            let (table, column) = (full_name(schema, name), quoted(&column.name));
            let behind = client.query_one(
                &format!(
                    "SELECT coalesce(max({column}), 0) > coalesce(pg_sequence_last_value(pg_get_serial_sequence($1, $2)::regclass), 0) \
                     FROM {table}"
                ),
                &[&table, &column.trim_matches('"')],
            )?;
            if behind.get(0) {
                differs("its next number is given out already".to_owned());
            }
        }
    }
    Ok(differences)
}
