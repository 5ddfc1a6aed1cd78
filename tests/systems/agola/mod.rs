//! Agola 0.7.1 → 0.8, 0.9 and 0.10 by the real binary, on labs of our own: stand-ins of both generations, and of the
//! vendor's tool. Every row of docs/agola.md names a test.

mod faults;
mod kills;
mod rehearsals;
mod traps;
mod ways;

use crate::support::{BINARY, Ran, copy_playbook};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use switchback_labs::agola::{Component, Fault, Lab, LabOptions, SERVED, build, site_text};
use switchback_site::Tell;
use switchback_site::http::{self, Response, Url};
use switchback_site::service::{Service, ServiceSpec, State, Which};
use tempfile::TempDir;

/// A step that a test puts before another one, to do something between: the run waits there for [`Installation::go_on`], or
/// for the end of the lab.
const HOLD: &str = "      - ensure: {id: hold, run: [sh, -c, \"while [ -d LAB ] && [ ! -e LAB/go-on ]; do sleep 0.02; done\"], matches: ''}\n";

/// Every file and folder by its name: its mode, and its bytes.
type Everything = BTreeMap<String, (u32, Option<Vec<u8>>)>;

const COOKIE_KEY: &str = "made-up-cookie-key-of-a-test";

/// One installation with its six services, which end with it.
struct Installation {
    folder: TempDir,
    lab: Lab,
    /// The release that the new program is of.
    to: String,
}

/// How an installation is, apart from the shipped playbook on a shared config.
struct Options<'a> {
    lab: LabOptions,
    /// Who transforms.
    road: &'a str,
    /// More inputs, in YAML.
    more: &'a str,
    /// Replacements in a copy of the playbook: text that must be there, and what it becomes.
    playbook: &'a [(&'a str, &'a str)],
}

impl Default for Options<'_> {
    fn default() -> Self {
        let lab = LabOptions { new: "v0.10.0".to_owned(), ..LabOptions::default() };
        Options { lab, road: "programs", more: "", playbook: &[] }
    }
}

impl Installation {
    /// Built, with its old services running.
    fn of(options: &Options<'_>) -> Installation {
        let folder = TempDir::new().unwrap();
        let lab = build(&folder.path().join("site"), Path::new(BINARY), &options.lab).unwrap();
        let to = options.lab.new.trim_start_matches('v').rsplit_once('.').unwrap().0.to_owned();
        let site = Installation { folder, lab, to };
        let key = site.path("lab/cookie-key");
        std::fs::write(&key, format!("{COOKIE_KEY}\n")).unwrap();
        let more = format!(
            "  runservice_url: {}\n  configstore_url: {}\n  cookie_key: {{file: {}}}\n  road: {}\n{}",
            site.lab.url(Component::Runservice),
            site.lab.url(Component::Configstore),
            Value::from(key.display().to_string()),
            options.road,
            options.more,
        );
        let mut text = site_text(&site.lab, &more);
        if !options.playbook.is_empty() {
            let playbook = site.folder.path().join("playbook");
            copy_playbook("agola", &playbook, options.playbook);
            let file = playbook.join("playbook.yaml");
            let held = std::fs::read_to_string(&file).unwrap().replace("LAB", &shell_word(&site.path("lab")));
            std::fs::write(&file, held).unwrap();
            let playbook = Value::from(playbook.display().to_string());
            text = text.replacen("playbook: agola", &format!("playbook: {playbook}"), 1);
        }
        std::fs::write(site.path("site.yaml"), text).unwrap();
        for component in SERVED {
            site.service(component).start(Which::Old, &Tell::quiet()).unwrap();
        }
        site.wait_until("services that answer", || site.answers());
        site
    }

    /// Whether everything that has a port answers there.
    fn answers(&self) -> bool {
        self.lab.ports.keys().all(|component| self.ask(*component, "/api/v1alpha/version").is_some())
    }

    fn faulty(fault: &str, road: &str) -> Installation {
        let mut options = Options { road, ..Options::default() };
        options.lab.faults = vec![Fault::named(fault).unwrap()];
        Installation::of(&options)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.lab.dir.join(name)
    }

