//! Builds an installation of 0.7 in a folder: programs, configs, data, logs, and the switches of the stand-ins.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};
use switchback_site::service::{Launch, ProcessSpec};

use super::config::Component;
use super::faults::Fault;
use super::old_store::OldStore;
use super::records::{Content, Size};

/// How old the old logs are: older than what the new version keeps.
const OLD: Duration = Duration::from_secs(40 * 24 * 3600);

/// What is built.
#[derive(Debug, Clone)]
pub struct LabOptions {
    /// How much it holds.
    pub size: Size,
    /// One config for all components, or one for each.
    pub split: bool,
    /// The version of the old program, with its `v`.
    pub old: String,
    /// The version of the new program.
    pub new: String,
    /// From a request for maintenance to the closed port; 700 ms were measured.
    pub delay: Duration,
    /// How long the port refuses; a second was measured.
    pub refused: Duration,
    /// Databases on a PostgreSQL server by their URLs, which are there and empty; SQLite files where none is named.
    pub urls: BTreeMap<Component, String>,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
}

impl Default for LabOptions {
    fn default() -> Self {
        LabOptions {
            size: Size::default(),
            split: false,
            old: "v0.7.1".to_owned(),
            new: "v0.8.0".to_owned(),
            delay: Duration::from_millis(40),
            refused: Duration::from_millis(60),
            urls: BTreeMap::new(),
            faults: Vec::new(),
        }
    }
}

/// A built installation. Nothing of it runs yet.
#[derive(Debug, Clone)]
pub struct Lab {
    /// Its folder.
    pub dir: PathBuf,
    /// The program of the old version.
    pub old: PathBuf,
    /// The program of the new version.
    pub new: PathBuf,
    /// The config of each component; one and the same unless it is split.
    pub configs: BTreeMap<Component, PathBuf>,
    /// Where each component that has a port listens.
    pub ports: BTreeMap<Component, u16>,
    /// What each component's database is to be: a path of SQLite, where nothing is yet, or a URL of PostgreSQL.
    pub databases: BTreeMap<Component, String>,
    /// What it holds.
    pub content: Content,
    /// The file with the switches of the stand-ins.
    pub switches: PathBuf,
}

/// The components in the order in which they are started.
pub const SERVED: [Component; 6] = [
    Component::Runservice,
    Component::Configstore,
    Component::Notification,
    Component::Scheduler,
    Component::Executor,
    Component::Gateway,
];
/// Below what a system hands out to those that ask for any port, on Linux from 32768 on.
const FIRST_PORT: u64 = 11_000;
const PORTS: u64 = 20_000;
const WITH_PORTS: [Component; 4] =
    [Component::Runservice, Component::Configstore, Component::Executor, Component::Gateway];
const WITH_DATABASES: [Component; 3] =
    [Component::Runservice, Component::Configstore, Component::Notification];

/// Builds an installation in `dir`, which must be empty or not there. `program` stands in for the application's programs
/// when `lab-service agola` is put behind it: the switchback binary.
pub fn build(dir: &Path, program: &Path, options: &LabOptions) -> io::Result<Lab> {
    fs::create_dir_all(dir)?;
    let dir = std::path::absolute(dir)?;
    if fs::read_dir(&dir)?.next().is_some() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is not empty", dir.display())));
    }
    let mut content = Content::of(&Size {
        live_runs: if options.faults.contains(&Fault::LiveRuns) { 4 } else { options.size.live_runs },
        ..options.size
    });
    options.faults.iter().for_each(|fault| fault.plant(&mut content));
    let folder = |component: Component| dir.join("var").join(component.name());
    for component in SERVED {
        fs::create_dir_all(folder(component))?;
    }
    let mut lab = Lab {
        old: dir.join("bin/old/agola"),
        new: dir.join("bin/new/agola"),
        configs: BTreeMap::new(),
        ports: free_ports()?,
        databases: WITH_DATABASES
            .map(|component| {
                let file = || folder(component).join("db").display().to_string();
                (component, options.urls.get(&component).cloned().unwrap_or_else(file))
            })
            .into(),
        content,
        switches: dir.join("lab/lab.json"),
        dir,
    };
    if options.faults.contains(&Fault::SharedDatabase) {
        let shared = lab.databases[&Component::Runservice].clone();
        lab.databases.values_mut().for_each(|database| database.clone_from(&shared));
    }
    lab.write_programs(program, options)?;
    lab.write_switches(options)?;
    lab.write_configs(options)?;
    lab.write_data(options)?;
    Ok(lab)
}

