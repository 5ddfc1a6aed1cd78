//! The runservice and the configstore of 0.8 and later: maintenance with a status, and imports.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::codec::{now, random_uuid};
use super::config::{Component, Config};
use super::mode::{self, Mode};
use super::new_store::{ImportError, ImportManner, NewStore};
use super::release::Release;
use super::switches::{Switches, trap};
use super::wire::{Exchange, Gate};

/// What a failure says: nothing. The reason is in the log of the service.
const NO_REASON: &[u8] = b"{\"code\":\"\",\"message\":\"\"}\n";
const RUNS: (usize, usize) = (25, 40);
const OTHERS: (usize, usize) = (10, 20);

/// A running service.
struct New {
    component: Component,
    store: NewStore,
    objects: Option<PathBuf>,
    mode: Arc<Mode>,
    token: Option<String>,
    switches: Switches,
}

/// Serves until the process ends; returns why it cannot.
pub(super) fn serve(config: &Config, component: Component, release: &Release, switches: &Switches) -> String {
    let Some(address) = config.address(component) else { return "listen address undefined".to_owned() };
    let store =
        match config.database(component).and_then(|place| NewStore::open_in(&place, component, release)) {
            Ok(store) => store,
            Err(error) => return error,
        };
    let maintenance = match store.wants_maintenance() {
        Ok(maintenance) => maintenance,
        Err(error) => return error.to_string(),
    };
    let (mode, gate) = (Mode::new(maintenance), Gate::new(address));
    let objects = config.objects(component);
    let clean = cleaner(component, objects.clone(), config.log_life());
    if !maintenance {
        clean(false);
    }
    let wishes = store.clone();
    let last = Arc::clone(&mode);
    // A database that does not answer leaves the mode as it is.
    let wanted = move || wishes.wants_maintenance().unwrap_or(last.is_maintenance());
    mode::follow((Arc::clone(&gate), Arc::clone(&mode), switches.clone()), wanted, clean);
    let token = config.api_token(release, component);
    let new = New { component, store, objects, mode, token, switches: switches.clone() };
    gate.run(move |exchange| new.answer(exchange)).to_string()
}

/// Returns what deletes old logs whenever the service begins to work: the old version had no such thing.
fn cleaner(component: Component, objects: Option<PathBuf>, life: Duration) -> impl Fn(bool) + Send + 'static {
    move |maintenance| {
        if let (Component::Runservice, Some(objects), false) = (component, &objects, maintenance) {
            let before = SystemTime::now().checked_sub(life).unwrap_or(SystemTime::UNIX_EPOCH);
            delete_older(&objects.join("data/logs"), before);
        }
    }
}