    fn service(&self, component: Component) -> Box<dyn Service> {
        let state = self.path(".switchback");
        let (services, logs) = (state.join("services"), state.join("logs"));
        for folder in [&state, &services, &logs] {
            switchback_engine::run_dir::make_private(folder).unwrap();
        }
        ServiceSpec::Process(self.lab.service(component)).service(component.name(), &services, &logs)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .args(args)
            .arg("--site")
            .arg(self.path("site.yaml"))
            .stdin(Stdio::null())
            .env("NO_COLOR", "1");
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.listen(&mut self.command(args))
    }

    /// Runs a command of ours, which must not say a secret.
    fn listen(&self, command: &mut Command) -> Ran {
        let ran = Ran::of(&command.output().unwrap());
        for secret in self.secrets() {
            assert!(!ran.said().contains(&secret), "it says {secret}:\n{}", ran.said());
        }
        ran
    }

    fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn plan(&self) -> Ran {
        self.run(&["plan", "--to", &self.to])
    }

    /// The words of an `apply` that accepts by name every loss that a plan of now asks for.
    fn words_of_apply(&self) -> Vec<String> {
        let said = self.plan().expect(0, &[]).said();
        let mut words = vec!["apply".to_owned(), "--yes".to_owned()];
        for loss in ["creation-dates", "undrained-runs", "orphans", "configs-without-run"] {
            if said.contains(&format!("`--accept {loss}`")) {
                words.extend(["--accept".to_owned(), loss.to_owned()]);
            }
        }
        words
    }

