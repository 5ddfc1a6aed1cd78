//! The runservice and the configstore of 0.7: exports in both modes, and maintenance that nobody can ask about.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::config::{Component, Config};
use super::mode::{self, Mode};
use super::old_store::{OldStore, Record};
use super::switches::{Switches, trap};
use super::wire::{Exchange, Gate};

/// What `/runs` gives without a limit, and at most.
const RUNS: (usize, usize) = (25, 40);
/// What the lists of the configstore give without a limit, and at most.
const OTHERS: (usize, usize) = (10, 20);

/// A running service.
struct Old {
    component: Component,
    store: OldStore,
    objects: Option<PathBuf>,
    mode: Arc<Mode>,
    switches: Switches,
}

/// Serves until the process ends; returns why it cannot.
pub(super) fn serve(config: &Config, component: Component, switches: &Switches) -> String {
    let Some(address) = config.address(component) else { return "listen address undefined".to_owned() };
    let store = OldStore::open(component, &config.data_dir(component));
    let mode = Mode::new(store.wants_maintenance());
    let gate = Gate::new(address);
    let wishes = OldStore::open(component, &config.data_dir(component));
    let follower = (Arc::clone(&gate), Arc::clone(&mode), switches.clone());
    mode::follow(follower, move || wishes.wants_maintenance(), |_| ());
    let old = Old { component, store, objects: config.objects(component), mode, switches: switches.clone() };
    gate.run(move |exchange| old.answer(exchange)).to_string()
}

impl Old {
    fn answer(&self, exchange: Exchange) -> io::Result<()> {
        let path: Vec<String> = exchange.path.clone();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let ["api", "v1alpha", path @ ..] = path.as_slice() else { return self.nowhere(exchange) };
        let get = matches!(exchange.method.as_str(), "GET" | "HEAD");
        let runs = self.component == Component::Runservice;
        match path {
            ["export"] if get => self.export(exchange),
            ["maintenance"] => match exchange.method.as_str() {
                method @ ("PUT" | "DELETE") => {
                    let changed = self.store.want_maintenance(method == "PUT");
                    mode::acknowledge(exchange, changed, b"{\"message\":\"\"}\n", &self.switches)
                }
                _ => exchange.empty(405),
            },
            // In maintenance there is nothing else; its import, which nobody needs here, takes nothing.
            _ if self.mode.is_maintenance() => exchange.empty(404),
            ["runs"] if get && runs => self.runs(exchange),
            ["runs", id] if get && runs => self.run(exchange, id),
            ["logs"] if get && runs => {
                let records = self.store.records()?;
                let run = exchange.one("runid").and_then(|id| find(&records, "run", id));
                mode::send_log(exchange, run, self.objects.as_deref())
            }
            ["users"] if get && !runs && exchange.one("query_type") == Some("bytoken") => {
                let records = self.store.records()?;
                let token = exchange.one("token").unwrap_or_default();
                let has = |user: &Value| {
                    user["tokens"].as_object().is_some_and(|tokens| tokens.values().any(|it| it == token))
                };
                let user = of_kind(&records, "user").find(|user| has(user)).cloned();
                exchange.found(user.map(|user| json!([user])))
            }
            [list @ ("users" | "orgs" | "remotesources")] if get && !runs => {
                let kind = &list[..list.len() - 1];
                let records = self.store.records()?;
                let (limit, start, ascending) = match exchange.page(OTHERS) {
                    Some(page) => page,
                    None => return exchange.empty(400),
                };
                let mut all: Vec<&Value> = of_kind(&records, kind).collect();
                all.sort_by_key(|value| value["name"].as_str().unwrap_or_default().to_owned());
                let page = page_of(all, ascending, limit, |value| {
                    let name = value["name"].as_str().unwrap_or_default();
                    start.is_empty() || if ascending { name > start.as_str() } else { name < start.as_str() }
                });
                exchange.json(200, &json!(page))
            }
            [list @ ("users" | "orgs" | "remotesources" | "projectgroups" | "projects"), reference]
                if get && !runs =>
            {
                let records = self.store.records()?;
                let found = of_kind(&records, &list[..list.len() - 1])
                    .find(|it| it["id"] == *reference || it["name"] == *reference);
                exchange.found(found.cloned())
            }
            ["projectgroups", group, list @ ("projects" | "subgroups")] if get && !runs => {
                let kind = if *list == "projects" { "project" } else { "projectgroup" };
                let records = self.store.records()?;
                let of: Vec<&Value> =
                    of_kind(&records, kind).filter(|it| it["parent"]["id"] == *group).collect();
                exchange.json(200, &json!(of))
            }
            _ => self.nowhere(exchange),
        }
    }

