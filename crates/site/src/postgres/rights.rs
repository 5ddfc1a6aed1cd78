//! What we are allowed on a server, so that callers choose a way that is open to them.

use std::collections::BTreeMap;

use postgres::GenericClient;
use serde::{Deserialize, Serialize};

/// What the session's user may do, as observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    /// The user.
    pub user: String,
    /// The server's major version, such as 15.
    pub server: u32,
    /// May do anything. Managed servers do not give this.
    pub superuser: bool,
    /// May make databases.
    pub createdb: bool,
    /// May make schemas in this database.
    pub create: bool,
    /// Owns this database (or is a member of who does), so may copy it as a template.
    pub owns_database: bool,
    /// May end sessions of other users.
    pub signal: bool,
    /// Sees every row: row level security does not apply to it.
    pub sees_all_rows: bool,
    /// The server is a standby: nothing can be written to it.
    pub standby: bool,
    /// The declared schemas, those that do not exist included.
    pub schemas: BTreeMap<String, SchemaRights>,
}

/// What the session's user may do in a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SchemaRights {
    /// It is there.
    pub exists: bool,
    /// The user owns it, or is a member of who does: may drop and make it again.
    pub owns: bool,
    /// May look at what is in it.
    pub usage: bool,
    /// May make things in it.
    pub create: bool,
    /// Tables, sequences and views in it that the user does not own and so cannot drop or change.
    pub of_others: i64,
}

impl Rights {
    /// Asks the server.
    pub fn of(client: &mut impl GenericClient, schemas: &[String]) -> Result<Rights, postgres::Error> {
        let row = client.query_one(
            "SELECT r.rolname::text, r.rolsuper, r.rolcreatedb OR r.rolsuper, \
                    has_database_privilege(d.oid, 'CREATE'), pg_has_role(d.datdba, 'MEMBER'), \
                    r.rolsuper OR pg_has_role('pg_signal_backend', 'MEMBER'), r.rolsuper OR r.rolbypassrls, \
                    pg_is_in_recovery(), current_setting('server_version_num')::int / 10000 \
             FROM pg_catalog.pg_roles r, pg_catalog.pg_database d \
             WHERE r.rolname = current_user AND d.datname = current_database()",
            &[],
        )?;
        let mut rights = Rights {
            user: row.get(0),
            superuser: row.get(1),
            createdb: row.get(2),
            create: row.get(3),
            owns_database: row.get(4),
            signal: row.get(5),
            sees_all_rows: row.get(6),
            standby: row.get(7),
            server: row.get::<_, i32>(8).unsigned_abs(),
            schemas: schemas.iter().map(|name| (name.clone(), SchemaRights::default())).collect(),
        };
        let rows = client.query(
            "SELECT n.nspname::text, pg_has_role(n.nspowner, 'MEMBER'), has_schema_privilege(n.oid, 'USAGE'), \
                    has_schema_privilege(n.oid, 'CREATE'), \
                    (SELECT count(*) FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid AND c.relkind IN \
                     ('r', 'p', 'v', 'm', 'S', 'f') AND NOT pg_has_role(c.relowner, 'MEMBER')) \
             FROM pg_catalog.pg_namespace n WHERE n.nspname = ANY ($1::text[]::name[])",
            &[&schemas],
        )?;
        for row in rows {
            let found = SchemaRights {
                exists: true,
                owns: row.get(1),
                usage: row.get(2),
                create: row.get(3),
                of_others: row.get(4),
            };
            rights.schemas.insert(row.get(0), found);
        }
        Ok(rights)
    }
}