    fn apply(&self) -> Ran {
        let words = self.words_of_apply();
        self.run(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// What a service answers; `None` when there is no answer.
    fn ask(&self, component: Component, path: &str) -> Option<Response> {
        let url = Url::parse(&format!("{}{path}", self.lab.url(component))).unwrap();
        http::get(&url, &[], Duration::from_secs(10)).ok()
    }

    /// The JSON that a service answers with 200.
    #[track_caller]
    fn get(&self, component: Component, path: &str) -> Value {
        let answer = self.ask(component, &format!("/api/v1alpha{path}")).unwrap();
        assert_eq!(answer.status, 200, "{path}");
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Every value that only the owner of this installation may know.
    fn secrets(&self) -> Vec<String> {
        let mut secrets =
            vec![COOKIE_KEY.to_owned(), "MADE UP-----".to_owned(), "made-up-token-key".to_owned()];
        for record in &self.lab.content.configstore {
            let fields =
                ["secret", "webhook_secret"].into_iter().filter_map(|name| record.data[name].as_str());
            secrets.extend(fields.map(str::to_owned));
            let tokens = record.data["tokens"].as_object().into_iter().flatten();
            secrets.extend(tokens.filter_map(|(_, value)| value.as_str().map(str::to_owned)));
        }
        assert!(secrets.len() > 15, "{}", secrets.len());
        secrets
    }

    /// Every file and folder outside of our state: its mode and its bytes.
    fn everything(&self) -> Everything {
        let mut found = BTreeMap::new();
        for part in ["bin", "etc", "var"] {
            look(&self.path(part), &mut |path| {
                let name = path.strip_prefix(&self.lab.dir).unwrap().display().to_string();
                let mode = path.symlink_metadata().unwrap().permissions().mode();
                found.insert(name, (mode, path.is_file().then(|| std::fs::read(path).unwrap())));
            });
        }
        found
    }

    /// Every file and folder is as it was, the old services run, answer, and are not in maintenance.
    #[track_caller]
    fn expect_as_before(&self, before: &Everything) {
        self.expect_services(Which::Old);
        let complaints = self.complaints_of_old(before);
        assert!(complaints.is_empty(), "it is not as before: {complaints:#?}");
    }

    /// What speaks against the state of before, the services being looked at by their answers.
    fn complaints_of_old(&self, before: &Everything) -> Vec<String> {
        let now = self.everything();
        let names = before.keys().chain(now.keys().filter(|name| !before.contains_key(*name)));
        let mut complaints: Vec<String> =
            names.filter(|name| before.get(*name) != now.get(*name)).cloned().collect();
        for (component, path) in [(Component::Runservice, "runs"), (Component::Configstore, "users")] {
            let status = |path: &str| self.ask(component, path).map(|answer| answer.status);
            let mode = status("/api/v1alpha/maintenance");
            let works = status(&format!("/api/v1alpha/{path}?limit=1"));
            if (mode, works) != (Some(405), Some(200)) {
                complaints.push(format!("{} answers {mode:?} and {works:?}", component.name()));
            }
        }
        complaints
    }

    /// All six services run, in this generation.
    #[track_caller]
    fn expect_services(&self, which: Which) {
        for component in SERVED {
            let state = self.service(component).state().unwrap();
            assert!(
                matches!(&state, State::Running(Some(runs)) if *runs == which),
                "{} is {state}, and the {which} one should run",
                component.name()
            );
        }
    }

    /// The records of a new service by kind.
    fn counts(&self, component: Component) -> BTreeMap<String, usize> {
        let export = self.ask(component, "/api/v1alpha/export").unwrap();
        let mut counts = BTreeMap::new();
        for line in String::from_utf8(export.body).unwrap().lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            *counts.entry(record["exportMeta"]["kind"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        counts
    }

    /// How many records of each kind the new version has to have, out of what the lab was made of: the orphans and what
    /// only live runs have is left out.
    fn wanted(&self) -> [BTreeMap<String, usize>; 2] {
        let content = &self.lab.content;
        let mut runs = BTreeMap::new();
        let mut add = |kind: &str, count: usize| {
            if count > 0 {
                runs.insert(kind.to_owned(), count);
            }
        };
        let archived =
            content.runservice.iter().filter(|record| record.kind == "run" && !record.live).count();
        add("Run", archived);
        add("RunConfig", archived);
        add("RunCounter", content.runservice.iter().filter(|record| record.kind == "runcounter").count());
        let mut configs: BTreeMap<String, usize> = BTreeMap::new();
        for record in &content.configstore {
            let kind = match record.kind.as_str() {
                "org" => "Organization",
                "orgmember" if content.orphans.contains(&record.id) => continue,
                "orgmember" => "OrganizationMember",
                "projectgroup" => "ProjectGroup",
                "remotesource" => "RemoteSource",
                "user" => "User",
                "project" => "Project",
                "secret" => "Secret",
                _ => "Variable",
            };
            *configs.entry(kind.to_owned()).or_default() += 1;
            let of = |name: &str| record.data[name].as_object().into_iter().flatten();
            let accounts = of("linked_accounts").filter(|(id, _)| !content.orphans.contains(*id)).count();
            for (kind, count) in [("UserToken", of("tokens").count()), ("LinkedAccount", accounts)] {
                if count > 0 {
                    *configs.entry(kind.to_owned()).or_default() += count;
                }
            }
        }
        [runs, configs]
    }

    /// The new version runs and is out of maintenance; everything is there, tokens lead to their users, and the logs of
    /// runs are found under their new ids, old ones too.
    #[track_caller]
    fn expect_upgraded(&self) {
        self.expect_services(Which::New);
        self.wait_until("services that answer", || self.answers());
        let complaints = self.complaints_of_new();
        assert!(complaints.is_empty(), "it is not upgraded: {complaints:#?}");
    }

    fn complaints_of_new(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        let off = json!({"RequestedStatus": false, "CurrentStatus": false});
        for (component, wanted) in
            [Component::Runservice, Component::Configstore].into_iter().zip(self.wanted())
        {
            let mode = self.get(component, "/maintenance");
            if mode != off {
                complaints.push(format!("{}: {mode}", component.name()));
            }
            let counts = self.counts(component);
            if counts != wanted {
                complaints.push(format!("{}: {counts:?}, and {wanted:?} was wanted", component.name()));
            }
        }
        for token in &self.lab.content.tokens {
            let path = format!("/users?query_type=bytoken&token={}", token.value);
            let users = self.get(Component::Configstore, &path);
            if users[0]["id"] != *token.user {
                complaints.push(format!("a token of user {} leads to {}", token.user, users[0]["id"]));
            }
        }
        let runs = self.get(Component::Runservice, "/runs?limit=0&asc");
        for log in &self.lab.content.logs {
            let runs = runs["runs"].as_array().unwrap();
            let run = runs.iter().find(|run| run["name"] == *log.run);
            let id = run.and_then(|run| run["id"].as_str()).unwrap_or_default();
            let path = format!("/api/v1alpha/logs?runid={id}&taskid={}&step=0", log.task);
            let answer = self.ask(Component::Runservice, &path).unwrap();
            if id == log.run_id || answer.body != log.text.as_bytes() {
                complaints.push(format!("the log of {} is not found: {}", log.run, answer.status));
            }
        }
        complaints
    }

    /// The journal of the last run, if there is one.
    fn journal(&self) -> Option<String> {
        let runs = std::fs::read_dir(self.path(".switchback/runs")).ok()?;
        let mut runs: Vec<PathBuf> = runs.flatten().map(|run| run.path().join("journal.jsonl")).collect();
        runs.sort();
        std::fs::read_to_string(runs.pop()?).ok()
    }

    /// Whether a step of the one run has begun.
    fn begun(&self, id: &str) -> bool {
        let (Some(journal), Ok(plan)) =
            (self.journal(), std::fs::read_to_string(self.path(".switchback/plan.json")))
        else {
            return false;
        };
        let plan: Value = serde_json::from_str(&plan).unwrap();
        let at = plan["steps"].as_array().unwrap().iter().position(|step| step["id"] == id);
        let at = at.unwrap_or_else(|| panic!("there is no step {id}"));
        journal.contains(&format!("\"record\":\"step-started\",\"step\":{at},"))
    }

    /// Whether the last run is on its way back.
    fn goes_back(&self) -> bool {
        self.journal().is_some_and(|journal| journal.contains("\"record\":\"rollback-started\""))
    }

    /// Asks very often.
    fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let clock = Instant::now();
        while !is_so() {
            assert!(clock.elapsed() < Duration::from_secs(60), "{what}: it does not come");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Lets a run go on that is at [`HOLD`].
    fn go_on(&self) {
        std::fs::write(self.path("lab/go-on"), "").unwrap();
    }

    /// Applies, and does something as soon as a step has begun.
    fn apply_and_when(&self, id: &str, then: impl FnOnce(&Installation) + Send) -> Ran {
        let words = self.words_of_apply();
        std::thread::scope(|scope| {
            let other = scope.spawn(move || {
                self.wait_until(id, || self.begun(id));
                then(self);
            });
            let ran = self.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
            other.join().unwrap();
            ran
        })
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        SERVED.iter().for_each(|component| drop(self.service(*component).stop(&Tell::quiet())));
    }
}

/// Calls for everything below a folder.
fn look(folder: &Path, at: &mut dyn FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        at(&path);
        if path.is_dir() {
            look(&path, at);
        }
    }
}

/// What each service is, in words.
fn states(site: &Installation) -> Vec<String> {
    SERVED.iter().map(|it| format!("{}: {}", it.name(), site.service(*it).state().unwrap())).collect()
}

/// The last line of every log of a folder.
fn tails(logs: &Path) -> Vec<String> {
    let mut tails = Vec::new();
    look(logs, &mut |path| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        tails.push(format!("{}: {}", path.display(), text.lines().last().unwrap_or_default()));
    });
    tails
}

/// A path that a shell takes for one word as it stands.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte)), "{text}");
    text
}

/// Does something for every thing of a list, a few at a time: an upgrade waits more than it works.
fn each<T: Sync>(things: &[T], act: impl Fn(&T) + Sync) {
    every(things.len() as u64, |number| act(&things[usize::try_from(number).unwrap()]));
}

/// Does something for every number below another.
fn every(count: u64, act: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    match next.fetch_add(1, Ordering::Relaxed) {
                        number if number < count => act(number),
                        _ => return,
                    }
                }
            });
        }
    });
}
