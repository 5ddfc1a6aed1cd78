//! What an installation holds: records in the shapes of real exports, with names that no program likes.

use serde_json::{Map, Value, json};

use super::old_store::{Record, sequence_id};
use crate::draw::{Draw, civil};

/// Texts that people wrote into messages, secrets and names.
const HOSTILE: [&str; 7] = [
    "O'Brien \"lab\"; DROP TABLE run;--",
    "<script>&amp;</script>",
    "line one\nline two\r\n\ttabbed",
    "ünïcödé — \u{2028} 🚀",
    "${HOME} $(id) `id` %s %25",
    "\\\"{\"id\":\"x\",\"data_type\":\"run\"}",
    "  blanks \u{7f} ",
];

/// How much an installation holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Runs that are archived, and so in the export.
    pub runs: u32,
    /// Runs that are in etcd only: queued, running, waiting for an approval and cancelled while queued in turn.
    pub live_runs: u32,
    /// Users, each with a project group of its own; every second has a token, every third a linked account.
    pub users: u32,
    /// Organizations, each with a member.
    pub orgs: u32,
    /// Projects, each with a run counter, every second with a secret and a variable.
    pub projects: u32,
    /// Members of organizations whose user is gone; as many linked accounts whose remote source is gone.
    pub orphans: u32,
    /// What ids are drawn from.
    pub seed: u64,
}

impl Default for Size {
    fn default() -> Self {
        Size { runs: 13, live_runs: 0, users: 6, orgs: 3, projects: 5, orphans: 1, seed: 7 }
    }
}

/// A token that has to work after the upgrade as before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The id of the user.
    pub user: String,
    /// What the user sends.
    pub value: String,
}

/// The log of a step of a task that has to be found after the upgrade as before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The name of the run, which has another id afterwards.
    pub run: String,
    /// Its id in the old version.
    pub run_id: String,
    /// The id of the task, which stays.
    pub task: String,
    /// What the first step said.
    pub text: String,
    /// Whether the new version would delete it at its first start, if nobody says otherwise.
    pub old: bool,
}

/// The records of both components, with what a test wants to know of them.
#[derive(Debug, Clone, Default)]
pub struct Content {
    /// Those of the runservice, in the order of an export.
    pub runservice: Vec<Record>,
    /// Those of the configstore, in the order of an export.
    pub configstore: Vec<Record>,
    /// Tokens of users.
    pub tokens: Vec<Token>,
    /// Logs of tasks.
    pub logs: Vec<Log>,
    /// Ids of the runs that no export has.
    pub live: Vec<String>,
    /// Ids of the members and linked accounts that the new version deletes.
    pub orphans: Vec<String>,
    /// A record of a type that nobody knows, at the end of the configstore's.
    pub stray: Option<Record>,
}

/// How many runs have logs in the object storage.
const LOGGED_RUNS: u32 = 9;

impl Content {
    /// Draws the content. Equal sizes give equal content.
    pub fn of(size: &Size) -> Content {
        let mut draw = Draw(size.seed);
        let mut content = Content::default();
        let projects = content.draw_configstore(&mut draw, size);
        content.draw_runservice(&mut draw, size, &projects);
        for records in [&mut content.runservice, &mut content.configstore] {
            // Stable: the types keep their order, which the store sees to.
            records.sort_by(|a, b| a.id.cmp(&b.id));
        }
        content
    }

