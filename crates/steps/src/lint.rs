//! Traps that migration guides contain, found in a playbook that is valid.

use std::collections::BTreeSet;
use switchback_engine::playbook::{LoadedPlaybook, all_entries};
use switchback_model::diagnostic::{Diagnostic, Diagnostics, Span};
use switchback_model::phase::Phase;
use switchback_model::playbook::{StepEntry, Upgrade};
use switchback_model::tree::{Node, Value as Tree};

/// Programs that copy a file byte by byte: they miss what lies in a database's log.
const COPIERS: [&str; 5] = ["cp", "rsync", "scp", "tar", "install"];
/// Words that a secret goes by.
const SECRETS: [&str; 4] = ["password", "passwd", "secret", "token"];

/// Finds the traps.
pub fn lint(loaded: &LoadedPlaybook) -> Diagnostics {
    let mut out = Diagnostics::default();
    for upgrade in &loaded.playbook.upgrades {
        unproven(upgrade, &mut out);
        left_in_maintenance(upgrade, loaded, &mut out);
        left_stopped(upgrade, &mut out);
        for (_, entry) in &all_entries(upgrade) {
            step(entry, loaded, &mut out);
        }
    }
    shared_databases(loaded, &mut out);
    for (key, input) in loaded.playbook.inputs.iter() {
        let latest = |text: &Option<String>| text.as_deref().is_some_and(|text| text.contains("latest"));
        if latest(&input.default) || latest(&input.example) {
            out.push(
                warning("T001", "`latest` is another release tomorrow", key.span, "of this input")
                    .help("pin the release, and refuse one that is not pinned with a `require`"),
            );
        }
    }
    out
}

fn warning(code: &'static str, message: &str, span: Span, label: &str) -> Diagnostic {
    Diagnostic::warning(code, message).at(span, label)
}

fn step(entry: &StepEntry, loaded: &LoadedPlaybook, out: &mut Diagnostics) {
    match entry.kind.value.as_str() {
        "run" => command(entry, out),
        "sql" => script(entry, loaded, out),
        "alter" => no_proof_of_default(entry, out),
        _ => {}
    }
}

fn texts(node: &Node) -> Vec<(&str, Span)> {
    match &node.value {
        Tree::Scalar { text, .. } => vec![(text.as_str(), node.span)],
        Tree::List(items) => items.iter().flat_map(texts).collect(),
        Tree::Map(entries) => entries.iter().flat_map(|(_, value)| texts(value)).collect(),
        Tree::Null => Vec::new(),
    }
}

fn command(entry: &StepEntry, out: &mut Diagnostics) {
    let Some(argv) = entry.body.get("argv") else { return };
    let arguments = texts(argv);
    let program = arguments.first().map_or("", |(text, _)| text.rsplit('/').next().unwrap_or(text));
    if let Some((_, span)) = arguments.first().filter(|_| COPIERS.contains(&program)) {
        out.push(
            warning(
                "T002",
                "a copy of a live database file misses what lies in its log",
                *span,
                "copies bytes",
            )
            .help("use a `backup` step: it copies through the database and proves the copy"),
        );
    }
    if ["sh", "bash"].contains(&program) && arguments.iter().any(|(text, _)| *text == "-c") {
        out.push(
            warning("T003", "a shell takes values of inputs for program text", argv.span, "runs a shell")
                .help("give the program and its arguments as a list"),
        );
    }
    for (text, span) in &arguments {
        let lower = text.to_lowercase();
        if SECRETS.iter().any(|word| lower.contains(word)) && lower.contains("${") {
            out.push(
                warning(
                    "T004",
                    "every process of the machine can read an argument",
                    *span,
                    "looks like a secret",
                )
                .help("pass it by `env:`"),
            );
        }
        if lower.ends_with(":latest") || lower == "latest" {
            out.push(
                warning("T001", "`latest` is another release tomorrow", *span, "not pinned")
                    .help("name the exact release"),
            );
        }
    }
}

fn script(entry: &StepEntry, loaded: &LoadedPlaybook, out: &mut Diagnostics) {
    let inline = entry.body.get("text").and_then(|node| Some((node.as_text()?.to_owned(), node.span)));
    let file =
        entry.body.get("file").and_then(|node| Some((loaded.files.get(node.as_text()?)?.clone(), node.span)));
    let Some((text, span)) = inline.or(file) else { return };
    let upper = text.to_uppercase();
    if upper.contains("ADD COLUMN") && (upper.contains("DEFAULT CURRENT_") || upper.contains("DEFAULT (")) {
        out.push(
            warning(
                "T005",
                "ADD COLUMN with a default that is not constant works on an empty table only",
                span,
                "in this script",
            )
            .help("use an `alter` step: it rebuilds the table where it must"),
        );
    }
    if upper.contains("DROP TABLE") || upper.contains("RENAME TO") {
        out.push(
            warning(
                "T006",
                "a script that drops or renames tables loses indexes, triggers and children silently",
                span,
                "in this script",
            )
            .help("use an `alter` step: it keeps them, or refuses"),
        );
    }
}

