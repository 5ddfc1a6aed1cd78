//! The application's config file, and what each version refuses to start with (systems/agola.md §6).

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use switchback_model::config::ConfigFormat;

use super::database::Place;
use super::release::Release;

/// How long logs are kept where nobody says otherwise: 30 days, new in 0.8.
const LOG_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// A part of the application that is served by a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// Runs, their configs and logs.
    Runservice,
    /// Users, organizations, projects.
    Configstore,
    /// Where people and webhooks come in.
    Gateway,
    /// Starts queued runs; has no port.
    Scheduler,
    /// Executes tasks.
    Executor,
    /// Tells other systems what became of a run; has no port.
    Notification,
    /// Keeps the sources of direct runs.
    Gitserver,
}

impl Component {
    /// Every component by its name in configs and on command lines.
    pub const ALL: [(&'static str, Component); 7] = [
        ("runservice", Component::Runservice),
        ("configstore", Component::Configstore),
        ("gateway", Component::Gateway),
        ("scheduler", Component::Scheduler),
        ("executor", Component::Executor),
        ("notification", Component::Notification),
        ("gitserver", Component::Gitserver),
    ];

    /// Returns the component of that name.
    pub fn named(name: &str) -> Option<Component> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, component)| *component)
    }

    /// Returns its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, component)| *component == self).map_or("", |(name, _)| name)
    }
}

/// A config file as text; keys that nobody knows are ignored without a word, as by the real one.
#[derive(Debug, Clone)]
pub(super) struct Config {
    text: String,
}

impl Config {
    /// Reads a file. The error is what the application says.
    pub(super) fn read(path: &Path) -> Result<Config, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("config error: open {}: {error}", path.display()))?;
        let config = Config { text };
        ConfigFormat::Yaml.editor().check(&config.text).map_err(|error| format!("config error: {error}"))?;
        Ok(config)
    }

    /// Returns the text at a dotted place; `None` where nothing stands.
    pub(super) fn text(&self, at: &str) -> Option<String> {
        match ConfigFormat::Yaml.editor().get(&self.text, at) {
            Ok(Some(Value::String(text))) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// Says whether something stands at a dotted place; what goes by an alias does.
    fn has(&self, at: &str) -> bool {
        !matches!(ConfigFormat::Yaml.editor().get(&self.text, at), Ok(None | Some(Value::Null)))
    }

    /// Says what the application says about this config before it starts these components.
    pub(super) fn validate(&self, release: &Release, components: &[Component]) -> Result<(), String> {
        for component in components {
            let name = component.name();
            if matches!(component, Component::Runservice | Component::Configstore) {
                self.text(&format!("{name}.dataDir")).ok_or("config error: dataDir is empty")?;
                self.text(&format!("{name}.web.listenAddress"))
                    .ok_or_else(|| format!("config error: {name} listen address undefined"))?;
            }
            let keeps =
                matches!(component, Component::Runservice | Component::Configstore | Component::Notification);
            if !release.is_new() {
                if keeps && !self.has(&format!("{name}.etcd.endpoints")) {
                    return Err(format!("config error: {name} etcd endpoints undefined"));
                }
                continue;
            }
            // The bug of every new version: that of the configstore looks at the database of the runservice.
            if matches!(component, Component::Runservice | Component::Configstore) {
                match self.text("runservice.db.type").as_deref() {
                    Some("sqlite3" | "postgres") => {}
                    None => {
                        return Err("config error: db configuration error: type is not defined".to_owned());
                    }
                    Some(other) => {
                        return Err(format!(
                            "config error: db configuration error: unknown type \"{other}\""
                        ));
                    }
                }
                if self.text("runservice.db.connString").is_none() {
                    return Err(
                        "config error: db configuration error: db connection string undefined".to_owned()
                    );
                }
            }
            if *component == Component::Gateway && self.text("gateway.cookieSigning.key").is_none() {
                return Err("config error: empty cookie signing key".to_owned());
            }
        }
        Ok(())
    }

    /// Returns where the database of a component is. The error is what the new version says.
    pub(super) fn database(&self, component: Component) -> Result<Place, String> {
        let name = component.name();
        let text = self.text(&format!("{name}.db.connString")).unwrap_or_default();
        match self.text(&format!("{name}.db.type")).as_deref() {
            Some("postgres") => Ok(Place::Postgres(text)),
            Some("sqlite3") => {
                let path = text.strip_prefix("file:").unwrap_or(&text);
                Ok(Place::Sqlite(PathBuf::from(path.split('?').next().unwrap_or(path))))
            }
            _ => Err("new db error: unknown db type".to_owned()),
        }
    }

    /// Returns where a component listens; without a host that is the loopback address here.
    pub(super) fn address(&self, component: Component) -> Option<SocketAddr> {
        let text = self.text(&format!("{}.web.listenAddress", component.name()))?;
        match text.strip_prefix(':') {
            Some(port) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().ok()?))),
            None => text.replace("localhost", "127.0.0.1").parse().ok(),
        }
    }

    /// Returns the folder in which a component of the old version keeps its state.
    pub(super) fn data_dir(&self, component: Component) -> PathBuf {
        PathBuf::from(self.text(&format!("{}.dataDir", component.name())).unwrap_or_default())
    }

    /// Returns the folder of the object storage; `None` where there is none.
    pub(super) fn objects(&self, component: Component) -> Option<PathBuf> {
        self.text(&format!("{}.objectStorage.path", component.name())).map(PathBuf::from)
    }

    /// Returns the token that a service wants of whoever talks to it: from 0.9 on, where one is set.
    pub(super) fn api_token(&self, release: &Release, component: Component) -> Option<String> {
        let own = self.text(&format!("{}.apiToken", component.name()));
        own.or_else(|| self.text("internalServicesAPIToken")).filter(|_| release.wants_tokens())
    }

    /// Returns after how long the new version deletes logs.
    pub(super) fn log_life(&self) -> Duration {
        self.text("runservice.runLogExpireInterval").and_then(|text| go_duration(&text)).unwrap_or(LOG_LIFE)
    }
}