fn delete_older(folder: &Path, before: SystemTime) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(about) = entry.metadata() else { continue };
        if about.is_dir() {
            delete_older(&entry.path(), before);
        } else if about.modified().is_ok_and(|modified| modified < before) {
            // One that cannot be deleted is tried again the next time.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

impl New {
    fn answer(&self, exchange: Exchange) -> io::Result<()> {
        if let Some(token) = &self.token
            && exchange.authorization.as_deref() != Some(&format!("Token {token}"))
        {
            return exchange.empty(401);
        }
        let path: Vec<String> = exchange.path.clone();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let ["api", "v1alpha", path @ ..] = path.as_slice() else { return self.nowhere(exchange) };
        let get = matches!(exchange.method.as_str(), "GET" | "HEAD");
        let runs = self.component == Component::Runservice;
        match (path, exchange.method.as_str()) {
            (["export"], "GET") => self.export(exchange),
            (["maintenance"], "GET") => {
                let requested = self.store.wants_maintenance().map_err(io::Error::other)?;
                let current = self.mode.is_maintenance();
                exchange.json(200, &json!({"RequestedStatus": requested, "CurrentStatus": current}))
            }
            (["maintenance"], method @ ("PUT" | "DELETE")) => {
                let changed = self.store.want_maintenance(method == "PUT").map_err(io::Error::other);
                mode::acknowledge(exchange, changed, NO_REASON, &self.switches)
            }
            (["maintenance"], _) => exchange.empty(405),
            (["import"], "POST") if self.mode.is_maintenance() => self.import(exchange),
            (["import"], "POST") => exchange.answer(400, "application/json", NO_REASON),
            _ if self.mode.is_maintenance() => exchange.empty(404),
            (["runs"], _) if get && runs => self.runs(exchange),
            (["runs", id], _) if get && runs => {
                let run = self.one("run", "id", id)?;
                let config = match run.as_ref().and_then(|run| run["run_config_id"].as_str()) {
                    Some(config) => self.one("runconfig", "id", config)?,
                    None => None,
                };
                exchange.found(
                    run.map(
                        |run| json!({"run": run, "run_config": config, "change_groups_update_tokens": ""}),
                    ),
                )
            }
            (["logs"], _) if get && runs => {
                let run = self.one("run", "id", exchange.one("runid").unwrap_or_default())?;
                mode::send_log(exchange, run.as_ref(), self.objects.as_deref())
            }
            (["users"], "POST") if !runs => self.create_user(exchange),
            (["runs"], "POST") if runs => self.create_run(exchange),
            (["users"], _) if get && !runs && exchange.one("query_type") == Some("bytoken") => {
                let token = exchange.one("token").unwrap_or_default();
                let rest =
                    "WHERE id IN (SELECT json ->> 'user_id' FROM usertoken WHERE json ->> 'value' = $1)";
                let users = self.store.select("user_t", rest, &[token]).map_err(io::Error::other)?;
                exchange.found((!users.is_empty()).then(|| json!(users)))
            }
            ([list @ ("users" | "orgs" | "remotesources")], _) if get && !runs => {
                let Some((limit, start, ascending)) = exchange.page(OTHERS) else {
                    return exchange.empty(400);
                };
                let (order, than) = if ascending { ("ASC", ">") } else { ("DESC", "<") };
                let rest = format!(
                    "WHERE $1 = '' OR json ->> 'name' {than} $1 ORDER BY json ->> 'name' {order} {}",
                    limit_of(limit)
                );
                let page = self.store.select(table(list), &rest, &[&start]).map_err(io::Error::other)?;
                exchange.json(200, &json!(page))
            }
            ([list @ ("users" | "orgs" | "remotesources" | "projectgroups" | "projects"), reference], _)
                if get && !runs =>
            {
                let found = match self.one(table(list), "id", reference)? {
                    None => self.one(table(list), "name", reference)?,
                    found => found,
                };
                exchange.found(found)
            }
            (["projectgroups", group, list @ ("projects" | "subgroups")], _) if get && !runs => {
                let table = if *list == "projects" { "project" } else { "projectgroup" };
                let rest = "WHERE json -> 'parent' ->> 'id' = $1 ORDER BY id";
                let of = self.store.select(table, rest, &[group]).map_err(io::Error::other)?;
                exchange.json(200, &json!(of))
            }
            _ => self.nowhere(exchange),
        }
    }

    fn nowhere(&self, exchange: Exchange) -> io::Result<()> {
        let strict = self.component == Component::Runservice && !self.mode.is_maintenance();
        exchange.empty(if strict { 400 } else { 404 })
    }

    fn one(&self, table: &str, field: &str, value: &str) -> io::Result<Option<Value>> {
        let rest = format!("WHERE json ->> '{field}' = $1 LIMIT 1");
        Ok(self.store.select(table, &rest, &[value]).map_err(io::Error::other)?.pop())
    }

    fn export(&self, exchange: Exchange) -> io::Result<()> {
        let length = self.store.size().map_err(io::Error::other)?;
        // A thread reads the database, this one sends: neither holds more than a few parts.
        let (parts, taken) = std::sync::mpsc::sync_channel::<io::Result<Vec<u8>>>(4);
        let store = self.store.clone();
        std::thread::spawn(move || {
            let mut part = Vec::new();
            let outcome = store.export(|line| {
                part.extend_from_slice(line.as_bytes());
                part.push(b'\n');
                if part.len() < 1 << 16 {
                    return Ok(());
                }
                parts.send(Ok(std::mem::take(&mut part))).map_err(io::Error::other)
            });
            // Whoever hung up needs no end.
            let _ = parts.send(outcome.map(|()| part));
        });
        mode::send_export(exchange, taken, length, &self.switches)
    }

    /// Somebody works with the new version: a user comes.
    fn create_user(&self, mut exchange: Exchange) -> io::Result<()> {
        let Ok(asked) = serde_json::from_reader::<_, Value>(&mut exchange) else {
            return exchange.empty(400);
        };
        let name = asked["user_name"].as_str().unwrap_or_default();
        if name.is_empty() || self.one("user_t", "name", name)?.is_some() {
            return exchange.answer(400, "application/json", NO_REASON);
        }
        let user = json!({"id": random_uuid()?, "name": name, "secret": random_uuid()?});
        self.store.put(&[("User", user.clone())]).map_err(io::Error::other)?;
        exchange.json(201, &user)
    }

    /// Somebody works with the new version: a run is queued, with the number behind the last one.
    fn create_run(&self, mut exchange: Exchange) -> io::Result<()> {
        let Ok(asked) = serde_json::from_reader::<_, Value>(&mut exchange) else {
            return exchange.empty(400);
        };
        let (name, group) = (&asked["name"], asked["group"].as_str().unwrap_or_default());
        let rest = "ORDER BY CAST(json ->> 'sequence' AS bigint) DESC LIMIT 1";
        let last = self.store.select("run", rest, &[]).map_err(io::Error::other)?;
        let sequence = last.first().and_then(|run| run["sequence"].as_u64()).unwrap_or(0) + 1;
        let owner = group.split('/').nth(2).unwrap_or_default();
        let known = self.one("runcounter", "GroupID", owner)?;
        let counter = known.as_ref().and_then(|known| known["Value"].as_u64()).unwrap_or(0) + 1;
        let counter_id = match known.as_ref().and_then(|known| known["id"].as_str()) {
            Some(id) => id.to_owned(),
            None => random_uuid()?,
        };
        let config = json!({"id": random_uuid()?, "name": name, "group": group});
        let run = json!({"id": random_uuid()?, "sequence": sequence, "name": name, "run_config_id": config["id"],
            "counter": counter, "group": group, "phase": "queued", "result": "unknown", "enqueue_time": now()});
        let counted = json!({"id": counter_id, "GroupID": owner, "Value": counter});
        self.store
            .put(&[("RunConfig", config.clone()), ("Run", run.clone()), ("RunCounter", counted)])
            .map_err(io::Error::other)?;
        exchange.json(201, &json!({"run": run, "run_config": config, "change_groups_update_tokens": ""}))
    }

    fn import(&self, mut exchange: Exchange) -> io::Result<()> {
        let length = exchange.length.unwrap_or(0);
        let nothing = self.switches.spring(trap::IMPORT_NOTHING);
        let manner = ImportManner {
            stop_at: if nothing {
                Some(0)
            } else {
                self.switches.spring(trap::IMPORT_HALF).then_some(length / 2)
            },
            die_at: self.switches.spring(trap::IMPORT_CRASH).then_some(5),
            pause: self.switches.time("import_record_ms", 0),
            microseconds: self.switches.is_on("microseconds"),
        };
        match self.store.import(&mut exchange, manner) {
            Ok(_) if self.switches.spring(trap::IMPORT_LOST) => {
                exchange.hang_up();
                Ok(())
            }
            Ok(_) => {
                // What was not wanted is read to its end all the same, so that whoever sends it sees the answer.
                io::copy(&mut exchange, &mut io::sink())?;
                exchange.empty(200)
            }
            Err(ImportError::Panics(_)) => {
                exchange.hang_up();
                Ok(())
            }
            Err(ImportError::Fails(_)) => exchange.answer(500, "application/json", NO_REASON),
        }
    }

    fn runs(&self, exchange: Exchange) -> io::Result<()> {
        let Some((limit, start, ascending)) = exchange.page(RUNS) else { return exchange.empty(400) };
        let start: i64 = match start.as_str() {
            "" => 0,
            number => match number.parse() {
                Ok(number) => number,
                Err(_) => return exchange.empty(400),
            },
        };
        let (order, than) = if ascending { ("ASC", ">") } else { ("DESC", "<") };
        let mut values: Vec<&str> = Vec::new();
        let mut rest = "WHERE 1 = 1".to_owned();
        if start != 0 {
            rest += &format!(" AND CAST(json ->> 'sequence' AS bigint) {than} {start}");
        }
        for field in ["phase", "result"] {
            let asked: Vec<&str> = exchange.all(field).collect();
            let places: Vec<String> =
                (0..asked.len()).map(|at| format!("${}", values.len() + at + 1)).collect();
            if !asked.is_empty() {
                rest += &format!(" AND json ->> '{field}' IN ({})", places.join(", "));
                values.extend(asked);
            }
        }
        rest += &format!(" ORDER BY CAST(json ->> 'sequence' AS bigint) {order} {}", limit_of(limit));
        let runs = self.store.select("run", &rest, &values).map_err(io::Error::other)?;
        let runs = if runs.is_empty() { Value::Null } else { json!(runs) };
        exchange.json(200, &json!({"runs": runs, "change_groups_update_tokens": ""}))
    }
}

/// Zero is no limit.
fn limit_of(limit: usize) -> String {
    if limit == 0 { String::new() } else { format!("LIMIT {limit}") }
}

/// Returns the table of a list of the API.
fn table(list: &str) -> &'static str {
    match list {
        "users" => "user_t",
        "orgs" => "organization",
        "remotesources" => "remotesource",
        "projectgroups" => "projectgroup",
        _ => "project",
    }
}
