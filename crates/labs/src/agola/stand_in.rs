//! The application's one program, in any of its releases: it serves components and has commands of its own.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::build::{LabOptions, build};
use super::config::{Component, Config};
use super::faults::Fault;
use super::release::Release;
use super::site::write_site;
use super::switches::{Switches, trap};
use super::{new, old, plain, tool};

/// Why the program ends.
#[derive(Debug, thiserror::Error)]
pub enum StandInError {
    /// The command line is not understood, in the words of the application.
    #[error("{0}")]
    Usage(String),
    /// It does not start, or cannot go on, in the words of the application.
    #[error("{0}")]
    Fails(String),
    /// It fell over, in the words of its runtime.
    #[error("panic: {0}")]
    Panic(String),
}

impl StandInError {
    /// Returns the exit status: 1, or 2 where the real program falls over.
    pub fn code(&self) -> i32 {
        if matches!(self, StandInError::Panic(_)) { 2 } else { 1 }
    }
}

/// Runs the program from its command line (without its name) and returns the exit status. Says why on stderr.
///
/// `--release v0.7.1` and, where the lab has switches, `--lab FILE` come first; what follows is for the application:
/// `serve --config FILE --components runservice[,gateway]`, `version`, `--version`, and from 0.8 on `migrateexport` and
/// `migrate`. `build DIR [--split] [--runs N] [--old V] [--new V] [--fault NAME]…` builds an installation instead, and
/// says where its site file is.
pub fn stand_in_main(args: &[String]) -> i32 {
    let Err(error) = run(args) else { return 0 };
    // Whoever closed stderr does not want to know.
    let _ = writeln!(io::stderr(), "{error}");
    error.code()
}

fn run(args: &[String]) -> Result<(), StandInError> {
    let (mut release, mut lab, mut words) = (None, None, args);
    while let [flag, value, rest @ ..] = words {
        match flag.as_str() {
            "--release" => release = Some(Release::of(value)),
            "--lab" => lab = Some(PathBuf::from(value)),
            _ => break,
        }
        words = rest;
    }
    if let Some((word, rest)) = words.split_first()
        && word == "build"
    {
        return build_lab(rest);
    }
    let release = release.ok_or_else(|| StandInError::Usage("`--release` is missing".to_owned()))?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let lab = lab.as_deref();
    match words.as_slice() {
        ["serve", args @ ..] => serve(&release, lab, args),
        ["--version"] => say(&format!("agola version {}\n", release.text())),
        ["version"] => version(&release, lab),
        ["migrateexport", args @ ..] if release.is_new() && !Switches::of(lab, "tool").is_on("no_tool") => {
            tool::migrate_export(&release, lab, args)
        }
        ["migrate", args @ ..] if release.is_new() => tool::migrate_database(args),
        [] | ["--help"] => say("agola\n\nUsage:\n  agola [flags]\n  agola [command]\n"),
        [other, ..] => Err(StandInError::Usage(format!(
            "Error: unknown command \"{other}\" for \"agola\"\nRun 'agola --help' for usage."
        ))),
    }
}

/// Builds an installation with its site file, for whoever writes or tries a playbook.
fn build_lab(args: &[String]) -> Result<(), StandInError> {
    let usage = || StandInError::Usage("build DIR [--split] [--runs N] [--fault NAME]...".to_owned());
    let (dir, mut words) = args.split_first().ok_or_else(usage)?;
    let mut options = LabOptions::default();
    while let [flag, rest @ ..] = words {
        words = rest;
        if flag == "--split" {
            options.split = true;
            continue;
        }
        let (value, rest) = words.split_first().ok_or_else(usage)?;
        words = rest;
        match flag.as_str() {
            "--runs" => options.size.runs = value.parse().map_err(|_| usage())?,
            "--old" => value.clone_into(&mut options.old),
            "--new" => value.clone_into(&mut options.new),
            "--fault" => options.faults.push(Fault::named(value).ok_or_else(usage)?),
            _ => return Err(usage()),
        }
    }
    let fails = |error: io::Error| StandInError::Fails(error.to_string());
    let program = std::env::current_exe().map_err(fails)?;
    let lab = build(Path::new(dir), &program, &options).map_err(fails)?;
    say(&format!("{}\n", write_site(&lab, "").map_err(fails)?.display()))
}

/// The real program asks the gateway for its version first, and fails without it; here it does so where a switch says so,
/// and the address of the gateway is in the same file.
fn version(release: &Release, lab: Option<&Path>) -> Result<(), StandInError> {
    let switches = Switches::of(lab, "tool");
    if switches.is_armed(trap::VERSION_ASKS) {
        let url = switches.text("gateway").unwrap_or_default();
        let gateway = tool::gateway_version(&url).map_err(StandInError::Fails)?;
        say(&format!("Gateway version:\t{gateway}\n"))?;
    }
    say(&format!("Client version: \t{}\n", release.text()))
}

fn serve(release: &Release, lab: Option<&Path>, args: &[&str]) -> Result<(), StandInError> {
    let (mut config, mut components) = (PathBuf::from("./config.yml"), Vec::new());
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) => (flag, value),
            None => (*word, words.next().copied().unwrap_or_default()),
        };
        match flag {
            "--config" => config = PathBuf::from(value),
            "--components" | "--component" => {
                for name in value.split(',').filter(|name| !name.is_empty()) {
                    let component = Component::named(name);
                    components.push(
                        component
                            .ok_or_else(|| StandInError::Fails(format!("unknown component name: {name}")))?,
                    );
                }
            }
            other => return Err(StandInError::Usage(format!("Error: unknown flag: {other}"))),
        }
    }
    let fails = StandInError::Fails;
    if components.is_empty() {
        return Err(fails("no enabled components".to_owned()));
    }
    let config = Config::read(&config).map_err(fails)?;
    config.validate(release, &components).map_err(fails)?;
    let (ended, end) = std::sync::mpsc::channel();
    for component in components {
        let switches = Switches::of(lab, component.name());
        if switches.spring(trap::START_FAILS) {
            return Err(fails("it was told to fail".to_owned()));
        }
        std::thread::sleep(switches.time("start_ms", 0));
        let (config, release, ended) = (config.clone(), release.clone(), ended.clone());
        std::thread::spawn(move || {
            let why = match component {
                Component::Runservice | Component::Configstore if release.is_new() => {
                    new::serve(&config, component, &release, &switches)
                }
                Component::Runservice | Component::Configstore => old::serve(&config, component, &switches),
                _ => plain::serve(&config, component, &release),
            };
            // The first that ends, ends them all.
            let _ = ended.send(format!("{}: {why}", component.name()));
        });
    }
    Err(fails(end.recv().unwrap_or_default()))
}

/// Writes to stdout.
pub(super) fn say(text: &str) -> Result<(), StandInError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|it| StandInError::Fails(it.to_string()))
}
