//! What the vendor's `migrateexport` makes of an export of 0.7, written from its source and from what it was seen to do
//! (systems/agola.md §4, §5.6), and from nothing that the playbook has: it is the check of the playbook's own programs.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use serde_json::{Map, Value, json};

use super::codec::{from_base64, go_json, now, random_uuid, values};
use super::config::Component;
use super::stand_in::StandInError;

/// What came of a migration.
#[derive(Debug, Default)]
pub struct Migrated {
    /// The lines of the new export, in its order, without line ends.
    pub lines: Vec<String>,
    /// What the tool said about what it left out.
    pub warnings: Vec<String>,
}

/// Migrates the export of the runservice or of the configstore.
pub fn migrate(component: Component, export: impl io::Read) -> Result<Migrated, StandInError> {
    let mut entries = Vec::new();
    for value in values(export) {
        let value =
            value.map_err(|error| fails(if error.is_eof() { "unexpected EOF" } else { "invalid JSON" }))?;
        let entry: Value = serde_json::from_str(value.get()).map_err(|error| fails(&error.to_string()))?;
        if entry.is_null() {
            let what = "runtime error: invalid memory address or nil pointer dereference";
            return Err(StandInError::Panic(what.to_owned()));
        }
        entries.push(Entry::of(&entry)?);
    }
    match component {
        Component::Runservice => runservice(entries),
        Component::Configstore => configstore(entries),
        _ => Err(fails("service option must be runservice or configstore")),
    }
}

fn fails(text: &str) -> StandInError {
    StandInError::Fails(text.to_owned())
}

/// One record of an old export.
struct Entry {
    id: String,
    kind: String,
    data: Value,
}

impl Entry {
    fn of(value: &Value) -> Result<Entry, StandInError> {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let bytes = from_base64(&text("data")).ok_or_else(|| fails("illegal base64 data"))?;
        // A record of the new format has no data; what it is, is found by its type.
        let data = if bytes.is_empty() { Value::Null } else { parse(&bytes)? };
        Ok(Entry { id: text("id"), kind: text("data_type"), data })
    }

