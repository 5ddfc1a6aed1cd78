//! What a restore says around a dump: making room without touching what is outside, and schemas as they were.

use postgres::GenericClient;
use serde::{Deserialize, Serialize};

use super::lock;
use super::names::{NameError, literal, quote};
use super::outsiders::OBJECTS;

/// How a schema was: what a dump does not bring back of it where it stays in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaState {
    /// Its name.
    pub name: String,
    /// Whether it was there; the rest is empty if not.
    pub existed: bool,
    /// Who owned it.
    pub owner: String,
    /// Its rights: to whom (empty for everybody), which, and whether they may be passed on.
    pub rights: Vec<(String, String, bool)>,
    /// Its comment.
    pub comment: Option<String>,
}

/// An extension of the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtensionState {
    /// Its name.
    pub name: String,
    /// Where its objects are.
    pub schema: String,
    /// Its version.
    pub version: String,
}

/// Reads how the schemas are.
pub(super) fn schema_states(
    client: &mut impl GenericClient,
    schemas: &[String],
) -> Result<Vec<SchemaState>, postgres::Error> {
    let mut states = Vec::new();
    for name in schemas {
        let row = client.query_opt(
            "SELECT pg_get_userbyid(nspowner)::text, obj_description(oid, 'pg_namespace'), \
                    ARRAY(SELECT CASE a.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(a.grantee)::text END FROM rights a), \
                    ARRAY(SELECT a.privilege_type FROM rights a), ARRAY(SELECT a.is_grantable FROM rights a) \
             FROM pg_catalog.pg_namespace WHERE nspname = $1"
                .replace("FROM rights a", RIGHTS)
                .as_str(),
            &[name],
        )?;
        let Some(row) = row else {
            let (owner, rights) = (String::new(), Vec::new());
            states.push(SchemaState { name: name.clone(), existed: false, owner, rights, comment: None });
            continue;
        };
        let (who, what): (Vec<String>, Vec<String>) = (row.get(2), row.get(3));
        let passed: Vec<bool> = row.get(4);
        let rights = who.into_iter().zip(what).zip(passed).map(|((who, what), passed)| (who, what, passed));
        states.push(SchemaState {
            name: name.clone(),
            existed: true,
            owner: row.get(0),
            rights: rights.collect(),
            comment: row.get(1),
        });
    }
    Ok(states)
}

const RIGHTS: &str =
    "FROM aclexplode(coalesce(nspacl, acldefault('n', nspowner))) a ORDER BY a.grantee, a.privilege_type";

/// Reads which extensions the database has.
pub(super) fn extension_states(
    client: &mut impl GenericClient,
) -> Result<Vec<ExtensionState>, postgres::Error> {
    let rows = client.query(
        "SELECT x.extname::text, n.nspname::text, x.extversion FROM pg_catalog.pg_extension x \
         JOIN pg_catalog.pg_namespace n ON n.oid = x.extnamespace WHERE x.extname <> 'plpgsql' ORDER BY x.oid",
        &[],
    )?;
    let read =
        |row: &postgres::Row| ExtensionState { name: row.get(0), schema: row.get(1), version: row.get(2) };
    Ok(rows.iter().map(read).collect())
}

/// Makes schemas and extensions in a fresh database.
pub(super) fn prepare_fresh(
    schemas: &[SchemaState],
    extensions: &[ExtensionState],
) -> Result<String, NameError> {
    let mut sql = String::from(QUIET);
    for state in schemas.iter().filter(|state| state.existed) {
        sql.push_str(&make_schema(&state.name)?);
    }
    sql.push_str(&make_extensions(extensions)?);
    Ok(sql)
}

/// Makes room in the schemas: refuses when something outside leans on what is inside, drops what is inside, and refuses again
/// (so that everything is taken back) when something outside went with it after all.
pub(super) fn make_room(
    schemas: &[SchemaState],
    extensions: &[ExtensionState],
    run: &str,
) -> Result<String, NameError> {
    let names: Vec<String> = schemas.iter().map(|state| state.name.clone()).collect();
    let list = array(&names)?;
    let kept = array(&extensions.iter().map(|extension| extension.name.clone()).collect::<Vec<_>>())?;
    let body = MAKE_ROOM
        .replace("{outsiders}", OBJECTS.replace("$1", &list).trim_end_matches(';'))
        .replace("{schemas}", &list)
        .replace("{extensions}", &kept);
    let mut sql = format!("{QUIET}SELECT FROM (SELECT {}) AS l;\n", lock::share_in_transaction(run));
    sql.push_str(&block(&body));
    for state in schemas {
        sql.push_str(&match state.existed {
            true => make_schema(&state.name)?,
            false => format!("DROP SCHEMA IF EXISTS {};\n", quote(&state.name)?),
        });
    }
    let inside: Vec<_> =
        extensions.iter().filter(|extension| names.contains(&extension.schema)).cloned().collect();
    sql.push_str(&make_extensions(&inside)?);
    Ok(sql)
}

