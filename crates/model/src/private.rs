//! A service that runs privately in a rehearsal, beside the one that runs: over copies, at a port of its own.
//!
//! What it is started with is made here from what the real one is started with, as values: every path and every URL that has
//! a copy is replaced by it, and whatever else could name a place is a reason not to start it at all.

use crate::config::{EditError, Edits, Leaf, Wanted};
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the parts of a playbook that are about it refer to: `${private.port}`, `${private.folder}`.
pub const PRIVATE: &str = "private";
/// Stands for the port until a rehearsal has one.
pub const PORT: &str = "${private.port}";
/// Stands for the folder of its own until a rehearsal has one.
pub const FOLDER: &str = "${private.folder}";

/// How a service is run privately, as the playbook says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrivateDef {
    /// The URL at which the real one answers, without a slash at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The config files that it reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<PrivateFile>,
}

/// A config file that a private service reads a copy of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrivateFile {
    /// The file target.
    pub target: String,
    /// What is different in the copy, beside what is moved.
    pub edits: Edits,
    /// Keys whose values are no places, whatever they look like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<String>,
}

/// Why a service cannot be started privately.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrivateError {
    /// The copy of a config cannot be made.
    #[error("make a config of its own from {target}: {source}")]
    Edit {
        /// The file target.
        target: String,
        /// Why.
        source: EditError,
    },
    /// A config names what has no copy.
    #[error("keep it from {}: {target} names there what has no copy", quoted(.keys))]
    Astray {
        /// The file target.
        target: String,
        /// The keys, without their values, which may be secret.
        keys: Vec<String>,
    },
    /// Nothing says to it where a copy of its own is.
    #[error(
        "start it: nothing that it is started with names its copy of {target}, and it might find the real one"
    )]
    Unnamed {
        /// The target.
        target: String,
    },
    /// The command line names what has no copy.
    #[error("start it with {}: that names what has no copy", quoted(.words))]
    Word {
        /// The words.
        words: Vec<String>,
    },
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// What a part of the site is in a rehearsal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Moved {
    /// A file, by its path.
    Path {
        /// Where it is.
        real: String,
        /// Where its copy is.
        copy: String,
    },
    /// What answers at a URL.
    Url {
        /// The URL, without a slash at its end.
        real: String,
        /// The one of the private service.
        copy: String,
    },
    /// A database of a server, by its address.
    Address {
        /// The address.
        real: String,
        /// That of the copy.
        copy: String,
    },
}

impl Moved {
    /// Returns a text with every mention of the real thing turned into one of its copy.
    pub fn text(&self, text: &str) -> String {
        match self {
            Moved::Address { real, copy } if text == real => copy.clone(),
            Moved::Address { .. } => text.to_owned(),
            Moved::Path { real, copy } => replaced(text, real, copy, |before, after| {
                !before.is_some_and(is_of_a_name)
                    && !after.is_some_and(|next| is_of_a_name(next) || next == '/')
            }),
            Moved::Url { real, copy } => replaced(text, real, copy, |before, after| {
                !before.is_some_and(is_of_a_name)
                    && !after.is_some_and(|next| is_of_a_name(next) || next == ':')
            }),
        }
    }
}

fn is_of_a_name(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '.' | '-' | '_' | '~' | '%' | '+' | '@')
}

/// Replaces where what stands around it says that the whole of it is meant.
fn replaced(
    text: &str,
    real: &str,
    copy: &str,
    whole: impl Fn(Option<char>, Option<char>) -> bool,
) -> String {
    if real.is_empty() {
        return text.to_owned();
    }
    let (mut out, mut done) = (String::new(), 0);
    for (at, _) in text.match_indices(real) {
        let end = at + real.len();
        if at >= done && whole(text[..at].chars().next_back(), text[end..].chars().next()) {
            out.push_str(&text[done..at]);
            out.push_str(copy);
            done = end;
        }
    }
    out + &text[done..]
}

