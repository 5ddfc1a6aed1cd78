//! The questions that print every object of some schemas, one line each, behind the name of its schema. `$1` is the list of
//! schemas.

use postgres::GenericClient;

/// Returns the questions that this server can answer.
pub(super) fn kinds(client: &mut impl GenericClient) -> Result<Vec<String>, postgres::Error> {
    let mut kinds = vec![schemas(), relations(), columns(), constraints(), indexes(), sequences()];
    kinds.extend([functions(), aggregates(), triggers(), rules(), policies(), types(), enums_and_ranges()]);
    kinds.extend([statistics(), extensions(), default_acls(), publications(), labels()]);
    kinds.extend(rare());
    let newer = "SELECT to_regclass('pg_catalog.pg_publication_namespace') IS NOT NULL";
    if client.query_one(newer, &[])?.get(0) {
        kinds.push(published_schemas());
    }
    Ok(kinds)
}

const IN_SCHEMAS: &str = "n.nspname = ANY ($1::text[]::name[])";

/// The rights on an object: those that are the default are spelled out, as a dump may leave them out or in.
fn acl(rights: &str, kind: char, owner: &str) -> String {
    format!(
        "'acl ' || (SELECT coalesce(string_agg(i::text, ',' ORDER BY i::text), 'none') \
         FROM unnest(coalesce({rights}, acldefault('{kind}', {owner}))) AS i)"
    )
}

fn owner(of: &str) -> String {
    format!("'owner ' || quote_ident(pg_get_userbyid({of}))")
}

fn comment(of: &str, catalog: &str) -> String {
    format!("'comment ' || quote_literal(obj_description({of}, '{catalog}'))")
}

/// Leaves out what is a part of an extension.
fn own(of: &str, catalog: &str) -> String {
    format!(
        "NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.{catalog}'::regclass \
         AND e.objid = {of} AND e.deptype = 'e')"
    )
}

fn schemas() -> String {
    format!(
        "SELECT n.nspname::text, concat_ws(' ', 'schema', quote_ident(n.nspname), {}, {}, {}) FROM pg_catalog.pg_namespace n WHERE {IN_SCHEMAS}",
        owner("n.nspowner"),
        acl("n.nspacl", 'n', "n.nspowner"),
        comment("n.oid", "pg_namespace"),
    )
}

fn relations() -> String {
    format!(
        "SELECT n.nspname::text, concat_ws(' ', CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view' \
           WHEN 'm' THEN 'materialized view' ELSE 'foreign table' END, format('%I.%I', n.nspname, c.relname), {}, {}, \
           CASE c.relpersistence WHEN 'u' THEN 'unlogged' WHEN 't' THEN 'temporary' END, \
           'options ' || (SELECT string_agg(o, ',' ORDER BY o) FROM unnest(c.reloptions) AS o), \
           'method ' || m.amname, 'tablespace ' || quote_ident(t.spcname), 'identity ' || nullif(c.relreplident::text, 'd'), \
           CASE WHEN c.relrowsecurity THEN 'row security' END, CASE WHEN c.relforcerowsecurity THEN 'forced' END, \
           'inherits ' || (SELECT string_agg(format('%I.%I', pn.nspname, pc.relname), ',' ORDER BY i.inhseqno) \
             FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class pc ON pc.oid = i.inhparent \
             JOIN pg_catalog.pg_namespace pn ON pn.oid = pc.relnamespace WHERE i.inhrelid = c.oid), \
           pg_get_expr(c.relpartbound, c.oid), 'partition by ' || CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END, \
           'of ' || nullif(c.reloftype, 0)::regtype, \
           'server ' || (SELECT concat_ws(' ', quote_ident(s.srvname), f.ftoptions::text) FROM pg_catalog.pg_foreign_table f \
             JOIN pg_catalog.pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = c.oid), \
           CASE WHEN c.relkind = 'm' AND NOT c.relispopulated THEN 'without data' END, \
           'as ' || CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END, {}) \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_am m ON m.oid = c.relam LEFT JOIN pg_catalog.pg_tablespace t ON t.oid = c.reltablespace \
         WHERE {IN_SCHEMAS} AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {}",
        owner("c.relowner"),
        acl("c.relacl", 'r', "c.relowner"),
        comment("c.oid", "pg_class"),
        own("c.oid", "pg_class"),
    )
}