    fn draw_configstore(&mut self, draw: &mut Draw, size: &Size) -> Vec<String> {
        let mut add = |kind: &str, fields: Value| {
            let id = fields["id"].as_str().unwrap_or_default().to_owned();
            self.configstore.push(Record::new(kind, &id, fields));
        };
        let sources = [draw.uuid(), draw.uuid()];
        add(
            "remotesource",
            json!({"id": sources[0], "name": "gitea01", "apiurl": "https://git.example.test", "skip_verify": true,
                "type": "gitea", "auth_type": "password", "skip_ssh_host_key_check": true}),
        );
        add(
            "remotesource",
            json!({"id": sources[1], "name": "github01", "apiurl": "https://api.github.example.test", "type": "github",
                "auth_type": "oauth2", "client_id": "made-up", "client_secret": "made up <&>",
                "registration_enabled": false, "login_enabled": true}),
        );
        let (mut users, mut groups, mut account) = (Vec::new(), Vec::new(), String::new());
        for number in 0..size.users {
            let id = draw.uuid();
            let mut user = json!({"id": id, "name": format!("user{number:04}"), "secret": hex(draw, 40)});
            if number == 0 {
                user["admin"] = Value::Bool(true);
            }
            if number.is_multiple_of(2) {
                let value = hex(draw, 40);
                user["tokens"] = json!({"ci": value, "cli <&> é": hex(draw, 40)});
                self.tokens.push(Token { user: id.clone(), value });
            }
            if number.is_multiple_of(3) {
                account = draw.uuid();
                user["linked_accounts"] =
                    json!({&account: linked(draw, &account, &sources[number as usize % 2], number)});
            }
            let group = draw.uuid();
            let root = json!({"id": group, "parent": {"type": "user", "id": id}, "visibility": "public"});
            add("projectgroup", root);
            groups.push(group);
            users.push(user);
        }
        for _ in 0..size.orphans.min(size.users) {
            let (gone, id) = (draw.uuid(), draw.uuid());
            let fields = linked(draw, &id, &gone, 9000);
            let user = &mut users[0];
            if user["linked_accounts"].is_null() {
                user["linked_accounts"] = json!({});
            }
            user["linked_accounts"][&id] = fields;
            self.orphans.push(id);
        }
        let user_ids: Vec<String> =
            users.iter().map(|user| user["id"].as_str().unwrap_or_default().to_owned()).collect();
        users.into_iter().for_each(|user| add("user", user));
        let mut orgs = Vec::new();
        for number in 0..size.orgs {
            let (id, group) = (draw.uuid(), draw.uuid());
            let visibility = if number % 2 == 0 { "public" } else { "private" };
            let mut org = json!({"id": id, "name": format!("org{number:03}"), "visibility": visibility,
                "created_at": time(u64::from(number) * 1_000_003)});
            // Organizations outlive the user that made them, and those that nobody made have no such field.
            match number % 3 {
                0 => org["creator_user_id"] = user_ids.first().cloned().unwrap_or_default().into(),
                1 => org["creator_user_id"] = draw.uuid().into(),
                _ => {}
            }
            add("org", org);
            let parent = json!({"type": "org", "id": id});
            add("projectgroup", json!({"id": group, "parent": parent, "visibility": visibility}));
            groups.push(group);
            if let Some(user) = user_ids.get(number as usize % user_ids.len().max(1)) {
                let role = if number == 0 { "owner" } else { "member" };
                add(
                    "orgmember",
                    json!({"id": draw.uuid(), "organization_id": id, "user_id": user, "member_role": role}),
                );
            }
            orgs.push(id);
        }
        for _ in 0..size.orphans {
            let (id, org) = (draw.uuid(), orgs.first().cloned().unwrap_or_default());
            let gone = draw.uuid();
            add(
                "orgmember",
                json!({"id": id, "organization_id": org, "user_id": gone, "member_role": "member"}),
            );
            // What else a deleted user leaves: its root project group, which the new version keeps.
            let parent = json!({"type": "user", "id": gone});
            add("projectgroup", json!({"id": draw.uuid(), "parent": parent, "visibility": "public"}));
            self.orphans.push(id);
        }
        let mut projects = Vec::new();
        for number in 0..size.projects {
            let id = draw.uuid();
            let group = groups.get(number as usize % groups.len().max(1)).cloned().unwrap_or_default();
            let mut project = json!({"id": id, "name": format!("project{number:04}"), "secret": hex(draw, 40),
                "parent": {"type": "projectgroup", "id": group}, "visibility": "private",
                "remote_repository_config_type": "manual", "webhook_secret": hex(draw, 40)});
            if number.is_multiple_of(3) {
                project["remote_repository_config_type"] = "remotesource".into();
                project["remote_source_id"] = sources[0].clone().into();
                // Some lead to an account that is gone: kept dangling by both versions.
                let leads_to = if number % 2 == 0 { account.clone() } else { draw.uuid() };
                project["linked_account_id"] = leads_to.into();
                project["repository_id"] = number.to_string().into();
                project["repository_path"] = format!("org/{}", hostile(number)).into();
                project["ssh_private_key"] =
                    "-----BEGIN MADE UP-----\nnothing\n-----END MADE UP-----\n".into();
            }
            add("project", project);
            if number.is_multiple_of(2) {
                let parent = json!({"type": "project", "id": id});
                let data = json!({"key": hostile(number), "user <&>": hostile(number + 3)});
                add(
                    "secret",
                    json!({"id": draw.uuid(), "name": "deploy", "parent": parent, "type": "internal", "data": data}),
                );
                let when = json!({"branch": {"include": [{"type": "regexp", "match": "v.*<>&"}]}});
                let values = json!([{"secret_name": "deploy", "secret_var": "key", "when": when}]);
                add(
                    "variable",
                    json!({"id": draw.uuid(), "name": "deploy-key", "parent": parent, "values": values}),
                );
            }
            projects.push(id);
        }
        projects
    }

