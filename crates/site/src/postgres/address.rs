//! Where a database is: a URL, a keyword string, a service file and the usual environment, in libpq's order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

use super::passfile;
use super::protection::{Protection, Trust};

/// Why an address cannot be understood. Nothing was contacted.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// The text has no such shape.
    #[error("understand the address of the database: {why}; write postgres://user@host:5432/name")]
    Shape {
        /// What is wrong with it.
        why: String,
    },
    /// A setting that nobody here knows.
    #[error("understand `{key}` in the address of the database; known are {}", KEYS.join(", "))]
    Key {
        /// The setting.
        key: String,
    },
    /// A setting has a value that it cannot have.
    #[error("use {key}={value} for the database: {why}")]
    Value {
        /// The setting.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The text holds a password, and would carry it into plans, journals and logs.
    #[error(
        "use an address with a password in it: it would be written into plans and logs; put the password into ~/.pgpass (mode 0600) or PGPASSWORD"
    )]
    Password,
    /// The service is in none of the files.
    #[error("find the service `{name}`: looked in {}", .places.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "))]
    Service {
        /// The service.
        name: String,
        /// Where it was looked for.
        places: Vec<PathBuf>,
    },
    /// A file with settings cannot be read.
    #[error("read {}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// The settings that are read, by libpq's names, and the variable that stands in for each.
const SETTINGS: [(&str, &str); 16] = [
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("user", "PGUSER"),
    ("dbname", "PGDATABASE"),
    ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"),
    ("service", "PGSERVICE"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcrl", "PGSSLCRL"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("options", "PGOPTIONS"),
];
/// Settings of libpq that change nothing for us: ours are set by each session.
const PASSED_OVER: [&str; 9] = [
    "application_name",
    "fallback_application_name",
    "client_encoding",
    "gssencmode",
    "krbsrvname",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
];
const KEYS: [&str; 15] = [
    "host",
    "hostaddr",
    "port",
    "user",
    "dbname",
    "passfile",
    "service",
    "sslmode",
    "sslrootcert",
    "sslcrl",
    "sslcert",
    "sslkey",
    "channel_binding",
    "connect_timeout",
    "options",
];

/// What an address is read in: the variables, the home folder and the name of whoever runs us.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Environment variables.
    pub variables: BTreeMap<String, String>,
    /// The home folder.
    pub home: Option<PathBuf>,
    /// The system user, who is also the default user of the database.
    pub user: Option<String>,
}

impl Surroundings {
    /// Looks at this process.
    pub fn of_process() -> Surroundings {
        let names = SETTINGS.iter().map(|(_, variable)| *variable).chain(["PGSERVICEFILE", "PGSYSCONFDIR"]);
        let variables = names.filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?))).collect();
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let uid = rustix::process::geteuid().as_raw().to_string();
        let user = users.lines().find(|line| line.split(':').nth(2) == Some(&uid));
        let user = user.and_then(|line| line.split(':').next()).map(str::to_owned);
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        Surroundings { variables, home, user: user.or_else(|| std::env::var("USER").ok()) }
    }

    fn variable(&self, name: &str) -> Option<&String> {
        self.variables.get(name).filter(|value| !value.is_empty())
    }
}

/// An address with everything resolved. What it prints never contains a password.
#[derive(Clone)]
pub struct Address {
    /// A name or a number, or the folder of a socket when it begins with `/`.
    pub host: String,
    /// The number to connect to instead of looking the host up.
    pub hostaddr: Option<String>,
    /// The port.
    pub port: u16,
    /// Who we are there.
    pub user: String,
    /// The database.
    pub dbname: String,
    /// The password, if one is known.
    pub(super) password: Option<String>,
    /// A password file that was passed over because others can read it.
    pub exposed: Option<PathBuf>,
    /// How the connection is protected.
    pub protection: Protection,
    /// The authorities to trust; `None` for those of the machine, and where nothing is verified.
    pub root_cert: Option<PathBuf>,
    /// The certificates that were taken back.
    pub revoked: Option<PathBuf>,
    /// Our own certificate and its key.
    pub client_cert: Option<(PathBuf, PathBuf)>,
    /// Whether the handshake must be bound to the TLS channel: `require`, `prefer` or `disable`.
    pub channel_binding: Option<String>,
    /// How long to wait for the server, in seconds.
    pub connect_timeout: Option<u64>,
    /// Options for the server process.
    pub options: Option<String>,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Address({}@{}:{}/{}, {:?})", self.user, self.host, self.port, self.dbname, self.protection)
    }
}