fn columns() -> String {
    // Places are counted anew: dropped columns leave gaps that a restore closes. What newer servers added is asked for
    // without naming it.
    format!(
        "SELECT q.nspname::text, concat_ws(' ', 'column', format('%I.%I.%I', q.nspname, q.relname, q.attname), q.place, \
           format_type(q.atttypid, q.atttypmod), CASE WHEN q.attnotnull THEN 'not null' END, \
           CASE q.attidentity WHEN 'a' THEN 'identity always' WHEN 'd' THEN 'identity by default' END, \
           CASE WHEN q.attgenerated <> '' THEN 'generated ' || q.attgenerated::text || ' as' ELSE 'default' END || ' ' || pg_get_expr(d.adbin, d.adrelid), \
           'collate ' || (SELECT format('%I.%I', cn.nspname, co.collname) FROM pg_catalog.pg_collation co \
             JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace JOIN pg_catalog.pg_type ty ON ty.oid = q.atttypid \
             WHERE co.oid = q.attcollation AND q.attcollation <> ty.typcollation), \
           'storage ' || (SELECT q.attstorage::text FROM pg_catalog.pg_type ty WHERE ty.oid = q.atttypid AND ty.typstorage <> q.attstorage), \
           'compression ' || nullif(q.more ->> 'attcompression', ''), 'statistics ' || nullif(q.more ->> 'attstattarget', '-1'), \
           'options ' || (SELECT string_agg(o, ',' ORDER BY o) FROM unnest(q.attoptions) AS o), q.attfdwoptions::text, \
           'inherited ' || nullif(q.attinhcount, 0), \
           'acl ' || (SELECT string_agg(i::text, ',' ORDER BY i::text) FROM unnest(q.attacl) AS i), \
           'comment ' || quote_literal(col_description(q.attrelid, q.attnum))) \
         FROM (SELECT a.*, to_jsonb(a) - 'attmissingval' AS more, n.nspname, c.relname, \
                 row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum) AS place \
               FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE {IN_SCHEMAS} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND a.attnum > 0 AND NOT a.attisdropped AND {}) q \
         LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = q.attrelid AND d.adnum = q.attnum",
        own("c.oid", "pg_class"),
    )
}

fn constraints() -> String {
    format!(
        "SELECT n.nspname::text, concat_ws(' ', 'constraint', quote_ident(k.conname), 'on', coalesce( \
             (SELECT format('%I.%I', tn.nspname, c.relname) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace tn ON tn.oid = c.relnamespace \
              WHERE c.oid = k.conrelid), \
             (SELECT format('domain %I.%I', tn.nspname, t.typname) FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace \
              WHERE t.oid = k.contypid)), \
           pg_get_constraintdef(k.oid), CASE WHEN NOT k.conislocal THEN 'inherited' END, {}) \
         FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_namespace n ON n.oid = k.connamespace \
         WHERE {IN_SCHEMAS} AND k.contype <> 't' AND {} AND {}",
        comment("k.oid", "pg_constraint"),
        own("k.conrelid", "pg_class"),
        own("k.contypid", "pg_type"),
    )
}

fn indexes() -> String {
    format!(
        "SELECT n.nspname::text, concat_ws(' ', 'index', format('%I.%I', n.nspname, x.relname), pg_get_indexdef(x.oid), \
           'tablespace ' || quote_ident(t.spcname), CASE WHEN NOT i.indisvalid THEN 'invalid' END, \
           CASE WHEN i.indisclustered THEN 'clustered' END, CASE WHEN i.indisreplident THEN 'identity' END, {}) \
         FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = x.relnamespace LEFT JOIN pg_catalog.pg_tablespace t ON t.oid = x.reltablespace \
         WHERE {IN_SCHEMAS} AND {}",
        comment("x.oid", "pg_class"),
        own("i.indrelid", "pg_class"),
    )
}

fn sequences() -> String {
    format!(
        "SELECT n.nspname::text, concat_ws(' ', 'sequence', format('%I.%I', n.nspname, c.relname), {}, {}, CASE c.relpersistence WHEN 'u' THEN 'unlogged' END, \
           format_type(s.seqtypid, NULL), 'start', s.seqstart, 'by', s.seqincrement, 'from', s.seqmin, 'to', s.seqmax, 'cache', s.seqcache, \
           CASE WHEN s.seqcycle THEN 'cycle' END, \
           'owned by ' || (SELECT format('%I.%I.%I', tn.nspname, t.relname, a.attname) FROM pg_catalog.pg_depend d \
             JOIN pg_catalog.pg_class t ON t.oid = d.refobjid JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid \
             WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i') \
             AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjsubid > 0 LIMIT 1), {}) \
         FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE {IN_SCHEMAS} AND {}",
        owner("c.relowner"),
        acl("c.relacl", 's', "c.relowner"),
        comment("c.oid", "pg_class"),
        own("c.oid", "pg_class"),
    )
}

