//! A stand-in for the release's own commands and service: it makes tables, fails and lies as real ones do.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::time::Duration;

use postgres::{Client, Config, NoTls};

use super::schema::{full_name, quoted};
use super::v2;

/// Where a stand-in is told how to misbehave.
const BEHAVIOUR: &str = "UNSTRACT_LAB";

/// Why a stand-in did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StandInError {
    /// The command line is not understood.
    #[error("read the command line: {0}")]
    Usage(String),
    /// A setting is missing.
    #[error("read the setting {0}: it is not there")]
    Setting(&'static str),
    /// The file with the settings cannot be read.
    #[error("read {file}: {source}")]
    Env {
        /// The file.
        file: String,
        /// Why not.
        source: io::Error,
    },
    /// The database does not take it.
    #[error("work in the database: {0}")]
    Database(#[from] postgres::Error),
    /// The schema is not there, as with the real one.
    #[error("migrate: there is no schema {0}")]
    NoSchema(String),
    /// It was told to fail.
    #[error("migrate: it was told to fail")]
    ToldToFail,
}

/// Runs a stand-in from its command line (without the program's name) and returns the exit status: 0 done, 1 failed, 2 not
/// understood. Says why on stderr.
///
/// `[manage.py] migrate [--no-input]` makes the tables of 0.93 in the schema `$DB_SCHEMA`, which has to be there, of the
/// database that `DB_HOST`, `DB_PORT`, `DB_USER`, `DB_PASSWORD` and `DB_NAME` name, and plants the seeds. A second time it
/// only plants. `serve` plants and keeps a session until it is killed. `serve --old` keeps a session.
///
/// `--env FILE` before all that names a .env file for what the environment does not say.
///
/// `UNSTRACT_LAB` says how it misbehaves: `fail` ends in the middle with half of the tables, `lie` does nothing and says it
/// did, `thin` leaves a column out, `slow` takes two seconds before it begins.
pub fn stand_in_main(args: &[String]) -> i32 {
    let setting = |name: &str| std::env::var(name).ok();
    let outcome = stand_in(args, &setting);
    let Err(error) = outcome else { return 0 };
    // Whoever closed stderr does not want to know.
    let _ = writeln!(io::stderr(), "stand-in: cannot {error}");
    if matches!(error, StandInError::Usage(_)) { 2 } else { 1 }
}

/// Does what a command line says, as [`stand_in_main`], with settings from elsewhere than the environment.
pub fn stand_in(args: &[String], setting: &dyn Fn(&str) -> Option<String>) -> Result<(), StandInError> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let (file, words) = match words.as_slice() {
        ["--env", file, words @ ..] => (read_env(file)?, words),
        words => (BTreeMap::new(), words),
    };
    // As the application's own settings: what the environment says goes before the file.
    let setting = |name: &str| setting(name).or_else(|| file.get(name).cloned());
    match words.strip_prefix(&["manage.py"]).unwrap_or(words) {
        ["migrate"] | ["migrate", "--no-input"] => migrate(&setting),
        ["serve"] => serve(&setting, true),
        ["serve", "--old"] => serve(&setting, false),
        _ => Err(StandInError::Usage(format!("`{}` is not known", args.join(" ")))),
    }
}

/// Reads a .env file: `NAME=value`, with or without quotes and blanks; a `#` behind a blank begins a comment.
fn read_env(file: &str) -> Result<BTreeMap<String, String>, StandInError> {
    let text = std::fs::read_to_string(file)
        .map_err(|source| StandInError::Env { file: file.to_owned(), source })?;
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('=')).map(|(name, value)| {
        let value = value.trim();
        let quote = value.chars().next().filter(|c| ['"', '\''].contains(c));
        let value = match quote {
            Some(quote) => value[1..].split(quote).next().unwrap_or_default(),
            None => value.split(" #").next().unwrap_or_default().trim(),
        };
        (name.trim().to_owned(), value.to_owned())
    });
    Ok(pairs.collect())
}

fn migrate(setting: &dyn Fn(&str) -> Option<String>) -> Result<(), StandInError> {
    let behaviour = setting(BEHAVIOUR).unwrap_or_default();
    let schema = setting("DB_SCHEMA").ok_or(StandInError::Setting("DB_SCHEMA"))?;
    let mut client = connect(setting)?;
    match behaviour.as_str() {
        "lie" => return Ok(()),
        "slow" => std::thread::sleep(Duration::from_secs(2)),
        _ => {}
    }
    let there = client.query_opt("SELECT FROM pg_namespace WHERE nspname = $1", &[&schema])?;
    if there.is_none() {
        return Err(StandInError::NoSchema(schema));
    }
    let marks = full_name(&schema, "django_migrations");
    let made = client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&marks])?;
    if behaviour == "fail" {
        // Each migration is a transaction of its own: what came before the failure stays.
        client.batch_execute(&format!(
            "CREATE TABLE IF NOT EXISTS {marks} (id bigint, app text, name text, applied timestamptz)"
        ))?;
        return Err(StandInError::ToldToFail);
    }
    if !made.get::<_, bool>(0) {
        let mut transaction = client.transaction()?;
        v2::fill_schema(&mut transaction, &schema)?;
        transaction.commit()?;
    }
    if behaviour == "thin" {
        let table = full_name(&schema, "prompt_studio_output_manager");
        client.batch_execute(&format!("ALTER TABLE {table} DROP COLUMN challenge_data"))?;
    }
    v2::plant_seeds(&mut client, &schema)?;
    Ok(())
}

/// Keeps a session in the database, as everything does that writes there.
fn serve(setting: &dyn Fn(&str) -> Option<String>, new: bool) -> Result<(), StandInError> {
    let mut client = connect(setting)?;
    if new {
        let schema = setting("DB_SCHEMA").ok_or(StandInError::Setting("DB_SCHEMA"))?;
        client.batch_execute(&format!("SET search_path TO {}", quoted(&schema)))?;
        v2::plant_seeds(&mut client, &schema)?;
    }
    loop {
        std::thread::sleep(Duration::from_millis(200));
        client.batch_execute("SELECT 1")?;
    }
}

fn connect(setting: &dyn Fn(&str) -> Option<String>) -> Result<Client, StandInError> {
    let mut config = Config::new();
    config.host(&setting("DB_HOST").unwrap_or_else(|| "127.0.0.1".to_owned()));
    config.user(&setting("DB_USER").unwrap_or_else(|| "postgres".to_owned()));
    config.dbname(&setting("DB_NAME").ok_or(StandInError::Setting("DB_NAME"))?);
    if let Some(password) = setting("DB_PASSWORD") {
        config.password(password);
    }
    if let Some(port) = setting("DB_PORT").and_then(|port| port.parse().ok()) {
        config.port(port);
    }
    config.application_name("unstract");
    Ok(config.connect(NoTls)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_not_understood_is_refused() {
        for line in ["", "manage.py", "manage.py migrate_to_v2", "migrate --fake", "serve --new"] {
            let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            assert!(matches!(stand_in(&args, &|_| None), Err(StandInError::Usage(_))), "{line}");
        }
    }

    #[test]
    fn a_missing_setting_is_named() {
        let refused = stand_in(&["migrate".to_owned()], &|_| None).unwrap_err();
        assert_eq!(refused.to_string(), "read the setting DB_SCHEMA: it is not there");
    }
}
