//! Which services of a plan can be run privately over its copies, and with what.

use super::RehearsalError;
use crate::run_dir::make_private;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use switchback_model::config::ConfigFormat;
use switchback_model::private::{Elsewhere, Moved, PrivateDef, PrivateFile};
use switchback_model::target::TargetDef;
use switchback_site::command::exists;
use switchback_site::http::Url;
use switchback_site::port;
use switchback_site::service::{Cage, Launch, PrivateRead, PrivateSpec, Privates, ServiceSpec};

/// A service that a rehearsal may run, as far as its playbook and its site file tell.
struct Candidate<'a> {
    name: &'a str,
    def: &'a PrivateDef,
    launch: Launch,
    port: u16,
    real_port: Option<u16>,
}

/// Says how each service of a plan is run privately, or why it is not. `folder` is that of the rehearsal.
pub(super) fn privates(
    real: &BTreeMap<String, TargetDef>,
    copies: &BTreeMap<String, TargetDef>,
    folder: &Path,
) -> Result<Privates, RehearsalError> {
    let mut privates = Privates::default();
    let mut candidates = Vec::new();
    let taken = numbers(real);
    for (name, def) in real {
        let TargetDef::Service { spec, rehearse, .. } = def else { continue };
        let looked = match rehearse {
            Some(rehearse) => candidate(name, rehearse, spec),
            None => Err(format!("{name} is not started over a copy: its playbook has no `rehearse:` for it")),
        };
        match looked {
            Ok(candidate) => {
                let port = port::free(&taken).map_err(RehearsalError::Port)?;
                candidates.push(Candidate { port, ..candidate });
            }
            Err(why) => drop(privates.left_out.insert(name.clone(), why)),
        }
    }
    let shared = shared_url(&candidates);
    candidates.retain(|candidate| {
        let shares = candidate.def.url.as_ref().is_some_and(|url| shared.contains(url));
        if shares {
            let why =
                format!("{} is not started over a copy: another service answers at its URL", candidate.name);
            privates.left_out.insert(candidate.name.to_owned(), why);
        }
        !shares
    });
    let moves = moves(real, copies, &candidates);
    let ports: Vec<u16> = candidates.iter().map(|candidate| candidate.port).collect();
    for candidate in candidates {
        let home = folder.join("private").join(candidate.name);
        make_private(&home).map_err(|source| RehearsalError::Io { path: home.clone(), source })?;
        let reads = reads(candidate.def, copies, &home);
        let own = reads.iter().filter_map(|read| {
            let real = real.get(&read.def.target)?.path()?.to_owned();
            Some(Moved::Path { real, copy: read.to.display().to_string() })
        });
        let elsewhere = Elsewhere {
            root: folder.display().to_string(),
            folder: home.display().to_string(),
            port: candidate.port,
            real_port: candidate.real_port,
            ports: ports.clone(),
            // Its own copy of a config is another than the one that the steps edit.
            moves: own.chain(moves.iter().cloned()).collect(),
        };
        let cage = Cage {
            home: home.clone(),
            folders: vec![folder.join("copies")],
            ports: ports.iter().copied().chain(server_ports(candidate.name, copies)).collect(),
        };
        match elsewhere.launch(&candidate.launch.argv, &candidate.launch.env) {
            Ok((argv, env)) => {
                let launch = Launch { argv, env, cwd: Some(home) };
                let stores = stores(candidate.name, copies);
                let spec = PrivateSpec { launch, reads, stores, elsewhere, cage };
                privates.specs.insert(candidate.name.to_owned(), spec);
            }
            Err(why) => privates.leave_out(candidate.name, left_out(candidate.name, &why.to_string())),
        }
    }
    Ok(privates)
}

/// The words for a service that cannot be kept within the rehearsal.
pub(super) fn left_out(name: &str, cannot: &str) -> String {
    format!("{name} is not started over a copy: cannot {cannot}")
}

fn candidate<'a>(name: &'a str, def: &'a PrivateDef, spec: &Value) -> Result<Candidate<'a>, String> {
    let not = |why: String| format!("{name} is not started over a copy: {why}");
    let launch = match serde_json::from_value(spec.clone()) {
        Ok(ServiceSpec::Process(spec)) => spec.new.ok_or_else(|| {
            not("the site file does not say how its new release is started (`new:`)".to_owned())
        })?,
        Ok(ServiceSpec::Command(spec)) => {
            let start = spec.start.join(" ");
            spec.rehearse.ok_or_else(|| {
                not(format!(
                    "`{start}` would act on the real one; give it `rehearse: {{argv: […]}}` with the new program in the site file"
                ))
            })?
        }
        Ok(ServiceSpec::None) => {
            return Err(not(
                "a person starts it; say `process:` or `command:` with `rehearse:` in the site file"
                    .to_owned(),
            ));
        }
        Err(error) => return Err(not(error.to_string())),
    };
    let program = launch.argv.first().cloned().unwrap_or_default();
    // The folder that it runs in is another one.
    let whole = match &launch.cwd {
        Some(cwd) if program.contains('/') => cwd.join(&program),
        _ => PathBuf::from(&program),
    };
    let whole = if program.contains('/') { std::path::absolute(&whole).unwrap_or(whole) } else { whole };
    if !exists(&whole.display().to_string()) {
        return Err(not(format!("there is no program `{program}`")));
    }
    let argv = [whole.display().to_string()].into_iter().chain(launch.argv.iter().skip(1).cloned()).collect();
    let real_port = match &def.url {
        Some(url) => {
            Some(port_of(url).ok_or_else(|| not(format!("it does not answer at a plain http URL ({url})")))?)
        }
        None => None,
    };
    Ok(Candidate { name, def, launch: Launch { argv, ..launch }, port: 0, real_port })
}