fn functions() -> String {
    format!(
        "SELECT n.nspname::text, concat_ws(' ', 'function', p.oid::regprocedure, {}, {}, pg_get_functiondef(p.oid), {}) \
         FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
         WHERE {IN_SCHEMAS} AND p.prokind <> 'a' AND {}",
        owner("p.proowner"),
        acl("p.proacl", 'f', "p.proowner"),
        comment("p.oid", "pg_proc"),
        own("p.oid", "pg_proc"),
    )
}

fn aggregates() -> String {
    format!(
        "SELECT n.nspname::text, concat_ws(' ', 'aggregate', p.oid::regprocedure, {}, {}, a.aggkind, a.aggtransfn, format_type(a.aggtranstype, NULL), \
           a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn, \
           quote_literal(a.agginitval), quote_literal(a.aggminitval), nullif(a.aggsortop, 0)::regoperator, p.proparallel, {}) \
         FROM pg_catalog.pg_aggregate a JOIN pg_catalog.pg_proc p ON p.oid = a.aggfnoid \
         JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE {IN_SCHEMAS} AND {}",
        owner("p.proowner"),
        acl("p.proacl", 'f', "p.proowner"),
        comment("p.oid", "pg_proc"),
        own("p.oid", "pg_proc"),
    )
}

fn triggers() -> String {
    format!(
        "SELECT n.nspname::text, concat_ws(' ', 'trigger', quote_ident(t.tgname), pg_get_triggerdef(t.oid), 'enabled', t.tgenabled, {}) \
         FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE {IN_SCHEMAS} AND NOT t.tgisinternal AND {}",
        comment("t.oid", "pg_trigger"),
        own("c.oid", "pg_class"),
    )
}

fn rules() -> String {
    format!(
        "SELECT n.nspname::text, concat_ws(' ', 'rule', quote_ident(r.rulename), pg_get_ruledef(r.oid), 'enabled', r.ev_enabled, {}) \
         FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE {IN_SCHEMAS} AND r.rulename <> '_RETURN' AND {}",
        comment("r.oid", "pg_rewrite"),
        own("c.oid", "pg_class"),
    )
}

fn policies() -> String {
    format!(
        "SELECT n.nspname::text, concat_ws(' ', 'policy', quote_ident(p.polname), 'on', format('%I.%I', n.nspname, c.relname), p.polcmd, \
           CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END, \
           'to ' || (SELECT string_agg(CASE r.role WHEN 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(r.role)) END, ',' ORDER BY 1) \
             FROM unnest(p.polroles) AS r(role)), \
           'using ' || pg_get_expr(p.polqual, p.polrelid), 'check ' || pg_get_expr(p.polwithcheck, p.polrelid), {}) \
         FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE {IN_SCHEMAS}",
        comment("p.oid", "pg_policy"),
    )
}

fn types() -> String {
    // Rows of tables and arrays follow from what they are of. Base types are named; how they work is compiled code.
    format!(
        "SELECT n.nspname::text, concat_ws(' ', CASE t.typtype WHEN 'd' THEN 'domain' WHEN 'c' THEN 'composite type' ELSE 'type' END, \
           format('%I.%I', n.nspname, t.typname), {}, {}, \
           CASE WHEN t.typtype = 'd' THEN concat_ws(' ', 'over', format_type(t.typbasetype, t.typtypmod), \
             CASE WHEN t.typnotnull THEN 'not null' END, 'default ' || t.typdefault, \
             'collate ' || (SELECT format('%I.%I', cn.nspname, co.collname) FROM pg_catalog.pg_collation co JOIN pg_catalog.pg_namespace cn \
               ON cn.oid = co.collnamespace JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype WHERE co.oid = t.typcollation AND t.typcollation <> b.typcollation)) \
           WHEN t.typtype = 'b' THEN concat_ws(' ', t.typinput, t.typoutput, t.typlen, t.typalign, t.typstorage) END, {}) \
         FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
         LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid \
         WHERE {IN_SCHEMAS} AND (t.typrelid = 0 OR c.relkind = 'c') AND t.typtype <> 'm' \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.typarray = t.oid) AND {}",
        owner("t.typowner"),
        acl("t.typacl", 'T', "t.typowner"),
        comment("t.oid", "pg_type"),
        own("t.oid", "pg_type"),
    )
}

fn enums_and_ranges() -> String {
    format!(
        "SELECT n.nspname::text, concat_ws(' ', 'values of', format('%I.%I', n.nspname, t.typname), \
           (SELECT string_agg(quote_literal(l.enumlabel), ',' ORDER BY l.enumsortorder) FROM pg_catalog.pg_enum l WHERE l.enumtypid = t.oid), \
           (SELECT concat_ws(' ', format_type(r.rngsubtype, NULL), r.rngcanonical, r.rngsubdiff, nullif(r.rngcollation, 0)) \
            FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid)) \
         FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
         WHERE {IN_SCHEMAS} AND t.typtype IN ('e', 'r') AND {}",
        own("t.oid", "pg_type"),
    )
}

