//! States of a site that no careful upgrade may start from, and some that it must survive, each for a test.

use postgres::Client;

use super::build::Tenant;
use super::schema::{full_name, quoted};
use super::v2;

/// One odd or illegal state, planted into a built lab of at least three tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Two organizations of one name, which is unique in v2 only.
    DuplicateOrganization,
    /// A tenant without the newest column and its migration.
    OlderMigration,
    /// An organization without a schema.
    MissingSchema,
    /// A tenant's schema without an organization.
    UnknownSchema,
    /// A row whose parent does not exist, loaded past the constraint.
    Orphan,
    /// The same endpoint in two tenants.
    SharedEndpoint,
    /// The same row, id and all, in two tenants: what a schema has that was copied from another.
    CopiedRow,
    /// A connector whose settings were never encrypted.
    PlainConnector,
    /// A table of the operator in a tenant's schema.
    ForeignTable,
    /// A column of the operator at the end of a tenant's table.
    ForeignColumn,
    /// No tenant at all.
    NoTenants,
    /// A tenant that is called otherwise than its schema.
    RenamedTenant,
    /// The vendor's tool, killed in the middle of a tenant: rows, its record, and no schedules in v1.
    HalfOfVendor,
    /// The vendor's tool, run as its guide says: what is shared is copied, no tenant is.
    SharedOfVendor,
    /// The vendor's tool, run to its end.
    WholeOfVendor,
    /// v2 was started on its own: it has an organization, and none of v1's.
    StrangerInV2,
    /// An empty schema of v2 in which somebody has begun to work.
    RowInV2,
    /// A schema of v2 without one column.
    ThinV2,
    /// The role finds the new schema before the old one: unqualified names go astray.
    SearchPath,
}

impl Fault {
    /// Every fault with its name on a command line.
    pub const ALL: [(&'static str, Fault); 19] = [
        ("duplicate-organization", Fault::DuplicateOrganization),
        ("older-migration", Fault::OlderMigration),
        ("missing-schema", Fault::MissingSchema),
        ("unknown-schema", Fault::UnknownSchema),
        ("orphan", Fault::Orphan),
        ("shared-endpoint", Fault::SharedEndpoint),
        ("copied-row", Fault::CopiedRow),
        ("plain-connector", Fault::PlainConnector),
        ("foreign-table", Fault::ForeignTable),
        ("foreign-column", Fault::ForeignColumn),
        ("no-tenants", Fault::NoTenants),
        ("renamed-tenant", Fault::RenamedTenant),
        ("half-of-vendor", Fault::HalfOfVendor),
        ("shared-of-vendor", Fault::SharedOfVendor),
        ("whole-of-vendor", Fault::WholeOfVendor),
        ("stranger-in-v2", Fault::StrangerInV2),
        ("row-in-v2", Fault::RowInV2),
        ("thin-v2", Fault::ThinV2),
        ("search-path", Fault::SearchPath),
    ];

    /// Returns the fault of that name.
    pub fn named(name: &str) -> Option<Fault> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, fault)| *fault)
    }

    /// Plants it. `v2` is the schema of v2, which the faults that need one make.
    pub fn plant(self, client: &mut Client, tenants: &[Tenant], v2: &str) -> Result<(), postgres::Error> {
        let (first, second) = (&tenants[0].schema, &tenants[1].schema);
        let of = |tenant: &str, table: &str| full_name(tenant, table);
        let text = |text: &str| format!("'{}'", text.replace('\'', "''"));
        match self {
            Fault::DuplicateOrganization => client.batch_execute(&format!(
                "UPDATE public.account_organization SET organization_id = {} WHERE schema_name = {}",
                text(first),
                text(second)
            )),
            Fault::OlderMigration => client.batch_execute(&format!(
                "ALTER TABLE {} DROP COLUMN challenge_data; DELETE FROM {} WHERE name LIKE '0015%'",
                of(second, "prompt_studio_output_manager_promptstudiooutputmanager"),
                of(second, "django_migrations")
            )),
            Fault::MissingSchema => client.batch_execute(
                "INSERT INTO public.account_organization (schema_name, name, display_name, organization_id, modified_at, \
                 created_at, allowed_token_limit) VALUES ('org_unmade', 'org_unmade', '', 'org_unmade', now(), now(), -1)",
            ),
            Fault::UnknownSchema => client.batch_execute(
                "CREATE SCHEMA org_deleted; CREATE TABLE org_deleted.tenant_account_organizationmember (member_id bigint)",
            ),
            Fault::Orphan => client.batch_execute(&format!(
                "BEGIN; SET LOCAL session_replication_role = replica; \
                 UPDATE {} SET workflow_id = 'deadbeef-0000-4000-8000-000000000000' \
                  WHERE id = (SELECT min(id::text)::uuid FROM {0}); COMMIT",
                of(second, "workflow_filehistory")
            )),
            Fault::SharedEndpoint => client.batch_execute(&format!(
                "UPDATE {} SET api_endpoint = (SELECT min(api_endpoint) FROM {})",
                of(second, "api_apideployment"),
                of(first, "api_apideployment")
            )),
            Fault::CopiedRow => client.batch_execute(&format!(
                "INSERT INTO {} SELECT * FROM {} ORDER BY id LIMIT 1",
                of(second, "workflow_executionlog"),
                of(first, "workflow_executionlog")
            )),
            Fault::PlainConnector => client.batch_execute(&format!(
                "UPDATE {} SET connector_metadata_b = NULL, connector_metadata = '{{\"password\": \"made up\"}}' \
                  WHERE id = (SELECT min(id::text)::uuid FROM {0})",
                of(first, "connector_connectorinstance")
            )),
            Fault::ForeignTable => client.batch_execute(&format!(
                "CREATE TABLE {0} (id bigint PRIMARY KEY); INSERT INTO {0} VALUES (1)",
                of(second, "our_own_report")
            )),
            Fault::ForeignColumn => client.batch_execute(&format!(
                "ALTER TABLE {} ADD COLUMN cost_center text DEFAULT 'made up'",
                of(second, "workflow_workflow")
            )),
            Fault::NoTenants => client.batch_execute(
                "DELETE FROM public.account_domain; DELETE FROM public.account_platformkey; \
                 DELETE FROM public.account_organization WHERE schema_name <> 'public'",
            ),
            Fault::RenamedTenant => client.batch_execute(&format!(
                "UPDATE public.account_organization SET organization_id = 'renamed' WHERE schema_name = {}",
                text(second)
            )),
            Fault::HalfOfVendor => vendor(client, tenants, v2, 16 + 13),
            Fault::SharedOfVendor => vendor(client, tenants, v2, 16),
            Fault::WholeOfVendor => vendor(client, tenants, v2, 16 + 25 * tenants.len()),
            Fault::StrangerInV2 => {
                v2::create_v2(client, v2)?;
                v2::plant_seeds(client, v2)?;
                client.batch_execute(&format!(
                    "INSERT INTO {} (name, display_name, organization_id, modified_at, created_at, allowed_token_limit) \
                     VALUES ('mock_org', '', 'mock_org', now(), now(), -1)",
                    of(v2, "organization")
                ))
            }
            Fault::RowInV2 => {
                v2::create_v2(client, v2)?;
                client.batch_execute(&format!(
                    "INSERT INTO {} (session_key, session_data, expire_date) VALUES ('made-up', '', now())",
                    of(v2, "django_session")
                ))
            }
            Fault::ThinV2 => {
                v2::create_v2(client, v2)?;
                client.batch_execute(&format!(
                    "ALTER TABLE {} DROP COLUMN challenge_data",
                    of(v2, "prompt_studio_output_manager")
                ))
            }
            Fault::SearchPath => client.batch_execute(&format!(
                "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = %s', current_database(), {}); END $$",
                text(&format!("{}, public", quoted(v2)))
            )),
        }
    }
}