impl Address {
    /// Reads `text`, a URL or a keyword string; what it leaves open is taken from its service, then from the variables,
    /// then from libpq's defaults.
    pub fn parse(text: &str, around: &Surroundings) -> Result<Address, AddressError> {
        let mut settings = match text.strip_prefix("postgres://").or(text.strip_prefix("postgresql://")) {
            Some(rest) => url(rest)?,
            None => keywords(text)?,
        };
        if settings.contains_key("password") {
            return Err(AddressError::Password);
        }
        if let Some(name) = settings.get("service").or(around.variable("PGSERVICE")).cloned() {
            for (key, value) in service(&name, around)? {
                settings.entry(key).or_insert(value);
            }
        }
        for (key, variable) in SETTINGS {
            if let Some(value) = around.variable(variable) {
                settings.entry(key.to_owned()).or_insert_with(|| value.clone());
            }
        }
        Address::resolve(settings, around)
    }

    fn resolve(
        mut settings: BTreeMap<String, String>,
        around: &Surroundings,
    ) -> Result<Address, AddressError> {
        settings.retain(|_, value| !value.is_empty());
        let mut take = |key: &str| settings.remove(key);
        let port = number("port", take("port"))?.unwrap_or(5432);
        let hostaddr = take("hostaddr");
        let host = take("host").or_else(|| hostaddr.clone()).unwrap_or_else(|| default_host(port));
        let several = [Some(&host), hostaddr.as_ref()].into_iter().flatten().find(|host| host.contains(','));
        if let Some(value) = several {
            let why = "one server holds the data; name that one";
            return Err(AddressError::Value { key: "host", value: value.clone(), why });
        }
        let user = take("user").or_else(|| around.user.clone()).unwrap_or_else(|| "postgres".to_owned());
        let dbname = take("dbname").unwrap_or_else(|| user.clone());
        let trust = Trust::resolve(&mut take, around.home.as_deref())?;
        let passfile = take("passfile").map(PathBuf::from);
        let (mut password, mut exposed) = (take("password"), None);
        if password.is_none()
            && let Some(path) = passfile.or_else(|| Some(around.home.as_ref()?.join(".pgpass")))
        {
            match passfile::look_up(&path, &host, port, &dbname, &user) {
                passfile::Found::Password(found) => password = Some(found),
                passfile::Found::Exposed => exposed = Some(path),
                passfile::Found::Nothing => {}
            }
        }
        Ok(Address {
            hostaddr,
            port,
            password,
            exposed,
            protection: trust.protection,
            root_cert: trust.root_cert,
            revoked: trust.revoked,
            client_cert: trust.client_cert,
            channel_binding: trust.channel_binding,
            connect_timeout: number("connect_timeout", take("connect_timeout"))?,
            options: take("options"),
            host,
            user,
            dbname,
        })
    }

    /// Names the place for people.
    pub fn place(&self) -> String {
        format!("{}:{}/{}", self.host, self.port, self.dbname)
    }
}

fn number<T: std::str::FromStr>(key: &'static str, text: Option<String>) -> Result<Option<T>, AddressError> {
    // What is no number is not repeated: it may be the beginning of a password with a slash in it.
    let read = |text: String| {
        text.trim().parse().map_err(|_| AddressError::Shape { why: format!("its {key} is not a number") })
    };
    text.map(read).transpose()
}

/// The folder of the local socket where there is one, as the packages of distributions have it.
fn default_host(port: u16) -> String {
    let folders = ["/var/run/postgresql", "/run/postgresql", "/tmp"];
    let found =
        folders.into_iter().find(|folder| Path::new(folder).join(format!(".s.PGSQL.{port}")).exists());
    found.unwrap_or("localhost").to_owned()
}

/// Takes a URL apart, after its scheme.
fn url(rest: &str) -> Result<BTreeMap<String, String>, AddressError> {
    let (before, query) = rest.split_once('?').map_or((rest, None), |(before, query)| (before, Some(query)));
    let (authority, path) = before.split_once('/').unwrap_or((before, ""));
    let (login, place) = authority.rsplit_once('@').map_or(("", authority), |(login, place)| (login, place));
    let mut settings = BTreeMap::new();
    let mut put = |key: &str, text: &str| {
        let text = percent_decode_str(text)
            .decode_utf8()
            .map_err(|_| AddressError::Shape { why: format!("{key} is not UTF-8") })?;
        if !text.is_empty() {
            settings.insert(key.to_owned(), text.into_owned());
        }
        Ok(())
    };
    match login.split_once(':') {
        Some((_, password)) if !password.is_empty() => return Err(AddressError::Password),
        Some((user, _)) => put("user", user)?,
        None => put("user", login)?,
    }
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':').unwrap_or(port)),
        None => place.split_once(':').unwrap_or((place, "")),
    };
    if path.contains('@') {
        let why = "an @ after the first slash is written %40".to_owned();
        return Err(AddressError::Shape { why });
    }
    put("host", host)?;
    put("port", port)?;
    put("dbname", path)?;
    for pair in query.into_iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty()) {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(AddressError::Shape { why: format!("`{}` has no value", known(pair)?) });
        };
        // JDBC's way of saying it, which libpq reads too.
        match (key, value) {
            ("ssl", "true") => put("sslmode", "require")?,
            _ => put(known(key)?, value)?,
        }
    }
    Ok(settings)
}