fn statistics() -> String {
    format!(
        "SELECT n.nspname::text, concat_ws(' ', 'statistics', format('%I.%I', n.nspname, s.stxname), {}, pg_get_statisticsobjdef(s.oid), {}) \
         FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace WHERE {IN_SCHEMAS}",
        owner("s.stxowner"),
        comment("s.oid", "pg_statistic_ext"),
    )
}

fn extensions() -> String {
    format!(
        "SELECT n.nspname::text, concat_ws(' ', 'extension', quote_ident(x.extname), 'version', quote_literal(x.extversion), 'in', quote_ident(n.nspname)) \
         FROM pg_catalog.pg_extension x JOIN pg_catalog.pg_namespace n ON n.oid = x.extnamespace WHERE {IN_SCHEMAS}"
    )
}

fn default_acls() -> String {
    format!(
        "SELECT n.nspname::text, concat_ws(' ', 'default rights in', quote_ident(n.nspname), 'of', quote_ident(pg_get_userbyid(d.defaclrole)), 'on', d.defaclobjtype, \
           (SELECT string_agg(i::text, ',' ORDER BY i::text) FROM unnest(d.defaclacl) AS i)) \
         FROM pg_catalog.pg_default_acl d JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace WHERE {IN_SCHEMAS}"
    )
}

fn publications() -> String {
    format!(
        "SELECT n.nspname::text, concat_ws(' ', 'publication', quote_ident(p.pubname), 'of', format('%I.%I', n.nspname, c.relname)) \
         FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid \
         JOIN pg_catalog.pg_class c ON c.oid = r.prrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE {IN_SCHEMAS}"
    )
}

fn published_schemas() -> String {
    format!(
        "SELECT n.nspname::text, concat_ws(' ', 'publication', quote_ident(p.pubname), 'of schema', quote_ident(n.nspname)) \
         FROM pg_catalog.pg_publication_namespace r JOIN pg_catalog.pg_publication p ON p.oid = r.pnpubid \
         JOIN pg_catalog.pg_namespace n ON n.oid = r.pnnspid WHERE {IN_SCHEMAS}"
    )
}

fn labels() -> String {
    "SELECT n.nspname::text, concat_ws(' ', 'label of', l.objtype, l.objname, quote_ident(l.provider), quote_literal(l.label)) \
     FROM pg_catalog.pg_seclabels l JOIN pg_catalog.pg_namespace n ON n.oid = l.objnamespace \
     WHERE n.nspname = ANY ($1::text[]::name[])"
        .to_owned()
}

/// Objects that few databases have: by name and owner, and by what decides what they do.
fn rare() -> Vec<String> {
    let rare = [
        (
            "operator",
            "pg_operator",
            "opr",
            "format('%s(%s,%s) %s', t.oprname, format_type(t.oprleft, NULL), format_type(t.oprright, NULL), t.oprcode)",
        ),
        (
            "collation",
            "pg_collation",
            "coll",
            "concat_ws(' ', quote_ident(t.collname), t.collprovider, to_jsonb(t) ->> 'collcollate', t.collencoding)",
        ),
        ("conversion", "pg_conversion", "con", "format('%I %s', t.conname, t.conproc)"),
        ("operator class", "pg_opclass", "opc", "format('%I %s', t.opcname, format_type(t.opcintype, NULL))"),
        ("operator family", "pg_opfamily", "opf", "quote_ident(t.opfname)"),
        (
            "dictionary",
            "pg_ts_dict",
            "dict",
            "concat_ws(' ', quote_ident(t.dictname), quote_literal(t.dictinitoption))",
        ),
        (
            "text search",
            "pg_ts_config",
            "cfg",
            "concat_ws(' ', quote_ident(t.cfgname), (SELECT string_agg(concat_ws(':', m.maptokentype, m.mapdict::regdictionary), ',' \
             ORDER BY m.maptokentype, m.mapseqno) FROM pg_catalog.pg_ts_config_map m WHERE m.mapcfg = t.oid))",
        ),
    ];
    let line = |(kind, catalog, prefix, what): (&str, &str, &str, &str)| {
        format!(
            "SELECT n.nspname::text, concat_ws(' ', '{kind}', quote_ident(n.nspname) || '.' || {what}, {}, {}) FROM pg_catalog.{catalog} t \
             JOIN pg_catalog.pg_namespace n ON n.oid = t.{prefix}namespace WHERE {IN_SCHEMAS} AND {}",
            owner(&format!("t.{prefix}owner")),
            comment("t.oid", catalog),
            own("t.oid", catalog),
        )
    };
    rare.into_iter().map(line).collect()
}