/// What the vendor's tool leaves after so many of its moves: its record in the new schema, the organizations there, and v1
/// without its schedules, which it deletes when it means those of v2.
fn vendor(client: &mut Client, tenants: &[Tenant], v2: &str, moves: usize) -> Result<(), postgres::Error> {
    v2::create_v2(client, v2)?;
    v2::plant_seeds(client, v2)?;
    let tracking = full_name(v2, "migration_tracking");
    client.batch_execute(&format!(
        "CREATE TABLE {tracking} (id serial PRIMARY KEY, migration_name varchar(255) UNIQUE, applied_at timestamp DEFAULT now()); \
         DELETE FROM public.django_celery_beat_periodictask; \
         DELETE FROM public.django_celery_beat_crontabschedule; \
         DELETE FROM public.django_celery_beat_intervalschedule; \
         BEGIN; SET LOCAL session_replication_role = replica; \
         INSERT INTO {} SELECT id, name, display_name, organization_id, modified_at, created_at, allowed_token_limit \
           FROM public.account_organization; COMMIT",
        full_name(v2, "organization")
    ))?;
    let shared = (1..=16).map(|at| format!("migration_{at:03}_made_up"));
    let of_tenants = tenants.iter().flat_map(|tenant| (1..=25).map(move |at| (tenant, at)));
    let of_tenants = of_tenants.map(|(tenant, at)| format!("migration_{}_{at:03}_made_up", tenant.schema));
    for name in shared.chain(of_tenants).take(moves) {
        client.execute(&format!("INSERT INTO {tracking} (migration_name) VALUES ($1)"), &[&name])?;
    }
    Ok(())
}

/// Writes a row as a user of v1 does who was not kept out.
pub fn write_row(client: &mut Client, tenant: &Tenant) -> Result<(), postgres::Error> {
    client.batch_execute(&format!(
        "INSERT INTO {} (created_at, modified_at, id, execution_id, data, event_time) \
         VALUES (now(), now(), gen_random_uuid(), gen_random_uuid(), '{{\"log\": \"late\"}}', now())",
        full_name(&tenant.schema, "workflow_executionlog")
    ))
}