    /// What the runservice does not know is a bad request, what the configstore does not know is not found.
    fn nowhere(&self, exchange: Exchange) -> io::Result<()> {
        let strict = self.component == Component::Runservice && !self.mode.is_maintenance();
        exchange.empty(if strict { 400 } else { 404 })
    }

    fn export(&self, exchange: Exchange) -> io::Result<()> {
        let files = self.store.export()?;
        let length = files.iter().map(|(_, length)| length).sum();
        let parts = files.into_iter().flat_map(|(file, length)| mode::parts_of(file, length));
        // Archived while the export runs, and so in the next one: what is being sent was opened before.
        if self.component == Component::Runservice
            && !self.mode.is_maintenance()
            && self.switches.spring(trap::LATE_RUN)
        {
            self.store.add_late_run()?;
        }
        mode::send_export(exchange, parts, length, &self.switches)
    }

    fn runs(&self, exchange: Exchange) -> io::Result<()> {
        let records = self.store.records()?;
        let Some((limit, start, ascending)) = exchange.page(RUNS) else { return exchange.empty(400) };
        let wanted = |run: &Value, field: &str| {
            let mut asked = exchange.all(field).peekable();
            asked.peek().is_none() || asked.any(|it| run[field] == it)
        };
        let group = |run: &Value| {
            let mut asked = exchange.all("group").peekable();
            let of = run["group"].as_str().unwrap_or_default();
            asked.peek().is_none() || asked.any(|it| of.starts_with(it))
        };
        let mut all: Vec<&Record> = records.iter().filter(|record| record.kind == "run").collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        let page = page_of(all, ascending, limit, |record| {
            let behind = if ascending {
                record.id.as_str() > start.as_str()
            } else {
                record.id.as_str() < start.as_str()
            };
            (start.is_empty() || behind)
                && wanted(&record.data, "phase")
                && wanted(&record.data, "result")
                && group(&record.data)
        });
        let runs: Vec<&Value> = page.into_iter().map(|record| &record.data).collect();
        // A list without items is null in Go.
        let runs = if runs.is_empty() { Value::Null } else { json!(runs) };
        exchange.json(200, &json!({"runs": runs, "change_groups_update_tokens": ""}))
    }

    fn run(&self, exchange: Exchange, id: &str) -> io::Result<()> {
        let records = self.store.records()?;
        let found = find(&records, "run", id).map(|run| {
            let config = find(&records, "runconfig", id);
            json!({"run": run, "run_config": config, "change_groups_update_tokens": ""})
        });
        exchange.found(found)
    }
}

fn of_kind<'a>(records: &'a [Record], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    records.iter().filter(move |record| record.kind == kind).map(|record| &record.data)
}

fn find<'a>(records: &'a [Record], kind: &str, id: &str) -> Option<&'a Value> {
    records.iter().find(|record| record.kind == kind && record.id == id).map(|record| &record.data)
}

/// Returns one page of what is there in ascending order; the new services page in the same way.
fn page_of<T>(all: Vec<T>, ascending: bool, limit: usize, wanted: impl Fn(&T) -> bool) -> Vec<T> {
    let limit = if limit == 0 { usize::MAX } else { limit };
    if ascending {
        all.into_iter().filter(wanted).take(limit).collect()
    } else {
        all.into_iter().rev().filter(wanted).take(limit).collect()
    }
}

impl Exchange {
    /// Returns limit, start and whether the order is ascending; `None` for a limit that is none. `(usual, most)`.
    pub(super) fn page(&self, (usual, most): (usize, usize)) -> Option<(usize, String, bool)> {
        let limit = match self.one("limit").filter(|limit| !limit.is_empty()) {
            Some(limit) => limit.parse::<usize>().ok()?.min(most),
            None => usual,
        };
        Some((limit, self.one("start").unwrap_or_default().to_owned(), self.one("asc").is_some()))
    }

    /// Answers with what was found, or 404.
    pub(super) fn found(self, value: Option<Value>) -> io::Result<()> {
        match value {
            Some(value) => self.json(200, &value),
            None => self.json(404, &json!({"message": ""})),
        }
    }
}