/// Takes a keyword string apart: `key = 'value'` pairs, with `\'` and `\\` inside quotes.
fn keywords(text: &str) -> Result<BTreeMap<String, String>, AddressError> {
    let shape = |why: &str| AddressError::Shape { why: why.to_owned() };
    let mut settings = BTreeMap::new();
    let mut rest = text.trim_start();
    if rest.is_empty() {
        return Err(shape("it is empty"));
    }
    while !rest.is_empty() {
        // What is no pair may be a password that slipped out of its quotes, so it is not repeated.
        let (key, value) =
            rest.split_once('=').ok_or_else(|| shape("it is neither a URL nor key=value pairs"))?;
        let key = known(key.trim())?;
        let mut letters = value.trim_start().chars();
        let mut found = String::new();
        let quoted = letters.as_str().starts_with('\'');
        if quoted {
            letters.next();
        }
        let mut closed = !quoted;
        while let Some(letter) = letters.next() {
            match letter {
                '\\' => found.extend(letters.next()),
                '\'' if quoted => {
                    closed = true;
                    break;
                }
                letter if !quoted && letter.is_whitespace() => break,
                letter => found.push(letter),
            }
        }
        if !closed {
            return Err(shape("a quoted value does not end"));
        }
        settings.insert(key.to_owned(), found);
        rest = letters.as_str().trim_start();
    }
    Ok(settings)
}

/// Refuses a setting that is not known; a mistyped `sslmode` must not go unseen.
fn known(key: &str) -> Result<&str, AddressError> {
    match key {
        "password" | "sslpassword" => Err(AddressError::Password),
        key if SETTINGS.iter().any(|(name, _)| *name == key) || PASSED_OVER.contains(&key) => Ok(key),
        // A name is short and plain; anything else may hold a secret.
        key if key.len() < 32 && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') => {
            Err(AddressError::Key { key: key.to_owned() })
        }
        _ => Err(AddressError::Shape { why: "it is neither a URL nor key=value pairs".to_owned() }),
    }
}

/// Finds a service: in the user's file first, then in the system's.
fn service(name: &str, around: &Surroundings) -> Result<BTreeMap<String, String>, AddressError> {
    let own = around
        .variable("PGSERVICEFILE")
        .map(PathBuf::from)
        .or_else(|| Some(around.home.as_ref()?.join(".pg_service.conf")));
    let system = match around.variable("PGSYSCONFDIR") {
        Some(folder) => vec![Path::new(folder).join("pg_service.conf")],
        None => ["/etc/postgresql-common", "/etc"].map(|at| Path::new(at).join("pg_service.conf")).to_vec(),
    };
    let places: Vec<PathBuf> = own.into_iter().chain(system).collect();
    for path in &places {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => return Err(AddressError::File { path: path.clone(), source }),
        };
        if let Some(settings) = section(&text, name)? {
            return Ok(settings);
        }
    }
    Err(AddressError::Service { name: name.to_owned(), places })
}