/// Finds ports that nobody listens on and that nobody is given meanwhile: a service that is stopped for a moment must find
/// its own free again. So they are none of those that the system hands out by itself, and no others of this process.
fn free_ports() -> io::Result<BTreeMap<Component, u16>> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let offset = u64::from(std::process::id()).wrapping_mul(7919);
    let mut found = BTreeMap::new();
    for component in WITH_PORTS {
        let free = (0..PORTS).find_map(|_| {
            let number = offset.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS;
            let port = u16::try_from(FIRST_PORT + number).ok()?;
            TcpListener::bind(("127.0.0.1", port)).is_ok().then_some(port)
        });
        found.insert(component, free.ok_or(io::ErrorKind::AddrInUse)?);
    }
    Ok(found)
}

impl Lab {
    /// Returns how a component is started, in both versions.
    pub fn service(&self, component: Component) -> ProcessSpec {
        let launch = |program: &Path| {
            let config = self.configs[&component].display().to_string();
            let words = ["serve", "--config", &config, "--components", component.name()].map(str::to_owned);
            let argv = [program.display().to_string()].into_iter().chain(words).collect();
            Launch { argv, cwd: None, env: BTreeMap::new() }
        };
        ProcessSpec { old: launch(&self.old), new: Some(launch(&self.new)), pid_file: None, grace: 2 }
    }

    /// Returns where a component answers, without a path.
    pub fn url(&self, component: Component) -> String {
        format!("http://127.0.0.1:{}", self.ports.get(&component).copied().unwrap_or(0))
    }

