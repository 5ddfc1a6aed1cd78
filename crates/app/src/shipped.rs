//! The playbooks inside the binary, and those of maintainers on disk.

use crate::complaint::{Complaint, exit, io_words};
use include_dir::{Dir, include_dir};
use std::path::Path;
use switchback_engine::{LoadedPlaybook, Registry};
use switchback_model::compile::Files;
use switchback_model::diagnostic::Source;
use switchback_model::suggest::closest;

static SHIPPED: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../playbooks");

/// The name of a playbook's own file in its folder.
const PLAYBOOK: &str = "playbook.yaml";
/// Files beside a playbook that it may name.
const BESIDE: [&str; 4] = ["sql", "jq", "yaml", "json"];

/// The names of the shipped playbooks. A folder that holds no playbook yet is none.
pub fn names() -> Vec<&'static str> {
    let holds_one = |dir: &&Dir<'_>| dir.get_file(dir.path().join(PLAYBOOK)).is_some();
    let mut names: Vec<_> = SHIPPED.dirs().filter(holds_one).filter_map(|dir| dir.path().to_str()).collect();
    names.sort_unstable();
    names
}

/// Loads a shipped playbook by its name, or one from disk by its path; a relative path is taken from `folder`.
pub fn load(name: &str, folder: &Path, registry: &Registry) -> Result<LoadedPlaybook, Complaint> {
    let (source, files) = match SHIPPED.get_dir(name).filter(|_| names().contains(&name)) {
        Some(dir) => shipped(name, dir)?,
        None => from_disk(name, folder)?,
    };
    let text = source.clone();
    LoadedPlaybook::load(source, files, registry)
        .map_err(|diagnostics| Complaint::diagnostics(exit::PLAYBOOK, &diagnostics, &text))
}

fn shipped(name: &str, dir: &Dir<'_>) -> Result<(Source, Files), Complaint> {
    let mut files = Files::new();
    let mut text = None;
    for file in dir.files() {
        let file_name = file.path().file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match (file_name, file.contents_utf8()) {
            (PLAYBOOK, Some(content)) => text = Some(content),
            (other, Some(content)) => drop(files.insert(other.to_owned(), content.to_owned())),
            (_, None) => {}
        }
    }
    match text {
        Some(text) => Ok((Source::new(format!("{name}/{PLAYBOOK}"), text), files)),
        None => {
            Err(Complaint::new(exit::BUG, "X001", format!("the shipped playbook {name} has no {PLAYBOOK}")))
        }
    }
}

fn from_disk(name: &str, folder: &Path) -> Result<(Source, Files), Complaint> {
    let mut path = folder.join(name);
    if path.is_dir() {
        path = path.join(PLAYBOOK);
    }
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Complaint::new(
            exit::USAGE,
            "U002",
            format!(
                "no shipped playbook is called `{name}`, and {} cannot be read: {}",
                path.display(),
                io_words(&error)
            ),
        )
        .help(match closest(name, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("shipped playbooks: {}; or name the file of one", names().join(", ")),
        })
    })?;
    let mut files = Files::new();
    let beside = path.parent().map(std::fs::read_dir).into_iter().flatten().flatten().flatten();
    for entry in beside {
        let (file, name) = (entry.path(), entry.file_name());
        let known = file.extension().and_then(|end| end.to_str()).is_some_and(|end| BESIDE.contains(&end));
        if !known || file == path {
            continue;
        }
        let content = std::fs::read_to_string(&file).map_err(|error| Complaint::io("read", &file, &error))?;
        files.insert(name.to_string_lossy().into_owned(), content);
    }
    Ok((Source::new(path.display().to_string(), text), files))
}
