//! A playbook's table files played as plain SQL: one statement a table, no engine, no cursor, no proof. What a careful
//! person would type, to compare with.

use switchback_model::diagnostic::{Diagnostics, Source};
use switchback_model::tree::{self, Node, Value};

/// Returns the statements that move the tables of a file from one schema into another, in the order of the file.
pub fn statements(file: &str, text: &str, from: &str, to: &str, tenant: i64) -> Vec<String> {
    let mut out = Diagnostics::default();
    let node = tree::parse(&Source::new(file, text), &mut out).unwrap();
    let tables = node.get("tables").and_then(Node::items).unwrap();
    tables.iter().map(|table| statement(table, from, to, tenant)).collect()
}

fn statement(table: &Node, from: &str, to: &str, tenant: i64) -> String {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for column in table.get("columns").and_then(Node::items).unwrap() {
        pairs.push((scalar(column), format!("s.{}", quoted(&scalar(column)))));
    }
    for (target, source) in map(table, "rename") {
        pairs.push((target, format!("s.{}", quoted(&source))));
    }
    for (target, value) in map(table, "set") {
        pairs.push((target, of_source(&value, tenant)));
    }
    let mut join = String::new();
    for (target, lookup) in table.get("lookup").and_then(Node::entries).unwrap_or_default() {
        let conditions: Vec<String> = map(lookup, "by")
            .into_iter()
            .map(|(column, value)| format!("l.{} = {}", quoted(&column), of_source(&value, tenant)))
            .collect();
        let within = scalar(lookup.get("in").unwrap());
        join = format!(" JOIN {}.{} AS l ON {}", quoted(to), quoted(&within), conditions.join(" AND "));
        pairs.push((target.text.clone(), format!("l.{}", quoted(&scalar(lookup.get("take").unwrap())))));
    }
    let (columns, values): (Vec<String>, Vec<String>) =
        pairs.into_iter().map(|(column, value)| (quoted(&column), value)).unzip();
    let name = |key: &str| quoted(&scalar(table.get(key).unwrap()));
    format!(
        "INSERT INTO {}.{} ({}) SELECT {} FROM {}.{} AS s{join}",
        quoted(to),
        name("to"),
        columns.join(", "),
        values.join(", "),
        quoted(from),
        name("from"),
    )
}

/// Returns the statements that set every number of a schema behind the highest that is there.
pub fn sequences(schema: &str) -> String {
    format!(
        "DO $do$ DECLARE c record; BEGIN \
         FOR c IN SELECT format('%I.%I', n.nspname, t.relname) AS name, a.attname AS col FROM pg_attribute a \
                    JOIN pg_class t ON t.oid = a.attrelid JOIN pg_namespace n ON n.oid = t.relnamespace \
                   WHERE n.nspname = '{schema}' AND t.relkind = 'r' AND a.attidentity <> '' LOOP \
           EXECUTE format('SELECT setval(pg_get_serial_sequence(%L, %L), max(%I)) FROM %s HAVING max(%3$I) IS NOT NULL', \
                          c.name, c.col, c.col, c.name); \
         END LOOP; END $do$"
    )
}

fn of_source(value: &str, tenant: i64) -> String {
    if value == "${tenant.id}" { tenant.to_string() } else { format!("s.{}", quoted(value)) }
}

fn map(node: &Node, key: &str) -> Vec<(String, String)> {
    let entries = node.get(key).and_then(Node::entries).unwrap_or_default();
    entries.iter().map(|(key, value)| (key.text.clone(), scalar(value))).collect()
}

fn scalar(node: &Node) -> String {
    match &node.value {
        Value::Scalar { text, .. } => text.clone(),
        other => panic!("a text, not {other:?}"),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
