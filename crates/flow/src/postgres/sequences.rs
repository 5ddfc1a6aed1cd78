//! Sequences behind the columns that were filled: set beyond every value, and never backwards.

use std::collections::BTreeMap;

use postgres::Transaction;

use super::resolve::Plan;
use super::text;
use crate::error::FlowError;
use switchback_site::postgres::names::qualified;

/// The sequences that columns own (serial, identity), and those that defaults draw from without owning them.
const SEQUENCES: &str = "SELECT a.attrelid, a.attname::text, n.nspname::text, s.relname::text, q.seqincrement \
    FROM (SELECT d.refobjid, d.refobjsubid::int2 AS attnum, d.objid AS seq FROM pg_catalog.pg_depend d \
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass \
        AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0 \
      UNION SELECT f.adrelid, f.adnum, d.refobjid FROM pg_catalog.pg_attrdef f JOIN pg_catalog.pg_depend d \
        ON d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.objid = f.oid \
        AND d.refclassid = 'pg_catalog.pg_class'::regclass) o(rel, attnum, seq) \
    JOIN pg_catalog.pg_class s ON s.oid = o.seq AND s.relkind = 'S' \
    JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid \
    JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace \
    JOIN pg_catalog.pg_attribute a ON a.attrelid = o.rel AND a.attnum = o.attnum \
    WHERE o.rel = ANY($1::oid[]) ORDER BY 3, 4, 1, 2";

/// Sets them in the transaction that ends the move. Returns those that were set, and to what. `setval` is never taken back,
/// not even with its transaction; doing it again changes nothing.
pub(super) fn set(transaction: &mut Transaction<'_>, plan: &Plan) -> Result<Vec<(String, i64)>, FlowError> {
    let oids: Vec<u32> = plan.targets.iter().map(|table| table.oid).collect();
    let doing = |what: &str| FlowError::server(format!("set {what}"));
    let rows = transaction.query(SEQUENCES, &[&oids]).map_err(doing("the sequences of the target"))?;
    let mut behind: BTreeMap<String, (i64, Vec<String>)> = BTreeMap::new();
    for row in rows {
        let (oid, column): (u32, String) = (row.get(0), row.get(1));
        let Some(at) = plan.targets.iter().position(|table| table.oid == oid) else { continue };
        let first = plan.into[at].first().and_then(|number| plan.moves.get(*number));
        // What the database numbered by itself it counted by itself.
        if !first.is_some_and(|job| job.columns.iter().any(|filled| filled.column.name == column)) {
            continue;
        }
        let sequence =
            qualified(row.get(2), row.get(3)).map_err(|error| FlowError::Refused(vec![error.to_string()]))?;
        let increment: i64 = row.get(4);
        let most = if increment > 0 { "max" } else { "min" };
        let values = format!(
            "SELECT {most}({})::int8 FROM {}",
            text::column(&column)?,
            text::name(&plan.targets[at])?
        );
        behind.entry(sequence).or_insert((increment, Vec::new())).1.push(values);
    }
    let mut set = Vec::new();
    for (sequence, (increment, values)) in behind {
        let (most, beyond) = if increment > 0 { ("max", ">") } else { ("min", "<") };
        let sql = format!(
            "SELECT pg_catalog.setval({}::regclass, v.v, true) \
             FROM (SELECT {most}(v) FROM ({}) u(v)) v(v), {sequence} s \
             WHERE v.v {beyond} s.last_value OR v.v = s.last_value AND NOT s.is_called",
            switchback_site::postgres::names::literal(&sequence)
                .map_err(|error| FlowError::Refused(vec![error.to_string()]))?,
            values.join(" UNION ALL ")
        );
        if let Some(row) = transaction.query_opt(&sql, &[]).map_err(doing(&format!("sequence {sequence}")))? {
            set.push((sequence, row.get(0)));
        }
    }
    Ok(set)
}
