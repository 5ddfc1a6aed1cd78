//! A playbook with its files, read and checked.

use crate::artifacts::misplaced;
use crate::cover::{WrittenReadOnly, writers_in, written_read_only};
use crate::each;
use crate::registry::Registry;
use std::collections::{BTreeMap, BTreeSet};
use switchback_model::compile::{Compile, Files, InputValue};
use switchback_model::decode::{Decode, Decoder};
use switchback_model::diagnostic::{Diagnostic, Diagnostics, Source};
use switchback_model::digest::Digest;
use switchback_model::each::EachBody;
use switchback_model::phase::Phase;
use switchback_model::playbook::{PLAYBOOK_FORMAT, Playbook, StepEntry, Upgrade};
use switchback_model::{site_file, tree};

/// What the steps of an upgrade call it.
pub const UPGRADE: &str = "upgrade";

/// A playbook, its source text and the files beside it.
#[derive(Debug, Clone)]
pub struct LoadedPlaybook {
    /// The text, for diagnostics.
    pub source: Source,
    /// The playbook.
    pub playbook: Playbook,
    /// Its SQL and jq files by name.
    pub files: Files,
    /// Digest of everything.
    pub digest: Digest,
}

impl LoadedPlaybook {
    /// Reads a playbook, or says everything that is wrong with it, step bodies included: they are compiled with a sample
    /// value for each input, by the same code that compiles them for a site.
    pub fn load(source: Source, files: Files, registry: &Registry) -> Result<LoadedPlaybook, Diagnostics> {
        let mut out = Diagnostics::default();
        let Some(node) = tree::parse(&source, &mut out) else { return Err(out) };
        let mut decoder = Decoder::default();
        let playbook = Playbook::decode(&node, &mut decoder);
        out.extend(decoder.into_diagnostics());
        let Some(mut playbook) = playbook else { return Err(out) };
        playbook.unfold();
        if playbook.format.value != PLAYBOOK_FORMAT {
            out.push(
                Diagnostic::error("P030", format!("this playbook has format {}", playbook.format.value))
                    .at(playbook.format.span, format!("this build reads format {PLAYBOOK_FORMAT}"))
                    .help("write `format: 1`, or take a newer switchback"),
            );
            return Err(out);
        }
        let digest = Digest::of(b"");
        let mut loaded = LoadedPlaybook { source, playbook, files, digest };
        let (wrong, used) = loaded.check(registry);
        out.append(wrong);
        if out.has_errors() {
            return Err(out);
        }
        // A plan or a site file that lies beside the playbook is no part of it.
        loaded.files.retain(|name, _| used.contains(name));
        loaded.digest = self::digest(&loaded.source, &loaded.files);
        Ok(loaded)
    }

    /// Returns what is wrong, and the files that the playbook names.
    fn check(&self, registry: &Registry) -> (Diagnostics, BTreeSet<String>) {
        let samples = site_file::samples(&self.playbook);
        let mut cx = self.compile_targets(&samples);
        let inputs: Vec<String> = self.playbook.inputs.names().map(str::to_owned).collect();
        for (key, input) in self.playbook.inputs.iter() {
            match &input.instead_of {
                Some(of) if of.value == key.text || !inputs.contains(&of.value) => {
                    let others: Vec<String> =
                        inputs.iter().filter(|name| **name != key.text).cloned().collect();
                    cx.unknown("input", &of.value, of.span, &others);
                }
                _ => {}
            }
        }
        for evidence in &self.playbook.version.detect {
            let span = evidence.r#in.as_ref().map(|name| name.span);
            let span =
                span.or(evidence.means.iter().next().map(|(answer, _)| answer.span)).unwrap_or_default();
            let _ = cx.within(span, "of this evidence", |cx| crate::detect::compile(evidence, cx));
        }
        for loss in &self.playbook.losses {
            match (&loss.rows, &loss.unmeasured) {
                (Some(rows), None) => drop(cx.within(loss.id.span, "of this loss", |cx| cx.probe(rows))),
                (None, Some(_)) => {}
                _ => cx.out.push(
                    Diagnostic::error("P031", format!("loss `{}` must be measured, or say why not", loss.id.value))
                        .at(loss.id.span, "this one")
                        .help("give it one of `rows:` (a query that names each row) or `unmeasured:` (why it cannot be measured)"),
                ),
            }
        }
        for risk in &self.playbook.risks {
            if let Some(when) = &risk.when {
                let _ = cx.within(risk.id.span, "of this risk", |cx| cx.probe(when));
            }
        }
        for upgrade in &self.playbook.upgrades {
            let mut steps = Vec::new();
            cx.at_item(UPGRADE, upgrade.item(), |cx| {
                for (phase, entry) in entries(upgrade) {
                    visit(entry, cx, &mut |entry, cx| {
                        if let Some(when) = &entry.when {
                            let span = entry.kind.span;
                            let _ = cx.within(span, "when this step is needed", |cx| cx.probe(when));
                        }
                        for step in registry.compile(entry, cx).unwrap_or_default() {
                            steps.push((phase, step, entry.kind.span));
                        }
                    });
                }
            });
            // A step that did not compile may have been the one that makes it.
            let found = if cx.out.has_errors() {
                Vec::new()
            } else {
                misplaced(steps.iter().map(|(_, step, _)| step.as_ref()))
            };
            for found in found {
                let span = steps[found.step].2;
                cx.out
                    .push(Diagnostic::error("P046", found.message).at(span, "of this step").help(found.help));
            }
            let order = || steps.iter().map(|(phase, step, _)| (*phase, step.touches()));
            for found in written_read_only(order(), &cx.targets) {
                let (_, step, span) = &steps[found.step];
                cx.out.push(
                    Diagnostic::error("P041", found.message(step.kind()))
                        .at(*span, "changes it")
                        .help(WrittenReadOnly::help()),
                );
            }
            // A step that did not compile may have been the one that stops the service.
            let found = if cx.out.has_errors() { Vec::new() } else { writers_in(order(), &cx.targets) };
            for found in found {
                let (_, step, span) = &steps[found.step];
                cx.out.push(
                    Diagnostic::error("P040", found.message(step.kind()))
                        .at(*span, "changes what a writer still has")
                        .help(found.help()),
                );
            }
        }
        cx.out.unique();
        (cx.out, cx.used)
    }