/// Where a private service is, and where what it may know is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// The folder of the rehearsal: everything in it is a copy.
    pub root: String,
    /// The service's own folder in it.
    pub folder: String,
    /// The port of its own, on the loopback address.
    pub port: u16,
    /// The port of the real one.
    pub real_port: Option<u16>,
    /// The ports of all private services.
    pub ports: Vec<u16>,
    /// What is moved.
    pub moves: Vec<Moved>,
}

impl Elsewhere {
    /// Makes the config that a private service reads, from the one that the real one would read.
    pub fn config(&self, file: &PrivateFile, text: &str) -> Result<String, PrivateError> {
        let wrong = |source| PrivateError::Edit { target: file.target.clone(), source };
        let mut edits = file.edits.clone();
        edits.set.iter_mut().for_each(|(_, value)| self.fill(value));
        let mut now = edits.of(text).map_err(wrong)?.text;
        let editor = file.edits.format.editor();
        for leaf in editor.leaves(&now).map_err(wrong)? {
            let moved = self.moved(&leaf.value);
            if moved != leaf.value {
                now = editor.set(&now, &leaf.key, &Wanted::Text(moved)).map_err(wrong)?;
            }
        }
        self.look_through(file, &now)?;
        Ok(now)
    }

    /// Looks whether a config names anything that is no copy.
    pub fn look_through(&self, file: &PrivateFile, text: &str) -> Result<(), PrivateError> {
        let editor = file.edits.format.editor();
        let leaves = editor.leaves(text);
        let leaves = leaves.map_err(|source| PrivateError::Edit { target: file.target.clone(), source })?;
        let kept = |leaf: &Leaf| file.keep.iter().any(|key| editor.overlap(key, &leaf.key));
        let astray = leaves.iter().filter(|leaf| !kept(leaf) && self.is_astray(&leaf.names, &leaf.value));
        let keys: Vec<String> = astray.map(|leaf| leaf.key.clone()).collect();
        match keys.is_empty() {
            true => Ok(()),
            false => Err(PrivateError::Astray { target: file.target.clone(), keys }),
        }
    }

    /// Makes the command line and the environment of a private service from those of the real one. The program stays.
    pub fn launch(
        &self,
        argv: &[String],
        env: &BTreeMap<String, String>,
    ) -> Result<(Vec<String>, BTreeMap<String, String>), PrivateError> {
        let (mut words, mut astray) = (Vec::new(), Vec::new());
        for (at, word) in argv.iter().enumerate() {
            if at == 0 {
                words.push(word.clone());
                continue;
            }
            let moved = self.with_port(&self.moved(word));
            let (name, value) = match moved.split_once('=') {
                Some((flag, value)) if flag.starts_with('-') => (flag, value),
                // A word is the value of the flag before it, if there is one.
                _ if is_bare_flag(&argv[at - 1]) && !is_bare_flag(&moved) => {
                    (argv[at - 1].as_str(), moved.as_str())
                }
                _ => ("", moved.as_str()),
            };
            if self.is_astray(&[name.trim_start_matches('-').to_owned()], value) {
                astray.push(word.clone());
            }
            words.push(moved);
        }
        let mut moved_env = BTreeMap::new();
        for (name, value) in env {
            let moved = self.with_port(&self.moved(value));
            if self.is_astray(std::slice::from_ref(name), &moved) {
                // Its value may be a secret.
                astray.push(format!("{name}=…"));
            }
            moved_env.insert(name.clone(), moved);
        }
        if astray.is_empty() { Ok((words, moved_env)) } else { Err(PrivateError::Word { words: astray }) }
    }

    fn moved(&self, text: &str) -> String {
        self.moves.iter().fold(text.to_owned(), |text, moved| moved.text(&text))
    }

