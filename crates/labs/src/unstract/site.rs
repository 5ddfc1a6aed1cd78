//! The files of an installation: three .env files, a backend with a `python` that is a stand-in, and its site file.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use postgres::Config;
use postgres::config::Host;
use switchback_site::service::{Launch, ProcessSpec};

/// Writes an installation's files into `folder`, for a database by its URL and, where v2 goes elsewhere, another. `program`
/// stands in for the application's own programs: the switchback binary, with its hidden lab commands. Returns the site file.
pub fn write_site(folder: &Path, url: &str, target: Option<&str>, program: &Path) -> io::Result<PathBuf> {
    let folder = std::path::absolute(folder)?;
    let place = Place::of(url)?;
    let schema_of = target.map(Place::of).transpose()?.unwrap_or_else(|| place.clone());
    let [backend, platform, prompt] =
        ["backend", "platform-service", "prompt-service"].map(|name| folder.join(name));
    std::fs::create_dir_all(backend.join(".venv/bin"))?;
    std::fs::create_dir_all(&platform)?;
    std::fs::create_dir_all(&prompt)?;
    std::fs::write(backend.join(".env"), place.of_backend())?;
    std::fs::write(platform.join(".env"), place.of_service("Flask\nFLASK_RUN_PORT=3001\n"))?;
    std::fs::write(prompt.join(".env"), place.of_service("Prompt service\nLOG_LEVEL = INFO\n"))?;
    let python = backend.join(".venv/bin/python");
    let script = format!(
        "#!/bin/sh\nexec {} lab-service unstract --env {} \"$@\"\n",
        shell(program),
        shell(&backend.join(".env"))
    );
    std::fs::write(&python, script)?;
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755))?;
    let text = |path: &Path| serde_json::Value::from(path.display().to_string()).to_string();
    let spec = services(&folder, program);
    let argv = |launch: &Launch| serde_json::Value::from(launch.argv.clone()).to_string();
    let target = target.map(|url| format!("  target: {url}\n")).unwrap_or_default();
    let site = folder.join("site.yaml");
    std::fs::write(
        &site,
        format!(
            "playbook: unstract\ninputs:\n  database: {url}\n{target}  database_name: {}\n  schema: unstract\n  backend: {}\n  \
             backend_env: {}\n  platform_env: {}\n  prompt_env: {}\n  service:\n    process:\n      old: {{argv: {}}}\n      \
             new: {{argv: {}}}\n      grace: 2\n",
            schema_of.database,
            text(&backend),
            text(&backend.join(".env")),
            text(&platform.join(".env")),
            text(&prompt.join(".env")),
            argv(&spec.old),
            spec.new.as_ref().map(argv).unwrap_or_default(),
        ),
    )?;
    Ok(site)
}

/// Returns how the stand-ins of everything that writes are started, for an installation whose files are in `folder`.
pub fn services(folder: &Path, program: &Path) -> ProcessSpec {
    let launch = |more: &[&str]| {
        let env = folder.join("backend/.env");
        let program = [program.display().to_string()];
        let words = ["lab-service", "unstract", "--env"].map(str::to_owned);
        let serve = [env.display().to_string(), "serve".to_owned()];
        let more = more.iter().map(|word| (*word).to_owned());
        let argv = program.into_iter().chain(words).chain(serve).chain(more).collect();
        Launch { argv, cwd: None, env: BTreeMap::new() }
    };
    ProcessSpec { old: launch(&["--old"]), new: Some(launch(&[])), pid_file: None, grace: 2 }
}

/// A database as the application's settings name it.
#[derive(Debug, Clone)]
struct Place {
    host: String,
    port: u16,
    user: String,
    database: String,
}

impl Place {
    fn of(url: &str) -> io::Result<Place> {
        let config: Config = url.parse().map_err(io::Error::other)?;
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => "127.0.0.1".to_owned(),
        };
        Ok(Place {
            host,
            port: config.get_ports().first().copied().unwrap_or(5432),
            user: config.get_user().unwrap_or("postgres").to_owned(),
            database: config.get_dbname().unwrap_or("postgres").to_owned(),
        })
    }

    /// Quotes of both kinds, none, blanks around `=`, comments: as people leave such files.
    fn of_backend(&self) -> String {
        format!(
            "# Settings of the backend. Made up.\nDJANGO_SETTINGS_MODULE='backend.settings.dev'\nPATH_PREFIX=\"api/v1\"\n\n\
             # Database\nDB_HOST='{}'\nDB_USER='{}'\nDB_NAME='{}' # was another once\nDB_PORT={}\nDB_SCHEMA=\"unstract_v2\"\n\n\
             ENCRYPTION_KEY=\"made-up-key-of-32-url-safe-bytes==\"\nAPI_STORAGE_DIR = \"/data/api\"\n",
            self.host, self.user, self.database, self.port
        )
    }

    fn of_service(&self, head: &str) -> String {
        format!(
            "# {head}\nPG_BE_HOST={}\nPG_BE_PORT={}\nPG_BE_USERNAME={}\nPG_BE_DATABASE={}\nDB_SCHEMA=\"unstract_v2\"\n\n\
             ENCRYPTION_KEY=\"made-up-key-of-32-url-safe-bytes==\"\n",
            self.host, self.port, self.user, self.database
        )
    }
}

/// Quotes a path for the one shell script that is written here.
fn shell(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}