/// The port of a URL without encryption: with it, the name and the key of the real one would be asked for.
fn port_of(url: &str) -> Option<u16> {
    Url::parse(url).ok()?;
    let authority = url.strip_prefix("http://")?.split(['/', '?']).next()?;
    match authority.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => port.parse().ok(),
        _ => Some(80),
    }
}

fn shared_url(candidates: &[Candidate<'_>]) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let urls = candidates.iter().filter_map(|candidate| candidate.def.url.clone());
    urls.filter(|url| !seen.insert(url.clone())).collect()
}

fn moves(
    real: &BTreeMap<String, TargetDef>,
    copies: &BTreeMap<String, TargetDef>,
    candidates: &[Candidate<'_>],
) -> Vec<Moved> {
    let mut moves = Vec::new();
    for (name, def) in real {
        match (def, copies.get(name)) {
            (
                TargetDef::Postgres { url, read_only: false, .. },
                Some(TargetDef::Postgres { url: copy, .. }),
            ) => {
                moves.push(Moved::Address { real: url.clone(), copy: copy.clone() });
            }
            (def, Some(copy)) => {
                if let (Some(path), Some(copy)) = (def.path(), copy.path()) {
                    moves.push(Moved::Path { real: path.to_owned(), copy: copy.to_owned() });
                }
            }
            _ => {}
        }
    }
    let mut urls: Vec<(&String, u16)> =
        candidates.iter().filter_map(|one| Some((one.def.url.as_ref()?, one.port))).collect();
    // One that begins like another comes before it.
    urls.sort_by_key(|(url, _)| std::cmp::Reverse(url.len()));
    moves.extend(
        urls.into_iter().map(|(url, port)| Moved::Url { real: url.clone(), copy: private_url(url, port) }),
    );
    moves
}

/// The URL of a private service: its path stays.
fn private_url(url: &str, port: u16) -> String {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let path = rest.find('/').map_or("", |at| &rest[at..]);
    format!("http://127.0.0.1:{port}{path}")
}

fn reads(def: &PrivateDef, copies: &BTreeMap<String, TargetDef>, home: &Path) -> Vec<PrivateRead> {
    let read = |file: &PrivateFile| {
        let from = PathBuf::from(copies.get(&file.target)?.path()?);
        // A program may tell the format of a file from its name.
        let end = match file.edits.format {
            ConfigFormat::Yaml => "yml",
            ConfigFormat::Env => "env",
        };
        Some(PrivateRead { def: file.clone(), from, to: home.join(format!("{}.{end}", file.target)) })
    };
    def.reads.iter().filter_map(read).collect()
}

/// What a service stores in, and where the copies of that are.
fn stores(service: &str, copies: &BTreeMap<String, TargetDef>) -> Vec<(String, String)> {
    let Some(TargetDef::Service { stores, .. }) = copies.get(service) else { return Vec::new() };
    let place = |store: &String| match copies.get(store)? {
        TargetDef::Postgres { url, .. } => Some((store.clone(), url.clone())),
        other => Some((store.clone(), other.path()?.to_owned())),
    };
    stores.iter().filter_map(place).collect()
}

/// Every number in the targets that could be a port: a private service is given none of them, whether somebody listens there
/// now or not.
fn numbers(real: &BTreeMap<String, TargetDef>) -> BTreeSet<u16> {
    let text = serde_json::to_string(real).unwrap_or_default();
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

/// The ports of the servers on which the scratch databases of a service lie.
fn server_ports(service: &str, copies: &BTreeMap<String, TargetDef>) -> Vec<u16> {
    let Some(TargetDef::Service { stores, .. }) = copies.get(service) else { return Vec::new() };
    let written = stores.iter().filter_map(|store| match copies.get(store) {
        Some(TargetDef::Postgres { url, read_only: false, .. }) => Some(url),
        _ => None,
    });
    let databases = written.filter_map(|url| switchback_site::postgres::Database::parse(url).ok());
    databases.map(|database| database.address().port).collect()
}