    /// The port of its own for that of the real one, and the loopback address for all of them.
    fn with_port(&self, word: &str) -> String {
        let Some(real) = self.real_port else { return word.to_owned() };
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) => (format!("{flag}="), value),
            None => (String::new(), word),
        };
        let own = match value.rsplit_once(':') {
            None if value == real.to_string() => self.port.to_string(),
            Some((host, port)) if is_listening(host) && port == real.to_string() => {
                format!("127.0.0.1:{}", self.port)
            }
            _ => return word.to_owned(),
        };
        flag + &own
    }

    fn fill(&self, value: &mut Wanted) {
        match value {
            Wanted::Plain(text) | Wanted::Text(text) => {
                *text = text.replace(PORT, &self.port.to_string()).replace(FOLDER, &self.folder);
            }
            Wanted::List(items) => items.iter_mut().for_each(|item| self.fill(item)),
            Wanted::Map(entries) => entries.iter_mut().for_each(|(_, value)| self.fill(value)),
        }
    }

    /// Whether a value, standing under these names, could name a place outside of the rehearsal. In doubt it does.
    fn is_astray(&self, names: &[String], value: &str) -> bool {
        let value = value.trim();
        let name = names.last().map_or("", String::as_str).to_ascii_lowercase();
        // A name can be a place as well: `weights: {"db.example.org:5432": 1}`.
        if names.iter().any(|name| name.contains('/') || is_with_port(name)) {
            return true;
        }
        let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        if is_number {
            return name.ends_with("port") && !self.ports.iter().any(|port| port.to_string() == value);
        }
        let rest = self.without_copies(value);
        let rest = rest.trim();
        if rest.is_empty() || matches!(rest, "true" | "false" | "null" | "~" | "yes" | "no" | "on" | "off") {
            return false;
        }
        PLACES.iter().any(|place| name.ends_with(place)) && rest == value || names_a_place(rest)
    }

    /// What is left of a value without what it says of places in the rehearsal.
    fn without_copies(&self, value: &str) -> String {
        let mut places = vec![regex::escape(&self.root)];
        for port in &self.ports {
            places.extend(["127.0.0.1", "localhost"].map(|host| regex::escape(&format!("{host}:{port}"))));
        }
        for moved in &self.moves {
            if let Moved::Address { copy, .. } = moved
                && value == copy
            {
                return String::new();
            }
        }
        let text = format!(
            r"(?:[A-Za-z][A-Za-z0-9+.-]*:(?://)?)?(?:{})(?P<tail>[^\s,;:\x22'`?&#<>(){{}}\[\]|]*)",
            places.join("|")
        );
        // What cannot be understood stays, and is refused.
        let Ok(regex) = Regex::new(&text) else { return value.to_owned() };
        let (mut rest, mut done) = (String::new(), 0);
        for found in regex.captures_iter(value) {
            let Some(whole) = found.get(0) else { continue };
            let tail = found.name("tail").map_or("", |tail| tail.as_str());
            let begins = !value[..whole.start()].chars().next_back().is_some_and(is_of_a_name);
            let ends = tail.is_empty() || tail.starts_with('/') && !tail.split('/').any(|part| part == "..");
            if begins && ends {
                rest.push_str(&value[done..whole.start()]);
                done = whole.end();
            }
        }
        rest + &value[done..]
    }
}

/// How the names of keys end whose values are places.
const PLACES: &[&str] = &[
    "host",
    "hosts",
    "hostname",
    "hostnames",
    "server",
    "servers",
    "master",
    "primary",
    "replica",
    "replicas",
    "nodes",
    "brokers",
    "addr",
    "addrs",
    "address",
    "addresses",
    "endpoint",
    "endpoints",
    "url",
    "urls",
    "uri",
    "uris",
    "dsn",
    "path",
    "paths",
    "dir",
    "folder",
    "file",
    "socket",
    "connstring",
];
/// The words of an address of a database that is written as keywords and values (PostgreSQL's manual, section 34.1.1.1).
const KEYWORDS: [&str; 5] = ["host", "hostaddr", "service", "dbname", "port"];

/// Whether a text has the shape of a path, a URL, or an address with or without a port.
fn names_a_place(text: &str) -> bool {
    text.contains(['/', '\\', '@'])
        || text.contains("::")
        || is_with_port(text)
        || text.replace(" =", "=").split(|c: char| !(c.is_alphanumeric() || c == '=')).any(is_of_an_address)
        || text.to_ascii_lowercase().contains("localhost")
        || text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))).any(is_dotted)
}

