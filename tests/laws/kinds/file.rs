//! `file`: another content, a new file, no file; behind a link; with a mode of its own.

use crate::bench::{Bench, Plan};
use crate::fixture::Fixture;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use switchback_model::target::TargetDef;
use switchback_steps::file::PutFile;

const OLD: &str = "port = 80\n# ours\n";
const NEW: &str = "port = 8080\n# ours\n";

pub fn replaced() -> Fixture {
    Fixture {
        halves: &[("a temporary file", a_temporary_file)],
        foreign_before: &[("another content", another_content), ("no file", no_file)],
        foreign_after: &[
            ("another content", another_content),
            ("no file", no_file),
            ("another mode", closed),
        ],
        ..Fixture::of::<PutFile>("file-replace", || bench(Some(NEW), |file| fs::write(file, OLD).unwrap()))
    }
}

pub fn new() -> Fixture {
    Fixture {
        halves: &[("a temporary file", a_temporary_file)],
        foreign_before: &[("another content", another_content)],
        foreign_after: &[("another content", another_content)],
        ..Fixture::of::<PutFile>("file-new", || bench(Some(NEW), |_| ()))
    }
}

pub fn absent() -> Fixture {
    Fixture {
        foreign_before: &[("another content", another_content)],
        foreign_after: &[("another content", another_content)],
        ..Fixture::of::<PutFile>("file-absent", || bench(None, |file| fs::write(file, OLD).unwrap()))
    }
}

pub fn symlink_to_it() -> Fixture {
    Fixture {
        foreign_before: &[("another content", another_content), ("the link leads elsewhere", elsewhere)],
        foreign_after: &[("another content", another_content), ("the link leads elsewhere", elsewhere)],
        ..Fixture::of::<PutFile>("file-symlink", || {
            bench(Some(NEW), |file| {
                fs::write(file.with_file_name("real.conf"), OLD).unwrap();
                symlink("real.conf", file).unwrap();
            })
        })
    }
}

pub fn mode() -> Fixture {
    Fixture {
        foreign_before: &[("another mode", opened)],
        foreign_after: &[("another mode", opened)],
        ..Fixture::of::<PutFile>("file-mode", || {
            bench(Some(NEW), |file| {
                fs::write(file, OLD).unwrap();
                fs::set_permissions(file, fs::Permissions::from_mode(0o640)).unwrap();
            })
        })
    }
}

fn bench(content: Option<&str>, lay: impl FnOnce(&Path)) -> Bench {
    let content = content.map(str::to_owned);
    Bench::new(|folder| {
        let file = folder.join("app.conf");
        lay(&file);
        let def = TargetDef::File { path: file.display().to_string() };
        Plan {
            targets: BTreeMap::from([("config".to_owned(), def)]),
            steps: vec![Box::new(PutFile { target: "config".into(), content })],
            ..Plan::default()
        }
    })
}

/// The name that a cut life leaves is found by making one.
fn a_temporary_file(bench: &Bench) {
    let digest = switchback_model::digest::Digest::of(b"app.conf").to_string();
    fs::write(bench.path(&format!(".switchback-{}.tmp", &digest[..24])), "port").unwrap();
}

fn another_content(bench: &Bench) {
    fs::write(bench.path("app.conf"), "port = 81\n").unwrap();
}

fn no_file(bench: &Bench) {
    fs::remove_file(bench.path("app.conf")).unwrap();
}

fn closed(bench: &Bench) {
    fs::set_permissions(bench.path("app.conf"), fs::Permissions::from_mode(0o400)).unwrap();
}

fn opened(bench: &Bench) {
    fs::set_permissions(bench.path("app.conf"), fs::Permissions::from_mode(0o666)).unwrap();
}

fn elsewhere(bench: &Bench) {
    fs::write(bench.path("other.conf"), NEW).unwrap();
    fs::remove_file(bench.path("app.conf")).unwrap();
    symlink("other.conf", bench.path("app.conf")).unwrap();
}