    fn fields(self) -> Result<Map<String, Value>, StandInError> {
        match self.data {
            Value::Object(fields) => Ok(fields),
            _ => Err(fails("json: cannot unmarshal into Go value")),
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Value, StandInError> {
    serde_json::from_slice(bytes).map_err(|error| fails(&error.to_string()))
}

/// The new records: by kind, and within a kind by id.
#[derive(Default)]
struct Tables {
    rows: BTreeMap<(usize, String), Value>,
    kinds: &'static [&'static str],
}

impl Tables {
    fn new(kinds: &'static [&'static str]) -> Tables {
        Tables { rows: BTreeMap::new(), kinds }
    }

    fn insert(&mut self, kind: &str, id: &str, fields: Map<String, Value>) -> Result<(), StandInError> {
        let place = self.kinds.iter().position(|known| *known == kind).unwrap_or(self.kinds.len());
        let time = now();
        let head = json!({"exportMeta": {"kind": kind}, "id": id, "creationTime": time, "updateTime": time});
        let mut row = head.as_object().cloned().unwrap_or_default();
        row.extend(fields.into_iter().filter(|(name, _)| name != "id" && name != "version"));
        if self.rows.insert((place, id.to_owned()), Value::Object(row)).is_some() {
            return Err(fails(&format!("UNIQUE constraint failed: {kind}.id")));
        }
        Ok(())
    }

    fn ids(&self, kind: &str) -> BTreeSet<String> {
        let of_kind = |row: &&Value| row["exportMeta"]["kind"] == kind;
        self.rows.values().filter(of_kind).filter_map(|row| row["id"].as_str().map(str::to_owned)).collect()
    }

    fn lines(self) -> Vec<String> {
        self.rows.values().map(go_json).collect()
    }
}

fn runservice(entries: Vec<Entry>) -> Result<Migrated, StandInError> {
    let mut tables = Tables::new(&["RunConfig", "Run", "RunCounter"]);
    let mut warnings = Vec::new();
    let mut last = String::new();
    // Old id of a run: its new id and fields, still without a config.
    let mut runs: BTreeMap<String, (String, Map<String, Value>)> = BTreeMap::new();
    let mut configs: BTreeMap<String, String> = BTreeMap::new();
    for entry in entries {
        let old = entry.id.clone();
        match entry.kind.as_str() {
            "run" => {
                if old <= last {
                    return Err(fails(&format!("run id {old} isn't greater than previous run id {last}")));
                }
                last.clone_from(&old);
                let mut fields = Map::new();
                fields.insert("sequence".to_owned(), json!(runs.len() + 1));
                for (name, value) in with_timeout(entry.fields()?, &Value::Null) {
                    let is_name = name == "name";
                    fields.insert(name, value);
                    if is_name {
                        fields.insert("run_config_id".to_owned(), Value::Null);
                    }
                }
                runs.insert(old, (new_id()?, fields));
            }
            "runconfig" => {
                if runs.contains_key(&old) {
                    let id = new_id()?;
                    tables.insert("RunConfig", &id, with_timeout(entry.fields()?, &json!(0)))?;
                    configs.insert(old, id);
                } else {
                    warnings.push(format!("no new run for old runconfig id {old}"));
                }
            }
            "runcounter" => {
                let mut fields = Map::new();
                fields.insert("GroupID".to_owned(), Value::from(old));
                fields.insert("Value".to_owned(), entry.data);
                tables.insert("RunCounter", &new_id()?, fields)?;
            }
            other => return Err(fails(&format!("unknown data type \"{other}\""))),
        }
    }
    for (old, (id, mut fields)) in runs {
        let config = configs.get(&old).ok_or_else(|| fails("FOREIGN KEY constraint failed"))?;
        fields.insert("run_config_id".to_owned(), Value::from(config.clone()));
        tables.insert("Run", &id, fields)?;
    }
    Ok(Migrated { lines: tables.lines(), warnings })
}

/// Every task gets a field that the old version did not have.
fn with_timeout(mut fields: Map<String, Value>, timeout: &Value) -> Map<String, Value> {
    if let Some(Value::Object(tasks)) = fields.get_mut("tasks") {
        for task in tasks.values_mut() {
            task["task_timeout_interval"] = timeout.clone();
        }
    }
    fields
}

fn configstore(entries: Vec<Entry>) -> Result<Migrated, StandInError> {
    let mut tables = Tables::new(&[
        "RemoteSource",
        "User",
        "UserToken",
        "LinkedAccount",
        "Organization",
        "OrganizationMember",
        "ProjectGroup",
        "Project",
        "Secret",
        "Variable",
    ]);
    for entry in entries {
        let id = entry.id.clone();
        match entry.kind.as_str() {
            "user" => user(&mut tables, &id, entry.fields()?)?,
            "org" => {
                let mut fields = filled(entry.fields()?);
                // Overwritten with now when it is inserted: the date is lost.
                fields.remove("created_at");
                tables.insert("Organization", &id, fields)?;
            }
            "remotesource" => {
                let mut fields = entry.fields()?;
                for switch in ["registration_enabled", "login_enabled"] {
                    let on = fields.get(switch) != Some(&Value::Bool(false));
                    fields.insert(switch.to_owned(), Value::Bool(on));
                }
                tables.insert("RemoteSource", &id, filled(fields))?;
            }
            "orgmember" => tables.insert("OrganizationMember", &id, filled(entry.fields()?))?,
            "projectgroup" => tables.insert("ProjectGroup", &id, parent_second(filled(entry.fields()?)))?,
            "project" => tables.insert("Project", &id, parent_second(filled(entry.fields()?)))?,
            "secret" => tables.insert("Secret", &id, filled(entry.fields()?))?,
            "variable" => tables.insert("Variable", &id, filled(entry.fields()?))?,
            other => return Err(fails(&format!("unknown data type \"{other}\""))),
        }
    }
    drop_orphans(&mut tables);
    Ok(Migrated { lines: tables.lines(), warnings: Vec::new() })
}

/// A user of the old version is several records of the new one. The password is not used any more.
fn user(tables: &mut Tables, id: &str, mut fields: Map<String, Value>) -> Result<(), StandInError> {
    let taken = |fields: &mut Map<String, Value>, name: &str| match fields.remove(name) {
        Some(Value::Object(members)) => members,
        _ => Map::new(),
    };
    let (tokens, accounts) = (taken(&mut fields, "tokens"), taken(&mut fields, "linked_accounts"));
    fields.remove("password");
    tables.insert("User", id, filled(fields))?;
    for (name, value) in tokens {
        let token = json!({"name": name, "value": value, "user_id": id});
        tables.insert("UserToken", &new_id()?, token.as_object().cloned().unwrap_or_default())?;
    }
    for account in accounts.into_values() {
        let account = account.as_object().cloned().unwrap_or_default();
        let account_id = account.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut fields = Map::new();
        fields.insert("user_id".to_owned(), Value::from(id));
        fields.extend(filled(account));
        tables.insert("LinkedAccount", &account_id, fields)?;
    }
    Ok(())
}

/// Leaves out what Go leaves out with `omitempty`.
fn filled(fields: Map<String, Value>) -> Map<String, Value> {
    let is_empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    fields.into_iter().filter(|(_, value)| !is_empty(value)).collect()
}

/// In the new version the parent of a project stands behind its name.
fn parent_second(mut fields: Map<String, Value>) -> Map<String, Value> {
    let mut ordered = Map::new();
    for name in ["id", "name", "parent"] {
        ordered.extend(fields.shift_remove_entry(name));
    }
    ordered.extend(fields);
    ordered
}

/// The second schema has no room for what belongs to nobody, and its migration says nothing about it.
fn drop_orphans(tables: &mut Tables) {
    let [users, orgs, sources] = ["User", "Organization", "RemoteSource"].map(|kind| tables.ids(kind));
    tables.rows.retain(|_, row| {
        let known =
            |name: &str, ids: &BTreeSet<String>| row[name].as_str().is_some_and(|id| ids.contains(id));
        match row["exportMeta"]["kind"].as_str().unwrap_or_default() {
            "UserToken" => known("user_id", &users),
            "LinkedAccount" => known("user_id", &users) && known("remote_source_id", &sources),
            "OrganizationMember" => known("user_id", &users) && known("organization_id", &orgs),
            _ => true,
        }
    });
}

fn new_id() -> Result<String, StandInError> {
    random_uuid().map_err(|error| fails(&error.to_string()))
}