/// `host=db`.
fn is_of_an_address(word: &str) -> bool {
    word.split_once('=')
        .is_some_and(|(name, _)| KEYWORDS.iter().any(|keyword| name.eq_ignore_ascii_case(keyword)))
}

/// `host:80`, `:80`.
fn is_with_port(text: &str) -> bool {
    text.match_indices(':').any(|(at, _)| text[at + 1..].starts_with(|c: char| c.is_ascii_digit()))
}

/// `db.example.org`, `db.sqlite`, `10.0.0.1`; but not `1.5`, and not `v0.7.27`.
fn is_dotted(word: &str) -> bool {
    let labels: Vec<&str> = word.trim_matches('.').split('.').collect();
    let numeric = |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit());
    match labels.as_slice() {
        [] | [_] => false,
        [.., last] if !numeric(last) => true,
        labels => labels.len() == 4 && labels.iter().all(|label| numeric(label)),
    }
}

/// `--port`, whose value is the next word.
fn is_bare_flag(word: &str) -> bool {
    word.starts_with('-') && !word.contains('=')
}

/// What a program listens on that says nothing about which address.
fn is_listening(host: &str) -> bool {
    matches!(host, "" | "0.0.0.0" | "127.0.0.1" | "localhost" | "[::]" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigFormat;

    fn elsewhere() -> Elsewhere {
        let path = |real: &str, copy: &str| Moved::Path { real: real.to_owned(), copy: copy.to_owned() };
        Elsewhere {
            root: "/state/rehearsal".to_owned(),
            folder: "/state/rehearsal/private/app".to_owned(),
            port: 12345,
            real_port: Some(4000),
            ports: vec![12345, 12346],
            moves: vec![
                path("/srv/app/db", "/state/rehearsal/copies/db"),
                path("/etc/app.yml", "/state/rehearsal/private/app/config.yml"),
                Moved::Url { real: "http://ci:4000".to_owned(), copy: "http://127.0.0.1:12345".to_owned() },
                Moved::Address {
                    real: "postgres://u@h/app".to_owned(),
                    copy: "postgres://u@h/switchback_1".to_owned(),
                },
            ],
        }
    }

    fn file(set: &[(&str, &str)], delete: &[&str], keep: &[&str]) -> PrivateFile {
        let owned = |list: &[&str]| list.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
        PrivateFile {
            target: "config".to_owned(),
            edits: Edits {
                format: ConfigFormat::Yaml,
                rename: Vec::new(),
                set: set.iter().map(|(k, v)| ((*k).to_owned(), Wanted::Text((*v).to_owned()))).collect(),
                delete: owned(delete),
            },
            keep: owned(keep),
        }
    }

    #[test]
    fn what_has_a_copy_is_moved_as_a_whole_and_in_no_other_place() {
        let elsewhere = elsewhere();
        let cases = [
            ("/srv/app/db", "/state/rehearsal/copies/db"),
            ("file:/srv/app/db?mode=rwc", "file:/state/rehearsal/copies/db?mode=rwc"),
            ("sqlite:///srv/app/db", "sqlite:///state/rehearsal/copies/db"),
            ("/srv/app/db-wal", "/srv/app/db-wal"),
            ("/srv/app/db/x", "/srv/app/db/x"),
            ("/mnt/srv/app/db", "/mnt/srv/app/db"),
            ("http://ci:4000/api?x=1", "http://127.0.0.1:12345/api?x=1"),
            ("http://ci:40001", "http://ci:40001"),
            ("http://ci:4000.example.org", "http://ci:4000.example.org"),
            ("postgres://u@h/app", "postgres://u@h/switchback_1"),
            ("postgres://u@h/apple", "postgres://u@h/apple"),
        ];
        // A path that ends with another is that of another file.
        for (text, wanted) in cases {
            let moved = elsewhere.moved(text);
            assert_eq!(moved, wanted);
        }
    }

    #[test]
    fn what_could_be_a_place_and_is_no_copy_is_astray() {
        let elsewhere = elsewhere();
        for place in [
            "/var/lib/app",
            "../data",
            "./bin",
            "http://ci:4001",
            "smtp.example.org",
            "10.0.0.7",
            "redis:6379",
            ":4000",
            "::1",
            "localhost",
            "user@host",
            r"C:\data",
            "/state/rehearsal/../../etc",
            "/state/rehearsal2/x",
            "/mnt/state/rehearsal/x",
            "/state/rehearsal/a:/etc/b",
            "file:/state/rehearsal/db?vfs=/etc/x",
            "127.0.0.1:4000",
            "127.0.0.1:123456",
            "http://127.0.0.1:12345@ci/",
            "s3://bucket",
            "app.sock",
            "host=dbserver dbname=app",
            "dbname = app user=app",
            "service=app",
        ] {
            assert!(elsewhere.is_astray(&["key".to_owned()], place), "{place}");
        }
        for (names, value) in [(["db", "hosts"], "dbserver"), (["weights", "10.0.0.5:6379"], "1")] {
            assert!(elsewhere.is_astray(&names.map(str::to_owned), value), "{names:?}");
        }
        for fine in [
            "",
            "true",
            "posix",
            "876000h",
            "1h30m",
            "v0.7.27",
            "1.5",
            "30",
            "made-up-key",
            "/state/rehearsal/copies/db",
            "file:/state/rehearsal/copies/db?mode=rwc",
            "sqlite:///state/rehearsal/copies/db",
            "http://127.0.0.1:12346/api",
            "127.0.0.1:12345",
            "postgres://u@h/switchback_1",
        ] {
            assert!(!elsewhere.is_astray(&["key".to_owned()], fine), "{fine}");
        }
        let named = |name: &str, value: &str| elsewhere.is_astray(&[name.to_owned()], value);
        assert!(named("db_host", "redis") && named("dataDir", "data") && named("metricsPort", "9100"));
        assert!(!named("port", "12345") && !named("useServer", "true") && !named("retries", "9100"));
        assert!(named("redis:6379", "x") && named("/srv", "x"));
    }

    #[test]
    fn a_config_keeps_its_bytes_but_for_what_is_moved_or_set() {
        let text = "# of app\napp:\n  db: '/srv/app/db'   # big\n  web: {listen: \":4000\"}\n  debug: true\nother: {url: http://x}\n";
        let def = file(&[("app.web.listen", "127.0.0.1:${private.port}")], &["other"], &[]);
        let made = elsewhere().config(&def, text).unwrap();
        assert_eq!(
            made,
            "# of app\napp:\n  db: '/state/rehearsal/copies/db'   # big\n  web: {listen: \"127.0.0.1:12345\"}\n  debug: true\n"
        );
        let astray = elsewhere().config(&file(&[], &["app.web"], &[]), text).unwrap_err();
        assert_eq!(astray.to_string(), "keep it from `other.url`: config names there what has no copy");
        elsewhere().config(&file(&[], &["app.web"], &["other"]), text).unwrap();
    }

    #[test]
    fn a_command_line_is_moved_with_its_port_and_its_strange_words_are_named() {
        let argv = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let none = BTreeMap::new();
        let launch = |text: &str| elsewhere().launch(&argv(text), &none).map(|(words, _)| words.join(" "));
        assert_eq!(
            launch("/opt/app serve --config /etc/app.yml --db=/srv/app/db --port 4000").unwrap(),
            "/opt/app serve --config /state/rehearsal/private/app/config.yml --db=/state/rehearsal/copies/db --port 12345"
        );
        assert_eq!(launch("/opt/app --listen=:4000").unwrap(), "/opt/app --listen=127.0.0.1:12345");
        let error = launch("/opt/app --data /var/lib/app --metrics-port 9100 --peer redis:6379").unwrap_err();
        assert_eq!(
            error.to_string(),
            "start it with `/var/lib/app`, `9100`, `redis:6379`: that names what has no copy"
        );
        let env = BTreeMap::from([
            ("PORT".to_owned(), "4000".to_owned()),
            ("DSN".to_owned(), "postgres://u:pw@h/app".to_owned()),
        ]);
        let error = elsewhere().launch(&argv("/opt/app"), &env).unwrap_err();
        assert_eq!(error.to_string(), "start it with `DSN=…`: that names what has no copy");
    }
}