    fn draw_runservice(&mut self, draw: &mut Draw, size: &Size, projects: &[String]) {
        let nobody = draw.uuid();
        let project = |number: u32| projects.get(number as usize % projects.len().max(1)).unwrap_or(&nobody);
        let mut counters = Map::new();
        for number in 0..size.runs + size.live_runs {
            let (live, project) = (number >= size.runs, project(number));
            let counter = counters.get(project).and_then(Value::as_u64).unwrap_or(0) + 1;
            counters.insert(project.clone(), counter.into());
            let run = OneRun { number, counter, project, task: draw.uuid(), live };
            let record = run.run(size);
            if number < LOGGED_RUNS && !live && !record.data["tasks"].is_null() {
                self.logs.push(Log {
                    run: run.name(),
                    run_id: record.id.clone(),
                    task: run.task.clone(),
                    text: format!("log of {}\n{}\n", run.name(), hostile(number)),
                    old: number % 3 == 0,
                });
            }
            if live {
                self.live.push(record.id.clone());
            }
            self.runservice.push(run.config());
            self.runservice.push(record);
        }
        for (group, counter) in counters {
            self.runservice.push(Record::new("runcounter", &group, counter));
        }
    }
}

/// What a run and its config have in common.
pub(super) struct OneRun<'a> {
    pub(super) number: u32,
    pub(super) counter: u64,
    pub(super) project: &'a str,
    pub(super) task: String,
    pub(super) live: bool,
}

