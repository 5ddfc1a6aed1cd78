//! `rehearse`: carries the plan out on scratch copies, and takes it back there.

use super::apply::{Found, find_plan};
use crate::cli::Global;
use crate::complaint::{Complaint, exit};
use crate::context::{Context, driver, tell};
use crate::output::Output;
use crate::views;
use serde_json::json;
use std::path::Path;
use switchback_engine::error::chain;
use switchback_engine::rehearsal::{self, Rehearsal};
use switchback_engine::timing::Timings;
use switchback_model::phase::Phase;
use switchback_model::plan::Plan;
use switchback_model::record::{Outcome, Record, Turn};
use switchback_model::words;
use switchback_site::Tell;

/// Rehearses; its timings become the estimates of later plans.
pub fn run(global: &Global, file: Option<&Path>, keep: bool, output: &Output) -> Result<u8, Complaint> {
    let context = Context::load(global)?;
    let site = context.site()?;
    let plan = match find_plan(&context, file, &site, output)? {
        Found::Plan(plan, _) => plan,
        Found::Nothing(code) => return Ok(code),
    };
    let folder = context.state.rehearsals();
    let cleared = std::fs::remove_dir_all(&folder);
    if let Err(error) = cleared
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(Complaint::io("clear", &folder, &error));
    }
    let result = rehearse(&context, &plan, &folder, keep, global.verbose, output);
    if keep {
        output.say(&format!("the copies are in {}", folder.display()));
    } else if let Err(error) = std::fs::remove_dir_all(&folder) {
        output.say(&format!("cannot remove {}: {error}", folder.display()));
    }
    result
}

fn rehearse(
    context: &Context,
    plan: &Plan,
    folder: &Path,
    keep: bool,
    verbose: bool,
    output: &Output,
) -> Result<u8, Complaint> {
    let bus = views::bus(output, plan, verbose);
    let tell = tell(bus.sink());
    let set_up = rehearsal::set_up(folder, plan, &context.state, &context.registry, &driver(), &tell);
    let mut rehearsal = set_up.map_err(|e| {
        Complaint::new(exit::SITE, "H001", format!("cannot {}", chain(&e))).state("the site is untouched")
    })?;
    if keep {
        for place in rehearsal.scratch.keep() {
            output.say(&format!("the copy in {place} is kept; the next rehearsal drops it"));
        }
    }
    let before = fingerprints(&rehearsal)?;
    // The copies have fewer steps than the plan: the view has to count by theirs.
    let bus = views::bus(output, &rehearsal.session.plan.clone(), verbose);
    let accepted = plan.losses.iter().map(|loss| loss.id.clone()).collect();
    let mut runner = rehearsal.session.begin(accepted, bus, tell, false)?;
    let forward = runner.run()?;
    if forward != Outcome::Upgraded {
        return Err(Complaint::new(
            exit::SITE,
            "H002",
            "the rehearsal failed: the upgrade would fail here as well",
        )
        .state("the site is untouched; only copies were worked on"));
    }
    runner.note(Record::RollbackStarted { turn: Turn::Asked { losing: Vec::new() } })?;
    let back = runner.run()?;
    drop(runner);
    let after = fingerprints(&rehearsal)?;
    if back != Outcome::RolledBack || before != after {
        return Err(Complaint::new(
            exit::SITE,
            "H003",
            "the way back failed on the copies: what it restores is not what was",
        )
        .state("the site is untouched; only copies were worked on"));
    }
    report(context, &rehearsal, output)
}

fn fingerprints(rehearsal: &Rehearsal) -> Result<Vec<serde_json::Value>, Complaint> {
    let site = &rehearsal.session.site;
    // What is only read is no copy: it may change while it is in use.
    let copies = site.targets().iter().filter(|(_, def)| !def.is_read_only());
    copies
        .map(|(name, _)| site.fingerprint(name, &Tell::quiet()))
        .collect::<Result<_, _>>()
        .map_err(|e| Complaint::new(exit::SITE, "H004", format!("cannot {}", chain(&e))))
}

fn report(context: &Context, rehearsal: &Rehearsal, output: &Output) -> Result<u8, Complaint> {
    let entries = switchback_engine::Journal::read(&rehearsal.session.dir.journal())?;
    let plan = &rehearsal.session.plan;
    let mut timings = Timings::default();
    let (mut down, mut back) = (0, 0);
    let mut started = std::collections::BTreeMap::new();
    for entry in &entries {
        match &entry.record {
            Record::StepStarted { step, .. } => drop(started.insert(*step, entry.up_ms)),
            Record::StepFinished { step, .. } | Record::StepFound { step, .. } => {
                // From the journal's own clock: the time to look, to prepare and to sync is part of a step.
                let previous =
                    entry.seq.checked_sub(1).and_then(|seq| entries.get(usize::try_from(seq).ok()?));
                let begun = previous.filter(|_| !started.contains_key(step)).map(|entry| entry.up_ms);
                let begun = started.get(step).copied().or(begun).unwrap_or(entry.up_ms);
                let took = entry.up_ms.saturating_sub(begun);
                timings.add(&plan.steps[*step].id, took);
                if plan.steps[*step].phase.is_down() {
                    down += took;
                }
            }
            Record::StepUndone { took_ms, .. } => back += took_ms,
            _ => {}
        }
    }
    context
        .state
        .keep_timings(&timings)
        .map_err(|e| Complaint::io("keep timings in", context.state.root(), &e))?;
    let left: Vec<_> = rehearsal.left_out.iter().map(|(id, why)| json!({ "step": id, "why": why })).collect();
    if output.json {
        output.value(
            &json!({ "rehearsed": true, "data_ms": down, "way_back_ms": back, "not_rehearsed": left }),
        );
        return Ok(exit::DONE);
    }
    output.say("");
    output.say(&format!(
        "rehearsed on copies: change and proof of the data took {}, the way back {}, and the copies are equal to what they were",
        words::duration(down),
        words::duration(back)
    ));
    if !rehearsal.left_out.is_empty() {
        output.say("not rehearsed:");
        for (id, why) in &rehearsal.left_out {
            output.say(&format!("  {id}: {why}"));
        }
    }
    let frozen = plan.steps.iter().filter(|step| step.phase == Phase::Change).count();
    output.say(&format!(
        "{} of the change are measured; the next plan has these timings",
        words::count(frozen as u64, "step")
    ));
    Ok(exit::DONE)
}