    /// Starts compiling for these inputs.
    pub fn compile_targets<'a>(&'a self, inputs: &'a BTreeMap<String, InputValue>) -> Compile<'a> {
        let mut cx = Compile::new(inputs, &self.files);
        cx.targets(&self.playbook);
        cx
    }
}

/// What every phase of an upgrade says, in order of execution: steps, and loops of steps.
pub fn entries(upgrade: &Upgrade) -> impl Iterator<Item = (Phase, &StepEntry)> {
    let phases = [
        (Phase::Prepare, &upgrade.prepare),
        (Phase::Freeze, &upgrade.freeze),
        (Phase::Change, &upgrade.change),
        (Phase::Prove, &upgrade.prove),
        (Phase::Thaw, &upgrade.thaw),
        (Phase::Confirm, &upgrade.confirm),
    ];
    phases.into_iter().flat_map(|(phase, entries)| entries.iter().map(move |entry| (phase, entry)))
}

/// Does `part` for a step, and for a loop with every step inside it, at one thing that stands for all.
pub fn visit(entry: &StepEntry, cx: &mut Compile<'_>, part: &mut dyn FnMut(&StepEntry, &mut Compile<'_>)) {
    if !each::is_each(entry) {
        return part(entry, cx);
    }
    if let Some(when) = &entry.when {
        let _ = cx.within(entry.kind.span, "when this loop is needed", |cx| cx.probe(when));
    }
    let Some(body) = each::read(entry, cx) else { return };
    cx.within(entry.kind.span, "of this loop", |cx| {
        each::with_sample(&body, cx, &mut |entry, cx| visit(entry, cx, part));
    });
}

/// Every step of an upgrade with its phase, those inside of loops once.
pub fn all_entries(upgrade: &Upgrade) -> Vec<(Phase, StepEntry)> {
    fn flat(phase: Phase, entry: &StepEntry, all: &mut Vec<(Phase, StepEntry)>) {
        // A loop that cannot be read is found by `load`.
        let body = each::is_each(entry).then(|| EachBody::decode(&entry.body, &mut Decoder::default()));
        match body {
            Some(Some(body)) => body.r#do.iter().for_each(|inner| flat(phase, inner, all)),
            Some(None) => {}
            None => all.push((phase, entry.clone())),
        }
    }
    let mut all = Vec::new();
    entries(upgrade).for_each(|(phase, entry)| flat(phase, entry, &mut all));
    all
}

fn digest(source: &Source, files: &Files) -> Digest {
    // Length prefixes keep two files from being taken for one.
    let mut bytes = Vec::new();
    for (name, text) in
        files.iter().map(|(name, text)| (name.as_str(), text.as_str())).chain([("", &*source.text)])
    {
        for part in [name, text] {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
    }
    Digest::of(&bytes)
}
