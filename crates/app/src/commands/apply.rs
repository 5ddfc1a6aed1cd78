//! `apply`: carries the plan out.

use super::carry_out::{carry_out, wanted_consents};
use super::confirm::confirm;
use super::plan::nothing;
use crate::cli::{Global, OnInterrupt};
use crate::complaint::{Complaint, exit, io_words};
use crate::context::{Context, driver};
use crate::output::Output;
use crate::views;
use std::path::Path;
use switchback_engine::planner::Planned;
use switchback_engine::session::Session;
use switchback_model::plan::Plan;
use switchback_model::suggest::closest;
use switchback_site::Site;

/// Looks again, asks, and runs.
pub fn run(
    global: &Global,
    file: Option<&Path>,
    yes: bool,
    accept: &[String],
    on_interrupt: OnInterrupt,
    output: &Output,
) -> Result<u8, Complaint> {
    let context = Context::load(global)?;
    context.say_verbose(output, global.verbose);
    super::rehearse::sweep(&context)?;
    let site = context.site()?;
    switchback_engine::session::refuse_taken(&site)?;
    refuse_open_run(&context)?;
    let (plan, reviewed) = match find_plan(&context, file, &site, output)? {
        Found::Plan(plan, reviewed) => (plan, reviewed),
        Found::Nothing(code) => return Ok(code),
    };
    refuse_unknown(accept, &plan)?;
    if !reviewed && !output.json {
        output.say(&views::plan::text(&plan, global.verbose));
    }
    let missing: Vec<String> =
        wanted_consents(&plan).into_iter().filter(|name| !accept.contains(name)).collect();
    if !missing.is_empty() {
        let flags: Vec<_> = missing.iter().map(|name| format!("--accept {name}")).collect();
        return Err(Complaint::new(
            exit::SITE,
            "A001",
            "this upgrade gives something up, and nobody has accepted it",
        )
        .help(format!("read what it is in the plan, then add {}", flags.join(" ")))
        .state("nothing was changed"));
    }
    if !yes {
        let help = "add --yes; it accepts no loss, no risk and no step without a way back";
        confirm("carry this out?", help, output)?;
    }
    let name = run_name(&plan);
    let dir = context.state.run(&name);
    let mut session = Session::create(dir.root(), &context.state, plan, &context.registry, &driver(), None)?;
    let back = on_interrupt == OnInterrupt::Rollback;
    carry_out(&mut session, accept.to_vec(), back, global.verbose, output, |_| Ok(()))
}

/// A name that nothing has is a slip: what was meant is not accepted.
fn refuse_unknown(accept: &[String], plan: &Plan) -> Result<(), Complaint> {
    let wanted = wanted_consents(plan);
    let known = |name: &String| wanted.contains(name) || plan.losses.iter().any(|loss| loss.id == *name);
    let Some(name) = accept.iter().find(|name| !known(name)) else { return Ok(()) };
    let help = match closest(name, wanted.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if wanted.is_empty() => "this plan gives nothing up: take the --accept out".to_owned(),
        None => format!("it asks for: {}", wanted.into_iter().collect::<Vec<_>>().join(", ")),
    };
    Err(Complaint::usage(format!("the plan has nothing called `{name}` to accept"))
        .help(help)
        .state("nothing was changed"))
}

/// A name whose order is that of time.
pub fn run_name(plan: &Plan) -> String {
    let now = jiff::Timestamp::now();
    format!("{}-{}", now.strftime("%Y%m%dT%H%M%S%3fZ"), plan.digest.short())
}

/// A plan to carry out, and whether a person has seen it before.
pub enum Found {
    /// A plan that fits the site as it is now.
    Plan(Plan, bool),
    /// There is nothing to do.
    Nothing(u8),
}