fn no_proof_of_default(entry: &StepEntry, out: &mut Diagnostics) {
    for (text, span) in texts(&entry.body) {
        if text.eq_ignore_ascii_case("current_timestamp") {
            out.push(
                warning(
                    "T007",
                    "rows that exist get the time of the upgrade for a time of their own",
                    span,
                    "as a default",
                )
                .help("leave the column NULL for rows that exist, or fill it in a script"),
            );
        }
    }
}

fn unproven(upgrade: &Upgrade, out: &mut Diagnostics) {
    if !upgrade.change.is_empty() && upgrade.prove.is_empty() {
        let span = upgrade.change.first().map(|entry| entry.kind.span).unwrap_or_default();
        out.push(
            warning(
                "T008",
                "what is changed here is never proven before writers are let in",
                span,
                "begins the change",
            )
            .help("add a `prove:` that compares the result with the backup"),
        );
    }
    if !upgrade.thaw.is_empty() && upgrade.confirm.is_empty() {
        let span = upgrade.thaw.first().map(|entry| entry.kind.span).unwrap_or_default();
        out.push(
            warning("T009", "nobody looks whether the new release answers", span, "lets writers in")
                .help("add a `confirm:` that asks it for something that only the new release knows"),
        );
    }
}

fn names(entry: &StepEntry, key: Option<&str>) -> BTreeSet<String> {
    let node = match key {
        Some(key) => entry.body.get(key),
        None => Some(&entry.body),
    };
    node.map(texts).unwrap_or_default().into_iter().map(|(text, _)| text.to_owned()).collect()
}

/// A mode ends with the service that is in it where that is stopped in its old release, and only another target speaks to what
/// is started in its place: the old release comes back on the way back alone, and that leaves the mode.
fn left_in_maintenance(upgrade: &Upgrade, loaded: &LoadedPlaybook, out: &mut Diagnostics) {
    let mut on: Vec<(String, Span)> = Vec::new();
    let all = all_entries(upgrade);
    let switches = |entry: &StepEntry| entry.kind.value == "maintenance";
    for (at, (_, entry)) in all.iter().enumerate() {
        match entry.kind.value.as_str() {
            "maintenance" => {
                on.extend(names(entry, Some("enter")).into_iter().map(|name| (name, entry.kind.span)));
                let left = names(entry, Some("leave"));
                on.retain(|(name, _)| !left.contains(name));
            }
            "stop" => {
                let stopped = names(entry, None);
                let left = |name: &str, service: &str| {
                    let later = all[at..].iter().filter(|(_, later)| switches(later));
                    let mut left = later.flat_map(|(_, later)| names(later, Some("leave")));
                    left.any(|other| other != name && served_by(loaded, &other) == Some(service))
                };
                on.retain(|(name, _)| match served_by(loaded, name) {
                    Some(service) => !(stopped.contains(service) && left(name, service)),
                    None => true,
                });
            }
            _ => {}
        }
    }
    for (name, span) in on {
        out.push(
            warning(
                "T010",
                &format!("maintenance of `{name}` is entered and never left"),
                span,
                "entered here",
            )
            .help("add `- maintenance: {leave: …}` to `thaw:`"),
        );
    }
}

/// The service that answers at an endpoint.
fn served_by<'a>(loaded: &'a LoadedPlaybook, endpoint: &str) -> Option<&'a str> {
    let (_, target) = loaded.playbook.targets.iter().find(|(key, _)| key.text == endpoint)?;
    target.served_by.as_ref().map(|service| service.value.as_str())
}

fn left_stopped(upgrade: &Upgrade, out: &mut Diagnostics) {
    let of = |kind: &str, phases: &[Phase]| -> Vec<(String, Span)> {
        all_entries(upgrade)
            .iter()
            .filter(|(phase, entry)| entry.kind.value == kind && phases.contains(phase))
            .flat_map(|(_, entry)| names(entry, None).into_iter().map(|name| (name, entry.kind.span)))
            .collect()
    };
    let started: BTreeSet<String> = of("start", Phase::ALL).into_iter().map(|(name, _)| name).collect();
    for (name, span) in of("stop", &[Phase::Freeze]) {
        if !started.contains(&name) {
            out.push(
                warning(
                    "T011",
                    &format!("service `{name}` is stopped and never started"),
                    span,
                    "stopped here",
                )
                .help(format!("add `- start: {name}` to `thaw:`")),
            );
        }
    }
}

fn shared_databases(loaded: &LoadedPlaybook, out: &mut Diagnostics) {
    let mut seen: Vec<(String, String)> = Vec::new();
    for (key, target) in loaded.playbook.targets.iter() {
        let Some(path) = &target.sqlite else { continue };
        let path = path.as_str().to_owned();
        if let Some((other, _)) = seen.iter().find(|(_, known)| *known == path) {
            out.push(
                warning(
                    "T012",
                    &format!("`{}` and `{other}` are one database", key.text),
                    key.span,
                    "this one",
                )
                .help("give each component a database of its own, or name it once"),
            );
        }
        seen.push((key.text.clone(), path));
    }
}