/// Reads a duration as Go writes it: `720h`, `1h30m`, `1.5s`.
fn go_duration(text: &str) -> Option<Duration> {
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let unit = rest[number..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |end| number + end);
        let scale = match &rest[number..unit] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            _ => return None,
        };
        seconds += rest[..number].parse::<f64>().ok()? * scale;
        rest = &rest[unit..];
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config { text: text.to_owned() }
    }

    #[test]
    fn durations_are_those_of_go() {
        assert_eq!(go_duration("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(go_duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(go_duration("876000h"), Some(Duration::from_secs(876_000 * 3600)));
        assert_eq!(go_duration("30"), None);
        assert_eq!(config("runservice:\n  dataDir: /x\n").log_life(), LOG_LIFE);
    }

    #[test]
    fn a_split_config_needs_the_database_of_the_other_component() {
        let new = Release::of("v0.8.0");
        let own = "configstore:\n  dataDir: /x\n  web: {listenAddress: ':1'}\n  db: {type: sqlite3, connString: /c}\n";
        let refused = config(own).validate(&new, &[Component::Configstore]).unwrap_err();
        assert_eq!(refused, "config error: db configuration error: type is not defined");
        let both = format!("{own}runservice:\n  db: {{type: sqlite3, connString: /r}}\n");
        config(&both).validate(&new, &[Component::Configstore]).unwrap();
        let other = config(&both.replace("  db: {type: sqlite3, connString: /c}\n", ""));
        other.validate(&new, &[Component::Configstore]).unwrap();
        assert_eq!(other.database(Component::Configstore).unwrap_err(), "new db error: unknown db type");
    }

    #[test]
    fn the_new_gateway_wants_a_key_and_the_old_services_want_etcd() {
        let (old, new) = (Release::of("v0.7.1"), Release::of("v0.8.0"));
        let plain = config("gateway:\n  apiExposedURL: http://x\n");
        plain.validate(&old, &[Component::Gateway]).unwrap();
        assert_eq!(
            plain.validate(&new, &[Component::Gateway]).unwrap_err(),
            "config error: empty cookie signing key"
        );
        let stale = config("runservice:\n  dataDir: /x\n  web:\n    listenAddress: 127.0.0.1:1\n");
        assert!(stale.validate(&old, &[Component::Runservice]).unwrap_err().contains("etcd"));
    }
}