/// Reads the plan that was named or left, and looks whether the site is still the one it was made for; makes a new one if
/// there is none.
pub fn find_plan(
    context: &Context,
    file: Option<&Path>,
    site: &Site,
    output: &Output,
) -> Result<Found, Complaint> {
    let left = context.state.plan();
    let file = file.or_else(|| left.exists().then_some(left.as_path()));
    let Some(path) = file else {
        return Ok(match context.plan(None, site)? {
            Planned::Nothing(installed) => Found::Nothing(nothing(&installed, output)),
            Planned::Plan(plan) => Found::Plan(*plan, false),
        });
    };
    let text = std::fs::read_to_string(path).map_err(|error| {
        let message = format!("cannot read the plan {}: {}", path.display(), io_words(&error));
        Complaint::new(exit::USAGE, "U004", message)
            .help("make one with `switchback plan`, or name another file with `--plan FILE`")
            .state("nothing was changed")
    })?;
    let plan = Plan::read(&text).map_err(|error| {
        Complaint::new(exit::SITE, "A010", format!("cannot {error}"))
            .help(format!("make a new one with `switchback plan`; {} is left as it is", path.display()))
            .state("nothing was changed")
    })?;
    if plan.engine != crate::context::ENGINE {
        return Err(Complaint::new(
            exit::SITE,
            "A011",
            format!("the plan was made by switchback {}, this is {}", plan.engine, crate::context::ENGINE),
        )
        .help("make a new one with `switchback plan`")
        .state("nothing was changed"));
    }
    // Everything is looked at again, with the same eyes: what was refused when planning is refused now.
    let now = match context.plan(Some(&plan.wanted), site)? {
        Planned::Nothing(installed) => return Ok(Found::Nothing(nothing(&installed, output))),
        Planned::Plan(now) => now,
    };
    let mut drift = plan.identity_drift(&now.facts);
    drift.extend(plan.step_drift(&now));
    if now.losses != plan.losses {
        drift.extend(loss_drift(&plan, &now));
    }
    if now.risks != plan.risks {
        drift.push("the risks are not those that were shown".to_owned());
    }
    if !drift.is_empty() {
        let mut complaint =
            Complaint::new(exit::SITE, "A012", "the site is not the one that this plan was made for");
        complaint.items[0].details = drift;
        return Err(complaint
            .help("make a new plan with `switchback plan`, and read it again")
            .state("nothing was changed"));
    }
    for line in plan.estimate_drift(&now.facts) {
        output.say(&format!("note: {line}"));
    }
    Ok(Found::Plan(plan, true))
}

fn loss_drift(plan: &Plan, now: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    for loss in &now.losses {
        let was = plan
            .losses
            .iter()
            .find(|was| was.id == loss.id)
            .and_then(|was| was.rows.clone())
            .unwrap_or_default();
        let new = loss.rows.clone().unwrap_or_default();
        let before = lines.len();
        lines.extend(
            was.iter().filter(|row| !new.contains(row)).map(|row| format!("loss {}:   - {row}", loss.id)),
        );
        lines.extend(
            new.iter().filter(|row| !was.contains(row)).map(|row| format!("loss {}:   + {row}", loss.id)),
        );
        if lines.len() == before && !plan.losses.contains(loss) {
            lines.push(format!("loss {}: it is not the one that was shown", loss.id));
        }
    }
    lines
}

/// A run that is open has to be ended first.
pub fn refuse_open_run(context: &Context) -> Result<(), Complaint> {
    let Some((dir, entries)) = context.state.latest()? else { return Ok(()) };
    let steps =
        dir.plan().map_err(|e| Complaint::new(exit::SITE, "A013", format!("cannot {e}")))?.steps.len();
    let state = switchback_model::run::RunState::fold(steps, entries.iter().map(|entry| &entry.record))
        .map_err(|e| Complaint::from(switchback_engine::RunError::from(e)))?;
    if state.is_open() {
        return Err(Complaint::new(exit::SITE, "D002", format!("run {} is open", dir.name()))
            .help("`switchback resume` goes on with it, `switchback rollback` takes it back")
            .state("nothing was changed by this command"));
    }
    Ok(())
}