/// Gives the schemas the owner, rights and comment that they had, where those are others now, and takes our rows of the run
/// out of the ledger: what they say is in is no longer.
pub(super) fn set_right(schemas: &[SchemaState], forget: Option<&str>) -> Result<String, NameError> {
    let mut sql = String::from("SET search_path = '';\n");
    for state in schemas.iter().filter(|state| state.existed) {
        let (name, owner) = (quote(&state.name)?, quote(&state.owner)?);
        let mut grants = Vec::new();
        for (who, what, passed) in &state.rights {
            let who = if who.is_empty() { "PUBLIC".to_owned() } else { quote(who)? };
            let passed = if *passed { " WITH GRANT OPTION" } else { "" };
            grants.push(format!(
                "EXECUTE {};",
                literal(&format!("GRANT {what} ON SCHEMA {name} TO {who}{passed}"))?
            ));
        }
        let rights: Vec<String> =
            state.rights.iter().map(|(who, what, passed)| format!("{who} {what} {passed}")).collect();
        let comment = match &state.comment {
            Some(comment) => literal(comment)?,
            None => "NULL".to_owned(),
        };
        let body = SET_RIGHT
            .replace("{literal}", &literal(&state.name)?)
            .replace("{name}", &name)
            .replace("{owner}", &owner)
            .replace("{owner_literal}", &literal(&state.owner)?)
            .replace("{rights}", &array(&rights)?)
            .replace("{grants}", &grants.join("\n"))
            .replace("{comment}", &comment);
        sql.push_str(&block(&body));
    }
    if let Some(run) = forget {
        let run = literal(run)?;
        sql.push_str(&block(&format!(
            "BEGIN IF to_regclass('switchback.ledger') IS NOT NULL THEN \
             DELETE FROM switchback.ledger WHERE run = {run}; DELETE FROM switchback.cursor WHERE run = {run}; END IF; END"
        )));
    }
    Ok(sql)
}

const QUIET: &str = "SET LOCAL search_path = ''; SET LOCAL client_min_messages = error; SET LOCAL lock_timeout = '900ms';\n\
                     SET LOCAL statement_timeout = 0; SET LOCAL check_function_bodies = off; SET LOCAL row_security = off;\n";

/// Makes a schema where it is missing. IF NOT EXISTS would ask for the right to make one even where it is there.
fn make_schema(name: &str) -> Result<String, NameError> {
    let (text, name) = (literal(name)?, quote(name)?);
    Ok(block(&format!(
        "BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = {text}) THEN CREATE SCHEMA {name}; END IF; END"
    )))
}

fn make_extensions(extensions: &[ExtensionState]) -> Result<String, NameError> {
    let mut sql = String::new();
    for ExtensionState { name, schema, version } in extensions {
        sql.push_str(&make_schema(schema)?);
        let (name, schema, version) = (quote(name)?, quote(schema)?, literal(version)?);
        sql.push_str(&format!("CREATE EXTENSION IF NOT EXISTS {name} SCHEMA {schema} VERSION {version};\n"));
    }
    Ok(sql)
}

fn array(names: &[String]) -> Result<String, NameError> {
    let names: Result<Vec<String>, NameError> = names.iter().map(|name| literal(name)).collect();
    Ok(format!("ARRAY[{}]::text[]", names?.join(", ")))
}

/// Wraps a body for DO in dollar quotes that do not occur in it.
fn block(body: &str) -> String {
    let mut tag = "$switchback$".to_owned();
    while body.contains(&tag) {
        tag = format!("{}_$", &tag[..tag.len() - 1]);
    }
    format!("DO {tag}\n{body}\n{tag};\n")
}

