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
use switchback_site::lock::{LockError, RunLock};
use switchback_site::service::Strength;

/// What state a site is in that is only rehearsed.
const ONLY_COPIES: &str = "the site is untouched; only copies were worked on";

/// Rehearses; its timings become the estimates of later plans.
pub fn run(global: &Global, file: Option<&Path>, keep: bool, output: &Output) -> Result<u8, Complaint> {
    let context = Context::load(global)?;
    let site = context.site()?;
    let plan = match find_plan(&context, file, &site, output)? {
        Found::Plan(plan, _) => plan,
        Found::Nothing(code) => return Ok(code),
    };
    let folder = context.state.rehearsals();
    let _lock = take(&context)?;
    end_leftovers(&folder)?;
    let cleared = std::fs::remove_dir_all(&folder);
    if let Err(error) = cleared
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(Complaint::io("clear", &folder, &error));
    }
    let result = rehearse(&context, &plan, &folder, keep, global.verbose, output);
    if keep {
        output.say(&format!("the copies are in {}", folder.display()));
    } else if let Err(complaint) = end_leftovers(&folder) {
        // The record by which the next rehearsal finds it lies there.
        output.say(&format!("the copies in {} stay: a service still runs over them", folder.display()));
        return result.and(Err(complaint));
    } else if let Err(error) = std::fs::remove_dir_all(&folder) {
        output.say(&format!("cannot remove {}: {error}", folder.display()));
    }
    result
}

/// Ends what a rehearsal has left running that was killed, unless one is at work.
pub fn sweep(context: &Context) -> Result<(), Complaint> {
    let folder = context.state.rehearsals();
    if !folder.exists() {
        return Ok(());
    }
    match RunLock::take(&context.state.rehearsal_lock()) {
        Ok(_lock) => end_leftovers(&folder),
        Err(_) => Ok(()),
    }
}

/// Takes the rehearsals of this state folder: a second one would end what runs of the first.
fn take(context: &Context) -> Result<RunLock, Complaint> {
    context.make_state()?;
    RunLock::take(&context.state.rehearsal_lock()).map_err(|error| match error {
        LockError::Held { .. } => {
            Complaint::new(exit::LOCKED, "H005", "another rehearsal of this site is at work".to_owned())
                .help("wait for it to end")
                .state("nothing was changed")
        }
        error => Complaint::new(exit::SITE, "H001", format!("cannot {}", chain(&error)))
            .state("nothing was changed"),
    })
}

/// Ends private services that a rehearsal has left which was killed.
fn end_leftovers(folder: &Path) -> Result<(), Complaint> {
    rehearsal::end_leftovers(folder).map(drop).map_err(|error| {
        Complaint::new(
            exit::SITE,
            "H006",
            format!("cannot end what a rehearsal has left running: {}", chain(&error)),
        )
        .help(format!("the records are in {}: end these processes by hand", folder.display()))
        .state(ONLY_COPIES)
    })
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
    let live = read_live(&rehearsal);
    // The copies have fewer steps than the plan: the view has to count by theirs.
    let bus = views::bus(output, &rehearsal.session.plan.clone(), verbose);
    let accepted = plan.losses.iter().map(|loss| loss.id.clone()).collect();
    if !rehearsal.privates.is_empty() {
        output.say(&format!("services run privately, {}", held().1));
    }
    let mut runner = rehearsal.session.begin(accepted, bus, tell, false)?;
    let forward = runner.run()?;
    if forward != Outcome::Upgraded {
        drop(runner);
        end_services(&rehearsal)?;
        let complaint =
            Complaint::new(exit::SITE, "H002", "the rehearsal failed: the upgrade would fail here as well")
                .state(ONLY_COPIES);
        let help: Vec<String> = keep_logs(context, &rehearsal).into_iter().chain(live).collect();
        return Err(match help.is_empty() {
            true => complaint,
            false => complaint.help(help.join("; ")),
        });
    }
    // Nobody but the private services has written to the copies since the commit point.
    let losing = runner.written_since().map_err(|e| {
        Complaint::new(exit::SITE, "H004", format!("cannot {}", chain(&e))).state(ONLY_COPIES)
    })?;
    runner.note(Record::RollbackStarted { turn: Turn::Asked { losing } })?;
    let back = runner.run()?;
    drop(runner);
    end_services(&rehearsal)?;
    let after = fingerprints(&rehearsal)?;
    if back != Outcome::RolledBack || before != after {
        return Err(Complaint::new(
            exit::SITE,
            "H003",
            "the way back failed on the copies: what it restores is not what was",
        )
        .state(ONLY_COPIES));
    }
    report(context, &rehearsal, output)
}

/// What holds the services that run privately, for machines and for people.
fn held() -> (&'static str, &'static str) {
    match Strength::of_this_kernel() {
        Strength::FilesAndPorts => {
            ("files-and-ports", "held by the kernel to their copies and to TCP ports of their own")
        }
        Strength::Files => (
            "files",
            "held by the kernel to their copies; to their ports by their configs alone, for it is older than 6.7",
        ),
        Strength::None => {
            ("nothing", "held to their copies and ports by their configs alone: this kernel has no Landlock")
        }
    }
}

/// Ends what runs privately, so that nobody writes to the copies that are compared.
fn end_services(rehearsal: &Rehearsal) -> Result<(), Complaint> {
    rehearsal.services.end().map(drop).map_err(|error| {
        Complaint::new(exit::SITE, "H006", format!("cannot end a private service: {}", chain(&error)))
            .help("end its processes by hand; the next rehearsal looks for them as well")
            .state(ONLY_COPIES)
    })
}

/// Keeps what private services have printed where it outlives the copies, and says where.
fn keep_logs(context: &Context, rehearsal: &Rehearsal) -> Option<String> {
    let mut kept = Vec::new();
    for name in rehearsal.privates.keys() {
        let from = rehearsal.session.dir.logs().join(format!("{name}.log"));
        let to = context.state.logs().join(format!("rehearsal.{name}.log"));
        if std::fs::copy(&from, &to).is_ok() {
            kept.push(to.display().to_string());
        }
    }
    (!kept.is_empty()).then(|| format!("what ran privately has printed why, perhaps: {}", kept.join(", ")))
}

/// What is only read is no copy, and may be written to while it is compared with what was made of it.
fn read_live(rehearsal: &Rehearsal) -> Option<String> {
    let site = &rehearsal.session.site;
    let live = site.targets().iter().filter(|(name, def)| def.is_read_only() && site.is_postgres(name));
    let live: Vec<&str> = live.map(|(name, _)| name.as_str()).collect();
    (!live.is_empty()).then(|| {
        format!(
            "if a comparison with {} failed: it is read as it is, while the application writes to it, so that may be why, and nothing be wrong; rehearse again while little is written, or name a copy of it",
            live.join(", ")
        )
    })
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
            &json!({ "rehearsed": true, "data_ms": down, "way_back_ms": back, "not_rehearsed": left, "ran_privately": rehearsal.privates, "held_to": held().0 }),
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
    if !rehearsal.privates.is_empty() {
        let names: Vec<&str> = rehearsal.privates.keys().map(String::as_str).collect();
        output.say(&format!("ran privately, {}: {}", held().1, names.join(", ")));
    }
    let frozen = plan.steps.iter().filter(|step| step.phase == Phase::Change).count();
    output.say(&format!(
        "{} of the change are measured; the next plan has these timings",
        words::count(frozen as u64, "step")
    ));
    Ok(exit::DONE)
}