impl OneRun<'_> {
    fn id(&self) -> String {
        sequence_id(u64::from(self.number) + 1)
    }

    fn name(&self) -> String {
        match self.number % 5 {
            3 => format!("run {} {}", self.number, hostile(self.number)),
            _ => format!("run{}", self.number),
        }
    }

    fn group(&self) -> String {
        format!("/project/{}/branch/master", self.project)
    }

    fn annotations(&self) -> Value {
        json!({"branch": "master", "commit_sha": format!("{:040x}", self.number), "message": hostile(self.number)})
    }

    /// Whether its config did not compile, so that it has no tasks.
    fn is_broken(&self) -> bool {
        !self.live && self.number % 11 == 10
    }

    pub(super) fn run(&self, size: &Size) -> Record {
        let begun = u64::from(self.number) * 61_000_000_007;
        let mut run = json!({"id": self.id(), "name": self.name(), "counter": self.counter, "group": self.group(),
            "annotations": self.annotations(), "phase": "finished", "result": "success"});
        let (phase, result) = match (self.live, self.number.wrapping_sub(size.runs) % 4, self.number % 4) {
            (true, 0, _) => ("queued", "unknown"),
            (true, 1 | 2, _) => ("running", "unknown"),
            (true, ..) => ("cancelled", "unknown"),
            (false, ..) if self.is_broken() => ("setuperror", "unknown"),
            (false, _, 2) => ("finished", "failed"),
            (false, _, 3) if self.number % 8 == 7 => ("finished", "stopped"),
            _ => ("finished", "success"),
        };
        run["phase"] = phase.into();
        run["result"] = result.into();
        if !self.is_broken() {
            let step = json!({"phase": "success", "log_phase": "finished", "exit_status": 0,
                "start_time": time(begun + 2_000_000_000), "end_time": time(begun + 3_000_000_000)});
            let mut task = json!({"id": self.task, "status": if result == "failed" { "failed" } else { "success" },
                "setup_step": {"phase": "success", "log_phase": "finished", "exit_status": null,
                    "start_time": time(begun + 1_000_000_000), "end_time": time(begun + 2_000_000_000)},
                "steps": [step.clone(), step], "workspace_archives": [1], "workspace_archives_phase": ["finished"],
                "start_time": time(begun + 1_000_000_000), "end_time": time(begun + 4_000_000_000)});
            if phase == "running" && self.number.wrapping_sub(size.runs) % 4 == 2 {
                task["waiting_approval"] = Value::Bool(true);
            }
            run["tasks"] = json!({self.task.clone(): task});
        }
        run["enqueue_time"] = time(begun).into();
        if phase == "finished" {
            run["start_time"] = time(begun + 500_000_000).into();
            run["end_time"] = time(begun + 5_000_000_000).into();
        }
        if !self.live {
            run["archived"] = Value::Bool(true);
        }
        Record { live: self.live, ..Record::new("run", &self.id(), run) }
    }

    /// In the export whether its run is or not: that is how a lost run is seen there.
    pub(super) fn config(&self) -> Record {
        let mut config = json!({"id": self.id(), "name": self.name(), "group": self.group(),
            "annotations": self.annotations(), "static_environment": {"BRANCH": "master", "CI": "true"},
            "environment": {"SECRET <&>": hostile(self.number + 1)}, "cache_group": format!("/project/{}", self.project)});
        if self.is_broken() {
            config["setup_errors"] = json!([hostile(self.number)]);
        } else {
            let container = json!({"image": "busybox", "environment": {"A": "1"}, "user": "u", "privileged": false,
                "entrypoint": "", "volumes": [{"path": "/mnt/t", "tmpfs": {"size": 1_048_576}}]});
            let steps = json!([
                {"type": "run", "name": "hello", "command": hostile(self.number), "shell": "sh", "tty": true},
                {"type": "save_cache", "key": "cache-{{ md5sum \"go.sum\" }}", "contents": [{"source_dir": "/go/pkg"}]}]);
            let task = json!({"id": self.task, "name": "build", "depends": {}, "runtime": {"type": "pod",
                "arch": "amd64", "containers": [container]}, "environment": {"E": "x"}, "working_dir": "~/project",
                "shell": "/bin/sh -e", "user": "root", "steps": steps});
            config["tasks"] = json!({self.task.clone(): task});
        }
        Record::new("runconfig", &self.id(), config)
    }
}

fn linked(draw: &mut Draw, id: &str, source: &str, number: u32) -> Value {
    let expires =
        if number.is_multiple_of(2) { "0001-01-01T00:00:00Z" } else { "2023-05-06T07:08:09.123456789Z" };
    json!({"id": id, "remote_user_id": number.to_string(), "remote_username": hostile(number), "remote_source_id": source,
        "user_access_token": hex(draw, 40), "oauth_2_access_token_expires_at": expires})
}

fn hostile(number: u32) -> &'static str {
    HOSTILE[number as usize % HOSTILE.len()]
}

fn hex(draw: &mut Draw, digits: usize) -> String {
    let mut text = String::new();
    while text.len() < digits {
        text += &format!("{:016x}", draw.next());
    }
    text.truncate(digits);
    text
}

/// Returns the time so many nanoseconds after the beginning of 2025, as Go writes it: without zeros at its end.
fn time(nanoseconds: u64) -> String {
    let (seconds, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let fraction = format!(".{rest:09}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sizes_give_equal_content() {
        let size = Size { runs: 40, live_runs: 4, ..Size::default() };
        let [one, other] = [(); 2].map(|()| Content::of(&size));
        assert_eq!(one.runservice, other.runservice);
        assert_eq!(one.configstore, other.configstore);
        assert_eq!((one.live.len(), one.orphans.len(), one.tokens.len()), (4, 2, 3));
        assert!(one.logs.iter().any(|log| log.old) && one.logs.iter().any(|log| !log.old));
        let phases: std::collections::BTreeSet<&str> =
            one.runservice.iter().filter_map(|record| record.data["phase"].as_str()).collect();
        assert_eq!(
            phases.into_iter().collect::<Vec<_>>(),
            ["cancelled", "finished", "queued", "running", "setuperror"]
        );
    }

    #[test]
    fn times_are_those_of_go() {
        assert_eq!(time(0), "2025-01-01T00:00:00Z");
        assert_eq!(time(61_000_000_100), "2025-01-01T00:01:01.0000001Z");
    }
}