/// What another object brings with it (the sequence of an identity, the functions of a range) goes with that.
/// Objects are dropped one by one and not with their schema: extensions in it stay, and so does the schema. CASCADE can
/// reach nothing outside, as nothing leans in from there; should that have changed within these moments, the look at the
/// end finds what is missing, and the exception takes everything back.
const MAKE_ROOM: &str = "
DECLARE
    inside oid[] := ARRAY(SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = ANY ({schemas}::name[]));
    relations oid[]; routines oid[]; types oid[]; constraints oid[]; rules oid[]; defaults oid[]; triggers oid[];
    lean text; item record;
BEGIN
    SELECT string_agg(line, '; ') INTO lean FROM ({outsiders}) AS l(line);
    IF lean IS NOT NULL THEN RAISE EXCEPTION 'objects outside of the schemas stand in the way: %', lean; END IF;
    relations := ARRAY(SELECT oid FROM pg_catalog.pg_class WHERE NOT relnamespace = ANY (inside) AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'i') AND relnamespace::regnamespace::text NOT LIKE 'pg\\_toast%');
    routines := ARRAY(SELECT oid FROM pg_catalog.pg_proc WHERE NOT pronamespace = ANY (inside));
    types := ARRAY(SELECT oid FROM pg_catalog.pg_type WHERE NOT typnamespace = ANY (inside) AND typnamespace::regnamespace::text NOT LIKE 'pg\\_toast%');
    constraints := ARRAY(SELECT oid FROM pg_catalog.pg_constraint WHERE NOT connamespace = ANY (inside));
    rules := ARRAY(SELECT r.oid FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class WHERE NOT c.relnamespace = ANY (inside));
    defaults := ARRAY(SELECT d.oid FROM pg_catalog.pg_attrdef d JOIN pg_catalog.pg_class c ON c.oid = d.adrelid WHERE NOT c.relnamespace = ANY (inside));
    triggers := ARRAY(SELECT t.oid FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid WHERE NOT c.relnamespace = ANY (inside));
    FOR item IN
        SELECT o.place, CASE WHEN o.classid = 'pg_catalog.pg_proc'::regclass THEN 'routine' WHEN i.type = 'composite type' THEN 'type'
               ELSE replace(i.type, ' object', '') END AS kind, i.identity
        FROM (
            SELECT CASE WHEN relkind IN ('r', 'p', 'f') THEN 1 WHEN relkind IN ('v', 'm') THEN 2 WHEN relkind = 'S' THEN 3 ELSE 4 END AS place,
                   'pg_catalog.pg_class'::regclass AS classid, oid AS objid FROM pg_catalog.pg_class
            WHERE relnamespace = ANY (inside) AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
            UNION ALL SELECT 5, 'pg_catalog.pg_operator'::regclass, oid FROM pg_catalog.pg_operator WHERE oprnamespace = ANY (inside)
            UNION ALL SELECT 5, 'pg_catalog.pg_opclass'::regclass, oid FROM pg_catalog.pg_opclass WHERE opcnamespace = ANY (inside)
            UNION ALL SELECT 6, 'pg_catalog.pg_opfamily'::regclass, oid FROM pg_catalog.pg_opfamily WHERE opfnamespace = ANY (inside)
            UNION ALL SELECT 6, 'pg_catalog.pg_collation'::regclass, oid FROM pg_catalog.pg_collation WHERE collnamespace = ANY (inside)
            UNION ALL SELECT 6, 'pg_catalog.pg_conversion'::regclass, oid FROM pg_catalog.pg_conversion WHERE connamespace = ANY (inside)
            UNION ALL SELECT 6, 'pg_catalog.pg_ts_config'::regclass, oid FROM pg_catalog.pg_ts_config WHERE cfgnamespace = ANY (inside)
            UNION ALL SELECT 7, 'pg_catalog.pg_ts_dict'::regclass, oid FROM pg_catalog.pg_ts_dict WHERE dictnamespace = ANY (inside)
            UNION ALL SELECT 7, 'pg_catalog.pg_statistic_ext'::regclass, oid FROM pg_catalog.pg_statistic_ext WHERE stxnamespace = ANY (inside)
            UNION ALL SELECT 8, 'pg_catalog.pg_proc'::regclass, oid FROM pg_catalog.pg_proc WHERE pronamespace = ANY (inside)
            UNION ALL SELECT 9, 'pg_catalog.pg_type'::regclass, t.oid FROM pg_catalog.pg_type t WHERE typnamespace = ANY (inside) AND typrelid = 0
                AND typtype <> 'm' AND NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.typarray = t.oid)
        ) o, LATERAL pg_identify_object(o.classid, o.objid, 0) i
        WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = o.classid AND e.objid = o.objid
                          AND (e.deptype = 'e' OR e.deptype = 'i' AND o.place NOT IN (1, 2, 4)))
        ORDER BY 1, 3
    LOOP
        EXECUTE format('DROP %s IF EXISTS %s CASCADE', item.kind, item.identity);
    END LOOP;
    FOR item IN SELECT extname FROM pg_catalog.pg_extension WHERE extnamespace = ANY (inside) AND NOT extname = ANY ({extensions}::name[]) LOOP
        EXECUTE format('DROP EXTENSION %I', item.extname);
    END LOOP;
    FOR item IN
        SELECT DISTINCT pg_get_userbyid(d.defaclrole) AS role, d.defaclnamespace::regnamespace AS schema, a.grantee,
               CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' ELSE 'TYPES' END AS kind
        FROM pg_catalog.pg_default_acl d, LATERAL aclexplode(d.defaclacl) a WHERE d.defaclnamespace = ANY (inside)
    LOOP
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %s REVOKE ALL ON %s FROM %s', item.role, item.schema, item.kind,
            CASE item.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(item.grantee)) END);
    END LOOP;
    IF EXISTS (SELECT unnest(relations) EXCEPT SELECT oid FROM pg_catalog.pg_class)
       OR EXISTS (SELECT unnest(routines) EXCEPT SELECT oid FROM pg_catalog.pg_proc)
       OR EXISTS (SELECT unnest(types) EXCEPT SELECT oid FROM pg_catalog.pg_type)
       OR EXISTS (SELECT unnest(constraints) EXCEPT SELECT oid FROM pg_catalog.pg_constraint)
       OR EXISTS (SELECT unnest(rules) EXCEPT SELECT oid FROM pg_catalog.pg_rewrite)
       OR EXISTS (SELECT unnest(defaults) EXCEPT SELECT oid FROM pg_catalog.pg_attrdef)
       OR EXISTS (SELECT unnest(triggers) EXCEPT SELECT oid FROM pg_catalog.pg_trigger) THEN
        RAISE EXCEPTION 'objects outside of the schemas would have gone with what is inside';
    END IF;
