//! `edit`: keys of an environment file and of a YAML file; behind a link, with a mode of its own.

use crate::bench::{Bench, Plan};
use crate::fixture::Fixture;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use switchback_model::config::{ConfigFormat, Edits, Wanted};
use switchback_model::secret::{Sealed, SealedPart, SecretPlace, SecretRef};
use switchback_model::target::TargetDef;
use switchback_steps::edit::Edit;

const ENV: &str = "# database\nexport DB_NAME='old'  # ours\nOLD_HOST=h\nGONE=1\nKEY=\"k\"\n";
const ENV_NEW: &str = "# database\nexport DB_NAME='new'  # ours\nDB_HOST=h\nKEY=\"k\"\nDB_SCHEMA=shared\n";
const YAML: &str = "store: # one\n  etcd: {endpoints: x}\n  web:\n    port: 80\nold: |\n  a\n  b\n# end\n";

pub fn env() -> Fixture {
    Fixture {
        halves: &[
            ("a temporary file", a_temporary_file),
            ("written in place, a few bytes", |bench| in_place(bench, 20)),
            ("written in place, but not cut off", |bench| in_place(bench, ENV_NEW.len() - 1)),
        ],
        foreign_before: &[
            ("another value", another_value),
            ("all that was wanted, and more", wanted_and_more),
            ("no file", no_file),
            ("another mode", opened),
        ],
        foreign_after: &[
            ("another value", another_value),
            ("all that was wanted, and more", wanted_and_more),
            ("no file", no_file),
            ("another mode", opened),
        ],
        ..Fixture::of::<Edit>("edit-env", || bench(env_edits(), |file| fs::write(file, ENV).unwrap()))
    }
}

pub fn yaml() -> Fixture {
    Fixture {
        halves: &[("a temporary file", a_temporary_file)],
        foreign_before: &[("no YAML", |bench| fs::write(bench.path("app.conf"), "a: [\n").unwrap())],
        foreign_after: &[("another value", another_value), ("no file", no_file)],
        ..Fixture::of::<Edit>("edit-yaml", || {
            bench(yaml_edits(), |file| {
                fs::write(file, YAML).unwrap();
                fs::set_permissions(file, fs::Permissions::from_mode(0o640)).unwrap();
            })
        })
    }
}

pub fn behind_a_link() -> Fixture {
    Fixture {
        foreign_before: &[("another value", another_value), ("the link leads elsewhere", elsewhere)],
        foreign_after: &[("another value", another_value), ("the link leads elsewhere", elsewhere)],
        ..Fixture::of::<Edit>("edit-symlink", || {
            bench(env_edits(), |file| {
                fs::write(file.with_file_name("real.conf"), ENV).unwrap();
                symlink("real.conf", file).unwrap();
            })
        })
    }
}

/// A value that lies in a file of its own, which the step in the plan only names.
pub fn with_a_secret() -> Fixture {
    Fixture {
        halves: &[("a temporary file", a_temporary_file)],
        foreign_before: &[("another value", another_value), ("no file", no_file)],
        foreign_after: &[("another value", another_value), ("no file", no_file), ("another mode", opened)],
        ..Fixture::of::<Edit>("edit-secret", || {
            Bench::new(|folder| {
                let (file, key) = (folder.join("app.conf"), folder.join("key"));
                fs::write(&file, ENV).unwrap();
                fs::write(&key, "O'Brien \"lab\"\n").unwrap();
                let lies = SecretPlace::File(key.display().to_string());
                let secret = SecretRef { secret: "key".into(), lies };
                let sealed = Sealed::of(vec![SealedPart::Text("v1:".into()), SealedPart::Secret(secret)]);
                let def = TargetDef::File { path: file.display().to_string() };
                let sealed = vec![("KEY".to_owned(), sealed)];
                Plan {
                    targets: BTreeMap::from([("config".to_owned(), def)]),
                    steps: vec![Box::new(Edit { target: "config".into(), edits: env_edits(), sealed })],
                    ..Plan::default()
                }
            })
        })
    }
}

fn env_edits() -> Edits {
    Edits {
        format: ConfigFormat::Env,
        rename: vec![("OLD_HOST".into(), "DB_HOST".into())],
        set: vec![
            ("DB_NAME".into(), Wanted::Text("new".into())),
            ("DB_SCHEMA".into(), Wanted::Text("shared".into())),
        ],
        delete: vec!["GONE".into()],
    }
}

fn yaml_edits() -> Edits {
    Edits {
        format: ConfigFormat::Yaml,
        rename: vec![("old".into(), "store.new".into())],
        set: vec![
            ("store.web.port".into(), Wanted::Plain("8080".into())),
            ("store.db".into(), Wanted::Map(vec![("type".into(), Wanted::Text("postgres".into()))])),
            ("list".into(), Wanted::List(vec![Wanted::Text("yes".into())])),
        ],
        delete: vec!["store.etcd".into()],
    }
}

fn bench(edits: Edits, lay: impl FnOnce(&Path)) -> Bench {
    Bench::new(|folder| {
        let file = folder.join("app.conf");
        lay(&file);
        let def = TargetDef::File { path: file.display().to_string() };
        Plan {
            targets: BTreeMap::from([("config".to_owned(), def)]),
            steps: vec![Box::new(Edit { target: "config".into(), edits, sealed: Vec::new() })],
            ..Plan::default()
        }
    })
}

fn a_temporary_file(bench: &Bench) {
    let digest = switchback_model::digest::Digest::of(b"app.conf").to_string();
    fs::write(bench.path(&format!(".switchback-{}.tmp", &digest[..24])), "port").unwrap();
}

/// A death in the middle of writing a file that cannot be renamed over: new bytes, and the old ones behind them.
fn in_place(bench: &Bench, written: usize) {
    let old = ENV.as_bytes().get(written..).unwrap_or_default();
    fs::write(bench.path("app.conf"), [&ENV_NEW.as_bytes()[..written], old].concat()).unwrap();
}

fn another_value(bench: &Bench) {
    fs::write(bench.path("app.conf"), "DB_NAME: mine\n").unwrap();
}

/// Looking at the wanted keys alone would take this for our work.
fn wanted_and_more(bench: &Bench) {
    fs::write(bench.path("app.conf"), format!("{ENV_NEW}MINE=1\n")).unwrap();
}

fn no_file(bench: &Bench) {
    fs::remove_file(bench.path("app.conf")).unwrap();
}

fn opened(bench: &Bench) {
    fs::set_permissions(bench.path("app.conf"), fs::Permissions::from_mode(0o666)).unwrap();
}

fn elsewhere(bench: &Bench) {
    fs::write(bench.path("other.conf"), ENV_NEW).unwrap();
    fs::remove_file(bench.path("app.conf")).unwrap();
    symlink("other.conf", bench.path("app.conf")).unwrap();
}