fn section(text: &str, name: &str) -> Result<Option<BTreeMap<String, String>>, AddressError> {
    let mut found: Option<BTreeMap<String, String>> = None;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(title) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            if found.is_some() {
                break;
            }
            found = (title == name).then(BTreeMap::new);
        } else if let Some(settings) = &mut found {
            let (key, value) = line.split_once('=').ok_or_else(|| AddressError::Shape {
                why: format!("the service `{name}` has a line without `=`"),
            })?;
            // A service file is a place for secrets; the text that names the service holds none.
            let key = if key.trim() == "password" { "password" } else { known(key.trim())? };
            settings.insert(key.to_owned(), value.trim().to_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn around(pairs: &[(&str, &str)]) -> Surroundings {
        let variables = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Surroundings { variables, home: None, user: Some("me".to_owned()) }
    }

    fn parse(text: &str) -> Address {
        Address::parse(text, &around(&[])).unwrap()
    }

    fn refusal(text: &str) -> String {
        Address::parse(text, &around(&[])).unwrap_err().to_string()
    }

    #[test]
    fn urls_and_keywords_say_the_same() {
        for text in [
            "postgres://al%40ice@db.example:6000/a%20b?sslmode=verify-full",
            "postgresql://al%40ice@db.example:6000/a%20b?sslmode=verify-full&application_name=x",
            r"host=db.example port = 6000 user=al@ice dbname='a b' sslmode=verify-full",
        ] {
            let found = parse(text);
            assert_eq!(
                (found.host.as_str(), found.port, found.user.as_str()),
                ("db.example", 6000, "al@ice")
            );
            assert_eq!((found.dbname.as_str(), found.protection), ("a b", Protection::VerifyFull));
            assert_eq!(found.place(), "db.example:6000/a b");
        }
        assert_eq!(parse("postgres://u@[::1]:7/d").host, "::1");
        assert_eq!(parse("postgres://u@%2Frun%2Fpg/d").host, "/run/pg");
        assert_eq!(parse(r"host=h dbname='it\'s \\'").dbname, r"it's \");
        assert_eq!(parse("postgres://h").dbname, "me");
    }

    #[test]
    fn a_password_in_the_address_is_refused_and_not_repeated() {
        for text in [
            "postgres://u:hunter2@h/d",
            "postgres://u@h/d?password=hunter2",
            "host=h password=hunter2",
            "host=h sslpassword='hunter2'",
            "postgres://u@h/d?hunter2",
            "postgres://u@h/d?Hunter2%=x",
            "hunter2 is no = address",
            "postgres://u:hunter2/x@h/d",
            "postgres://u:x/hunter2@h/d",
            "postgres://u:x?hunter2@h/d",
        ] {
            let said = refusal(text);
            assert!(!said.to_lowercase().contains("hunter2"), "{said}");
        }
        assert!(refusal("postgres://u:hunter2@h/d").contains("~/.pgpass"));
        // An empty one is none.
        assert_eq!(parse("postgres://u:@h/d").user, "u");
    }

    #[test]
    fn mistakes_are_named() {
        assert!(refusal("postgres://h/d?sslmod=require").contains("`sslmod`"));
        assert!(refusal("postgres://h/d?sslmode=required").contains("verify-full"));
        assert!(refusal("postgres://h:port/d").contains("port is not a number"));
        assert!(refusal("postgres://a,b/d").contains("one server"));
        assert!(refusal("host='h").contains("does not end"));
        assert!(refusal("").contains("empty"));
    }

    #[test]
    fn the_text_goes_before_the_service_and_the_service_before_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("services");
        std::fs::write(
            &file,
            "# ours\n[other]\nhost=wrong\n[app]\nhost=by-service\nport=1111\nuser=svc\npassword=secret\n[more]\nhost=x\n",
        )
        .unwrap();
        let file = file.display().to_string();
        let around = around(&[
            ("PGSERVICEFILE", file.as_str()),
            ("PGHOST", "by-env"),
            ("PGUSER", "env"),
            ("PGDATABASE", "env-db"),
            ("PGSSLMODE", "require"),
        ]);
        let found = Address::parse("service=app port=2222", &around).unwrap();
        assert_eq!((found.host.as_str(), found.port, found.user.as_str()), ("by-service", 2222, "svc"));
        assert_eq!((found.dbname.as_str(), found.protection), ("env-db", Protection::Require));
        assert_eq!(found.password.as_deref(), Some("secret"));
        assert!(!format!("{found:?}").contains("secret"));
        let missing = Address::parse("postgres:///?service=nope", &around).unwrap_err().to_string();
        assert!(missing.contains("`nope`") && missing.contains(&file), "{missing}");
    }

    #[test]
    fn a_password_comes_from_the_file_unless_others_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".pgpass");
        std::fs::write(&path, "h:5432:*:u:secret\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut around = around(&[]);
        around.home = Some(folder.path().to_owned());
        let read = |around: &Surroundings| Address::parse("postgres://u@h/d", around).unwrap();
        assert_eq!(read(&around).password.as_deref(), Some("secret"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!((read(&around).password, read(&around).exposed), (None, Some(path)));
        around.variables.insert("PGPASSWORD".into(), "env".into());
        assert_eq!(read(&around).password.as_deref(), Some("env"));
    }
}
