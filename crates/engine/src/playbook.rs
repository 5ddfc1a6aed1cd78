//! A playbook with its files, read and checked.

use crate::registry::Registry;
use std::collections::BTreeMap;
use switchback_model::compile::{Compile, Files, InputValue};
use switchback_model::decode::{Decode, Decoder};
use switchback_model::diagnostic::{Diagnostic, Diagnostics, Source};
use switchback_model::digest::Digest;
use switchback_model::phase::Phase;
use switchback_model::playbook::{PLAYBOOK_FORMAT, Playbook, StepEntry, Upgrade};
use switchback_model::{site_file, tree};

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
        let Some(playbook) = playbook else { return Err(out) };
        if playbook.format.value != PLAYBOOK_FORMAT {
            out.push(
                Diagnostic::error("P030", format!("this playbook has format {}", playbook.format.value))
                    .at(playbook.format.span, format!("this build reads format {PLAYBOOK_FORMAT}")),
            );
            return Err(out);
        }
        let digest = digest(&source, &files);
        let loaded = LoadedPlaybook { source, playbook, files, digest };
        out.extend(loaded.check(registry));
        if out.has_errors() { Err(out) } else { Ok(loaded) }
    }

    fn check(&self, registry: &Registry) -> Diagnostics {
        let samples = site_file::samples(&self.playbook);
        let mut cx = self.compile_targets(&samples);
        for evidence in &self.playbook.version.detect {
            let _ = crate::detect::compile(evidence, &mut cx);
        }
        for loss in &self.playbook.losses {
            match (&loss.rows, &loss.unmeasured) {
                (Some(rows), None) => drop(cx.probe(rows)),
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
                let _ = cx.probe(when);
            }
        }
        for upgrade in &self.playbook.upgrades {
            for (_, entry) in entries(upgrade) {
                if let Some(when) = &entry.when {
                    let _ = cx.probe(when);
                }
                let _ = registry.compile(entry, &mut cx);
            }
        }
        cx.out
    }

    /// Starts compiling for these inputs.
    pub fn compile_targets<'a>(&'a self, inputs: &'a BTreeMap<String, InputValue>) -> Compile<'a> {
        let mut cx = Compile::new(inputs, &self.files);
        cx.targets(&self.playbook);
        cx
    }
}

/// Every step of an upgrade with its phase, in order of execution.
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