    /// Returns what `db.type` of a config has to say for a component.
    pub fn database_type(&self, component: Component) -> &'static str {
        let of = self.databases.get(&component);
        if of.is_some_and(|it| it.starts_with("postgres")) { "postgres" } else { "sqlite3" }
    }

    /// Returns the object storage of the runservice, in which the logs lie.
    pub fn objects(&self) -> PathBuf {
        self.dir.join("var/runservice/ost")
    }

    /// Sets a switch of the stand-ins, also while they run. `name` is a key of the file, or `traps.NAME`.
    pub fn switch(&self, name: &str, value: Value) -> io::Result<()> {
        let mut all: Map<String, Value> = serde_json::from_slice(&fs::read(&self.switches)?)?;
        match name.split_once('.') {
            Some((group, name)) => all.entry(group).or_insert_with(|| json!({}))[name] = value,
            None => drop(all.insert(name.to_owned(), value)),
        }
        // By rename: a stand-in reads the old switches or the new ones.
        let fresh = self.switches.with_extension("new");
        fs::write(&fresh, Value::Object(all).to_string())?;
        fs::rename(fresh, &self.switches)
    }

    /// Opens the state of a component of the old version.
    pub fn old_store(&self, component: Component) -> OldStore {
        OldStore::open(component, &self.dir.join("var").join(component.name()))
    }

    fn write_programs(&self, program: &Path, options: &LabOptions) -> io::Result<()> {
        let wrong = options.faults.contains(&Fault::OldProgramAsNew);
        let new = if wrong { &options.old } else { &options.new };
        for (path, version) in [(&self.old, &options.old), (&self.new, new)] {
            let script = format!(
                "#!/bin/sh\nexec {} lab-service agola --release {version} --lab {} \"$@\"\n",
                shell(program),
                shell(&self.switches)
            );
            fs::create_dir_all(path.parent().unwrap_or(path))?;
            fs::write(path, script)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    fn write_switches(&self, options: &LabOptions) -> io::Result<()> {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut traps = Map::new();
        for fault in &options.faults {
            if let Fault::Trap(name) = fault {
                traps.insert((*name).to_owned(), json!(1));
            }
        }
        let switches = json!({
            "delay_ms": milliseconds(options.delay),
            "refused_ms": milliseconds(options.refused),
            "gateway": self.url(Component::Gateway),
            "microseconds": options.faults.contains(&Fault::Microseconds),
            "no_tool": options.faults.contains(&Fault::NoTool),
            "traps": traps,
        });
        fs::create_dir_all(self.dir.join("lab"))?;
        fs::write(&self.switches, switches.to_string())
    }

    fn write_configs(&mut self, options: &LabOptions) -> io::Result<()> {
        let etc = self.dir.join("etc");
        fs::create_dir_all(&etc)?;
        let head = "# Agola. Made up for a lab.\n---\n\n";
        if !options.split {
            let path = etc.join("agola.yml");
            let sections: Vec<String> =
                SERVED.iter().map(|component| self.section(*component, options)).collect();
            write_config(&path, &format!("{head}{}", sections.join("\n")), options)?;
            self.configs = SERVED.map(|component| (component, path.clone())).into();
            return Ok(());
        }
        for component in SERVED {
            let path = etc.join(format!("{}.yml", component.name()));
            write_config(&path, &format!("{head}{}", self.section(component, options)), options)?;
            self.configs.insert(component, path);
        }
        Ok(())
    }

    /// A section as people leave it: indented by three or two, quoted or not, in braces or not, with remarks.
    fn section(&self, component: Component, options: &LabOptions) -> String {
        let dir = self.dir.join("var").join(component.name());
        let quoted = |path: &Path| Value::from(path.display().to_string()).to_string();
        let (data, objects) = (quoted(&dir), quoted(&dir.join("ost")));
        let port = self.ports.get(&component).copied().unwrap_or(0);
        let [runs, configs] =
            [Component::Runservice, Component::Configstore].map(|component| self.url(component));
        let anchored = options.faults.contains(&Fault::AnchoredConfig) && !options.split;
        let half = match (component, options.faults.contains(&Fault::HalfEditedConfig)) {
            (Component::Runservice, true) => "   db: {type: sqlite3, connString: /somewhere/else}\n",
            _ => "",
        };
        match component {
            Component::Runservice => {
                let anchor = if anchored { " &etcd" } else { "" };
                format!(
                    "runservice:\n   #debug: true\n   dataDir: {data}   # on the big disk\n   etcd:{anchor}\n      \
                     endpoints: \"http://127.0.0.1:2379\"\n{half}   objectStorage:\n      type: posix\n      path: {objects}\n   \
                     web:\n      listenAddress: \"127.0.0.1:{port}\"\n"
                )
            }
            Component::Configstore => {
                let etcd = if anchored { "*etcd" } else { "{ endpoints: 'http://127.0.0.1:2379' }" };
                format!(
                    "configstore:\n  dataDir: {data}\n  objectStorage: {{type: posix, path: {objects}}}\n  etcd: {etcd}\n\n  \
                     web:\n    listenAddress: '127.0.0.1:{port}'\n"
                )
            }
            Component::Notification => format!(
                "notification:\n  webExposedURL: {}\n  runserviceURL: {runs}\n  configstoreURL: {configs}\n  etcd:\n    # the same one\n    \
                 endpoints: http://127.0.0.1:2379\n",
                self.url(Component::Gateway)
            ),
            Component::Scheduler => format!("scheduler:\n  runserviceURL: \"{runs}\"\n"),
            Component::Executor => format!(
                "executor:\n  dataDir: {data}\n  toolboxPath: ./bin\n  runserviceURL: \"{runs}\"\n  web: {{listenAddress: \"127.0.0.1:{port}\"}}\n  \
                 activeTasksLimit: 2\n  driver:\n    type: docker\n"
            ),
            _ => format!(
                "gateway:\n  apiExposedURL: &public \"{url}\"\n  webExposedURL: *public\n  runserviceURL: \"{runs}\"\n  configstoreURL: \"{configs}\"\n\n  \
                 web:\n    listenAddress: \"127.0.0.1:{port}\"\n  tokenSigning:\n    # hmac or rsa (it's the default and uses the key pair)\n    \
                 method: hmac\n    key: made-up-token-key\n  adminToken: \"made-up-admin-token\"\n",
                url = self.url(Component::Gateway)
            ),
        }
    }

    fn write_data(&self, options: &LabOptions) -> io::Result<()> {
        let has = |fault: Fault| options.faults.contains(&fault);
        let parts = [
            (Component::Runservice, &self.content.runservice),
            (Component::Configstore, &self.content.configstore),
        ];
        for (component, records) in parts {
            let store = self.old_store(component);
            store.append(records)?;
            if has(Fault::InMaintenance) {
                store.want_maintenance(true)?;
            }
            if let (Component::Configstore, Some(stray)) = (component, &self.content.stray) {
                store.append_stray(stray)?;
            }
        }
        if has(Fault::DatabaseInUse) {
            let db = rusqlite::Connection::open(&self.databases[&Component::Runservice]);
            let made = db.and_then(|db| db.execute_batch("CREATE TABLE somebody (id text)"));
            made.map_err(io::Error::other)?;
        }
        for log in self.content.logs.iter().filter(|_| !has(Fault::LostLogs)) {
            let folder = self.objects().join("data/logs").join(&log.task);
            fs::create_dir_all(folder.join("steps"))?;
            for (path, text) in [("setup.log", "made up\n"), ("steps/0.log", &*log.text), ("steps/1.log", "")]
            {
                let mut file = File::create(folder.join(path))?;
                file.write_all(text.as_bytes())?;
                if log.old {
                    file.set_modified(SystemTime::now() - OLD)?;
                }
            }
            let archives = self.objects().join("data/workspacearchives").join(&log.task);
            fs::create_dir_all(&archives)?;
            fs::write(archives.join("1.tar"), &log.task)?;
        }
        Ok(())
    }
}

fn write_config(path: &Path, text: &str, options: &LabOptions) -> io::Result<()> {
    let windows = options.faults.contains(&Fault::WindowsConfig);
    fs::write(path, if windows { text.replace('\n', "\r\n") } else { text.to_owned() })?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o640))
}

/// Quotes a path for the shell scripts that are written here.
fn shell(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}
