//! The commands of the new program: `migrateexport`, and `migrate`, which means something else and makes nothing.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use super::codec::{now, random_uuid};
use super::config::{Component, Config};
use super::migrate::migrate;
use super::release::Release;
use super::stand_in::{StandInError, say};
use super::switches::{Switches, trap};

const USAGE: &str = "migrate from an old data format export to the new data format\n\nUsage:\n  agola migrateexport [flags]\n\nFlags:\n  \
    -h, --help                    help for migrateexport\n      --in string               input file path (default \"-\")\n      \
    --out string              output file path (default \"-\")\n      --service string          service name (runservice or configstore)\n      \
    --source-version string   export source version (v0.7.x or 248a9e0ad) (default \"v0.7.x\")\n";

fn fails(text: impl Into<String>) -> StandInError {
    StandInError::Fails(text.into())
}

/// Writes a line of the log, which goes to stderr.
fn log(level: &str, place: &str, text: &str) {
    let _ = writeln!(io::stderr(), "{} {level} {place} > {text}", now());
}

/// Migrates one export. Nothing is written before the very end; what the database on the way held stays behind.
pub(super) fn migrate_export(
    release: &Release,
    lab: Option<&Path>,
    args: &[&str],
) -> Result<(), StandInError> {
    let (mut service, mut source) = (String::new(), "v0.7.x".to_owned());
    let (mut input, mut output) = ("-".to_owned(), "-".to_owned());
    let mut words = args.iter();
    while let Some(word) = words.next() {
        if matches!(*word, "-h" | "--help") {
            return say(USAGE);
        }
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) => (flag, value),
            None => (*word, words.next().copied().unwrap_or_default()),
        };
        match flag {
            "--service" => value.clone_into(&mut service),
            "--source-version" => value.clone_into(&mut source),
            "--in" => value.clone_into(&mut input),
            "--out" => value.clone_into(&mut output),
            other => return Err(StandInError::Usage(format!("Error: unknown flag: {other}\n{USAGE}"))),
        }
    }
    let component = Component::named(&service)
        .filter(|component| matches!(component, Component::Runservice | Component::Configstore))
        .ok_or_else(|| fails("service option must be runservice or configstore"))?;
    if source != "v0.7.x" {
        return Err(fails(format!("this stand-in of {} has no source version {source}", release.text())));
    }
    let to_fails = |error: io::Error| fails(error.to_string());
    let mut bytes = Vec::new();
    match input.as_str() {
        "-" => io::stdin().lock().read_to_end(&mut bytes).map_err(to_fails)?,
        file => File::open(file).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(to_fails)?,
    };
    // As a shell's redirect: the file is there, and empty, before anything is known.
    let mut out: Box<dyn io::Write> = match output.as_str() {
        "-" => Box::new(io::stdout().lock()),
        file => Box::new(File::create(file).map_err(to_fails)?),
    };
    let switches = Switches::of(lab, "tool");
    if switches.spring(trap::TOOL_NOTHING) {
        return Ok(());
    }
    log("INF", "migrateexport.go:89", &format!("migrating export of service {service}"));
    let scratch = scratch_folder().map_err(to_fails)?;
    let migrated = migrate(component, bytes.as_slice())?;
    if component == Component::Configstore {
        log("INF", "manager/migrate.go:49", "doing db migration from version 1 to version 2");
    }
    for warning in &migrated.warnings {
        log("WRN", "v0.7.x/runservice.go:141", warning);
    }
    let mut lines = migrated.lines;
    if switches.spring(trap::TOOL_LOSES) {
        lines.pop();
    }
    leave_behind(&scratch, &lines).map_err(|error| fails(error.to_string()))?;
    for line in lines {
        out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).map_err(to_fails)?;
    }
    out.flush().map_err(to_fails)
}

fn scratch_folder() -> io::Result<PathBuf> {
    let name: String = random_uuid()?.bytes().filter(u8::is_ascii_digit).map(char::from).collect();
    let folder = std::env::temp_dir().join(format!("agolamigration{name}"));
    std::fs::create_dir(&folder)?;
    Ok(folder)
}

/// The database that the tool worked in, with every token and key in clear, which it never removes.
fn leave_behind(folder: &Path, lines: &[String]) -> rusqlite::Result<()> {
    let mut db = rusqlite::Connection::open(folder.join("db"))?;
    db.pragma_update(None, "synchronous", "off")?;
    let filled = db.transaction()?;
    filled.execute_batch("CREATE TABLE data (json text)")?;
    let mut insert = filled.prepare("INSERT INTO data VALUES (?1)")?;
    for line in lines {
        insert.execute([line])?;
    }
    drop(insert);
    filled.commit()
}

/// What `migrate` is in every release: "migrate component database to latest version". It does not look at stdin.
pub(super) fn migrate_database(args: &[&str]) -> Result<(), StandInError> {
    let mut words = args.iter();
    let mut config = "./config.yml".to_owned();
    while let Some(word) = words.next() {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) => (flag, value),
            None if matches!(*word, "-h" | "--help") => {
                return say(
                    "migrate component database to latest version\n\nUsage:\n  agola migrate [flags]\n",
                );
            }
            None => (*word, words.next().copied().unwrap_or_default()),
        };
        match flag {
            "--config" => value.clone_into(&mut config),
            "--service" => {}
            other => return Err(StandInError::Usage(format!("Error: unknown flag: {other}"))),
        }
    }
    Config::read(Path::new(&config)).map_err(fails)?;
    log("INF", "migrate.go:52", "db already at latest version");
    Ok(())
}

/// Asks the gateway for its version.
pub(super) fn gateway_version(url: &str) -> Result<String, String> {
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let refused = |error: io::Error| format!("Get \"{url}/api/v1alpha/version\": {error}");
    let mut stream = TcpStream::connect(address).map_err(refused)?;
    write!(stream, "GET /api/v1alpha/version HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
        .map_err(refused)?;
    let answer = io::read_to_string(stream).map_err(refused)?;
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    let version: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    Ok(version["version"].as_str().unwrap_or_default().to_owned())
}
