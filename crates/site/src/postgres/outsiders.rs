//! Who else is in a database: objects outside of some schemas that lean on what is inside, and sessions of others.

use postgres::GenericClient;
use serde::{Deserialize, Serialize};

use super::catalog::CatalogError;

/// What stands in the way of dropping the schemas and bringing them back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outsiders {
    /// Objects outside that would go with what is inside, each with what it leans on. They are in no dump of the schemas.
    pub objects: Vec<String>,
    /// Sessions of others in the database, each with who it is and what it does. They may write, and may block.
    pub sessions: Vec<String>,
}

/// Looks who else there is. Sessions of ours are those whose name begins with `switchback`.
pub fn outsiders(client: &mut impl GenericClient, schemas: &[String]) -> Result<Outsiders, CatalogError> {
    let read = |rows: Vec<postgres::Row>| rows.iter().map(|row| row.get(0)).collect();
    let objects = read(client.query(OBJECTS, &[&schemas])?);
    let sessions = read(client.query(SESSIONS, &[])?);
    Ok(Outsiders { objects, sessions })
}

/// Every edge of the dependency graph that leads from outside into the schemas. The inside is whatever lives in one of them
/// and is no part of an extension, as those stay where they are. An object without a schema of its own (the rule of a view,
/// a default, a trigger) lives where its table lives; what lives nowhere (a cast, a publication) is outside, unless it is made and
/// dropped with what it belongs to (the cast between a range and its multirange).
pub(super) const OBJECTS: &str = "
WITH inside AS (
    SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = ANY ($1::text[]::name[])
), home AS (
    SELECT 'pg_catalog.pg_class'::regclass AS classid, oid AS objid, relnamespace AS schema FROM pg_catalog.pg_class
    UNION ALL SELECT 'pg_catalog.pg_type'::regclass, oid, typnamespace FROM pg_catalog.pg_type
    UNION ALL SELECT 'pg_catalog.pg_proc'::regclass, oid, pronamespace FROM pg_catalog.pg_proc
    UNION ALL SELECT 'pg_catalog.pg_constraint'::regclass, oid, connamespace FROM pg_catalog.pg_constraint
    UNION ALL SELECT 'pg_catalog.pg_operator'::regclass, oid, oprnamespace FROM pg_catalog.pg_operator
    UNION ALL SELECT 'pg_catalog.pg_opclass'::regclass, oid, opcnamespace FROM pg_catalog.pg_opclass
    UNION ALL SELECT 'pg_catalog.pg_opfamily'::regclass, oid, opfnamespace FROM pg_catalog.pg_opfamily
    UNION ALL SELECT 'pg_catalog.pg_collation'::regclass, oid, collnamespace FROM pg_catalog.pg_collation
    UNION ALL SELECT 'pg_catalog.pg_conversion'::regclass, oid, connamespace FROM pg_catalog.pg_conversion
    UNION ALL SELECT 'pg_catalog.pg_statistic_ext'::regclass, oid, stxnamespace FROM pg_catalog.pg_statistic_ext
    UNION ALL SELECT 'pg_catalog.pg_ts_config'::regclass, oid, cfgnamespace FROM pg_catalog.pg_ts_config
    UNION ALL SELECT 'pg_catalog.pg_ts_dict'::regclass, oid, dictnamespace FROM pg_catalog.pg_ts_dict
    UNION ALL SELECT 'pg_catalog.pg_default_acl'::regclass, oid, defaclnamespace FROM pg_catalog.pg_default_acl
    UNION ALL SELECT 'pg_catalog.pg_namespace'::regclass, oid, oid FROM pg_catalog.pg_namespace
    UNION ALL SELECT 'pg_catalog.pg_rewrite'::regclass, r.oid, c.relnamespace
        FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
    UNION ALL SELECT 'pg_catalog.pg_attrdef'::regclass, d.oid, c.relnamespace
        FROM pg_catalog.pg_attrdef d JOIN pg_catalog.pg_class c ON c.oid = d.adrelid
    UNION ALL SELECT 'pg_catalog.pg_trigger'::regclass, t.oid, c.relnamespace
        FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
    UNION ALL SELECT 'pg_catalog.pg_policy'::regclass, p.oid, c.relnamespace
        FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
), edge AS (
    SELECT DISTINCT d.classid, d.objid, d.refclassid, d.refobjid FROM pg_catalog.pg_depend d
    JOIN home r ON r.classid = d.refclassid AND r.objid = d.refobjid AND r.schema IN (SELECT oid FROM inside)
    LEFT JOIN home o ON o.classid = d.classid AND o.objid = d.objid
    WHERE d.deptype <> 'e' AND d.refclassid <> 'pg_catalog.pg_namespace'::regclass
      AND (o.schema IS NULL OR o.schema NOT IN (SELECT oid FROM inside))
      AND (o.schema IS NOT NULL OR d.classid NOT IN ('pg_catalog.pg_amop'::regclass, 'pg_catalog.pg_amproc'::regclass)
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype = 'i'))
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = d.refclassid AND e.objid = d.refobjid AND e.deptype = 'e')
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.oid = o.schema AND n.nspname LIKE 'pg\\_toast%')
)
SELECT pg_describe_object(classid, objid, 0) || ' leans on ' || pg_describe_object(refclassid, refobjid, 0) FROM edge ORDER BY 1";

/// What kind of process another user's is, the server tells only superusers and members of pg_read_all_stats.
const SESSIONS: &str = "
SELECT format('process %s of %s%s%s, %s since %s', pid, coalesce(usename::text, 'nobody'),
              CASE WHEN application_name <> '' THEN ' (' || application_name || ')' ELSE '' END,
              coalesce(' from ' || host(client_addr), ''), coalesce(state, 'hidden'), coalesce(date_trunc('second', state_change)::text, '?'))
FROM pg_catalog.pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND (backend_type = 'client backend' OR backend_type IS NULL AND usename IS NOT NULL)
  AND application_name NOT LIKE 'switchback%' ORDER BY pid";
