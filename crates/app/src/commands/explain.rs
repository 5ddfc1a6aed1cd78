//! `explain`: a playbook as the migration guide that a person would read.

use crate::complaint::{Complaint, exit};
use crate::output::Output;
use crate::shipped;
use serde_json::json;
use std::path::Path;
use switchback_engine::each;
use switchback_engine::playbook::{LoadedPlaybook, UPGRADE, entries};
use switchback_engine::registry::Registry;
use switchback_model::compile::Compile;
use switchback_model::phase::Phase;
use switchback_model::playbook::{StepEntry, Upgrade};
use switchback_model::site_file;

/// Prints the guide, as Markdown.
pub fn run(playbook: &str, output: &Output) -> Result<u8, Complaint> {
    let registry = switchback_steps::registry();
    let loaded = shipped::load(playbook, Path::new("."), &registry)?;
    let text = guide(&loaded, &registry);
    if output.json {
        output.value(&json!({ "playbook": loaded.playbook.playbook.value, "guide": text }));
    } else {
        output.data(&text);
    }
    Ok(exit::DONE)
}

fn guide(loaded: &LoadedPlaybook, registry: &Registry) -> String {
    let playbook = &loaded.playbook;
    let mut text = format!("# Upgrading {}\n", playbook.playbook.value);
    if let Some(title) = &playbook.title {
        text.push_str(&format!("\n{title}\n"));
    }
    text.push_str("\n## What you have to say\n\n");
    for (key, input) in playbook.inputs.iter() {
        let help = input.help.as_deref().unwrap_or_default();
        let default = input.default.as_ref().map(|value| format!(" (default {value})")).unwrap_or_default();
        text.push_str(&format!("- `{}`: {help}{default}\n", key.text));
    }
    if !playbook.losses.is_empty() {
        text.push_str("\n## What is given up\n\n");
        for loss in &playbook.losses {
            let measured = match &loss.unmeasured {
                Some(why) => format!("cannot be measured: {why}"),
                None => "the plan names each one; accepted by name".to_owned(),
            };
            text.push_str(&format!("- {} (`{}`): {measured}\n", loss.says, loss.id.value));
        }
    }
    for upgrade in &playbook.upgrades {
        edge(&mut text, loaded, upgrade, registry);
    }
    text
}

fn edge(text: &mut String, loaded: &LoadedPlaybook, upgrade: &Upgrade, registry: &Registry) {
    text.push_str(&format!("\n## From {} to {}\n", upgrade.from.value, upgrade.to.value));
    let samples = site_file::samples(&loaded.playbook);
    let mut cx = loaded.compile_targets(&samples);
    let mut phase: Option<Phase> = None;
    cx.items.insert(UPGRADE.to_owned(), upgrade.item());
    for (at, entry) in entries(upgrade) {
        if phase != Some(at) {
            phase = Some(at);
            text.push_str(&format!("\n### {}\n\n", heading(at)));
        }
        steps(text, entry, "", &mut cx, registry);
    }
    if !upgrade.notes.is_empty() {
        text.push_str("\n### For those who use its interfaces\n\n");
        for note in &upgrade.notes {
            text.push_str(&format!("- {note}\n"));
        }
    }
}

/// A line for each step; the steps of a loop stand below it, once, for a thing that stands for all.
fn steps(text: &mut String, entry: &StepEntry, indent: &str, cx: &mut Compile<'_>, registry: &Registry) {
    let Some(body) = each::is_each(entry).then(|| each::read(entry, cx)).flatten() else {
        for step in registry.compile(entry, cx).unwrap_or_default() {
            let says = capital(&entry.says.clone().unwrap_or_else(|| step.describe()));
            text.push_str(&format!("{indent}1. {says}{}\n", reason(entry)));
        }
        return;
    };
    let place = match (&body.r#in, &body.of) {
        (Some(place), _) => format!(" of {}", place.value),
        (None, Some(list)) => format!(" of {list}"),
        (None, None) => String::new(),
    };
    let says = entry.says.as_deref().map(capital).unwrap_or(format!("For each {}{place}", body.r#as.value));
    text.push_str(&format!("{indent}1. {says}{}:\n", reason(entry)));
    let deeper = format!("{indent}   ");
    each::with_sample(&body, cx, &mut |entry, cx| steps(text, entry, &deeper, cx, registry));
}

fn heading(phase: Phase) -> &'static str {
    match phase {
        Phase::Prepare => "Before anything is touched",
        Phase::Freeze => "Writers out: the downtime begins",
        Phase::Change => "The change (a backup of every database it touches is made and proven first)",
        Phase::Prove => "The proof, with writers still out",
        Phase::Thaw => "Writers in: the downtime ends, and the way back from here loses what they write",
        Phase::Confirm => "A look from outside",
    }
}

fn reason(entry: &StepEntry) -> String {
    entry.why.as_ref().map(|why| format!(" — {why}")).unwrap_or_default()
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