END";

const SET_RIGHT: &str = "
DECLARE schema oid := (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = {literal}); item record;
BEGIN
    IF (SELECT pg_get_userbyid(nspowner) FROM pg_catalog.pg_namespace WHERE oid = schema) <> {owner_literal} THEN
        ALTER SCHEMA {name} OWNER TO {owner};
    END IF;
    IF ARRAY(SELECT concat(CASE a.grantee WHEN 0 THEN '' ELSE pg_get_userbyid(a.grantee)::text END, ' ', a.privilege_type, ' ', CASE WHEN a.is_grantable THEN 'true' ELSE 'false' END)
             FROM pg_catalog.pg_namespace n, LATERAL aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a WHERE n.oid = schema
             ORDER BY a.grantee, a.privilege_type) <> {rights} THEN
        FOR item IN SELECT DISTINCT a.grantee FROM pg_catalog.pg_namespace n, LATERAL aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
                    WHERE n.oid = schema LOOP
            EXECUTE format('REVOKE ALL ON SCHEMA %s FROM %s CASCADE', quote_ident({literal}),
                CASE item.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(item.grantee)) END);
        END LOOP;
        {grants}
    END IF;
    IF obj_description(schema, 'pg_namespace') IS DISTINCT FROM {comment} THEN
        COMMENT ON SCHEMA {name} IS {comment};
    END IF;
END";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_end_the_block_that_it_stands_in() {
        let state = SchemaState {
            name: "a$switchback$; DROP".to_owned(),
            existed: true,
            owner: "o'w".to_owned(),
            rights: vec![(String::new(), "USAGE".to_owned(), false)],
            comment: Some("$switchback_$".to_owned()),
        };
        let sql = set_right(&[state], None).unwrap();
        assert!(sql.contains("DO $switchback__$\n"), "{sql}");
        assert_eq!(sql.matches("$switchback__$").count(), 2);
        assert!(sql.contains("''o''''w''") || sql.contains("'o''w'"));
    }
}
